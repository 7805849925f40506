//! Exactly once: positions, batches that come twice, journals, threads, and writes that break off.
//!
//! What is added up does not matter here, only whether it is.

use std::sync::Barrier;
use std::thread;

use skep_engine::ledger::Sums;
use skep_engine::site::{Change, TorrentId, UserId};

use super::{JOURNAL, Records, Subject, assert_holds, batch, record, torrent, uploaded, user};
use crate::driver::{Batch, Conn, DriverError, Record, Totals};

/// Tries of a call whose storage asks to try again.
const TRIES: u32 = 1000;

fn uploads(conn: &dyn Conn, user: u32) -> u64 {
    conn.totals(Totals::User(UserId(user))).unwrap().raw.uploaded_bytes
}

fn sessions(conn: &dyn Conn) -> Vec<Record> {
    let mut all = Vec::new();
    conn.load_sessions(JOURNAL, 0, &mut |record| all.push(record)).unwrap();
    all
}

fn assert_refused(conn: &dyn Conn, batch: &Batch, applied: u64) {
    match conn.apply(batch) {
        Err(DriverError::OutOfOrder { applied: found, from }) => {
            assert_eq!((found, from), (applied, batch.from()));
        }
        other => panic!("a batch from {} on after {applied}: {other:?}", batch.from()),
    }
}

/// A batch that came before, or a part of it, or one that leaves out records, changes nothing.
pub fn a_batch_that_was_applied_is_refused(subject: &Subject) {
    let conn = subject.open();
    let first = batch(0, [uploaded(1, 5, 1), uploaded(1, 5, 1), uploaded(2, 5, 1)]);
    conn.apply(&first).unwrap();
    let before = sessions(&*conn);
    let other = || [uploaded(1, 5, 100), uploaded(9, 9, 100)];
    let wrong = [
        first.clone(),
        batch(0, other()),
        batch(2, other()),
        batch(4, other()),
        batch(u64::from(u32::MAX) + 4, other()),
        batch(0, []),
        batch(4, []),
    ];
    for wrong in &wrong {
        assert_refused(&*conn, wrong, 3);
    }
    assert_eq!((uploads(&*conn, 1), uploads(&*conn, 2), uploads(&*conn, 9)), (2, 1, 0));
    assert_eq!(sessions(&*conn), before);
    drop(conn);
    let conn = subject.open();
    assert_refused(&*conn, &first, 3);
    conn.apply(&batch(3, [uploaded(1, 5, 10)])).unwrap();
    assert_refused(&*conn, &batch(3, [uploaded(1, 5, 10)]), 4);
    assert_eq!(uploads(&*conn, 1), 12);
}

/// The position is that behind the last record, and nothing for a journal that nobody heard of.
pub fn the_position_is_known_when_opened_again(subject: &Subject) {
    let conn = subject.open();
    assert_eq!(conn.applied(JOURNAL).unwrap(), None);
    conn.apply(&batch(0, vec![record(1, 5); 7])).unwrap();
    assert_eq!(conn.applied(JOURNAL).unwrap(), Some(7));
    conn.apply(&batch(7, [record(1, 5)])).unwrap();
    drop(conn);
    let conn = subject.open();
    assert_eq!(conn.applied(JOURNAL).unwrap(), Some(8));
    assert_eq!(conn.applied(JOURNAL ^ 1).unwrap(), None);
}

/// A batch without records is applied where it belongs.
pub fn an_empty_batch_adds_nothing(subject: &Subject) {
    let conn = subject.open();
    conn.apply(&batch(0, [uploaded(1, 5, 10)])).unwrap();
    conn.apply(&batch(1, [])).unwrap();
    assert_eq!(conn.applied(JOURNAL).unwrap(), Some(1));
    assert_eq!(uploads(&*conn, 1), 10);
}

/// A storage that is younger than a journal goes on where the journal is, at positions of 63 bits.
pub fn the_first_batch_may_begin_anywhere(subject: &Subject) {
    let conn = subject.open();
    let far = i64::MAX as u64 - 1;
    conn.apply(&batch(far, [uploaded(1, 5, 10)])).unwrap();
    assert_eq!(conn.applied(JOURNAL).unwrap(), Some(far + 1));
    assert_refused(&*conn, &batch(0, [uploaded(1, 5, 10)]), far + 1);
    assert_eq!(uploads(&*conn, 1), 10);
}

/// Each has a position of its own, and all add to the same sums.
pub fn journals_know_nothing_of_each_other(subject: &Subject) {
    let conn = subject.open();
    let journals = [0, 1, 1 << 63, (1 << 63) | 1, u64::MAX];
    for (records, journal) in (1..).zip(journals) {
        let of = |from, count| Batch::new(journal, from, vec![uploaded(1, 5, 1); count]);
        conn.apply(&of(0, records)).unwrap();
        conn.apply(&of(records as u64, 10)).unwrap();
    }
    drop(conn);
    let conn = subject.open();
    for (records, journal) in (1..).zip(journals) {
        assert_eq!(conn.applied(journal).unwrap(), Some(records + 10), "journal {journal:x}");
    }
    assert_eq!(uploads(&*conn, 1), 15 + 50);
}

/// Applies a batch, again and again if the storage asks for it.
fn insist(conn: &dyn Conn, batch: &Batch) -> Result<(), DriverError> {
    let mut result = conn.apply(batch);
    for _ in 1..TRIES {
        match &result {
            Err(error) if error.is_transient() => result = conn.apply(batch),
            _ => break,
        }
    }
    result
}

/// Of several who apply the same batch at the same time one succeeds, and the others are told.
pub fn a_batch_that_comes_twice_at_once_is_applied_once(subject: &Subject) {
    const THREADS: usize = 4;
    const ROUNDS: u64 = 20;
    // Twice in one round does not make up for never in another.
    let bytes = |round: u64| (THREADS as u64 + 1).pow(round as u32);
    let (one, other) = (subject.open(), subject.open());
    let barrier = Barrier::new(THREADS);
    let (conns, barrier) = ([&*one, &*other], &barrier);
    let applied: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let conn = conns[number % 2];
                scope.spawn(move || {
                    let mut applied = 0;
                    for round in 0..ROUNDS {
                        barrier.wait();
                        match insist(conn, &batch(round, [uploaded(1, 5, bytes(round))])) {
                            Ok(()) => applied += 1,
                            Err(DriverError::OutOfOrder { .. }) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                    applied
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let once = (0..ROUNDS).map(bytes).sum();
    assert_eq!((applied, uploads(&*one, 1)), (ROUNDS, once));
    assert_eq!(other.applied(JOURNAL).unwrap(), Some(ROUNDS));
}

/// Some apply, some change and some read at the same time; nothing is lost and nobody sees half.
pub fn threads_do_not_disturb_each_other(subject: &Subject) {
    const WRITERS: u32 = 3;
    const BATCHES: u64 = 20;
    let conn = subject.open();
    let barrier = Barrier::new(WRITERS as usize + 3);
    let (conn, barrier) = (&*conn, &barrier);
    thread::scope(|scope| {
        for journal in 0..WRITERS {
            scope.spawn(move || {
                barrier.wait();
                for number in 0..BATCHES {
                    // The three are added together; the last user is everybody's.
                    let records = [uploaded(journal, 5, 7), uploaded(journal, 5, 3)];
                    let records = records.into_iter().chain([uploaded(100, 5, 1)]).collect();
                    let batch = Batch::new(journal.into(), number * 3, records);
                    insist(conn, &batch).unwrap();
                }
            });
        }
        for reader in 0..2 {
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..BATCHES {
                    let uploaded = uploads(conn, reader);
                    assert_eq!(uploaded % 10, 0, "half of a batch was seen: {uploaded}");
                    Records::in_storage(conn);
                    sessions(conn);
                }
            });
        }
        barrier.wait();
        for id in 0..BATCHES as u32 {
            let changes =
                [Change::PutUser(user(id, &format!("{id}"))), Change::PutTorrent(torrent(id))];
            let again = |result: &Result<(), DriverError>| {
                result.as_ref().is_err_and(DriverError::is_transient)
            };
            let mut tries = (0..TRIES).map(|_| conn.change(&changes));
            tries.find(|result| !again(result)).unwrap().unwrap();
        }
    });
    for journal in 0..WRITERS {
        assert_eq!(conn.applied(journal.into()).unwrap(), Some(3 * BATCHES));
        assert_eq!(uploads(conn, journal), 10 * BATCHES);
    }
    assert_eq!(uploads(conn, 100), u64::from(WRITERS) * BATCHES);
    let of_torrent = conn.totals(Totals::Torrent(TorrentId(5))).unwrap();
    assert_eq!(of_torrent.raw.uploaded_bytes, u64::from(WRITERS) * BATCHES * 11);
    assert_eq!(Records::in_storage(conn).users.len(), BATCHES as usize);
}

/// A batch that failed is as if it had never come, and it can come again.
pub fn a_batch_that_breaks_off_leaves_nothing(subject: &Subject) {
    let conn = subject.open();
    conn.apply(&batch(0, [uploaded(1, 5, 1)])).unwrap();
    let before = sessions(&*conn);
    let next = batch(1, [uploaded(1, 5, 10), uploaded(2, 6, 10)]);
    subject.break_off(true);
    for _ in 0..3 {
        let error = conn.apply(&next).unwrap_err();
        assert!(!matches!(error, DriverError::OutOfOrder { .. }), "{error:?}");
    }
    subject.break_off(false);
    let nothing_changed = |conn: &dyn Conn| {
        assert_eq!(conn.applied(JOURNAL).unwrap(), Some(1));
        assert_eq!(uploads(conn, 1), 1);
        assert_eq!(sessions(conn), before);
        let absent = [Totals::Torrent(TorrentId(6)), Totals::Passage(UserId(2), TorrentId(6))];
        for of in absent {
            assert_eq!(conn.totals(of).unwrap(), Sums::default(), "{of:?}");
        }
    };
    nothing_changed(&*conn);
    drop(conn);
    let conn = subject.open();
    nothing_changed(&*conn);
    conn.apply(&next).unwrap();
    assert_eq!((uploads(&*conn, 1), uploads(&*conn, 2)), (11, 10));
}

/// The same of changes.
pub fn changes_that_break_off_leave_nothing(subject: &Subject) {
    let conn = subject.open();
    let before = [Change::PutUser(user(1, "a")), Change::PutTorrent(torrent(1))];
    conn.change(&before).unwrap();
    let changes = [
        Change::RemoveUser(UserId(1)),
        Change::PutUser(user(2, "a")),
        Change::PutTorrent(torrent(2)),
        Change::PutTorrent(torrent(3)),
    ];
    subject.break_off(true);
    conn.change(&changes).unwrap_err();
    subject.break_off(false);
    assert_holds(&*conn, before.clone());
    conn.change(&changes).unwrap();
    let torrents = [torrent(1), torrent(2), torrent(3)].map(Change::PutTorrent);
    assert_holds(&*conn, torrents.into_iter().chain([Change::PutUser(user(2, "a"))]));
}
