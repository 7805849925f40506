//! Which connection a peer belongs to, and what goes with the connection.

use std::net::Ipv4Addr;

use serde_json::json;

use super::ONE_WORKER;
use crate::support::websocket::{Browser, announce, offers, peer};
use crate::support::{Tracker, torrent, wait_until};

#[test]
fn one_connection_has_many_torrents_and_takes_all_of_them_along() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut browser, mut watcher) = (tracker.browser(), tracker.browser());
    for number in 1..=20 {
        let answer =
            browser.ask(&announce(&torrent(number as u8), &peer(number), json!({"left": 1})));
        assert_eq!(answer["incomplete"], json!(1), "{answer}");
    }
    drop(browser);
    wait_until("every peer of the connection is gone", || {
        (1..=20).all(|number| watcher.scrape(&torrent(number)) == [0, 0, 0])
    });
}

#[test]
fn second_peer_id_for_a_torrent_is_refused_and_the_first_is_kept() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut browser = tracker.browser();
    browser.ask(&announce(&torrent(1), &peer(1), json!({"left": 1})));
    let refused = browser.ask(&announce(&torrent(1), &peer(2), json!({"left": 1})));
    assert_eq!(refused["failure reason"], json!("only one peer_id per torrent"));
    assert_eq!(refused["action"], json!("announce"));
    assert_eq!(refused["info_hash"].as_str().unwrap(), "\u{1}".repeat(20));
    assert_eq!(browser.scrape(&torrent(1)), [0, 1, 0]);
    browser.ask(&announce(&torrent(1), &peer(1), json!({"event": "stopped"})));
    let answer = browser.ask(&announce(&torrent(1), &peer(2), json!({"left": 1})));
    assert_eq!(answer["incomplete"], json!(1), "{answer}");
}

#[test]
fn peer_moves_to_a_new_connection_of_its_address_and_to_no_other() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut first, mut second) = (tracker.browser(), tracker.browser());
    let mut stranger = Browser::connect_from(Ipv4Addr::new(127, 0, 0, 2), tracker.http());
    let me = |left: u32| announce(&torrent(1), &peer(1), json!({"left": left}));
    first.ask(&me(1));
    let refused = stranger.ask(&me(0));
    assert_eq!(refused["failure reason"], json!("peer_id already in use"));
    assert_eq!(second.ask(&me(1))["incomplete"], json!(1));
    // The end of the first connection is not the end of the peer, which moved on.
    drop(first);
    let offer = announce(&torrent(1), &peer(7), json!({"left": 0, "offers": offers("o", 1)}));
    stranger.ask(&offer);
    assert_eq!(second.hear()["offer"]["type"], json!("offer"));
    assert_eq!(second.scrape(&torrent(1)), [1, 1, 0]);
}

#[test]
fn connection_that_a_peer_has_left_cannot_stop_it() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut first, mut second) = (tracker.browser(), tracker.browser());
    let me = |more| announce(&torrent(1), &peer(1), more);
    first.ask(&me(json!({"left": 1})));
    second.ask(&me(json!({"left": 1})));
    let told = first.ask(&me(json!({"event": "stopped"})));
    assert_eq!(told["failure reason"], json!("peer_id already in use"));
    assert_eq!(second.scrape(&torrent(1)), [0, 1, 0]);
    // It may begin anew as somebody else.
    first.ask(&announce(&torrent(1), &peer(2), json!({"left": 1})));
    assert_eq!(second.scrape(&torrent(1)), [0, 2, 0]);
}

#[test]
fn answer_passes_only_from_who_was_asked() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut asking, mut asked) = (tracker.browser(), tracker.browser());
    let mut stranger = Browser::connect_from(Ipv4Addr::new(127, 0, 0, 2), tracker.http());
    asked.ask(&announce(&torrent(1), &peer(2), json!({"left": 1})));
    asking.ask(&announce(&torrent(1), &peer(1), json!({"left": 1, "offers": offers("o", 1)})));
    let offered = asked.hear();
    let answer = |from: u32| {
        announce(
            &torrent(1),
            &peer(from),
            json!({
                "to_peer_id": offered["peer_id"],
                "offer_id": offered["offer_id"],
                "answer": {"type": "answer", "sdp": "forged"},
            }),
        )
    };
    stranger.ask(&announce(&torrent(1), &peer(3), json!({"left": 1})));
    for from in [2, 3] {
        stranger.send(&answer(from));
        stranger.hears_nothing();
    }
    asking.hears_nothing();
    asked.send(&answer(3));
    asked.hears_nothing();
    asking.hears_nothing();
    asked.send(&answer(2));
    assert_eq!(asking.hear()["answer"]["sdp"], json!("forged"));
}

#[test]
fn offer_that_is_too_old_cannot_be_answered() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut asking, mut asked) = (tracker.browser(), tracker.browser());
    asked.ask(&announce(&torrent(1), &peer(2), json!({"left": 1})));
    asking.ask(&announce(&torrent(1), &peer(1), json!({"left": 1, "offers": offers("o", 1)})));
    let offered = asked.hear();
    tracker.running().clock().advance(121);
    asked.send(&announce(
        &torrent(1),
        &peer(2),
        json!({
            "to_peer_id": offered["peer_id"],
            "offer_id": offered["offer_id"],
            "answer": {"type": "answer", "sdp": "late"},
        }),
    ));
    asked.hears_nothing();
    asking.hears_nothing();
    let unasked = "skep_websocket_messages_total{outcome=\"answer_unasked\"}";
    assert_eq!(tracker.metric(unasked), 1);
}
