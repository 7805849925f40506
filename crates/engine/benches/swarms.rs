//! Bytes a peer and time an announce, without sockets: `cargo bench -p skep-engine --bench swarms`.
//!
//! Prints figures and asserts none. With arguments `<shape> <peers>` it runs one shape; resident
//! memory is only meaningful for the first shape of a process.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{Announce, Moment, PeerRoom, Shard, SwarmSettings, Tally};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

const SHARDS: usize = 256;
const PEERS_WANTED: usize = 30;

struct Swarms {
    seed: Seed,
    shards: Vec<Shard>,
    rng: Rng,
    new_torrents: RateTable,
}

impl Swarms {
    fn new(peer_ids: bool) -> Self {
        let seed = Seed::new(42);
        let settings = SwarmSettings { peer_ids, ..SwarmSettings::default() };
        Self {
            shards: (0..SHARDS).map(|_| Shard::new(settings.clone(), seed.clone())).collect(),
            rng: Rng::with_seed(1),
            new_torrents: RateTable::new(seed.clone(), 0, 32, 64),
            seed,
        }
    }

    /// Announces peer number `peer` to torrent number `torrent` and returns the peers it got.
    fn announce(&mut self, torrent: u64, peer: u64) -> u64 {
        let mut info_hash = [0; 20];
        info_hash[..8].copy_from_slice(&torrent.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        info_hash[8..16].copy_from_slice(&torrent.to_le_bytes());
        let info_hash = InfoHash(info_hash);
        // Global addresses, each of them once.
        let ip = Ipv4Addr::from_bits(0x0b00_0000 + (peer.wrapping_mul(2_654_435_761) as u32 >> 3));
        let request = AnnounceRequest {
            info_hash,
            peer_id: PeerId([peer as u8; 20]),
            port: 1024 + (peer % 50_000) as u16,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes: Some(peer % 4),
            event: AnnounceEvent::None,
            num_want: NumWant::Default,
            peer_key: PeerKey::default(),
        };
        let announce = Announce { request, ip: IpAddr::V4(ip), connection: None, listed: true };
        let shard = (self.seed.hash(info_hash.as_bytes()) >> 40) as usize % SHARDS;
        let mut moment =
            Moment { now: Tick(60), rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let mut ipv4 = [0; PEERS_WANTED * 6];
        let room = PeerRoom { ipv4: &mut ipv4, ..PeerRoom::default() };
        let announced = self.shards[shard].announce(&mut moment, &announce, room);
        announced.ipv4_bytes as u64 / 6
    }

    fn tally(&self) -> Tally {
        self.shards.iter().fold(Tally::default(), |mut sum, shard| {
            sum.absorb(shard.tally());
            sum
        })
    }
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.map_or(f64::NAN, |pages| pages * 4096.0)
}

/// Which torrent a peer belongs to.
fn torrent_of(shape: &str, peers: u64, rng: &mut Rng, peer: u64) -> u64 {
    match shape {
        "one" => peer,
        "thousand" => peer % (peers / 1000).max(1),
        // One by rank over a quarter as many torrents as peers: the inverse of the logarithm.
        _ => ((peers / 4) as f64).powf(rng.f64()) as u64,
    }
}

fn run(shape: &str, peers: u64, peer_ids: bool) {
    let mut swarms = Swarms::new(peer_ids);
    let before = resident_bytes();
    let mut ranks = Rng::with_seed(7);
    let start = Instant::now();
    for peer in 0..peers {
        swarms.announce(torrent_of(shape, peers, &mut ranks, peer), peer);
    }
    let fill = start.elapsed();
    let tally = swarms.tally();
    let stored = tally.peers_total() as f64;
    let heap: usize = swarms.shards.iter().map(Shard::heap_bytes).sum();
    let resident = resident_bytes() - before;
    let (mut ranks, mut again) = (Rng::with_seed(7), 0);
    let start = Instant::now();
    for peer in 0..peers {
        again += swarms.announce(torrent_of(shape, peers, &mut ranks, peer), peer);
    }
    let refresh = start.elapsed();
    println!(
        "{shape:9} peer ids {peer_ids:5}: {:9} torrents, {:6.1} bytes a peer ({:5.1} on the heap), \
         {:4.0} ns a first announce, {:4.0} ns a later one with {:.1} peers",
        tally.torrents,
        resident / stored,
        heap as f64 / stored,
        fill.as_nanos() as f64 / peers as f64,
        refresh.as_nanos() as f64 / peers as f64,
        again as f64 / peers as f64,
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let peers = args.get(1).and_then(|peers| peers.parse().ok()).unwrap_or(1_000_000);
    match args.first() {
        Some(shape) => run(shape, peers, args.get(2).is_none_or(|ids| ids != "without-ids")),
        None => {
            for shape in ["one", "thousand", "rank"] {
                for peer_ids in [false, true] {
                    run(shape, peers, peer_ids);
                }
            }
        }
    }
}
