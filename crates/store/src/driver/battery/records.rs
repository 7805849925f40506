//! Records: put, replaced, removed, refused, and read again.
//!
//! What was added up does not come up here.

use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, NAME_BYTES_MAX, PASSKEY_BYTES_MAX,
    Permille, REASON_BYTES_MAX, Target, Torrent, TorrentGroupId, TorrentId, TorrentState, User,
    UserId,
};

use super::{Records, Subject, assert_holds, torrent, user};
use crate::driver::DriverError;

/// A record of each kind, with nothing left out.
fn full() -> Vec<Change> {
    let mut all = full_torrents();
    all.extend(full_factors());
    all.extend([
        Change::PutGroup(Group {
            id: GroupId(4),
            name: "Power users".into(),
            may_leech: false,
            slots: Some(12),
            peers_max: Some(3),
            upload: Permille(1100),
            download: Permille(900),
        }),
        Change::PutUser(User {
            id: UserId(1),
            passkey: "0123456789abcdef0123456789abcdef".into(),
            group: GroupId(4),
            may_leech: false,
            hidden: true,
            disabled: true,
            slots: Some(5),
            peers_max: Some(2),
            upload: Permille(2000),
            download: Permille(500),
            key_version: 17,
        }),
        Change::PutBan(Ban {
            address: "2001:db8::".parse().unwrap(),
            prefix_len: 32,
            reason: "scraping".into(),
        }),
        Change::PutBan(Ban {
            address: "192.0.2.128".parse().unwrap(),
            prefix_len: 25,
            reason: "".into(),
        }),
        Change::PutClient(Client { prefix: "-XL0012".into(), allowed: false }),
        Change::PutClient(Client { prefix: "-qB".into(), allowed: true }),
    ]);
    all
}

/// A torrent of each state.
fn full_torrents() -> Vec<Change> {
    let states = [TorrentState::Pending, TorrentState::Approved];
    let states = states.into_iter().chain([TorrentState::Banned, TorrentState::Deleted]);
    let put = |(id, state)| {
        Change::PutTorrent(Torrent {
            name: Some("Some film (1936)".into()),
            state,
            reason: Some("a better one is there".into()),
            owner: Some(UserId(9)),
            group: TorrentGroupId(6),
            upload: Permille(3000),
            download: Permille(0),
            key_salt: 99,
            ..torrent(id)
        })
    };
    (1..).zip(states).map(put).collect()
}

/// A factor for each kind of target.
fn full_factors() -> Vec<Change> {
    let targets = [
        Target::Site,
        Target::Group(GroupId(4)),
        Target::User(UserId(5)),
        Target::TorrentGroup(TorrentGroupId(6)),
        Target::Torrent(TorrentId(7)),
        Target::Token(UserId(8), TorrentId(9)),
    ];
    let put = |(id, target)| {
        Change::PutFactor(Factor {
            id: FactorId(id),
            target,
            upload: Permille(1500),
            download: Permille(250),
            neutral: true,
            starts_unix_secs: Some(1_700_000_000),
            ends_unix_secs: Some(1_800_000_000),
            budget_bytes: Some(10_000_000_000),
        })
    };
    (1..).zip(targets).map(put).collect()
}

/// A record of each kind and key of [`full`], with all left out that can be.
fn bare() -> Vec<Change> {
    let strip = |change| match change {
        Change::PutUser(User { id, passkey, .. }) => {
            Change::PutUser(User { id, passkey, ..User::default() })
        }
        Change::PutGroup(Group { id, .. }) => Change::PutGroup(Group { id, ..Group::default() }),
        Change::PutTorrent(Torrent { id, .. }) => Change::PutTorrent(torrent(id.0)),
        Change::PutFactor(Factor { id, .. }) => {
            Change::PutFactor(Factor { id, ..Factor::default() })
        }
        Change::PutClient(Client { prefix, allowed }) => {
            Change::PutClient(Client { prefix, allowed: !allowed })
        }
        Change::PutBan(ban) => Change::PutBan(Ban { reason: "another".into(), ..ban }),
        other => other,
    };
    full().into_iter().map(strip).collect()
}

/// A record of each kind comes back with all of its fields, at once and after a new start.
pub fn every_record_comes_back(subject: &Subject) {
    for all in [full(), bare()] {
        let conn = subject.open();
        conn.change(&all).unwrap();
        assert_holds(&*conn, all.clone());
        drop(conn);
        assert_holds(&*subject.open(), all);
    }
}

/// What a record does not say is not taken from the one before.
pub fn a_put_replaces_the_whole_record(subject: &Subject) {
    let conn = subject.open();
    for all in [full(), bare(), full(), full()] {
        for change in &all {
            conn.change(std::slice::from_ref(change)).unwrap();
        }
        assert_holds(&*conn, all);
    }
}

/// Records are removed by their keys, and to remove what is not there is no fault.
pub fn removed_records_are_gone(subject: &Subject) {
    let conn = subject.open();
    conn.change(&full()).unwrap();
    let stays = [
        Change::PutUser(user(2, "another")),
        Change::PutGroup(Group { id: GroupId(2), ..Group::default() }),
        Change::PutTorrent(torrent(1002)),
        Change::PutFactor(Factor { id: FactorId(1002), ..Factor::default() }),
        Change::PutClient(Client { prefix: "-XL001".into(), allowed: false }),
        Change::PutBan(Ban {
            address: "192.0.2.128".parse().unwrap(),
            prefix_len: 32,
            reason: "".into(),
        }),
    ];
    conn.change(&stays).unwrap();
    let remove = full().into_iter().map(|change| match change {
        Change::PutUser(user) => Change::RemoveUser(user.id),
        Change::PutGroup(group) => Change::RemoveGroup(group.id),
        Change::PutTorrent(torrent) => Change::RemoveTorrent(torrent.id),
        Change::PutFactor(factor) => Change::RemoveFactor(factor.id),
        Change::PutClient(client) => Change::RemoveClient(client.prefix),
        Change::PutBan(ban) => Change::RemoveBan(ban.address, ban.prefix_len),
        other => other,
    });
    let remove: Vec<_> = remove.collect();
    conn.change(&remove).unwrap();
    assert_holds(&*conn, stays.clone());
    conn.change(&remove).unwrap();
    drop(conn);
    assert_holds(&*subject.open(), stays);
}

/// Upper and lower case, blanks at the end, quotes and letters of any script are kept, and texts that
/// differ in nothing else are different.
pub fn texts_are_kept_letter_by_letter(subject: &Subject) {
    let conn = subject.open();
    let mut all = Vec::new();
    let texts = [
        "plain",
        "PLAIN",
        "plain ",
        " plain",
        "it's \"quoted\"; -- `really`",
        "back\\slash 100% _under",
        "\u{e9}t\u{e9} \u{df}",
        "e\u{301}te\u{301} ss",
        "\u{1f41d}\u{4e2d}\u{6587}\u{202e}",
        "line\nbreak\ttab",
    ];
    for (id, text) in (1..).zip(texts) {
        all.push(Change::PutUser(user(id, text)));
        all.push(Change::PutGroup(Group {
            id: GroupId(id),
            name: text.into(),
            ..Group::default()
        }));
        let (name, reason) = (Some(text.into()), Some(text.into()));
        all.push(Change::PutTorrent(Torrent { name, reason, ..torrent(id) }));
        all.push(Change::PutClient(Client { prefix: text.into(), allowed: id % 2 == 0 }));
        let address = std::net::Ipv4Addr::from(id).into();
        all.push(Change::PutBan(Ban { address, prefix_len: 32, reason: text.into() }));
    }
    let long = |bytes| "\u{4e2d}".repeat(bytes / 3);
    let name = Some(long(NAME_BYTES_MAX).into());
    all.push(Change::PutTorrent(Torrent { name, ..torrent(1000) }));
    all.push(Change::PutUser(user(1000, &"k".repeat(PASSKEY_BYTES_MAX))));
    let name = "n".repeat(NAME_BYTES_MAX).into();
    all.push(Change::PutGroup(Group { id: GroupId(1000), name, ..Group::default() }));
    let reason = Some(long(REASON_BYTES_MAX).into());
    all.push(Change::PutTorrent(Torrent { reason, ..torrent(1001) }));
    // A text without letters is not the same as none.
    all.push(Change::PutTorrent(Torrent { name: Some("".into()), ..torrent(1002) }));
    conn.change(&all).unwrap();
    assert_holds(&*conn, all);
}

/// Numbers are 32 bits without a sign, and budgets and times 63.
pub fn the_greatest_numbers_are_kept(subject: &Subject) {
    let conn = subject.open();
    let most = u32::MAX;
    let (upload, download) = (Permille(most), Permille(most));
    let long = Some(i64::MAX as u64);
    let (slots, peers_max) = (Some(most), Some(0));
    let all = [
        Change::PutUser(User {
            group: GroupId(most),
            slots,
            peers_max,
            upload,
            download,
            key_version: most,
            ..user(most, "k")
        }),
        Change::PutGroup(Group {
            id: GroupId(most),
            slots,
            peers_max,
            upload,
            download,
            ..Group::default()
        }),
        Change::PutTorrent(Torrent {
            owner: Some(UserId(most)),
            group: TorrentGroupId(most),
            upload,
            download,
            key_salt: most,
            ..torrent(most)
        }),
        Change::PutFactor(Factor {
            id: FactorId(most),
            target: Target::Token(UserId(most), TorrentId(most)),
            upload,
            download,
            starts_unix_secs: Some(0),
            ends_unix_secs: long,
            budget_bytes: long,
            ..Factor::default()
        }),
        Change::PutBan(Ban {
            address: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(),
            prefix_len: 128,
            reason: "".into(),
        }),
    ];
    conn.change(&all).unwrap();
    assert_holds(&*conn, all);
}

/// Two users cannot have one passkey, and what came before in the same call is not kept either.
pub fn the_passkey_of_another_user_is_refused(subject: &Subject) {
    let conn = subject.open();
    let before = [Change::PutUser(user(1, "mine")), Change::PutUser(user(2, "yours"))];
    conn.change(&before).unwrap();
    for taker in [user(3, "mine"), user(2, "mine")] {
        let changes = [
            Change::PutTorrent(torrent(1)),
            Change::PutUser(user(4, "new")),
            Change::RemoveUser(UserId(2)),
            Change::PutUser(taker),
        ];
        let error = conn.change(&changes).unwrap_err();
        assert!(matches!(error, DriverError::Refused(_)), "{error:?}");
        assert!(!error.to_string().contains("mine"), "it tells a passkey: {error}");
        assert_holds(&*conn, before.clone());
    }
    conn.change(&[Change::PutUser(user(1, "mine"))]).unwrap();
    assert_holds(&*conn, before);
}

/// Two torrents cannot have one info hash.
pub fn the_info_hash_of_another_torrent_is_refused(subject: &Subject) {
    let conn = subject.open();
    let before = [Change::PutTorrent(torrent(1))];
    conn.change(&before).unwrap();
    let same = Torrent { id: TorrentId(2), ..torrent(1) };
    let error =
        conn.change(&[Change::PutUser(user(1, "k")), Change::PutTorrent(same)]).unwrap_err();
    assert!(matches!(error, DriverError::Refused(_)), "{error:?}");
    assert_holds(&*conn, before);
}

/// A passkey or an info hash is free when its owner was removed or has another one.
pub fn what_was_given_up_can_be_given_to_another(subject: &Subject) {
    let conn = subject.open();
    conn.change(&[Change::PutUser(user(1, "a")), Change::PutTorrent(torrent(1))]).unwrap();
    conn.change(&[Change::PutUser(user(1, "b")), Change::PutUser(user(2, "a"))]).unwrap();
    let moved = Torrent { id: TorrentId(2), ..torrent(1) };
    conn.change(&[
        Change::RemoveUser(UserId(2)),
        Change::PutUser(user(3, "a")),
        Change::RemoveTorrent(TorrentId(1)),
        Change::PutTorrent(moved.clone()),
    ])
    .unwrap();
    let expected = [user(1, "b"), user(3, "a")].map(Change::PutUser);
    assert_holds(&*conn, expected.into_iter().chain([Change::PutTorrent(moved)]));
}

/// An empty passkey is none, and any number of users may have none.
pub fn users_may_have_no_passkey(subject: &Subject) {
    let conn = subject.open();
    let all = [user(1, ""), user(2, ""), user(3, "k")].map(Change::PutUser);
    conn.change(&all).unwrap();
    assert_holds(&*conn, all);
}

/// Of two changes of one record in the same call the last one counts.
pub fn changes_are_written_in_their_order(subject: &Subject) {
    let conn = subject.open();
    conn.change(&[
        Change::PutUser(user(1, "first")),
        Change::PutUser(user(1, "second")),
        Change::RemoveTorrent(TorrentId(1)),
        Change::PutTorrent(torrent(1)),
        Change::PutTorrent(torrent(2)),
        Change::RemoveTorrent(TorrentId(2)),
        Change::PutUser(user(2, "third")),
        Change::RemoveUser(UserId(2)),
        Change::PutUser(user(2, "fourth")),
    ])
    .unwrap();
    let users = [user(1, "second"), user(2, "fourth")].map(Change::PutUser);
    assert_holds(&*conn, users.into_iter().chain([Change::PutTorrent(torrent(1))]));
}

/// They are not in a group of the same number that is made later.
pub fn users_of_a_removed_group_are_in_none(subject: &Subject) {
    let conn = subject.open();
    let group = |id| Change::PutGroup(Group { id: GroupId(id), ..Group::default() });
    let member = |id, group| {
        let passkey = format!("key {id}");
        Change::PutUser(User { group: GroupId(group), ..user(id, &passkey) })
    };
    conn.change(&[group(1), group(2), member(1, 1), member(2, 2), member(3, 1)]).unwrap();
    conn.change(&[Change::RemoveGroup(GroupId(1))]).unwrap();
    assert_holds(&*conn, [group(2), member(1, 0), member(2, 2), member(3, 0)]);
}

/// A call without changes is no fault.
pub fn no_changes_change_nothing(subject: &Subject) {
    let conn = subject.open();
    conn.ping().unwrap();
    conn.change(&[]).unwrap();
    assert!(Records::in_storage(&*conn) == Records::default(), "the storage was not empty");
}

/// Many records are written by one call and come back, each once.
pub fn ten_thousand_records_load(subject: &Subject) {
    let conn = subject.open();
    let ids = || (0..5000).map(|id: u32| id.wrapping_mul(2_654_435_761) | 1);
    let users = ids().map(|id| Change::PutUser(user(id, &format!("{id:032x}"))));
    let torrents = ids().map(|id| Change::PutTorrent(torrent(id)));
    let all: Vec<_> = users.chain(torrents).collect();
    conn.change(&all).unwrap();
    assert_holds(&*conn, all.clone());
    conn.change(&all).unwrap();
    drop(conn);
    assert_holds(&*subject.open(), all);
}
