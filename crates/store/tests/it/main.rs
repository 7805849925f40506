//! Tests of what needs another process, another file system or a server.
//!
//! What needs neither is tested where it is written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

// Servers are started as Debian has them.
#[cfg(target_os = "linux")]
mod databases;
// Other systems have no file system of a given size that is mounted in a moment.
#[cfg(target_os = "linux")]
mod full;
mod kill;
#[cfg(target_os = "linux")]
#[path = "../servers/mod.rs"]
#[allow(dead_code, reason = "benchmarks need more of it")]
mod servers;

use skep_store::{Journal, JournalSettings};

/// A record of a thread: its round, its number there and a filling that follows from both.
fn record(round: u64, thread: u64, number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [round, thread, number] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let mut rng = fastrand::Rng::with_seed(round << 48 ^ thread << 40 ^ number);
    // Long ones too, since a short write is hardly ever torn.
    let filling_max = if number % 40 == 39 { 60_000 } else { 200 };
    bytes.resize(bytes.len() + rng.usize(..filling_max), 0);
    rng.fill(&mut bytes[24..]);
    bytes
}

/// Round, thread and number of a record whose filling is right.
fn parse(bytes: &[u8]) -> (u64, u64, u64) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (round, thread, number) = (word(0), word(8), word(16));
    assert_eq!(bytes, record(round, thread, number));
    (round, thread, number)
}

/// Every record from `from` on; positions have no gaps.
fn read_all(journal: &Journal, from: u64) -> Vec<Vec<u8>> {
    let mut reader = journal.reader(from).unwrap();
    let mut records = Vec::new();
    while let Some((position, bytes)) = reader.read().unwrap() {
        assert_eq!(position, from + records.len() as u64);
        records.push(bytes.to_vec());
    }
    records
}

fn settings(folder: &std::path::Path) -> JournalSettings {
    JournalSettings { segment_bytes: 256 << 10, ..JournalSettings::new(folder, 1) }
}
