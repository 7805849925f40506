//! Intervals over both transports: what clients are told in large swarms, under load, and after a
//! reload.
//!
//! The arithmetic, and that load converges, is tested in the engine.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use skep_engine::testing::wire::Answer;

use crate::support::{Tracker, announce, folder, torrent, wait_until};

const LARGE: u8 = 1;
const SMALL: u8 = 2;

fn host(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, number).into()
}

/// What a client is told that announces over UDP and over HTTP: the intervals, and the least one.
fn told(tracker: &Tracker, swarm: u8) -> (u32, u32, Option<u32>) {
    let request = announce(torrent(swarm), 6881, 1);
    let by_udp = tracker.udp_client(host(200)).announce(&request).unwrap();
    let Answer { interval_secs, interval_min_secs, .. } =
        tracker.http_client(host(200)).announce(&request).unwrap();
    (by_udp.interval_secs, interval_secs, interval_min_secs)
}

/// Brings so many peers to a swarm.
fn fill(tracker: &Tracker, swarm: u8, peers: u8) {
    for number in 1..=peers {
        let mut client = tracker.udp_client(host(number));
        client.announce(&announce(torrent(swarm), 6881, 1)).unwrap();
    }
}

/// Announces so many times as one client.
fn load(tracker: &Tracker, announces: u32) {
    let mut client = tracker.udp_client(host(1));
    let id = client.connect();
    for _ in 0..announces {
        client.announce_with(id, &announce(torrent(SMALL), 6881, 1)).unwrap();
    }
}

fn stretched(tracker: &Tracker) -> u64 {
    ["udp", "http"]
        .map(|transport| {
            let labels = format!("transport=\"{transport}\",family=\"ipv4\"");
            tracker.metric(&format!("skep_traffic_announces_stretched_total{{{labels}}}"))
        })
        .into_iter()
        .sum()
}

fn delay_secs(tracker: &Tracker) -> u64 {
    tracker.metric("skep_traffic_interval_delay_seconds")
}

#[test]
fn clients_of_a_large_swarm_are_told_to_come_less_often() {
    let tracker = Tracker::start(&[
        "--announce.interval_max_secs=3000",
        "--announce.stretch_above_swarm_peers=4",
    ]);
    fill(&tracker, LARGE, 5);
    assert_eq!(stretched(&tracker), 1, "the fifth peer makes it a large one");
    fill(&tracker, SMALL, 3);
    assert_eq!(told(&tracker, SMALL), (1800, 1800, Some(900)));
    assert_eq!(stretched(&tracker), 1);
    assert_eq!(told(&tracker, LARGE), (2700, 2700, Some(1350)));
    assert_eq!(stretched(&tracker), 3);
    fill(&tracker, LARGE, 20);
    assert_eq!(told(&tracker, LARGE), (3000, 3000, Some(1500)));
    assert_eq!(delay_secs(&tracker), 0);
    // Whoever keeps to the longest interval is not forgotten meanwhile.
    tracker.advance(3000);
    let answer = tracker.udp_client(host(200)).announce(&announce(torrent(LARGE), 6881, 1));
    assert_eq!(answer.unwrap().seen.incomplete, 21);
}

#[test]
fn interval_stays_within_its_limit_whatever_is_added_at_random() {
    let tracker = Tracker::start(&[
        "--announce.interval_max_secs=3000",
        "--announce.stretch_above_swarm_peers=1",
        "--announce.interval_jitter_percent=50",
    ]);
    fill(&tracker, LARGE, 10);
    let mut client = tracker.udp_client(host(1));
    let id = client.connect();
    for _ in 0..200 {
        let answer = client.announce_with(id, &announce(torrent(LARGE), 6881, 1)).unwrap();
        assert!((1000..=3000).contains(&answer.interval_secs), "{answer:?}");
    }
}

#[test]
fn load_stretches_every_interval_and_gives_way_when_it_falls() {
    // Announces that come at once are a quarter of a second each; meanwhile some seconds may pass.
    let tracker = Tracker::start(&["--announce.stretch_above_announces_per_sec=4"]);
    assert_eq!(told(&tracker, SMALL), (1800, 1800, Some(900)));
    load(&tracker, 4000);
    wait_until("load makes intervals longer", || delay_secs(&tracker) > 900);
    let before = stretched(&tracker);
    let (by_udp, by_http, least) = told(&tracker, LARGE);
    assert_eq!(stretched(&tracker), before + 2);
    assert!((2700..=2801).contains(&by_udp) && (2700..=2801).contains(&by_http));
    assert_eq!(least, Some(by_http / 2));

    load(&tracker, 4000);
    wait_until("the limit is reached", || delay_secs(&tracker) > 1700);
    assert!((3500..=3600).contains(&told(&tracker, SMALL).0));

    // Some of the announces above the limit may not have been looked at before.
    tracker.advance(1000);
    wait_until("time takes from the delay", || delay_secs(&tracker) < 1200);
    assert!((2400..3002).contains(&told(&tracker, SMALL).0));
    tracker.advance(1200);
    wait_until("nothing is left of it", || delay_secs(&tracker) == 0);
    assert!((1800..1802).contains(&told(&tracker, SMALL).0));
}

#[test]
fn nothing_is_stretched_unless_it_is_asked_for() {
    let tracker = Tracker::start(&[]);
    fill(&tracker, LARGE, 20);
    load(&tracker, 2000);
    assert_eq!(told(&tracker, LARGE), (1800, 1800, Some(900)));
    assert_eq!((stretched(&tracker), delay_secs(&tracker)), (0, 0));
}

#[test]
fn reload_moves_the_limit_at_once_and_forgets_nobody_who_was_told_the_old_one() {
    let folder = folder();
    let file = folder.path().join("skep.toml");
    let with = |text: &str| fs::write(&file, format!("[announce]\n{text}")).unwrap();
    with("interval_max_secs = 9000\nstretch_above_swarm_peers = 1");
    let tracker = Tracker::start(&["--config", file.to_str().unwrap()]);
    fill(&tracker, LARGE, 9);
    assert_eq!(told(&tracker, LARGE), (9000, 9000, Some(4500)));

    with("interval_max_secs = 2000\nstretch_above_swarm_peers = 1");
    tracker.running().reload();
    assert_eq!(told(&tracker, LARGE), (2000, 2000, Some(1000)));
    with("");
    tracker.running().reload();
    assert_eq!(told(&tracker, LARGE), (1800, 1800, Some(900)));

    tracker.advance(9000);
    let answer = tracker.udp_client(host(200)).announce(&announce(torrent(LARGE), 6881, 1));
    assert_eq!(answer.unwrap().seen.incomplete, 10, "they come back as late as they were told");
}
