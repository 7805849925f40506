//! Files that were cut or changed: tails are cut, damage is told, and no wrong record comes out.
//!
//! What crashes leave is made by hand here; real crashes are in the tests of the crate.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use super::*;

/// Bytes of the segment that begins with position 0.
fn first_segment(dir: &TempDir) -> (PathBuf, Vec<u8>) {
    let path = segment_path(&settings(dir).folder, 0);
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

/// Three batches of one record each, and where each ends.
fn three_batches() -> (TempDir, Vec<usize>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    let mut ends = vec![journal.status().segment_bytes as usize];
    for number in 0..3 {
        append_all(&journal, number..number + 1);
        ends.push(journal.status().segment_bytes as usize);
    }
    (dir, ends)
}

#[test]
fn tail_is_cut_behind_the_last_whole_batch_wherever_it_is_torn() {
    let (dir, ends) = three_batches();
    let (path, bytes) = first_segment(&dir);
    assert_eq!(bytes.len(), ends[3]);
    for length in ends[0]..=bytes.len() {
        for zeros in [0, 1, 40] {
            let mut torn = bytes[..length].to_vec();
            torn.resize(length + zeros, 0);
            fs::write(&path, &torn).unwrap();
            // A zero may stand where the file has one.
            let whole = ends.iter().rposition(|&end| torn.get(..end) == Some(&bytes[..end]));
            let whole = whole.unwrap();
            let journal = Journal::open(&settings(&dir)).unwrap();
            let cut_bytes = (torn.len() - ends[whole]) as u64;
            assert_eq!(*journal.recovery(), Recovery { cut_bytes, damage: None }, "{length}");
            assert_eq!(read_all(&journal, 0), whole as u64);
            append_all(&journal, whole as u64..5);
            assert_eq!(read_all(&journal, 0), 5);
            drop(journal);
            fs::remove_dir_all(&settings(&dir).folder).unwrap();
            fs::create_dir(&settings(&dir).folder).unwrap();
        }
    }
}

#[test]
fn changed_byte_never_makes_a_wrong_record() {
    let (dir, ends) = three_batches();
    let (_, bytes) = first_segment(&dir);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let whole = ends.iter().rposition(|&end| end <= at);
            let Some(whole) = whole else {
                assert!(SegmentReader::open(Cursor::new(&changed)).is_err());
                continue;
            };
            let mut reader = SegmentReader::open(Cursor::new(&changed)).unwrap();
            for number in 0..whole as u64 {
                assert_eq!(reader.next_record().unwrap().unwrap(), (number, &record(number)[..]));
            }
            let (offset, position) = (ends[whole] as u64, whole as u64);
            for _ in 0..2 {
                let error = reader.next_record().unwrap_err();
                assert!(
                    matches!(error, SegmentError::Damaged { offset: o, position: p, .. }
                        if (o, p) == (offset, position)),
                    "{error}"
                );
            }
            assert_eq!(reader.resume().unwrap(), whole < 2);
        }
    }
}

#[test]
fn batch_in_a_place_that_is_not_its_own_is_not_taken_for_one() {
    let (dir, ends) = three_batches();
    let (_, bytes) = first_segment(&dir);
    for moved in [1, 0] {
        let mut changed = bytes[..ends[1]].to_vec();
        changed.resize(ends[2] + moved, 0xff);
        changed.extend_from_slice(&bytes[ends[2]..]);
        let mut reader = SegmentReader::open(Cursor::new(&changed)).unwrap();
        reader.next_record().unwrap();
        reader.next_record().unwrap_err();
        assert_eq!(reader.resume().unwrap(), moved == 0);
    }
}

#[test]
fn damage_in_the_middle_is_told_at_the_start_and_nothing_is_cut() {
    let (dir, ends) = three_batches();
    let (path, mut bytes) = first_segment(&dir);
    bytes[ends[1] + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    let damage = Damage {
        path: path.clone(),
        offset: ends[1] as u64,
        position: 1,
        fault: Fault::BatchChecksum,
    };
    let told = Recovery { cut_bytes: 0, damage: Some(damage.clone()) };
    assert_eq!(*journal.recovery(), told);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    append_all(&journal, 3..6);

    let mut reader = journal.reader(0).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().0, 0);
    for _ in 0..2 {
        let error = reader.read().unwrap_err();
        assert!(matches!(&error, ReadError::Damaged(it) if *it == damage), "{error}");
    }
    assert_eq!(reader.skip_damaged().unwrap(), 1..2);
    assert_eq!(reader.skip_damaged().unwrap(), 2..2);
    for number in 2..6 {
        assert_eq!(reader.read().unwrap().unwrap(), (number, &record(number)[..]));
    }
    assert!(reader.read().unwrap().is_none());
    // Whoever has applied what came before it does not meet it.
    assert_eq!(read_all(&journal, 2), 6);
}

#[test]
fn header_behind_damage_proves_what_was_confirmed() {
    let (dir, ends) = three_batches();
    let (path, mut bytes) = first_segment(&dir);
    bytes[ends[1] + 30] ^= 1;
    // The last batch is torn: its header alone is there.
    bytes.truncate(ends[2] + 28);
    fs::write(&path, &bytes).unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    assert_eq!(journal.recovery().cut_bytes, 28);
    assert_eq!(journal.recovery().damage.as_ref().unwrap().position, 1);
    assert_eq!(journal.status().next, 2);
}

#[test]
fn tail_that_no_crash_explains_is_left_alone() {
    let (dir, ends) = three_batches();
    let (path, mut bytes) = first_segment(&dir);
    bytes.resize(ends[3] + 28 + BATCH_BYTES_MAX, 1);
    fs::write(&path, &bytes).unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    assert_eq!(journal.recovery().damage, None);
    drop(journal);
    bytes.push(1);
    fs::write(&path, &bytes).unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    assert_eq!(journal.recovery().cut_bytes, 0);
    assert_eq!(journal.recovery().damage.as_ref().unwrap().position, 3);
    append_all(&journal, 3..5);
    assert_eq!(read_all(&journal, 0), 5);
}

#[test]
fn damage_in_an_older_segment_is_met_by_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    append_all(&journal, 0..100);
    let second = { journal.shared.lock().segments[1].first };
    let third = { journal.shared.lock().segments[2].first };
    let (path, bytes) = first_segment(&dir);
    let faults: [(&dyn Fn(), u64); 3] = [
        (&|| fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(), second - 1),
        (&|| fs::write(&path, &bytes[..20]).unwrap(), 0),
        (&|| fs::remove_file(&path).unwrap(), 0),
    ];
    for (number, (damage, expected)) in faults.into_iter().enumerate() {
        damage();
        let mut reader = journal.reader(0).unwrap();
        let error = loop {
            match reader.read() {
                Ok(record) => assert!(record.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(reader.position(), expected);
        if number == 2 {
            assert!(matches!(error, ReadError::Io { .. }), "{error}");
            continue;
        }
        assert!(matches!(error, ReadError::Damaged(_)), "{error}");
        assert_eq!(reader.skip_damaged().unwrap(), expected..second);
        assert_eq!(reader.read().unwrap().unwrap().0, second);
    }
    // A segment that is gone since before the start is missed as well.
    fs::write(&path, &bytes).unwrap();
    drop(journal);
    fs::remove_file(segment_path(&settings(&dir).folder, second)).unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    let mut reader = journal.reader(second).unwrap();
    assert!(matches!(reader.read(), Err(ReadError::Damaged(_))));
    assert_eq!(reader.skip_damaged().unwrap(), second..third);
    assert_eq!(reader.read().unwrap().unwrap().0, third);
}

#[test]
fn stranger_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    append_all(&journal, 0..100);
    let other = tempfile::tempdir().unwrap();
    let other_settings = JournalSettings { id_if_new: 8, ..settings(&other) };
    append_all(&Journal::open(&other_settings).unwrap(), 0..100);
    fs::copy(first_segment(&other).0, first_segment(&dir).0).unwrap();
    let error = journal.reader(0).unwrap().read().unwrap_err();
    let ReadError::Damaged(damage) = error else { panic!("{error}") };
    assert_eq!(damage.fault, Fault::Stranger);
}

#[test]
fn newest_segment_without_its_header_stops_the_start() {
    let (dir, _) = three_batches();
    let (path, bytes) = first_segment(&dir);
    let mut other_version = bytes.clone();
    other_version[4] = 2;
    let checksum = crc32fast::hash(&other_version[..28]);
    other_version[28..32].copy_from_slice(&checksum.to_le_bytes());
    for (damaged, expected) in [
        (&bytes[..31], Fault::SegmentHeader),
        (&[][..], Fault::SegmentHeader),
        (&other_version[..], Fault::Version(2)),
    ] {
        fs::write(&path, damaged).unwrap();
        let error = Journal::open(&settings(&dir)).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { fault, .. } if fault == expected), "{error}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
    fs::write(&path, &bytes).unwrap();
    fs::rename(&path, segment_path(&settings(&dir).folder, 9)).unwrap();
    let error = Journal::open(&settings(&dir)).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { fault: Fault::Stranger, .. }), "{error}");
}

#[test]
fn unfinished_segment_is_removed_and_other_files_are_left_alone() {
    let (dir, _) = three_batches();
    let folder = settings(&dir).folder;
    fs::write(folder.join("segment.new"), b"half a head").unwrap();
    fs::write(folder.join("00000000000000000009.journal.bak"), b"a copy").unwrap();
    fs::write(folder.join("9.journal"), b"no name of ours").unwrap();
    let journal = Journal::open(&settings(&dir)).unwrap();
    assert_eq!((journal.status().next, journal.status().segments), (3, 1));
    assert!(!folder.join("segment.new").exists());
    assert!(folder.join("9.journal").exists());
    assert!(folder.join("00000000000000000009.journal.bak").exists());
}
