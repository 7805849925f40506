//! A file system that is really full: a small tmpfs, which takes root to mount.
//!
//! Other failures of disks are tested with a disk that fails when it is told to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use skep_store::AppendError;
use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// A file system of 1 MiB that is unmounted in the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]).arg(dir.path());
        let status = mount.status().expect("mount can be run");
        assert!(status.success(), "cannot mount a tmpfs: this test must run as root");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.path()).status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()));
    }
}

fn small(disk: &SmallDisk) -> JournalSettings {
    JournalSettings {
        commit_interval: Duration::ZERO,
        retry_interval: Duration::from_millis(1),
        segment_bytes: 100 << 10,
        ..JournalSettings::new(disk.path().join("journal"), 1)
    }
}

/// Appends until the disk is full; returns how many records are in the journal or on their way.
fn append_until_full(journal: &Journal, mut next: u64) -> u64 {
    loop {
        match journal.append_durable(&record(0, 0, next)) {
            Ok(position) => assert_eq!(position, next),
            Err(AppendError::Unconfirmed { position, kind }) => {
                assert_eq!((position, kind), (next, ErrorKind::StorageFull));
                return next + 1;
            }
            Err(error) => panic!("{error}"),
        }
        next += 1;
    }
}

fn check(journal: &Journal, records: u64, from: u64) {
    let read = read_all(journal, from);
    assert_eq!(read.len() as u64, records - from);
    for (bytes, number) in read.iter().zip(from..) {
        assert_eq!(parse(bytes), (0, 0, number));
    }
}

fn fill(disk: &SmallDisk) -> PathBuf {
    let path = disk.path().join("ballast");
    fs::write(&path, vec![0; 300 << 10]).unwrap();
    path
}

#[test]
fn full_disk_is_told_and_room_ends_it() {
    let disk = SmallDisk::new();
    let ballast = fill(&disk);
    let journal = Journal::open(&small(&disk)).unwrap();
    let records = append_until_full(&journal, 0);
    assert!(records > 300, "{records}");
    let refused = AppendError::Disk { kind: ErrorKind::StorageFull };
    for _ in 0..10 {
        assert_eq!(journal.append(b"refused"), Err(refused));
    }
    let status = journal.status();
    assert_eq!((status.durable, status.next, status.refused), (records - 1, records, 10));
    assert_eq!(status.failing, Some(ErrorKind::StorageFull));
    // Reading goes on meanwhile.
    check(&journal, records - 1, 0);
    let reader = journal.reader(records - 1).unwrap();
    fs::remove_file(ballast).unwrap();
    while !reader.wait(LONG) {}
    assert_eq!(journal.status().failing, None);
    let more = append_until_full(&journal, records);
    assert!(more > records);
    // Nor does closing lose what was promised, though it cannot write the rest.
    let lost = journal.close().unwrap_err();
    assert_eq!((lost.records, lost.kind), (1, ErrorKind::StorageFull));
    drop(journal);
    let journal = Journal::open(&small(&disk)).unwrap();
    check(&journal, more - 1, 0);
}

#[test]
fn releasing_what_was_applied_makes_room_by_itself() {
    let disk = SmallDisk::new();
    let journal = Journal::open(&small(&disk)).unwrap();
    let mut records = 0;
    for _ in 0..5 {
        records = append_until_full(&journal, records);
        let first = journal.status().first;
        check(&journal, records - 1, first);
        let reader = journal.reader(records - 1).unwrap();
        journal.release(records - 1).unwrap();
        while !reader.wait(LONG) {}
    }
    let first = journal.status().first;
    assert!(first > records / 2);
    drop(journal);
    check(&Journal::open(&small(&disk)).unwrap(), records, first);
}

#[test]
fn journal_opens_on_a_full_disk() {
    let disk = SmallDisk::new();
    let journal = Journal::open(&small(&disk)).unwrap();
    let records = append_until_full(&journal, 0) - 1;
    assert!(journal.close().is_err());
    drop(journal);
    let mut fills = fs::File::create(disk.path().join("ballast")).unwrap();
    while std::io::Write::write(&mut fills, &[0; 4096]).is_ok_and(|count| count > 0) {}
    let journal = Journal::open(&small(&disk)).unwrap();
    check(&journal, records, 0);
    let error = journal.append_durable(&record(0, 0, records)).unwrap_err();
    assert!(matches!(error, AppendError::Unconfirmed { .. }), "{error}");
}
