//! What ends the connection of a browser, and what it is told.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;

use serde_json::json;
use tungstenite::{Error, Message};

use super::ONE_WORKER;
use crate::support::websocket::{announce, offers, peer};
use crate::support::{Tracker, torrent, wait_until};

fn cuts(tracker: &Tracker, reason: &str) -> u64 {
    tracker.metric(&format!("skep_websocket_cuts_total{{reason=\"{reason}\"}}"))
}

#[test]
fn message_that_is_too_long_ends_the_connection() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut browser = tracker.browser();
    let padding = "x".repeat(128 * 1024 + 1);
    browser.send_text(padding);
    assert_eq!(browser.close_code(), 1009);
    assert_eq!(cuts(&tracker, "too_large"), 1);
    let mut browser = tracker.browser();
    let message = announce(&torrent(1), &peer(1), json!({"left": 1, "x": "y".repeat(100_000)}));
    assert_eq!(browser.ask(&message)["incomplete"], json!(1), "one of 100 kB is not");
}

#[test]
fn too_many_messages_end_the_connection() {
    let tracker = Tracker::start(&["--websocket.messages_per_sec_max=5"]);
    let mut browser = tracker.browser();
    for _ in 0..21 {
        browser.send(&json!({"action": "scrape", "info_hash": []}));
    }
    assert_eq!(browser.close_code(), 1008);
    assert_eq!(cuts(&tracker, "too_many_messages"), 1);
}

#[test]
fn frames_that_browsers_do_not_send_end_the_connection() {
    let tracker = Tracker::start(ONE_WORKER);
    for (frame, code) in [
        // Not masked; a reserved bit; an unknown kind; text that is no UTF-8; a long ping.
        (&b"\x81\x02{}"[..], 1002),
        (b"\xc1\x82\0\0\0\0{}", 1002),
        (b"\x83\x82\0\0\0\0{}", 1002),
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),
        (b"\x89\xfe\x01\x00\0\0\0\0", 1002),
        (b"\x80\x80\0\0\0\0", 1002),
    ] {
        let mut browser = tracker.browser();
        std::io::Write::write_all(browser.socket.get_mut(), frame).unwrap();
        assert_eq!(browser.close_code(), code, "{frame:x?}");
    }
    assert_eq!(cuts(&tracker, "protocol"), 6);
}

#[test]
fn close_and_ping_are_answered() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut browser = tracker.browser();
    browser.socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(browser.socket.read().unwrap(), Message::Pong("are you there".into()));
    browser.socket.close(None).unwrap();
    loop {
        match browser.socket.read() {
            Ok(Message::Close(_)) => {}
            Err(Error::ConnectionClosed) => break,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn browser_that_ends_its_side_still_gets_what_it_asked_for() {
    let tracker = Tracker::start(ONE_WORKER);
    // The end is often found together with the message.
    for number in 0..50 {
        let mut browser = tracker.browser();
        browser.send(&announce(&torrent(1), &peer(number), json!({"left": 1})));
        browser.socket.get_ref().shutdown(Shutdown::Write).unwrap();
        assert!(browser.hear()["interval"].is_number());
    }
}

#[test]
fn silent_browser_is_asked_and_then_gone() {
    let tracker = Tracker::start(&["--websocket.ping_interval_secs=30"]);
    let mut browser = tracker.browser();
    browser.ask(&announce(&torrent(1), &peer(1), json!({"left": 1})));
    // A browser answers by itself; this one reads bytes and says nothing.
    let stream = browser.socket.get_mut();
    for _ in 0..2 {
        tracker.running().clock().advance(31);
        let mut ping = [0; 2];
        stream.read_exact(&mut ping).unwrap();
        assert_eq!(ping, [0x89, 0]);
    }
    tracker.running().clock().advance(31);
    let gone = stream.read(&mut [0]);
    assert!(matches!(&gone, Ok(0)) || gone.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    assert_eq!(cuts(&tracker, "no_answer"), 1);
    let mut watcher = tracker.browser();
    wait_until("its peer is gone", || watcher.scrape(&torrent(1)) == [0, 0, 0]);
}

#[test]
fn browser_that_announces_nothing_for_long_is_sent_away() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut browser = tracker.browser();
    browser.ask(&announce(&torrent(1), &peer(1), json!({"left": 1})));
    let mut left = 241;
    while left > 0 {
        tracker.running().clock().advance(20);
        left -= 20;
        browser.socket.send(Message::Ping("still here".into())).unwrap();
        while !matches!(browser.socket.read(), Ok(Message::Pong(_)) | Err(_)) {
            if left <= 0 {
                break;
            }
        }
    }
    wait_until("it is sent away", || cuts(&tracker, "idle") == 1);
}

#[test]
fn slow_reader_is_cut_and_not_buffered_without_end() {
    let tracker = Tracker::start(&[
        "--listen.workers=1",
        "--websocket.messages_per_sec_max=0",
        "--websocket.send_queue_max_bytes=65536",
    ]);
    let mut slow = tracker.browser();
    slow.ask(&announce(&torrent(1), &peer(1), json!({"left": 1})));
    let mut asking = tracker.browser();
    let long = "s".repeat(100_000);
    let offer = |number: usize| json!({"offer": {"type": "offer", "sdp": long}, "offer_id": format!("{number:020}")});
    let mut number = 0;
    wait_until("the slow reader is cut", || {
        number += 1;
        let message = json!({"left": 1, "offers": [offer(number)]});
        asking.ask(&announce(&torrent(1), &peer(2), message));
        cuts(&tracker, "slow_reader") == 1
    });
    wait_until("its peer is gone", || asking.scrape(&torrent(1)) == [0, 1, 0]);
}

#[test]
fn browsers_are_told_when_the_tracker_stops() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut browsers: Vec<_> = (0..4).map(|_| tracker.browser()).collect();
    for (number, browser) in (1..).zip(&mut browsers) {
        browser.ask(&announce(&torrent(1), &peer(number), json!({"left": 1})));
    }
    drop(tracker);
    for browser in &mut browsers {
        assert_eq!(browser.close_code(), 1001);
    }
}

#[test]
fn nobody_can_end_the_connection_of_another_by_sending_it_too_much() {
    let tracker = Tracker::start(&[
        "--listen.workers=1",
        "--websocket.messages_per_sec_max=0",
        "--websocket.send_queue_max_bytes=65536",
        "--http.write_timeout_secs=60",
    ]);
    let mut victim = tracker.browser();
    victim.ask(&announce(&torrent(1), &peer(1), json!({"left": 1})));
    let mut sender = tracker.browser();
    let long = "s".repeat(100_000);
    let lost = || tracker.metric("skep_websocket_messages_total{outcome=\"lost\"}");
    let mut number = 0;
    wait_until("there is no room for more", || {
        number += 1;
        let id = format!("{number:020}");
        let offer = json!({"offer": {"type": "offer", "sdp": long}, "offer_id": id});
        sender.ask(&announce(&torrent(1), &peer(2), json!({"left": 1, "offers": [offer]})));
        lost() > 3
    });
    let mut heard = 0;
    victim.send(&json!({"action": "scrape", "info_hash": []}));
    while victim.hear()["action"] == "announce" {
        heard += 1;
    }
    assert!(heard > 0 && heard < number, "{heard} of {number}");
    let slow = cuts(&tracker, "slow_reader") + cuts(&tracker, "no_room");
    assert_eq!((slow, victim.scrape(&torrent(1))), (0, [0, 2, 0]));
}

#[test]
fn rules_of_the_operator_hold_for_browsers() {
    let tracker = Tracker::start(&[
        "--access.clients_deny=-XX",
        "--websocket.torrents_per_connection_max=2",
        "--websocket.offers_max=1",
    ]);
    let mut browser = tracker.browser();
    let denied = skep_proto::PeerId(*b"-XX0000-aaaaaaaaaaaa");
    let refused = browser.ask(&announce(&torrent(1), &denied, json!({"left": 1})));
    assert_eq!(refused["failure reason"], json!("client not allowed"));
    for number in [1, 2] {
        browser.ask(&announce(&torrent(number), &peer(1), json!({"left": 1})));
    }
    let refused = browser.ask(&announce(&torrent(3), &peer(1), json!({"left": 1})));
    assert_eq!(refused["failure reason"], json!("too many torrents on one connection"));
    let (mut second, mut third) = (tracker.browser(), tracker.browser());
    second.ask(&announce(&torrent(1), &peer(2), json!({"left": 1})));
    third.ask(&announce(&torrent(1), &peer(3), json!({"left": 1, "offers": offers("o", 2)})));
    let passed = "skep_websocket_messages_total{outcome=\"offer_passed\"}";
    assert_eq!(tracker.metric(passed), 1);
    let errors = "skep_traffic_errors_total{transport=\"websocket\",family=\"ipv4\"";
    assert_eq!(tracker.metric(&format!("{errors},kind=\"too_many_torrents\"}}")), 1);
}
