//! What events do to a peer: sequences of announces with the counts after each.
//!
//! Every sequence runs with the peer alone, in a lane beside others, and over IPv6, because a swarm
//! keeps its peers in other forms then.

use std::net::IpAddr;

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::swarm::{
    Announce, Announced, Counts, Moment, PeerRoom, Shard, SwarmSettings, Swept,
};
use skep_engine::{Seed, Tick};
use skep_proto::AnnounceEvent::{self, Completed, None as Regular, Paused, Started, Stopped};
use skep_proto::{AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey, left_from_wire};

/// What the peer says, or that its time passes.
enum Step {
    Says(AnnounceEvent, Option<u64>),
    TtlPasses,
}

use Step::{Says, TtlPasses};

/// Seeders, leechers, partial seeds and completions.
type Expected = (u32, u32, u32, u32);

struct Swarm {
    shard: Shard,
    now: Tick,
    rng: Rng,
    new_torrents: RateTable,
}

impl Swarm {
    fn new(settings: SwarmSettings) -> Self {
        Self {
            shard: Shard::new(settings, Seed::new(3)),
            now: Tick(100),
            rng: Rng::with_seed(3),
            new_torrents: RateTable::new(Seed::new(3), 0, 32, 64),
        }
    }

    fn announce(&mut self, ip: IpAddr, event: AnnounceEvent, left_bytes: Option<u64>) -> Announced {
        let announce = Announce {
            request: AnnounceRequest {
                info_hash: InfoHash([1; 20]),
                peer_id: PeerId([2; 20]),
                port: 6881,
                uploaded_bytes: 0,
                downloaded_bytes: 0,
                left_bytes,
                event,
                num_want: NumWant::Default,
                peer_key: PeerKey::default(),
            },
            ip,
            connection: None,
            listed: true,
        };
        let mut moment =
            Moment { now: self.now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        self.shard.announce(&mut moment, &announce, PeerRoom::default())
    }

    fn sweep(&mut self) {
        while self.shard.sweep(self.now, 10) == Swept::More {}
    }

    fn counts(&self) -> Counts {
        self.shard.scrape(&InfoHash([1; 20])).unwrap_or_default()
    }
}

const ALONE_IPV4: (&str, &[&str]) = ("192.0.2.1", &[]);
const AMONG_IPV4: (&str, &[&str]) = ("192.0.2.1", &["198.51.100.1", "198.51.100.2"]);
const ALONE_IPV6: (&str, &[&str]) = ("2001:db8::1", &[]);
const AMONG_BOTH: (&str, &[&str]) = ("2001:db8::1", &["198.51.100.1", "2001:db8:1::1"]);

fn check(steps: &[(Step, Expected)]) {
    for (ip, others) in [ALONE_IPV4, AMONG_IPV4, ALONE_IPV6, AMONG_BOTH] {
        let mut swarm = Swarm::new(SwarmSettings::default());
        for (number, (step, expected)) in steps.iter().enumerate() {
            // The others never finish and never fall silent.
            for other in others {
                swarm.announce(other.parse().unwrap(), Regular, Some(9));
            }
            match step {
                Says(event, left_bytes) => {
                    let announced = swarm.announce(ip.parse().unwrap(), *event, *left_bytes);
                    if announced.counts != Counts::default() {
                        assert_eq!(
                            announced.counts,
                            swarm.counts(),
                            "an answer is the swarm after it"
                        );
                    }
                }
                TtlPasses => {
                    swarm.now = swarm.now.plus(3700);
                    for other in others {
                        swarm.announce(other.parse().unwrap(), Regular, Some(9));
                    }
                    swarm.sweep();
                }
            }
            let (seeders, leechers, partial_seeds, completions) = *expected;
            let expected = Counts {
                seeders,
                leechers: leechers + others.len() as u32,
                partial_seeds,
                completions,
            };
            assert_eq!(swarm.counts(), expected, "step {} of {ip} among {others:?}", number + 1);
        }
    }
}

#[test]
fn downloader_that_finishes_silently_counts_when_it_completes_again() {
    check(&[
        (Says(Started, Some(5)), (0, 1, 0, 0)),
        (Says(Regular, Some(0)), (1, 0, 0, 0)),
        (Says(Completed, Some(0)), (1, 0, 0, 0)),
        (Says(Stopped, Some(0)), (0, 0, 0, 0)),
        (Says(Stopped, Some(0)), (0, 0, 0, 0)),
        (Says(Completed, Some(0)), (1, 0, 0, 1)),
    ]);
}

#[test]
fn seeder_that_goes_back_to_leeching_counts_once() {
    check(&[
        (Says(Started, Some(0)), (1, 0, 0, 0)),
        (Says(Completed, Some(0)), (1, 0, 0, 0)),
        (Says(Regular, Some(7)), (0, 1, 0, 0)),
        (Says(Completed, Some(0)), (1, 0, 0, 1)),
        (Says(Completed, Some(0)), (1, 0, 0, 1)),
        (TtlPasses, (0, 0, 0, 1)),
    ]);
}

#[test]
fn partial_seed_goes_on_and_finishes() {
    check(&[
        (Says(Paused, Some(5)), (0, 0, 1, 0)),
        (Says(Paused, Some(5)), (0, 0, 1, 0)),
        (Says(Regular, Some(5)), (0, 1, 0, 0)),
        (Says(Completed, Some(5)), (0, 1, 0, 0)),
        (Says(Completed, Some(0)), (1, 0, 0, 1)),
        (Says(Stopped, Some(0)), (0, 0, 0, 1)),
    ]);
}

#[test]
fn completed_with_unknown_left_is_a_finished_download() {
    for left_bytes in [None, Some(16384), left_from_wire(u64::MAX)] {
        check(&[
            (Says(Started, Some(5)), (0, 1, 0, 0)),
            (Says(Completed, left_bytes), (1, 0, 0, 1)),
        ]);
    }
}

#[test]
fn unknown_left_keeps_the_class_of_a_known_peer() {
    check(&[
        (Says(Started, left_from_wire(i64::MAX as u64)), (0, 1, 0, 0)),
        (Says(Regular, Some(0)), (1, 0, 0, 0)),
        (Says(Regular, None), (1, 0, 0, 0)),
        (Says(Paused, None), (1, 0, 0, 0)),
        (Says(Paused, Some(3)), (0, 0, 1, 0)),
        (Says(Started, None), (0, 0, 1, 0)),
        (Says(Paused, Some(0)), (1, 0, 0, 0)),
    ]);
}

#[test]
fn switch_makes_a_seeder_of_an_unfinished_completed() {
    let mut swarm =
        Swarm::new(SwarmSettings { completed_overrides_left: true, ..SwarmSettings::default() });
    let counts = swarm.announce("192.0.2.1".parse().unwrap(), Completed, Some(5)).counts;
    assert_eq!((counts.seeders, counts.leechers, counts.completions), (1, 0, 0));
}

#[test]
fn completions_are_kept_for_a_day_and_no_longer() {
    let mut swarm = Swarm::new(SwarmSettings::default());
    let ip = "192.0.2.1".parse().unwrap();
    swarm.announce(ip, Completed, Some(0));
    swarm.announce(ip, Stopped, Some(0));
    swarm.now = swarm.now.plus(23 * 3600);
    swarm.sweep();
    assert_eq!(swarm.counts().completions, 1);
    swarm.now = swarm.now.plus(2 * 3600);
    swarm.sweep();
    assert_eq!(swarm.shard.scrape(&InfoHash([1; 20])), None);
    assert_eq!(swarm.shard.tally().torrents, 0);
}
