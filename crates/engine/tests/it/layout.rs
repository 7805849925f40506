//! The bytes that `docs/internals/swarm.md` states, by what shards hold, and that they go again.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{Announce, Moment, PeerRoom, Shard, SwarmSettings, Swept};
use skep_engine::testing::clients::{info_hash, webrtc_announce, webrtc_peer};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

const FILLED: Tick = Tick(60);
/// Index bytes of a torrent: a slot of four at a load of thirteen sixteenths, to half of that.
const INDEX_BYTES: std::ops::Range<f64> = 4.9..9.9;

/// A shard with peers of so many torrents, and the bytes that a torrent takes in it.
fn filled(torrents: u32, peers_each: u32, peer_ids: bool) -> (Shard, f64) {
    let seed = Seed::new(42);
    let mut shard =
        Shard::new(SwarmSettings { peer_ids, ..SwarmSettings::default() }, seed.clone());
    let (mut rng, mut new_torrents) = (Rng::with_seed(1), RateTable::new(seed, 0, 32, 64));
    for torrent in 0..torrents {
        let mut info_hash = InfoHash([7; 20]);
        info_hash.0[..4].copy_from_slice(&torrent.to_be_bytes());
        for peer in 0..peers_each {
            let request = AnnounceRequest {
                info_hash,
                peer_id: PeerId([9; 20]),
                port: 6881,
                uploaded_bytes: 0,
                downloaded_bytes: 0,
                left_bytes: Some(u64::from(peer % 3)),
                event: AnnounceEvent::None,
                num_want: NumWant::Default,
                peer_key: PeerKey::default(),
            };
            let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + peer));
            let mut moment = Moment { now: FILLED, rng: &mut rng, new_torrents: &mut new_torrents };
            let announce = Announce { request, ip, connection: None, listed: true };
            shard.announce(&mut moment, &announce, PeerRoom::default());
        }
    }
    // The sweep finishes what is left of the last growth of the index.
    while shard.sweep(FILLED, 512) == Swept::More {}
    let bytes = shard.heap_bytes() as f64 / f64::from(torrents);
    (shard, bytes)
}

#[test]
fn small_torrents_take_the_bytes_that_are_stated() {
    for (peers_each, peer_ids, stated) in [
        (1, false, 40.0),
        (1, true, 60.0),
        (2, false, 40.0 + 40.0 + 16.0),
        (2, true, 60.0 + 40.0 + 56.0),
    ] {
        let (_, bytes) = filled(51_200, peers_each, peer_ids);
        // Besides, an entry in the list of chunks, which has up to twice the room that it needs.
        let index = bytes - stated - 48.0 / 256.0;
        assert!(
            INDEX_BYTES.contains(&index) || INDEX_BYTES.contains(&(index - 48.0 / 256.0)),
            "{bytes} bytes with {peers_each} peers, peer ids {peer_ids}"
        );
    }
}

#[test]
fn a_peer_of_a_large_lane_takes_the_bytes_that_are_stated() {
    for (peer_ids, row_bytes) in [(false, 8.0), (true, 28.0)] {
        let (_, bytes) = filled(1, 100_000, peer_ids);
        let peer = bytes / 100_000.0;
        // A ninth more, and an entry of 32 bytes for 48 peers in a directory of twice the room.
        let max = row_bytes * 9.0 / 8.0 + 2.0 * 32.0 / 48.0;
        assert!(peer >= row_bytes && peer <= max, "{peer} bytes with peer ids {peer_ids}");
    }
}

#[test]
fn webrtc_peer_takes_the_bytes_that_are_stated_whether_peer_ids_are_kept_or_not() {
    for peer_ids in [false, true] {
        let seed = Seed::new(42);
        let settings = SwarmSettings { peer_ids, ..SwarmSettings::default() };
        let mut shard = Shard::new(settings, seed.clone());
        let (mut rng, mut new_torrents) = (Rng::with_seed(1), RateTable::new(seed, 0, 32, 64));
        for number in 0..20_000 {
            let announce = webrtc_announce(
                info_hash(1),
                webrtc_peer(number, number),
                AnnounceEvent::None,
                Some(u64::from(number % 3)),
            );
            let mut moment = Moment { now: FILLED, rng: &mut rng, new_torrents: &mut new_torrents };
            shard.announce(&mut moment, &announce, PeerRoom::default());
        }
        let peer = shard.heap_bytes() as f64 / 20_000.0;
        let max = 34.0 * 9.0 / 8.0 + 2.0 * 32.0 / 48.0;
        assert!(peer >= 34.0 && peer <= max, "{peer} bytes with peer ids {peer_ids}");
    }
}

#[test]
fn nothing_is_left_of_a_large_lane_whose_peers_fell_silent() {
    let (mut shard, _) = filled(1, 100_000, true);
    let later = FILLED.plus(3 * 3600);
    while shard.sweep(later, 512) == Swept::More {}
    assert_eq!((shard.tally().torrents, shard.tally().peers_total()), (0, 0));
    assert!(shard.heap_bytes() < 1000, "{} bytes are left", shard.heap_bytes());
}
