//! Browsers over real sockets: what they are told, who gets which offer, and what ends a connection.

mod ends;
#[cfg(target_os = "linux")]
mod idle;
mod owners;
mod vectors;

use serde_json::json;

use crate::support::websocket::{announce, offers, peer};
use crate::support::{Tracker, torrent};

/// With one worker an offer is there before the answer to what is asked behind it, so that a browser
/// can tell that it was handed none.
const ONE_WORKER: &[&str] = &["--listen.workers=1"];

#[test]
fn offers_go_to_different_peers_and_no_further_than_there_are_peers() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut others: Vec<_> = (1..=3).map(|_| tracker.browser()).collect();
    for (number, other) in (1..).zip(&mut others) {
        other.ask(&announce(&torrent(1), &peer(number), json!({"left": 1, "offers": []})));
    }
    let mut asking = tracker.browser();
    let five = json!({"left": 1, "numwant": 5, "offers": offers("a", 5)});
    let answer = asking.ask(&announce(&torrent(1), &peer(9), five));
    assert_eq!((&answer["incomplete"], &answer["complete"]), (&json!(4), &json!(0)));
    let mut given: Vec<_> = others
        .iter_mut()
        .map(|other| other.hear()["offer_id"].as_str().unwrap().to_owned())
        .collect();
    others.iter_mut().for_each(|other| other.hears_nothing());
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 3, "each got another offer");
}

#[test]
fn browsers_of_different_workers_find_each_other() {
    // The kernel chooses the worker of a connection; with sixteen on each side both come up.
    let tracker = Tracker::start(&["--listen.workers=2", "--websocket.messages_per_sec_max=0"]);
    let mut waiting: Vec<_> = (0..16).map(|_| tracker.browser()).collect();
    let mut asking: Vec<_> = (0..16).map(|_| tracker.browser()).collect();
    for (number, (waiting, asking)) in (0..).zip(waiting.iter_mut().zip(&mut asking)) {
        let swarm = torrent(number as u8);
        waiting.ask(&announce(&swarm, &peer(1), json!({"left": 0})));
        let offer = json!({"left": 5, "offers": offers("x", 1)});
        asking.ask(&announce(&swarm, &peer(2), offer));
        let offered = waiting.hear();
        waiting.send(&announce(
            &swarm,
            &peer(1),
            json!({
                "to_peer_id": offered["peer_id"],
                "offer_id": offered["offer_id"],
                "answer": {"type": "answer", "sdp": "yes"},
            }),
        ));
        assert_eq!(asking.hear()["answer"], json!({"type": "answer", "sdp": "yes"}));
    }
    let passed = |outcome| {
        tracker.metric(&format!("skep_websocket_messages_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!([passed("offer_passed"), passed("answer_passed"), passed("lost")], [16, 16, 0]);
}

#[test]
fn browsers_and_other_clients_never_meet() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut browser = tracker.browser();
    browser.ask(&announce(&torrent(1), &peer(1), json!({"left": 0})));
    let request = crate::support::announce(torrent(1), 6881, 1);
    let answer = tracker.announce_twice(&request).unwrap();
    assert_eq!((answer.seen.seeders, answer.seen.incomplete, answer.peers.len()), (0, 1, 0));
    let told = browser.ask(&announce(&torrent(1), &peer(1), json!({"left": 0})));
    assert_eq!((&told["complete"], &told["incomplete"]), (&json!(1), &json!(0)));
    let stats = tracker.get("/stats.json");
    let stats: serde_json::Value = serde_json::from_str(stats.text()).unwrap();
    assert_eq!(stats["peersAll"], json!(2), "{stats}");
}

#[test]
fn seeder_offers_to_leechers_only() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut seeder, mut other, mut leecher) =
        (tracker.browser(), tracker.browser(), tracker.browser());
    other.ask(&announce(&torrent(1), &peer(1), json!({"left": 0})));
    leecher.ask(&announce(&torrent(1), &peer(2), json!({"left": 7})));
    let two = json!({"left": 0, "offers": offers("s", 2)});
    seeder.ask(&announce(&torrent(1), &peer(3), two));
    assert_eq!(leecher.hear()["offer"]["sdp"], json!("s1\r\n\u{1F41D}"));
    other.hears_nothing();
    leecher.hears_nothing();
}

#[test]
fn browsers_are_turned_away_where_they_are_not_served() {
    let tracker = Tracker::start(&["--websocket.enabled=false"]);
    let mut client = crate::support::HttpClient::connect(tracker.http());
    client.send(
        b"GET /announce HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("missing info_hash"), "{answer:?}");
    assert!(!tracker.get("/").text().contains("ws://"));
}
