//! The UDP tracker protocol: one datagram in, one decision out.
//!
//! Nothing but the connect reply ever goes to an address that has not shown a connection id. The
//! session knows no socket and touches no swarm.

use core::net::{IpAddr, SocketAddr};

use skep_proto::http::{Passkey, Target};
use skep_proto::proxy::{ProxyHeader, parse_proxy_datagram};
use skep_proto::udp::{
    self, ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, Header, InfoHashes, UrlData,
};
use skep_proto::{DecodeError, TransactionId, peer_addr};

use super::{ConnectionIds, Policy, Proxies};
use crate::counters::{Action, DropReason, TrafficCounters};
use crate::gate::{RateTable, Reason, Refusal};
use crate::site::Member;
use crate::swarm::{Announce, Announced, Counts};
use crate::time::Tick;

/// Protocol state of one worker's UDP sockets.
#[derive(Debug)]
pub struct UdpSession {
    ids: ConnectionIds,
    connects: RateTable,
    /// Room for the URL of an announce.
    url: UrlData,
    /// Room for what a refusal says.
    reason: Reason,
    /// Who made the last announce, where users are known.
    member: Option<Member>,
}

/// Whom a datagram is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// The client.
    pub address: SocketAddr,
    /// The proxy that it came through, as a PROXY header says.
    pub proxy: Option<IpAddr>,
}

impl From<SocketAddr> for Sender {
    fn from(address: SocketAddr) -> Self {
        Self { address, proxy: None }
    }
}

/// What is to be done about a datagram.
#[derive(Debug)]
pub enum UdpStep<'d> {
    /// Nothing goes back.
    Drop,
    /// This many bytes were written and go back.
    Reply(usize),
    /// A swarm must be asked.
    Announce {
        /// For the reply.
        transaction_id: TransactionId,
        /// For the swarm.
        announce: Announce,
        /// Peers that fit and may be returned.
        peers: usize,
        /// Whether these are IPv4 peers, as the client itself is one.
        ipv4: bool,
    },
    /// Swarms must be asked, one for each hash and in this order.
    Scrape {
        /// For the reply.
        transaction_id: TransactionId,
        /// The torrents; never none.
        info_hashes: InfoHashes<'d>,
    },
}

impl UdpSession {
    /// Makes the state of a worker. `connects` bounds how often a network may connect.
    #[must_use]
    pub fn new(ids: ConnectionIds, connects: RateTable) -> Self {
        Self { ids, connects, url: UrlData::new(), reason: Reason::default(), member: None }
    }

    /// Who made the announce that [`UdpSession::receive`] let pass last, where users are known.
    #[inline]
    #[must_use]
    pub const fn member(&self) -> Option<Member> {
        self.member
    }

    /// Decides about one datagram; `out` holds the reply if there is one already.
    ///
    /// # Cost
    /// No allocation. One MAC for a connection id of the current slot, two for any other.
    /// # Panics
    /// If `out` is shorter than 256 bytes.
    /// # Source
    /// BEP 15; BEP 41, whose options are read only for passkeys.
    pub fn receive<'d>(
        &mut self,
        policy: &Policy,
        counters: &TrafficCounters,
        now: Tick,
        sender: impl Into<Sender>,
        datagram: &'d [u8],
        out: &mut [u8],
    ) -> UdpStep<'d> {
        let Sender { address: source, proxy } = sender.into();
        let drop = |reason| {
            counters.drop(reason);
            UdpStep::Drop
        };
        if source.port() == 0 {
            return drop(DropReason::SourcePortZero);
        }
        let Some(header) = Header::read(datagram) else {
            return drop(DropReason::TooShort);
        };
        let ip = peer_addr::canonical(source.ip());
        if header.action == ACTION_CONNECT {
            if !header.is_connect() {
                return drop(DropReason::BadMagic);
            }
            counters.request(Action::Connect);
            if !self.connects.take(ip, now) {
                return drop(DropReason::RateLimited);
            }
            counters.answer(Action::Connect);
            let id = self.ids.issue(ip, proxy, now);
            return UdpStep::Reply(udp::write_connect(out, header.transaction_id, id));
        }
        if !self.ids.verify(ip, proxy, header.connection_id, now) {
            return drop(DropReason::BadConnectionId);
        }
        let transaction_id = header.transaction_id;
        let step = match header.action {
            ACTION_ANNOUNCE => {
                counters.request(Action::Announce);
                self.announce(policy, ip, transaction_id, datagram)
            }
            ACTION_SCRAPE => {
                counters.request(Action::Scrape);
                // A scrape has no place for a passkey.
                policy.rules.admit_scrape(None, None).map_err(Problem::Refused).and_then(|()| {
                    udp::read_scrape(datagram)
                        .map(|info_hashes| UdpStep::Scrape { transaction_id, info_hashes })
                        .map_err(Problem::Broken)
                })
            }
            _ => Err(Problem::Broken(DecodeError::UnknownAction)),
        };
        step.unwrap_or_else(|problem| {
            let text = match problem {
                Problem::Broken(error) => {
                    counters.decode_errors[error.index()].add(1);
                    error.text()
                }
                Problem::Refused(refusal) => {
                    counters.refusals[refusal.index()].add(1);
                    refusal.text()
                }
            };
            UdpStep::Reply(udp::write_error(out, transaction_id, text))
        })
    }

    fn announce<'d, 'r>(
        &'r mut self,
        policy: &'r Policy,
        ip: IpAddr,
        transaction_id: TransactionId,
        datagram: &'d [u8],
    ) -> Result<UdpStep<'d>, Problem<'r>> {
        let Policy { answers, rules, .. } = policy;
        let read = udp::read_announce(datagram).map_err(Problem::Broken)?;
        let passkey = match rules.wants_passkey() {
            true => passkey(read.options, &mut self.url),
            false => None,
        };
        if read.announce.port == 0 && !answers.port_zero_unlisted {
            let info_hash = Some(&read.announce.info_hash);
            rules.admit_scrape(passkey, info_hash).map_err(Problem::Refused)?;
            return Err(Problem::Broken(DecodeError::InvalidPort));
        }
        let announce = answers.announce(read.announce, ip, read.claimed_ip);
        // Beside the step, so that nothing is moved about for those who are nobody's members.
        if rules.site.is_none() {
            rules.admit_anybody(&announce).map_err(Problem::Refused)?;
        } else {
            let admitted = rules.admit(&announce, passkey, &mut self.reason);
            self.member = admitted.map_err(Problem::Refused)?;
        }
        policy.own_gates.admit(&announce, self.member.as_ref()).map_err(Problem::Refused)?;
        let transport_max = if ip.is_ipv4() { udp::IPV4_PEERS_MAX } else { udp::IPV6_PEERS_MAX };
        let peers = answers.peers_wanted(announce.request.num_want, transport_max as u32);
        Ok(UdpStep::Announce { transaction_id, announce, peers, ipv4: ip.is_ipv4() })
    }
}

impl Proxies {
    /// Takes the PROXY header off a datagram from one of those that send it; `None` if there is no
    /// whole one, or if it names no client for a request that needs one.
    ///
    /// A proxy that sends for itself may connect, to see whether the tracker answers.
    #[cold]
    pub fn open_datagram(source: SocketAddr, datagram: &[u8]) -> Option<(Sender, &[u8])> {
        let ProxyHeader { len, client } = parse_proxy_datagram(datagram)?;
        let payload = &datagram[len..];
        let connects = |header: Header| header.action == ACTION_CONNECT;
        match client {
            Some(address) => {
                let proxy = Some(peer_addr::canonical(source.ip()));
                Some((Sender { address, proxy }, payload))
            }
            None => Header::read(payload).is_some_and(connects).then_some((source.into(), payload)),
        }
    }
}

enum Problem<'r> {
    Broken(DecodeError),
    Refused(Refusal<'r>),
}

/// The passkey in the URL that an announce carries along.
#[inline(never)]
fn passkey<'u>(options: &[u8], url: &'u mut UrlData) -> Option<Passkey<'u>> {
    udp::url_data(options, url);
    Target::parse(url.as_bytes()).passkey()
}

/// Writes the header of an announce reply, whose peers stand behind it already, and returns the
/// length of both.
pub fn finish_announce(
    out: &mut [u8],
    transaction_id: TransactionId,
    interval_secs: u32,
    announced: &Announced,
) -> usize {
    let Counts { seeders, .. } = announced.counts;
    let leechers = announced.counts.incomplete();
    udp::write_announce_header(out, transaction_id, interval_secs, leechers, seeders)
        + announced.ipv4_bytes
        + announced.ipv6_bytes
}
