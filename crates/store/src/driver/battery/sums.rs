//! Sums: what batches add for users, torrents, and users in torrents.
//!
//! In which order batches come, and what happens to one that comes twice, is tested elsewhere.

use std::collections::BTreeMap;

use skep_engine::ledger::{Spent, Sums, Traffic, Verdict};
use skep_engine::site::{Change, Factor, FactorId, Permille, TorrentId, UserId};

use super::{Subject, assert_holds, batch, record, taken, uploaded, user, with};
use crate::driver::{Conn, Record, Totals};

const fn of_passage(user: u32, torrent: u32) -> Totals {
    Totals::Passage(UserId(user), TorrentId(torrent))
}

/// A record in which every number is another one.
fn telling(user: u32, torrent: u32, factor: u64) -> Record {
    with(record(user, torrent), |delta| {
        delta.raw = Traffic { uploaded_bytes: factor, downloaded_bytes: 2 * factor };
        delta.credited = Traffic { uploaded_bytes: 4 * factor, downloaded_bytes: 8 * factor };
        delta.corrupt_bytes = 128 * factor;
        delta.seeding_secs = 16 * factor as u32;
        delta.leeching_secs = 32 * factor as u32;
        delta.active_secs = 64 * factor as u32;
        delta.completed = true;
    })
}

fn told(factor: u64, completions: u64) -> Sums {
    Sums {
        raw: Traffic { uploaded_bytes: factor, downloaded_bytes: 2 * factor },
        credited: Traffic { uploaded_bytes: 4 * factor, downloaded_bytes: 8 * factor },
        held: Traffic::default(),
        settled: Traffic::default(),
        corrupt_bytes: 128 * factor,
        seeding_secs: 16 * factor,
        leeching_secs: 32 * factor,
        active_secs: 64 * factor,
        completions,
    }
}

/// Each number of each record goes to its user, its torrent and both together.
pub fn sums_are_added_up(subject: &Subject) {
    let conn = subject.open();
    conn.apply(&batch(0, [telling(1, 5, 1), telling(2, 5, 10), telling(1, 6, 100)])).unwrap();
    conn.apply(&batch(3, [telling(1, 5, 1000), telling(1, 5, 10_000)])).unwrap();
    let expected = [
        (Totals::User(UserId(1)), told(11_101, 4)),
        (Totals::User(UserId(2)), told(10, 1)),
        (Totals::Torrent(TorrentId(5)), told(11_011, 4)),
        (Totals::Torrent(TorrentId(6)), told(100, 1)),
        (of_passage(1, 5), told(11_001, 3)),
        (of_passage(2, 5), told(10, 1)),
        (of_passage(1, 6), told(100, 1)),
    ];
    for (of, sums) in expected {
        assert_eq!(conn.totals(of).unwrap(), sums, "{of:?}");
    }
    drop(conn);
    for (of, sums) in expected {
        assert_eq!(subject.open().totals(of).unwrap(), sums, "{of:?} when opened again");
    }
}

/// What waits for somebody to look at it is not among what was moved, before that is decided.
pub fn held_traffic_is_kept_apart(subject: &Subject) {
    let conn = subject.open();
    let held = |verdict: Option<Verdict>, bytes| {
        with(record(1, 5), |delta| {
            delta.raw = Traffic { uploaded_bytes: bytes, downloaded_bytes: bytes + 1 };
            (delta.held, delta.verdict) = (verdict.is_none(), verdict);
        })
    };
    conn.apply(&batch(0, [held(None, 100), telling(1, 5, 1), held(None, 100)])).unwrap();
    let all = [Totals::User(UserId(1)), Totals::Torrent(TorrentId(5)), of_passage(1, 5)];
    let traffic = |uploaded_bytes, downloaded_bytes| Traffic { uploaded_bytes, downloaded_bytes };
    let expected = Sums { held: traffic(200, 202), ..told(1, 1) };
    for of in all {
        assert_eq!(conn.totals(of).unwrap(), expected, "{of:?}");
    }
    let decided = [held(Some(Verdict::Denied), 10), held(Some(Verdict::Released), 1000)];
    conn.apply(&batch(3, decided)).unwrap();
    let settled = traffic(1010, 1012);
    let expected = Sums { settled, raw: traffic(1001, 1003), ..expected };
    for of in all {
        assert_eq!(conn.totals(of).unwrap(), expected, "{of:?}, decided");
    }
}

/// A sum stays at the greatest number of its column, which is 2^63-1 or 2^64-1.
pub fn sums_never_wrap(subject: &Subject) {
    let conn = subject.open();
    let all = |bytes, held| {
        with(record(u32::MAX, u32::MAX), |delta| {
            let traffic = Traffic { uploaded_bytes: bytes, downloaded_bytes: bytes };
            (delta.raw, delta.credited, delta.held) = (traffic, traffic, held);
            delta.seeding_secs = u32::MAX;
        })
    };
    let most = i64::MAX as u64;
    let totals = [
        Totals::User(UserId(u32::MAX)),
        Totals::Torrent(TorrentId(u32::MAX)),
        of_passage(u32::MAX, u32::MAX),
    ];
    conn.apply(&batch(0, [all(most - 5, false), all(most - 5, true)])).unwrap();
    conn.apply(&batch(2, [all(3, false), all(3, true)])).unwrap();
    for of in totals {
        let sums = conn.totals(of).unwrap();
        assert_eq!(sums.raw.uploaded_bytes, most - 2, "{of:?}: near the end it is exact");
        assert_eq!(sums.held.downloaded_bytes, most - 2, "{of:?}");
    }
    for (from, bytes) in [(4, 100), (6, most), (8, u64::MAX), (10, 1)] {
        conn.apply(&batch(from, [all(bytes, false), all(bytes, true)])).unwrap();
        for of in totals {
            let sums = conn.totals(of).unwrap();
            for traffic in [sums.raw, sums.credited, sums.held] {
                assert!(traffic.uploaded_bytes >= most, "{of:?}, {bytes} more: {traffic:?}");
                assert!(traffic.downloaded_bytes >= most, "{of:?}, {bytes} more: {traffic:?}");
            }
        }
    }
    let secs = conn.totals(totals[0]).unwrap().seeding_secs;
    assert_eq!(secs, 12 * u64::from(u32::MAX), "times are wider than 32 bits");
}

/// Whoever did nothing has sums of 0, and nobody else's.
pub fn nobody_has_no_sums(subject: &Subject) {
    let conn = subject.open();
    let all = [Totals::User(UserId(2)), Totals::Torrent(TorrentId(1)), of_passage(1, 6)];
    for of in all {
        assert_eq!(conn.totals(of).unwrap(), Sums::default(), "{of:?}");
    }
    conn.apply(&batch(0, [uploaded(1, 5, 10), uploaded(3, 6, 10)])).unwrap();
    for of in all.into_iter().chain([of_passage(5, 1), of_passage(3, 5)]) {
        assert_eq!(conn.totals(of).unwrap(), Sums::default(), "{of:?}");
    }
}

/// A user may be removed before the last delta is applied; what was added up stays.
pub fn sums_need_no_record_and_outlive_it(subject: &Subject) {
    let conn = subject.open();
    conn.change(&[Change::PutUser(user(1, "k")), Change::PutUser(user(2, "l"))]).unwrap();
    conn.apply(&batch(0, [uploaded(1, 5, 10)])).unwrap();
    conn.change(&[Change::RemoveUser(UserId(1)), Change::RemoveTorrent(TorrentId(5))]).unwrap();
    conn.apply(&batch(1, [uploaded(1, 5, 10)])).unwrap();
    for of in [Totals::User(UserId(1)), Totals::Torrent(TorrentId(5)), of_passage(1, 5)] {
        assert_eq!(conn.totals(of).unwrap().credited.uploaded_bytes, 20, "{of:?}");
    }
}

/// What was taken from a budget is missing from it, once, and it never goes below 0.
pub fn budgets_are_spent(subject: &Subject) {
    let conn = subject.open();
    let factor = |id, budget_bytes| {
        Change::PutFactor(Factor { id: FactorId(id), budget_bytes, ..Factor::default() })
    };
    conn.change(&[factor(1, Some(1000)), factor(2, Some(1000)), factor(3, None)]).unwrap();
    let spends = |one, other| with(record(1, 5), |delta| delta.spent = [one, other]);
    let first = batch(
        0,
        [spends(taken(1, 100), taken(2, 600)), spends(taken(2, 700), taken(3, 5)), record(1, 5)],
    );
    conn.apply(&first).unwrap();
    conn.apply(&first).unwrap_err();
    assert_holds(&*conn, [factor(1, Some(900)), factor(2, Some(0)), factor(3, None)]);
    conn.apply(&batch(3, [spends(taken(1, 1), taken(9, 1))])).unwrap();
    assert_holds(&*conn, [factor(1, Some(899)), factor(2, Some(0)), factor(3, None)]);
}

/// An amended factor is another in everything but what is left of its budget; one that is new has the
/// budget that is told.
pub fn an_amended_factor_keeps_what_is_left(subject: &Subject) {
    let conn = subject.open();
    let factor = |id, upload, budget_bytes| Factor {
        id: FactorId(id),
        upload: Permille(upload),
        budget_bytes,
        ..Factor::default()
    };
    let put = |id, upload, budget| Change::PutFactor(factor(id, upload, budget));
    let amend = |id, upload, budget| Change::AmendFactor(factor(id, upload, budget));
    conn.change(&[put(1, 1000, Some(1000)), put(2, 1000, None)]).unwrap();
    let spends = with(record(1, 5), |delta| delta.spent = [taken(1, 900), Spent::default()]);
    conn.apply(&batch(0, [spends])).unwrap();
    let amended = [amend(1, 2000, Some(1000)), amend(2, 3000, Some(7)), amend(3, 500, Some(50))];
    conn.change(&amended).unwrap();
    assert_holds(&*conn, [put(1, 2000, Some(100)), put(2, 3000, None), put(3, 500, Some(50))]);
    conn.change(&[put(1, 2000, Some(1000))]).unwrap();
    assert_holds(&*conn, [put(1, 2000, Some(1000)), put(2, 3000, None), put(3, 500, Some(50))]);
}

/// A long batch, of many users in many torrents, is added up like any other.
pub fn ten_thousand_deltas_add_up(subject: &Subject) {
    let conn = subject.open();
    let mut random = 1_u32;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 8
    };
    let mut of_users = BTreeMap::<u32, Sums>::new();
    let mut of_passages = BTreeMap::<(u32, u32), Sums>::new();
    for number in 0..4 {
        let records: Vec<_> = (0..2500)
            .map(|_| {
                let (user, torrent) = (next() % 700, next() % 700);
                let record = telling(user * 6_000_000, torrent + 1, u64::from(next() % 1000));
                of_users.entry(user).or_default().add(&record.delta);
                of_passages.entry((user, torrent)).or_default().add(&record.delta);
                record
            })
            .collect();
        conn.apply(&batch(number * 2500, records)).unwrap();
    }
    check(&*conn, &of_users, &of_passages);
}

fn check(
    conn: &dyn Conn,
    of_users: &BTreeMap<u32, Sums>,
    of_passages: &BTreeMap<(u32, u32), Sums>,
) {
    for (user, sums) in of_users {
        let found = conn.totals(Totals::User(UserId(user * 6_000_000))).unwrap();
        assert_eq!(found, *sums, "user {user}");
    }
    for ((user, torrent), sums) in of_passages.iter().step_by(20) {
        let found = conn.totals(of_passage(user * 6_000_000, torrent + 1)).unwrap();
        assert_eq!(found, *sums, "user {user} in torrent {torrent}");
    }
}
