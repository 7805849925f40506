//! Every peer of a swarm must come up, and about as often as any other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{Announce, Moment, PeerRoom, Shard, SwarmSettings};
use skep_engine::{Seed, Tick};
use skep_proto::peer_addr::IPV4_BYTES;
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

fn announce(host: u32, left: u64) -> Announce {
    let [_, a, b, c] = host.to_be_bytes();
    let mut peer_id = PeerId([0; 20]);
    peer_id.0[..4].copy_from_slice(&host.to_be_bytes());
    Announce {
        request: AnnounceRequest {
            info_hash: InfoHash([1; 20]),
            peer_id,
            port: 6881,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes: Some(left),
            event: AnnounceEvent::None,
            num_want: NumWant::Default,
            peer_key: PeerKey::default(),
        },
        ip: IpAddr::V4(Ipv4Addr::new(198, a, b, c)),
        connection: None,
        listed: true,
    }
}

/// How often each of the first `leechers` hosts was drawn.
struct Drawn {
    counts: BTreeMap<[u8; IPV4_BYTES], u32>,
    /// How often it should have been.
    expected: f64,
    /// The chance of a peer to be in one answer.
    chance: f64,
}

/// Lets one announcer ask `draws` times in a swarm of leechers and seeders.
fn draw(
    settings: SwarmSettings,
    leechers: u32,
    seeders: u32,
    asks: u64,
    wanted: u32,
    draws: u32,
) -> Drawn {
    let mut shard = Shard::new(settings, Seed::new(0x5eed));
    let mut rng = Rng::with_seed(0x5eed);
    let mut new_torrents = RateTable::new(Seed::new(0), 0, 32, 64);
    let mut ask = |announce: &Announce, ipv4: &mut [u8]| {
        let mut moment = Moment { now: Tick(50), rng: &mut rng, new_torrents: &mut new_torrents };
        let room = PeerRoom { ipv4, ..PeerRoom::default() };
        shard.announce(&mut moment, announce, room).ipv4_bytes
    };
    let mut counts = BTreeMap::new();
    for host in 0..leechers + seeders {
        let eligible = host < leechers || asks > 0;
        let announce = announce(host, u64::from(host < leechers));
        if eligible {
            let mut endpoint = [0; IPV4_BYTES];
            let IpAddr::V4(ip) = announce.ip else {
                unreachable!("all hosts have IPv4");
            };
            endpoint[..4].copy_from_slice(&ip.octets());
            endpoint[4..].copy_from_slice(&6881u16.to_be_bytes());
            counts.insert(endpoint, 0);
        }
        ask(&announce, &mut []);
    }
    let mut answer = vec![0; wanted as usize * IPV4_BYTES];
    for _ in 0..draws {
        let bytes = ask(&announce(0xff_ffff, asks), &mut answer);
        assert_eq!(bytes, answer.len().min(counts.len() * IPV4_BYTES));
        for peer in answer[..bytes].as_chunks().0 {
            *counts.get_mut(peer).expect("an eligible peer") += 1;
        }
    }
    let chance = f64::from(wanted) / counts.len() as f64;
    Drawn { expected: chance * f64::from(draws), chance, counts }
}

impl Drawn {
    /// Mean square of the deviations, in units of what chance alone would give.
    fn dispersion(&self) -> f64 {
        let variance = self.expected * (1.0 - self.chance);
        let squares = self.counts.values().map(|&count| (f64::from(count) - self.expected).powi(2));
        squares.sum::<f64>() / variance / self.counts.len() as f64
    }

    /// The rarest and the most frequent peer, in units of the expected.
    fn extremes(&self) -> (f64, f64) {
        let shares = self.counts.values().map(|&count| f64::from(count) / self.expected);
        shares.fold((f64::MAX, 0.0), |(least, most), share| (share.min(least), share.max(most)))
    }
}

#[test]
fn small_swarms_are_drawn_evenly() {
    for peer_ids in [false, true] {
        for (leechers, seeders, asks, wanted) in [
            (2, 0, 1, 1),
            (10, 0, 1, 3),
            (7, 6, 1, 5),
            // A seeder asks, and gets leechers only.
            (20, 30, 0, 4),
            (60, 30, 1, 50),
            (90, 0, 1, 1),
        ] {
            let settings = SwarmSettings { peer_ids, ..SwarmSettings::default() };
            let drawn = draw(settings, leechers, seeders, asks, wanted, 20_000);
            let dispersion = drawn.dispersion();
            // One is what chance gives. Neighbours come together, so it varies more than for single draws.
            let case = format!("{wanted} of {leechers} + {seeders}");
            assert!(dispersion < 5.0, "{case}: {dispersion:.2}");
            let (least, most) = drawn.extremes();
            assert!(least > 0.75 && most < 1.25, "{case}: {least:.2} to {most:.2}");
        }
    }
}

#[test]
fn large_swarms_are_drawn_about_evenly() {
    for (leechers, wanted, draws) in
        [(1000, 50, 10_000), (1000, 200, 3000), (5000, 50, 30_000), (5000, 200, 8000)]
    {
        for ports_per_address_max in [0, 8] {
            let settings = SwarmSettings { ports_per_address_max, ..SwarmSettings::default() };
            let drawn = draw(settings, leechers, 0, 1, wanted, draws);
            let (least, most) = drawn.extremes();
            // Parts differ in size, and an answer begins with a whole part.
            let case = format!("{wanted} of {leechers}");
            assert!(least > 0.5 && most < 1.8, "{case}: {least:.2} to {most:.2}");
        }
    }
}

#[test]
fn large_mixed_swarms_show_all_leechers_to_seeders() {
    let drawn = draw(SwarmSettings::default(), 300, 3000, 0, 50, 10_000);
    let (least, most) = drawn.extremes();
    assert!(least > 0.3 && most < 2.5, "{least:.2} to {most:.2}");
}

/// Rows are stored by class: an answer that is one window over them would often hold one class only.
#[test]
fn answers_to_leechers_hold_seeders_as_the_swarm_does() {
    for (leechers, seeders, wanted) in [(81, 9, 50), (54, 6, 30), (900, 100, 50)] {
        let mut shard = Shard::new(SwarmSettings::default(), Seed::new(0x5eed));
        let mut rng = Rng::with_seed(0x5eed);
        let mut new_torrents = RateTable::new(Seed::new(0), 0, 32, 64);
        let mut ask = |announce: &Announce, ipv4: &mut [u8]| {
            let mut moment =
                Moment { now: Tick(50), rng: &mut rng, new_torrents: &mut new_torrents };
            let room = PeerRoom { ipv4, ..PeerRoom::default() };
            shard.announce(&mut moment, announce, room).ipv4_bytes
        };
        for host in 0..leechers + seeders {
            ask(&announce(host, u64::from(host < leechers)), &mut []);
        }
        let mut answer = vec![0; wanted as usize * IPV4_BYTES];
        let (mut without, mut seen) = (0, 0);
        const DRAWS: u32 = 5000;
        for _ in 0..DRAWS {
            let bytes = ask(&announce(0xff_ffff, 1), &mut answer);
            let host = |peer: &[u8; IPV4_BYTES]| u32::from_be_bytes([0, peer[1], peer[2], peer[3]]);
            let (peers, _) = answer[..bytes].as_chunks();
            let found = peers.iter().filter(|peer| host(peer) >= leechers).count();
            without += u32::from(found == 0);
            seen += found as u32;
        }
        let mean = f64::from(seen) / f64::from(DRAWS);
        let fair = f64::from(wanted * seeders) / f64::from(leechers + seeders);
        assert!((mean / fair - 1.0).abs() < 0.1, "{mean} seeders in an answer, not {fair}");
        assert!(without * 50 < DRAWS, "{without} of {DRAWS} answers held no seeder");
    }
}
