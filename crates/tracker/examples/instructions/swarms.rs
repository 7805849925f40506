//! Swarms of every size: announces, scrapes and steps of the sweep in one shard.
//!
//! Locks and the spreading of torrents over shards are not here.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{Announce, Announced, Moment, PeerRoom, Shard, SwarmSettings, Swept};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

use crate::count;
use crate::words::SCRAPE_TORRENTS;

/// Torrents that one address may bring in a minute, as configured by default.
pub(crate) const NEW_TORRENTS_PER_MINUTE_MAX: u32 = 3000;

const CALLS: u32 = 2000;
const PEERS_WANTED: usize = 30;
const TORRENTS: u64 = 10_000;
const HUGE: u64 = 200_000;
/// Torrents and peers that a step of the sweep looks at, as the product's store asks for.
const STEP: u32 = 512;
const STEPS: u32 = 8;
/// A part of a lane in which nobody can be silent is looked at as a whole.
const STEPS_OF_HUGE: u32 = 4;

/// The hash of torrent number `torrent`.
pub(crate) fn info_hash(torrent: u64) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&torrent.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    bytes[8..16].copy_from_slice(&torrent.to_le_bytes());
    InfoHash(bytes)
}

/// What peer number `peer` announces: every fourth one is a seeder.
pub(crate) fn request(torrent: u64, peer: u64) -> AnnounceRequest {
    let mut peer_id = *b"-XX0001-............";
    peer_id[8..16].copy_from_slice(&peer.to_le_bytes());
    AnnounceRequest {
        info_hash: info_hash(torrent),
        peer_id: PeerId(peer_id),
        port: 1024 + (peer % 50_000) as u16,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes: Some(peer % 4),
        event: AnnounceEvent::None,
        num_want: NumWant::Count(PEERS_WANTED as u32),
        peer_key: PeerKey::default(),
    }
}

/// Peer number `peer` at a global address of its own.
pub(crate) fn announce(torrent: u64, peer: u64) -> Announce {
    let ip = Ipv4Addr::from_bits(0x0b00_0000 + (peer.wrapping_mul(2_654_435_761) as u32 >> 3));
    Announce { request: request(torrent, peer), ip: IpAddr::V4(ip), connection: None, listed: true }
}

struct Swarms {
    shard: Shard,
    rng: Rng,
    new_torrents: RateTable,
    now: Tick,
}

impl Swarms {
    fn new() -> Self {
        let seed = Seed::new(42);
        Self {
            shard: Shard::new(SwarmSettings::default(), seed.clone()),
            rng: Rng::with_seed(1),
            new_torrents: RateTable::new(seed, NEW_TORRENTS_PER_MINUTE_MAX, 32, 48),
            now: Tick(60),
        }
    }

    /// One swarm with so many peers.
    fn with_peers(peers: u64) -> Self {
        let mut swarms = Self::new();
        for peer in 0..peers {
            swarms.announce(&announce(0, peer), 0);
        }
        swarms
    }

    /// So many swarms with one peer each.
    fn with_torrents(torrents: u64) -> Self {
        let mut swarms = Self::new();
        for torrent in 0..torrents {
            swarms.announce(&announce(torrent, torrent), 0);
        }
        swarms
    }

    fn announce(&mut self, announce: &Announce, peers_wanted: usize) -> Announced {
        let Self { shard, rng, new_torrents, now } = self;
        let mut moment = Moment { now: *now, rng, new_torrents };
        let mut ipv4 = [0; PEERS_WANTED * 6];
        let room = PeerRoom { ipv4: &mut ipv4[..peers_wanted * 6], ..PeerRoom::default() };
        let announced = shard.announce(&mut moment, announce, room);
        black_box(&ipv4);
        announced
    }

    fn step_on(&mut self) {
        assert_eq!(self.shard.sweep(self.now, STEP), Swept::More, "a step ends within the table");
    }
}

pub(crate) fn rows() {
    let mut first = Swarms::new();
    let announces: Vec<_> = (0..TORRENTS).map(|torrent| announce(torrent, torrent)).collect();
    count("announce: first peer of a torrent, 10,000 from nothing", TORRENTS as u32, |call| {
        black_box(&first.announce(&announces[call as usize], PEERS_WANTED));
    });
    again("2 peers", &mut Swarms::with_peers(2), 2);
    let mut thousand = Swarms::with_peers(1000);
    again("1,000 peers", &mut thousand, 1000);
    let mut huge = Swarms::with_peers(HUGE);
    again("200,000 peers", &mut huge, HUGE);
    scrapes();
    sweeps(&mut huge);
}

/// Peers that are known announce again: leechers, then seeders.
fn again(size: &str, swarms: &mut Swarms, peers: u64) {
    for (class, left_bytes) in [("leecher", 1), ("seeder", 0)] {
        let announces: Vec<_> = (0..peers)
            .map(|peer| announce(0, peer))
            .filter(|announce| {
                announce.request.left_bytes.is_some_and(|left| left.min(1) == left_bytes)
            })
            .step_by((peers / u64::from(CALLS)).max(1) as usize)
            .collect();
        count(&format!("announce: {class} in a swarm of {size}"), CALLS, |call| {
            let announce = &announces[call as usize % announces.len()];
            black_box(&swarms.announce(announce, PEERS_WANTED));
        });
    }
}

fn scrapes() {
    let swarms = Swarms::with_torrents(TORRENTS);
    for (name, torrents) in [("scrape: 1 torrent", 1), ("scrape: 74 torrents", SCRAPE_TORRENTS)] {
        let info_hashes: Vec<_> = (0..torrents).map(|number| info_hash(number * 100)).collect();
        count(name, CALLS, |_| {
            for info_hash in &info_hashes {
                black_box(&swarms.shard.scrape(info_hash));
            }
        });
    }
}

fn sweeps(huge: &mut Swarms) {
    let mut many = Swarms::with_torrents(TORRENTS);
    count("sweep: a step over torrents with one peer", STEPS, |_| many.step_on());
    count("sweep: a step over the swarm of 200,000", STEPS_OF_HUGE, |_| huge.step_on());
    many.now = many.now.plus(SwarmSettings::default().peer_ttl_secs * 2);
    let known = many.shard.tally().torrents;
    count("sweep: a step over torrents whose one peer fell silent", STEPS, |_| many.step_on());
    assert!(many.shard.tally().torrents < known, "torrents without peers are removed");
}
