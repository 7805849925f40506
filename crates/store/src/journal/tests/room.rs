//! How much a journal takes, for how long callers wait for it, and who may read its files.
//!
//! What it does with a disk that fails is tested elsewhere.

use super::*;

#[test]
fn journal_that_is_long_enough_takes_nothing_until_records_are_released() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JournalSettings { size_bytes_max: 4000, ..settings(&dir) };
    let journal = Journal::open(&settings).unwrap();
    let mut records = 0;
    while !journal.is_short() {
        append_all(&journal, records..records + 1);
        records += 1;
    }
    assert_eq!(journal.append(b"refused"), Err(AppendError::JournalFull));
    let status = journal.status();
    assert!(status.full && status.segment_bytes >= 4000, "{status:?}");
    assert_eq!(status.refused, 1);
    // What must not be refused lightly waits in memory, and gets to the disk all the same.
    assert_eq!(journal.append_held(&record(records)), Ok(records));
    journal.wait_durable(records).unwrap();
    journal.release(records).unwrap();
    assert!(!journal.is_short() && !journal.status().full);
    append_all(&journal, records + 1..records + 2);
    let first = journal.status().first;
    assert_eq!(read_all(&journal, first), records + 2);
}

#[test]
fn records_that_must_not_be_refused_wait_for_the_disk_as_long_as_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let settings = JournalSettings { queue_bytes_max: 1000, ..settings(&dir) };
    let journal = open_on(&settings, &disk);
    append_all(&journal, 0..1);
    disk.faults().failing_syncs = u32::MAX;
    assert!(journal.append_durable(&record(1)).is_err());
    assert!(journal.is_short());
    assert!(matches!(journal.append(&record(2)), Err(AppendError::Disk { .. })));
    let mut next = 2;
    let error = loop {
        match journal.append_held(&record(next)) {
            Ok(position) => assert_eq!(position, next),
            Err(error) => break error,
        }
        next += 1;
    };
    assert!(error == AppendError::QueueFull && next > 10, "{error} after {next} records");
    disk.faults().failing_syncs = 0;
    while journal.wait_durable(next - 1).is_err() {
        thread::yield_now();
    }
    assert!(!journal.is_short());
    assert_eq!(read_all(&journal, 0), next);
}

#[test]
fn waiting_for_a_disk_that_confirms_nothing_ends() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let journal = open_on(&settings(&dir), &disk);
    disk.hold();
    journal.append(&record(0)).unwrap();
    assert_eq!(journal.wait_durable_within(0, Duration::from_millis(1)), Ok(false));
    disk.go_on();
    assert_eq!(journal.wait_durable_within(0, LONG), Ok(true));
}

#[cfg(unix)]
#[test]
fn others_of_the_host_cannot_read_a_journal() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    append_all(&journal, 0..1);
    let folder = settings(&dir).folder;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 2);
}
