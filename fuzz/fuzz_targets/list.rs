//! Torrent lists that operators write: whatever is in them, the good lines are read and the bad counted.
//!
//! Checks that nothing panics and that what was read says the same when it is written down again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_store::{Entry, PROBLEMS_KEPT_MAX, parse_list};

fuzz_target!(|text: &[u8]| {
    let list = parse_list(text).expect("reading from memory does not fail");
    let lines = text.split(|&byte| byte == b'\n').count();
    assert!(list.entries.len() + list.problem_count as usize <= lines);
    let kept = (list.problem_count as usize).min(PROBLEMS_KEPT_MAX);
    assert_eq!(list.problems.len(), kept);
    for problem in &list.problems {
        assert!((1..=lines as u64).contains(&problem.line));
        assert!(problem.to_string().chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    }
    let written: String = list.entries.iter().map(line).collect();
    let again = parse_list(written.as_bytes()).expect("reading from memory does not fail");
    assert_eq!(again.problems, []);
    assert_eq!(again.entries, list.entries);
});

fn line(entry: &Entry) -> String {
    let name = entry.name.as_deref().unwrap_or_default();
    match (&entry.banned, name) {
        (Some(reason), _) => format!("{}\t{name}\tbanned:{reason}\n", entry.info_hash),
        (None, "") => format!("{}\n", entry.info_hash),
        (None, _) => format!("{}\t{name}\n", entry.info_hash),
    }
}
