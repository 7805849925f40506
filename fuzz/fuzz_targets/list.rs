//! Torrent lists that operators write: whatever is in them, the good lines are read and the bad counted.
//!
//! Checks that nothing panics and that what was read says the same when it is written down again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_store::{Entry, ListReader, PROBLEMS_KEPT_MAX, Skipped};

fuzz_target!(|text: &[u8]| {
    let (entries, list) = read(text);
    let lines = text.split(|&byte| byte == b'\n').count();
    assert!(entries.len() + list.problem_count as usize <= lines);
    let kept = (list.problem_count as usize).min(PROBLEMS_KEPT_MAX);
    assert_eq!(list.problems.len(), kept);
    for problem in &list.problems {
        assert!((1..=lines as u64).contains(&problem.line));
        assert!(problem.to_string().chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    }
    let written: String = entries.iter().map(line).collect();
    let (entries_again, again) = read(written.as_bytes());
    assert_eq!(again.problems, []);
    assert_eq!(entries_again, entries);
});

fn read(text: &[u8]) -> (Vec<Entry>, Skipped) {
    let mut reader = ListReader::new(text);
    let entries = reader.by_ref().collect();
    (entries, reader.finish().expect("reading from memory does not fail"))
}

fn line(entry: &Entry) -> String {
    let name = entry.name.as_deref().unwrap_or_default();
    match (&entry.banned, name) {
        (Some(reason), _) => format!("{}\t{name}\tbanned:{reason}\n", entry.info_hash),
        (None, "") => format!("{}\n", entry.info_hash),
        (None, _) => format!("{}\t{name}\n", entry.info_hash),
    }
}
