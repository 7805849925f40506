//! What an append costs its caller and how many records a second the disk gets:
//! `cargo bench -p skep-store --bench journal [folder]`.
//!
//! Prints figures and asserts none. Without a folder it uses the one for temporary files, whose
//! disk is then what is measured.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use skep_store::{AppendError, Journal, JournalSettings};

const RECORD: [u8; 100] = [0x5a; 100];

fn main() {
    let folder = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("skep-journal-bench-{}", std::process::id()));
    callers(&folder, 1);
    callers(&folder, 2);
    for interval_ms in [0, 10, 50] {
        sustained(&folder, Duration::from_millis(interval_ms));
    }
    for threads in [1, 8, 64] {
        durable(&folder, threads);
    }
    reading(&folder);
}

fn open(folder: &Path, commit_interval: Duration) -> Journal {
    let settings = JournalSettings { commit_interval, ..JournalSettings::new(folder, 1) };
    Journal::open(&settings).unwrap()
}

/// Time an append takes while the queue has room and the writer works at its usual interval.
fn callers(folder: &Path, threads: usize) {
    const ROUNDS: u64 = 20;
    const EACH: u64 = 50_000;
    let mut total = Duration::ZERO;
    for _ in 0..ROUNDS {
        let journal = open(folder, Duration::from_millis(50));
        // The buffers are there after a while; so they are here.
        fill(&journal, EACH);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        journal.append(&RECORD).unwrap();
                    }
                });
            }
        });
        total += start.elapsed();
        drop(journal);
        std::fs::remove_dir_all(folder).unwrap();
    }
    let each_ns = total.as_nanos() as f64 / (ROUNDS * EACH) as f64;
    println!("append, {threads} threads: {each_ns:.0} ns each for a thread");
}

fn fill(journal: &Journal, records: u64) {
    let mut last = 0;
    for _ in 0..records {
        last = journal.append(&RECORD).unwrap();
    }
    journal.wait_durable(last).unwrap();
}

/// Records a second from one thread that appends whenever there is room, until all are on the disk.
fn sustained(folder: &Path, interval: Duration) {
    const RECORDS: u64 = 5_000_000;
    let journal = open(folder, interval);
    let start = Instant::now();
    let mut last = 0;
    for _ in 0..RECORDS {
        last = loop {
            match journal.append(&RECORD) {
                Ok(position) => break position,
                Err(AppendError::QueueFull) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        if last % 500_000 == 0 {
            journal.release(last.saturating_sub(1_000_000)).unwrap();
        }
    }
    journal.wait_durable(last).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let status = journal.status();
    println!(
        "sustained, interval {interval:?}: {:.0} records/s, {:.0} MB/s, {:.0} syncs/s",
        RECORDS as f64 / seconds,
        RECORDS as f64 * 102.0 / seconds / 1e6,
        status.commits as f64 / seconds
    );
    drop(journal);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Records a second of threads that each wait for the disk every time.
fn durable(folder: &Path, threads: usize) {
    let journal = open(folder, Duration::from_millis(50));
    let start = Instant::now();
    let end = start + Duration::from_secs(2);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end {
                    journal.append_durable(&RECORD).unwrap();
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let status = journal.status();
    println!(
        "append_durable, {threads} threads: {:.0} records/s, {:.0} syncs/s, {:.2} ms each",
        status.durable as f64 / seconds,
        status.commits as f64 / seconds,
        seconds * 1e3 * threads as f64 / status.durable as f64
    );
    drop(journal);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Records a second that a reader gets, and the time that opening takes.
fn reading(folder: &Path) {
    const RECORDS: u64 = 600_000;
    let journal = open(folder, Duration::ZERO);
    for _ in 0..RECORDS / 50_000 {
        fill(&journal, 50_000);
    }
    drop(journal);
    let start = Instant::now();
    let journal = open(folder, Duration::ZERO);
    println!("opening with a segment of 61 MB: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let mut reader = journal.reader(0).unwrap();
    let mut records = 0;
    while reader.read().unwrap().is_some() {
        records += 1;
    }
    println!("reading: {:.0} records/s", f64::from(records) / start.elapsed().as_secs_f64());
    drop(journal);
    std::fs::remove_dir_all(folder).unwrap();
}
