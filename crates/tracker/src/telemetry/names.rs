//! The one list of metrics: exporter and reference manual come from it.
//!
//! Says what exists and what it means; how a value is read stands in `metrics`.

use super::metrics::{self, Reader, accounts, websocket};

/// How a metric behaves over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Facts as labels of a constant 1.
    Info,
}

impl Kind {
    /// The word for documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

/// The base unit of a metric that is no plain number of things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The word at the end of the name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct MetricRow {
    /// `skep_<room>_<noun>[_<unit>][_total]`, as queries write it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// In what it is measured, unless it counts things.
    pub unit: Option<Unit>,
    /// One sentence for the operator.
    pub help: &'static str,
    /// Names of its labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// Reads its values.
    pub(super) read: Reader,
}

const TRAFFIC: &[&str] = &["transport", "family"];
const TRAFFIC_ACTION: &[&str] = &["transport", "family", "action"];

/// Every metric, sorted by name.
pub const METRICS: &[MetricRow] = &[
    MetricRow {
        name: "skep_access_list_problems",
        kind: Kind::Gauge,
        unit: None,
        help: "Lines of the torrent lists that were skipped when they were last read.",
        labels: &[],
        read: metrics::list_problems,
    },
    MetricRow {
        name: "skep_access_reload_success",
        kind: Kind::Gauge,
        unit: None,
        help: "Whether the lists could be read when they were last asked for: 1 or 0.",
        labels: &[],
        read: metrics::reload_success,
    },
    MetricRow {
        name: "skep_access_reload_time_seconds",
        kind: Kind::Gauge,
        unit: Some(Unit::Seconds),
        help: "When the lists were last asked for, in seconds since 1970; 0 for never.",
        labels: &[],
        read: metrics::reload_time,
    },
    MetricRow {
        name: "skep_access_torrents",
        kind: Kind::Gauge,
        unit: None,
        help: "Torrents in the lists in force.",
        labels: &["list"],
        read: metrics::list_torrents,
    },
    MetricRow {
        name: "skep_accounts_applied_records_total",
        kind: Kind::Counter,
        unit: None,
        help: "Records that were applied to the storage.",
        labels: &[],
        read: accounts::records,
    },
    MetricRow {
        name: "skep_accounts_apply_batches_total",
        kind: Kind::Counter,
        unit: None,
        help: "Batches of records that were applied to the storage.",
        labels: &[],
        read: accounts::batches,
    },
    MetricRow {
        name: "skep_accounts_apply_failures_total",
        kind: Kind::Counter,
        unit: None,
        help: "Attempts to apply a batch that failed.",
        labels: &[],
        read: accounts::apply_failures,
    },
    MetricRow {
        name: "skep_accounts_apply_seconds_total",
        kind: Kind::Counter,
        unit: Some(Unit::Seconds),
        help: "Time that applying batches took.",
        labels: &[],
        read: accounts::apply_seconds,
    },
    MetricRow {
        name: "skep_accounts_completions_total",
        kind: Kind::Counter,
        unit: None,
        help: "Downloads that members finished.",
        labels: &[],
        read: accounts::completions,
    },
    MetricRow {
        name: "skep_accounts_counter_resets_total",
        kind: Kind::Counter,
        unit: None,
        help: "Announces whose counters were lower than the last ones of the session.",
        labels: &[],
        read: accounts::resets,
    },
    MetricRow {
        name: "skep_accounts_duplicate_announces_total",
        kind: Kind::Counter,
        unit: None,
        help: "Announces that repeated what was known, such as by the client's other address.",
        labels: &[],
        read: accounts::duplicates,
    },
    MetricRow {
        name: "skep_accounts_given_up_records_total",
        kind: Kind::Counter,
        unit: None,
        help: "Records that nobody could read and an operator gave up.",
        labels: &[],
        read: accounts::given_up,
    },
    MetricRow {
        name: "skep_accounts_held_announces_total",
        kind: Kind::Counter,
        unit: None,
        help: "Announces whose traffic was held for a decision.",
        labels: &[],
        read: accounts::held,
    },
    MetricRow {
        name: "skep_accounts_not_kept_announces_total",
        kind: Kind::Counter,
        unit: None,
        help: "Announces that were not counted, since there was no room for their session.",
        labels: &[],
        read: accounts::not_kept,
    },
    MetricRow {
        name: "skep_accounts_oldest_unapplied_seconds",
        kind: Kind::Gauge,
        unit: Some(Unit::Seconds),
        help: "Age of the oldest record that the storage does not have; 0 if it has all.",
        labels: &[],
        read: accounts::oldest,
    },
    MetricRow {
        name: "skep_accounts_refused_records_total",
        kind: Kind::Counter,
        unit: None,
        help: "Records that the storage refused for good, and that were written to refused.jsonl.",
        labels: &[],
        read: accounts::refused,
    },
    MetricRow {
        name: "skep_accounts_sessions",
        kind: Kind::Gauge,
        unit: None,
        help: "Sessions in memory: open ones, and ended ones that are remembered.",
        labels: &["state"],
        read: accounts::sessions,
    },
    MetricRow {
        name: "skep_accounts_stuck",
        kind: Kind::Gauge,
        unit: None,
        help: "Whether nothing can be applied to the storage: 1 or 0.",
        labels: &[],
        read: accounts::stuck,
    },
    MetricRow {
        name: "skep_accounts_unconfirmed_total",
        kind: Kind::Counter,
        unit: None,
        help: "Waits for the disk that ended without the record on it.",
        labels: &[],
        read: accounts::unconfirmed,
    },
    MetricRow {
        name: "skep_accounts_untaken_deltas_total",
        kind: Kind::Counter,
        unit: None,
        help: "Deltas that the journal did not take; what they counted comes again with the next announce.",
        labels: &["reason"],
        read: accounts::untaken,
    },
    MetricRow {
        name: "skep_build_info",
        kind: Kind::Info,
        unit: None,
        help: "Which build this is.",
        labels: &["version"],
        read: metrics::build,
    },
    MetricRow {
        name: "skep_http_connections",
        kind: Kind::Gauge,
        unit: None,
        help: "HTTP connections of clients that are open now.",
        labels: &[],
        read: metrics::http_connections,
    },
    MetricRow {
        name: "skep_http_error_statuses_total",
        kind: Kind::Counter,
        unit: None,
        help: "HTTP answers whose status is an error, by its code.",
        labels: &["family", "code"],
        read: metrics::error_statuses,
    },
    MetricRow {
        name: "skep_journal_bytes",
        kind: Kind::Gauge,
        unit: Some(Unit::Bytes),
        help: "Length of the journal on the disk, and of what waits for it in memory.",
        labels: &["place"],
        read: accounts::journal_bytes,
    },
    MetricRow {
        name: "skep_journal_commits_total",
        kind: Kind::Counter,
        unit: None,
        help: "Batches that were written to the disk and confirmed by it.",
        labels: &[],
        read: accounts::commits,
    },
    MetricRow {
        name: "skep_journal_failing",
        kind: Kind::Gauge,
        unit: None,
        help: "Whether the disk takes nothing or the journal is as long as it may be: 1 or 0.",
        labels: &[],
        read: accounts::journal_failing,
    },
    MetricRow {
        name: "skep_journal_position",
        kind: Kind::Gauge,
        unit: None,
        help: "Position behind the last record that was appended, is on the disk, or is in the storage.",
        labels: &["stage"],
        read: accounts::positions,
    },
    MetricRow {
        name: "skep_journal_write_failures_total",
        kind: Kind::Counter,
        unit: None,
        help: "Attempts to write to the disk that failed.",
        labels: &[],
        read: accounts::write_failures,
    },
    MetricRow {
        name: "skep_memory_budget_bytes",
        kind: Kind::Gauge,
        unit: Some(Unit::Bytes),
        help: "Memory that the process may use before swarms keep less.",
        labels: &[],
        read: metrics::memory_budget,
    },
    MetricRow {
        name: "skep_memory_pressure",
        kind: Kind::Gauge,
        unit: None,
        help: "How short memory is: 0 not at all; 1 silent peers go earlier; 2 large swarms keep a sample; 3 nothing grows.",
        labels: &[],
        read: metrics::memory_pressure,
    },
    MetricRow {
        name: "skep_memory_used_bytes",
        kind: Kind::Gauge,
        unit: Some(Unit::Bytes),
        help: "Memory that the process uses, without what the allocator keeps for later.",
        labels: &[],
        read: metrics::memory_used,
    },
    MetricRow {
        name: "skep_process_cpu_seconds_total",
        kind: Kind::Counter,
        unit: Some(Unit::Seconds),
        help: "Processor time used, by user and system together (Linux).",
        labels: &[],
        read: metrics::process_cpu,
    },
    MetricRow {
        name: "skep_process_open_files",
        kind: Kind::Gauge,
        unit: None,
        help: "Files and sockets that are open now (Linux).",
        labels: &[],
        read: metrics::process_open_files,
    },
    MetricRow {
        name: "skep_process_resident_memory_bytes",
        kind: Kind::Gauge,
        unit: Some(Unit::Bytes),
        help: "Memory that the process occupies (Linux).",
        labels: &[],
        read: metrics::process_memory,
    },
    MetricRow {
        name: "skep_process_uptime_seconds",
        kind: Kind::Gauge,
        unit: Some(Unit::Seconds),
        help: "Time since the process began.",
        labels: &[],
        read: metrics::uptime,
    },
    MetricRow {
        name: "skep_swarm_completions_total",
        kind: Kind::Counter,
        unit: None,
        help: "Finished downloads that were reported and counted.",
        labels: &[],
        read: metrics::completions,
    },
    MetricRow {
        name: "skep_swarm_peers",
        kind: Kind::Gauge,
        unit: None,
        help: "Peers in memory; a client in two torrents counts twice. The scope says who can reach them, which is `webrtc` for browsers of any family.",
        labels: &["family", "scope", "class"],
        read: metrics::peers,
    },
    MetricRow {
        name: "skep_swarm_peers_expired_total",
        kind: Kind::Counter,
        unit: None,
        help: "Peers that were removed because they fell silent.",
        labels: &[],
        read: metrics::peers_expired,
    },
    MetricRow {
        name: "skep_swarm_torrents",
        kind: Kind::Gauge,
        unit: None,
        help: "Torrents in memory, with or without peers.",
        labels: &[],
        read: metrics::torrents,
    },
    MetricRow {
        name: "skep_tls_certificate_expiry_time_seconds",
        kind: Kind::Gauge,
        unit: Some(Unit::Seconds),
        help: "When the certificate in force ends, in seconds since 1970; 0 without TLS.",
        labels: &[],
        read: metrics::certificate_expiry,
    },
    MetricRow {
        name: "skep_tls_handshakes_total",
        kind: Kind::Counter,
        unit: None,
        help: "TLS handshakes, by how they ended.",
        labels: &["result"],
        read: metrics::tls_handshakes,
    },
    MetricRow {
        name: "skep_tls_reload_success",
        kind: Kind::Gauge,
        unit: None,
        help: "Whether the certificate and its key could be used when they were last read: 1 or 0; 0 without TLS.",
        labels: &[],
        read: metrics::certificate_reload_success,
    },
    MetricRow {
        name: "skep_traffic_announces_not_stored_total",
        kind: Kind::Counter,
        unit: None,
        help: "Announces that were answered but not stored because a bound was reached.",
        labels: TRAFFIC,
        read: metrics::not_stored,
    },
    MetricRow {
        name: "skep_traffic_announces_stretched_total",
        kind: Kind::Counter,
        unit: None,
        help: "Announces that were answered with a longer interval, for load or for the size of the swarm.",
        labels: TRAFFIC,
        read: metrics::stretched,
    },
    MetricRow {
        name: "skep_traffic_answers_total",
        kind: Kind::Counter,
        unit: None,
        help: "Answers that were no errors.",
        labels: TRAFFIC_ACTION,
        read: metrics::answers,
    },
    MetricRow {
        name: "skep_traffic_drops_total",
        kind: Kind::Counter,
        unit: None,
        help: "Requests and connections that got no answer, by reason.",
        labels: &["transport", "family", "reason"],
        read: metrics::drops,
    },
    MetricRow {
        name: "skep_traffic_errors_total",
        kind: Kind::Counter,
        unit: None,
        help: "Error answers, by violation of the protocol or by refusal of a gate.",
        labels: &["transport", "family", "kind"],
        read: metrics::errors,
    },
    MetricRow {
        name: "skep_traffic_interval_delay_seconds",
        kind: Kind::Gauge,
        unit: Some(Unit::Seconds),
        help: "Time that load adds to the announce interval of every swarm.",
        labels: &[],
        read: metrics::interval_delay,
    },
    MetricRow {
        name: "skep_traffic_peers_sent_total",
        kind: Kind::Counter,
        unit: None,
        help: "Peers in answers to announces.",
        labels: TRAFFIC,
        read: metrics::peers_sent,
    },
    MetricRow {
        name: "skep_traffic_received_bytes_total",
        kind: Kind::Counter,
        unit: Some(Unit::Bytes),
        help: "Bytes received, without the headers of UDP, TCP and IP.",
        labels: TRAFFIC,
        read: metrics::received_bytes,
    },
    MetricRow {
        name: "skep_traffic_requests_total",
        kind: Kind::Counter,
        unit: None,
        help: "Requests that were understood.",
        labels: TRAFFIC_ACTION,
        read: metrics::requests,
    },
    MetricRow {
        name: "skep_traffic_sent_bytes_total",
        kind: Kind::Counter,
        unit: Some(Unit::Bytes),
        help: "Bytes sent, without the headers of UDP, TCP and IP.",
        labels: TRAFFIC,
        read: metrics::sent_bytes,
    },
    MetricRow {
        name: "skep_udp_kernel_drops_total",
        kind: Kind::Counter,
        unit: None,
        help: "Datagrams that the kernel dropped because a receive buffer was full.",
        labels: &[],
        read: metrics::kernel_drops,
    },
    MetricRow {
        name: "skep_websocket_connections",
        kind: Kind::Gauge,
        unit: None,
        help: "Connections of browsers that are open now.",
        labels: &[],
        read: websocket::connections,
    },
    MetricRow {
        name: "skep_websocket_cuts_total",
        kind: Kind::Counter,
        unit: None,
        help: "Connections of browsers that the tracker ended, by its reason.",
        labels: &["reason"],
        read: websocket::cuts,
    },
    MetricRow {
        name: "skep_websocket_messages_total",
        kind: Kind::Counter,
        unit: None,
        help: "Offers and answers from browser to browser: passed on, answers to no offer, or lost \
               because the other one was gone or took too little.",
        labels: &["outcome"],
        read: websocket::messages,
    },
];
