//! The battery run on storages with a fault each: every fault must be caught.
//!
//! The storage without a fault is the one in memory, which must pass.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use skep_engine::ledger::Sums;

use super::*;
use crate::driver::testing::{Failing, Memory};
use crate::driver::{DriverError, Totals};

fn failing(on: bool) -> Failing {
    if on { Failing::Midway } else { Failing::Never }
}

crate::battery!(breaking: {
    let memory = Memory::new();
    let other = memory.clone();
    Subject::new(move || Box::new(memory.clone())).breaking(move |on| other.set_failing(failing(on)))
});

/// What a driver may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    AddsABatchTwice,
    TellsNobodyOfABatchTwice,
    LeavesOutRecordsBetweenBatches,
    LooksAtThePositionTooEarly,
    NotesNoPosition,
    NotesThePositionOfTheFirstRecord,
    ForgetsPositions,
    CutsJournalsTo63Bits,
    SharesAPosition,
    BeginsEachJournalAt0,
    RefusesEmptyBatches,
    KeepsHalfOfABatch,
    CutsLongCalls,
    ChangesOneByOne,
    ChangesInAnyOrder,
    TakesPasskeysAway,
    AllowsAPasskeyTwice,
    AllowsOneUserWithoutPasskey,
    FoldsPasskeys,
    TrimsTexts,
    CutsTexts,
    ReadsEmptyNamesAsNone,
    KeepsOldFields,
    SwapsFactors,
    CutsNumbers,
    WidensBans,
    KeepsMembersOfRemovedGroups,
    KeepsRemovedClients,
    AddsHeldTraffic,
    SwapsUpAndDown,
    LosesCompletions,
    LosesActiveTime,
    LosesSettledTraffic,
    Wraps,
    MixesUpPassages,
    NeedsTheUser,
    RemovesSumsWithTheUser,
    LeavesBudgets,
    LetsBudgetsWrap,
    CutsCounters,
    LosesCorruptCounters,
    LosesPeerKeys,
    LosesPasses,
    LosesIpv6,
    OpensEndedSessions,
    ForgetsSessions,
    KeepsTheFirstState,
    SortsSessionsTheOtherWay,
    HandsOverOldSessions,
    ForgetsOneSessionMore,
}

use Fault::*;

const FAULTS: [Fault; 50] = [
    AddsABatchTwice,
    TellsNobodyOfABatchTwice,
    LeavesOutRecordsBetweenBatches,
    LooksAtThePositionTooEarly,
    NotesNoPosition,
    NotesThePositionOfTheFirstRecord,
    ForgetsPositions,
    CutsJournalsTo63Bits,
    SharesAPosition,
    BeginsEachJournalAt0,
    RefusesEmptyBatches,
    KeepsHalfOfABatch,
    CutsLongCalls,
    ChangesOneByOne,
    ChangesInAnyOrder,
    TakesPasskeysAway,
    AllowsAPasskeyTwice,
    AllowsOneUserWithoutPasskey,
    FoldsPasskeys,
    TrimsTexts,
    CutsTexts,
    ReadsEmptyNamesAsNone,
    KeepsOldFields,
    SwapsFactors,
    CutsNumbers,
    WidensBans,
    KeepsMembersOfRemovedGroups,
    KeepsRemovedClients,
    AddsHeldTraffic,
    SwapsUpAndDown,
    LosesCompletions,
    LosesActiveTime,
    LosesSettledTraffic,
    Wraps,
    MixesUpPassages,
    NeedsTheUser,
    RemovesSumsWithTheUser,
    LeavesBudgets,
    LetsBudgetsWrap,
    CutsCounters,
    LosesCorruptCounters,
    LosesPeerKeys,
    LosesPasses,
    LosesIpv6,
    OpensEndedSessions,
    ForgetsSessions,
    KeepsTheFirstState,
    SortsSessionsTheOtherWay,
    HandsOverOldSessions,
    ForgetsOneSessionMore,
];

struct Faulty {
    memory: Memory,
    fault: Fault,
    /// Whether it was opened after the first time.
    again: bool,
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn users(&self) -> Vec<User> {
        let mut users = Vec::new();
        let take = &mut |change| {
            if let Change::PutUser(user) = change {
                users.push(user);
            }
        };
        self.memory.load(take).unwrap();
        users
    }

    fn misread(&self, change: &mut Change) {
        let text = |text: &mut Box<str>| match self.fault {
            TrimsTexts => *text = text.trim_end().into(),
            CutsTexts => *text = text.chars().take(80).collect::<String>().into(),
            _ => {}
        };
        match change {
            Change::PutUser(user) => match self.fault {
                FoldsPasskeys => user.passkey = user.passkey.to_lowercase().into(),
                CutsNumbers => user.key_version &= i32::MAX as u32,
                _ => text(&mut user.passkey),
            },
            Change::PutTorrent(torrent) => {
                torrent.name.iter_mut().chain(&mut torrent.reason).for_each(text);
                if self.is(ReadsEmptyNamesAsNone) {
                    torrent.name.take_if(|name| name.is_empty());
                }
            }
            Change::PutGroup(group) if self.is(SwapsFactors) => {
                std::mem::swap(&mut group.upload, &mut group.download);
            }
            Change::PutGroup(group) => text(&mut group.name),
            Change::PutBan(ban) if self.is(WidensBans) => {
                ban.prefix_len = if ban.address.is_ipv4() { 24 } else { 32 };
            }
            _ => {}
        }
    }

    /// Whether a change is not made.
    fn skips(&self, change: &Change) -> bool {
        self.is(KeepsRemovedClients) && matches!(change, Change::RemoveClient(_))
    }

    /// What is done besides a change.
    fn miswrite(&self, change: &mut Change) {
        match (self.fault, change) {
            (TakesPasskeysAway, Change::PutUser(new)) => {
                for other in self.users() {
                    if other.id != new.id && other.passkey == new.passkey {
                        self.memory.change(&[Change::RemoveUser(other.id)]).unwrap();
                    }
                }
            }
            (AllowsAPasskeyTwice, Change::PutUser(new))
                if self.users().iter().any(|it| it.id != new.id && it.passkey == new.passkey) =>
            {
                new.passkey = "".into();
            }
            (AllowsOneUserWithoutPasskey, Change::PutUser(new)) if new.passkey.is_empty() => {
                new.passkey = "none".into();
            }
            (KeepsOldFields, Change::PutUser(new)) => {
                let old = self.users().into_iter().find(|old| old.id == new.id);
                new.slots = new.slots.or_else(|| old.and_then(|old| old.slots));
            }
            (KeepsMembersOfRemovedGroups, Change::RemoveGroup(group)) => {
                *group = GroupId(u32::MAX - 1);
            }
            _ => {}
        }
    }

    fn mistake(&self, batch: &Batch) -> Option<Result<(), DriverError>> {
        if self.is(CutsLongCalls) {
            return None;
        }
        let applied = self.memory.applied(batch.journal()).unwrap();
        let refused = applied.is_some_and(|applied| applied != batch.from());
        let none_more = Batch::new(batch.journal(), applied.unwrap_or_default(), Vec::new());
        // The same records where they are taken.
        let moved =
            Batch::new(batch.journal(), applied.unwrap_or_default(), batch.records().to_vec());
        let gap = applied.is_some_and(|applied| applied < batch.from());
        match self.fault {
            AddsABatchTwice if refused => Some(self.memory.apply(&moved)),
            TellsNobodyOfABatchTwice if refused => Some(Ok(())),
            LeavesOutRecordsBetweenBatches if gap => Some(self.memory.apply(&moved)),
            LooksAtThePositionTooEarly if !refused => {
                for _ in 0..5000 {
                    std::thread::yield_now();
                }
                let applied = self.memory.applied(batch.journal()).unwrap();
                let applied = applied.unwrap_or_else(|| batch.from());
                let moved = Batch::new(batch.journal(), applied, batch.records().to_vec());
                Some(self.memory.apply(&moved))
            }
            BeginsEachJournalAt0 if applied.is_none() && batch.from() != 0 => {
                Some(Err(DriverError::OutOfOrder { applied: 0, from: batch.from() }))
            }
            RefusesEmptyBatches if batch.records().is_empty() => {
                Some(Err(DriverError::Refused("no rows".into())))
            }
            NeedsTheUser => {
                let users = self.users();
                let known = |id: &UserId| users.iter().any(|user| user.id == *id);
                let all = batch.users().keys().all(known);
                (!all).then(|| Err(DriverError::Refused("no such user".into())))
            }
            KeepsHalfOfABatch => {
                let error = self.memory.apply(&none_more).err()?;
                self.memory.set_failing(Failing::Never);
                let half = &batch.records()[..batch.records().len() / 2];
                let (journal, unheard) = (batch.journal(), batch.from() + 1_000_000);
                let half = Batch::new(journal ^ unheard, 0, half.to_vec());
                self.memory.apply(&half).unwrap();
                self.memory.set_failing(Failing::Midway);
                Some(Err(error))
            }
            _ => None,
        }
    }

    fn altered(&self, batch: &Batch) -> Batch {
        let journal = match self.fault {
            CutsJournalsTo63Bits => batch.journal() << 1 >> 1,
            SharesAPosition => 1,
            NotesNoPosition => batch.journal() ^ 1 ^ batch.from().rotate_left(32),
            _ => batch.journal(),
        };
        let mut records = batch.records().to_vec();
        let known = if self.is(KeepsTheFirstState) { self.sessions(journal) } else { Vec::new() };
        for record in &mut records {
            let key = |record: &Record| {
                let session = record.delta.session;
                (session.user, session.torrent, session.peer_id)
            };
            match self.fault {
                KeepsTheFirstState => {
                    if let Some(old) = known.iter().find(|old| key(old) == key(record)) {
                        record.delta.session = old.delta.session;
                    }
                }
                CutsLongCalls if batch.records().len() > 2000 => record.delta.completed = false,
                LeavesBudgets => record.delta.spent = [Spent::default(); 2],
                MixesUpPassages => record.delta.session.torrent = TorrentId(5),
                _ => {}
            }
        }
        Batch::new(journal, batch.from(), records)
    }

    fn sessions(&self, journal: u64) -> Vec<Record> {
        let mut all = Vec::new();
        self.memory.load_sessions(journal, 0, &mut |record| all.push(record)).unwrap();
        all
    }
}

impl Conn for Faulty {
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        self.memory.load(&mut |mut change| {
            self.misread(&mut change);
            if let (LetsBudgetsWrap, Change::PutFactor(factor)) = (self.fault, &mut change)
                && factor.budget_bytes == Some(0)
            {
                factor.budget_bytes = Some(i64::MAX as u64);
            }
            take(change);
        })
    }

    fn load_sessions(
        &self,
        journal: u64,
        since_unix_secs: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        let mut all = self.sessions(journal);
        if !self.is(HandsOverOldSessions) {
            all.retain(|record| record.at_unix_secs >= since_unix_secs);
        }
        if self.is(SortsSessionsTheOtherWay) {
            all.reverse();
        }
        if self.is(ForgetsSessions) && self.again {
            all.clear();
        }
        for mut record in all {
            let session = &mut record.delta.session;
            match self.fault {
                CutsCounters => {
                    let bytes = &mut session.counters.uploaded_bytes;
                    *bytes = (*bytes).min(i64::MAX as u64);
                }
                LosesCorruptCounters => session.corrupt_bytes = 0,
                LosesPeerKeys => session.peer_key = 0,
                LosesPasses => session.pass_counted = false,
                OpensEndedSessions => session.open = true,
                LosesIpv6 => {
                    record.endpoint.take_if(|endpoint| matches!(endpoint.ip(), IpAddr::V6(_)));
                }
                _ => {}
            }
            take(record);
        }
        Ok(())
    }

    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        let more = u64::from(self.is(ForgetsOneSessionMore));
        self.memory.forget_sessions(before_unix_secs + more)
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        let journal = match self.fault {
            CutsJournalsTo63Bits => journal << 1 >> 1,
            SharesAPosition => 1,
            _ => journal,
        };
        match (self.fault, self.memory.applied(journal)?) {
            (ForgetsPositions, _) if self.again => Ok(None),
            (NotesThePositionOfTheFirstRecord, Some(applied)) => Ok(applied.checked_sub(1)),
            (_, applied) => Ok(applied),
        }
    }

    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        match self.mistake(batch) {
            Some(result) => result,
            None => self.memory.apply(&self.altered(batch)),
        }
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        let mut changes = changes.to_vec();
        changes.retain(|change| !self.skips(change));
        changes.iter_mut().for_each(|change| self.miswrite(change));
        if self.is(CutsLongCalls) {
            changes.truncate(9999);
        }
        if self.is(ChangesInAnyOrder) {
            changes.reverse();
        }
        if self.is(ChangesOneByOne) {
            return changes
                .iter()
                .try_for_each(|change| self.memory.change(std::slice::from_ref(change)));
        }
        self.memory.change(&changes)
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        let mut sums = self.memory.totals(of)?;
        match self.fault {
            AddsHeldTraffic => sums.raw = sums.raw.plus(std::mem::take(&mut sums.held)),
            SwapsUpAndDown => {
                let Traffic { uploaded_bytes, downloaded_bytes } = &mut sums.credited;
                std::mem::swap(uploaded_bytes, downloaded_bytes);
            }
            LosesCompletions => sums.completions = 0,
            LosesSettledTraffic => sums.settled = Traffic::default(),
            LosesActiveTime => sums.active_secs = 0,
            Wraps if sums.raw.uploaded_bytes == i64::MAX as u64 => {
                sums.raw.uploaded_bytes = i64::MIN.cast_unsigned() >> 1;
            }
            RemovesSumsWithTheUser => {
                if let Totals::User(id) = of
                    && !self.users().is_empty()
                    && self.users().iter().all(|user| user.id != id)
                {
                    sums = Sums::default();
                }
            }
            _ => {}
        }
        Ok(sums)
    }

    fn ping(&self) -> Result<(), DriverError> {
        self.memory.ping()
    }
}

fn subject(fault: Fault) -> Subject {
    let (memory, again) = (Memory::new(), AtomicBool::new(false));
    let other = memory.clone();
    let open = move || -> Box<dyn Conn> {
        let again = again.swap(true, Ordering::Relaxed);
        Box::new(Faulty { memory: memory.clone(), fault, again })
    };
    Subject::new(open).breaking(move |on| other.set_failing(failing(on)))
}

#[test]
fn every_planted_fault_is_caught() {
    // A backtrace for each of them takes minutes.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let mut missed = Vec::new();
    for fault in FAULTS {
        let fails = |test: &&(&str, Test)| {
            let is_long = test.0.starts_with("ten_thousand");
            is_long == (fault == CutsLongCalls)
                && catch_unwind(AssertUnwindSafe(|| test.1(&subject(fault)))).is_err()
        };
        let caught: Vec<_> =
            FOR_ALL.iter().chain(FOR_BREAKING).filter(fails).map(|(name, _)| *name).collect();
        println!("{fault:?}: {}", caught.join(", "));
        if caught.is_empty() {
            missed.push(fault);
        }
    }
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "missed: {missed:?}");
}
