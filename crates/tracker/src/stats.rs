//! Statistics for people and monitors: each endpoint, or peer id over WebRTC, counted once over all
//! torrents.
//!
//! Only numbers are made here; pages are written in `pages`. No announce waits for more than one
//! shard of a count.

mod clients;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use skep_engine::swarm::{Counts, PeerClass, StoredPeer};
use skep_engine::{Seed, Tick};

use crate::runtime::clock::Clock;
use crate::shards::PeerStore;

/// Endpoints that are held while counting. With more of them in the store, a random half, quarter
/// and so on is counted and the numbers are scaled up.
const ENDPOINTS_MAX: usize = 262_144;

/// Below this many torrents and peers every request is answered with a fresh count, which is then no
/// more work than a few announces.
const LIVE_ENTRIES_MAX: u64 = 1_000;

/// Above this many a count is good for [`LARGE_SECS`], and for [`MEDIUM_SECS`] in between.
const MEDIUM_ENTRIES_MAX: u64 = 20_000;

/// How long a count of a store of medium size is good for: to the end of the second.
const MEDIUM_SECS: u32 = 1;

/// How long a count of a large store is good for.
const LARGE_SECS: u32 = 30;

/// Versions that are shown of one client; the peers of the rest are summed up.
const VERSIONS_MAX: usize = 32;

/// The version under which the rest is summed up.
const OTHER: &str = "other";

/// Everything counted at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Torrents in memory.
    pub torrents: u64,
    /// Torrents with at least one peer.
    pub active_torrents: u64,
    /// Endpoints, each counted once over all torrents. A WebRTC peer counts by its peer id.
    pub peers: u64,
    /// Endpoints that only seed.
    pub peers_seeder_only: u64,
    /// Endpoints that only leech; partial seeds are among them.
    pub peers_leecher_only: u64,
    /// Endpoints that seed some torrents and leech others.
    pub peers_seeder_and_leecher: u64,
    /// Endpoints with an IPv4 address.
    pub peers_ipv4: u64,
    /// Endpoints with an IPv6 address.
    pub peers_ipv6: u64,
    /// Client software, the most frequent first; empty where peer ids are not kept.
    pub clients: Vec<Client>,
    /// Whether the numbers of peers were scaled up from a part of them.
    pub sampled: bool,
}

/// How many endpoints run one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its name, `unknown` for all that are not known.
    pub name: &'static str,
    /// Its versions, the most frequent first. For the unknown these are beginnings of peer ids, in
    /// printable ASCII.
    pub versions: Vec<(String, u64)>,
}

/// Counts on request, and not too often.
pub struct Stats {
    store: Arc<dyn PeerStore>,
    seed: Seed,
    clock: Clock,
    /// Counts begun so far; changed only by who holds the turn.
    begun: AtomicU64,
    turn: Mutex<()>,
    last: ArcSwapOption<Counted>,
}

/// A count and its time.
struct Counted {
    at: Tick,
    /// 0 if it is good for nobody who comes later.
    good_for_secs: u32,
    snapshot: Arc<Snapshot>,
}

/// How long a count of so many torrents and peers is good for.
const fn good_for_secs(entries: u64) -> u32 {
    match entries {
        0..LIVE_ENTRIES_MAX => 0,
        LIVE_ENTRIES_MAX..MEDIUM_ENTRIES_MAX => MEDIUM_SECS,
        _ => LARGE_SECS,
    }
}

impl std::fmt::Debug for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stats").finish_non_exhaustive()
    }
}

impl Stats {
    /// Makes statistics of a store, without counting yet.
    #[must_use]
    pub fn new(store: Arc<dyn PeerStore>, seed: Seed, clock: Clock) -> Self {
        Self {
            store,
            seed,
            clock,
            begun: AtomicU64::new(0),
            turn: Mutex::default(),
            last: ArcSwapOption::empty(),
        }
    }

    /// Returns the last count if it is still good.
    #[must_use]
    pub fn kept(&self) -> Option<Arc<Snapshot>> {
        let last = self.last.load();
        let last = last.as_ref()?;
        let is_good = self.clock.now().since(last.at) < last.good_for_secs;
        is_good.then(|| Arc::clone(&last.snapshot))
    }

    /// Returns a count: a fresh one of a small store, one of the last half minute of a large one.
    ///
    /// # Cost
    /// May walk over every peer; never call it where requests are answered.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let begun = self.begun.load(Ordering::Acquire);
        if let Some(kept) = self.kept() {
            return kept;
        }
        let tally = self.store.tally();
        let good_for_secs = good_for_secs(tally.torrents + tally.peers_total());
        let _turn = match (self.turn.try_lock(), self.last.load_full()) {
            (Some(turn), _) => turn,
            // Somebody counts already, and a large store does not change much meanwhile.
            (None, Some(last)) if good_for_secs == LARGE_SECS => return Arc::clone(&last.snapshot),
            (None, _) => self.turn.lock(),
        };
        // Whoever had to wait may take a count that began after the request came.
        if self.begun.load(Ordering::Acquire) != begun
            && let Some(last) = self.last.load_full()
        {
            return Arc::clone(&last.snapshot);
        }
        let at = self.clock.now();
        self.begun.fetch_add(1, Ordering::AcqRel);
        let snapshot = Arc::new(count(&*self.store, &self.seed, ENDPOINTS_MAX));
        let counted = Counted { at, good_for_secs, snapshot: Arc::clone(&snapshot) };
        self.last.store(Some(Arc::new(counted)));
        snapshot
    }
}

/// Walks over the store once for torrents and once for peers.
fn count(store: &dyn PeerStore, seed: &Seed, endpoints_max: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    store.for_each(&mut |_, counts, webrtc| {
        let peers = |counts: Counts| counts.seeders + counts.incomplete();
        snapshot.torrents += 1;
        snapshot.active_torrents += u64::from(peers(counts) + peers(webrtc) > 0);
    });
    let mut sample = Sample { seed, endpoints_max, halvings: 0, endpoints: HashMap::new() };
    store.for_each_peer(&mut |peer| sample.add(&peer));
    sample.fill(&mut snapshot);
    snapshot
}

/// Peers of one endpoint seed.
const SEEDS: u8 = 1;
/// Peers of one endpoint leech.
const LEECHES: u8 = 2;
/// The endpoint has an IPv4 address.
const IPV4: u8 = 4;
/// The peer id is known.
const HAS_CLIENT: u8 = 8;

/// What is remembered of one endpoint.
struct Seen {
    flags: u8,
    client: [u8; clients::PREFIX_BYTES],
}

/// Endpoints by hash: all of them, or those whose hash begins with `halvings` zero bits.
struct Sample<'a> {
    seed: &'a Seed,
    endpoints_max: usize,
    halvings: u32,
    endpoints: HashMap<u64, Seen>,
}

impl Sample<'_> {
    fn add(&mut self, peer: &StoredPeer<'_>) {
        let key = peer.endpoint.or_else(|| peer.peer_id.as_ref().map(|id| &id.as_bytes()[..]));
        let hash = self.seed.hash(key.unwrap_or_default());
        if hash.leading_zeros() < self.halvings {
            return;
        }
        let role = if peer.class == PeerClass::Seeder { SEEDS } else { LEECHES };
        match self.endpoints.entry(hash) {
            Entry::Occupied(mut seen) => seen.get_mut().flags |= role,
            Entry::Vacant(place) => {
                let mut seen = Seen { flags: role, client: [0; clients::PREFIX_BYTES] };
                if !peer.ipv6 {
                    seen.flags |= IPV4;
                }
                if let Some(peer_id) = peer.peer_id {
                    seen.flags |= HAS_CLIENT;
                    let (prefix, _) = peer_id.as_bytes().split_at(clients::PREFIX_BYTES);
                    seen.client.copy_from_slice(prefix);
                }
                place.insert(seen);
            }
        }
        if self.endpoints.len() > self.endpoints_max {
            self.halvings += 1;
            let halvings = self.halvings;
            self.endpoints.retain(|hash, _| hash.leading_zeros() >= halvings);
        }
    }

    fn fill(&self, snapshot: &mut Snapshot) {
        let mut prefixes = HashMap::<_, u64>::new();
        for seen in self.endpoints.values() {
            match seen.flags & (SEEDS | LEECHES) {
                SEEDS => snapshot.peers_seeder_only += 1,
                LEECHES => snapshot.peers_leecher_only += 1,
                _ => snapshot.peers_seeder_and_leecher += 1,
            }
            match seen.flags & IPV4 {
                0 => snapshot.peers_ipv6 += 1,
                _ => snapshot.peers_ipv4 += 1,
            }
            if seen.flags & HAS_CLIENT != 0 {
                *prefixes.entry(seen.client).or_default() += 1;
            }
        }
        snapshot.peers = self.endpoints.len() as u64;
        snapshot.clients = by_client(&prefixes);
        snapshot.sampled = self.halvings > 0;
        scale(snapshot, self.halvings);
    }
}

fn scale(snapshot: &mut Snapshot, halvings: u32) {
    let clients = snapshot.clients.iter_mut().flat_map(|client| &mut client.versions);
    let numbers = [
        &mut snapshot.peers,
        &mut snapshot.peers_seeder_only,
        &mut snapshot.peers_leecher_only,
        &mut snapshot.peers_seeder_and_leecher,
        &mut snapshot.peers_ipv4,
        &mut snapshot.peers_ipv6,
    ];
    for number in clients.map(|(_, number)| number).chain(numbers) {
        *number <<= halvings;
    }
}

/// Sums up beginnings of peer ids by client and version. The names come from a fixed list, so only
/// the versions need a bound.
fn by_client(prefixes: &HashMap<[u8; clients::PREFIX_BYTES], u64>) -> Vec<Client> {
    let mut names = HashMap::<&'static str, HashMap<String, u64>>::new();
    for (prefix, number) in prefixes {
        let (name, version) = clients::identify(prefix);
        *names.entry(name).or_default().entry(version).or_default() += number;
    }
    let mut clients: Vec<_> = names
        .into_iter()
        .map(|(name, versions)| {
            let mut versions: Vec<_> = versions.into_iter().collect();
            versions.sort_unstable_by(|(a, more), (b, less)| (less, a).cmp(&(more, b)));
            if versions.len() > VERSIONS_MAX {
                let rest = versions.drain(VERSIONS_MAX - 1..).map(|(_, number)| number).sum();
                versions.push((OTHER.into(), rest));
            }
            Client { name, versions }
        })
        .collect();
    clients.sort_by_key(|client| (u64::MAX - client.total(), client.name));
    clients
}

impl Client {
    /// Endpoints that run it, whatever the version.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.versions.iter().map(|(_, number)| number).sum()
    }
}

#[cfg(test)]
mod tests;
