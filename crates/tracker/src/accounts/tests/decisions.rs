//! Decisions about held traffic that meet a restart, a full journal or a disk that confirms nothing.
//!
//! What they add up to is tested over sockets.

use skep_engine::ledger::Verdict;
use skep_store::driver::Driver as _;
use skep_store::driver::testing::{Failing, Memory};

use super::*;

const TORRENT: TorrentId = TorrentId(1);

/// A folder and a storage that knows of 100 bytes of user 1 that are held.
struct Held {
    setup: Setup,
    memory: Memory,
}

impl Held {
    fn new() -> Self {
        let held = Self { setup: Setup::new(), memory: Memory::new() };
        let accounts = held.started();
        accounts.sink().take(&Delta { held: true, ..delta(1, 100) }, None).unwrap();
        until(|| accounts.status().settled().is_some());
        accounts.stop();
        held
    }

    fn open(&self) -> Accounts {
        let conn = self.memory.open(&skep_store::driver::DriverSettings::default()).unwrap();
        Accounts::open(conn.into(), self.setup.settings(), &self.setup.clock).unwrap()
    }

    fn started(&self) -> Accounts {
        let accounts = self.open();
        accounts.start().unwrap();
        accounts
    }
}

fn release(accounts: &Accounts) -> Result<u64, DecisionError> {
    let decided = accounts.decide(TORRENT, UserId(1), Verdict::Released, Tick(0));
    decided.map(|traffic| traffic.uploaded_bytes)
}

#[test]
fn decision_of_an_earlier_process_is_waited_for() {
    let held = Held::new();
    let before = held.started();
    held.memory.set_failing(Failing::Midway);
    assert_eq!(release(&before).unwrap(), 100);
    before.stop();
    drop(before);
    let after = held.started();
    let refused = release(&after);
    assert!(matches!(refused, Err(DecisionError::Behind)), "{refused:?}");
    held.memory.set_failing(Failing::Never);
    until(|| after.status().settled().is_some());
    assert_eq!(release(&after).unwrap(), 0);
    let sums = held.memory.sums();
    assert_eq!((sums.raw.uploaded_bytes, sums.settled.uploaded_bytes), (100, 100));
    after.stop();
}

#[test]
fn decision_that_is_not_taken_may_be_made_later() {
    let held = Held::new();
    let accounts = held.started();
    held.memory.set_failing(Failing::Away);
    let refused = release(&accounts);
    assert!(matches!(refused, Err(DecisionError::Storage(_))), "{refused:?}");
    held.memory.set_failing(Failing::Never);
    accounts.stop();
    let refused = release(&accounts);
    assert!(matches!(refused, Err(DecisionError::NotTaken)), "{refused:?}");
    drop(accounts);
    let again = held.started();
    assert_eq!(release(&again).unwrap(), 100);
    until(|| again.status().settled().is_some());
    assert_eq!(release(&again).unwrap(), 0);
    again.stop();
}

#[test]
fn decisions_about_others_do_not_wait() {
    let held = Held::new();
    let accounts = held.started();
    accounts.sink().take(&Delta { held: true, ..delta(2, 50) }, None).unwrap();
    until(|| accounts.status().settled().is_some());
    held.memory.set_failing(Failing::Midway);
    assert_eq!(release(&accounts).unwrap(), 100);
    let other = accounts.decide(TORRENT, UserId(2), Verdict::Denied, Tick(0)).unwrap();
    assert_eq!(other.uploaded_bytes, 50);
    held.memory.set_failing(Failing::Never);
    until(|| accounts.status().settled().is_some());
    let sums = held.memory.sums();
    assert_eq!((sums.raw.uploaded_bytes, sums.settled.uploaded_bytes), (100, 150));
    accounts.stop();
}
