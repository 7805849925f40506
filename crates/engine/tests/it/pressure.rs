//! Short memory: less is kept, and every announce is answered all the same.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{
    Announce, Announced, Counts, Moment, PeerRoom, Pressure, Shard, SwarmSettings, Swept, Totals,
};
use skep_engine::{Seed, Tick};
use skep_proto::peer_addr::IPV4_BYTES;
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

struct Setup {
    shard: Shard,
    totals: Arc<Totals>,
    rng: Rng,
    new_torrents: RateTable,
    now: Tick,
    answer: [u8; 50 * IPV4_BYTES],
}

impl Setup {
    fn new() -> Self {
        let (totals, seed) = (Arc::<Totals>::default(), Seed::new(1));
        Self {
            shard: Shard::sharing(SwarmSettings::default(), seed.clone(), totals.clone()),
            totals,
            rng: Rng::with_seed(1),
            new_torrents: RateTable::new(seed, 0, 32, 48),
            now: Tick(1000),
            answer: [0; 50 * IPV4_BYTES],
        }
    }

    fn announce(&mut self, torrent: u32, host: u32) -> Announced {
        self.announce_event(torrent, host, AnnounceEvent::None)
    }

    fn announce_event(&mut self, torrent: u32, host: u32, event: AnnounceEvent) -> Announced {
        let mut info_hash = InfoHash([9; 20]);
        info_hash.0[..4].copy_from_slice(&torrent.to_be_bytes());
        let announce = Announce {
            request: AnnounceRequest {
                info_hash,
                peer_id: PeerId([host as u8; 20]),
                port: 6881,
                uploaded_bytes: 0,
                downloaded_bytes: 0,
                left_bytes: Some(u64::from(event == AnnounceEvent::None)),
                event,
                num_want: NumWant::Default,
                peer_key: PeerKey::default(),
            },
            ip: IpAddr::V4(Ipv4Addr::from_bits(0xc600_0000 + host)),
            connection: None,
            listed: true,
        };
        let mut moment =
            Moment { now: self.now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let room = PeerRoom { ipv4: &mut self.answer, ..PeerRoom::default() };
        self.shard.announce(&mut moment, &announce, room)
    }

    fn peers(&self) -> u64 {
        self.shard.tally().peers_total()
    }
}

#[test]
fn silent_peers_go_earlier_the_shorter_memory_is_but_not_within_an_interval() {
    for (pressure, lives_secs) in
        [(Pressure::None, 3600), (Pressure::Low, 2880), (Pressure::High, 2160)]
    {
        let mut setup = Setup::new();
        setup.totals.set_pressure(pressure);
        setup.announce(1, 1);
        let begin = setup.now;
        for (secs, left) in [(1980, 1), (lives_secs - 4, 1), (lives_secs + 8, 0)] {
            setup.now = begin.plus(secs);
            while setup.shard.sweep(setup.now, 100) == Swept::More {}
            assert_eq!(setup.peers(), left, "{pressure:?} after {secs} s");
        }
    }
}

#[test]
fn large_swarms_keep_a_sample_that_follows_who_announces() {
    let mut setup = Setup::new();
    for host in 0..600 {
        setup.announce(1, host);
    }
    setup.totals.set_pressure(Pressure::High);
    for host in 10_000..20_000 {
        let announced = setup.announce(1, host);
        assert!(!announced.not_stored);
        assert_eq!(announced.ipv4_bytes, setup.answer.len(), "an answer as always");
    }
    assert!((600..620).contains(&setup.peers()), "{} peers", setup.peers());
    let late = setup.answer.as_chunks::<IPV4_BYTES>().0.iter().filter(|peer| peer[2] >= 0x27);
    assert!(late.count() > 40, "the sample is of those that came late");
    for host in 0..300 {
        setup.announce(2, host);
    }
    assert_eq!(setup.announce(2, 300).counts.leechers, 301, "a swarm below the limit grows");
}

#[test]
fn a_full_memory_answers_everybody_and_holds_no_more() {
    let mut setup = Setup::new();
    for host in 0..40 {
        setup.announce(1, host);
    }
    setup.announce(2, 0);
    setup.totals.set_pressure(Pressure::Full);
    let before = setup.shard.heap_bytes();
    for torrent in 100..10_000 {
        let announced = setup.announce(torrent, 7);
        assert!(announced.not_stored);
        assert_eq!(announced.counts, Counts::default());
    }
    assert!(setup.announce(2, 1).not_stored, "a second peer would need a lane");
    assert_eq!(setup.announce(2, 1).ipv4_bytes, IPV4_BYTES, "and is told of the first");
    for host in 1000..2000 {
        let announced = setup.announce(1, host);
        assert!(!announced.not_stored);
        assert_eq!(announced.ipv4_bytes, 39 * IPV4_BYTES);
    }
    assert_eq!(setup.peers(), 41);
    assert_eq!(setup.shard.heap_bytes(), before);
    setup.totals.set_pressure(Pressure::None);
    assert!(!setup.announce(2, 1).not_stored, "and goes on where there is room again");
}

#[test]
fn torrents_without_peers_make_room_for_those_that_have_one() {
    let mut setup = Setup::new();
    for torrent in 0..50 {
        setup.announce_event(torrent, 3, AnnounceEvent::Completed);
        setup.announce_event(torrent, 3, AnnounceEvent::Stopped);
    }
    assert_eq!((setup.shard.tally().torrents, setup.peers()), (50, 0));
    setup.totals.set_pressure(Pressure::Full);
    let before = setup.shard.heap_bytes();
    assert!(!setup.announce(0, 4).not_stored, "a record without a peer has room for one");
    for torrent in 100..110 {
        assert!(!setup.announce(torrent, 4).not_stored, "torrent {torrent}");
    }
    assert_eq!((setup.shard.tally().torrents, setup.peers()), (50, 11));
    assert_eq!(setup.shard.heap_bytes(), before);
}

#[test]
fn whoever_may_not_bring_a_torrent_makes_none_forgotten() {
    let mut setup = Setup::new();
    for torrent in 0..50 {
        setup.announce_event(torrent, 3, AnnounceEvent::Completed);
        setup.announce_event(torrent, 3, AnnounceEvent::Stopped);
    }
    setup.totals.set_pressure(Pressure::Full);
    setup.new_torrents = RateTable::new(Seed::new(1), 1, 32, 48);
    assert!(!setup.announce(100, 7).not_stored);
    for torrent in 101..200 {
        assert!(setup.announce(torrent, 7).not_stored);
    }
    assert_eq!(setup.shard.tally().torrents, 50);
}
