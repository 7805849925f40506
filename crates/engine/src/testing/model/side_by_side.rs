//! A shard and the model under the same announces, compared after each.
//!
//! It decides nothing about what comes next: whoever drives it does. Silent peers that no sweep has
//! met yet may count or not; once all are swept, everything must agree to the last peer.

use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use fastrand::Rng;
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES, unpack_ipv4, unpack_ipv6};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

use super::{Choices, Model, Record, Verdict};
use crate::gate::RateTable;
use crate::swarm::{
    Announce, Announced, Counts, Moment, PeerClass, PeerIds, PeerRoom, PrivatePeers, Shard,
    SwarmSettings, Swept, Tally,
};
use crate::{Seed, Tick};

/// Seconds after which everything is swept whether asked or not, as a real tracker would.
const FULL_SWEEP_SECS: u32 = 4 * 3600;

/// The peer id of whoever calls the roll; no other client may have it.
const STRANGER: PeerId = PeerId([0xff; 20]);

/// How many peers of each family an answer may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// IPv4 peers.
    pub ipv4: usize,
    /// IPv6 peers.
    pub ipv6: usize,
}

/// The peers of an answer, each with its peer id if those are kept.
type Returned = Vec<(SocketAddr, Option<PeerId>)>;

/// Two trackers that must not differ.
#[derive(Debug)]
pub struct SideBySide {
    pub(super) model: Model,
    pub(super) shard: Shard,
    pub(super) now: Tick,
    swept_at: Tick,
    pub(super) rng: Rng,
    pub(super) new_torrents: RateTable,
}

impl SideBySide {
    /// Makes both; `now` is the time they begin at.
    #[must_use]
    pub fn new(settings: SwarmSettings, seed: u64, now: Tick) -> Self {
        let hashes = Seed::new(seed);
        let mut both = Self {
            model: Model::new(settings.clone()),
            shard: Shard::new(settings, hashes.clone()),
            now,
            swept_at: now,
            rng: Rng::with_seed(seed),
            new_torrents: RateTable::new(hashes, 0, 32, 64),
        };
        both.be_there();
        both
    }

    /// The time that both have reached.
    #[must_use]
    pub const fn now(&self) -> Tick {
        self.now
    }

    /// The shard, to read.
    #[must_use]
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Announces to both. `late_secs` is how long ago the announcer's worker read its clock.
    ///
    /// # Errors
    /// What differs.
    pub fn announce(
        &mut self,
        announce: &Announce,
        wanted: Wanted,
        late_secs: u32,
    ) -> Result<(), String> {
        let crowd = self.crowd(announce);
        let invisible = self.model.settings.private_peers == PrivatePeers::Never;
        if crowd.len() > 1 && invisible {
            // Nobody can see which of them has to go.
            return Ok(());
        }
        let late = Tick(self.now.0.saturating_sub(late_secs));
        let (announced, returned) = self.ask(announce, wanted, late)?;
        self.forget_what_made_room(announce)?;
        let evicted = match crowd.as_slice() {
            [] => None,
            [only] => Some(*only),
            several => self.missing_of(announce, several)?,
        };
        let choices = Choices {
            full: self.is_full(announce, &announced),
            evicted: evicted.filter(|_| !announced.not_stored),
        };
        let verdict = self.model.announce(self.now, announce, choices);
        self.compare(announce, &announced, &verdict)
            .and_then(|()| self.compare_peers(wanted, &announced, &returned, &verdict))
            .map_err(|what| format!("{what}\n  after {announce:?}\n  {verdict:?}"))
    }

    /// Moves the time. Silent peers stay until a sweep or an announce meets them.
    ///
    /// # Errors
    /// What differs, if so much time passed that everything was swept.
    pub fn advance(&mut self, secs: u32) -> Result<(), String> {
        self.now = self.now.plus(secs);
        self.be_there();
        let overdue = self.now.since(self.swept_at) > FULL_SWEEP_SECS;
        if overdue || self.model.may_forget(self.now) {
            return self.sweep_all();
        }
        Ok(())
    }

    /// Shows the shard the time, so that whoever comes late finds it ahead of itself.
    fn be_there(&mut self) {
        self.sweep(0);
    }

    /// Lets the shard sweep a little.
    pub fn sweep(&mut self, budget: u32) {
        self.shard.sweep(self.now, budget);
    }

    /// Sweeps everything and compares all that is left.
    ///
    /// # Errors
    /// What differs.
    pub fn sweep_all(&mut self) -> Result<(), String> {
        self.swept_at = self.now;
        // The first end may be that of a sweep that began long ago.
        for _ in 0..2 {
            while self.shard.sweep(self.now, 16) == Swept::More {}
        }
        let shard = &self.shard;
        let kept = |info_hash: &InfoHash| shard.scrape(info_hash).is_some();
        self.model
            .sweep(self.now, kept)
            .map_err(|(info_hash, what)| format!("{info_hash} was {what}"))?;
        self.recount()
    }

    /// Drops the torrents that are not wanted from both.
    ///
    /// # Errors
    /// What differs.
    pub fn retain(&mut self, keep: impl Fn(&InfoHash) -> bool) -> Result<(), String> {
        self.sweep_all()?;
        let mut from = Some(u32::MAX);
        while let Some(start) = from {
            from = self.shard.retain(start, 3, &keep);
        }
        self.model.retain(&keep);
        self.recount()
    }

    /// Compares every peer of a torrent that anybody may see, by asking for all of them.
    ///
    /// # Errors
    /// What differs.
    pub fn roll_call(&mut self, info_hash: &InfoHash) -> Result<(), String> {
        for (left_bytes, leechers_only) in [(1, false), (0, true)] {
            let found = self.everybody(info_hash, left_bytes)?;
            let all_seen = leechers_only && !self.model.settings.seeds_to_seeds;
            let mut expected: BTreeMap<SocketAddr, PeerId> = BTreeMap::new();
            for record in self.live_records(info_hash, false) {
                if !all_seen || record.class == PeerClass::Leecher {
                    expected.insert(record.endpoint, record.peer_id);
                }
            }
            if self.model.settings.private_peers == PrivatePeers::Never {
                expected.retain(|endpoint, _| !crate::swarm::is_local(endpoint.ip()));
            }
            for (endpoint, peer_id) in &found {
                match expected.remove(endpoint) {
                    None => return Err(format!("{info_hash} holds a ghost at {endpoint}")),
                    Some(id) if peer_id.is_some_and(|kept| kept != id) => {
                        return Err(format!("{info_hash} has a wrong peer id at {endpoint}"));
                    }
                    Some(_) => {}
                }
            }
            if let Some((endpoint, _)) = expected.first_key_value() {
                return Err(format!("{info_hash} has lost {endpoint}"));
            }
        }
        Ok(())
    }

    /// Compares what both know of a torrent without asking for peers.
    ///
    /// # Errors
    /// What differs.
    pub fn scrape(&self, info_hash: &InfoHash) -> Result<(), String> {
        let counts = self.shard.scrape(info_hash).unwrap_or_default();
        self.check_counts(info_hash, &counts, false)?;
        let counts = self.shard.webrtc_scrape(info_hash).unwrap_or_default();
        self.check_counts(info_hash, &counts, true)
    }

    fn ask(
        &mut self,
        announce: &Announce,
        wanted: Wanted,
        now: Tick,
    ) -> Result<(Announced, Returned), String> {
        let mut ipv4 = vec![0; wanted.ipv4 * IPV4_BYTES];
        let mut ipv6 = vec![0; wanted.ipv6 * IPV6_BYTES];
        let mut ids = PeerIds::default();
        let mut moment = Moment { now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let room = PeerRoom {
            ipv4: &mut ipv4,
            ipv6: &mut ipv6,
            peer_ids: Some(&mut ids),
            ..PeerRoom::default()
        };
        let announced = self.shard.announce(&mut moment, announce, room);
        let (ipv4, odd4) = ipv4[..announced.ipv4_bytes].as_chunks();
        let (ipv6, odd6) = ipv6[..announced.ipv6_bytes].as_chunks();
        if !odd4.is_empty() || !odd6.is_empty() {
            return Err("half a peer".into());
        }
        let kept = self.model.settings.peer_ids;
        let expected = |peers: usize| if kept { peers } else { 0 };
        if ids.ipv4.len() != expected(ipv4.len()) || ids.ipv6.len() != expected(ipv6.len()) {
            return Err(format!("{ids:?} for {} and {} peers", ipv4.len(), ipv6.len()));
        }
        let ipv4 = ipv4.iter().map(unpack_ipv4).map(SocketAddr::from);
        let ipv6 = ipv6.iter().map(unpack_ipv6).map(SocketAddr::from);
        let mut ids = ids.ipv4.into_iter().chain(ids.ipv6);
        let returned = ipv4.chain(ipv6).map(|endpoint| (endpoint, ids.next()));
        Ok((announced, returned.collect()))
    }

    /// Every visible peer, as a stranger without a port is told.
    fn everybody(&mut self, info_hash: &InfoHash, left_bytes: u64) -> Result<Returned, String> {
        let announce = stranger(info_hash, left_bytes);
        let all = self.model.swarms.get(info_hash);
        let all = all.map_or(0, |swarm| swarm.records.len()) + 8;
        let wanted = Wanted { ipv4: all, ipv6: all };
        let (_, returned) = self.ask(&announce, wanted, self.now)?;
        Ok(returned)
    }

    pub(super) fn live_records(
        &self,
        info_hash: &InfoHash,
        webrtc: bool,
    ) -> impl Iterator<Item = &Record> {
        let swarm = self.model.swarms.get(info_hash).into_iter();
        swarm
            .flat_map(|swarm| swarm.records.values())
            .filter(move |record| record.connection.is_some() == webrtc)
            .filter(|record| !self.model.is_silent(record, self.now))
    }

    fn crowd(&self, announce: &Announce) -> Vec<SocketAddr> {
        if !announce.listed || announce.request.event == AnnounceEvent::Stopped {
            return Vec::new();
        }
        self.model.crowd(announce, self.now)
    }

    fn missing_of(
        &mut self,
        announce: &Announce,
        several: &[SocketAddr],
    ) -> Result<Option<SocketAddr>, String> {
        let left = self.everybody(&announce.request.info_hash, 1)?;
        let is_left = |endpoint: &SocketAddr| left.iter().any(|(other, _)| other == endpoint);
        let mut missing = several.iter().filter(|endpoint| !is_left(endpoint));
        let first = missing.next().copied();
        match missing.next() {
            Some(second) => Err(format!("{first:?} and {second} went for one")),
            None => Ok(first),
        }
    }

    /// Whether the shard had reached a bound; its own word counts while silent peers are about, or
    /// torrents without peers, which may or may not be found to make room.
    pub(super) fn is_full(&self, announce: &Announce, announced: &Announced) -> bool {
        let at_most = self.model.is_full(!self.model.knows(&announce.request.info_hash, self.now));
        let unsure = self.model.has_silent(self.now) || self.model.has_empty();
        if at_most && unsure { announced.not_stored } else { at_most }
    }

    /// Drops from the model the torrent without peers that the shard forgot for a new one.
    pub(super) fn forget_what_made_room(&mut self, announce: &Announce) -> Result<(), String> {
        let new = &announce.request.info_hash;
        if self.model.settings.torrents_max == u64::MAX {
            return Ok(());
        }
        // The shard may count torrents whose peers all fell silent, which the model dropped.
        let full = self.shard.tally().torrents >= self.model.settings.torrents_max;
        let forgotten: Vec<_> = self
            .model
            .swarms
            .keys()
            .filter(|info_hash| *info_hash != new && self.model.knows(info_hash, self.now))
            .filter(|info_hash| self.shard.scrape(info_hash).is_none())
            .copied()
            .collect();
        for info_hash in forgotten {
            let live = self.model.swarms[&info_hash]
                .records
                .values()
                .any(|record| !self.model.is_silent(record, self.now));
            if live || !full {
                return Err(format!("{info_hash} was forgotten for {new}"));
            }
            self.model.forget(&info_hash);
        }
        Ok(())
    }

    pub(super) fn compare(
        &self,
        announce: &Announce,
        announced: &Announced,
        verdict: &Verdict,
    ) -> Result<(), String> {
        if announced.not_stored != verdict.not_stored {
            return Err(format!("not_stored is {}", announced.not_stored));
        }
        if announced.peer_id_in_use != verdict.peer_id_in_use {
            return Err(format!("peer_id_in_use is {}", announced.peer_id_in_use));
        }
        if announced.completion_counted != verdict.completion_counted {
            return Err(format!("completion_counted is {}", announced.completion_counted));
        }
        let info_hash = &announce.request.info_hash;
        let known = self.model.swarms.contains_key(info_hash);
        if known {
            self.check_counts(info_hash, &announced.counts, announce.connection.is_some())?;
        } else if announced.counts != Counts::default() {
            return Err(format!("{:?} of nobody", announced.counts));
        }
        Ok(())
    }

    fn compare_peers(
        &self,
        wanted: Wanted,
        announced: &Announced,
        returned: &Returned,
        verdict: &Verdict,
    ) -> Result<(), String> {
        let mut eligible: BTreeMap<SocketAddr, PeerId> =
            verdict.eligible.iter().map(|record| (record.endpoint, record.peer_id)).collect();
        let of_family = |ipv4: bool| {
            let records = verdict.eligible.iter();
            records.filter(|record| record.endpoint.is_ipv4() == ipv4).count()
        };
        let (ipv4, ipv6) = (of_family(true).min(wanted.ipv4), of_family(false).min(wanted.ipv6));
        let lengths = (announced.ipv4_bytes, announced.ipv6_bytes, announced.webrtc_bytes);
        if lengths != (ipv4 * IPV4_BYTES, ipv6 * IPV6_BYTES, 0) {
            return Err(format!("{lengths:?} bytes for {ipv4} and {ipv6} peers"));
        }
        for (endpoint, peer_id) in returned {
            // Taken out, so that none may come twice.
            let Some(id) = eligible.remove(endpoint) else {
                return Err(format!("{endpoint} must not be returned"));
            };
            if peer_id.is_some_and(|kept| kept != id) {
                return Err(format!("{endpoint} is returned with a wrong peer id"));
            }
        }
        Ok(())
    }

    fn check_counts(
        &self,
        info_hash: &InfoHash,
        counts: &Counts,
        webrtc: bool,
    ) -> Result<(), String> {
        let (least, most) = self.model.counts(info_hash, self.now, webrtc);
        let fits = counts.completions == least.completions
            && (least.seeders..=most.seeders).contains(&counts.seeders)
            && (least.leechers..=most.leechers).contains(&counts.leechers)
            && (least.partial_seeds..=most.partial_seeds).contains(&counts.partial_seeds);
        if fits {
            return Ok(());
        }
        Err(format!("{info_hash} has {counts:?}, not {least:?} to {most:?}"))
    }

    /// Counts everything again, in both, when no silent peer is left.
    fn recount(&self) -> Result<(), String> {
        let mut expected = Tally {
            torrents: self.model.swarms.len() as u64,
            completions: self.model.completions,
            expired: self.model.expired,
            ..Tally::default()
        };
        for record in self.model.records() {
            let kind = self.model.kind_of(record.endpoint.ip(), record.connection);
            expected.peers[kind as usize][record.class as usize] += 1;
        }
        let tally = self.shard.tally();
        if *tally != expected {
            return Err(format!("{tally:?}, not {expected:?}"));
        }
        let mut torrents = 0;
        let mut wrong = None;
        self.shard.for_each(|info_hash, counts, webrtc| {
            torrents += 1;
            for (counts, webrtc) in [(counts, false), (webrtc, true)] {
                let found = self.check_counts(info_hash, &counts, webrtc).err();
                wrong = wrong.take().or(found);
            }
        });
        if torrents != expected.torrents {
            return Err(format!("{torrents} torrents, not {}", expected.torrents));
        }
        wrong.map_or(Ok(()), Err)
    }
}

/// Somebody without a port, who wants to see everybody and is not listed.
pub(super) fn stranger(info_hash: &InfoHash, left_bytes: u64) -> Announce {
    Announce {
        request: AnnounceRequest {
            info_hash: *info_hash,
            peer_id: STRANGER,
            port: 0,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes: Some(left_bytes),
            event: AnnounceEvent::None,
            num_want: NumWant::Default,
            peer_key: PeerKey::default(),
        },
        // Only neighbours are told of neighbours.
        ip: Ipv4Addr::new(10, 255, 255, 255).into(),
        connection: None,
        listed: false,
    }
}
