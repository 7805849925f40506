//! Sessions that a restarted tracker goes on with: from the storage, and from records that it does not
//! have yet.
//!
//! Only reads. Where a session belongs is known to whoever takes it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use skep_engine::ledger::{SessionState, TorrentId, UserId};
use skep_engine::site::FactorId;
use skep_proto::PeerId;
use skep_store::driver::{Conn, Record};
use skep_store::{Journal, ReadError};

use super::AccountsError;

/// A session as it was last heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The session.
    pub state: SessionState,
    /// When it was last heard of.
    pub at_unix_secs: u64,
    /// Where its client was.
    pub endpoint: Option<SocketAddr>,
}

impl Remembered {
    const fn of(record: &Record) -> Self {
        let Record { at_unix_secs, endpoint, delta } = *record;
        Self { state: delta.session, at_unix_secs, endpoint }
    }
}

/// How much was restored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Sessions that were taken.
    pub sessions: u64,
    /// Records that the storage does not have yet.
    pub unapplied: u64,
    /// What these took from the budgets of factors.
    pub spent: BTreeMap<FactorId, u64>,
}

/// Hands over sessions, the latest first.
pub(super) fn restore(
    journal: &Journal,
    conn: &dyn Conn,
    applied: u64,
    since_unix_secs: u64,
    take: &mut dyn FnMut(&Remembered) -> bool,
) -> Result<Restored, AccountsError> {
    let mut restored = Restored::default();
    let mut latest = HashMap::<(TorrentId, UserId, PeerId), (u64, Remembered)>::new();
    let unapplied = read_tail(journal, applied, &mut |position, record| {
        let delta = &record.delta;
        for spent in delta.spent.iter().filter(|spent| spent.bytes > 0) {
            let bytes = restored.spent.entry(FactorId(spent.rule)).or_default();
            *bytes = bytes.saturating_add(spent.bytes);
        }
        // What was decided about held traffic is the word of no client.
        if delta.verdict.is_some() {
            return;
        }
        let session = &delta.session;
        let key = (session.torrent, session.user, session.peer_id);
        latest.insert(key, (position, Remembered::of(record)));
    })?;
    restored.unapplied = unapplied;
    let mut latest: Vec<_> = latest.into_values().collect();
    latest.sort_unstable_by_key(|(position, _)| std::cmp::Reverse(*position));
    for (_, remembered) in &latest {
        restored.sessions += u64::from(take(remembered));
    }
    conn.load_sessions(journal.id(), since_unix_secs, &mut |record| {
        restored.sessions += u64::from(take(&Remembered::of(&record)));
    })?;
    Ok(restored)
}

/// Reads what is not applied. What is damaged is left out: a session of which that is the last word goes
/// on from the word before.
fn read_tail(
    journal: &Journal,
    applied: u64,
    take: &mut dyn FnMut(u64, &Record),
) -> Result<u64, AccountsError> {
    let status = journal.status();
    let mut reader = journal.reader(applied.max(status.first))?;
    let mut records = 0;
    loop {
        match reader.read() {
            Ok(Some((position, bytes))) => {
                records += 1;
                if let Ok(record) = Record::decode(bytes) {
                    take(position, &record);
                }
            }
            Ok(None) => return Ok(records),
            Err(ReadError::Damaged(_)) => {
                reader.skip_damaged()?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
