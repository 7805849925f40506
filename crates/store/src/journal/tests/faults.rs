//! A disk that fails: nothing that was promised is lost, nothing comes twice, and it is told.
//!
//! Files that were changed behind the journal's back are elsewhere.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn reopened(settings: &JournalSettings, journal: Journal) -> Journal {
    drop(journal);
    Journal::open(settings).unwrap()
}

#[test]
fn short_writes_are_completed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    disk.faults().short_writes = true;
    let journal = open_on(&settings(&dir), &disk);
    append_all(&journal, 0..100);
    assert_eq!(journal.status().write_failures, 0);
    let journal = reopened(&settings(&dir), journal);
    assert_eq!(*journal.recovery(), Recovery::default());
    assert_eq!(read_all(&journal, 0), 100);
}

#[test]
fn after_a_failed_sync_the_records_are_written_again_elsewhere() {
    for (loses, failing_cuts) in [(true, 0), (false, 0), (false, 1), (true, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let journal = open_on(&settings(&dir), &disk);
        append_all(&journal, 0..3);
        {
            let mut faults = disk.faults();
            (faults.failing_syncs, faults.sync_failure_loses) = (1, loses);
            faults.failing_cuts = failing_cuts;
        }
        append_all(&journal, 3..10);
        let status = journal.status();
        assert_eq!((status.write_failures, status.segments, status.failing), (1, 2, None));
        assert_eq!(read_all(&journal, 0), 10);
        assert_eq!(read_all(&reopened(&settings(&dir), journal), 0), 10);
    }
}

#[test]
fn file_whose_sync_failed_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    append_all(&journal, 0..3);
    let old = segment_path(&settings(&dir).folder, 0);
    let confirmed = std::fs::metadata(&old).unwrap().len();
    disk.faults().failing_syncs = 1;
    append_all(&journal, 3..5);
    assert_eq!(std::fs::metadata(&old).unwrap().len(), confirmed);
    assert!(segment_path(&settings(&dir).folder, 3).exists());
}

#[test]
fn first_batch_of_a_segment_may_fail() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    disk.faults().failing_syncs = 1;
    append_all(&journal, 0..5);
    assert_eq!(journal.status().segments, 1);
    assert_eq!(read_all(&reopened(&settings(&dir), journal), 0), 5);
}

#[test]
fn segment_that_cannot_be_begun_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    for (number, renames, folder_syncs) in [(0, 1, 0), (50, 0, 1), (100, 5, 0), (150, 0, 5)] {
        append_all(&journal, number..number + 10);
        {
            let mut faults = disk.faults();
            (faults.failing_renames, faults.failing_folder_syncs) = (renames, folder_syncs);
        }
        for number in number + 10..number + 50 {
            append_until_taken(&journal, number);
        }
    }
    assert_eq!(journal.status().write_failures, 12);
    assert_eq!(read_all(&journal, 0), 200);
    assert_eq!(read_all(&reopened(&settings(&dir), journal), 0), 200);
}

/// Appends a record as a patient caller does; it may be confirmed later.
fn append_until_taken(journal: &Journal, number: u64) {
    loop {
        match journal.append_durable(&record(number)) {
            Ok(position) | Err(AppendError::Unconfirmed { position, .. }) => {
                assert_eq!(position, number);
                return;
            }
            Err(AppendError::Disk { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn disk_that_takes_nothing_is_told_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    append_all(&journal, 0..5);
    disk.faults().room = Some(20);
    let unconfirmed = AppendError::Unconfirmed { position: 5, kind: ErrorKind::StorageFull };
    assert_eq!(journal.append_durable(&record(5)), Err(unconfirmed));
    let refused = AppendError::Disk { kind: ErrorKind::StorageFull };
    assert_eq!(journal.append(b"refused"), Err(refused));
    assert_eq!(journal.append_durable(b"refused"), Err(refused));
    let status = journal.status();
    assert_eq!(status.failing, Some(ErrorKind::StorageFull));
    assert_eq!((status.refused, status.durable, status.next), (2, 5, 6));
    assert!(status.write_failures >= 2);
    // Readers do not see what is not confirmed.
    assert_eq!(read_all(&journal, 0), 5);
    let reader = journal.reader(5).unwrap();
    disk.faults().room = None;
    while !reader.wait(LONG) {}
    assert_eq!(journal.status().failing, None);
    append_all(&journal, 6..10);
    assert_eq!(read_all(&journal, 0), 10);
    let journal = reopened(&settings(&dir), journal);
    assert_eq!(*journal.recovery(), Recovery::default());
    assert_eq!(read_all(&journal, 0), 10);
}

#[test]
fn record_is_not_shown_before_it_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    append_all(&journal, 0..5);
    disk.hold();
    journal.append(&record(5)).unwrap();
    disk.wait_for_sync();
    assert_eq!(read_all(&journal, 0), 5);
    disk.go_on();
    journal.wait_durable(5).unwrap();
    assert_eq!(read_all(&journal, 0), 6);
}

#[test]
fn closing_tells_what_the_disk_did_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let settings = JournalSettings { retry_interval: LONG, ..settings(&dir) };
    let journal = open_on(&settings, &disk);
    append_all(&journal, 0..5);
    disk.hold();
    for number in 5..8 {
        journal.append(&record(number)).unwrap();
    }
    disk.faults().failing_syncs = u32::MAX;
    disk.go_on();
    let kind = io::Error::from_raw_os_error(5).kind();
    assert_eq!(journal.close(), Err(CloseError { records: 3, kind }));
    assert_eq!(journal.wait_durable(7), Err(AppendError::Closed));
    let journal = reopened(&settings, journal);
    assert_eq!(read_all(&journal, 0), 5);
    append_all(&journal, 5..6);
}

#[test]
fn closing_tries_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let settings = JournalSettings { retry_interval: LONG, ..settings(&dir) };
    let journal = open_on(&settings, &disk);
    disk.faults().room = Some(0);
    let kind = ErrorKind::StorageFull;
    let unconfirmed = AppendError::Unconfirmed { position: 0, kind };
    assert_eq!(journal.append_durable(&record(0)), Err(unconfirmed));
    disk.faults().room = None;
    journal.close().unwrap();
    assert_eq!(read_all(&journal, 0), 1);
}

#[test]
fn new_journal_survives_a_power_failure_before_its_first_record() {
    for seed in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let journal = open_on(&settings(&dir), &disk);
        let after = tempfile::tempdir().unwrap();
        disk.power_off(after.path(), &mut fastrand::Rng::with_seed(seed));
        let other = JournalSettings {
            folder: after.path().to_owned(),
            id_if_new: journal.id() + 1,
            ..settings(&dir)
        };
        assert_eq!(Journal::open(&other).unwrap().id(), journal.id());
    }
}

#[test]
fn power_failure_loses_nothing_that_was_promised() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let journal = open_on(&settings(&dir), &disk);
        let promised = AtomicU64::new(0);
        let wanted = rng.u64(1..300);
        let after = tempfile::tempdir().unwrap();
        let after = JournalSettings { folder: after.path().to_owned(), ..settings(&dir) };
        std::fs::create_dir_all(&after.folder).unwrap();
        let safe = thread::scope(|scope| {
            let appender = scope.spawn(|| {
                for number in 0..400 {
                    append_until_taken(&journal, number);
                    promised.store(journal.status().durable, Ordering::SeqCst);
                }
            });
            while promised.load(Ordering::SeqCst) < wanted {
                if rng.u8(..) == 0 {
                    let mut faults = disk.faults();
                    faults.failing_syncs = rng.u32(0..4);
                    faults.failing_folder_syncs = rng.u32(0..2);
                    faults.failing_cuts = rng.u32(0..2);
                    faults.sync_failure_loses = rng.bool();
                }
                thread::yield_now();
            }
            let safe = promised.load(Ordering::SeqCst);
            disk.power_off(&after.folder, &mut rng);
            appender.join().unwrap();
            safe
        });
        let journal = Journal::open(&after).unwrap();
        assert_eq!(journal.recovery().damage, None, "seed {seed}");
        let end = read_all(&journal, 0);
        assert!(end >= safe, "seed {seed}: {safe} promised, {end} left");
        append_all(&journal, end..end + 3);
        drop(journal);
        std::fs::remove_dir_all(&after.folder).unwrap();
    }
}
