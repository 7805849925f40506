//! Sessions: remembered with each batch, so that counting goes on after a restart.
//!
//! How the ledger counts is not tested, only that it can go on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use skep_engine::ledger::{
    Delta, Entry, Family, Ledger, LedgerSettings, Outcome, SessionState, Terms, Traffic, Verdict,
};
use skep_engine::site::{TorrentId, UserId};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

use super::{JOURNAL, Subject, batch, record, with};
use crate::driver::{Batch, Conn, Record};

fn load(conn: &dyn Conn, since_unix_secs: u64) -> Vec<Record> {
    let mut all = Vec::new();
    conn.load_sessions(JOURNAL, since_unix_secs, &mut |record| all.push(record)).unwrap();
    all
}

type Key = (UserId, TorrentId, PeerId);
type Remembered = (SessionState, u64, Option<SocketAddr>);

/// What of a record is remembered, by session.
fn remembered(records: &[Record]) -> BTreeMap<Key, Remembered> {
    let mut all = BTreeMap::new();
    for Record { at_unix_secs, endpoint, delta } in records {
        let session = delta.session;
        let key = (session.user, session.torrent, session.peer_id);
        let value = (session, *at_unix_secs, *endpoint);
        assert!(all.insert(key, value).is_none(), "a session came twice");
    }
    all
}

fn assert_remembers(conn: &dyn Conn, records: &[Record]) {
    assert_eq!(remembered(&load(conn, 0)), remembered(records));
}

/// Sessions that differ in everything a session can differ in.
fn sessions() -> Vec<Record> {
    let most = u32::MAX;
    let set = |at_unix_secs, endpoint: &str, set: fn(&mut SessionState)| {
        let mut record = with(record(1, 5), |delta| set(&mut delta.session));
        (record.at_unix_secs, record.endpoint) = (at_unix_secs, endpoint.parse().ok());
        record
    };
    vec![
        set(1000, "192.0.2.1:1", |session| {
            session.peer_id = PeerId(*b"-UT355S-\t\x01\0\xff\x80'\"\\\n\r  ")
        }),
        set(1001, "[2001:db8::1]:65535", |session| {
            (session.peer_id, session.family) = (PeerId([0; 20]), Family::Ipv6);
            session.counters = Traffic { uploaded_bytes: 5, downloaded_bytes: 6 };
            session.corrupt_bytes = 7;
        }),
        set(1002, "", |session| {
            (session.peer_id, session.family) = (PeerId([255; 20]), Family::Webrtc);
            (session.peer_key, session.seeds) = (u32::MAX, true);
        }),
        set(1003, "0.0.0.0:0", |session| {
            (session.user, session.torrent) = (UserId(u32::MAX), TorrentId(u32::MAX));
            (session.open, session.pass_counted) = (false, true);
        }),
        set(most.into(), "[::ffff:192.0.2.1]:80", |session| {
            session.user = UserId(2);
            session.counters = Traffic { uploaded_bytes: u64::MAX, downloaded_bytes: 1 << 63 };
            session.corrupt_bytes = u64::MAX - 1;
        }),
        set(u64::from(most) + 10, "255.255.255.255:6881", |session| {
            (session.torrent, session.peer_key) = (TorrentId(6), 1 << 31);
        }),
    ]
}

/// Every field of a session comes back, the counters with all of their 64 bits: a counter that was cut
/// would be credited again.
pub fn sessions_come_back(subject: &Subject) {
    let conn = subject.open();
    let all = sessions();
    conn.apply(&batch(0, all.clone())).unwrap();
    assert_remembers(&*conn, &all);
    drop(conn);
    assert_remembers(&*subject.open(), &all);
}

/// A session is its user, its torrent and its peer id; of several states the last one is kept, whatever
/// their times are.
pub fn the_last_state_of_a_session_counts(subject: &Subject) {
    let conn = subject.open();
    let later = |secs: i64, bytes| {
        let mut record = with(record(1, 5), |delta| {
            delta.session.counters.uploaded_bytes = bytes;
            delta.session.open = bytes % 2 == 0;
        });
        record.at_unix_secs = record.at_unix_secs.saturating_add_signed(secs);
        record.endpoint = record.endpoint.filter(|_| bytes < 30);
        record
    };
    let other = record(2, 5);
    conn.apply(&batch(0, [later(0, 11), other, later(5, 12)])).unwrap();
    assert_remembers(&*conn, &[later(5, 12), other]);
    conn.apply(&batch(3, [later(9, 20), later(7, 21)])).unwrap();
    assert_remembers(&*conn, &[later(7, 21), other]);
    // The clock was set back, and the user's addresses are no longer kept.
    conn.apply(&batch(5, [later(-100, 30)])).unwrap();
    assert_remembers(&*conn, &[later(-100, 30), other]);
    let decided = with(later(20, 40), |delta| delta.verdict = Some(Verdict::Denied));
    conn.apply(&batch(6, [decided])).unwrap();
    assert_remembers(&*conn, &[later(-100, 30), other]);
}

/// Two trackers that share a storage have sessions of their own, even of one client.
pub fn sessions_of_another_journal_are_not_touched(subject: &Subject) {
    let conn = subject.open();
    let at = |at_unix_secs| Record { at_unix_secs, ..record(1, 5) };
    conn.apply(&batch(0, [at(10)])).unwrap();
    conn.apply(&Batch::new(JOURNAL + 1, 0, vec![at(20), record(2, 5)])).unwrap();
    assert_remembers(&*conn, &[at(10)]);
    conn.apply(&batch(1, [at(30)])).unwrap();
    assert_remembers(&*conn, &[at(30)]);
    let mut others = Vec::new();
    conn.load_sessions(JOURNAL + 1, 0, &mut |record| others.push(record)).unwrap();
    assert_eq!(remembered(&others), remembered(&[at(20), record(2, 5)]));
}

/// Sessions that were heard of at the time or later come, and the latest come first.
pub fn sessions_come_latest_first(subject: &Subject) {
    let conn = subject.open();
    let at = |user, at_unix_secs| Record { at_unix_secs, ..record(user, 5) };
    conn.apply(&batch(0, [at(1, 30), at(2, 10), at(3, 20), at(4, 40), at(5, 20)])).unwrap();
    let times = |since| -> Vec<_> {
        load(&*conn, since).iter().map(|record| record.at_unix_secs).collect()
    };
    assert_eq!(times(0), [40, 30, 20, 20, 10]);
    assert_eq!(times(20), [40, 30, 20, 20]);
    assert_eq!(times(21), [40, 30]);
    assert!(times(41).is_empty() && times(u64::MAX).is_empty());
}

fn announce(ledger: &mut Ledger, uploaded_bytes: u64, now: u32) -> Delta {
    let request = AnnounceRequest {
        info_hash: InfoHash([0; 20]),
        peer_id: PeerId([9; 20]),
        port: 6881,
        uploaded_bytes,
        downloaded_bytes: 0,
        left_bytes: Some(0),
        event: AnnounceEvent::None,
        num_want: NumWant::Default,
        peer_key: PeerKey::default(),
    };
    let outcome = ledger.announce(&Entry {
        torrent: TorrentId(5),
        user: UserId(1),
        request: &request,
        corrupt_bytes: None,
        family: Family::Ipv4,
        ip: None,
        now: Tick(now),
        terms: Terms::default(),
    });
    match outcome {
        Outcome::Counted(delta) => delta,
        other => panic!("{other:?}"),
    }
}

/// After a restart a client is credited with what it moved meanwhile, and with nothing twice.
pub fn sessions_go_on(subject: &Subject) {
    let ledger = || Ledger::new(LedgerSettings::default(), Seed::from_key([1; 16]));
    let conn = subject.open();
    let mut first = ledger();
    for (position, bytes) in (0..).zip([1000, 1500]) {
        let delta = announce(&mut first, bytes, 1800 * position as u32);
        let at_unix_secs = 1_700_000_000 + 1800 * position;
        let record = Record { at_unix_secs, endpoint: None, delta };
        conn.apply(&batch(position, [record])).unwrap();
    }
    drop(conn);

    let mut second = ledger();
    let now = Tick(0);
    for record in load(&*subject.open(), 0) {
        let silent_secs = (1_700_002_000 - record.at_unix_secs) as u32;
        assert!(second.restore(&record.delta.session, silent_secs, now));
    }
    let delta = announce(&mut second, 1700, 100);
    assert_eq!((delta.raw.uploaded_bytes, delta.seeding_secs), (200, 300));
}

/// Sessions at or after the time stay, and the number of those that went is told. A storage that keeps
/// all of them says that none went.
pub fn only_old_sessions_are_forgotten(subject: &Subject) {
    let conn = subject.open();
    let at = |user, at_unix_secs| Record { at_unix_secs, ..record(user, 5) };
    let all = [at(1, 10), at(2, 20), at(3, 30), at(4, 40)];
    conn.apply(&batch(0, all)).unwrap();
    let stay = match conn.forget_sessions(30).unwrap() {
        0 => &all[..],
        gone => {
            assert_eq!(gone, 2);
            &all[2..]
        }
    };
    assert_remembers(&*conn, stay);
    assert_eq!(conn.forget_sessions(10).unwrap(), 0);
    assert_remembers(&*conn, stay);
    assert_eq!(conn.totals(crate::driver::Totals::User(UserId(1))).unwrap().completions, 0);
}
