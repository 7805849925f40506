//! Time an announce through batches, as the workers send them, without sockets.
//!
//! `cargo bench -p skep --bench store -- MODE`; prints figures and asserts none.
//!
//! `announce TORRENTS PEERS even|rank [BATCH] [no-ahead] [ids]`: fills the store, then announces
//! known peers in random order.
//! `threads N [TORRENTS PEERS]`: the same with 1 to N threads at once, by their CPU time.
//! `storm TORRENTS [fast-bins] [no-return]`: fills the store with so many torrents of one peer and as
//! many of two, lets all of them expire and gives the memory back, while another thread announces.
//! PEERS are those of a torrent on average.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use skep::runtime::memory::MemoryBudget;
use skep::shards::{Answer, Batch, MemoryStore, PeerStore, Request};
use skep_engine::gate::RateTable;
use skep_engine::swarm::{Announce, Moment, PeerRoom, SwarmSettings};
use skep_engine::{Seed, Tick};
use skep_net::memory::{allocated_bytes, join_freed_blocks_at_once};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

const PEERS_WANTED: usize = 50;
/// Announces timed together.
const CHUNK: usize = 1 << 17;
const CHUNKS: usize = 31;
const NOW: Tick = Tick(60);

/// Who announces what.
#[derive(Clone, Copy)]
struct Population {
    torrents: u64,
    peers: u64,
    by_rank: bool,
}

impl Population {
    fn torrent_of(&self, peer: u64) -> u64 {
        if self.by_rank {
            let chance = (mixed(peer) >> 11) as f64 / (1u64 << 53) as f64;
            (self.torrents as f64).powf(chance) as u64 - 1
        } else {
            peer % self.torrents
        }
    }

    fn announce(&self, peer: u64) -> Announce {
        let torrent = self.torrent_of(peer);
        let mut info_hash = [0; 20];
        info_hash[..8].copy_from_slice(&mixed(torrent).to_le_bytes());
        info_hash[8..16].copy_from_slice(&torrent.to_le_bytes());
        let mut peer_id = *b"-XX0001-............";
        peer_id[12..].copy_from_slice(&mixed(peer).to_le_bytes());
        let request = AnnounceRequest {
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
            port: 1024 + (peer % 50_000) as u16,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes: Some(peer % 4),
            event: AnnounceEvent::None,
            num_want: NumWant::Default,
            peer_key: PeerKey::default(),
        };
        // Global addresses.
        let ip =
            Ipv4Addr::from_bits(0x0b00_0000 + ((peer.wrapping_mul(2_654_435_761) as u32) >> 3));
        Announce { request, ip: IpAddr::V4(ip), connection: None, listed: true }
    }
}

/// A number that looks like chance and is always the same.
fn mixed(number: u64) -> u64 {
    let number = (number.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    number ^ (number >> 32)
}

/// Requests of one worker and the room for their answers.
struct Announces {
    requests: Vec<Request>,
    ipv4: [u8; PEERS_WANTED * 6],
    peers_seen: u64,
}

impl Batch for Announces {
    fn requests(&self) -> &[Request] {
        &self.requests
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom { ipv4: &mut self.ipv4, ..PeerRoom::default() }
    }

    fn complete(&mut self, _number: usize, answer: Answer) {
        if let Answer::Announced(announced) = answer {
            self.peers_seen += announced.ipv4_bytes as u64 / 6;
        }
    }
}

/// One thread that announces.
struct Worker<'a> {
    store: &'a MemoryStore,
    batch: Announces,
    batch_len: usize,
    rng: Rng,
    new_torrents: RateTable,
    now: Tick,
}

impl<'a> Worker<'a> {
    fn new(store: &'a MemoryStore, batch_len: usize, number: u64) -> Self {
        let batch = Announces {
            requests: Vec::with_capacity(batch_len),
            ipv4: [0; PEERS_WANTED * 6],
            peers_seen: 0,
        };
        let new_torrents = RateTable::new(Seed::new(7), 0, 32, 64);
        Self { store, batch, batch_len, rng: Rng::with_seed(number), new_torrents, now: NOW }
    }

    fn announce(&mut self, population: &Population, peers: impl Iterator<Item = u64>) {
        let mut peers = peers.peekable();
        while peers.peek().is_some() {
            self.batch.requests.clear();
            let announces = peers.by_ref().map(|peer| Request::Announce(population.announce(peer)));
            self.batch.requests.extend(announces.take(self.batch_len));
            let (rng, new_torrents) = (&mut self.rng, &mut self.new_torrents);
            let mut moment = Moment { now: self.now, rng, new_torrents };
            self.store.submit(&mut moment, &mut self.batch);
        }
    }

    /// Announces `count` known peers, chosen at random among those of `share`.
    fn again(&mut self, population: &Population, count: usize, share: (u64, u64)) {
        let mut order = Rng::with_seed(self.rng.u64(..));
        let (part, parts) = share;
        let peers = (0..count).map(|_| order.u64(0..population.peers / parts) * parts + part);
        self.announce(population, peers);
    }
}

fn filled(population: &Population, ids: bool) -> MemoryStore {
    let settings = SwarmSettings { peer_ids: ids, ..SwarmSettings::default() };
    let store = MemoryStore::new(&settings, Seed::new(42));
    let mut worker = Worker::new(&store, 64, 1);
    let start = Instant::now();
    worker.announce(population, 0..population.peers);
    let nanos = start.elapsed().as_nanos() as f64 / population.peers as f64;
    // The sweep notices that shards are large.
    for piece in 0..store.sweep_pieces() {
        store.sweep_piece(piece, NOW);
    }
    let tally = store.tally();
    println!(
        "{} torrents, {} peers, peer ids {ids}: {nanos:.0} ns a first announce",
        tally.torrents,
        tally.peers_total()
    );
    store
}

fn announce(population: &Population, batch_len: usize, ids: bool) {
    let store = filled(population, ids);
    let mut worker = Worker::new(&store, batch_len, 2);
    // What is not the store's: making requests at random.
    let start = Instant::now();
    let mut order = Rng::with_seed(3);
    for _ in 0..CHUNK {
        std::hint::black_box(population.announce(order.u64(0..population.peers)));
    }
    let making = start.elapsed().as_nanos() as f64 / CHUNK as f64;
    let mut nanos = Vec::new();
    for _ in 0..CHUNKS {
        let start = Instant::now();
        worker.again(population, CHUNK, (0, 1));
        nanos.push(start.elapsed().as_nanos() as f64 / CHUNK as f64 - making);
    }
    nanos.sort_unstable_by(f64::total_cmp);
    println!(
        "{batch_len} together: {:.0} ns an announce (median of {CHUNKS} times {CHUNK}; {:.0} to \
         {:.0}), {:.1} peers an answer",
        nanos[CHUNKS / 2],
        nanos[0],
        nanos[CHUNKS - 1],
        worker.batch.peers_seen as f64 / (CHUNK * CHUNKS) as f64,
    );
}

/// CPU time of the calling thread, which moves in steps of 10 ms.
fn thread_cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn threads(population: &Population, threads_max: u64) {
    let store = filled(population, false);
    let announces = 6_000_000;
    let mut threads = 1;
    while threads <= threads_max {
        let waits_before = store.lock_waits();
        let cpu: f64 = thread::scope(|scope| {
            let run = |number: u64| {
                let store = &store;
                scope.spawn(move || {
                    let mut worker = Worker::new(store, 64, 100 + number);
                    let before = thread_cpu_secs();
                    worker.again(population, announces, (number, threads));
                    thread_cpu_secs() - before
                })
            };
            let running: Vec<_> = (0..threads).map(run).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
        });
        let nanos = cpu * 1e9 / (announces as f64 * threads as f64);
        let waits = store.lock_waits() - waits_before;
        println!(
            "{threads} threads: {nanos:.0} ns of CPU an announce, {waits} of {} waited for a lock",
            announces as u64 * threads
        );
        threads *= 2;
    }
}

fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096 / 1_000_000
}

/// Batches of the announcing thread by how long they took.
#[derive(Default)]
struct Pauses {
    batches: u64,
    over_1_ms: u64,
    over_5_ms: u64,
    longest_micros: u128,
}

impl Pauses {
    fn add(&mut self, start: Instant) {
        let micros = start.elapsed().as_micros();
        self.batches += 1;
        self.over_1_ms += u64::from(micros > 1000);
        self.over_5_ms += u64::from(micros > 5000);
        self.longest_micros = self.longest_micros.max(micros);
    }

    fn print(&self, when: &str) {
        let Self { batches, over_1_ms, over_5_ms, longest_micros } = self;
        println!(
            "{when}: {batches} batches of 64, {over_1_ms} above 1 ms, {over_5_ms} above 5 ms, \
             longest {longest_micros} us"
        );
    }
}

const FILLING: u32 = 0;
const BEFORE: u32 = 1;
const SWEEPING: u32 = 2;
const OVER: u32 = 3;
const LATER: Tick = Tick(NOW.0 + 7200);

/// Fills the store and goes on announcing ever new peers until the storm is over.
fn announce_in_storm(store: &MemoryStore, torrents: u64, phase: &AtomicU32) {
    let mut worker = Worker::new(store, 64, 1);
    let one = Population { torrents, peers: torrents, by_rank: false };
    let two = Population { torrents: 2 * torrents, ..one };
    for first in (0..torrents).step_by(64) {
        worker.announce(&one, first..first + 64);
        // The upper half of the torrents, twice.
        worker.announce(&two, torrents + first..torrents + first + 64);
        worker.announce(&two, 3 * torrents + first..3 * torrents + first + 64);
    }
    phase.store(BEFORE, Ordering::SeqCst);
    let few = Population { torrents: 10_000, peers: 0, by_rank: false };
    let (mut before, mut sweeping, mut peer) = (Pauses::default(), Pauses::default(), 1 << 40);
    loop {
        let now = phase.load(Ordering::SeqCst);
        let pauses = match now {
            BEFORE => &mut before,
            SWEEPING => &mut sweeping,
            _ => break,
        };
        worker.now = if now == BEFORE { NOW } else { LATER };
        let start = Instant::now();
        worker.announce(&few, peer..peer + 64);
        pauses.add(start);
        peer += 64;
        // A peer takes memory; let the others have their turn at the processor.
        thread::sleep(Duration::from_millis(1));
    }
    before.print("before");
    sweeping.print("while it is swept");
}

fn storm(torrents: u64, fast_bins: bool, give_back: bool, secs: u64) {
    if !fast_bins {
        join_freed_blocks_at_once();
    }
    let mut budget = MemoryBudget::new(0);
    let store = MemoryStore::new(&SwarmSettings::default(), Seed::new(42));
    let (phase, before) = (AtomicU32::new(FILLING), resident_mb());
    let report = |what: &str| {
        let counted = allocated_bytes() / 1_000_000;
        println!("{what}: {} MB resident, {counted} MB counted", resident_mb() - before);
    };
    thread::scope(|scope| {
        scope.spawn(|| announce_in_storm(&store, torrents, &phase));
        while phase.load(Ordering::SeqCst) == FILLING {
            thread::sleep(Duration::from_secs(1));
        }
        report("filled");
        // The keeper looks all the time and knows how much there was.
        budget.look();
        budget.give_back();
        thread::sleep(Duration::from_secs(secs));
        phase.store(SWEEPING, Ordering::SeqCst);
        let pieces = store.sweep_pieces();
        for piece in 0..pieces {
            store.sweep_piece(piece, LATER);
            budget.look();
            thread::sleep(Duration::from_secs(secs) / pieces as u32);
        }
        for _ in 0..2 {
            budget.look();
            let start = Instant::now();
            if give_back {
                budget.give_back();
            }
            println!("gave memory back in {:?}", start.elapsed());
            thread::sleep(Duration::from_secs(1));
        }
        phase.store(OVER, Ordering::SeqCst);
    });
    report("swept");
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, or: u64| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(or);
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let torrents = number(if has("threads") { 2 } else { 1 }, 10_000);
    let peers = torrents * number(if has("threads") { 3 } else { 2 }, 3);
    let population = Population { torrents, peers, by_rank: has("rank") };
    match args.first().map(String::as_str) {
        Some("announce") => {
            let batch_len = if has("no-ahead") { 1 } else { number(4, 64) as usize };
            announce(&population, batch_len, has("ids"));
        }
        Some("storm") => storm(number(1, 3_000_000), has("fast-bins"), !has("no-return"), 10),
        Some("threads") => threads(&population, number(1, 2)),
        _ => {
            announce(&population, 64, false);
            threads(&population, 2);
        }
    }
}
