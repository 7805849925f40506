//! One session of two browsers, from their first announce to the end of their connections.

use serde_json::{Value, json};

use super::ONE_WORKER;
use crate::support::websocket::{Browser, announce, binary, offers};
use crate::support::{Tracker, wait_until};
use skep_proto::{InfoHash, PeerId};

/// Quotes, backslashes, controls and bytes above 0x7f.
const TORRENT: InfoHash = InfoHash([
    0xa2, 0xa1, 0x55, 0x37, 0x54, 0x2b, 0x22, 0x92, 0x5a, 0xd1, 0x04, 0x86, 0xbf, 0x7a, 0x8b, 0x2a,
    0x9c, 0x42, 0xf0, 0xd1,
]);
const A: PeerId = PeerId(*b"-WW0200-aaaaaaaaaaaa");
const B: PeerId = PeerId(*b"-WW0200-bbbbbbbbbbbb");

fn told(complete: u32, incomplete: u32) -> Value {
    let name = binary(TORRENT.as_bytes());
    json!({
        "action": "announce", "info_hash": name, "interval": 120,
        "complete": complete, "incomplete": incomplete,
    })
}

/// An answer to an announce, without what may be added to it.
fn ask(browser: &mut Browser, peer_id: &PeerId, more: Value) -> Value {
    let mut answer = browser.ask(&announce(&TORRENT, peer_id, more));
    let fields = answer.as_object_mut().unwrap();
    fields.retain(|key, _| !["downloaded", "min_interval", "min interval"].contains(&&**key));
    answer
}

fn answer_to(peer_id: &PeerId, offer: &Value) -> Value {
    let more = json!({
        "to_peer_id": offer["peer_id"], "offer_id": offer["offer_id"],
        "answer": {"type": "answer", "sdp": "aA"},
    });
    announce(&TORRENT, peer_id, more)
}

#[test]
fn two_browsers_meet_finish_and_leave() {
    let tracker = Tracker::start(ONE_WORKER);
    let (mut a, mut b) = (tracker.browser(), tracker.browser());
    let started = json!({"left": 1000, "event": "started", "numwant": 2, "offers": offers("A", 2)});
    assert_eq!(ask(&mut a, &A, started), told(0, 1));
    a.hears_nothing();

    let seeds = json!({"left": 0, "event": "started", "numwant": 2, "offers": offers("B", 2)});
    assert_eq!(ask(&mut b, &B, seeds), told(1, 1));
    let offered = a.hear();
    let expected = json!({
        "action": "announce",
        "info_hash": binary(TORRENT.as_bytes()),
        "peer_id": binary(B.as_bytes()),
        "offer": offers("B", 1)[0]["offer"],
        "offer_id": offers("B", 1)[0]["offer_id"],
    });
    assert_eq!(offered, expected);
    a.hears_nothing();
    b.hears_nothing();

    a.send(&answer_to(&A, &offered));
    let expected = json!({
        "action": "announce",
        "info_hash": binary(TORRENT.as_bytes()),
        "peer_id": binary(A.as_bytes()),
        "answer": {"type": "answer", "sdp": "aA"},
        "offer_id": offered["offer_id"],
    });
    assert_eq!(b.hear(), expected);
    a.hears_nothing();
    a.send(&answer_to(&A, &offered));
    a.hears_nothing();
    b.hears_nothing();

    ask(&mut a, &A, json!({"left": 1000, "offers": offers("C", 1)}));
    let offered = b.hear();
    b.send(&answer_to(&B, &offered));
    assert_eq!(a.hear()["offer_id"], offered["offer_id"]);
    assert_eq!(a.scrape(&TORRENT), [1, 1, 0], "an answer changes no class");

    let completed = json!({"left": 0, "event": "completed"});
    assert_eq!(ask(&mut a, &A, completed.clone()), told(2, 0));
    assert_eq!(a.scrape(&TORRENT), [2, 0, 1]);
    assert_eq!(ask(&mut a, &A, completed), told(2, 0));
    assert_eq!(a.scrape(&TORRENT), [2, 0, 1]);

    assert_eq!(ask(&mut a, &A, json!({"left": 0, "event": "stopped"})), told(1, 0));
    ask(&mut b, &B, json!({"left": 5, "offers": offers("D", 1)}));
    a.hears_nothing();

    ask(&mut b, &B, json!({"left": 0}));
    drop(b);
    wait_until("a lost connection takes its peer along", || a.scrape(&TORRENT) == [0, 0, 1]);
}

#[test]
fn scrapes_show_counts_of_what_they_name() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut a = tracker.browser();
    ask(&mut a, &A, json!({"left": 3}));
    let unknown = "a".repeat(20);
    let name = binary(TORRENT.as_bytes());
    let both = json!({"action": "scrape", "info_hash": [&name, &unknown]});
    let counts =
        |incomplete: u32| json!({"complete": 0, "incomplete": incomplete, "downloaded": 0});
    let files = json!({name.clone(): counts(1), unknown.clone(): counts(0)});
    assert_eq!(a.ask(&both), json!({"action": "scrape", "files": files}));
    a.hears_nothing();
    let refused = json!({"action": "scrape", "failure reason": "full scrape not allowed"});
    assert_eq!(a.ask(&json!({"action": "scrape"})), refused);
    assert_eq!(a.ask(&json!({"action": "scrape", "info_hash": null})), refused);
}

#[test]
fn broken_messages_get_a_failure_or_the_end() {
    let tracker = Tracker::start(ONE_WORKER);
    let mut a = tracker.browser();
    let name = |length: usize| "x".repeat(length);
    for info_hash in [name(19), name(21), format!("{}\u{100}", name(19))] {
        let message = json!({"action": "announce", "info_hash": info_hash, "peer_id": name(20)});
        let mut other = tracker.browser();
        other.send(&message);
        match other.socket.read().unwrap() {
            tungstenite::Message::Text(text) => assert!(text.contains("invalid info_hash")),
            tungstenite::Message::Close(Some(frame)) => {
                assert!([1003, 1008].contains(&u16::from(frame.code)), "{frame:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    for text in ["{\"action\":\"foo\"}", "[]", "not json", "", "{", "\"", "{\"action\":7}"] {
        let mut other = tracker.browser();
        other.send_text(text);
        assert!([1003, 1007, 1008].contains(&other.close_code()), "{text}");
    }
    for more in [
        json!({"offers": "x"}),
        json!({"offers": [null, {}]}),
        json!({"left": null}),
        json!({"left": "5"}),
        json!({}),
        json!({"event": "update"}),
        json!({"corrupt": 1, "key": "k", "trackerid": null}),
    ] {
        assert_eq!(ask(&mut a, &A, more.clone()), told(0, 1), "{more}");
    }
    let text = announce(&TORRENT, &A, json!({"left": 7})).to_string();
    a.send_text(text.replace("\"left\":7", "\"left\":1e400"));
    assert_eq!(a.hear()["incomplete"], json!(1));
}
