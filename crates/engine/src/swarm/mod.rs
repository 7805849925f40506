//! Swarms in memory: what an announce does to them, what a scrape reads from them.
//!
//! A [`Shard`] owns the swarms of some info hashes. It knows no rule about who may announce, no
//! transport, no clock and no lock: time, randomness and permission are handed in.

mod body;
mod decide;
mod lane;
mod part;
mod recent;
mod select;
mod sweep;
mod table;

use alloc::vec::Vec;
use core::net::IpAddr;

use fastrand::Rng;
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, PeerId};

pub use lane::LaneKind;
pub use part::PeerClass;
pub use sweep::Swept;

use crate::gate::RateTable;
use crate::hash::Seed;
use crate::time::{Stamp, Tick, ttl_steps};
use body::Peer;
use decide::{Decision, decide};
use lane::{Classes, Crowding, Endpoint, Lane, LaneContext, Spot};
use part::{Columns, Row};
use recent::RecentCompletions;
use select::{Choice, Room};
use table::{Body, Table, Torrent};

/// Who gets to see peers on private, loopback and link-local addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PrivatePeers {
    /// Announcers that are on such an address themselves.
    #[default]
    Match,
    /// Everybody.
    Always,
    /// Nobody.
    Never,
}

/// How swarms are kept.
#[derive(Clone, Debug)]
pub struct SwarmSettings {
    /// Seconds of silence after which a peer is gone; at most [`crate::limits::PEER_TTL_SECS_MAX`].
    pub peer_ttl_secs: u32,
    /// Whether 20 bytes of peer id are kept for each peer.
    pub peer_ids: bool,
    /// Ports that one address may have in one swarm; 0 means no limit.
    pub ports_per_address_max: u32,
    /// Peers that one IPv6 /64 may have in one swarm; 0 means no limit.
    pub peers_per_prefix_max: u32,
    /// Torrents in this shard at the most; further ones are answered but not stored.
    pub torrents_max: u32,
    /// Peers in this shard at the most; further ones are answered but not stored.
    pub peers_max: u64,
    /// Whether `completed` makes a seeder of a client that still has bytes left.
    pub completed_overrides_left: bool,
    /// Whether seeders are told of other seeders.
    pub seeds_to_seeds: bool,
    /// Who sees peers on private addresses.
    pub private_peers: PrivatePeers,
}

impl Default for SwarmSettings {
    fn default() -> Self {
        Self {
            peer_ttl_secs: 3600,
            peer_ids: true,
            ports_per_address_max: 8,
            peers_per_prefix_max: 16,
            torrents_max: u32::MAX / 2,
            peers_max: u64::MAX,
            completed_overrides_left: false,
            seeds_to_seeds: false,
            private_peers: PrivatePeers::Match,
        }
    }
}

/// An announce with the address it came from.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    /// What the client said.
    pub request: AnnounceRequest,
    /// Where it is; never an IPv4-mapped address.
    pub ip: IpAddr,
    /// Whether the peer is to be stored. An unlisted one gets peers and stays unknown.
    pub listed: bool,
}

/// What a shard needs from its caller for one request.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The time.
    pub now: Tick,
    /// Randomness for the choice of peers; nothing secret depends on it.
    pub rng: &'a mut Rng,
    /// How many new torrents each address may still bring.
    pub new_torrents: &'a mut RateTable,
}

/// Where the peers of an answer go. The lengths say how many are wanted: 6 bytes an IPv4 peer, 18 an
/// IPv6 peer.
#[derive(Debug, Default)]
pub struct PeerRoom<'a> {
    /// Room for IPv4 endpoints in wire order.
    pub ipv4: &'a mut [u8],
    /// Room for IPv6 endpoints in wire order.
    pub ipv6: &'a mut [u8],
    /// Filled with the peer ids of both, in the same order, where they are kept.
    pub peer_ids: Option<&'a mut PeerIds>,
}

/// The peer ids that belong to the endpoints of an answer.
#[derive(Clone, Debug, Default)]
pub struct PeerIds {
    /// One for each IPv4 endpoint, or none at all.
    pub ipv4: Vec<PeerId>,
    /// One for each IPv6 endpoint, or none at all.
    pub ipv6: Vec<PeerId>,
}

/// How many peers a swarm has, over all lanes that meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that still want pieces, without partial seeds.
    pub leechers: u32,
    /// Peers that have all they want but not everything (BEP 21).
    pub partial_seeds: u32,
    /// Finished downloads reported so far.
    pub completions: u32,
}

impl Counts {
    /// What the wire calls incomplete: leechers and partial seeds.
    #[must_use]
    pub const fn incomplete(&self) -> u32 {
        self.leechers + self.partial_seeds
    }
}

/// The answer to an announce, but for the peers, which were written to the caller's room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Announced {
    /// The swarm after this announce, the announcer included.
    pub counts: Counts,
    /// Bytes written to [`PeerRoom::ipv4`].
    pub ipv4_bytes: usize,
    /// Bytes written to [`PeerRoom::ipv6`].
    pub ipv6_bytes: usize,
    /// Whether this announce finished a download that was not counted before.
    pub completion_counted: bool,
    /// Whether the peer was turned away by a bound on torrents, peers or new torrents.
    pub not_stored: bool,
}

/// What a shard holds, counted as it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Torrents with or without peers.
    pub torrents: u64,
    /// Peers by [`LaneKind`] and [`PeerClass`].
    pub peers: [[u64; 3]; 4],
    /// Completions counted since the shard was made.
    pub completions: u64,
    /// Peers that fell silent.
    pub expired: u64,
}

impl Tally {
    fn add(&mut self, kind: LaneKind, class: PeerClass) {
        self.peers[kind as usize][class as usize] += 1;
    }

    fn sub(&mut self, kind: LaneKind, class: PeerClass) {
        self.peers[kind as usize][class as usize] -= 1;
    }

    fn expire(&mut self, kind: LaneKind, class: PeerClass) {
        self.sub(kind, class);
        self.expired += 1;
    }

    /// Peers of every kind and class.
    #[must_use]
    pub fn peers_total(&self) -> u64 {
        self.peers.iter().flatten().sum()
    }

    /// Adds what another shard holds.
    pub fn absorb(&mut self, other: &Self) {
        self.torrents += other.torrents;
        self.completions += other.completions;
        self.expired += other.expired;
        for (sums, counts) in self.peers.iter_mut().zip(&other.peers) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
}

/// Swarms owned together.
#[derive(Debug)]
pub struct Shard {
    settings: SwarmSettings,
    seed: Seed,
    table: Table,
    recent: RecentCompletions,
    tally: Tally,
    sweep: sweep::Cursor,
    now: Tick,
}

impl Shard {
    /// Makes an empty shard. All shards of a process share one seed.
    #[must_use]
    pub fn new(settings: SwarmSettings, seed: Seed) -> Self {
        Self {
            table: Table::new(settings.peer_ids),
            recent: RecentCompletions::default(),
            tally: Tally::default(),
            sweep: sweep::Cursor::default(),
            now: Tick::default(),
            settings,
            seed,
        }
    }

    /// Takes new settings, but for those that say how peers are laid out: they stay as they are.
    pub fn configure(&mut self, settings: &SwarmSettings) {
        self.settings = SwarmSettings {
            peer_ids: self.settings.peer_ids,
            ports_per_address_max: self.settings.ports_per_address_max,
            peers_per_prefix_max: self.settings.peers_per_prefix_max,
            private_peers: self.settings.private_peers,
            ..settings.clone()
        };
    }

    /// What the shard holds.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Reads one swarm without changing anything (BEP 48).
    #[must_use]
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<Counts> {
        let number = self.table.find(&self.seed, info_hash)?;
        Some(body::counts(self.table.torrent(number)))
    }

    /// Calls `visit` with every torrent that has peers or completions.
    pub fn for_each(&self, mut visit: impl FnMut(&InfoHash, Counts)) {
        for number in 0..self.table.len() {
            let torrent = self.table.torrent(number);
            visit(&torrent.info_hash, body::counts(torrent));
        }
    }

    /// Calls `visit` with every peer: endpoint in wire order, class, and peer id where it is kept.
    pub fn for_each_peer(&self, mut visit: impl FnMut(&[u8], PeerClass, Option<PeerId>)) {
        for number in 0..self.table.len() {
            let body = &self.table.torrent(number).body;
            if let Body::Single(single) = body {
                visit(&single.endpoint, single.class, self.table.single_peer_id(number));
            }
            for lane in body.lanes() {
                let columns =
                    Columns { stride: lane.kind.stride(), peer_ids: self.settings.peer_ids };
                for part in lane.parts() {
                    for at in 0..part.len() {
                        let peer_id = part.peer_id(columns, at);
                        visit(part.endpoint(columns, at), part.class_at(at), peer_id);
                    }
                }
            }
        }
    }

    /// Drops every torrent that `keep` does not want, with its peers and its completions.
    pub fn retain(&mut self, mut keep: impl FnMut(&InfoHash) -> bool) {
        let mut number = 0;
        while number < self.table.len() {
            let torrent = self.table.torrent_mut(number);
            if keep(&torrent.info_hash) {
                number += 1;
                continue;
            }
            let body = core::mem::replace(&mut torrent.body, Body::Empty(Stamp::default()));
            self.forget(&body);
            self.remove_torrent(number);
        }
    }

    /// Carries out an announce and writes the peers of its answer.
    pub fn announce(
        &mut self,
        moment: &mut Moment<'_>,
        announce: &Announce,
        room: PeerRoom<'_>,
    ) -> Announced {
        moment.now = self.latest(moment.now);
        let request = &announce.request;
        let kind = self.kind_of(announce.ip);
        let endpoint = Endpoint::new(announce.ip, request.port);
        let peer = Peer { endpoint, kind, announce };
        let number = match self.table.find(&self.seed, &request.info_hash) {
            Some(number) => number,
            None => match self.new_torrent(moment, &peer) {
                Ok(number) => number,
                Err(not_stored) => {
                    return Announced { not_stored, ..Announced::default() };
                }
            },
        };
        let (mut announced, own) = self.update(moment, &peer, number);
        if request.event != AnnounceEvent::Stopped {
            self.choose(moment, &peer, number, own, room, &mut announced);
        }
        announced.counts = body::counts(self.table.torrent(number));
        self.settle(moment.now, number);
        announced
    }

    /// Makes a record for a torrent that nobody announced yet, if this announce may create one.
    fn new_torrent(&mut self, moment: &mut Moment<'_>, peer: &Peer<'_>) -> Result<u32, bool> {
        let request = &peer.announce.request;
        if !peer.announce.listed || request.event == AnnounceEvent::Stopped {
            return Err(false);
        }
        let full = self.table.len() >= self.settings.torrents_max || self.peers_full();
        if full || !moment.new_torrents.take(peer.announce.ip, moment.now) {
            return Err(true);
        }
        self.tally.torrents += 1;
        let body = Body::Empty(Stamp::new(moment.now, false));
        let torrent = Torrent { info_hash: request.info_hash, completions: 0, body };
        Ok(self.table.insert(&self.seed, torrent))
    }

    fn peers_full(&self) -> bool {
        self.settings.peers_max != u64::MAX && self.tally.peers_total() >= self.settings.peers_max
    }

    /// Applies the announce to the swarm and tells where the announcer stands now.
    fn update(
        &mut self,
        moment: &Moment<'_>,
        peer: &Peer<'_>,
        number: u32,
    ) -> (Announced, Option<Spot>) {
        let request = &peer.announce.request;
        let mut announced = Announced::default();
        let peers_full = self.peers_full();
        let Self { settings, seed, table, tally, recent, .. } = self;
        let context = lane_context(settings, seed, moment.now);
        body::expire_single(&context, tally, table, number);
        if !peer.announce.listed {
            return (announced, None);
        }
        let known = body::known(&context, tally, table, number, peer);
        let known_class = known.as_ref().and_then(|known| known.class_and_flag);
        let decision = decide(request, known_class, settings.completed_overrides_left);
        let Decision::Keep { class, completed } = decision else {
            body::take_out(&context, tally, table, number, peer, known);
            return (announced, None);
        };
        if known_class.is_none() && peers_full {
            announced.not_stored = true;
            return (announced, None);
        }
        let counted_before = known_class.is_some_and(|(_, counted)| counted);
        if completed
            && !counted_before
            && recent.first_time(seed, request, moment.now, settings.peer_ttl_secs)
        {
            let completions = &mut table.torrent_mut(number).completions;
            *completions = completions.saturating_add(1);
            tally.completions += 1;
            announced.completion_counted = true;
        }
        let row = Row {
            endpoint: peer.endpoint.as_bytes(),
            class,
            stamp: Stamp::new(moment.now, counted_before || completed),
            peer_id: &request.peer_id,
        };
        (announced, body::put_in(&context, tally, table, number, peer, known, &row))
    }

    /// Fills the answer with peers that the announcer can reach and has use for.
    fn choose(
        &mut self,
        moment: &mut Moment<'_>,
        peer: &Peer<'_>,
        number: u32,
        own: Option<Spot>,
        room: PeerRoom<'_>,
        announced: &mut Announced,
    ) {
        let Self { settings, seed, table, tally, .. } = self;
        let context = lane_context(settings, seed, moment.now);
        let body = &table.torrent(number).body;
        let leechers_only = !settings.seeds_to_seeds && !wants_pieces(settings, peer, body, own);
        let (ids4, ids6) = match room.peer_ids {
            Some(ids) => (Some(&mut ids.ipv4), Some(&mut ids.ipv6)),
            None => (None, None),
        };
        let mut ipv4 = Room::new(room.ipv4, LaneKind::Ipv4.stride(), ids4);
        let mut ipv6 = Room::new(room.ipv6, LaneKind::Ipv6.stride(), ids6);
        for kind in visible_kinds(settings.private_peers, peer.kind) {
            let room = if kind.is_ipv4() { &mut ipv4 } else { &mut ipv6 };
            if room.wanted() == 0 {
                continue;
            }
            let own = own.filter(|_| kind == peer.kind);
            let choice = Choice { leechers_only, own, peer_id: &peer.announce.request.peer_id };
            let single_peer_id = table.single_peer_id(number);
            match &mut table.torrent_mut(number).body {
                Body::Empty(_) => {}
                Body::Single(single) => {
                    let eligible = single.class == PeerClass::Leecher || !leechers_only;
                    let same_client = single_peer_id == Some(peer.announce.request.peer_id);
                    if single.kind == kind && own.is_none() && eligible && !same_client {
                        room.push(&single.endpoint, single_peer_id.into_iter());
                    }
                }
                body => {
                    for lane in body.lanes_mut().iter_mut().filter(|lane| lane.kind == kind) {
                        select::fill(lane, &context, tally, moment.rng, &choice, room);
                    }
                }
            }
        }
        announced.ipv4_bytes = ipv4.filled();
        announced.ipv6_bytes = ipv6.filled();
    }

    /// Brings a torrent back to its smallest form, and frees it when nothing is left to remember.
    fn settle(&mut self, now: Tick, number: u32) {
        let torrent = self.table.torrent_mut(number);
        body::compact(torrent, now);
        if matches!(torrent.body, Body::Empty(_)) && torrent.completions == 0 {
            self.remove_torrent(number);
        } else {
            body::demote(&mut self.table, number);
        }
    }

    fn remove_torrent(&mut self, number: u32) {
        self.table.remove(&self.seed, number);
        self.tally.torrents -= 1;
    }

    /// Takes the peers of a body that is dropped out of the tally.
    fn forget(&mut self, body: &Body) {
        if let Body::Single(single) = body {
            self.tally.sub(single.kind, single.class);
        }
        for lane in body.lanes() {
            let Classes { len, leechers, partials } = lane.classes();
            let peers = &mut self.tally.peers[lane.kind as usize];
            peers[PeerClass::Leecher as usize] -= u64::from(leechers);
            peers[PeerClass::PartialSeed as usize] -= u64::from(partials);
            peers[PeerClass::Seeder as usize] -= u64::from(len - leechers - partials);
        }
    }

    fn kind_of(&self, ip: IpAddr) -> LaneKind {
        let local = self.settings.private_peers != PrivatePeers::Always && is_local(ip);
        match (ip.is_ipv4(), local) {
            (true, false) => LaneKind::Ipv4,
            (true, true) => LaneKind::Ipv4Local,
            (false, false) => LaneKind::Ipv6,
            (false, true) => LaneKind::Ipv6Local,
        }
    }

    /// Bytes that the shard holds on the heap, as far as they grow with torrents and peers.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let lanes: usize = (0..self.table.len())
            .map(|number| {
                let body = &self.table.torrent(number).body;
                let vec = match body {
                    Body::Lanes(lanes) => {
                        size_of::<Vec<Lane>>() + lanes.capacity() * size_of::<Lane>()
                    }
                    Body::Lane(_) => size_of::<Lane>(),
                    Body::Empty(_) | Body::Single(_) => 0,
                };
                vec + body.lanes().iter().map(Lane::heap_bytes).sum::<usize>()
            })
            .sum();
        self.table.heap_bytes() + lanes
    }
}

const fn lane_context<'a>(settings: &SwarmSettings, seed: &'a Seed, now: Tick) -> LaneContext<'a> {
    LaneContext {
        seed,
        now: Stamp::new(now, false),
        ttl_steps: ttl_steps(settings.peer_ttl_secs),
        peer_ids: settings.peer_ids,
        crowding: Crowding {
            per_address_max: settings.ports_per_address_max,
            per_prefix_max: settings.peers_per_prefix_max,
        },
    }
}

/// Lanes whose peers an announcer of some kind gets, nearest first.
fn visible_kinds(private_peers: PrivatePeers, own: LaneKind) -> impl Iterator<Item = LaneKind> {
    use LaneKind::{Ipv4, Ipv4Local, Ipv6, Ipv6Local};
    let local = matches!(own, Ipv4Local | Ipv6Local) && private_peers == PrivatePeers::Match;
    [Ipv4Local, Ipv6Local, Ipv4, Ipv6]
        .into_iter()
        .filter(move |kind| local || matches!(kind, Ipv4 | Ipv6))
}

/// Whether the announcer can use seeders, by its class in the swarm or by what it says.
fn wants_pieces(settings: &SwarmSettings, peer: &Peer<'_>, body: &Body, own: Option<Spot>) -> bool {
    let request = &peer.announce.request;
    let stored = own.and_then(|spot| body::class_at(body, peer.kind, spot));
    let said = || match decide(request, None, settings.completed_overrides_left) {
        Decision::Keep { class, .. } => Some(class),
        Decision::Remove => None,
    };
    stored.or_else(said) == Some(PeerClass::Leecher)
}

/// Whether an address is private, loopback or link-local: reachable from its own network only.
#[must_use]
pub const fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // RFC 6598: addresses behind a carrier's NAT are no more reachable than RFC 1918 ones.
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
