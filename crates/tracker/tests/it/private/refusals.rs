//! The table of refusals, by every way in which an announce comes.
//!
//! Passkeys that are made for one torrent are tested beside this.

use skep_engine::site::{Ban, Change, Client, Group, GroupId, Torrent, TorrentState, User, UserId};
use skep_proto::{AnnounceEvent, AnnounceRequest, PeerId, bencode};

use super::*;

const NOT_FOUND: &str = "Passkey not found";

/// Torrents in every state, and users of every kind.
fn setup() -> Tracker {
    let tracker = start(&[]);
    let state = |number, state, reason: Option<&str>| {
        let (owner, reason) = (Some(UserId(2)), reason.map(Box::from));
        Change::PutTorrent(Torrent { state, reason, owner, ..of_site(number) })
    };
    let no_leeching = Group { id: GroupId(9), may_leech: false, ..Group::default() };
    put(
        &tracker,
        [
            state(2, TorrentState::Pending, Some("waits")),
            state(3, TorrentState::Banned, None),
            state(4, TorrentState::Banned, Some("asked by its author")),
            state(5, TorrentState::Deleted, None),
            state(6, TorrentState::Deleted, Some("dupe of 1")),
            Change::PutUser(user(2)),
            Change::PutUser(User { disabled: true, ..user(3) }),
            Change::PutUser(User { may_leech: false, ..user(4) }),
            Change::PutUser(User { group: GroupId(9), ..user(5) }),
            Change::PutUser(User { passkey: "with space%".into(), ..user(6) }),
            Change::PutGroup(no_leeching),
        ],
    );
    tracker
}

fn torrents(tracker: &Tracker) -> u64 {
    tracker.running().store().tally().torrents
}

#[test]
fn every_refusal_has_its_words_however_it_is_asked_for() {
    let tracker = setup();
    let leeches = |number| announce(torrent(number), 6881, 5);
    let seeds = |number| announce(torrent(number), 6881, 0);
    let unknown = AnnounceRequest { left_bytes: None, ..leeches(1) };
    let only_seeds = "Your account may not download";
    let table = [
        ("", leeches(1), NOT_FOUND),
        ("passkey-", leeches(1), NOT_FOUND),
        ("passkey-0", leeches(1), NOT_FOUND),
        ("passkey-1%zz", leeches(1), NOT_FOUND),
        ("Passkey-1", leeches(1), NOT_FOUND),
        ("passkey-0", leeches(7), NOT_FOUND),
        ("passkey-3", leeches(1), "Your account is disabled"),
        ("passkey-3", leeches(7), "Your account is disabled"),
        ("passkey-4", leeches(1), only_seeds),
        ("passkey-4", unknown, only_seeds),
        ("passkey-4", leeches(7), only_seeds),
        ("passkey-5", leeches(1), only_seeds),
        ("passkey-1", leeches(7), "Unregistered torrent"),
        ("passkey-1", leeches(2), "Torrent is not approved yet"),
        ("passkey-1", seeds(3), "Unregistered torrent: banned"),
        ("passkey-2", seeds(4), "Unregistered torrent: banned: asked by its author"),
        ("passkey-1", seeds(5), "Unregistered torrent"),
        ("passkey-1", seeds(6), "Unregistered torrent: dupe of 1"),
    ];
    for (passkey, request, expected) in &table {
        for way in Way::ALL {
            let told = way.announce(&tracker, passkey, request);
            if passkey.is_empty() && way != Way::Query {
                // Another path altogether, for HTTP.
                continue;
            }
            assert_eq!(told.as_ref().unwrap_err(), expected, "{way:?} {passkey}");
        }
    }
    assert_eq!(torrents(&tracker), 0, "refused announces leave no trace");
}

#[test]
fn without_a_passkey_nobody_is_known() {
    let tracker = setup();
    let request = announce(torrent(1), 6881, 5);
    for target in ["/announce", "/announce?passkey=", "/announce.php"] {
        let told = tracker.get(&http_target(target, &request));
        assert_eq!(failure(told.ok()), NOT_FOUND, "{target}");
    }
    for options in [&b""[..], &[0], &[1, 1, 0], &[2, 0], &[2], &[2, 200, b'/'], &[3, 1, 2, 9, 9]] {
        assert_eq!(by_udp(&tracker, options, &request).unwrap_err(), NOT_FOUND, "{options:?}");
    }
    for path in ["/", "/announce", "/announce?x=passkey-1", "/passkey-1"] {
        assert_eq!(by_browser(&tracker, path, &request).unwrap_err(), NOT_FOUND, "{path}");
    }
    assert_eq!(torrents(&tracker), 0);
}

#[test]
fn users_are_let_in_by_every_way() {
    let tracker = setup();
    for (port, way) in (7000..).zip(Way::ALL) {
        let request = announce(torrent(1), port, 5);
        way.announce(&tracker, "passkey-1", &request).unwrap();
        way.announce(&tracker, "%70asskey%2d1", &request).unwrap();
        way.announce(&tracker, "with%20space%25", &request).unwrap();
        // Its owner may announce what is not approved yet, and who may not download may seed.
        way.announce(&tracker, "passkey-2", &announce(torrent(2), port, 0)).unwrap();
        way.announce(&tracker, "passkey-4", &announce(torrent(1), port, 0)).unwrap();
        let other = announce(torrent(1), port + 1000, 5);
        let stops = AnnounceRequest { event: AnnounceEvent::Stopped, ..other };
        way.announce(&tracker, "passkey-5", &stops).unwrap();
    }
    assert_eq!(torrents(&tracker), 2);
}

#[test]
fn url_data_comes_in_pieces_among_other_options() {
    let tracker = setup();
    let request = announce(torrent(1), 6881, 5);
    let pieces = [
        b"\x01\x02\x04/pas\x07\x02??\x02\x0bskey-1/anno".as_slice(),
        b"\x02\x03unc\x02\x01e\x00\x02\x01x",
    ];
    by_udp(&tracker, &pieces.concat(), &request).unwrap();
    by_udp(&tracker, &url_data("/announce?a=b&passkey=passkey-1&port=1&left=0"), &request).unwrap();
    let peers = tracker.running().store().tally().peers;
    assert_eq!(
        peers.as_flattened().iter().sum::<u64>(),
        1,
        "fields of the announce are not overridden"
    );
}

#[test]
fn what_is_wrong_with_an_announce_is_told_to_users_only() {
    let tracker = setup();
    let queries = [
        ("", "missing info_hash"),
        ("info_hash=abc&peer_id=-TR4100-abcdefghijkl&port=1", "invalid info_hash"),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&port=1", "missing peer_id"),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-TR4100-abcdefghijkl", "invalid port"),
        (
            "info_hash=%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01&peer_id=-TR4100-abcdefghijkl&port=1",
            "missing left",
        ),
    ];
    for (query, expected) in queries {
        let told =
            |passkey: &str| failure(tracker.get(&format!("/{passkey}/announce?{query}")).ok());
        assert_eq!(told("passkey-0"), NOT_FOUND);
        assert_eq!(told("passkey-1"), expected);
        if query.is_empty() || expected != "missing left" {
            assert_eq!(told("passkey-3"), "Your account is disabled");
        }
    }
    let request = announce(torrent(1), 0, 5);
    assert_eq!(Way::Udp.announce(&tracker, "passkey-0", &request).unwrap_err(), NOT_FOUND);
    assert_eq!(Way::Udp.announce(&tracker, "passkey-1", &request).unwrap_err(), "invalid port");
    assert_eq!(torrents(&tracker), 0);
}

#[test]
fn a_left_that_is_not_known_is_no_missing_one() {
    let tracker = setup();
    for left in ["9223372036854775807", "18446744073709551615", "NaN", ""] {
        let hash = "%01".repeat(20);
        let target = format!(
            "/passkey-1/announce?info_hash={hash}&peer_id=-TR4100-abcdefghijkl&port=1&uploaded=0&downloaded=0&left={left}"
        );
        wire::read_http_announce(tracker.get(&target).ok()).unwrap();
    }
}

#[test]
fn counters_that_are_missing_or_no_numbers_are_no_zeros() {
    let tracker = setup();
    let (hash, peer_id) = ("%01".repeat(20), "-TR4100-abcdefghijkl");
    let table = [
        ("left=5", "missing or invalid uploaded"),
        ("left=5&uploaded=&downloaded=1", "missing or invalid uploaded"),
        ("left=5&uploaded=-1&downloaded=1", "missing or invalid uploaded"),
        ("left=5&uploaded=1", "missing or invalid downloaded"),
        ("left=5&uploaded=1&downloaded=NaN", "missing or invalid downloaded"),
        ("uploaded=1&downloaded=1", "missing left"),
    ];
    for (query, expected) in table {
        let target =
            format!("/passkey-1/announce?info_hash={hash}&peer_id={peer_id}&port=1&{query}");
        assert_eq!(failure(tracker.get(&target).ok()), expected, "{query}");
    }
    let mut browser = browser(&tracker, "/passkey-1/announce");
    for (name, value, expected) in [
        ("uploaded", Value::Null, "missing or invalid uploaded"),
        ("uploaded", json!("5"), "missing or invalid uploaded"),
        ("downloaded", json!(-5), "missing or invalid downloaded"),
        ("downloaded", json!(0.5), "missing or invalid downloaded"),
    ] {
        let message = web::announce(&torrent(1), &web::peer(1), json!({"left": 5, name: value}));
        assert_eq!(browser.ask(&message)["failure reason"], expected, "{name}");
    }
    let mut message = web::announce(&torrent(1), &web::peer(1), json!({}));
    message.as_object_mut().unwrap().remove("left");
    assert_eq!(browser.ask(&message)["failure reason"], "missing left");
    assert_eq!(torrents(&tracker), 0);
    let unknown = web::announce(&torrent(1), &web::peer(1), json!({"left": null}));
    assert_eq!(browser.ask(&unknown)["failure reason"], Value::Null);
}

#[test]
fn bans_are_asked_before_passkeys_and_clients_behind_them() {
    let tracker = setup();
    let request = announce(torrent(1), 6881, 5);
    let other = AnnounceRequest { peer_id: PeerId(*b"-TR4100-abcdefghijkl"), ..request };
    put(&tracker, [Change::PutClient(Client { prefix: "-TR".into(), allowed: false })]);
    for way in Way::ALL {
        way.announce(&tracker, "passkey-1", &request).unwrap();
        let told = way.announce(&tracker, "passkey-0", &other);
        assert_eq!(told.unwrap_err(), NOT_FOUND, "strangers cannot ask for clients: {way:?}");
        let told = way.announce(&tracker, "passkey-1", &other);
        assert_eq!(told.unwrap_err(), "client not allowed", "{way:?}");
    }
    let address = Ipv4Addr::LOCALHOST.into();
    put(&tracker, [Change::PutBan(Ban { address, prefix_len: 32, reason: "test".into() })]);
    for way in Way::ALL {
        let told = way.announce(&tracker, "passkey-0", &other);
        assert_eq!(told.unwrap_err(), "address not allowed", "{way:?}");
    }
    put(&tracker, [Change::RemoveBan(address, 32), Change::RemoveClient("-TR".into())]);
    Way::Udp.announce(&tracker, "passkey-1", &other).unwrap();
}

#[test]
fn changes_hold_for_connections_that_are_open() {
    let tracker = setup();
    let mut browser = browser(&tracker, "/passkey-1/announce");
    let message = web::announce(&torrent(1), &web::peer(1), json!({"left": 5, "offers": []}));
    assert_eq!(browser.ask(&message)["failure reason"], Value::Null);
    put(&tracker, [Change::PutUser(User { passkey: "a-new-one".into(), ..user(1) })]);
    assert_eq!(browser.ask(&message)["failure reason"], NOT_FOUND);
    let told = Way::Path.announce(&tracker, "a-new-one", &announce(torrent(1), 6881, 5));
    assert_eq!(told, Ok(()));
    put(&tracker, [Change::RemoveTorrent(TorrentId(1))]);
    let told = Way::Path.announce(&tracker, "a-new-one", &announce(torrent(1), 6881, 5));
    assert_eq!(told.unwrap_err(), "Unregistered torrent");
}

#[test]
fn clients_are_told_when_to_come_back_if_ever() {
    let tracker = setup();
    let hints = |passkey: &str, number: u8| {
        let target = http_target(&Way::Path.path(passkey), &announce(torrent(number), 6881, 5));
        let response = tracker.get(&target);
        let value = bencode::read(response.ok()).unwrap();
        let secs = value.get(b"interval").and_then(bencode::Value::as_integer);
        let retry = value.get(b"retry in").and_then(bencode::Value::as_bytes);
        (secs, retry.map(|text| String::from_utf8_lossy(text).into_owned()))
    };
    let never = (Some(1800), Some("never".to_owned()));
    for (passkey, number) in
        [("passkey-0", 1), ("passkey-3", 1), ("passkey-1", 7), ("passkey-1", 6)]
    {
        assert_eq!(hints(passkey, number), never, "{passkey} {number}");
    }
    for (passkey, number) in [("passkey-4", 1), ("passkey-1", 2)] {
        assert_eq!(hints(passkey, number), (Some(1800), Some("30".to_owned())), "{passkey}");
    }
}

#[test]
fn registered_trackers_know_torrents_of_the_site_and_no_users() {
    let tracker = Tracker::start(&["--mode=registered"]);
    let banned = Torrent { state: TorrentState::Banned, ..of_site(2) };
    put(&tracker, [Change::PutTorrent(of_site(1)), Change::PutTorrent(banned)]);
    tracker.announce_twice(&announce(torrent(1), 6881, 5)).unwrap();
    let told = |number| tracker.announce_twice(&announce(torrent(number), 6881, 5)).unwrap_err();
    assert_eq!(told(2), "Unregistered torrent: banned");
    assert_eq!(told(3), "Unregistered torrent");
}
