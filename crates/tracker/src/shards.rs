//! The one way to the swarms, and the only place where a lock guards them.
//!
//! Front ends hand in batches of decoded requests and get each answer by callback. No rule, no
//! transport and no socket is known here.

use parking_lot::Mutex;
use skep_engine::swarm::{
    Announce, Announced, Counts, Moment, PeerClass, PeerRoom, Shard, SwarmSettings, Swept, Tally,
};
use skep_engine::{Seed, Tick};
use skep_proto::{InfoHash, PeerId};

/// What a front end wants of one swarm.
#[derive(Debug, Clone, Copy)]
pub enum Request {
    /// Carry out an announce and choose peers for its answer.
    Announce(Announce),
    /// Read the counts of one torrent.
    Scrape(InfoHash),
}

/// What a swarm says.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// To an announce; the peers were written to the room of the request.
    Announced(Announced),
    /// To a scrape; `None` if nobody knows the torrent.
    Scraped(Option<Counts>),
}

/// Requests that go to the swarms together, and the way back for their answers.
pub trait Batch {
    /// The requests, by number.
    fn requests(&self) -> &[Request];

    /// Where the peers of an announce go. Asked once for each announce, right before its answer.
    fn room(&mut self, number: usize) -> PeerRoom<'_>;

    /// Takes the answer to a request. Called once for each, in any order.
    fn complete(&mut self, number: usize, answer: Answer);
}

/// Takes the endpoint of a peer in wire order, its class, and its peer id where it is kept.
pub type VisitPeer<'a> = dyn FnMut(&[u8], PeerClass, Option<PeerId>) + 'a;

/// Swarms, wherever they are kept.
pub trait PeerStore: Send + Sync + 'static {
    /// Carries out a batch.
    ///
    /// The store in memory completes every request before it returns, and allocates nothing for it.
    fn submit(&self, moment: &mut Moment<'_>, batch: &mut dyn Batch);

    /// Takes new settings, as far as they can change while peers are held.
    fn configure(&self, settings: &SwarmSettings);

    /// What is held in all.
    fn tally(&self) -> Tally;

    /// Calls `visit` with every torrent. No announce waits for more than one shard of it.
    fn for_each(&self, visit: &mut dyn FnMut(&InfoHash, Counts));

    /// Calls `visit` with every peer.
    fn for_each_peer(&self, visit: &mut VisitPeer<'_>);

    /// Drops every torrent that `keep` does not want.
    fn retain(&self, keep: &dyn Fn(&InfoHash) -> bool);

    /// Into how many pieces a sweep of everything is cut.
    fn sweep_pieces(&self) -> usize;

    /// Removes silent peers from one piece.
    fn sweep_piece(&self, piece: usize, now: Tick);
}

/// Shards in this process: enough that two workers seldom meet in one.
const SHARDS: usize = 256;

/// Torrents and peers looked at while an announce may have to wait: a few tens of microseconds.
const SWEEP_STEP: u32 = 512;

/// Swarms in the memory of this process, spread over shards by a keyed hash.
pub struct MemoryStore {
    seed: Seed,
    shards: Box<[Aligned]>,
}

/// A shard on cache lines of its own: workers in neighbouring shards do not disturb each other.
#[repr(align(128))]
struct Aligned(Mutex<Shard>);

impl MemoryStore {
    /// Makes an empty store. The bounds in `settings` are those of the whole store.
    #[must_use]
    pub fn new(settings: &SwarmSettings, seed: Seed) -> Self {
        let settings = of_one_shard(settings);
        let shard = || Aligned(Mutex::new(Shard::new(settings.clone(), seed.clone())));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), seed }
    }

    fn shard(&self, info_hash: &InfoHash) -> &Mutex<Shard> {
        // The tables inside a shard use the lowest and the seven highest bits of the same hash.
        let number = (self.seed.hash(info_hash.as_bytes()) >> 40) as usize % SHARDS;
        &self.shards[number].0
    }
}

/// The settings of a shard: each gets its part of the bounds.
fn of_one_shard(settings: &SwarmSettings) -> SwarmSettings {
    SwarmSettings {
        torrents_max: share(settings.torrents_max.into()) as u32,
        peers_max: share(settings.peers_max),
        ..settings.clone()
    }
}

/// The part of a bound that one shard gets. Hashes spread evenly, but not exactly: a sixteenth more,
/// so that the whole bound is used.
fn share(bound: u64) -> u64 {
    let share = bound.div_ceil(SHARDS as u64);
    share.saturating_add(share / 16).max(1)
}

impl PeerStore for MemoryStore {
    fn submit(&self, moment: &mut Moment<'_>, batch: &mut dyn Batch) {
        for number in 0..batch.requests().len() {
            let answer = match batch.requests()[number] {
                Request::Announce(announce) => {
                    let shard = self.shard(&announce.request.info_hash);
                    let room = batch.room(number);
                    Answer::Announced(shard.lock().announce(moment, &announce, room))
                }
                Request::Scrape(info_hash) => {
                    Answer::Scraped(self.shard(&info_hash).lock().scrape(&info_hash))
                }
            };
            batch.complete(number, answer);
        }
    }

    fn configure(&self, settings: &SwarmSettings) {
        let settings = of_one_shard(settings);
        for shard in &self.shards {
            shard.0.lock().configure(&settings);
        }
    }

    fn tally(&self) -> Tally {
        self.shards.iter().fold(Tally::default(), |mut sum, shard| {
            sum.absorb(shard.0.lock().tally());
            sum
        })
    }

    fn for_each(&self, visit: &mut dyn FnMut(&InfoHash, Counts)) {
        for shard in &self.shards {
            shard.0.lock().for_each(&mut *visit);
        }
    }

    fn for_each_peer(&self, visit: &mut VisitPeer<'_>) {
        for shard in &self.shards {
            shard.0.lock().for_each_peer(&mut *visit);
        }
    }

    fn retain(&self, keep: &dyn Fn(&InfoHash) -> bool) {
        for shard in &self.shards {
            shard.0.lock().retain(keep);
        }
    }

    fn sweep_pieces(&self) -> usize {
        self.shards.len()
    }

    fn sweep_piece(&self, piece: usize, now: Tick) {
        // The lock is given up after every step, so that no announce waits for the whole shard.
        while self.shards[piece].0.lock().sweep(now, SWEEP_STEP) == Swept::More {
            std::thread::yield_now();
        }
    }
}
