//! Intervals by themselves, and what becomes of a crowd of clients that keeps to them.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::*;
use crate::session::ExternalAddresses;
use crate::swarm::Counts;

const USUAL: AnswerSettings = AnswerSettings {
    interval_secs: 1000,
    interval_min_secs: 500,
    interval_jitter_percent: 10,
    stretch: None,
    peers_default: 50,
    peers_max: 200,
    cross_family: true,
    external_ip: false,
    external: ExternalAddresses { ipv4: None, ipv6: None },
    port_zero_unlisted: false,
    ip_override_local: false,
    plus_literal: false,
};

fn stretched_by(stretch: Stretch) -> AnswerSettings {
    AnswerSettings { stretch: Some(stretch), ..USUAL }
}

fn by_swarm(above_swarm_peers: u32) -> AnswerSettings {
    let stretch =
        Stretch { interval_max_secs: 3300, above_announces_per_sec: 0, above_swarm_peers };
    stretched_by(stretch)
}

fn by_load(above_announces_per_sec: u32, interval_max_secs: u32) -> AnswerSettings {
    stretched_by(Stretch { interval_max_secs, above_announces_per_sec, above_swarm_peers: 0 })
}

/// The answer to an announce in a swarm of so many peers.
fn swarm_of(peers: u32) -> Announced {
    let leechers = peers / 2;
    let partial_seeds = peers / 4;
    let seeders = peers - leechers - partial_seeds;
    let counts = Counts { seeders, leechers, partial_seeds, ..Counts::default() };
    Announced { counts, ..Announced::default() }
}

/// The least and the greatest of many intervals, and the least interval that goes with them.
fn told(settings: &AnswerSettings, announced: &Announced, delay_secs: u32) -> (u32, u32, u32) {
    let mut rng = Rng::with_seed(7);
    let mut told = (u32::MAX, 0, 0);
    for _ in 0..10_000 {
        let interval = settings.interval_after(announced, delay_secs, &mut rng);
        told = (told.0.min(interval.secs), told.1.max(interval.secs), interval.min_secs);
        assert!(interval.min_secs <= interval.secs, "{interval:?}");
        assert_eq!(interval.stretched, told.2 > settings.interval_min_secs, "{interval:?}");
    }
    told
}

#[test]
fn intervals_spread_around_the_promise_and_never_fall_below_the_minimum() {
    assert_eq!(told(&USUAL, &swarm_of(1_000_000), 1000), (900, 1100, 500));
    let settings = AnswerSettings { interval_min_secs: 950, ..USUAL };
    assert_eq!(told(&settings, &swarm_of(1), 0), (950, 1100, 950));
}

#[test]
fn interval_grows_with_the_swarm_from_the_threshold_to_the_limit() {
    let settings = by_swarm(200);
    for (peers, expected) in [
        (0, (900, 1100, 500)),
        (200, (900, 1100, 500)),
        (300, (1350, 1650, 750)),
        (400, (1800, 2200, 1000)),
        (600, (2700, 3300, 1500)),
        (601, (2700, 3300, 1500)),
        (u32::MAX, (2700, 3300, 1500)),
    ] {
        assert_eq!(told(&settings, &swarm_of(peers), 0), expected, "{peers} peers");
    }
}

#[test]
fn greater_of_swarm_and_load_counts() {
    let mut settings = by_swarm(200);
    assert_eq!(told(&settings, &swarm_of(1), 500), (900, 1100, 500), "a delay of other settings");
    settings.stretch.as_mut().unwrap().above_announces_per_sec = 1;
    assert_eq!(told(&settings, &swarm_of(1), 500), (1350, 1650, 750));
    assert_eq!(told(&settings, &swarm_of(300), 1000), (1800, 2200, 1000));
    assert_eq!(told(&settings, &swarm_of(400), 500), (1800, 2200, 1000));
    assert_eq!(told(&settings, &swarm_of(1), u32::MAX), (2700, 3300, 1500));
}

#[test]
fn limit_without_room_for_the_random_part_changes_nothing() {
    for interval_max_secs in [0, 1000, 1100] {
        let settings = by_load(1, interval_max_secs);
        assert_eq!(told(&settings, &swarm_of(1), 500), (900, 1100, 500), "{interval_max_secs}");
        assert_eq!(LoadDelay::default().step(&settings, 1000, 0), 0, "{interval_max_secs}");
    }
}

#[test]
fn peer_that_was_not_stored_is_to_come_back_soon_whatever_the_load() {
    let announced = Announced { not_stored: true, ..swarm_of(1000) };
    assert_eq!(told(&by_swarm(200), &announced, 0), (500, 500, 500));
    assert_eq!(told(&by_load(1, 3000), &announced, 1000), (500, 500, 500));
}

#[test]
fn delay_is_the_length_of_the_queue_within_its_limits() {
    let settings = by_load(100, 2200);
    let mut delay = LoadDelay::default();
    assert_eq!(delay.step(&settings, 50, 1), 0, "fewer than there may be");
    assert_eq!(delay.step(&settings, 300, 1), 2);
    assert_eq!(delay.step(&settings, 50, 0), 2, "half a second is no whole one");
    assert_eq!(delay.step(&settings, 50, 0), 3);
    assert_eq!(delay.step(&settings, 100, 1), 3);
    assert_eq!(delay.step(&settings, 1_000_000, 1), 1000);
    assert_eq!(delay.step(&settings, 0, 400), 600, "the limit leaves nothing to work off");
    assert_eq!(delay.step(&by_load(100, 1650), 0, 0), 500, "a lower limit holds at once");
    assert_eq!(delay.step(&USUAL, 100_000, 0), 0);
    assert_eq!(delay.step(&settings, 0, 0), 0, "nothing is left when it is switched on again");
}

/// Clients that announce as they are told, second by second.
struct Crowd {
    settings: AnswerSettings,
    delay: LoadDelay,
    delay_secs: u32,
    now: u32,
    /// When who announces next.
    due: BinaryHeap<Reverse<(u32, u32)>>,
    /// Every so many-th client comes at the usual interval, whatever it is told; 0 for none.
    deaf: u32,
    rng: Rng,
}

/// What was seen in a stretch of time.
#[derive(Debug)]
struct Period {
    announces_per_sec: f64,
    delay_least_secs: u32,
    delay_most_secs: u32,
}

impl Crowd {
    /// Clients that come for the first time within so many seconds.
    fn new(settings: AnswerSettings, clients: u32, within_secs: u32) -> Self {
        let mut rng = Rng::with_seed(11);
        let due = (0..clients).map(|client| Reverse((rng.u32(0..within_secs), client))).collect();
        let delay = LoadDelay::default();
        Self { settings, delay, delay_secs: 0, now: 0, due, deaf: 0, rng }
    }

    fn run(&mut self, secs: u32) -> Period {
        let (mut least, mut most, mut sum) = (u32::MAX, 0, 0);
        for _ in 0..secs {
            let mut announces = 0;
            while let Some(Reverse((due, client))) = self.due.peek().copied()
                && due <= self.now
            {
                self.due.pop();
                announces += 1;
                let (announced, delay_secs) = (swarm_of(1), self.delay_secs);
                let told = self.settings.interval_after(&announced, delay_secs, &mut self.rng);
                let is_deaf = self.deaf != 0 && client % self.deaf == 0;
                let interval = if is_deaf { self.settings.interval_secs } else { told.secs };
                self.due.push(Reverse((self.now + interval, client)));
            }
            self.delay_secs = self.delay.step(&self.settings, announces, 1);
            self.now += 1;
            (least, most) = (least.min(self.delay_secs), most.max(self.delay_secs));
            sum += announces;
        }
        let announces_per_sec = sum as f64 / f64::from(secs);
        Period { announces_per_sec, delay_least_secs: least, delay_most_secs: most }
    }

    /// Lets clients go, every second one.
    fn halve(&mut self) {
        let half = self.due.drain().filter(|Reverse((_, client))| client % 2 == 0);
        let half: Vec<_> = half.collect();
        self.due.extend(half);
    }
}

fn is_about(value: f64, expected: f64, percent: f64) -> bool {
    (value - expected).abs() <= expected * percent / 100.0
}

#[test]
fn twice_the_wanted_load_settles_at_the_wanted_load_and_twice_the_interval() {
    // Everybody at once as after an outage, within minutes, or already spread.
    for within_secs in [1, 300, 1000] {
        let mut crowd = Crowd::new(by_load(10, 10_000), 20_000, within_secs);
        crowd.run(10_000);
        for _ in 0..5 {
            let period = crowd.run(2000);
            assert!(is_about(period.announces_per_sec, 10.0, 3.0), "{within_secs}: {period:?}");
            let (least, most) = (period.delay_least_secs, period.delay_most_secs);
            assert!(least > 900 && most < 1100, "{within_secs}: {period:?} swings");
        }
    }
}

#[test]
fn load_that_no_interval_can_bring_down_goes_to_the_limit_and_stays() {
    let mut crowd = Crowd::new(by_load(10, 2200), 100_000, 1000);
    crowd.run(4000);
    let period = crowd.run(4000);
    assert!(is_about(period.announces_per_sec, 50.0, 3.0), "{period:?}");
    assert!(period.delay_least_secs >= 980 && period.delay_most_secs == 1000, "{period:?}");
}

#[test]
fn clients_that_do_not_listen_are_made_up_for_by_the_others() {
    let mut crowd = Crowd::new(by_load(10, 10_000), 16_000, 1000);
    crowd.deaf = 4;
    crowd.run(10_000);
    for _ in 0..3 {
        let period = crowd.run(3000);
        assert!(is_about(period.announces_per_sec, 10.0, 3.0), "{period:?}");
        // Four a second do not listen; twelve thousand others share the other six.
        let (least, most) = (period.delay_least_secs, period.delay_most_secs);
        assert!(least > 900 && most < 1100, "{period:?} swings");
    }
}

#[test]
fn interval_is_the_usual_one_again_when_load_has_fallen() {
    let mut crowd = Crowd::new(by_load(10, 10_000), 18_000, 1000);
    crowd.run(6000);
    crowd.halve();
    crowd.run(6000);
    let period = crowd.run(4000);
    assert!(is_about(period.announces_per_sec, 9.0, 3.0), "{period:?}");
    assert!(period.delay_most_secs < 50, "{period:?}");
}

#[test]
fn load_below_the_threshold_changes_no_interval() {
    let mut crowd = Crowd::new(by_load(10, 10_000), 8_000, 1000);
    let period = crowd.run(10_000);
    assert!(period.delay_most_secs < 20, "{period:?}");
}
