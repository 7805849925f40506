//! A process that appends is killed at random moments, over and over, in one folder.
//!
//! The kernel outlives it, so this is about the journal's own order of things; power failures are
//! tested with a disk that forgets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

/// Tells the other process which folder and which round.
const FOLDER: &str = "SKEP_JOURNAL_TEST_FOLDER";
const ROUND: &str = "SKEP_JOURNAL_TEST_ROUND";

/// Threads that wait for the disk, and the number of the one that rarely does.
const DURABLE_THREADS: u64 = 3;

/// Appends from several threads and says what it was promised, `count` times in each thread.
///
/// A line is whether the record is durable, its position, thread and number.
fn append_and_tell(folder: &Path, round: u64, count: u64, out: fn(&str)) {
    let commit_interval = Duration::from_millis(round % 3);
    let journal = Journal::open(&JournalSettings { commit_interval, ..settings(folder) }).unwrap();
    let tell = |kind: char, position: u64, thread: u64, number: u64| {
        out(&format!("\n{kind} {position} {thread} {number}\n"));
    };
    std::thread::scope(|scope| {
        for thread in 0..DURABLE_THREADS {
            let (journal, tell) = (&journal, &tell);
            scope.spawn(move || {
                for number in 0..count {
                    let bytes = record(round, thread, number);
                    let position = journal.append_durable(&bytes).unwrap();
                    tell('D', position, thread, number);
                }
            });
        }
        for number in 0..count {
            let bytes = record(round, DURABLE_THREADS, number);
            let position = journal.append(&bytes).unwrap();
            tell('A', position, DURABLE_THREADS, number);
            if number % 100 == 99 {
                journal.wait_durable(position).unwrap();
            }
        }
    });
}

/// Prints in one write, past the test harness: what comes is whole, or has no line break.
fn print(line: &str) {
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// What is killed: the parent starts this test in a process of its own. Without a parent it
/// appends for itself, a little.
#[test]
fn appender() {
    match (std::env::var_os(FOLDER), std::env::var(ROUND)) {
        (Some(folder), Ok(round)) => {
            append_and_tell(Path::new(&folder), round.parse().unwrap(), u64::MAX, print);
        }
        _ => {
            let dir = tempfile::tempdir().unwrap();
            append_and_tell(dir.path(), 0, 10, |_| {});
            let journal = Journal::open(&settings(dir.path())).unwrap();
            assert_eq!(read_all(&journal, 0).len() as u64, 10 * (DURABLE_THREADS + 1));
        }
    }
}

/// A promise that a process printed.
struct Promise {
    durable: bool,
    position: u64,
    thread: u64,
    number: u64,
}

fn promise(line: &str) -> Option<Promise> {
    let mut words = line.split(' ');
    let kind = words.next().filter(|word| ["A", "D"].contains(word))?;
    let mut number = || words.next()?.parse::<u64>().ok();
    Some(Promise {
        durable: kind == "D",
        position: number()?,
        thread: number()?,
        number: number()?,
    })
}

/// Starts a process, kills it after a random number of durable records, and returns what it had
/// promised.
fn run_and_kill(folder: &Path, round: u64, rng: &mut fastrand::Rng) -> Vec<Promise> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::appender", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let wanted_max = 1 << rng.u32(1..10);
    let wanted = rng.usize(0..wanted_max);
    let mut durable = 0;
    let mut promises = Vec::new();
    let mut line = String::new();
    let mut killed = false;
    while output.read_line(&mut line).unwrap() > 0 {
        // A line without its end was not printed whole.
        if line.ends_with('\n') {
            promises.extend(promise(line.trim_end()));
            durable += usize::from(line.starts_with('D'));
        }
        line.clear();
        if durable > wanted && !killed {
            for _ in 0..rng.u32(0..50_000) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(killed, "the process ended before it was killed");
    child.wait().unwrap();
    promises
}

/// What is known of the journal after a round.
#[derive(Default)]
struct Known {
    /// The records from `first` on, as they were when the journal was opened last.
    first: u64,
    records: Vec<Vec<u8>>,
    cut_tails: u32,
    promised: usize,
    unconfirmed: usize,
}

impl Known {
    fn check(&mut self, folder: &Path, round: u64, promises: &[Promise], rng: &mut fastrand::Rng) {
        let journal = Journal::open(&settings(folder)).unwrap();
        assert_eq!(journal.recovery().damage, None);
        self.cut_tails += u32::from(journal.recovery().cut_bytes > 0);
        let status = journal.status();
        assert_eq!(status.first, self.first);
        let records = read_all(&journal, self.first);
        // What was there before is there again, and the rest is of this round.
        assert_eq!(records[..self.records.len()], self.records[..]);
        let mut next = BTreeMap::new();
        for bytes in &records[self.records.len()..] {
            let (of_round, thread, number) = parse(bytes);
            let next = next.entry(thread).or_insert(0);
            assert_eq!((of_round, number), (round, *next), "thread {thread}");
            *next += 1;
        }
        for promise in promises {
            let at = (promise.position - self.first) as usize;
            match records.get(at) {
                Some(bytes) => {
                    assert_eq!(parse(bytes), (round, promise.thread, promise.number));
                }
                None => assert!(!promise.durable, "record {} is lost", promise.position),
            }
        }
        self.promised += promises.iter().filter(|promise| promise.durable).count();
        self.unconfirmed += promises.iter().filter(|promise| !promise.durable).count();
        let applied = rng.u64(self.first..=status.next);
        journal.release(applied).unwrap();
        let first = journal.status().first;
        assert!(first <= applied);
        self.records = records[(first - self.first) as usize..].to_vec();
        self.first = first;
    }
}

fn kill_over_and_over(rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for round in 0..rounds {
        let seed = fastrand::u64(..);
        eprintln!("round {round}, seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let promises = run_and_kill(dir.path(), round, &mut rng);
        known.check(dir.path(), round, &promises, &mut rng);
    }
    eprintln!(
        "{rounds} rounds: {} durable promises kept, {} others made, {} torn tails cut, \
         {} records released, {} left",
        known.promised,
        known.unconfirmed,
        known.cut_tails,
        known.first,
        known.records.len()
    );
    assert!(known.promised > 0 && known.unconfirmed > 0);
}

#[test]
fn killed_process_loses_nothing_that_was_promised() {
    kill_over_and_over(10);
}

#[test]
#[ignore = "takes long"]
fn process_killed_two_hundred_times_loses_nothing_that_was_promised() {
    kill_over_and_over(200);
}
