//! The naive tracker: one map of records, no parts, no columns, no choice at random.
//!
//! It is too slow for anything but comparing: every answer is a walk over all records. What it says
//! is what the rules say, so it shares no code with `swarm` beyond the words. [`SideBySide`] feeds
//! it and a shard with the same announces.

mod side_by_side;
mod webrtc;

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use skep_proto::{AnnounceEvent, InfoHash, PeerId};

pub use side_by_side::{SideBySide, Wanted};

use crate::limits::{EMPTY_TORRENT_TTL_SECS, RECENT_COMPLETIONS_MAX};
use crate::swarm::{
    Announce, Connection, Counts, LaneKind, PeerClass, PrivatePeers, SwarmSettings, WebrtcPeer,
    is_local,
};
use crate::{STAMP_STEP_SECS, Tick};

/// What tells a peer from the others of its swarm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    Endpoint(SocketAddr),
    Webrtc(PeerId),
}

impl Key {
    fn of(announce: &Announce) -> Self {
        match announce.connection {
            None => Self::Endpoint(SocketAddr::new(announce.ip, announce.request.port)),
            Some(_) => Self::Webrtc(announce.request.peer_id),
        }
    }
}

/// A peer as somebody might write it down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it is; the port of a WebRTC peer means nothing.
    pub endpoint: SocketAddr,
    /// The connection that leads to it, if it is a WebRTC peer.
    pub connection: Option<Connection>,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// What it is to its swarm.
    pub class: PeerClass,
    seen: Tick,
    completion_counted: bool,
}

#[derive(Debug, Default)]
struct Swarm {
    records: BTreeMap<Key, Record>,
    completions: u32,
    /// Nobody was here after this moment.
    quiet_since: Tick,
    /// It was noticed at this moment that nobody is here.
    empty_since: Tick,
}

/// What an announce must be answered with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) stored: bool,
    pub(crate) not_stored: bool,
    pub(crate) peer_id_in_use: bool,
    pub(crate) completion_counted: bool,
    /// Every peer that the answer may carry.
    pub(crate) eligible: Vec<Record>,
}

/// What the engine chose where the rules leave a choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    /// Whether it found itself full; silent peers that were not swept yet may count or not.
    pub(crate) full: bool,
    /// Which of equally stale entries of a host had to go.
    pub(crate) evicted: Option<SocketAddr>,
}

/// Every swarm, in plain records.
#[derive(Debug)]
pub struct Model {
    settings: SwarmSettings,
    swarms: BTreeMap<InfoHash, Swarm>,
    recent: VecDeque<((InfoHash, PeerId, u64), Tick)>,
    completions: u64,
    expired: u64,
}

impl Model {
    fn new(settings: SwarmSettings) -> Self {
        Self {
            settings,
            swarms: BTreeMap::new(),
            recent: VecDeque::new(),
            completions: 0,
            expired: 0,
        }
    }

    fn is_silent(&self, record: &Record, now: Tick) -> bool {
        let steps = (now.0 / STAMP_STEP_SECS).saturating_sub(record.seen.0 / STAMP_STEP_SECS);
        let ttl_secs = match record.connection {
            None => self.settings.peer_ttl_secs,
            Some(_) => self.settings.webrtc_peer_ttl_secs,
        };
        steps > ttl_secs.div_ceil(STAMP_STEP_SECS)
    }

    fn has_silent(&self, now: Tick) -> bool {
        self.records().any(|record| self.is_silent(record, now))
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.swarms.values().flat_map(|swarm| swarm.records.values())
    }

    fn kind_of(&self, ip: IpAddr, connection: Option<Connection>) -> LaneKind {
        if connection.is_some() {
            return LaneKind::Webrtc;
        }
        let local = self.settings.private_peers != PrivatePeers::Always && is_local(ip);
        match (ip.is_ipv4(), local) {
            (true, false) => LaneKind::Ipv4,
            (true, true) => LaneKind::Ipv4Local,
            (false, false) => LaneKind::Ipv6,
            (false, true) => LaneKind::Ipv6Local,
        }
    }

    /// Whether an announcer may be told of a peer.
    fn may_meet(&self, announcer: &Announce, other: &Record) -> bool {
        if announcer.connection.is_some() || other.connection.is_some() {
            return announcer.connection.is_some() && other.connection.is_some();
        }
        !is_local(other.endpoint.ip())
            || match self.settings.private_peers {
                PrivatePeers::Always => true,
                PrivatePeers::Match => is_local(announcer.ip),
                PrivatePeers::Never => false,
            }
    }

    /// The counts of WebRTC peers or of all others, without silent peers, and with them.
    fn counts(&self, info_hash: &InfoHash, now: Tick, webrtc: bool) -> (Counts, Counts) {
        let Some(swarm) = self.swarms.get(info_hash) else {
            return Default::default();
        };
        let completions = swarm.completions;
        let mut least = Counts { completions, ..Counts::default() };
        let mut most = least;
        let counted = |record: &&Record| record.connection.is_some() == webrtc;
        for record in swarm.records.values().filter(counted) {
            let live = !self.is_silent(record, now);
            for (counts, counted) in [(&mut least, live), (&mut most, true)] {
                let slot = match record.class {
                    PeerClass::Seeder => &mut counts.seeders,
                    PeerClass::Leecher => &mut counts.leechers,
                    PeerClass::PartialSeed => &mut counts.partial_seeds,
                };
                *slot += u32::from(counted);
            }
        }
        (least, most)
    }

    /// Whether a swarm has something that no sweep takes away.
    fn knows(&self, info_hash: &InfoHash, now: Tick) -> bool {
        let live = |record: &Record| !self.is_silent(record, now);
        self.swarms
            .get(info_hash)
            .is_some_and(|swarm| swarm.completions > 0 || swarm.records.values().any(live))
    }

    /// Whether something is beyond its bound, when all silent peers count.
    fn is_full(&self, new_torrent: bool) -> bool {
        let SwarmSettings { torrents_max, peers_max, .. } = self.settings;
        new_torrent && self.swarms.len() as u64 >= torrents_max
            || peers_max != u64::MAX && self.records().count() as u64 >= peers_max
    }

    /// Those of whom one must go for the announcer to come, because their host has too many; the
    /// stalest, hence more than one where several are equally stale.
    fn crowd(&self, announce: &Announce, now: Tick) -> Vec<SocketAddr> {
        let request = &announce.request;
        let Some(swarm) = self.swarms.get(&request.info_hash) else {
            return Vec::new();
        };
        let live = |record: &&Record| !self.is_silent(record, now);
        let known = swarm.records.get(&Key::of(announce)).as_ref().is_some_and(live);
        if known || announce.connection.is_some() {
            return Vec::new();
        }
        let live = |record: &&Record| live(record) && record.connection.is_none();
        let SwarmSettings { ports_per_address_max, peers_per_prefix_max, .. } = self.settings;
        let limits: &[(u32, u32)] = match announce.ip {
            IpAddr::V4(_) => &[(32, ports_per_address_max)],
            IpAddr::V6(_) => &[(128, ports_per_address_max), (64, peers_per_prefix_max)],
        };
        for &(bits, max) in limits {
            let near = |record: &&Record| same_prefix(record.endpoint.ip(), announce.ip, bits);
            let crowd: Vec<_> = swarm.records.values().filter(live).filter(near).collect();
            if max == 0 || crowd.len() < max as usize {
                continue;
            }
            let step = |record: &&&Record| record.seen.0 / STAMP_STEP_SECS;
            let oldest = crowd.iter().map(|record| step(&record)).min();
            let stalest = crowd.iter().filter(|record| Some(step(record)) == oldest);
            return stalest.map(|record| record.endpoint).collect();
        }
        Vec::new()
    }

    /// Carries out an announce.
    fn announce(&mut self, now: Tick, announce: &Announce, choices: Choices) -> Verdict {
        let request = &announce.request;
        let key = Key::of(announce);
        let mut verdict = Verdict::default();
        let known_swarm = self.swarms.contains_key(&request.info_hash);
        let leaves = request.event == AnnounceEvent::Stopped;
        if !known_swarm && (leaves || !announce.listed) {
            return verdict;
        }
        if !known_swarm && choices.full {
            verdict.not_stored = true;
            return verdict;
        }
        let mut swarm = self.swarms.remove(&request.info_hash).unwrap_or_default();
        let was_empty = swarm.records.is_empty();
        let before = swarm.records.get(&key).copied();
        let known = before.filter(|record| announce.listed && !self.is_silent(record, now));
        if announce.listed
            && known.is_none()
            && let Some(silent) = before
        {
            swarm.records.remove(&key);
            swarm.quiet_since = swarm.quiet_since.max(silent.seen);
            self.expired += 1;
        }
        if known.is_some_and(|record| !may_speak_for(announce, &record)) {
            verdict.peer_id_in_use = true;
            self.swarms.insert(request.info_hash, swarm);
            return verdict;
        }
        let (class, finished) = self.class_after(announce, known.map(|record| record.class));
        if announce.listed && leaves {
            if swarm.records.remove(&key).is_some() {
                swarm.quiet_since = now;
            }
        } else if announce.listed && known.is_none() && choices.full {
            verdict.not_stored = true;
        } else if announce.listed {
            let counted_before = known.is_some_and(|record| record.completion_counted);
            if finished && !counted_before && self.is_first_completion(announce, now) {
                verdict.completion_counted = true;
                swarm.completions += 1;
                self.completions += 1;
            }
            if let Some(evicted) = choices.evicted {
                swarm.records.remove(&Key::Endpoint(evicted));
            }
            let record = Record {
                endpoint: SocketAddr::new(announce.ip, request.port),
                connection: announce.connection,
                peer_id: request.peer_id,
                class,
                seen: now,
                completion_counted: counted_before || finished,
            };
            swarm.records.insert(key, record);
            verdict.stored = true;
        }
        if !leaves {
            verdict.eligible = self.eligible(&swarm, now, announce, class, verdict.stored);
        }
        if swarm.records.is_empty() && !was_empty {
            swarm.empty_since = now;
        }
        if !swarm.records.is_empty() || swarm.completions > 0 {
            self.swarms.insert(request.info_hash, swarm);
        }
        verdict
    }

    /// The table of events: what the announcer is from now on, and whether it finished.
    fn class_after(&self, announce: &Announce, known: Option<PeerClass>) -> (PeerClass, bool) {
        let request = &announce.request;
        let was_seeder = known == Some(PeerClass::Seeder);
        match (request.event, request.left_bytes) {
            (AnnounceEvent::Completed, None | Some(0 | 16384)) => (PeerClass::Seeder, !was_seeder),
            (AnnounceEvent::Completed, Some(_)) if self.settings.completed_overrides_left => {
                (PeerClass::Seeder, false)
            }
            (AnnounceEvent::Completed, Some(_)) => (PeerClass::Leecher, false),
            (_, Some(0)) => (PeerClass::Seeder, false),
            (AnnounceEvent::Paused, Some(_)) => (PeerClass::PartialSeed, false),
            (AnnounceEvent::Paused, None) => (known.unwrap_or(PeerClass::PartialSeed), false),
            (_, Some(_)) => (PeerClass::Leecher, false),
            (_, None) => (known.unwrap_or(PeerClass::Leecher), false),
        }
    }

    fn is_first_completion(&mut self, announce: &Announce, now: Tick) -> bool {
        let request = &announce.request;
        let client = (request.info_hash, request.peer_id, request.peer_key.folded());
        if let Some((_, when)) = self.recent.iter_mut().find(|(seen, _)| *seen == client) {
            let long_ago = now.since(*when) > self.settings.peer_ttl_secs;
            *when = now;
            return long_ago;
        }
        if self.recent.len() == RECENT_COMPLETIONS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((client, now));
        true
    }

    fn eligible(
        &self,
        swarm: &Swarm,
        now: Tick,
        announce: &Announce,
        class: PeerClass,
        stored: bool,
    ) -> Vec<Record> {
        let (key, request) = (Key::of(announce), &announce.request);
        let own_kind = self.kind_of(announce.ip, announce.connection);
        let wanted = |(other, record): &(&Key, &Record)| {
            let kind = self.kind_of(record.endpoint.ip(), record.connection);
            let useful = class == PeerClass::Leecher
                || record.class == PeerClass::Leecher
                || self.settings.seeds_to_seeds;
            let same_client = if announce.connection.is_some() {
                record.peer_id == request.peer_id || record.connection == announce.connection
            } else {
                // Its other address, as far as one can tell.
                self.settings.peer_ids
                    && record.peer_id == request.peer_id
                    && !(stored && kind == own_kind)
            };
            let itself = announce.listed && **other == key;
            useful
                && !same_client
                && !itself
                && !self.is_silent(record, now)
                && self.may_meet(announce, record)
        };
        swarm.records.iter().filter(wanted).map(|(_, record)| *record).collect()
    }

    /// The live record of a WebRTC peer, if the connection leads to it.
    fn webrtc_record(
        &mut self,
        now: Tick,
        info_hash: &InfoHash,
        peer: &WebrtcPeer,
    ) -> Option<&mut Record> {
        let record = self.swarms.get(info_hash)?.records.get(&Key::Webrtc(peer.peer_id))?;
        let owned = record.connection == Some(peer.connection) && !self.is_silent(record, now);
        let swarm = self.swarms.get_mut(info_hash).filter(|_| owned)?;
        swarm.records.get_mut(&Key::Webrtc(peer.peer_id))
    }

    /// Refreshes the sender of a message and tells where its receiver is.
    fn relay(
        &mut self,
        now: Tick,
        info_hash: &InfoHash,
        from: &WebrtcPeer,
        to: &PeerId,
    ) -> Option<Connection> {
        self.webrtc_record(now, info_hash, from)?.seen = now;
        let receiver = self.swarms.get(info_hash)?.records.get(&Key::Webrtc(*to))?;
        receiver.connection.filter(|_| !self.is_silent(receiver, now))
    }

    /// Removes a WebRTC peer if the connection leads to it; tells whether it does.
    fn leave(&mut self, now: Tick, info_hash: &InfoHash, peer: &WebrtcPeer) -> bool {
        let owned = self.webrtc_record(now, info_hash, peer).is_some();
        if owned && let Some(mut swarm) = self.swarms.remove(info_hash) {
            swarm.records.remove(&Key::Webrtc(peer.peer_id));
            swarm.quiet_since = now;
            if swarm.records.is_empty() {
                swarm.empty_since = now;
            }
            if !swarm.records.is_empty() || swarm.completions > 0 {
                self.swarms.insert(*info_hash, swarm);
            }
        }
        owned
    }

    /// Removes silent peers, and swarms of which nothing is left to remember. `kept` tells whether
    /// the engine still has a swarm.
    ///
    /// # Errors
    /// The swarm that it should have forgotten, or should not.
    fn sweep(
        &mut self,
        now: Tick,
        kept: impl Fn(&InfoHash) -> bool,
    ) -> Result<(), (InfoHash, &'static str)> {
        let hashes: Vec<InfoHash> = self.swarms.keys().copied().collect();
        for info_hash in hashes {
            let mut swarm = self.swarms.remove(&info_hash).unwrap_or_default();
            if !swarm.records.is_empty() {
                let newest = swarm.records.values().map(|record| record.seen).max();
                let before = swarm.records.len();
                swarm.records.retain(|_, record| !self.is_silent(record, now));
                self.expired += (before - swarm.records.len()) as u64;
                if swarm.records.is_empty() {
                    swarm.quiet_since = swarm.quiet_since.max(newest.unwrap_or(now));
                    swarm.empty_since = now;
                }
            }
            let is_kept = kept(&info_hash);
            if swarm.records.is_empty() {
                let steps = |since: Tick| now.0 / STAMP_STEP_SECS - since.0 / STAMP_STEP_SECS;
                let ttl_steps = EMPTY_TORRENT_TTL_SECS / STAMP_STEP_SECS;
                let may_go = swarm.completions == 0 || steps(swarm.quiet_since) > ttl_steps;
                let must_go = swarm.completions == 0 || steps(swarm.empty_since) > ttl_steps;
                if is_kept && must_go {
                    return Err((info_hash, "kept for too long"));
                }
                if !is_kept && !may_go {
                    return Err((info_hash, "forgotten too early"));
                }
            } else if !is_kept {
                return Err((info_hash, "forgotten with its peers"));
            }
            if is_kept {
                self.swarms.insert(info_hash, swarm);
            }
        }
        Ok(())
    }

    /// Whether a swarm was empty for so long that any sweep may forget it.
    fn may_forget(&self, now: Tick) -> bool {
        self.swarms.values().any(|swarm| {
            swarm.records.is_empty() && now.since(swarm.quiet_since) + 60 > EMPTY_TORRENT_TTL_SECS
        })
    }

    /// Whether some swarm is only remembered.
    fn has_empty(&self) -> bool {
        self.swarms.values().any(|swarm| swarm.records.is_empty())
    }

    /// Drops a swarm; its peers, all of them silent, count as expired.
    fn forget(&mut self, info_hash: &InfoHash) {
        if let Some(swarm) = self.swarms.remove(info_hash) {
            self.expired += swarm.records.len() as u64;
        }
    }

    fn retain(&mut self, keep: impl Fn(&InfoHash) -> bool) {
        self.swarms.retain(|info_hash, _| keep(info_hash));
    }
}

/// Whether an announcer may change a record: others know the peer id of a WebRTC peer, so it must come
/// on the same connection or from the same address.
fn may_speak_for(announce: &Announce, record: &Record) -> bool {
    // A connection that a peer has left cannot stop it.
    let moves = announce.request.event != AnnounceEvent::Stopped;
    announce.connection == record.connection || moves && announce.ip == record.endpoint.ip()
}

fn same_prefix(some: IpAddr, other: IpAddr, bits: u32) -> bool {
    match (some, other) {
        (IpAddr::V4(some), IpAddr::V4(other)) => some == other,
        (IpAddr::V6(some), IpAddr::V6(other)) => {
            (some.to_bits() ^ other.to_bits()) >> (128 - bits) == 0
        }
        _ => false,
    }
}
