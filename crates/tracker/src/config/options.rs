//! The one list of options: key, kind, default, aliases, reload and meaning of each.
//!
//! Holds rows only. Parsing, flags, environment names, the manual, the sample file and the schema
//! are derived from them elsewhere, so that no fact about an option is written twice.

use super::words::{
    Combine, FirstAnnounce, IpOverride, LogFormat, LogLevel, Mode, ParallelTime, PortZero,
    PrivatePeers, TlsOnHttp, TorrentAccess, UdpBackend, UnknownScrape,
};

/// One option of the configuration.
#[derive(Debug)]
pub struct OptionRow {
    /// The section, a dot, and the name with its unit; `mode` alone has no section.
    pub key: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its value when nobody sets it.
    pub initial: Initial,
    /// Whether a running tracker takes a new value.
    pub reload: Reload,
    /// Other names of this option on the command line and in the environment.
    pub aliases: &'static [Alias],
    /// Meaning, unit and cost, one sentence each; the first stands alone in the help text.
    pub doc: &'static [&'static str],
}

/// What values an option takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Integer {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
    },
    /// Text without control characters.
    Text,
    /// Text that is never shown again.
    Secret,
    /// The path of a file; empty for none.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of socket addresses, or the word `off` alone.
    Sockets,
    /// A list of address ranges.
    Networks,
}

impl Kind {
    /// Returns whether a flag of this kind may stand without a value.
    pub(crate) const fn is_bool(self) -> bool {
        matches!(self, Self::Bool)
    }
}

/// The value of an option that nobody sets.
#[derive(Debug, Clone, Copy)]
pub enum Initial {
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Integer`].
    Integer(u64),
    /// For texts, secrets, paths and choices.
    Text(&'static str),
    /// For all lists.
    List(&'static [&'static str]),
}

/// Whether a running tracker takes a new value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// SIGHUP is enough.
    Live,
    /// The tracker must be started again.
    Restart,
}

/// Another name for an option, kept for users of other trackers.
#[derive(Debug)]
pub struct Alias {
    /// Names on the command line, without dashes.
    pub flags: &'static [&'static str],
    /// A name in the environment.
    pub variable: Option<&'static str>,
    /// The value that the mere name stands for; without one the name takes a value.
    pub implies: Option<&'static str>,
}

impl OptionRow {
    /// Returns the section and the name; the section is empty for `mode`.
    pub fn section_and_name(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }

    /// Returns the name of this option in the environment.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_START}{}", self.key.replace('.', "__").to_ascii_uppercase())
    }

    const fn aliases(mut self, aliases: &'static [Alias]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// How the names of options begin in the environment.
pub(crate) const VARIABLE_START: &str = "SKEP__";

/// Returns the place of an option in [`OPTIONS`].
pub fn position(key: &str) -> Option<usize> {
    OPTIONS.iter().position(|option| option.key == key)
}

/// Returns the sections in the order of [`OPTIONS`], the nameless first one included.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = OPTIONS.iter().map(|option| option.section_and_name().0).collect();
    sections.dedup();
    sections
}

const fn row(
    key: &'static str,
    kind: Kind,
    initial: Initial,
    reload: Reload,
    doc: &'static [&'static str],
) -> OptionRow {
    OptionRow { key, kind, initial, reload, aliases: &[], doc }
}

const fn integer(min: u32, max: u32) -> Kind {
    Kind::Integer { min: min as u64, max: max as u64 }
}

const WHITELIST_FLAGS: &[&str] = &["whitelist", "w"];
const WHITELIST_VARIABLE: Option<&str> = Some("PICO_TRACKER__WHITELIST");

/// Every option, by section.
pub const OPTIONS: &[OptionRow] = &[
    row(
        "mode",
        Kind::Choice(Mode::WORDS),
        Initial::Text("public"),
        Reload::Restart,
        &[
            "Which torrents are served.",
            "public: any torrent, within the access lists.",
            "registered: only torrents of access.torrents_file, whose lines may name a torrent \
             or ban it, and those that the site knows.",
            "private: only torrents that the site knows, and only for its users, who are known by \
             the passkey in the announce URL.",
        ],
    ),
    row(
        "listen.port",
        integer(0, 65_535),
        Initial::Integer(1337),
        Reload::Restart,
        &[
            "Port of UDP and HTTP on 0.0.0.0 and [::].",
            "0 takes any free port.",
            "It has no effect where listen.udp and listen.http name addresses.",
        ],
    )
    .aliases(&[Alias {
        flags: &["port", "p"],
        variable: Some("PICO_TRACKER__PORT"),
        implies: None,
    }]),
    row(
        "listen.udp",
        Kind::Sockets,
        Initial::List(&[]),
        Reload::Restart,
        &[
            "Addresses of the UDP front end, at most 8.",
            "Empty: listen.port on 0.0.0.0 and [::]; [\"off\"]: no UDP.",
        ],
    ),
    row(
        "listen.http",
        Kind::Sockets,
        Initial::List(&[]),
        Reload::Restart,
        &[
            "Addresses of the HTTP front end.",
            "Empty: listen.port on 0.0.0.0 and [::]; [\"off\"]: no HTTP.",
        ],
    ),
    row(
        "listen.https",
        Kind::Sockets,
        Initial::List(&[]),
        Reload::Restart,
        &[
            "Addresses of HTTP over TLS, such as 0.0.0.0:443 and [::]:443.",
            "Empty or [\"off\"]: none.",
            "They need tls.certificate and tls.key.",
        ],
    ),
    row(
        "listen.tls",
        Kind::Choice(TlsOnHttp::WORDS),
        Initial::Text("off"),
        Reload::Restart,
        &[
            "Whether the addresses of listen.http take TLS as well.",
            "off: they do not.",
            "detect: the first byte of a connection tells; tls.certificate and tls.key are needed.",
        ],
    ),
    row(
        "listen.http_unix",
        Kind::Texts,
        Initial::List(&[]),
        Reload::Restart,
        &[
            "Paths of unix sockets of the HTTP front end, for proxies on this host.",
            "Whoever connects there counts as a proxy in proxy.trusted: the header of proxy.header \
             must name the client.",
            "A socket on which nobody listens any more is replaced; it is removed at the end.",
        ],
    ),
    row(
        "listen.http_unix_mode",
        Kind::Text,
        Initial::Text("0660"),
        Reload::Restart,
        &[
            "Mode of the files of listen.http_unix in octal digits.",
            "Whoever may write to one may announce the address of anybody.",
        ],
    ),
    row(
        "listen.admin",
        Kind::Sockets,
        Initial::List(&["127.0.0.1:1338"]),
        Reload::Restart,
        &[
            "Addresses of the metrics and of everything else that is for the operator alone.",
            "Metrics ask for no password, so keep them away from strangers.",
            "Empty or [\"off\"]: no such listener.",
        ],
    ),
    row(
        "listen.workers",
        integer(0, 256),
        Initial::Integer(0),
        Reload::Restart,
        &[
            "Threads that answer requests, each with its own sockets.",
            "0: one for each core.",
            "More than one for each core cost memory and gain nothing.",
        ],
    )
    .aliases(&[Alias { flags: &["maxprocs"], variable: None, implies: None }]),
    row(
        "listen.secret",
        Kind::Secret,
        Initial::Text(""),
        Reload::Restart,
        &[
            "Key of the connection ids of UDP.",
            "Empty: a random one at each start.",
            "A fixed one lets clients keep their ids over a restart, and is shared by trackers \
             behind one address.",
            "Who knows it can forge source addresses.",
        ],
    )
    .aliases(&[Alias {
        flags: &["secret", "s"],
        variable: Some("PICO_TRACKER__SECRET"),
        implies: None,
    }]),
    row(
        "listen.connection_id_secs",
        integer(120, 3600),
        Initial::Integer(120),
        Reload::Restart,
        &[
            "Length in seconds of the time slot in which a UDP connection id is made.",
            "An id is accepted in its own slot and in the next one, so for one to two slots.",
            "BEP 15 asks for two minutes; old clients keep ids for longer.",
            "A longer slot lets an overheard id be used for longer.",
        ],
    ),
    row(
        "listen.udp_backend",
        Kind::Choice(UdpBackend::WORDS),
        Initial::Text("auto"),
        Reload::Restart,
        &[
            "How datagrams are received and sent.",
            "auto: the fastest one that this system has.",
            "mmsg: many datagrams with one system call (Linux).",
            "std: one datagram with each system call, on any system.",
        ],
    ),
    row(
        "listen.receive_buffer_bytes",
        integer(65_536, 1_073_741_824),
        Initial::Integer(8_388_608),
        Reload::Restart,
        &[
            "Receive buffer in bytes that each UDP socket asks for.",
            "The kernel may give less (net.core.rmem_max); what does not fit is lost.",
            "A larger one rides out longer bursts and costs that much kernel memory for each \
             worker and address.",
        ],
    ),
    row(
        "listen.udp_batch",
        integer(1, 1024),
        Initial::Integer(64),
        Reload::Restart,
        &[
            "Datagrams that a worker takes from a socket at once.",
            "More save system calls under load and cost about 10 KiB of memory each for each \
             worker.",
        ],
    ),
    row(
        "admin.tokens",
        Kind::Texts,
        Initial::List(&[]),
        Reload::Live,
        &[
            "Tokens of the API under listen.admin, each as name:scope+scope:hash; skep token makes them.",
            "Scopes are read, write, bans, reload, trace and users:passkeys.",
            "Empty: no token is asked for, only programs on this host may use the API, and passkeys are \
             shown to nobody.",
            "Give tokens where a proxy leads to listen.admin: one that adds no header to requests of \
             strangers cannot be told from a program on this host.",
        ],
    ),
    row(
        "http.head_max_bytes",
        integer(8192, 65_536),
        Initial::Integer(16_384),
        Reload::Restart,
        &[
            "Longest HTTP request head in bytes.",
            "A longer one is refused: with status 414 when its first line alone is too long, else \
             with 431.",
            "It is the memory that one connection of a stranger may hold.",
        ],
    ),
    row(
        "http.head_timeout_secs",
        integer(1, 60),
        Initial::Integer(5),
        Reload::Restart,
        &[
            "Seconds in which a request head must arrive once it began.",
            "A new connection must begin one within the same time.",
            "A longer time lets slow clients hold connections for longer.",
        ],
    ),
    row(
        "http.idle_timeout_secs",
        integer(1, 3600),
        Initial::Integer(30),
        Reload::Restart,
        &[
            "Seconds that a connection may wait for its next request.",
            "A longer time saves handshakes and holds more connections.",
        ],
    ),
    row(
        "http.write_timeout_secs",
        integer(1, 60),
        Initial::Integer(5),
        Reload::Restart,
        &[
            "Seconds in which a client must take the next part of its answer.",
            "A long answer may take longer in all, at no less than 64 KiB a second.",
        ],
    ),
    row(
        "http.connections_max",
        integer(1, 10_000_000),
        Initial::Integer(65_536),
        Reload::Restart,
        &[
            "HTTP connections of the whole process.",
            "More are closed at once.",
            "Each needs an open file and up to http.head_max_bytes of memory.",
        ],
    ),
    row(
        "http.connections_per_address_max",
        integer(0, 10_000_000),
        Initial::Integer(512),
        Reload::Restart,
        &[
            "HTTP connections of one IPv4 address or one IPv6 /64; 0 for no limit.",
            "More are closed at once, so that no stranger can take all of http.connections_max.",
            "Customers behind one carrier-grade NAT share it; proxies in proxy.trusted are exempt.",
        ],
    ),
    row(
        "http.plus_literal",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Restart,
        &[
            "Reads a plus sign in a query as itself instead of as a space.",
            "Only clients that do not escape plus signs in hashes need it.",
        ],
    ),
    row(
        "tls.certificate",
        Kind::Path,
        Initial::Text(""),
        Reload::Live,
        &[
            "PEM file with the certificate of this host and, behind it, those that lead to its \
             root.",
            "It is read again on SIGHUP, and when it or tls.key changes; open connections stay.",
            "Files that do not fit keep the tracker from starting; a running one keeps the old \
             ones.",
        ],
    ),
    row(
        "tls.key",
        Kind::Path,
        Initial::Text(""),
        Reload::Live,
        &[
            "PEM file with the private key of tls.certificate.",
            "Let nobody but the tracker read it.",
            "A key for ECDSA on P-256 makes handshakes several times cheaper than one for RSA.",
        ],
    ),
    row(
        "websocket.enabled",
        Kind::Bool,
        Initial::Bool(true),
        Reload::Live,
        &[
            "Whether browsers are served: WebSocket on the addresses of the HTTP front end.",
            "Peers of browsers and those of other clients cannot reach each other and never meet.",
        ],
    ),
    row(
        "websocket.interval_secs",
        integer(30, 750),
        Initial::Integer(120),
        Reload::Live,
        &[
            "Seconds between two announces of a browser.",
            "Each announce brings new offers and takes those of others, so a shorter time finds \
             peers sooner and costs more.",
        ],
    ),
    row(
        "websocket.offers_max",
        integer(0, 20),
        Initial::Integer(20),
        Reload::Live,
        &[
            "Offers of one announce that are passed on; clients send 5 to 10.",
            "0 passes none on: browsers find nobody.",
        ],
    ),
    row(
        "websocket.message_max_bytes",
        integer(4096, 1_048_576),
        Initial::Integer(131_072),
        Reload::Live,
        &[
            "Longest message of a browser in bytes; a longer one ends its connection with code 1009.",
            "It is the memory that one connection of a stranger may hold.",
        ],
    ),
    row(
        "websocket.messages_per_sec_max",
        integer(0, 10_000),
        Initial::Integer(50),
        Reload::Live,
        &[
            "Messages a second that one connection may send in the long run; four times as many may \
             come at once.",
            "A connection that sends more is closed with code 1008; 0: no limit.",
        ],
    ),
    row(
        "websocket.torrents_per_connection_max",
        integer(1, 100_000),
        Initial::Integer(2000),
        Reload::Live,
        &[
            "Torrents that one connection may announce.",
            "Each takes 40 bytes of memory besides the peer itself.",
        ],
    ),
    row(
        "websocket.ping_interval_secs",
        integer(5, 600),
        Initial::Integer(30),
        Reload::Live,
        &[
            "Seconds of silence after which a browser is asked whether it is still there.",
            "One that leaves two such questions without an answer is gone.",
            "Reverse proxies close connections that are silent for a minute or so; keep it below \
             that.",
        ],
    ),
    row(
        "websocket.send_queue_max_bytes",
        integer(65_536, 67_108_864),
        Initial::Integer(1_048_576),
        Reload::Live,
        &[
            "Bytes that wait for one connection to take them; a slower reader is cut off.",
            "It is cut off as well when it takes nothing for http.write_timeout_secs.",
        ],
    ),
    row(
        "announce.interval_secs",
        integer(60, 32_400),
        Initial::Integer(1800),
        Reload::Live,
        &[
            "Seconds that clients are told to wait between two announces.",
            "Half of it doubles the requests; lists of public trackers want 300 to 10800.",
        ],
    ),
    row(
        "announce.interval_min_secs",
        integer(1, 32_400),
        Initial::Integer(900),
        Reload::Live,
        &[
            "Seconds that clients are told to wait at least, even when they want more peers.",
            "At most announce.interval_secs; not set, it becomes half of that where 900 is too \
             long.",
        ],
    ),
    row(
        "announce.interval_jitter_percent",
        integer(0, 50),
        Initial::Integer(10),
        Reload::Live,
        &[
            "Percent by which each interval is made longer or shorter at random.",
            "It keeps clients that came together from coming together for ever.",
        ],
    ),
    row(
        "announce.interval_max_secs",
        integer(0, 32_400),
        Initial::Integer(0),
        Reload::Live,
        &[
            "Seconds that clients are told to wait at most, where intervals are stretched.",
            "0: twice announce.interval_secs; else it is at least that.",
            "Nothing is stretched unless announce.stretch_above_announces_per_sec or \
             announce.stretch_above_swarm_peers is set.",
            "Peers are then kept for at least twice this time, dead ones too: nobody who comes as \
             told is removed.",
        ],
    ),
    row(
        "announce.stretch_above_announces_per_sec",
        integer(0, 100_000_000),
        Initial::Integer(0),
        Reload::Live,
        &[
            "Announces a second, over the whole tracker, above which all intervals are stretched.",
            "They become as long as it takes to come down to that many, but no longer than \
             announce.interval_max_secs.",
            "0: never.",
            "Set it to about two thirds of what the machine can answer.",
        ],
    ),
    row(
        "announce.stretch_above_swarm_peers",
        integer(0, 100_000_000),
        Initial::Integer(0),
        Reload::Live,
        &[
            "Peers of a swarm above which its intervals are stretched.",
            "With twice as many peers they are twice as long, but no longer than \
             announce.interval_max_secs.",
            "0: never.",
            "In large swarms clients find enough peers without coming as often.",
        ],
    ),
    row(
        "announce.peers_default",
        integer(0, 1000),
        Initial::Integer(50),
        Reload::Live,
        &[
            "Peers that a client gets which names no number.",
            "At most announce.peers_max; not set, it becomes that where 50 is too many.",
            "Each costs 6 or 18 bytes of every such answer.",
        ],
    ),
    row(
        "announce.peers_max",
        integer(1, 1000),
        Initial::Integer(200),
        Reload::Live,
        &[
            "Peers that a client gets at most.",
            "UDP answers are cut further to what one packet holds.",
            "Each costs 6 or 18 bytes of an answer to those who ask for many.",
        ],
    ),
    row(
        "announce.cross_family",
        Kind::Bool,
        Initial::Bool(true),
        Reload::Live,
        &["Gives HTTP clients the peers of the other address family too (BEP 7)."],
    ),
    row(
        "announce.external_ip",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &[
            "Tells HTTP clients the address they came from (BEP 24).",
            "Clients on the tracker's own network are told announce.external_addresses instead, \
             where that is set.",
        ],
    ),
    row(
        "announce.external_addresses",
        Kind::Texts,
        Initial::List(&[]),
        Reload::Live,
        &[
            "Public addresses of the tracker's own network: one IPv4 address, one IPv6 address, \
             or one of each.",
            "Clients with a loopback or private address of that family are handed out with it, \
             as a seeder on the tracker's host must be.",
            "Their ports must be reachable there: all of them share that address, and \
             swarm.ports_per_address_max counts them together.",
            "Empty: such clients are handed out as announce.private_peers says.",
        ],
    ),
    row(
        "announce.port_zero",
        Kind::Choice(PortZero::WORDS),
        Initial::Text("refuse"),
        Reload::Live,
        &[
            "What happens to an announce with port 0.",
            "refuse: it fails.",
            "unlisted: it is answered, and the client is not handed to others.",
        ],
    ),
    row(
        "announce.completed_overrides_left",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &["Takes a client that reports a completed download for a seeder although bytes are left."],
    ),
    row(
        "announce.seeds_to_seeds",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &[
            "Gives seeders other seeders as well.",
            "They have nothing to exchange, so it costs traffic alone.",
        ],
    ),
    row(
        "announce.ip_override",
        Kind::Choice(IpOverride::WORDS),
        Initial::Text("off"),
        Reload::Live,
        &[
            "Whose ip parameter is believed.",
            "off: nobody's.",
            "local: that of clients with a loopback or private address, such as a seeder on the \
             tracker's host.",
        ],
    ),
    row(
        "announce.private_peers",
        Kind::Choice(PrivatePeers::WORDS),
        Initial::Text("match"),
        Reload::Restart,
        &[
            "Who is given peers with private addresses.",
            "match: clients with a private address themselves.",
            "always: everybody.",
            "never: nobody.",
        ],
    ),
    row(
        "scrape.hashes_max",
        integer(1, 1000),
        Initial::Integer(100),
        Reload::Live,
        &[
            "Torrents that one scrape may ask for.",
            "UDP requests are cut further to what one packet holds.",
        ],
    ),
    row(
        "scrape.full",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &[
            "Answers an HTTP scrape without a hash with all torrents.",
            "Everybody can then list what is served, with an answer of 70 bytes and more a \
             torrent.",
        ],
    ),
    row(
        "scrape.full_max",
        integer(1, 10_000_000),
        Initial::Integer(100_000),
        Reload::Live,
        &[
            "Torrents in a full scrape at most.",
            "Each costs 70 bytes and more of memory meanwhile.",
        ],
    ),
    row(
        "scrape.names",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &["Adds the names of torrents to HTTP scrapes, where access.torrents_file gives them."],
    ),
    row(
        "scrape.unknown",
        Kind::Choice(UnknownScrape::WORDS),
        Initial::Text("zeros"),
        Reload::Live,
        &[
            "How an HTTP scrape shows a torrent that is not known.",
            "zeros: with counts of zero.",
            "omit: not at all, and with a failure when nothing is left.",
        ],
    ),
    row(
        "scrape.downloaders",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &["Adds the count of clients that really download to HTTP scrapes (BEP 21)."],
    ),
    row(
        "scrape.flags",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &["Adds the flags dictionary with min_request_interval to HTTP scrapes."],
    ),
    row(
        "swarm.peer_ttl_secs",
        integer(60, 64_800),
        Initial::Integer(3600),
        Reload::Live,
        &[
            "Seconds of silence after which a peer is removed.",
            "Raised to twice announce.interval_secs, and to 1500, where it is lower.",
            "Where intervals are stretched, it is raised to twice announce.interval_max_secs.",
            "A reload that lowers it takes effect when the longer time is over, so that clients \
             that were told the longer interval can come back.",
            "A longer time keeps more dead peers in memory and in answers.",
        ],
    ),
    row(
        "swarm.sweep_interval_secs",
        integer(1, 1800),
        Initial::Integer(60),
        Reload::Live,
        &[
            "Seconds in which all torrents are looked through once for silent peers.",
            "A shorter time costs CPU; a longer one keeps dead peers for longer.",
        ],
    ),
    row(
        "swarm.peer_ids",
        Kind::Bool,
        Initial::Bool(true),
        Reload::Restart,
        &[
            "Keeps the peer_id of each peer.",
            "Without them a peer needs 20 bytes less, and answers that are not compact carry none.",
        ],
    ),
    row(
        "swarm.ports_per_address_max",
        integer(0, 64),
        Initial::Integer(8),
        Reload::Restart,
        &[
            "Peers of one torrent with the same address.",
            "0: no limit.",
            "More let one host count for more, and let more clients behind one NAT in.",
        ],
    ),
    row(
        "swarm.peers_per_prefix_max",
        integer(0, 64),
        Initial::Integer(16),
        Reload::Restart,
        &["Peers of one torrent in the same IPv6 /64.", "0: no limit."],
    ),
    row(
        "swarm.torrents_max",
        integer(1, 1_000_000_000),
        Initial::Integer(20_000_000),
        Reload::Live,
        &[
            "Torrents in memory, in the whole process.",
            "Further ones are answered and not kept, unless one without peers makes room.",
            "A torrent with one peer costs about 100 bytes.",
        ],
    ),
    row(
        "swarm.peers_max",
        integer(1, 1_000_000_000),
        Initial::Integer(100_000_000),
        Reload::Live,
        &[
            "Peers in memory.",
            "Further ones are answered and not kept.",
            "A peer costs 10 to 50 bytes beside its torrent.",
        ],
    ),
    row(
        "swarm.memory_max_bytes",
        Kind::Integer { min: 0, max: 1 << 50 },
        Initial::Integer(0),
        Reload::Restart,
        &[
            "Memory of the process in bytes, as far as it is not a few megabytes of code and stacks.",
            "0: 80 percent of what the machine or its container has.",
            "As it fills, silent peers go earlier and large swarms keep a sample of their peers.",
            "When it is full, new torrents are answered but not stored.",
        ],
    ),
    row(
        "swarm.new_torrents_per_minute_max",
        integer(0, 1_000_000),
        Initial::Integer(3000),
        Reload::Restart,
        &[
            "Torrents a minute that one IPv4 address or IPv6 /48 may bring, counted by each \
             worker of each transport on its own.",
            "0: no limit.",
            "Who comes to all workers brings that many times as much: the bound on memory is \
             swarm.torrents_max.",
        ],
    ),
    row(
        "access.torrents",
        Kind::Choice(TorrentAccess::WORDS),
        Initial::Text("open"),
        Reload::Live,
        &[
            "How access.torrents_file is read in public mode.",
            "open: it is not.",
            "allow: only its torrents are served.",
            "deny: its torrents are refused.",
        ],
    )
    .aliases(&[Alias {
        flags: WHITELIST_FLAGS,
        variable: WHITELIST_VARIABLE,
        implies: Some("allow"),
    }]),
    row(
        "access.torrents_file",
        Kind::Path,
        Initial::Text(""),
        Reload::Live,
        &[
            "File of torrents, one info_hash of 40 hexadecimal digits a line.",
            "Free text may follow a hash; # begins a comment; 64 digits are cut to 40.",
            "Read again on SIGHUP, and when it changed and stayed as it was for one more look.",
            "Write a new one beside it and rename it, so that nobody reads half a list.",
        ],
    )
    .aliases(&[Alias { flags: WHITELIST_FLAGS, variable: WHITELIST_VARIABLE, implies: None }]),
    row(
        "access.torrents_deny_file",
        Kind::Path,
        Initial::Text(""),
        Reload::Live,
        &[
            "File of torrents that are refused in every mode.",
            "Written like access.torrents_file, and read again like it.",
        ],
    ),
    row(
        "access.clients_allow",
        Kind::Texts,
        Initial::List(&[]),
        Reload::Live,
        &[
            "Beginnings of the peer_id of clients that are served, such as -TR.",
            "Empty: all.",
            "Clients can lie about it, so it keeps honest ones away and nobody else.",
        ],
    ),
    row(
        "access.clients_deny",
        Kind::Texts,
        Initial::List(&[]),
        Reload::Live,
        &["Beginnings of the peer_id of clients that are refused."],
    ),
    row(
        "access.addresses_deny",
        Kind::Networks,
        Initial::List(&[]),
        Reload::Live,
        &["Address ranges that are refused, such as 192.0.2.0/24 or 2001:db8::/32."],
    ),
    row(
        "access.ports_reserved_deny",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Live,
        &[
            "Refuses announces with the port of a well-known service.",
            "It keeps the tracker from pointing swarms at mail servers and the like.",
        ],
    ),
    row(
        "access.connects_per_minute_max",
        integer(0, 1_000_000),
        Initial::Integer(0),
        Reload::Restart,
        &[
            "UDP connects a minute of one IPv4 /24 or IPv6 /48, counted by each worker.",
            "0: no limit.",
            "The sources of connects may be forged.",
            "A flood from very many networks uses up what honest ones were left as well.",
        ],
    ),
    row(
        "access.poll_secs",
        integer(1, 3600),
        Initial::Integer(5),
        Reload::Live,
        &[
            "Seconds between two looks at whether a list file changed.",
            "A change is taken over at the second look that finds it.",
        ],
    ),
    row(
        "keys.plain",
        Kind::Bool,
        Initial::Bool(true),
        Reload::Live,
        &[
            "Whether the passkey of a user counts as it is.",
            "false: only keys that are made for a user in one torrent do, so that a torrent file \
             that leaks opens no other torrent.",
        ],
    ),
    row(
        "keys.site_key",
        Kind::Secret,
        Initial::Text(""),
        Reload::Live,
        &[
            "Secret of keys that are made for a user in one torrent.",
            "Such a key is 32 characters of URL-safe base64: 4 bytes of the user's number and the \
             first 20 bytes of an HMAC-SHA-256.",
            "The HMAC is over the text `skep key 1`, the user's key version, the user's number and \
             the torrent's key salt in 4 bytes each, big-endian, and the info hash.",
            "Empty: there are no such keys.",
            "Who knows it can announce as every user.",
        ],
    ),
    row(
        "keys.xbt_private_key",
        Kind::Secret,
        Initial::Text(""),
        Reload::Live,
        &[
            "torrent_pass_private_key of XBT Tracker, whose keys for a user in one torrent count then.",
            "Empty: they do not.",
            "Who knows it can announce as every user.",
        ],
    ),
    row(
        "proxy.trusted",
        Kind::Networks,
        Initial::List(&[]),
        Reload::Live,
        &[
            "Address ranges of reverse proxies, which alone may name the address of a client.",
            "A range that holds strangers lets them announce any address.",
        ],
    ),
    row(
        "proxy.header",
        Kind::Text,
        Initial::Text("X-Forwarded-For"),
        Reload::Live,
        &[
            "Name of the HTTP header in which trusted proxies put the address of a client.",
            "X-Real-IP and Forwarded are understood too.",
        ],
    ),
    row(
        "proxy.protocol",
        Kind::Networks,
        Initial::List(&[]),
        Reload::Live,
        &[
            "Address ranges of proxies that speak the PROXY protocol over TCP, version 1 or 2.",
            "Every connection from there must begin with such a header, and counts as one from the \
             client that the header names.",
            "A range that holds strangers lets them announce any address.",
        ],
    ),
    row(
        "proxy.protocol_udp",
        Kind::Networks,
        Initial::List(&[]),
        Reload::Live,
        &[
            "Address ranges of proxies that put a PROXY header, version 2, in front of each datagram.",
            "Every datagram from there must have one, and counts as one from the client that it names.",
            "The source of a datagram can be forged, and is replaced where a network masquerades: name \
             only proxies whose addresses no stranger can send from.",
        ],
    ),
    row(
        "storage.driver",
        Kind::Text,
        Initial::Text(""),
        Reload::Restart,
        &[
            "Where users, torrents and what is counted are kept: sqlite, postgres, mysql, webhook or none.",
            "Empty: sqlite in private mode, and in registered mode unless access.torrents_file is given \
             and no option of storage is; else none.",
        ],
    )
    .aliases(&[Alias { flags: &["driver"], variable: None, implies: None }]),
    row(
        "storage.url",
        Kind::Secret,
        Initial::Text(""),
        Reload::Restart,
        &[
            "Where the database is, as the driver writes it; it may hold a password and is never shown.",
            "Empty for sqlite: skep.db in storage.data_dir.",
        ],
    ),
    row(
        "storage.data_dir",
        Kind::Path,
        Initial::Text("skep-data"),
        Reload::Restart,
        &[
            "Folder for the journal and the file of sqlite, made if need be.",
            "It must be on a disk that keeps what it confirms, and belongs to one tracker alone.",
        ],
    ),
    row(
        "storage.names",
        Kind::Texts,
        Initial::List(&[]),
        Reload::Restart,
        &[
            "Names of the site's own tables and columns, as in users=members or users.passkey=torrent_pass.",
            "What is not named is called as skep db schema shows it.",
        ],
    ),
    row(
        "storage.migrate",
        Kind::Bool,
        Initial::Bool(true),
        Reload::Restart,
        &[
            "Whether the tables are the tracker's own, to be made and changed by it at a start.",
            "false: they belong to the site, and the tracker starts only if they fit.",
        ],
    ),
    row(
        "storage.poll_secs",
        integer(0, 86_400),
        Initial::Integer(0),
        Reload::Live,
        &[
            "Seconds between two looks at the storage for users, torrents and rules that others changed.",
            "0: never; changes come by the API then.",
            "Each look reads everything. With storage.migrate = false it is 60 where nothing is said.",
        ],
    ),
    row(
        "journal.commit_interval_ms",
        integer(0, 10_000),
        Initial::Integer(50),
        Reload::Restart,
        &[
            "Milliseconds for which records wait for company before they are written to the disk.",
            "What is lost with the power heals with the next announces, but for what journal.durable_events \
             keeps.",
        ],
    ),
    row(
        "journal.durable_events",
        Kind::Bool,
        Initial::Bool(true),
        Reload::Restart,
        &[
            "Whether replies to the first and the last announce of a session, and to completed, wait until the \
             disk has them.",
            "Without it a crash may lose the first and the last bytes of a session; all else clients tell \
             again.",
        ],
    ),
    row(
        "journal.queue_max_bytes",
        Kind::Integer { min: 1 << 20, max: 1 << 34 },
        Initial::Integer(32 << 20),
        Reload::Restart,
        &["Memory for records that are not on the disk yet."],
    ),
    row(
        "journal.segment_bytes",
        Kind::Integer { min: 1 << 20, max: 1 << 34 },
        Initial::Integer(64 << 20),
        Reload::Restart,
        &["Length of a file of the journal after which the next one begins."],
    ),
    row(
        "journal.size_max_bytes",
        Kind::Integer { min: 0, max: 1 << 50 },
        Initial::Integer(0),
        Reload::Restart,
        &[
            "Bytes of all files of the journal above which announces are answered but not counted.",
            "0: no limit but the disk's.",
            "It grows only while the storage is away, by about 80 bytes for each announce.",
        ],
    ),
    row(
        "journal.batch_records_max",
        integer(1, 100_000),
        Initial::Integer(5000),
        Reload::Restart,
        &["Records that go to the storage in one transaction, at the most."],
    ),
    row(
        "journal.skip_until",
        Kind::Integer { min: 0, max: i64::MAX as u64 },
        Initial::Integer(0),
        Reload::Live,
        &[
            "Position in the journal before which records that nobody can read are given up.",
            "The log and the health page tell it when a damaged file keeps everything behind it from the \
             storage; records that can be applied are not affected.",
        ],
    ),
    row(
        "accounts.first_announce",
        Kind::Choice(FirstAnnounce::WORDS),
        Initial::Text("baseline"),
        Reload::Restart,
        &[
            "What becomes of the counters of a session that nobody knows.",
            "baseline: counting begins there.",
            "credit: they are credited in full.",
        ],
    ),
    row(
        "accounts.baseline_ttl_secs",
        integer(3600, 31_536_000),
        Initial::Integer(1_814_400),
        Reload::Restart,
        &[
            "Seconds for which the counters of a silent session are remembered, restarts included.",
            "A client that comes back in that time is credited with what it moved meanwhile.",
        ],
    ),
    row(
        "accounts.duplicate_secs",
        integer(0, 3600),
        Initial::Integer(60),
        Reload::Restart,
        &[
            "Seconds within which an announce that says nothing new is a duplicate.",
            "It comes by the other address of a client or anew, is answered, and counts no time.",
        ],
    ),
    row(
        "accounts.gap_max_secs",
        integer(0, 604_800),
        Initial::Integer(0),
        Reload::Restart,
        &[
            "Seconds that the time between two announces counts for at the most.",
            "0: twice the longest interval.",
        ],
    ),
    row(
        "accounts.line_bytes_per_sec_max",
        Kind::Integer { min: 0, max: 1 << 50 },
        Initial::Integer(0),
        Reload::Restart,
        &[
            "Bytes a second, either way, above which traffic is held until somebody has looked at it.",
            "0: no limit.",
        ],
    ),
    row(
        "accounts.sessions_max",
        integer(1000, 1_000_000_000),
        Initial::Integer(10_000_000),
        Reload::Restart,
        &[
            "Sessions that are remembered, each of about 130 bytes.",
            "When there are as many, those that ended go first, and announces of new ones are not counted.",
            "They are kept in 256 parts by torrent; one part holds four times its share at the most.",
        ],
    ),
    row(
        "accounts.parallel_time",
        Kind::Choice(ParallelTime::WORDS),
        Initial::Text("once"),
        Reload::Restart,
        &[
            "How the time of a user's parallel sessions in one torrent adds up.",
            "once: an hour is an hour.",
            "each: every session counts for itself.",
        ],
    ),
    row(
        "accounts.combine",
        Kind::Choice(Combine::WORDS),
        Initial::Text("best"),
        Reload::Restart,
        &[
            "How several factors for one announce become one.",
            "best: the greatest for uploads and the least for downloads.",
            "product: the product of all.",
            "first: the first in force, and no other.",
        ],
    ),
    row(
        "compat.chihaya",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Restart,
        &[
            "Whether a site may tell the tracker of users, torrents and clients by the routes of \
             Chihaya as it was in 2014.",
            "A configuration of Chihaya in JSON turns them on.",
        ],
    ),
    row(
        "compat.chihaya_listen",
        Kind::Sockets,
        Initial::List(&["127.0.0.1:6880"]),
        Reload::Restart,
        &[
            "Addresses of these routes, which are not those of announces.",
            "Empty or [\"off\"]: none.",
        ],
    ),
    row(
        "compat.chihaya_token",
        Kind::Secret,
        Initial::Text(""),
        Reload::Restart,
        &[
            "What a site must bring to use these routes: as a bearer token, or as the password of \
             HTTP Basic.",
            "Empty: nothing, so that everybody who can connect may use them.",
        ],
    ),
    row(
        "compat.chihaya_freeleech",
        Kind::Bool,
        Initial::Bool(false),
        Reload::Restart,
        &["Whether nothing that is downloaded counts, for anybody."],
    ),
    row(
        "log.level",
        Kind::Choice(LogLevel::WORDS),
        Initial::Text("info"),
        Reload::Live,
        &[
            "Least severe messages that are logged.",
            "debug: also the steps of start, reload and end; no level logs single requests.",
        ],
    )
    .aliases(&[Alias {
        flags: &["debug", "d"],
        variable: Some("DEBUG"),
        implies: Some("debug"),
    }]),
    row(
        "log.format",
        Kind::Choice(LogFormat::WORDS),
        Initial::Text("text"),
        Reload::Restart,
        &["Form of a log line, on stderr.", "text: for people.", "json: one object a line."],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_are_unique_and_sections_are_whole() {
        let keys: HashSet<_> = OPTIONS.iter().map(|option| option.key).collect();
        assert_eq!(keys.len(), OPTIONS.len());
        let unique: HashSet<_> = sections().into_iter().collect();
        assert_eq!(unique.len(), sections().len(), "a section is split in two");
    }

    #[test]
    fn every_row_is_documented_in_sentences() {
        for option in OPTIONS {
            assert!(!option.doc.is_empty(), "{}", option.key);
            for sentence in option.doc {
                assert!(sentence.ends_with('.'), "{}: {sentence}", option.key);
                assert!(sentence.is_ascii(), "{}: {sentence}", option.key);
            }
        }
    }

    #[test]
    fn alias_names_do_not_shadow_options() {
        for alias in OPTIONS.iter().flat_map(|option| option.aliases) {
            for flag in alias.flags {
                assert_eq!(position(flag), None, "{flag}");
            }
        }
    }

    #[test]
    fn environment_name_is_the_key_in_capitals() {
        let option = &OPTIONS[position("announce.interval_secs").unwrap()];
        assert_eq!(option.variable(), "SKEP__ANNOUNCE__INTERVAL_SECS");
    }
}
