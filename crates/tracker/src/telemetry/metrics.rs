//! The exporter: reads every counter when it is scraped.
//!
//! Nothing is written on the way of a request. Names, units and texts are in `names`.

pub(super) mod accounts;
pub(super) mod websocket;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{self, Registry};
use skep_engine::counters::{
    Action, Counter, DropReason, ERROR_STATUSES, Handshake, TrafficCounters, WorkerCounters,
};
use skep_engine::gate::{OwnGate, OwnGates, Refusal};
use skep_engine::ledger::LedgerTally;
use skep_engine::session::{HttpRefusal, WebsocketRefusal};
use skep_engine::swarm::{LaneKind, PeerClass, Pressure, Tally};
use skep_proto::DecodeError;

use super::names::{Kind, METRICS, MetricRow, Unit};
use super::process::Process;
use crate::accounts::Status;
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;

/// The `Content-Type` of what [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Numbers that others find out now and then: about lists, reloads, memory and load.
#[derive(Debug, Default)]
pub struct Gauges {
    torrents_listed: AtomicU64,
    torrents_denied: AtomicU64,
    list_problems: AtomicU64,
    reload_ok: AtomicBool,
    reload_unix_secs: AtomicU64,
    memory_used_bytes: AtomicU64,
    memory_budget_bytes: AtomicU64,
    memory_pressure: AtomicU64,
    delay_secs: AtomicU64,
    certificate_ok: AtomicBool,
    certificate_expires_unix_secs: AtomicU64,
    own_gates: OnceLock<OwnGates>,
    accounts: OnceLock<Arc<Status>>,
}

impl Gauges {
    /// Notes how much memory is used of how much, and how short it is.
    pub fn set_memory(&self, used_bytes: u64, budget_bytes: u64, pressure: Pressure) {
        self.memory_used_bytes.store(used_bytes, Ordering::Relaxed);
        self.memory_budget_bytes.store(budget_bytes, Ordering::Relaxed);
        self.memory_pressure.store(pressure as u64, Ordering::Relaxed);
    }

    /// Notes how many seconds load adds to intervals.
    pub fn set_delay(&self, secs: u32) {
        self.delay_secs.store(secs.into(), Ordering::Relaxed);
    }

    /// Notes where accounts tell how they fare.
    pub fn set_accounts(&self, status: Arc<Status>) {
        let _ = self.accounts.set(status);
    }

    /// Notes the gates of the operator's own program, which stay as they are.
    pub fn set_own_gates(&self, gates: OwnGates) {
        let _ = self.own_gates.set(gates);
    }

    /// Notes what the lists hold now, and how many of their lines were skipped.
    pub fn set_lists(&self, listed: u64, denied: u64, problems: u64) {
        self.torrents_listed.store(listed, Ordering::Relaxed);
        self.torrents_denied.store(denied, Ordering::Relaxed);
        self.list_problems.store(problems, Ordering::Relaxed);
    }

    /// Notes how the last reading of the lists went, and when.
    ///
    /// # Units
    /// `unix_secs` counts from 1970.
    pub fn set_reload(&self, ok: bool, unix_secs: u64) {
        self.reload_ok.store(ok, Ordering::Relaxed);
        self.reload_unix_secs.store(unix_secs, Ordering::Relaxed);
    }

    /// Notes how the last reading of the certificate went, and when the one in force ends.
    ///
    /// # Units
    /// `expires_unix_secs` counts from 1970.
    pub fn set_certificate(&self, ok: bool, expires_unix_secs: u64) {
        self.certificate_ok.store(ok, Ordering::Relaxed);
        self.certificate_expires_unix_secs.store(expires_unix_secs, Ordering::Relaxed);
    }
}

/// Everything that is exported.
#[derive(Debug)]
pub struct Metrics {
    sources: Arc<Sources>,
    registry: Registry,
}

impl Metrics {
    /// Collects what is to be read at each scrape.
    #[must_use]
    pub fn new(
        workers: Vec<Arc<WorkerCounters>>,
        store: Arc<dyn PeerStore>,
        clock: Clock,
        gauges: Arc<Gauges>,
    ) -> Self {
        let sources = Arc::new(Sources { workers, store, clock, gauges });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&sources)));
        Self { sources, registry }
    }

    /// Reads everything and writes it as OpenMetrics text.
    ///
    /// # Cost
    /// Takes the lock of every shard for a moment and reads `/proc`; call it where blocking is fine.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a String takes everything");
        text
    }

    /// What is wrong with a tracker that answers, a sentence for each trouble.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.sources.gauges.accounts.get().map(|status| status.troubles()).unwrap_or_default()
    }

    /// Sums for a page that people read.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let mut overview = Overview {
            tally: self.sources.store.tally(),
            uptime_secs: self.sources.clock.now().0.into(),
            resident_bytes: Process::read().map(|process| process.resident_bytes),
            ..Overview::default()
        };
        for worker in &self.sources.workers {
            overview.kernel_drops += worker.kernel_drops.get();
            overview.http_connections += worker.http_connections.get();
            overview.websocket_connections += worker.websocket_connections.get();
            for (sums, (_, of_worker)) in overview.transports.iter_mut().zip(TRANSPORTS) {
                for traffic in of_worker(worker) {
                    overview.announces += traffic.requests[Action::Announce as usize].get();
                    overview.scrapes += traffic.requests[Action::Scrape as usize].get();
                    overview.sent_bytes += traffic.sent_bytes.get();
                    sums.requests += total(&traffic.requests);
                    sums.answers += total(&traffic.answers);
                    sums.errors += total(&traffic.decode_errors)
                        + total(&traffic.refusals)
                        + total(&traffic.http_refusals)
                        + total(&traffic.websocket_refusals)
                        + total(&traffic.error_statuses);
                    sums.drops += total(&traffic.drops);
                }
            }
        }
        overview
    }
}

/// Sums of the most asked-for counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Overview {
    /// What the store holds.
    pub tally: Tally,
    /// Seconds since the process began.
    pub uptime_secs: u64,
    /// Memory of the process, where the system tells.
    pub resident_bytes: Option<u64>,
    /// HTTP connections of clients that are open now.
    pub http_connections: u64,
    /// Datagrams dropped by the kernel.
    pub kernel_drops: u64,
    /// WebSocket connections of browsers that are open now.
    pub websocket_connections: u64,
    /// Announces understood.
    pub announces: u64,
    /// Scrapes understood.
    pub scrapes: u64,
    /// Payload bytes out.
    pub sent_bytes: u64,
    /// Traffic of UDP, of HTTP and of WebSocket.
    pub transports: [TransportSums; TRANSPORTS.len()],
}

/// Traffic of one transport over all workers and families.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TransportSums {
    /// Requests understood.
    pub requests: u64,
    /// Answers that were no errors.
    pub answers: u64,
    /// Error answers.
    pub errors: u64,
    /// Requests without an answer.
    pub drops: u64,
}

fn total(counters: &[Counter]) -> u64 {
    counters.iter().map(Counter::get).sum()
}

/// Where the values come from.
struct Sources {
    workers: Vec<Arc<WorkerCounters>>,
    store: Arc<dyn PeerStore>,
    clock: Clock,
    gauges: Arc<Gauges>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let scrape = Scrape {
            sources: self,
            tally: self.store.tally(),
            ledgers: self.gauges.accounts.get().map(|_| self.store.accounts_tally()),
            process: Process::read(),
        };
        METRICS.iter().try_for_each(|row| encode_row(&mut encoder, row, &scrape))
    }
}

fn encode_row(
    encoder: &mut DescriptorEncoder<'_>,
    row: &'static MetricRow,
    scrape: &Scrape<'_>,
) -> fmt::Result {
    // The library puts these endings on by itself.
    let (ending, kind) = match row.kind {
        Kind::Counter => ("_total", MetricType::Counter),
        Kind::Gauge => ("", MetricType::Gauge),
        Kind::Info => ("_info", MetricType::Info),
    };
    let name = row.name.strip_suffix(ending).unwrap_or(row.name);
    let (name, unit) = match row.unit {
        None => (name, None),
        Some(unit) => {
            let stem = name.strip_suffix(unit.word()).unwrap_or(name);
            let unit = match unit {
                Unit::Bytes => registry::Unit::Bytes,
                Unit::Seconds => registry::Unit::Seconds,
            };
            (stem.trim_end_matches('_'), Some(unit))
        }
    };
    let metric = encoder.encode_descriptor(name, row.help, unit.as_ref(), kind)?;
    let mut samples = Samples { metric, row, result: Ok(()) };
    (row.read)(scrape, &mut samples);
    samples.result
}

/// How a row of the list reads its values.
pub(super) type Reader = fn(&Scrape<'_>, &mut Samples<'_>);

/// What all rows of one scrape share.
pub(super) struct Scrape<'a> {
    sources: &'a Sources,
    tally: Tally,
    /// Where accounts are kept.
    ledgers: Option<LedgerTally>,
    process: Option<Process>,
}

impl Scrape<'_> {
    /// Calls `visit` with the counters of all workers for each transport and family.
    fn each_traffic(&self, mut visit: impl FnMut([&'static str; 2], &[&TrafficCounters])) {
        for (transport, of_worker) in TRANSPORTS {
            for (number, family) in FAMILIES.into_iter().enumerate() {
                let workers = self.sources.workers.iter();
                let counters: Vec<_> = workers.map(|worker| &of_worker(worker)[number]).collect();
                visit([transport, family], &counters);
            }
        }
    }

    /// Gives one sample: the sum over all workers.
    fn of_workers(
        &self,
        samples: &mut Samples<'_>,
        labels: &[&str],
        counter: fn(&WorkerCounters) -> &Counter,
    ) {
        let sum = self.sources.workers.iter().map(|worker| counter(worker).get()).sum();
        samples.count(labels, sum);
    }

    /// Gives one sample for each transport and family.
    fn by_family(&self, samples: &mut Samples<'_>, counter: fn(&TrafficCounters) -> &Counter) {
        self.each_traffic(|[transport, family], workers| {
            let sum = workers.iter().map(|traffic| counter(traffic).get()).sum();
            samples.count(&[transport, family], sum);
        });
    }

    /// Gives one sample for each transport, family and row of a table of counters.
    fn by_number<const N: usize>(
        &self,
        samples: &mut Samples<'_>,
        table: fn(&TrafficCounters) -> &[Counter; N],
        label: impl Fn(&'static str, usize) -> Option<&'static str>,
    ) {
        self.each_traffic(|[transport, family], workers| {
            for number in 0..N {
                if let Some(label) = label(transport, number) {
                    let sum = workers.iter().map(|traffic| table(traffic)[number].get()).sum();
                    samples.count(&[transport, family, label], sum);
                }
            }
        });
    }
}

type OfWorker = fn(&WorkerCounters) -> &[TrafficCounters; 2];

const TRANSPORTS: [(&str, OfWorker); 3] = [
    ("udp", |worker| &worker.udp),
    ("http", |worker| &worker.http),
    ("websocket", |worker| &worker.websocket),
];
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// Takes the values of one row.
pub(super) struct Samples<'a> {
    metric: MetricEncoder<'a>,
    row: &'static MetricRow,
    result: fmt::Result,
}

impl Samples<'_> {
    /// Takes a whole number, with the values of the labels in the order of the row.
    fn count(&mut self, labels: &[&str], value: u64) {
        self.take(labels, |metric, kind| match kind {
            Kind::Gauge => metric.encode_gauge(&value),
            _ => metric.encode_counter::<NoLabelSet, u64, u64>(&value, None),
        });
    }

    /// Takes a number with a fraction.
    fn number(&mut self, labels: &[&str], value: f64) {
        self.take(labels, |metric, kind| match kind {
            Kind::Gauge => metric.encode_gauge(&value),
            _ => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        });
    }

    /// Takes facts.
    fn info(&mut self, values: &[&str]) {
        let labels = self.labels(values);
        if self.result.is_ok() {
            self.result = self.metric.encode_info(&labels);
        }
    }

    fn take(
        &mut self,
        values: &[&str],
        encode: impl FnOnce(&mut MetricEncoder<'_>, Kind) -> fmt::Result,
    ) {
        if self.result.is_err() {
            return;
        }
        let labels = self.labels(values);
        self.result = if labels.is_empty() {
            encode(&mut self.metric, self.row.kind)
        } else {
            let kind = self.row.kind;
            self.metric.encode_family(&labels).and_then(|mut metric| encode(&mut metric, kind))
        };
    }

    fn labels<'a>(&self, values: &[&'a str]) -> Vec<(&'static str, &'a str)> {
        debug_assert_eq!(self.row.labels.len(), values.len(), "{}", self.row.name);
        self.row.labels.iter().copied().zip(values.iter().copied()).collect()
    }
}

pub(super) fn list_problems(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.gauges.list_problems.load(Ordering::Relaxed));
}

pub(super) fn reload_success(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let ok = scrape.sources.gauges.reload_ok.load(Ordering::Relaxed);
    samples.count(&[], ok.into());
}

pub(super) fn reload_time(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.gauges.reload_unix_secs.load(Ordering::Relaxed));
}

pub(super) fn list_torrents(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let gauges = &scrape.sources.gauges;
    samples.count(&["listed"], gauges.torrents_listed.load(Ordering::Relaxed));
    samples.count(&["denied"], gauges.torrents_denied.load(Ordering::Relaxed));
}

pub(super) fn build(_: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.info(&[env!("CARGO_PKG_VERSION")]);
}

pub(super) fn certificate_expiry(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let expires = &scrape.sources.gauges.certificate_expires_unix_secs;
    samples.count(&[], expires.load(Ordering::Relaxed));
}

pub(super) fn certificate_reload_success(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let ok = scrape.sources.gauges.certificate_ok.load(Ordering::Relaxed);
    samples.count(&[], ok.into());
}

pub(super) fn tls_handshakes(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    for end in Handshake::ALL {
        let workers = scrape.sources.workers.iter();
        let sum = workers.map(|worker| worker.tls_handshakes[end as usize].get()).sum();
        samples.count(&[end.label()], sum);
    }
}

pub(super) fn http_connections(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let workers = scrape.sources.workers.iter();
    samples.count(&[], workers.map(|worker| worker.http_connections.get()).sum());
}

pub(super) fn process_cpu(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(process) = &scrape.process {
        samples.number(&[], process.cpu_secs);
    }
}

pub(super) fn process_open_files(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(process) = &scrape.process {
        samples.count(&[], process.open_files);
    }
}

pub(super) fn process_memory(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(process) = &scrape.process {
        samples.count(&[], process.resident_bytes);
    }
}

pub(super) fn memory_used(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.gauges.memory_used_bytes.load(Ordering::Relaxed));
}

pub(super) fn memory_budget(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.gauges.memory_budget_bytes.load(Ordering::Relaxed));
}

pub(super) fn memory_pressure(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.gauges.memory_pressure.load(Ordering::Relaxed));
}

pub(super) fn uptime(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.clock.now().0.into());
}

pub(super) fn completions(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.tally.completions);
}

pub(super) fn peers(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    for kind in LaneKind::ALL {
        let (family, scope) = match kind {
            LaneKind::Ipv4 => ("ipv4", "global"),
            LaneKind::Ipv4Local => ("ipv4", "local"),
            LaneKind::Ipv6 => ("ipv6", "global"),
            LaneKind::Ipv6Local => ("ipv6", "local"),
            LaneKind::Webrtc => ("any", "webrtc"),
        };
        let classes = [
            (PeerClass::Leecher, "leecher"),
            (PeerClass::PartialSeed, "partial_seed"),
            (PeerClass::Seeder, "seeder"),
        ];
        for (class, word) in classes {
            samples
                .count(&[family, scope, word], scrape.tally.peers[kind as usize][class as usize]);
        }
    }
}

pub(super) fn peers_expired(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.tally.expired);
}

pub(super) fn torrents(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.tally.torrents);
}

pub(super) fn interval_delay(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    samples.count(&[], scrape.sources.gauges.delay_secs.load(Ordering::Relaxed));
}

pub(super) fn stretched(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_family(samples, |traffic| &traffic.stretched);
}

pub(super) fn not_stored(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_family(samples, |traffic| &traffic.not_stored);
}

pub(super) fn requests(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_number(samples, |traffic| &traffic.requests, action_label);
}

pub(super) fn answers(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_number(samples, |traffic| &traffic.answers, action_label);
}

/// Leaves out what a transport does not have.
fn action_label(transport: &str, number: usize) -> Option<&'static str> {
    match (transport, Action::ALL[number]) {
        ("udp" | "websocket", Action::Page) | ("http" | "websocket", Action::Connect) => None,
        (_, action) => Some(action.label()),
    }
}

pub(super) fn drops(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let label = |transport, number: usize| {
        (transport != "websocket").then_some(DropReason::ALL[number].label())
    };
    scrape.by_number(samples, |traffic| &traffic.drops, label);
}

pub(super) fn errors(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let label = |_, number: usize| Some(DecodeError::ALL[number].label());
    scrape.by_number(samples, |traffic| &traffic.decode_errors, label);
    let own: Vec<_> = match scrape.sources.gauges.own_gates.get() {
        Some(gates) => gates.iter().map(OwnGate::name).collect(),
        None => Vec::new(),
    };
    let label = |_, number: usize| Refusal::LABELS.iter().chain(&own).nth(number).copied();
    scrape.by_number(samples, |traffic| &traffic.refusals, label);
    let label =
        |transport, number: usize| (transport == "http").then_some(HttpRefusal::LABELS[number]);
    scrape.by_number(samples, |traffic| &traffic.http_refusals, label);
    let label = |transport, number: usize| {
        (transport == "websocket").then_some(WebsocketRefusal::LABELS[number])
    };
    scrape.by_number(samples, |traffic| &traffic.websocket_refusals, label);
}

pub(super) fn error_statuses(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    for (number, family) in FAMILIES.into_iter().enumerate() {
        for (place, status) in ERROR_STATUSES.iter().enumerate() {
            let workers = scrape.sources.workers.iter();
            let sum = workers.map(|worker| worker.http[number].error_statuses[place].get()).sum();
            samples.count(&[family, &status.code().to_string()], sum);
        }
    }
}

pub(super) fn peers_sent(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_family(samples, |traffic| &traffic.peers_sent);
}

pub(super) fn received_bytes(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_family(samples, |traffic| &traffic.received_bytes);
}

pub(super) fn sent_bytes(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.by_family(samples, |traffic| &traffic.sent_bytes);
}

pub(super) fn kernel_drops(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let workers = scrape.sources.workers.iter();
    samples.count(&[], workers.map(|worker| worker.kernel_drops.get()).sum());
}
