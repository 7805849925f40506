//! A whole tracker without sockets: sessions, rules and one shard, and a clock moved by hand.
//!
//! Bytes go in and come out as on the wire. The front ends of the product do the same with sockets and
//! many shards; none of their limits and time-outs is here.

use std::net::{IpAddr, SocketAddr};
use std::vec;
use std::vec::Vec;

use fastrand::Rng;
use skep_proto::http::{
    self, Connection, Head, HeadStatus, Method, PeerList, ResponseHead, Route, Status, Target,
};
use skep_proto::udp::ANNOUNCE_HEADER_BYTES;
use skep_proto::{InfoHash, peer_addr, udp};

use crate::counters::TrafficCounters;
use crate::gate::{RateTable, Reason};
use crate::session::{
    ConnectionIds, HttpAnnounce, HttpRefusal, HttpSession, Policy, UdpSession, UdpStep,
    finish_announce,
};
use crate::swarm::{
    Announce, Announced, Counts, Moment, PeerIds, PeerRoom, Shard, SwarmSettings, Swept,
};
use crate::{Seed, Tick};

/// Longest datagram and longest request head.
const BYTES_MAX: usize = 8192;
/// Seconds after which a connection id is the earlier one of the two that are good.
pub const CONNECTION_ID_SECS: u32 = 120;
/// Torrents and peers that one step of a sweep looks at: few, so that a sweep has many steps.
const SWEEP_BUDGET: u32 = 7;

/// A tracker to talk to in bytes.
#[derive(Debug)]
pub struct OfflineTracker {
    /// What is in force; may be changed between two requests.
    pub policy: Policy,
    /// Whether every request by HTTP is turned away for lack of time.
    pub overloaded: bool,
    /// What went over UDP.
    pub udp_counters: TrafficCounters,
    /// The swarms.
    pub shard: Shard,
    now: Tick,
    rng: Rng,
    udp: UdpSession,
    new_torrents: RateTable,
}

impl OfflineTracker {
    /// Makes a tracker without swarms; all its randomness comes from `seed`.
    #[must_use]
    pub fn new(policy: Policy, swarms: SwarmSettings, seed: u64) -> Self {
        let hashes = Seed::new(seed);
        let key = (u128::from(seed) << 64 | 0x736b_6570).to_le_bytes();
        let ids = ConnectionIds::new(key, CONNECTION_ID_SECS, 1_700_000_000);
        Self {
            policy,
            overloaded: false,
            udp_counters: TrafficCounters::default(),
            shard: Shard::new(swarms, hashes.clone()),
            now: Tick(1000),
            rng: Rng::with_seed(seed),
            udp: UdpSession::new(ids, RateTable::new(hashes.clone(), 0, 24, 48)),
            new_torrents: RateTable::new(hashes, 0, 32, 64),
        }
    }

    /// Moves the clock and sweeps.
    pub fn advance(&mut self, secs: u32) {
        self.now = self.now.plus(secs);
        while self.shard.sweep(self.now, SWEEP_BUDGET) == Swept::More {}
    }

    /// Stores a peer past sessions and rules.
    pub fn store(&mut self, announce: &Announce) -> Announced {
        let (mut ipv4, mut ipv6) = ([0; 0], [0; 0]);
        self.announce(announce, &mut ipv4, &mut ipv6, None)
    }

    /// Takes a datagram and gives the one that goes back, if there is one.
    pub fn udp(&mut self, source: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 2048];
        let (policy, counters) = (&self.policy, &self.udp_counters);
        let step = self.udp.receive(policy, counters, self.now, source, datagram, &mut out);
        let len = match step {
            UdpStep::Drop => return None,
            UdpStep::Reply(len) => len,
            UdpStep::Announce { transaction_id, announce, peers, ipv4 } => {
                let room = &mut out[ANNOUNCE_HEADER_BYTES..];
                let announced = if ipv4 {
                    let room = &mut room[..peers * peer_addr::IPV4_BYTES];
                    self.announce(&announce, room, &mut [], None)
                } else {
                    let room = &mut room[..peers * peer_addr::IPV6_BYTES];
                    self.announce(&announce, &mut [], room, None)
                };
                let interval = self.policy.answers.interval_after(&announced, 0, &mut self.rng);
                finish_announce(&mut out, transaction_id, interval.secs, &announced)
            }
            UdpStep::Scrape { transaction_id, info_hashes } => {
                let mut len = udp::write_scrape_header(&mut out, transaction_id);
                let max = self.policy.scrapes.hashes_max as usize;
                for info_hash in info_hashes.take(max.min(udp::SCRAPE_INFO_HASHES_MAX)) {
                    let counts = self.counts(&info_hash);
                    len += udp::write_scrape_entry(
                        &mut out[len..],
                        counts.seeders,
                        counts.completions,
                        counts.incomplete(),
                    );
                }
                len
            }
        };
        out.truncate(len);
        Some(out)
    }

    /// Asks for a target with `GET` and gives the body of the answer.
    ///
    /// # Panics
    /// If the target makes no request line.
    pub fn get(&mut self, source: IpAddr, target: &[u8]) -> (Status, Vec<u8>) {
        let request = [b"GET ", target, b" HTTP/1.1\r\n\r\n"].concat();
        match http::parse_head(&request, BYTES_MAX) {
            HeadStatus::Complete(head) => self.answer(source, &head),
            other => panic!("no request: {other:?}"),
        }
    }

    /// Takes a whole request and gives the whole response.
    pub fn http(&mut self, source: IpAddr, request: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        match http::parse_head(request, BYTES_MAX) {
            HeadStatus::Complete(head) => {
                let (status, body) = self.answer(source, &head);
                let head = ResponseHead {
                    connection: Connection::of(&head),
                    ..ResponseHead::text(status, &head)
                };
                http::respond(&mut out, &head, body.len(), |out| out.extend(body));
            }
            HeadStatus::Partial | HeadStatus::Invalid(_) => {
                let head = ResponseHead::closing(Status::BadRequest);
                http::respond(&mut out, &head, 0, |_| {});
            }
        }
        out
    }

    fn answer(&mut self, source: IpAddr, head: &Head<'_>) -> (Status, Vec<u8>) {
        if head.method == Method::Other {
            return (Status::MethodNotAllowed, vec![]);
        }
        let target = Target::parse(head.target);
        let session = HttpSession { policy: &self.policy };
        let source = match session.client_ip(head, source, false) {
            Ok(source) => source,
            Err(refusal) => return (Status::Ok, self.refused(refusal)),
        };
        let body = match target.route {
            Route::Announce { .. } => self.http_announce(source, &target),
            Route::Scrape { .. } => self.http_scrape(&target),
            _ => return (Status::NotFound, vec![]),
        };
        (Status::Ok, body)
    }

    fn http_announce(&mut self, source: IpAddr, target: &Target<'_>) -> Vec<u8> {
        let session = HttpSession { policy: &self.policy };
        let mut reason = Reason::default();
        let asked = match session.announce(target, source, &mut reason) {
            Ok(_) if self.overloaded => return self.refused(HttpRefusal::Overloaded),
            Ok(asked) => asked,
            Err(refusal) => return self.refused(refusal),
        };
        let HttpAnnounce { announce, ipv4_peers, ipv6_peers, .. } = asked;
        let mut ipv4 = vec![0; ipv4_peers * peer_addr::IPV4_BYTES];
        let mut ipv6 = vec![0; ipv6_peers * peer_addr::IPV6_BYTES];
        let mut ids = PeerIds::default();
        let wanted_ids = asked.peer_ids.then_some(&mut ids);
        let announced = self.announce(&announce, &mut ipv4, &mut ipv6, wanted_ids);
        let peers = PeerList {
            ipv4: &ipv4[..announced.ipv4_bytes],
            ipv6: &ipv6[..announced.ipv6_bytes],
            ipv4_ids: &ids.ipv4,
            ipv6_ids: &ids.ipv6,
        };
        let mut out = vec![];
        let session = HttpSession { policy: &self.policy };
        let interval = self.policy.answers.interval_after(&announced, 0, &mut self.rng);
        session.write_announce(&mut out, interval, &asked, &announced, peers);
        out
    }

    fn http_scrape(&self, target: &Target<'_>) -> Vec<u8> {
        let session = HttpSession { policy: &self.policy };
        let mut info_hashes = vec![];
        if let Err(refusal) = session.scrape(target, &mut info_hashes) {
            return self.refused(refusal);
        }
        let mut out = vec![];
        let written = if info_hashes.is_empty() {
            session.full_scrape().and_then(|mut scrape| {
                self.shard.for_each(|info_hash, counts, _| scrape.add(info_hash, counts));
                scrape.write(&mut out)
            })
        } else {
            let counts: Vec<_> =
                info_hashes.iter().map(|info_hash| self.shard.scrape(info_hash)).collect();
            session.write_scrape(&mut out, &info_hashes, &counts)
        };
        written.map_or_else(|refusal| self.refused(refusal), |()| out)
    }

    fn refused(&self, refusal: HttpRefusal<'_>) -> Vec<u8> {
        let mut out = vec![];
        http::write_failure(&mut out, &refusal.failure(&self.policy.answers));
        out
    }

    fn announce(
        &mut self,
        announce: &Announce,
        ipv4: &mut [u8],
        ipv6: &mut [u8],
        peer_ids: Option<&mut PeerIds>,
    ) -> Announced {
        let mut moment =
            Moment { now: self.now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let room = PeerRoom { ipv4, ipv6, peer_ids, ..PeerRoom::default() };
        self.shard.announce(&mut moment, announce, room)
    }

    /// The counts of a torrent; none of what is not served is told.
    fn counts(&self, info_hash: &InfoHash) -> Counts {
        if !self.policy.rules.serves(info_hash) {
            return Counts::default();
        }
        self.shard.scrape(info_hash).unwrap_or_default()
    }
}
