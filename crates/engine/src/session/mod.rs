//! What the tracker remembers and promises between two requests of one client, by transport.
//!
//! Bytes in, decisions and bytes out. Sockets, clocks and the swarms themselves are elsewhere.

mod connection_ids;
mod http;
mod interval;
mod udp;
mod websocket;

pub use connection_ids::ConnectionIds;
pub use http::{FullScrape, HttpAnnounce, HttpRefusal, HttpSession};
pub use interval::{Interval, LoadDelay, Stretch};
pub use udp::{Sender, UdpSession, UdpStep, finish_announce};
pub use websocket::{
    Credential, Offered, Owned, WebsocketAnnounce, WebsocketRefusal, WebsocketSession,
    WebsocketSettings,
};

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skep_proto::{AnnounceRequest, NumWant, peer_addr};

use crate::gate::{AddressRanges, OwnGates, Rules};
use crate::limits::PEERS_PER_ANSWER_MAX;
use crate::swarm::{Announce, is_local};

/// Everything that decides about a request and can change while the tracker runs.
///
/// A policy is never changed: a reload makes another one.
#[derive(Debug, Default)]
pub struct Policy {
    /// What clients are told.
    pub answers: AnswerSettings,
    /// What scrapes show.
    pub scrapes: ScrapeSettings,
    /// What browsers may do.
    pub websocket: WebsocketSettings,
    /// Who may announce what.
    pub rules: Rules,
    /// What the operator's own program has to say about that; stays over a reload.
    pub own_gates: OwnGates,
    /// Who may speak for a client.
    pub proxies: Proxies,
}

/// Proxies that are believed when they name the client they speak for.
#[derive(Debug, Default)]
pub struct Proxies {
    /// Their addresses.
    pub trusted: AddressRanges,
    /// The header in which they name the client.
    pub header: Box<str>,
    /// Those that begin every connection with a PROXY header.
    pub protocol: AddressRanges,
    /// Those that begin every datagram with one.
    pub protocol_udp: AddressRanges,
}

impl Proxies {
    /// Whether a datagram from an address must begin with a PROXY header.
    #[inline]
    #[must_use]
    pub fn speaks_protocol_over_udp(&self, ip: IpAddr) -> bool {
        !self.protocol_udp.is_empty() && self.protocol_udp.contains(peer_addr::canonical(ip))
    }

    /// Whether a connection from an address must begin with a PROXY header.
    #[inline]
    #[must_use]
    pub fn speaks_protocol(&self, ip: IpAddr) -> bool {
        !self.protocol.is_empty() && self.protocol.contains(peer_addr::canonical(ip))
    }
}

/// What scrapes show.
#[derive(Clone, Debug)]
pub struct ScrapeSettings {
    /// Torrents of one scrape that are answered.
    pub hashes_max: u32,
    /// Whether a scrape without a hash lists every torrent.
    pub full: bool,
    /// Torrents of a full scrape at the most.
    pub full_max: u32,
    /// Whether the names of registered torrents are shown.
    pub names: bool,
    /// Whether torrents that nobody knows are left out instead of shown with zeros.
    pub omit_unknown: bool,
    /// Whether downloaders are shown without partial seeds (BEP 21).
    pub downloaders: bool,
    /// Whether the seconds between scrapes are told.
    pub flags: bool,
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        Self {
            hashes_max: 100,
            full: false,
            full_max: 100_000,
            names: false,
            omit_unknown: false,
            downloaders: false,
            flags: false,
        }
    }
}

/// What clients are told and how much of it.
#[derive(Clone, Debug)]
pub struct AnswerSettings {
    /// Seconds between announces.
    pub interval_secs: u32,
    /// Seconds that must pass between announces, and that no promised interval is below.
    pub interval_min_secs: u32,
    /// By how many percent an interval is longer or shorter, so that clients spread.
    pub interval_jitter_percent: u32,
    /// When intervals are longer, if ever.
    pub stretch: Option<Stretch>,
    /// Peers for a client that names no number.
    pub peers_default: u32,
    /// Peers in one answer at the most.
    pub peers_max: u32,
    /// Whether HTTP answers carry peers of the other address family.
    pub cross_family: bool,
    /// Whether HTTP clients are told their own address (BEP 24).
    pub external_ip: bool,
    /// The public addresses of clients on the tracker's own network.
    pub external: ExternalAddresses,
    /// Whether a client that listens nowhere gets peers, unlisted, instead of an error.
    pub port_zero_unlisted: bool,
    /// Whether a client on a private address may name its public one.
    pub ip_override_local: bool,
    /// Whether a raw `+` in a query is itself and not a space.
    pub plus_literal: bool,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self {
            interval_secs: 1800,
            interval_min_secs: 900,
            interval_jitter_percent: 10,
            stretch: None,
            peers_default: 50,
            peers_max: 200,
            cross_family: true,
            external_ip: false,
            external: ExternalAddresses::default(),
            port_zero_unlisted: false,
            ip_override_local: false,
            plus_literal: false,
        }
    }
}

impl AnswerSettings {
    /// How many peers an announce gets, where `transport_max` fit.
    const fn peers_wanted(&self, num_want: NumWant, transport_max: u32) -> usize {
        let wanted = match num_want {
            NumWant::Default => self.peers_default,
            NumWant::Count(count) => count,
        };
        let mut max = if self.peers_max < transport_max { self.peers_max } else { transport_max };
        if max > PEERS_PER_ANSWER_MAX as u32 {
            max = PEERS_PER_ANSWER_MAX as u32;
        }
        (if wanted < max { wanted } else { max }) as usize
    }

    fn announce(
        &self,
        request: AnnounceRequest,
        ip: IpAddr,
        claimed_ip: Option<IpAddr>,
    ) -> Announce {
        let ip = match claimed_ip {
            Some(claimed)
                if self.ip_override_local && is_local(ip) && is_global_unicast(claimed) =>
            {
                claimed
            }
            _ => self.external.of(ip),
        };
        let listed = request.port != 0 || !self.port_zero_unlisted;
        Announce { request, ip, connection: None, listed }
    }
}

/// The addresses under which the world sees the tracker's own network.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExternalAddresses {
    /// That of hosts which use IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// That of hosts which use IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

impl ExternalAddresses {
    /// The address at which the world finds whoever is at `ip`.
    fn of(&self, ip: IpAddr) -> IpAddr {
        let external = match ip {
            IpAddr::V4(_) => self.ipv4.map(IpAddr::V4),
            IpAddr::V6(_) => self.ipv6.map(IpAddr::V6),
        };
        external.filter(|_| is_local(ip)).unwrap_or(ip)
    }
}

/// Whether an address may stand in for that of a peer on the tracker's own network.
#[must_use]
pub const fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(is_local(ip) || ip.is_unspecified() || ip.is_multicast() || broadcast)
}
