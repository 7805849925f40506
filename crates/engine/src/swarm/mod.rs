//! Swarms in memory: what an announce does to them, what a scrape reads from them.
//!
//! A [`Shard`] owns the swarms of some info hashes. It knows no rule about who may announce, no
//! transport, no clock and no lock: time, randomness and permission are handed in.

mod ahead;
mod answer;
mod body;
mod decide;
mod endpoint;
mod index;
mod lane;
mod left_out;
mod part;
mod recent;
mod select;
mod sweep;
mod table;
mod totals;
mod walk;
mod webrtc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use fastrand::Rng;
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, PeerId};

pub use ahead::STEPS_AHEAD;
pub use endpoint::{Connection, WEBRTC_BYTES, WebrtcPeer, webrtc_peers};
pub use lane::LaneKind;
pub use left_out::LeftOut;
pub use part::PeerClass;
pub use sweep::Swept;
pub use totals::{Pressure, Totals};
pub use walk::StoredPeer;

use crate::gate::RateTable;
use crate::hash::Seed;
use crate::time::{Stamp, Tick, ttl_steps};
use body::{Peer, Visit};
use decide::{Decision, decide};
use endpoint::Endpoint;
use lane::{Crowding, LaneContext, Spot};
use part::Row;
use recent::RecentCompletions;
use table::{Body, Table, Torrent};
use totals::Published;

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
    /// The same for WebRTC peers, whose connections tell earlier that they are gone.
    pub webrtc_peer_ttl_secs: u32,
    /// Whether 20 bytes of peer id are kept for each peer.
    pub peer_ids: bool,
    /// Ports that one address may have in one swarm; 0 means no limit.
    pub ports_per_address_max: u32,
    /// Peers that one IPv6 /64 may have in one swarm; 0 means no limit.
    pub peers_per_prefix_max: u32,
    /// Torrents in all shards at the most; further ones are answered but not stored.
    pub torrents_max: u64,
    /// Peers in all shards at the most; further ones are answered but not stored.
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
            webrtc_peer_ttl_secs: 240,
            peer_ids: true,
            ports_per_address_max: 8,
            peers_per_prefix_max: 16,
            torrents_max: u64::MAX,
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
    /// The connection that leads to it, if it is a WebRTC peer. Its port means nothing then.
    pub connection: Option<Connection>,
    /// Whether the peer is to be stored. An unlisted one gets peers and stays unknown.
    pub listed: bool,
}

const _: () = assert!(size_of::<Announce>() <= 128, "what is copied without a call");

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
/// IPv6 peer, [`WEBRTC_BYTES`] a WebRTC peer. WebRTC peers meet nobody else, so only one of them gets
/// any.
#[derive(Debug, Default)]
pub struct PeerRoom<'a> {
    /// Room for IPv4 endpoints in wire order.
    pub ipv4: &'a mut [u8],
    /// Room for IPv6 endpoints in wire order.
    pub ipv6: &'a mut [u8],
    /// Room for WebRTC peers, to be read by [`webrtc_peers`].
    pub webrtc: &'a mut [u8],
    /// Filled with the peer ids of the former two, in the same order, where they are kept.
    pub peer_ids: Option<&'a mut PeerIds>,
    /// Peers that are not to be among them, although they are not the announcer.
    pub left_out: Option<&'a LeftOut>,
}

/// The peer ids that belong to the endpoints of an answer.
#[derive(Clone, Debug, Default)]
pub struct PeerIds {
    /// One for each IPv4 endpoint, or none at all.
    pub ipv4: Vec<PeerId>,
    /// One for each IPv6 endpoint, or none at all.
    pub ipv6: Vec<PeerId>,
}

/// How many peers a swarm has: those over WebRTC, or all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that still want pieces, without partial seeds.
    pub leechers: u32,
    /// Peers that have all they want but not everything (BEP 21).
    pub partial_seeds: u32,
    /// Finished downloads reported so far, by peers of any kind.
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
    /// Bytes written to [`PeerRoom::webrtc`].
    pub webrtc_bytes: usize,
    /// Whether this announce finished a download that was not counted before.
    pub completion_counted: bool,
    /// Whether the peer was turned away by a bound on torrents, peers or new torrents.
    pub not_stored: bool,
    /// Whether another WebRTC peer has this peer id, from another address; nothing was changed.
    pub peer_id_in_use: bool,
}

/// What a shard holds, counted as it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Torrents with or without peers.
    pub torrents: u64,
    /// Peers by [`LaneKind`] and [`PeerClass`].
    pub peers: [[u64; 3]; LaneKind::ALL.len()],
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
    totals: Published,
    sweep: sweep::Cursor,
    now: Tick,
}

impl Shard {
    /// Makes an empty shard that is alone.
    #[must_use]
    pub fn new(settings: SwarmSettings, seed: Seed) -> Self {
        Self::sharing(settings, seed, Arc::default())
    }

    /// Makes an empty shard beside others: they have one seed and are bounded together.
    #[must_use]
    pub fn sharing(settings: SwarmSettings, seed: Seed, totals: Arc<Totals>) -> Self {
        Self {
            table: Table::new(settings.peer_ids),
            recent: RecentCompletions::default(),
            tally: Tally::default(),
            totals: Published::new(totals),
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

    /// Reads one swarm, but for its WebRTC peers, without changing anything (BEP 48).
    #[must_use]
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<Counts> {
        self.scrape_hashed(self.seed.hash(info_hash.as_bytes()), info_hash)
    }

    /// [`Self::scrape`] for a caller that knows the hash of the info hash under the shard's seed.
    #[must_use]
    pub fn scrape_hashed(&self, hash: u64, info_hash: &InfoHash) -> Option<Counts> {
        let number = self.table.find(hash, info_hash)?;
        Some(body::counts(self.table.torrent(number), false))
    }

    /// Carries out an announce and writes the peers of its answer.
    pub fn announce(
        &mut self,
        moment: &mut Moment<'_>,
        announce: &Announce,
        room: PeerRoom<'_>,
    ) -> Announced {
        let hash = self.seed.hash(announce.request.info_hash.as_bytes());
        self.announce_hashed(hash, moment, announce, room)
    }

    /// [`Self::announce`] for a caller that knows the hash of the info hash under the shard's seed.
    pub fn announce_hashed(
        &mut self,
        hash: u64,
        moment: &mut Moment<'_>,
        announce: &Announce,
        room: PeerRoom<'_>,
    ) -> Announced {
        moment.now = self.latest(moment.now);
        let request = &announce.request;
        let (kind, endpoint) = (self.kind_of(announce), self.endpoint_of(announce));
        let peer = Peer { endpoint, kind, announce };
        let number = match self.table.find(hash, &request.info_hash) {
            Some(number) => number,
            None if !announce.listed || request.event == AnnounceEvent::Stopped => {
                return Announced::default();
            }
            None => match self.new_torrent(moment, &peer) {
                Ok(number) => number,
                Err(NoRoom) => return Announced { not_stored: true, ..Announced::default() },
            },
        };
        let peers_full = self.peers_full();
        let pressure = self.totals.pressure();
        let Self { settings, seed, table, tally, recent, .. } = self;
        let dice = if pressure < Pressure::High { 0 } else { moment.rng.u32(..) };
        let context =
            LaneContext { dice, ..lane_context(settings, seed, pressure, kind, moment.now) };
        let mut visit = Visit { context, settings, tally, table, number, peer: &peer };
        let (mut announced, own) = visit.update(recent, moment.now, pressure, peers_full);
        if request.event != AnnounceEvent::Stopped && !announced.peer_id_in_use {
            visit.choose(moment.rng, own, room, &mut announced);
        }
        announced.counts = body::counts(self.table.torrent(number), kind.is_webrtc());
        self.settle(moment.now, number);
        self.publish();
        announced
    }

    /// Makes a record for a torrent that nobody announced yet.
    ///
    /// # Errors
    /// If there is no room for it, or too many came from this address.
    fn new_torrent(&mut self, moment: &mut Moment<'_>, peer: &Peer<'_>) -> Result<u32, NoRoom> {
        if self.table.is_full() || self.peers_full() {
            return Err(NoRoom);
        }
        // Nothing may grow, and only an IPv4 peer fits into the record that becomes free.
        let pressed = self.totals.pressure() == Pressure::Full;
        if pressed && !peer.kind.is_ipv4() {
            return Err(NoRoom);
        }
        // Asked before anything is forgotten: whoever brings too many must not empty the table.
        if !moment.new_torrents.take(peer.announce.ip, moment.now) {
            return Err(NoRoom);
        }
        let torrents_full = pressed || self.totals.torrents() >= self.settings.torrents_max;
        if torrents_full && !self.forget_some_empty(moment.rng) {
            return Err(NoRoom);
        }
        self.tally.torrents += 1;
        let info_hash = peer.announce.request.info_hash;
        let body = Body::Empty(Stamp::new(moment.now, false));
        Ok(self.table.insert(&self.seed, Torrent { info_hash, completions: 0, body }))
    }

    /// Frees a torrent without peers, if a few random looks find one: what is only remembered must
    /// not keep out what is there.
    fn forget_some_empty(&mut self, rng: &mut Rng) -> bool {
        for _ in 0..EMPTY_TORRENT_LOOKS {
            if self.table.len() == 0 {
                return false;
            }
            let number = rng.u32(0..self.table.len());
            if matches!(self.table.torrent(number).body, Body::Empty(_)) {
                self.remove_torrent(number);
                return true;
            }
        }
        false
    }

    fn peers_full(&self) -> bool {
        self.totals.peers() >= self.settings.peers_max
    }

    /// Lets the other shards know what changed here.
    fn publish(&mut self) {
        self.totals.publish(&self.tally);
    }

    /// Brings a torrent back to its smallest form, and frees it when nothing is left to remember.
    #[inline]
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

    #[inline]
    fn kind_of(&self, announce: &Announce) -> LaneKind {
        if announce.connection.is_some() {
            return LaneKind::Webrtc;
        }
        let ip = announce.ip;
        let local = self.settings.private_peers != PrivatePeers::Always && is_local(ip);
        match (ip.is_ipv4(), local) {
            (true, false) => LaneKind::Ipv4,
            (true, true) => LaneKind::Ipv4Local,
            (false, false) => LaneKind::Ipv6,
            (false, true) => LaneKind::Ipv6Local,
        }
    }

    #[inline]
    fn endpoint_of(&self, announce: &Announce) -> Endpoint {
        match announce.connection {
            None => Endpoint::new(announce.ip, announce.request.port),
            Some(connection) => {
                let peer = WebrtcPeer { peer_id: announce.request.peer_id, connection };
                Endpoint::webrtc(&peer).owned_by(announce.ip, &self.seed)
            }
        }
    }
}

impl Visit<'_> {
    /// Applies the announce to the swarm and tells where the announcer stands now.
    #[inline]
    fn update(
        &mut self,
        recent: &mut RecentCompletions,
        now: Tick,
        pressure: Pressure,
        peers_full: bool,
    ) -> (Announced, Option<Spot>) {
        let Self { settings, peer, .. } = *self;
        let request = &peer.announce.request;
        let mut announced = Announced::default();
        // A peer in a record is none that a WebRTC peer meets, and lives by another time.
        if !peer.kind.is_webrtc() {
            body::expire_single(&self.context, self.tally, self.table, self.number);
        }
        if !peer.announce.listed {
            return (announced, None);
        }
        let known = self.known();
        if peer.kind.is_webrtc() && self.is_anothers(known.as_ref()) {
            announced.peer_id_in_use = true;
            return (announced, None);
        }
        let before = known.as_ref().and_then(|known| known.class_and_flag);
        let class_before = before.map(|(class, _)| class);
        let decision = decide(request, class_before, settings.completed_overrides_left);
        let Decision::Keep { class, completed } = decision else {
            self.take_out(known);
            return (announced, None);
        };
        let no_room = pressure == Pressure::Full && !self.fits_without_growing();
        if before.is_none() && (peers_full || no_room) {
            announced.not_stored = true;
            return (announced, None);
        }
        let counted_before = before.is_some_and(|(_, counted)| counted);
        if completed
            && !counted_before
            && recent.first_time(self.context.seed, request, now, settings.peer_ttl_secs)
        {
            let completions = &mut self.table.torrent_mut(self.number).completions;
            *completions = completions.saturating_add(1);
            self.tally.completions += 1;
            announced.completion_counted = true;
        }
        let row = Row {
            endpoint: peer.endpoint.as_bytes(),
            class,
            stamp: self.context.now.with_flag(counted_before || completed),
            peer_id: &request.peer_id,
        };
        (announced, Some(self.put_in(known, &row)))
    }
}

/// There is no room for another torrent, or not for one from this address.
struct NoRoom;

/// Torrents that are looked at to find one without peers when there is no room for another.
const EMPTY_TORRENT_LOOKS: u32 = 8;

/// What lanes that meet need to know; `kind` is any of theirs.
const fn lane_context<'a>(
    settings: &SwarmSettings,
    seed: &'a Seed,
    pressure: Pressure,
    kind: LaneKind,
    now: Tick,
) -> LaneContext<'a> {
    let ttl_secs =
        if kind.is_webrtc() { settings.webrtc_peer_ttl_secs } else { settings.peer_ttl_secs };
    LaneContext {
        seed,
        now: Stamp::new(now, false),
        ttl_steps: ttl_steps(ttl_secs * pressure.ttl_percent() / 100),
        lane_peers_max: pressure.lane_peers_max(),
        dice: 0,
        peer_ids: settings.peer_ids,
        crowding: Crowding {
            per_address_max: settings.ports_per_address_max,
            per_prefix_max: settings.peers_per_prefix_max,
        },
    }
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
