//! Metrics as a monitor scrapes them, and the manuals that are made of the lists.
//!
//! What the counters count is tested with what counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep::runtime::clock::Clock;
use skep::shards::MemoryStore;
use skep::telemetry::names::{Kind, METRICS};
use skep::telemetry::{Gauges, Metrics};
use skep_engine::Seed;
use skep_engine::counters::{Action, DropReason, WorkerCounters};
use skep_engine::gate::Refusal;
use skep_engine::swarm::SwarmSettings;
use skep_proto::DecodeError;

use crate::support::Tracker;

struct Setup {
    workers: [Arc<WorkerCounters>; 2],
    gauges: Arc<Gauges>,
    clock: Clock,
    metrics: Metrics,
}

impl Setup {
    fn new() -> Self {
        let store = MemoryStore::new(&SwarmSettings::default(), Seed::new(1));
        let workers: [Arc<WorkerCounters>; 2] = Default::default();
        let (gauges, clock) = (Arc::<Gauges>::default(), Clock::start());
        let metrics =
            Metrics::new(workers.to_vec(), Arc::new(store), clock.clone(), Arc::clone(&gauges));
        Self { workers, gauges, clock, metrics }
    }

    /// Returns the value of the sample that begins so; labels are part of it.
    fn value(&self, sample: &str) -> f64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
    }
}

#[test]
fn every_metric_of_the_list_is_exported_and_no_other() {
    // Accounts are kept where users are known.
    let tracker = Tracker::start(&["--mode=private"]);
    let text = tracker.running().metrics().render();
    assert!(text.ends_with("\n# EOF\n"));
    let mut samples = BTreeMap::<&str, Vec<&str>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        samples.entry(name).or_default().push(labels.trim_end_matches('}'));
    }
    let known: Vec<_> = METRICS.iter().map(|row| row.name).collect();
    let exported: Vec<_> = samples.keys().copied().collect();
    assert_eq!(exported, known);
    for row in METRICS {
        for labels in &samples[row.name] {
            let keys: Vec<_> =
                labels.split(',').filter_map(|label| Some(label.split_once("=\"")?.0)).collect();
            assert_eq!(keys, row.labels, "{}", row.name);
        }
        let mut labels = samples[row.name].clone();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), samples[row.name].len(), "{} repeats itself", row.name);
    }
}

#[test]
fn each_family_is_described_by_its_row() {
    let text = Setup::new().metrics.render();
    for row in METRICS {
        let ending = match row.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        let family = row.name.strip_suffix(ending).unwrap();
        let kind = row.kind.word();
        assert!(text.contains(&format!("# HELP {family} {}\n", row.help)), "{family}");
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family}");
        let unit = row.unit.map(|unit| format!("# UNIT {family} {}\n", unit.word()));
        assert!(text.contains(unit.as_deref().unwrap_or_default()), "{family}");
    }
}

#[test]
fn names_are_sorted_and_follow_one_grammar() {
    assert!(METRICS.is_sorted_by(|a, b| a.name < b.name));
    for row in METRICS {
        let words: Vec<_> = row.name.split('_').collect();
        assert!(words.len() >= 3 && words[0] == "skep", "{}: skep_<room>_<noun>", row.name);
        for word in &words {
            let lawful = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            assert!(lawful, "{}", row.name);
        }
        let is_total = words.last() == Some(&"total");
        assert_eq!(is_total, row.kind == Kind::Counter, "{}", row.name);
        let last = words[words.len() - 1 - usize::from(is_total)];
        match row.unit {
            Some(unit) => assert_eq!(last, unit.word(), "{}", row.name),
            None => assert!(!["bytes", "seconds"].contains(&last), "{}", row.name),
        }
        assert!(row.help.ends_with('.') && !row.help.contains(['\n', '|']), "{}", row.name);
    }
}

#[test]
fn counters_of_all_workers_are_summed_by_transport_and_family() {
    let setup = Setup::new();
    let [first, second] = &setup.workers;
    first.udp[0].request(Action::Announce);
    second.udp[0].request(Action::Announce);
    second.udp[1].request(Action::Announce);
    first.http[1].answer(Action::Page);
    first.udp[0].drop(DropReason::BadConnectionId);
    first.udp[1].decode_errors[DecodeError::InvalidPort.index()].add(3);
    first.http[0].refusals[Refusal::Unregistered.index()].add(4);
    first.http[0].sent_bytes.add(500);
    first.udp[0].peers_sent.add(9);
    first.udp[0].not_stored.add(8);
    let cases = [
        ("requests_total{transport=\"udp\",family=\"ipv4\",action=\"announce\"}", 2.0),
        ("requests_total{transport=\"udp\",family=\"ipv6\",action=\"announce\"}", 1.0),
        ("requests_total{transport=\"http\",family=\"ipv4\",action=\"announce\"}", 0.0),
        ("answers_total{transport=\"http\",family=\"ipv6\",action=\"page\"}", 1.0),
        ("drops_total{transport=\"udp\",family=\"ipv4\",reason=\"bad_connection_id\"}", 1.0),
        ("errors_total{transport=\"udp\",family=\"ipv6\",kind=\"invalid_port\"}", 3.0),
        ("errors_total{transport=\"http\",family=\"ipv4\",kind=\"unregistered_torrent\"}", 4.0),
        ("sent_bytes_total{transport=\"http\",family=\"ipv4\"}", 500.0),
        ("peers_sent_total{transport=\"udp\",family=\"ipv4\"}", 9.0),
        ("announces_not_stored_total{transport=\"udp\",family=\"ipv4\"}", 8.0),
    ];
    for (sample, value) in cases {
        assert_eq!(setup.value(&format!("skep_traffic_{sample}")), value, "{sample}");
    }
}

#[test]
fn overview_has_the_sums_of_both_families() {
    let setup = Setup::new();
    let [first, second] = &setup.workers;
    first.udp[0].request(Action::Announce);
    second.udp[1].request(Action::Scrape);
    first.udp[1].decode_errors[DecodeError::InvalidPort.index()].add(3);
    first.http[0].refusals[Refusal::Unregistered.index()].add(4);
    first.kernel_drops.set(5);
    second.kernel_drops.set(6);
    second.http_connections.add(2);
    second.websocket_connections.add(1);
    first.websocket[1].websocket_refusals[0].add(1);
    assert_eq!(setup.value("skep_udp_kernel_drops_total"), 11.0);
    assert_eq!(setup.value("skep_http_connections"), 2.0);
    let overview = setup.metrics.overview();
    let [udp, http, websocket] = overview.transports;
    assert_eq!((udp.requests, udp.errors, http.errors, websocket.errors), (2, 3, 4, 1));
    assert_eq!((overview.kernel_drops, overview.http_connections), (11, 2));
    assert_eq!(overview.websocket_connections, 1);
}

#[test]
fn reload_and_time_are_shown_as_they_are_set() {
    let setup = Setup::new();
    assert_eq!(setup.value("skep_access_reload_success"), 0.0);
    setup.gauges.set_lists(10, 2, 1);
    setup.gauges.set_reload(true, 1_700_000_000);
    setup.clock.advance(100);
    assert_eq!(setup.value("skep_access_torrents{list=\"listed\"}"), 10.0);
    assert_eq!(setup.value("skep_access_torrents{list=\"denied\"}"), 2.0);
    assert_eq!(setup.value("skep_access_list_problems"), 1.0);
    assert_eq!(setup.value("skep_access_reload_success"), 1.0);
    assert_eq!(setup.value("skep_access_reload_time_seconds"), 1_700_000_000.0);
    assert!(setup.value("skep_process_uptime_seconds") >= 100.0);
}
