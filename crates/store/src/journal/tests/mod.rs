//! Tests of the journal on real files: what it does while everything works.
//!
//! Failing disks and damaged files have modules of their own.

mod damage;
mod disk;
mod faults;
mod room;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use self::disk::FaultyDisk;
use super::*;

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

fn settings(dir: &TempDir) -> JournalSettings {
    JournalSettings {
        commit_interval: Duration::ZERO,
        retry_interval: Duration::from_millis(1),
        segment_bytes: 1000,
        ..JournalSettings::new(dir.path().join("journal"), 7)
    }
}

/// A record that tells its number, of a length that varies.
fn record(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number % 90) as usize, number as u8);
    bytes
}

fn append_all(journal: &Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(journal.append_durable(&record(number)).unwrap(), number);
    }
}

/// Reads to the end and returns the position behind it.
fn read_all(journal: &Journal, from: u64) -> u64 {
    let mut reader = journal.reader(from).unwrap();
    let mut expected = from;
    while let Some((position, bytes)) = reader.read().unwrap() {
        assert_eq!((position, bytes), (expected, &record(expected)[..]));
        expected += 1;
    }
    expected
}

fn open_on(settings: &JournalSettings, disk: &FaultyDisk) -> Journal {
    Journal::open_on(settings, Arc::new(disk.clone())).unwrap()
}

#[test]
fn positions_go_on_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let journal = Journal::open(&settings(&dir)).unwrap();
        assert_eq!(journal.id(), 7);
        assert_eq!(*journal.recovery(), Recovery::default());
        assert_eq!(journal.status().next, round * 100);
        append_all(&journal, round * 100..(round + 1) * 100);
        assert_eq!(read_all(&journal, 0), (round + 1) * 100);
        assert!(journal.status().segments > 4);
    }
}

#[test]
fn id_is_the_one_that_the_journal_was_begun_with() {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::open(&settings(&dir)).unwrap());
    let other = JournalSettings { id_if_new: 8, ..settings(&dir) };
    assert_eq!(Journal::open(&other).unwrap().id(), 7);
}

#[test]
fn what_is_appended_without_waiting_is_there_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { commit_interval: LONG, ..settings(&dir) };
    let journal = Journal::open(&settings).unwrap();
    for number in 0..1000 {
        assert_eq!(journal.append(&record(number)), Ok(number));
    }
    journal.close().unwrap();
    assert_eq!(journal.append(b"late"), Err(AppendError::Closed));
    assert_eq!(journal.status().refused, 1);
    assert_eq!(read_all(&journal, 0), 1000);
    drop(journal);
    assert_eq!(read_all(&Journal::open(&settings).unwrap(), 0), 1000);
}

#[test]
fn records_wait_for_the_interval_unless_somebody_waits_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { commit_interval: LONG, ..settings(&dir) };
    let journal = Journal::open(&settings).unwrap();
    for number in 0..1000 {
        journal.append(&record(number)).unwrap();
    }
    assert_eq!(journal.status().commits, 0);
    journal.wait_durable(500).unwrap();
    let status = journal.status();
    assert_eq!((status.commits, status.durable, status.queued_bytes), (1, 1000, 0));
    let short = JournalSettings { commit_interval: Duration::from_millis(1), ..settings };
    drop(journal);
    let journal = Journal::open(&short).unwrap();
    journal.append(&record(1000)).unwrap();
    // Nobody asked for it, so it is the interval that ends.
    while !journal.reader(1000).unwrap().wait(LONG) {}
    assert_eq!(journal.status().durable, 1001);
}

#[test]
fn all_that_wait_share_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    disk.hold();
    thread::scope(|scope| {
        scope.spawn(|| journal.append_durable(b"first").unwrap());
        disk.wait_for_sync();
        for _ in 0..8 {
            scope.spawn(|| journal.append_durable(b"later").unwrap());
        }
        while journal.status().next < 9 {
            thread::yield_now();
        }
        assert_eq!(journal.status().durable, 0);
        disk.go_on();
    });
    assert_eq!(journal.status().commits, 2);
    assert_eq!(journal.status().durable, 9);
}

#[test]
fn full_queue_and_long_record_are_refused_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let settings = JournalSettings { queue_bytes_max: 4 * 102, ..settings(&dir) };
    let journal = open_on(&settings, &disk);
    disk.hold();
    for position in 0..3 {
        assert_eq!(journal.append(&[1; 100]), Ok(position));
    }
    // What the writer holds in its hands counts as well.
    disk.wait_for_sync();
    assert_eq!(journal.append(&[]), Err(AppendError::QueueFull));
    // A quarter is kept for what must not be refused.
    assert!(journal.is_short());
    assert_eq!(journal.append_held(&[1; 100]), Ok(3));
    assert_eq!(journal.append_held(&[]), Err(AppendError::QueueFull));
    let long = vec![0; RECORD_BYTES_MAX + 1];
    assert_eq!(journal.append(&long), Err(AppendError::TooLong { bytes: 65_536 }));
    assert_eq!(journal.status().refused, 3);
    disk.go_on();
    journal.wait_durable(3).unwrap();
    assert_eq!(journal.append(&[]), Ok(4));
}

#[test]
fn longest_and_shortest_record_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { commit_interval: LONG, ..settings(&dir) };
    let journal = Journal::open(&settings).unwrap();
    for round in 0..40 {
        journal.append(&vec![round; RECORD_BYTES_MAX]).unwrap();
        journal.append(&[]).unwrap();
    }
    journal.wait_durable(79).unwrap();
    assert!(journal.status().commits >= 3, "a batch is longer than allowed");
    let mut reader = journal.reader(0).unwrap();
    for round in 0..40 {
        let (_, long) = reader.read().unwrap().unwrap();
        assert!(long.len() == RECORD_BYTES_MAX && long.iter().all(|&byte| byte == round));
        assert_eq!(reader.read().unwrap().unwrap(), (u64::from(round) * 2 + 1, &[][..]));
    }
    assert!(reader.read().unwrap().is_none());
}

#[test]
fn second_opening_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    let error = Journal::open(&settings(&dir)).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(journal);
    Journal::open(&settings(&dir)).unwrap();
}

#[test]
fn lock_ends_with_the_journal_though_a_copy_of_its_file_lives() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    // As a process has one that was started just now.
    let _copy = journal.lock.try_clone().unwrap();
    drop(journal);
    Journal::open(&settings(&dir)).unwrap();
}

#[test]
fn release_removes_what_was_applied_and_positions_stay() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    append_all(&journal, 0..200);
    journal.release(100).unwrap();
    let first = journal.status().first;
    assert!((50..=100).contains(&first), "{first}");
    assert_eq!(read_all(&journal, first), 200);
    let error = journal.reader(first - 1).unwrap_err();
    assert!(matches!(error, ReadError::Released { first: at, .. } if at == first), "{error}");
    journal.release(u64::MAX).unwrap();
    assert_eq!(journal.status().segments, 1);
    drop(journal);
    let journal = Journal::open(&settings(&dir)).unwrap();
    assert_eq!(journal.status().next, 200);
    append_all(&journal, 200..300);
    assert_eq!(read_all(&journal, 250), 300);
}

#[test]
fn reader_ahead_of_the_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    append_all(&journal, 0..10);
    assert!(journal.reader(10).is_ok());
    let error = journal.reader(11).unwrap_err();
    assert!(matches!(error, ReadError::Ahead { position: 11, durable: 10 }), "{error}");
}

#[test]
fn reader_follows_the_writer_while_segments_are_released_behind_it() {
    const RECORDS: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { segment_bytes: 50_000, ..settings(&dir) };
    let journal = Journal::open(&settings).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..RECORDS {
                let durable = number.is_multiple_of(200);
                let append = if durable { Journal::append_durable } else { Journal::append };
                append(&journal, &record(number)).unwrap();
            }
        });
        let mut reader = journal.reader(0).unwrap();
        let mut expected = 0;
        while expected < RECORDS {
            while !reader.wait(LONG) {}
            while let Some((position, bytes)) = reader.read().unwrap() {
                assert_eq!((position, bytes), (expected, &record(expected)[..]));
                expected += 1;
                if expected.is_multiple_of(1000) {
                    journal.release(expected).unwrap();
                }
            }
        }
    });
    assert!(journal.status().first > RECORDS / 2);
}

#[test]
fn records_of_many_threads_are_all_there_and_in_their_order() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..EACH {
                    let durable = number.is_multiple_of(50);
                    let bytes = (thread << 32 | number).to_le_bytes();
                    let append = if durable { Journal::append_durable } else { Journal::append };
                    append(journal, &bytes).unwrap();
                }
            });
        }
    });
    journal.close().unwrap();
    let mut next = [0; THREADS as usize];
    let mut reader = journal.reader(0).unwrap();
    while let Some((_, bytes)) = reader.read().unwrap() {
        let value = u64::from_le_bytes(bytes.try_into().unwrap());
        let next = &mut next[(value >> 32) as usize];
        assert_eq!(value & 0xffff_ffff, *next);
        *next += 1;
    }
    assert_eq!(next, [EACH; THREADS as usize]);
}
