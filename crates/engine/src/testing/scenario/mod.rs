//! Scenarios: what clients announce, what they must be told, and time that passes, as text.
//!
//! A script knows its clients by name, so it runs on an engine and over sockets alike. The dialect is
//! described in `tests/scenarios/README.md`.

mod parse;
mod play;
mod target;

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::string::{String, ToString};
use std::vec::Vec;

use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

pub use parse::ParseError;
pub use play::run;
pub use target::OfflineTarget;

use super::wire::{Answer, Seen};

/// How a script reaches the tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Datagrams: an answer carries peers of the client's own family only.
    Udp,
    /// Compact answers over HTTP.
    Http,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Http];
}

/// A script, read and checked.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it stands, for messages.
    pub file: String,
    /// The only transport that it is meant for, if there is one.
    pub transport: Option<Transport>,
    /// Whether it can run over sockets of one machine, where all addresses are loopback ones.
    pub sockets: bool,
    /// Whether it makes sense for browsers as well.
    pub browsers: bool,
    /// Keys of the configuration with their values as a TOML file has them.
    pub settings: Vec<Setting>,
    /// The torrents, at least one.
    pub torrents: Vec<Torrent>,
    /// The clients.
    pub clients: Vec<Client>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A line of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The line of the script.
    pub line: usize,
    /// The whole key, such as `announce.peers_default`.
    pub key: String,
    /// The value as in TOML.
    pub value: String,
}

/// A torrent and on which list it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torrent {
    /// What the script calls it.
    pub name: String,
    /// What the wire calls it.
    pub info_hash: InfoHash,
    /// Whether it is in the file of `access.torrents_file`.
    pub listed: bool,
    /// Whether it is in the file of `access.torrents_deny_file`.
    pub denied: bool,
}

/// A client that listens at one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// What the script calls it.
    pub name: String,
    /// Where it listens. Over sockets only the port and the family are what they are here.
    pub address: SocketAddr,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// The `key` parameter.
    pub peer_key: PeerKey,
}

/// One step with its line.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line of the script.
    pub line: usize,
    /// What happens.
    pub action: Action,
    /// What must come of it, each with its line.
    pub expectations: Vec<(usize, Expectation)>,
}

/// What happens in a step. Clients and torrents are numbers into those of the script.
#[derive(Clone, Debug)]
pub enum Action {
    /// A client announces.
    Announce {
        /// Which client.
        client: usize,
        /// Which torrent.
        torrent: usize,
        /// What happened at the client.
        event: AnnounceEvent,
        /// Bytes still missing.
        left_bytes: Option<u64>,
        /// Peers asked for.
        num_want: NumWant,
    },
    /// Somebody scrapes torrents.
    Scrape(Vec<usize>),
    /// Seconds pass, and silent peers are swept.
    Advance(u32),
}

/// What an answer must be. Anything that is not stated may be as it likes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// The counts of a torrent.
    Counts {
        /// Which torrent of a scrape; announces have one.
        torrent: Option<usize>,
        /// What they are.
        counts: ExpectedCounts,
    },
    /// These clients and no others are returned.
    Peers(Vec<usize>),
    /// So many of these clients are returned, and no others.
    PeersOf(usize, Vec<usize>),
    /// These clients are among the returned.
    Include(Vec<usize>),
    /// None of these clients is returned.
    Exclude(Vec<usize>),
    /// This many seconds are told until the next announce.
    Interval(u32),
    /// The request fails with this text.
    Failure(String),
}

/// Counts as far as a script states them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExpectedCounts {
    /// Peers that have everything.
    pub seeders: Option<u32>,
    /// Peers that still want pieces, without partial seeds.
    pub leechers: Option<u32>,
    /// Peers that have all they want.
    pub partial_seeds: Option<u32>,
    /// Finished downloads.
    pub completions: Option<u32>,
}

impl Script {
    /// Reads a script; `file` names it in messages.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        parse::script(file, text)
    }

    /// Whether the script is meant for a transport.
    #[must_use]
    pub fn runs_on(&self, transport: Transport) -> bool {
        self.transport.is_none_or(|only| only == transport)
    }

    /// The address of a client on a machine that has nothing but loopback: each IPv4 host of the
    /// script gets its own, all IPv6 hosts share the only one that there is.
    #[must_use]
    pub fn loopback_ip(&self, client: &Client) -> IpAddr {
        if client.address.is_ipv6() {
            return Ipv6Addr::LOCALHOST.into();
        }
        let mut hosts: Vec<IpAddr> = Vec::new();
        for ip in self.clients.iter().map(|client| client.address.ip()) {
            if ip.is_ipv4() && !hosts.contains(&ip) {
                hosts.push(ip);
            }
        }
        let number = hosts.iter().position(|ip| *ip == client.address.ip());
        // 127.0.0.1 is left to the tracker and to those who only ask.
        let number = number.map_or(0, |number| number as u8 + 2);
        Ipv4Addr::new(127, 0, 0, number).into()
    }
}

/// Where a script can run: the tracker as its clients meet it.
pub trait Target {
    /// The address that a client announces from.
    fn ip_of(&self, client: &Client) -> IpAddr {
        client.address.ip()
    }

    /// Announces for a client.
    ///
    /// # Errors
    /// The text that the tracker refuses with.
    fn announce(&mut self, client: &Client, request: &AnnounceRequest) -> Result<Answer, String>;

    /// Scrapes torrents and gives one entry for each, in the same order.
    ///
    /// # Errors
    /// The text that the tracker refuses with.
    fn scrape(&mut self, info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String>;

    /// Lets time pass and removes silent peers.
    fn advance(&mut self, secs: u32);
}

/// An answer that is not what the script says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Which script.
    pub file: String,
    /// Which line.
    pub line: usize,
    /// The line itself as the runner understood it.
    pub expected: String,
    /// What came instead.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, expected, got } = self;
        write!(f, "{file}:{line}: expected {expected}, got {got}")
    }
}

impl core::error::Error for Failure {}

impl fmt::Display for ExpectedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            |count: Option<u32>| count.map_or_else(|| "any".to_string(), |count| count.to_string());
        write!(
            f,
            "seeders={} leechers={} partial_seeds={} completions={}",
            text(self.seeders),
            text(self.leechers),
            text(self.partial_seeds),
            text(self.completions)
        )
    }
}
