//! The configuration as the rest of the program uses it: typed, complete, without contradictions.
//!
//! Holds no default, no range and no parsing: those are in the list of options. A value of these
//! types comes from loading; the meaning and unit of each field stands with its option.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use skep_engine::limits::PEER_TTL_SECS_MAX;

use super::value::Secret;
use super::words::{
    Combine, FirstAnnounce, IpOverride, LogFormat, LogLevel, Mode, ParallelTime, PortZero,
    PrivatePeers, Scope, TlsOnHttp, TorrentAccess, UdpBackend, UnknownScrape,
};

/// A whole configuration; its default is what no source at all gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which torrents are served.
    pub mode: Mode,
    /// Sockets and threads.
    pub listen: Listen,
    /// The API.
    pub admin: Admin,
    /// Limits of HTTP connections.
    pub http: Http,
    /// Browsers.
    pub websocket: Websocket,
    /// Files for TLS.
    pub tls: TlsFiles,
    /// Announces and their answers.
    pub announce: Announce,
    /// Scrapes and their answers.
    pub scrape: Scrape,
    /// Peers in memory.
    pub swarm: Swarm,
    /// Who and what is refused.
    pub access: Access,
    /// Passkeys.
    pub keys: Keys,
    /// Reverse proxies.
    pub proxy: Proxy,
    /// Words of other trackers.
    pub compat: Compat,
    /// Where lasting things are kept.
    pub storage: Storage,
    /// What was counted, on its way there.
    pub journal: Journal,
    /// How users are counted.
    pub accounts: Accounts,
    /// Log lines.
    pub log: Log,
}

/// The addresses of one front end; none when it is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// What to bind.
    pub addresses: Vec<SocketAddr>,
    /// Whether they follow from `listen.port`, so that a host with one address family can do
    /// without the other.
    pub from_port: bool,
}

/// The `listen` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The port that `udp` and `http` follow where they name no address.
    pub port: u16,
    /// The UDP front end.
    pub udp: Listeners,
    /// The HTTP front end.
    pub http: Listeners,
    /// HTTP over TLS.
    pub https: Listeners,
    /// Whether `http` takes TLS as well.
    pub tls: TlsOnHttp,
    /// Unix sockets of the HTTP front end.
    pub http_unix: Vec<PathBuf>,
    /// Who may connect to them.
    pub http_unix_mode: u32,
    /// The operator's listener.
    pub admin: Listeners,
    /// Threads that answer; 0 for one a core.
    pub workers: u32,
    /// Key of connection ids; unset for a random one.
    pub secret: Secret,
    /// Length of a slot of connection ids.
    pub connection_id_secs: u32,
    /// How datagrams are received and sent.
    pub udp_backend: UdpBackend,
    /// Receive buffer of a UDP socket.
    pub receive_buffer_bytes: u32,
    /// Datagrams taken at once.
    pub udp_batch: u32,
}

/// The `admin` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// Who may use the API; empty for everybody on this host.
    pub tokens: Vec<AdminToken>,
}

/// A token of the API, of which only the hash is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// What the operator calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
}

/// The `http` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Longest request head.
    pub head_max_bytes: u32,
    /// Time for a request head.
    pub head_timeout_secs: u32,
    /// Time between two requests.
    pub idle_timeout_secs: u32,
    /// Time for taking an answer.
    pub write_timeout_secs: u32,
    /// Connections of the whole process.
    pub connections_max: u32,
    /// Connections of one address; 0 for no limit.
    pub connections_per_address_max: u32,
    /// Whether a plus sign in a query is itself.
    pub plus_literal: bool,
}

/// The `websocket` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Websocket {
    /// Whether browsers are served.
    pub enabled: bool,
    /// Time between two announces of a browser.
    pub interval_secs: u32,
    /// Offers of one announce that are passed on.
    pub offers_max: u32,
    /// Longest message.
    pub message_max_bytes: u32,
    /// Messages of one connection; 0 for no limit.
    pub messages_per_sec_max: u32,
    /// Torrents of one connection.
    pub torrents_per_connection_max: u32,
    /// Silence after which a browser is asked whether it is there.
    pub ping_interval_secs: u32,
    /// What may wait for one connection.
    pub send_queue_max_bytes: u32,
}

/// The `tls` section; both are named wherever TLS is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// The certificate and those that lead to its root.
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate.
    pub key: Option<PathBuf>,
}

/// The `announce` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// Time between two announces.
    pub interval_secs: u32,
    /// Least time between two announces; at most `interval_secs`.
    pub interval_min_secs: u32,
    /// Random part of the interval.
    pub interval_jitter_percent: u32,
    /// The interval at most, when it is stretched; 0 for twice `interval_secs`, else at least that.
    pub interval_max_secs: u32,
    /// Announces of the whole tracker above which it is; 0 for never.
    pub stretch_above_announces_per_sec: u32,
    /// Peers of a swarm above which it is; 0 for never.
    pub stretch_above_swarm_peers: u32,
    /// Peers for clients that name no number; at most `peers_max`.
    pub peers_default: u32,
    /// Peers at most.
    pub peers_max: u32,
    /// Whether HTTP answers carry both families.
    pub cross_family: bool,
    /// Whether HTTP answers tell the client's address.
    pub external_ip: bool,
    /// Public addresses of the tracker's own network; at most one of each family.
    pub external_addresses: Vec<IpAddr>,
    /// What happens to port 0.
    pub port_zero: PortZero,
    /// Whether a reported completion outweighs bytes left.
    pub completed_overrides_left: bool,
    /// Whether seeders get seeders.
    pub seeds_to_seeds: bool,
    /// Whose `ip` parameter is believed.
    pub ip_override: IpOverride,
    /// Who gets private addresses.
    pub private_peers: PrivatePeers,
}

impl Config {
    /// Whether any listener takes TLS.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        let Listen { http, https, tls, .. } = &self.listen;
        let detects = *tls == TlsOnHttp::Detect && !http.addresses.is_empty();
        detects || !https.addresses.is_empty()
    }
}

impl Announce {
    /// Whether intervals are ever stretched.
    #[must_use]
    pub const fn stretches(&self) -> bool {
        self.stretch_above_announces_per_sec != 0 || self.stretch_above_swarm_peers != 0
    }

    /// The longest interval that is told, but for the random part of the usual one; peers can be
    /// kept for twice as long.
    #[must_use]
    pub fn interval_longest_secs(&self) -> u32 {
        match (self.stretches(), self.interval_max_secs) {
            (false, _) => self.interval_secs,
            (true, 0) => (self.interval_secs * 2).min(PEER_TTL_SECS_MAX / 2),
            (true, max_secs) => max_secs,
        }
    }
}

/// The `scrape` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    /// Torrents of one scrape.
    pub hashes_max: u32,
    /// Whether a scrape without a hash lists all.
    pub full: bool,
    /// Torrents of a full scrape.
    pub full_max: u32,
    /// Whether names are added.
    pub names: bool,
    /// How unknown torrents are shown.
    pub unknown: UnknownScrape,
    /// Whether downloaders are counted apart.
    pub downloaders: bool,
    /// Whether the flags dictionary is added.
    pub flags: bool,
}

/// The `swarm` section; 0 means no limit where the option says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm {
    /// Silence after which a peer goes; at least twice the longest announce interval.
    pub peer_ttl_secs: u32,
    /// Time of one sweep over everything.
    pub sweep_interval_secs: u32,
    /// Whether peer ids are kept.
    pub peer_ids: bool,
    /// Peers of a torrent with one address.
    pub ports_per_address_max: u32,
    /// Peers of a torrent in one IPv6 /64.
    pub peers_per_prefix_max: u32,
    /// Torrents in memory.
    pub torrents_max: u32,
    /// Peers in memory.
    pub peers_max: u32,
    /// Memory of the process; 0 for a part of what there is.
    pub memory_max_bytes: u64,
    /// New torrents of one address.
    pub new_torrents_per_minute_max: u32,
}

/// The `access` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// How `torrents_file` is read in public mode.
    pub torrents: TorrentAccess,
    /// Listed torrents; always there when `torrents` or the mode needs it.
    pub torrents_file: Option<PathBuf>,
    /// Torrents that are refused in every mode.
    pub torrents_deny_file: Option<PathBuf>,
    /// Beginnings of served peer ids; empty for all.
    pub clients_allow: Vec<String>,
    /// Beginnings of refused peer ids.
    pub clients_deny: Vec<String>,
    /// Refused address ranges.
    pub addresses_deny: Vec<IpNet>,
    /// Whether ports of well-known services are refused.
    pub ports_reserved_deny: bool,
    /// UDP connects of one network; 0 for no limit.
    pub connects_per_minute_max: u32,
    /// Time between two looks at the files.
    pub poll_secs: u32,
}

/// The `keys` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Whether passkeys of users count as they are.
    pub plain: bool,
    /// Secret of keys for a user in one torrent.
    pub site_key: Secret,
    /// The same of XBT Tracker.
    pub xbt_private_key: Secret,
}

/// The `proxy` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Proxies that may name the client.
    pub trusted: Vec<IpNet>,
    /// The header in which they do.
    pub header: String,
    /// Proxies that speak the PROXY protocol over TCP.
    pub protocol: Vec<IpNet>,
    /// Proxies that speak it over UDP.
    pub protocol_udp: Vec<IpNet>,
}

/// The `compat` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compat {
    /// Where the routes of Chihaya are; nowhere when they are off.
    pub chihaya: Listeners,
    /// What sites must bring to use them, if anything.
    pub chihaya_token: Secret,
    /// Clients that the site has from the start, where its routes choose them.
    pub chihaya_clients: Vec<String>,
    /// Whether nothing that is downloaded counts.
    pub chihaya_freeleech: bool,
}

/// The `storage` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The name of the driver; `none` where nothing is kept.
    pub driver: String,
    /// Where the database is.
    pub url: Secret,
    /// Folder for files of the tracker's own.
    pub data_dir: PathBuf,
    /// Names of tables and columns by the driver's names for them.
    pub names: BTreeMap<String, String>,
    /// Whether the tables are the tracker's own.
    pub migrate: bool,
    /// Time between two looks at the storage; 0 for never.
    pub poll_secs: u32,
}

/// The `journal` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// How long records wait for company.
    pub commit_interval_ms: u32,
    /// Whether replies to ends of sessions and downloads wait for the disk.
    pub durable_events: bool,
    /// Memory for what is not on the disk.
    pub queue_max_bytes: u64,
    /// Length of a file.
    pub segment_bytes: u64,
    /// Length of all files; 0 for no limit.
    pub size_max_bytes: u64,
    /// Records of one transaction.
    pub batch_records_max: u32,
    /// Position before which unreadable records are given up.
    pub skip_until: u64,
}

/// The `accounts` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// What becomes of the counters of an unknown session.
    pub first_announce: FirstAnnounce,
    /// How long counters are remembered.
    pub baseline_ttl_secs: u32,
    /// Time within which an announce that says nothing new is a duplicate.
    pub duplicate_secs: u32,
    /// Time that a gap between two announces counts for at the most; never 0.
    pub gap_max_secs: u32,
    /// Traffic above which it is held; 0 for no limit.
    pub line_bytes_per_sec_max: u64,
    /// Sessions in memory.
    pub sessions_max: u32,
    /// How the time of parallel sessions adds up.
    pub parallel_time: ParallelTime,
    /// How several factors become one.
    pub combine: Combine,
}

/// The `log` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe messages.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}
