//! Registered torrents with names and bans, and scrapes of all of them.
//!
//! Plain lists are tested beside this.

use skep_engine::testing::wire;

use super::{Lists, UNREGISTERED, counts};
use crate::support::{Tracker, announce, failure, torrent};

const FAILURE: &str = "d14:failure reason";

fn registry() -> Lists {
    let lists = Lists::new();
    let text = format!(
        "{}\tA name; with # and \u{e9}\n{}\tAnother\tbanned:asked by its author\n{}\t\tbanned\n{}\n",
        torrent(b'a'),
        torrent(b'b'),
        torrent(b'c'),
        torrent(b'd'),
    );
    lists.write("registry", &text);
    lists
}

fn start(lists: &Lists, flags: &[&str]) -> Tracker {
    let file = lists.flag("torrents_file", "registry");
    Tracker::start(&[&["--mode=registered", file.as_str()], flags].concat())
}

#[test]
fn registered_torrents_are_served_and_banned_ones_refused_with_the_reason() {
    let lists = registry();
    let tracker = start(&lists, &[]);
    for (byte, expected) in [
        (b'a', None),
        (b'b', Some("Unregistered torrent: banned: asked by its author")),
        (b'c', Some("Unregistered torrent: banned")),
        (b'd', None),
        (b'e', Some(UNREGISTERED)),
    ] {
        let told = tracker.announce_twice(&announce(torrent(byte), 6881, 1));
        assert_eq!(told.as_ref().err().map(String::as_str), expected);
        let expected = if told.is_ok() { (0, 1) } else { (0, 0) };
        assert_eq!(counts(&tracker, torrent(byte)), expected);
    }
}

#[test]
fn six_failures_of_a_registered_tracker_have_their_texts() {
    let lists = registry();
    let tracker = start(&lists, &[]);
    let query = |info_hash: &str, peer_id: &str, port: &str| {
        let target = format!("/announce?{info_hash}&{peer_id}&{port}&left=1");
        failure(tracker.get(&target).ok())
    };
    let (registered, banned) = ("info_hash=aaaaaaaaaaaaaaaaaaaa", "info_hash=bbbbbbbbbbbbbbbbbbbb");
    let (peer_id, port) = ("peer_id=-TR4100-abcdefghijkl", "port=6881");
    assert_eq!(query("", peer_id, port), "missing info_hash");
    assert_eq!(query(registered, "", port), "missing peer_id");
    assert_eq!(query(registered, peer_id, ""), "invalid port");
    assert_eq!(query("info_hash=aaa", peer_id, port), "invalid info_hash");
    assert_eq!(query(registered, "peer_id=-TR4100-", port), "invalid peer_id");
    assert_eq!(query(registered, peer_id, "port=65536"), "invalid port");
    assert_eq!(query("info_hash=eeeeeeeeeeeeeeeeeeee", peer_id, port), UNREGISTERED);
    assert_eq!(query(banned, peer_id, port), "Unregistered torrent: banned: asked by its author");
    // The field that is wrong first is named first.
    assert_eq!(query("", "", ""), "missing info_hash");
    assert_eq!(query(banned, "", ""), "missing peer_id");
}

#[test]
fn full_scrape_lists_what_is_registered_and_not_banned() {
    let lists = registry();
    let flags = ["--scrape.full=true", "--scrape.names=true", "--scrape.flags=true"];
    let tracker = start(&lists, &flags);
    tracker.announce_twice(&announce(torrent(b'a'), 6881, 0)).unwrap();
    let name = "A name; with # and \u{e9}";
    let expected = format!(
        "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi0e10:incompletei0e\
         4:name{}:{name}e20:ddddddddddddddddddddd8:completei0e10:downloadedi0e10:incompletei0eee\
         5:flagsd20:min_request_intervali900eee",
        name.len(),
    );
    for target in ["/scrape", "/scrape?", "/scrape.php", "/scrape?other=1"] {
        assert_eq!(tracker.get(target).text(), expected, "{target}");
    }
    // The same names stand in a scrape of several torrents.
    let one = tracker.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=dddddddddddddddddddd");
    assert_eq!(one.text(), expected);
}

#[test]
fn full_scrape_of_a_public_tracker_lists_what_has_peers() {
    let tracker = Tracker::start(&["--scrape.full=true"]);
    assert_eq!(failure(tracker.get("/scrape").ok()), "no torrents found");
    for byte in [b'x', b'a'] {
        tracker.announce_twice(&announce(torrent(byte), 6881, 1)).unwrap();
    }
    let expected = "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei1ee\
        20:xxxxxxxxxxxxxxxxxxxxd8:completei0e10:downloadedi0e10:incompletei1eeee";
    assert_eq!(tracker.get("/scrape").text(), expected);
}

#[test]
fn full_scrape_beyond_its_bound_fails() {
    let tracker = Tracker::start(&["--scrape.full=true", "--scrape.full_max=1"]);
    tracker.announce_twice(&announce(torrent(1), 6881, 1)).unwrap();
    assert!(!tracker.get("/scrape").text().starts_with(FAILURE));
    tracker.announce_twice(&announce(torrent(2), 6881, 1)).unwrap();
    assert_eq!(failure(tracker.get("/scrape").ok()), "too many torrents for a full scrape");
}

#[test]
fn full_scrape_is_refused_by_default() {
    let tracker = Tracker::start(&[]);
    tracker.announce_twice(&announce(torrent(1), 6881, 1)).unwrap();
    assert_eq!(failure(tracker.get("/scrape").ok()), "full scrape not allowed");
}

#[test]
fn unknown_torrents_are_zeros_or_left_out() {
    let lists = registry();
    let target = "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb";
    let zeros = "8:completei0e10:downloadedi0e10:incompletei0ee";
    let tracker = start(&lists, &[]);
    let both = format!("d5:filesd20:aaaaaaaaaaaaaaaaaaaad{zeros}20:bbbbbbbbbbbbbbbbbbbbd{zeros}ee");
    assert_eq!(tracker.get(target).text(), both);
    let tracker = start(&lists, &["--scrape.unknown=omit"]);
    // Nobody has announced it, but it is registered; the other one is banned.
    let known = format!("d5:filesd20:aaaaaaaaaaaaaaaaaaaad{zeros}ee");
    assert_eq!(tracker.get(target).text(), known);
    for none in ["bbbbbbbbbbbbbbbbbbbb", "eeeeeeeeeeeeeeeeeeee"] {
        let answer = tracker.get(&format!("/scrape?info_hash={none}"));
        assert_eq!(failure(answer.ok()), "no torrents found");
    }
    // UDP answers by position, so nothing can be left out there.
    let mut client = tracker.udp_client(std::net::Ipv4Addr::LOCALHOST);
    let seen = client.scrape(&[torrent(b'e'), torrent(b'a')]).unwrap();
    assert_eq!(seen.len(), 2);
}

#[test]
fn new_registration_is_served_after_a_change_of_the_file() {
    let lists = registry();
    let tracker = start(&lists, &["--scrape.names=true"]);
    let request = announce(torrent(b'e'), 6881, 1);
    assert_eq!(tracker.announce_twice(&request), Err(UNREGISTERED.into()));
    let line = |name: &str| lists.write("registry", &format!("{}\t{name}\n", torrent(b'e')));
    line("Fresh");
    tracker.running().poll_lists();
    tracker.announce_twice(&request).unwrap();
    let scrape = || tracker.get(&wire::http_scrape(&[torrent(b'e')])).text().to_owned();
    assert!(scrape().contains("4:name5:Fresh"), "{}", scrape());
    line("Renamed");
    tracker.running().poll_lists();
    assert!(scrape().contains("4:name7:Renamed"), "{}", scrape());
    assert!(scrape().contains("10:incompletei1e"), "its peer is still there: {}", scrape());
}
