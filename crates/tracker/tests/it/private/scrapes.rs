//! Scrapes of a private tracker: for users only, and of torrents that the site knows.
//!
//! What counts stand for is tested elsewhere.

use skep_engine::site::{Change, Torrent, TorrentState};
use skep_proto::InfoHash;

use super::*;

#[test]
fn scrapes_are_for_users() {
    let tracker = start(&["--scrape.full=true"]);
    let hash = "%01".repeat(20);
    for target in [
        format!("/scrape?info_hash={hash}"),
        format!("/passkey-0/scrape?info_hash={hash}"),
        "/scrape".to_owned(),
        "/passkey-0/scrape?info_hash=short".to_owned(),
    ] {
        assert_eq!(failure(tracker.get(&target).ok()), "Passkey not found", "{target}");
    }
    let told = tracker.get("/passkey-1/scrape?info_hash=short");
    assert_eq!(failure(told.ok()), "invalid info_hash");
    let mut by_udp = tracker.udp_client(Ipv4Addr::LOCALHOST);
    // A scrape over UDP has no place for a passkey.
    assert_eq!(by_udp.scrape(&[torrent(1)]).unwrap_err(), "Passkey not found");
    let message = json!({"action": "scrape", "info_hash": web::binary(torrent(1).as_bytes())});
    let answer = browser(&tracker, "/announce").ask(&message);
    assert_eq!(answer["failure reason"], "Passkey not found");
    assert_eq!(browser(&tracker, "/passkey-1/announce").scrape(&torrent(1)), [0, 0, 0]);
}

#[test]
fn scrapes_show_what_the_site_knows() {
    let tracker = start(&["--scrape.full=true", "--scrape.names=true", "--scrape.unknown=omit"]);
    let name = Some("A name".into());
    put(
        &tracker,
        [
            Change::PutTorrent(Torrent { name, ..of_site(b'b') }),
            Change::PutTorrent(Torrent { state: TorrentState::Banned, ..of_site(b'c') }),
            Change::PutTorrent(Torrent { state: TorrentState::Deleted, ..of_site(b'd') }),
            Change::RemoveTorrent(TorrentId(1)),
        ],
    );
    Way::Path.announce(&tracker, "passkey-1", &announce(torrent(b'b'), 6881, 0)).unwrap();
    let expected = "d5:filesd20:bbbbbbbbbbbbbbbbbbbbd8:completei1e10:downloadedi0e10:incompletei0e\
                    4:name6:A nameeee";
    let asked = ["bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc", "eeeeeeeeeeeeeeeeeeee"];
    let query = asked.map(|hash| format!("info_hash={hash}")).join("&");
    assert_eq!(tracker.get(&format!("/passkey-1/scrape?{query}")).text(), expected);
    assert_eq!(tracker.get("/passkey-1/scrape").text(), expected);
}

#[test]
fn full_scrapes_list_torrents_of_the_site_without_peers() {
    let tracker = Tracker::start(&["--mode=private", "--scrape.full=true"]);
    let pending = Torrent { state: TorrentState::Pending, ..of_site(b'a') };
    put(
        &tracker,
        [Change::PutUser(user(1)), Change::PutTorrent(of_site(b'b')), Change::PutTorrent(pending)],
    );
    let expected = "d5:filesd20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e10:incompletei0e\
                    eee";
    assert_eq!(tracker.get("/passkey-1/scrape").text(), expected);
}

#[test]
fn names_of_torrents_that_are_not_served_are_told_to_nobody() {
    let tracker = start(&["--scrape.names=true"]);
    let name: Option<Box<str>> = Some("A secret".into());
    let states = [TorrentState::Banned, TorrentState::Deleted];
    put(
        &tracker,
        (b'b'..).zip(states).map(|(number, state)| {
            Change::PutTorrent(Torrent { name: name.clone(), state, ..of_site(number) })
        }),
    );
    for hash in ["bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc"] {
        let told = tracker.get(&format!("/passkey-1/scrape?info_hash={hash}"));
        assert!(!told.text().contains("secret"), "{}", told.text());
    }
}

#[test]
fn full_scrapes_leave_out_what_only_its_owner_may_announce() {
    let tracker = start(&["--scrape.full=true"]);
    let (state, owner) = (TorrentState::Pending, Some(UserId(1)));
    put(
        &tracker,
        [
            Change::PutTorrent(Torrent { state, owner, ..of_site(b'b') }),
            Change::PutTorrent(of_site(b'c')),
        ],
    );
    for number in [b'b', b'c'] {
        Way::Path.announce(&tracker, "passkey-1", &announce(torrent(number), 6881, 0)).unwrap();
    }
    let told = tracker.get("/passkey-1/scrape");
    assert!(told.text().contains("20:cccccccccccccccccccc"), "{}", told.text());
    assert!(!told.text().contains("20:bbbbbbbbbbbbbbbbbbbb"), "{}", told.text());
}

#[test]
fn torrent_that_was_banned_is_not_in_a_full_scrape_that_was_kept() {
    let tracker = start(&["--scrape.full=true"]);
    let of_site = |number: u32| {
        let mut info_hash = [b'x'; 20];
        info_hash[16..].copy_from_slice(&number.to_be_bytes());
        let (id, info_hash) = (TorrentId(number), InfoHash(info_hash));
        Torrent { id, info_hash, ..Torrent::default() }
    };
    put(&tracker, (100..2000).map(|number| Change::PutTorrent(of_site(number))));
    let banned = Torrent { state: TorrentState::Banned, ..of_site(777) };
    let scrape = || tracker.get("/passkey-1/scrape").ok().to_vec();
    let shows = |scrape: &[u8]| scrape.windows(20).any(|it| it == banned.info_hash.as_bytes());
    assert!(shows(&scrape()));
    put(&tracker, [Change::PutTorrent(banned.clone())]);
    assert!(!shows(&scrape()));
}
