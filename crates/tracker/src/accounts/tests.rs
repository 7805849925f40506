//! From the sink to a storage that fails when it is told to: each record once, in order, none silently
//! lost.
//!
//! Real storages, real clients and a process that is killed are in the tests of the program.

mod decisions;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use skep_engine::ledger::{
    Delta, Family, Scope, SessionState, Spent, Sums, TorrentId, Traffic, UserId,
};
use skep_engine::site::{Change, FactorId};
use skep_engine::swarm::SwarmSettings;
use skep_engine::{Seed, Tick};
use skep_proto::PeerId;
use skep_store::driver::{Batch, Conn, DriverError, Record, Totals};
use skep_store::{Journal, JournalSettings};
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::runtime::clock::Clock;
use crate::shards::MemoryStore;

/// What goes wrong with the next calls that apply something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mishap {
    /// The connection ends before the transaction.
    Before,
    /// The connection ends after the transaction, before its answer.
    After,
}

/// A storage in memory.
#[derive(Default)]
struct Shelf {
    applied: Option<u64>,
    records: Vec<(u64, Record)>,
    sessions: Vec<Record>,
    batches: usize,
    mishaps: Vec<Mishap>,
    /// Users whose records are refused.
    refused: Vec<u32>,
}

#[derive(Default)]
struct Shelves(Mutex<Shelf>);

impl Conn for Shelves {
    fn load(&self, _: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        Ok(())
    }

    fn load_sessions(
        &self,
        _: u64,
        _: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        self.0.lock().sessions.iter().copied().for_each(take);
        Ok(())
    }

    fn applied(&self, _: u64) -> Result<Option<u64>, DriverError> {
        Ok(self.0.lock().applied)
    }

    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        let mut shelf = self.0.lock();
        let mishap = shelf.mishaps.pop();
        let lost = || DriverError::Unavailable("the connection is lost".to_owned());
        if mishap == Some(Mishap::Before) {
            return Err(lost());
        }
        if let Some(applied) = shelf.applied.filter(|&applied| applied != batch.from()) {
            return Err(DriverError::OutOfOrder { applied, from: batch.from() });
        }
        if batch.records().iter().any(|record| shelf.refused.contains(&user(record))) {
            return Err(DriverError::Refused("no such user".to_owned()));
        }
        let records = (batch.from()..).zip(batch.records().iter().copied());
        shelf.records.extend(records);
        shelf.applied = Some(batch.until());
        shelf.batches += 1;
        if mishap == Some(Mishap::After) { Err(lost()) } else { Ok(()) }
    }

    fn change(&self, _: &[Change]) -> Result<(), DriverError> {
        Ok(())
    }

    fn totals(&self, _: Totals) -> Result<Sums, DriverError> {
        Ok(Sums::default())
    }

    fn ping(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

const fn user(record: &Record) -> u32 {
    record.delta.session.user.0
}

fn delta(user: u32, uploaded_bytes: u64) -> Delta {
    let traffic = Traffic { uploaded_bytes, downloaded_bytes: 0 };
    let session = SessionState {
        torrent: TorrentId(1),
        user: UserId(user),
        peer_id: PeerId([7; 20]),
        peer_key: 0,
        counters: traffic,
        corrupt_bytes: 0,
        family: Family::Ipv4,
        seeds: false,
        open: true,
        pass_counted: false,
    };
    Delta { raw: traffic, credited: traffic, ..Record::of_session(session, 0, None).delta }
}

struct Setup {
    dir: TempDir,
    shelves: Arc<Shelves>,
    clock: Clock,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, shelves: Arc::default(), clock: Clock::start() }
    }

    fn settings(&self) -> AccountsSettings {
        let journal = JournalSettings {
            commit_interval: Duration::ZERO,
            segment_bytes: 2000,
            ..JournalSettings::new(self.dir.path().join("journal"), 7)
        };
        AccountsSettings {
            journal,
            data_dir: self.dir.path().to_owned(),
            durable_events: true,
            batch_records_max: 64,
            skip_until: 0,
        }
    }

    fn open(&self) -> Result<Accounts, AccountsError> {
        Accounts::open(self.shelves.clone(), self.settings(), &self.clock)
    }

    fn started(&self) -> Accounts {
        let accounts = self.open().unwrap();
        accounts.start().unwrap();
        accounts
    }

    fn shelf<T>(&self, look: impl FnOnce(&mut Shelf) -> T) -> T {
        look(&mut self.shelves.0.lock())
    }

    /// Waits until the storage has as many records as were taken.
    fn settle(&self, accounts: &Accounts) {
        until(|| self.shelf(|it| it.applied) == Some(accounts.status().journal().next));
    }

    fn users(&self) -> Vec<(u64, u32)> {
        self.shelf(|it| it.records.iter().map(|(at, record)| (*at, user(record))).collect())
    }

    fn write(&self, records: &[&[u8]]) {
        let journal = Journal::open(&self.settings().journal).unwrap();
        for bytes in records {
            journal.append_durable(bytes).unwrap();
        }
    }
}

fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn take(accounts: &Accounts, users: std::ops::Range<u32>) {
    for user in users {
        accounts.sink().take(&delta(user, u64::from(user)), None).unwrap();
    }
}

fn expected(users: std::ops::Range<u32>) -> Vec<(u64, u32)> {
    users.map(|user| (u64::from(user), user)).collect()
}

#[test]
fn deltas_are_applied_once_and_in_order_over_restarts() {
    let setup = Setup::new();
    for round in 0..4 {
        let accounts = setup.started();
        take(&accounts, round * 500..round * 500 + 500);
        accounts.stop();
    }
    assert_eq!(setup.users(), expected(0..2000));
    let accounts = setup.started();
    take(&accounts, 2000..2001);
    setup.settle(&accounts);
    let journal = accounts.status().journal();
    assert!(journal.first >= 1500, "what was applied is released: {journal:?}");
    let counts = accounts.status().counts();
    assert_eq!(counts.applied.load(std::sync::atomic::Ordering::Relaxed), 2001);
}

#[test]
fn records_that_wait_are_applied_together() {
    let setup = Setup::new();
    let bytes = Record { at_unix_secs: 1, endpoint: None, delta: delta(1, 1) }.encode();
    setup.write(&[&*bytes; 200]);
    let accounts = setup.started();
    setup.settle(&accounts);
    assert_eq!(setup.shelf(|it| it.batches), 4, "of 64, 64, 64 and 8");
}

#[test]
fn a_storage_that_goes_away_gets_each_record_once() {
    use Mishap::{After, Before};
    let setup = Setup::new();
    setup.shelf(|it| it.mishaps = vec![After, Before, After, Before, Before, After]);
    let accounts = setup.started();
    take(&accounts, 0..100);
    until(|| accounts.status().counts().failures.load(std::sync::atomic::Ordering::Relaxed) > 1);
    take(&accounts, 100..200);
    setup.settle(&accounts);
    until(|| !accounts.status().is_stuck());
    assert_eq!(setup.users(), expected(0..200));
    assert!(accounts.status().troubles().is_empty());
}

#[test]
fn a_storage_that_another_writes_to_with_the_same_journal_is_told_and_left_alone() {
    let setup = Setup::new();
    let accounts = setup.started();
    take(&accounts, 0..10);
    setup.settle(&accounts);
    setup.shelf(|it| it.applied = Some(3));
    take(&accounts, 10..20);
    until(|| accounts.status().is_stuck());
    let told = accounts.status().troubles().remove(0);
    assert!(told.contains("up to position 3 of this journal"), "{told}");
    assert!(told.contains("this tracker is at 10"), "{told}");
    accounts.stop();
    assert_eq!(setup.users(), expected(0..10));
}

#[test]
fn trouble_with_the_storage_is_told_and_stopping_loses_nothing() {
    let setup = Setup::new();
    setup.shelf(|it| it.mishaps = vec![Mishap::Before; 1000]);
    let accounts = setup.started();
    take(&accounts, 0..10);
    until(|| accounts.status().is_stuck());
    let told = accounts.status().troubles();
    let text =
        "nothing is applied to the storage: the storage is not available: the connection is lost";
    assert_eq!(told, [text]);
    accounts.stop();
    drop(accounts);
    assert!(setup.users().is_empty());
    setup.shelf(|it| it.mishaps.clear());
    let accounts = setup.started();
    setup.settle(&accounts);
    assert_eq!(setup.users(), expected(0..10));
}

#[test]
fn a_record_that_is_refused_is_kept_in_a_file_and_the_others_are_applied() {
    let setup = Setup::new();
    setup.shelf(|it| it.refused = vec![3, 40, 41]);
    let encoded: Vec<_> = (0..64)
        .map(|user| Record { at_unix_secs: 9, endpoint: None, delta: delta(user, 5) }.encode())
        .collect();
    setup.write(&encoded.iter().map(|it| &**it).collect::<Vec<_>>());
    let accounts = setup.started();
    setup.settle(&accounts);
    let wanted = expected(0..64).into_iter().filter(|(_, user)| ![3, 40, 41].contains(user));
    assert_eq!(setup.users(), wanted.collect::<Vec<_>>());
    let text = fs::read_to_string(setup.dir.path().join(REFUSED_FILE)).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[1]["position"], &lines[1]["user"]), (&40.into(), &40.into()));
    assert_eq!(
        (&lines[1]["uploaded_bytes"], &lines[1]["reason"]),
        (&5.into(), &"no such user".into())
    );
    let hex: String = encoded[40].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(lines[1]["bytes"], hex);
}

#[test]
fn a_storage_that_refuses_everything_is_not_taken_at_its_word() {
    let setup = Setup::new();
    setup.shelf(|it| it.refused = (0..100).collect());
    let accounts = setup.started();
    take(&accounts, 0..20);
    until(|| accounts.status().is_stuck());
    let aside = || fs::read_to_string(setup.dir.path().join(REFUSED_FILE)).unwrap().lines().count();
    assert_eq!(aside(), 8);
    let told = accounts.status().troubles().remove(0);
    assert!(told.contains("journal.skip_until = 9 keeps"), "{told}");
    // The operator repairs the storage, but for two users that are really gone.
    accounts.skip_until(10);
    setup.shelf(|it| it.refused = vec![8, 9]);
    setup.settle(&accounts);
    assert_eq!(aside(), 10);
    assert_eq!(setup.users(), expected(0..20).split_off(10));
}

fn damage(folder: &Path, name: &str) {
    let path = folder.join("journal").join(name);
    let mut bytes = fs::read(&path).unwrap();
    // Within the records of the first batch.
    bytes[80] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_behind_damage_is_applied_until_an_operator_gives_it_up() {
    let setup = Setup::new();
    for user in 0..3 {
        let bytes = Record { at_unix_secs: 9, endpoint: None, delta: delta(user, 5) }.encode();
        setup.write(&[&*bytes]);
    }
    damage(setup.dir.path(), "00000000000000000000.journal");
    let accounts = setup.started();
    until(|| accounts.status().is_stuck());
    let told = accounts.status().troubles().remove(0);
    assert!(told.contains("1 records of the journal from position 0"), "{told}");
    assert!(told.contains("journal.skip_until = 1 gives them up"), "{told}");
    assert!(setup.users().is_empty());
    // New records are taken meanwhile.
    take(&accounts, 3..5);
    accounts.skip_until(1);
    setup.settle(&accounts);
    assert_eq!(setup.users(), expected(1..5));
    assert!(setup.dir.path().join("00000000000000000000.damaged").exists());
    assert!(!accounts.status().is_stuck());
}

#[test]
fn a_record_of_a_newer_version_stops_an_older_tracker() {
    let setup = Setup::new();
    setup.write(&[b"\x63 from the future"]);
    let accounts = setup.started();
    until(|| accounts.status().is_stuck());
    let told = accounts.status().troubles().remove(0);
    assert!(told.contains("version 99"), "{told}");
    accounts.skip_until(1);
    setup.settle(&accounts);
    let text = fs::read_to_string(setup.dir.path().join(REFUSED_FILE)).unwrap();
    assert!(text.contains("632066726f6d"), "{text}");
}

#[test]
fn a_journal_and_a_storage_that_do_not_fit_are_told_at_the_start() {
    let setup = Setup::new();
    let accounts = setup.started();
    // Records that come together go into one segment, and the first ones must be gone.
    for from in (0..200).step_by(20) {
        take(&accounts, from..from + 20);
        setup.settle(&accounts);
    }
    accounts.stop();
    drop(accounts);
    let refusal = |applied| {
        setup.shelf(|it| it.applied = applied);
        setup.open().err().unwrap().to_string()
    };
    assert!(refusal(Some(201)).contains("it is an old copy; move the folder away"));
    let first = {
        let journal = Journal::open(&setup.settings().journal).unwrap();
        journal.status().first
    };
    assert!(refusal(None).contains("but not to this one"));
    let behind = refusal(Some(5));
    assert!(behind.contains(&format!("journal.skip_until = {first} to go on")), "{behind}");
    let settings = AccountsSettings { skip_until: first, ..setup.settings() };
    let accounts = Accounts::open(setup.shelves.clone(), settings, &setup.clock).unwrap();
    accounts.start().unwrap();
    setup.settle(&accounts);
}

#[test]
fn sessions_are_restored_from_the_journal_first() {
    let setup = Setup::new();
    let record = |user, bytes, at| {
        let mut delta = delta(user, bytes);
        delta.spent[0] = Spent { scope: Scope::Token, rule: 9, bytes };
        Record { at_unix_secs: at, endpoint: Some("192.0.2.1:1".parse().unwrap()), delta }
    };
    let tail = [record(1, 10, 100), record(2, 20, 200), record(1, 30, 300)];
    setup.write(&tail.map(|record| record.encode().to_vec()).each_ref().map(|it| &**it));
    setup.shelf(|it| it.sessions = vec![record(3, 7, 90), record(1, 5, 50)]);
    let accounts = setup.open().unwrap();
    let mut taken = Vec::new();
    let mut take = |it: &Remembered| {
        let uploaded = it.state.counters.uploaded_bytes;
        taken.push((it.state.user.0, uploaded, it.at_unix_secs, it.endpoint.unwrap().port()));
        it.at_unix_secs > 50
    };
    let restored = accounts.restore(0, &mut take).unwrap();
    assert_eq!(taken, [(1, 30, 300, 1), (2, 20, 200, 1), (3, 7, 90, 1), (1, 5, 50, 1)]);
    assert_eq!((restored.sessions, restored.unapplied), (3, 3));
    assert_eq!(restored.spent, BTreeMap::from([(FactorId(9), 60)]));
}

#[test]
fn open_sessions_of_torrents_that_are_gone_end_with_the_start() {
    let setup = Setup::new();
    let now = setup.clock.unix_secs_at_start();
    let record = |user, open| {
        let mut delta = delta(user, 10);
        delta.session.open = open;
        Record { at_unix_secs: now, endpoint: None, delta }
    };
    setup.write(&[record(1, false).encode().to_vec()].each_ref().map(|it| &**it));
    setup.shelf(|it| it.sessions = vec![record(1, true), record(2, true), record(3, false)]);
    let accounts = setup.open().unwrap();
    let site = Site::new(&Seed::new(1), &setup.clock);
    let store = MemoryStore::new(&SwarmSettings::default(), Seed::new(2));
    restore_accounts(&accounts, &Config::default(), &site, &store, &setup.clock).unwrap();
    accounts.start().unwrap();
    setup.settle(&accounts);
    let told = setup.shelf(|it| {
        let told = it.records.iter().filter(|(_, record)| record.delta.ended);
        told.map(|(_, it)| (it.delta.session.user.0, it.delta.session.open)).collect::<Vec<_>>()
    });
    assert_eq!(told, [(2, false)]);
}

#[test]
fn replies_wait_for_what_clients_do_not_say_again() {
    let setup = Setup::new();
    let accounts = setup.started();
    let sink = accounts.sink();
    let plain = delta(1, 1);
    assert!(!sink.wants_durable(&plain));
    assert!(sink.wants_durable(&Delta { completed: true, ..plain }));
    let mut stopped = plain;
    stopped.session.open = false;
    assert!(sink.wants_durable(&stopped));
    let at = sink.take(&Delta { at: Tick(5), ..stopped }, None).unwrap();
    assert!(sink.wait_durable(at));
    setup.settle(&accounts);
    let at_unix_secs = setup.shelf(|it| it.records[0].1.at_unix_secs);
    assert_eq!(at_unix_secs, setup.clock.unix_secs_at_start() + 5);
    accounts.stop();
    assert_eq!(sink.take(&plain, None), None);
    assert_eq!(accounts.status().counts().untaken(Untaken::Closed), 1);
}
