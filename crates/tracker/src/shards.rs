//! The one way to the swarms and ledgers, and the only place where a lock guards them.
//!
//! Front ends hand in batches of decoded requests and get each answer by callback. No rule, no
//! transport and no socket is known here.

mod members;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use skep_engine::gate::Refusal;
use skep_engine::ledger::{LedgerSettings, LedgerTally, SessionState, TorrentId, UserId};
use skep_engine::site::Member;
use skep_engine::swarm::{
    Announce, Announced, Connection, Counts, Moment, PeerRoom, Pressure, STEPS_AHEAD, Shard,
    StoredPeer, SwarmSettings, Swept, Tally, Totals, WebrtcPeer,
};
use skep_engine::{Seed, Tick};
use skep_net::memory::fetch_ahead;
use skep_proto::{InfoHash, PeerId};

use self::members::{Asked, Keeping, Kept};
use crate::accounts::Ledgers;
use crate::trace::Traces;

/// What a front end wants of one swarm.
#[derive(Debug, Clone, Copy)]
pub enum Request {
    /// Carry out an announce and choose peers for its answer.
    Announce(Announce),
    /// Read the counts of one torrent, without its WebRTC peers.
    Scrape(InfoHash),
    /// Read the counts of the WebRTC peers of one torrent.
    WebrtcScrape(InfoHash),
    /// Remove a WebRTC peer, if no other connection leads to it by now, and end its session.
    Leave {
        /// The torrent.
        info_hash: InfoHash,
        /// Who leaves.
        peer_id: PeerId,
        /// The connection that led to it.
        connection: Connection,
        /// Whose session it is, where accounts are kept.
        account: Option<(TorrentId, UserId)>,
    },
    /// Refresh a WebRTC peer that sends a message, and find the one that is to get it.
    Relay {
        /// The torrent.
        info_hash: InfoHash,
        /// Who sends it.
        from: PeerId,
        /// The connection that it came on.
        connection: Connection,
        /// Who is to get it.
        to: PeerId,
    },
}

impl Request {
    /// The torrent that it is about.
    #[must_use]
    pub const fn info_hash(&self) -> &InfoHash {
        match self {
            Self::Announce(announce) => &announce.request.info_hash,
            Self::Scrape(info_hash)
            | Self::WebrtcScrape(info_hash)
            | Self::Leave { info_hash, .. }
            | Self::Relay { info_hash, .. } => info_hash,
        }
    }

    const fn announce(&self) -> Option<&Announce> {
        match self {
            Self::Announce(announce) => Some(announce),
            _ => None,
        }
    }
}

/// What a swarm says.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// To an announce; the peers were written to the room of the request.
    Announced(Announced),
    /// The same, to an announce of a member whose record must be on the disk before anybody hears of
    /// it. The position of the record.
    Promised(Announced, u64),
    /// To an announce that an account does not allow, or that cannot be recorded; it left no trace.
    Refused(Refusal<'static>),
    /// To a scrape of either kind; `None` if nobody knows the torrent.
    Scraped(Option<Counts>),
    /// To a farewell, whether or not there was somebody to remove.
    Left,
    /// To a message: the connection that leads to its receiver. `None` if nobody knows the receiver,
    /// or if the sender is not on the connection that it came on.
    Relayed(Option<Connection>),
}

/// Requests that go to the swarms together, and the way back for their answers.
pub trait Batch {
    /// The requests, by number.
    fn requests(&self) -> &[Request];

    /// Who makes an announce, where users are known.
    fn member(&self, number: usize) -> Option<Member> {
        let _ = number;
        None
    }

    /// The client's counter of bytes that it threw away, if it tells.
    fn corrupt_bytes(&self, _number: usize) -> Option<u64> {
        None
    }

    /// Where the peers of an announce go. Asked once for each announce, right before its answer.
    fn room(&mut self, number: usize) -> PeerRoom<'_>;

    /// Takes the answer to a request. Called once for each, in any order.
    fn complete(&mut self, number: usize, answer: Answer);
}

/// Takes a torrent, its counts without WebRTC peers, and those of WebRTC peers.
pub type VisitTorrent<'a> = dyn FnMut(&InfoHash, Counts, Counts) + 'a;

/// Takes a peer.
pub type VisitPeer<'a> = dyn FnMut(StoredPeer<'_>) + 'a;

/// Takes a session and for how many seconds it has been silent.
pub type VisitSession<'a> = dyn FnMut(SessionState, u32) + 'a;

/// Swarms, wherever they are kept.
pub trait PeerStore: Send + Sync + 'static {
    /// Carries out a batch.
    ///
    /// The store in memory completes every request before it returns, and allocates nothing for it.
    fn submit(&self, moment: &mut Moment<'_>, batch: &mut dyn Batch);

    /// Takes new settings, as far as they can change while peers are held.
    fn configure(&self, swarms: &SwarmSettings, ledgers: &LedgerSettings);

    /// Takes notice of how short memory is.
    fn set_pressure(&self, pressure: Pressure);

    /// What is held in all.
    fn tally(&self) -> Tally;

    /// What the ledgers hold and did; nothing where no accounts are kept.
    fn accounts_tally(&self) -> LedgerTally {
        LedgerTally::default()
    }

    /// Calls `visit` with every torrent. No announce waits for more than one shard of it.
    fn for_each(&self, visit: &mut VisitTorrent<'_>);

    /// Calls `visit` with every peer.
    fn for_each_peer(&self, visit: &mut VisitPeer<'_>);

    /// Calls `visit` with every peer of one torrent, and returns its counts without WebRTC peers and
    /// those of WebRTC peers; nothing if nobody knows it.
    fn look(&self, info_hash: &InfoHash, visit: &mut VisitPeer<'_>) -> Option<(Counts, Counts)>;

    /// Calls `visit` with every session of a user and for how many seconds it has been silent. No
    /// announce waits for more than one shard of it.
    fn for_each_session(&self, visit: &mut VisitSession<'_>);

    /// Drops one torrent, and returns whether it was there.
    fn remove(&self, info_hash: &InfoHash) -> bool;

    /// Ends the sessions of torrents that were announced by these info hashes until now.
    fn end_sessions(&self, torrents: &[(InfoHash, TorrentId)], now: Tick) {
        let _ = (torrents, now);
    }

    /// Drops every torrent that `keep` does not want. No announce waits for more than a step of it.
    fn retain(&self, keep: &dyn Fn(&InfoHash) -> bool);

    /// Into how many pieces a sweep of everything is cut.
    fn sweep_pieces(&self) -> usize;

    /// Removes silent peers from one piece.
    fn sweep_piece(&self, piece: usize, now: Tick);
}

/// Shards in this process: enough that two workers seldom meet in one.
pub const SHARDS: usize = 256;

/// Torrents and peers looked at while an announce may have to wait: a few tens of microseconds.
const STEP: u32 = 512;

/// How long a sweep rests after a step.
///
/// A step in which all are silent takes a fifth of that, so a sweep takes no more than a sixth of a
/// processor that it shares with a busy worker; one that took what it can get would keep answers
/// waiting until it is done. Ten million peers are swept in some twenty seconds then.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// Requests whose memory is fetched together: enough to hide the waiting, few enough to stay in the
/// nearest cache.
const FETCHED_AHEAD: usize = 64;

/// Swarms in the memory of this process, spread over shards by a keyed hash.
pub struct MemoryStore {
    seed: Seed,
    shards: Box<[Aligned]>,
    totals: Arc<Totals>,
    /// Whether shards are so large that requests wait for memory. Read by every batch, written by the
    /// sweep.
    large: AtomicBool,
    /// Written only by who waits.
    lock_waits: AtomicU64,
    /// Nothing where no users are known.
    accounts: Option<Box<Keeping>>,
    traces: Arc<Traces>,
}

/// A shard on cache lines of its own: workers in neighbouring shards do not disturb each other.
#[repr(align(128))]
struct Aligned(Mutex<Kept>);

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new(settings: &SwarmSettings, seed: Seed) -> Self {
        Self::with_ledgers(settings, seed, None)
    }

    /// Makes an empty store that keeps accounts of members, if any are to be kept.
    #[must_use]
    pub fn with_ledgers(settings: &SwarmSettings, seed: Seed, ledgers: Option<Ledgers>) -> Self {
        let totals = Arc::<Totals>::default();
        let kept = || {
            let swarms = Shard::sharing(settings.clone(), seed.clone(), totals.clone());
            Kept::new(swarms, ledgers.as_ref(), &seed)
        };
        Self {
            shards: (0..SHARDS).map(|_| Aligned(Mutex::new(kept()))).collect(),
            totals: totals.clone(),
            large: AtomicBool::new(false),
            lock_waits: AtomicU64::new(0),
            accounts: ledgers.map(|ledgers| Box::new(Keeping::new(ledgers))),
            traces: Arc::default(),
            seed,
        }
    }

    /// Tells these traces of every announce while they are on.
    #[must_use]
    pub fn with_traces(self, traces: Arc<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// Requests that found their shard locked by another thread.
    #[must_use]
    pub fn lock_waits(&self) -> u64 {
        self.lock_waits.load(Ordering::Relaxed)
    }

    /// Takes up a session that was remembered, last heard of so many seconds ago. The latest states
    /// come first: `false` if the session is here already, or if there is no room for it.
    pub fn restore(
        &self,
        info_hash: &InfoHash,
        state: &SessionState,
        silent_secs: u32,
        now: Tick,
    ) -> bool {
        let Some(keeping) = &self.accounts else { return false };
        let mut kept = self.lock(self.seed.hash(info_hash.as_bytes()));
        kept.restore(keeping, state, silent_secs, now)
    }

    fn lock(&self, hash: u64) -> MutexGuard<'_, Kept> {
        let shard = &self.shards[shard_number(hash)].0;
        shard.try_lock().unwrap_or_else(|| {
            self.lock_waits.fetch_add(1, Ordering::Relaxed);
            shard.lock()
        })
    }

    fn carry_out(&self, moment: &mut Moment<'_>, batch: &mut dyn Batch, number: usize, hash: u64) {
        let answer = match batch.requests()[number] {
            Request::Announce(announce) => {
                let keeping = self.accounts.as_deref();
                let answer = match keeping
                    .and_then(|keeping| Some((keeping, batch.member(number)?)))
                {
                    Some((keeping, member)) => {
                        let corrupt_bytes = batch.corrupt_bytes(number);
                        let asked = Asked { announce: &announce, member, corrupt_bytes, hash };
                        let room = batch.room(number);
                        self.lock(hash).announce(keeping, moment, &asked, room)
                    }
                    None => {
                        let room = batch.room(number);
                        let mut kept = self.lock(hash);
                        let announced = kept.swarms.announce_hashed(hash, moment, &announce, room);
                        Answer::Announced(announced)
                    }
                };
                if self.traces.is_on() {
                    let user = batch.member(number).map(|member| member.user);
                    self.traces.note(moment.now, user, &announce, &answer);
                }
                answer
            }
            Request::Scrape(info_hash) => {
                Answer::Scraped(self.lock(hash).swarms.scrape_hashed(hash, &info_hash))
            }
            Request::WebrtcScrape(info_hash) => {
                Answer::Scraped(self.lock(hash).swarms.webrtc_scrape_hashed(hash, &info_hash))
            }
            Request::Leave { info_hash, peer_id, connection, account } => {
                let peer = WebrtcPeer { peer_id, connection };
                let mut kept = self.lock(hash);
                let is_removed = kept.swarms.leave_hashed(hash, moment.now, &info_hash, &peer);
                if let (true, Some(keeping), Some(account)) = (is_removed, &self.accounts, account)
                {
                    kept.leave(keeping, moment.now, account, &peer_id);
                }
                Answer::Left
            }
            Request::Relay { info_hash, from, connection, to } => {
                let from = WebrtcPeer { peer_id: from, connection };
                let mut kept = self.lock(hash);
                Answer::Relayed(kept.swarms.relay_hashed(hash, moment.now, &info_hash, &from, &to))
            }
        };
        batch.complete(number, answer);
    }

    /// Lets the processor fetch what the requests will read, all of them at once.
    ///
    /// With millions of torrents every request waits for memory several times in a row; requests that
    /// wait together wait as long as one.
    fn fetch_ahead(&self, requests: &[Request], hashes: &[u64]) {
        for &hash in hashes {
            fetch_ahead(std::ptr::from_ref(&self.shards[shard_number(hash)]).cast());
        }
        // The requests that have more to fetch, as bits by number.
        let mut open = u64::MAX >> (FETCHED_AHEAD - hashes.len());
        for step in 0..STEPS_AHEAD {
            let mut left = open;
            while left != 0 {
                let number = left.trailing_zeros() as usize;
                left &= left - 1;
                let hash = hashes[number];
                // Whoever holds the shard fetches for itself.
                let shard = self.shards[shard_number(hash)].0.try_lock();
                let announce = requests[number].announce();
                if !shard.is_some_and(|kept| kept.swarms.ahead(step, hash, announce, fetch_ahead)) {
                    open &= !(1 << number);
                }
            }
        }
    }
}

/// The tables inside a shard use the lowest and the eight highest bits of the same hash.
const fn shard_number(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl PeerStore for MemoryStore {
    fn submit(&self, moment: &mut Moment<'_>, batch: &mut dyn Batch) {
        let mut hashes = [0; FETCHED_AHEAD];
        let mut first = 0;
        while first < batch.requests().len() {
            let end = batch.requests().len().min(first + FETCHED_AHEAD);
            let hashes = &mut hashes[..end - first];
            for (hash, request) in hashes.iter_mut().zip(&batch.requests()[first..end]) {
                *hash = self.seed.hash(request.info_hash().as_bytes());
            }
            if hashes.len() > 1 && self.large.load(Ordering::Relaxed) {
                self.fetch_ahead(&batch.requests()[first..end], hashes);
            }
            for (number, &hash) in (first..end).zip(&*hashes) {
                self.carry_out(moment, batch, number, hash);
            }
            first = end;
        }
    }

    fn configure(&self, swarms: &SwarmSettings, ledgers: &LedgerSettings) {
        for shard in &self.shards {
            shard.0.lock().configure(swarms, ledgers);
        }
    }

    fn set_pressure(&self, pressure: Pressure) {
        self.totals.set_pressure(pressure);
    }

    fn tally(&self) -> Tally {
        self.shards.iter().fold(Tally::default(), |mut sum, shard| {
            sum.absorb(shard.0.lock().swarms.tally());
            sum
        })
    }

    fn accounts_tally(&self) -> LedgerTally {
        self.shards.iter().fold(LedgerTally::default(), |mut sum, shard| {
            sum.absorb(&shard.0.lock().tally());
            sum
        })
    }

    fn for_each(&self, visit: &mut VisitTorrent<'_>) {
        for shard in &self.shards {
            shard.0.lock().swarms.for_each(&mut *visit);
        }
    }

    fn for_each_peer(&self, visit: &mut VisitPeer<'_>) {
        for shard in &self.shards {
            shard.0.lock().swarms.for_each_peer(&mut *visit);
        }
    }

    fn look(&self, info_hash: &InfoHash, visit: &mut VisitPeer<'_>) -> Option<(Counts, Counts)> {
        let hash = self.seed.hash(info_hash.as_bytes());
        self.lock(hash).swarms.look_hashed(hash, info_hash, visit)
    }

    fn for_each_session(&self, visit: &mut VisitSession<'_>) {
        for shard in &self.shards {
            shard.0.lock().for_each_session(visit);
        }
    }

    fn remove(&self, info_hash: &InfoHash) -> bool {
        let hash = self.seed.hash(info_hash.as_bytes());
        self.lock(hash).swarms.remove_hashed(hash, info_hash)
    }

    fn end_sessions(&self, torrents: &[(InfoHash, TorrentId)], now: Tick) {
        let Some(keeping) = &self.accounts else { return };
        let mut by_shard = BTreeMap::<_, HashSet<_>>::new();
        for (info_hash, torrent) in torrents {
            let shard = shard_number(self.seed.hash(info_hash.as_bytes()));
            by_shard.entry(shard).or_default().insert(*torrent);
        }
        let mut ends = Vec::new();
        for (shard, torrents) in by_shard {
            let (shard, mut step) = (&self.shards[shard].0, 0);
            let is_gone = |torrent: TorrentId| torrents.contains(&torrent);
            while shard.lock().end_torrents(keeping, now, step, &is_gone, &mut ends) == Swept::More
            {
                step += 1;
            }
        }
    }

    fn retain(&self, keep: &dyn Fn(&InfoHash) -> bool) {
        for shard in &self.shards {
            let mut from = Some(u32::MAX);
            while let Some(start) = from {
                from = shard.0.lock().swarms.retain(start, STEP, keep);
            }
        }
    }

    fn sweep_pieces(&self) -> usize {
        self.shards.len()
    }

    fn sweep_piece(&self, piece: usize, now: Tick) {
        // The lock is given up after every step, so that no announce waits for the whole shard.
        let shard = &self.shards[piece].0;
        while shard.lock().swarms.sweep(now, STEP) == Swept::More {
            std::thread::sleep(SWEEP_PAUSE);
        }
        self.large.store(shard.lock().swarms.is_large(), Ordering::Relaxed);
        if let Some(keeping) = &self.accounts {
            let mut ends = Vec::new();
            while shard.lock().sweep(keeping, now, STEP, &mut ends) == Swept::More {
                std::thread::sleep(SWEEP_PAUSE);
            }
        }
    }
}
