//! The longest that one operation on swarms takes: `cargo bench -p skep-engine --bench pauses`.
//!
//! Prints figures and asserts none. Arguments: torrents, and peers of the large swarm. After each
//! phase a loop that does nothing is timed for as long, to tell the machine's pauses from ours.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{Announce, Moment, PeerRoom, Shard, SwarmSettings, Swept};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

const SHARDS: usize = 256;
const PEERS_WANTED: usize = 50;
/// Torrents and peers looked at in one step of a sweep, as in the product.
const STEP: u32 = 512;
const FILLED: Tick = Tick(60);
/// All that was there is silent for too long.
const LATER: Tick = Tick(60 + 3600 + 600);

struct Swarms {
    seed: Seed,
    shards: Vec<Shard>,
    rng: Rng,
    new_torrents: RateTable,
}

impl Swarms {
    fn new(shards: usize) -> Self {
        let seed = Seed::new(42);
        let settings = SwarmSettings::default();
        Self {
            shards: (0..shards).map(|_| Shard::new(settings.clone(), seed.clone())).collect(),
            rng: Rng::with_seed(1),
            new_torrents: RateTable::new(seed.clone(), 0, 32, 64),
            seed,
        }
    }

    fn announce(&mut self, now: Tick, torrent: u64, peer: u64) {
        let mut info_hash = [0; 20];
        info_hash[..8].copy_from_slice(&torrent.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let info_hash = InfoHash(info_hash);
        let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + peer as u32));
        let request = AnnounceRequest {
            info_hash,
            peer_id: PeerId([peer as u8; 20]),
            port: 6881,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes: Some(peer % 4),
            event: AnnounceEvent::None,
            num_want: NumWant::Default,
            peer_key: PeerKey::default(),
        };
        let announce = Announce { request, ip, connection: None, listed: true };
        let shard = (self.seed.hash(info_hash.as_bytes()) >> 40) as usize % self.shards.len();
        let mut moment = Moment { now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let mut ipv4 = [0; PEERS_WANTED * 6];
        let room = PeerRoom { ipv4: &mut ipv4, ..PeerRoom::default() };
        self.shards[shard].announce(&mut moment, &announce, room);
    }

    /// Sweeps everything, each step an operation.
    fn sweep(&mut self, now: Tick, times: &mut Times) {
        for shard in &mut self.shards {
            while times.of(|| shard.sweep(now, STEP)) == Swept::More {}
        }
    }
}

/// How long each operation of a phase took.
struct Times {
    nanos: Vec<u32>,
    start: Instant,
}

impl Times {
    fn new() -> Self {
        Self { nanos: Vec::new(), start: Instant::now() }
    }

    fn of<T>(&mut self, operation: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = operation();
        self.nanos.push(start.elapsed().as_nanos() as u32);
        result
    }

    fn print(mut self, phase: &str) {
        let noise = noise(self.start.elapsed());
        self.nanos.sort_unstable();
        let count = self.nanos.len();
        let micros = |at: usize| f64::from(self.nanos[at.min(count - 1)]) / 1000.0;
        let worst: Vec<f64> = (1..=3).map(|back| micros(count.saturating_sub(back))).collect();
        println!(
            "{phase:44} {count:9} times: median {:7.2} us, p99.99 {:7.1} us, longest {worst:.0?} \
             us; nothing at all: {noise:.0?} us",
            micros(count / 2),
            micros(count - 1 - count / 10_000),
        );
    }
}

/// The three longest gaps in a loop that does nothing for so long, in microseconds.
fn noise(how_long: Duration) -> [f64; 3] {
    let (start, mut longest) = (Instant::now(), [Duration::ZERO; 3]);
    let mut last = start;
    while last.duration_since(start) < how_long {
        let now = Instant::now();
        let gap = now.duration_since(last);
        if gap > longest[2] {
            longest[2] = gap;
            longest.sort_unstable_by(|one, other| other.cmp(one));
        }
        last = now;
    }
    longest.map(|gap| gap.as_secs_f64() * 1e6)
}

fn many_torrents(torrents: u64, shards: usize) {
    let mut swarms = Swarms::new(shards);
    let mut times = Times::new();
    for torrent in 0..torrents {
        times.of(|| swarms.announce(FILLED, torrent, torrent));
    }
    times.print(&format!("{torrents} torrents into {shards} shards"));
    let mut times = Times::new();
    swarms.sweep(LATER, &mut times);
    times.print("steps of the sweep that removes them");
    let left: usize = swarms.shards.iter().map(Shard::heap_bytes).sum();
    println!("{left} bytes left");
}

fn large_swarm(peers: u64) {
    let mut swarms = Swarms::new(1);
    let mut times = Times::new();
    for peer in 0..peers {
        times.of(|| swarms.announce(FILLED, 0, peer));
    }
    times.print(&format!("{peers} peers into one swarm"));
    let mut times = Times::new();
    for peer in 0..1000 {
        times.of(|| swarms.announce(LATER, 0, peer * 7));
    }
    times.print("announces when all of them are silent");
    let mut times = Times::new();
    let long_after = LATER.plus(3600 + 600);
    swarms.sweep(long_after, &mut times);
    times.print("steps of the sweep that removes them");
    let left: usize = swarms.shards.iter().map(Shard::heap_bytes).sum();
    println!("{left} bytes left");
}

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let torrents = args.next().unwrap_or(10_000_000);
    let peers = args.next().unwrap_or(2_000_000);
    many_torrents(torrents, SHARDS);
    many_torrents(torrents / 5, 1);
    large_swarm(peers);
}
