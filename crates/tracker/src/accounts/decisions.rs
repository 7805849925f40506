//! Decisions about traffic that was held: each is counted once, whoever asks for it how often.
//!
//! Who may decide is known to the caller. What is waiting for a decision is read from the storage.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use skep_engine::Tick;
use skep_engine::ledger::{Delta, TorrentId, Traffic, UserId, Verdict};
use skep_store::driver::{Conn, DriverError, Totals};

use super::{DeltaSink, Status};

/// How long a decision waits until the storage has the one before it.
const PATIENCE: Duration = Duration::from_secs(5);
const TURN: Duration = Duration::from_millis(10);

/// Stands for the position of a decision that is being made.
const UNDER_WAY: u64 = u64::MAX;

/// Why nothing was decided, or nobody knows whether it was.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// What is waiting cannot be read; nothing was decided.
    #[error(transparent)]
    Storage(#[from] DriverError),
    /// The storage does not have the decision before this one yet; nothing was decided.
    #[error("the storage has not heard of earlier decisions yet")]
    Behind,
    /// The journal takes nothing; nothing was decided.
    #[error("the journal takes nothing")]
    NotTaken,
    /// The disk did not confirm the decision in time; it may hold all the same.
    #[error("the disk did not confirm the decision")]
    Unconfirmed,
}

/// Whose traffic is decided about.
type Pair = (TorrentId, UserId);

/// What is needed to decide.
pub(super) struct Decisions {
    conn: Arc<dyn Conn>,
    sink: Arc<dyn DeltaSink>,
    status: Arc<Status>,
    /// Positions before this one may be those of decisions of an earlier process.
    before: u64,
    /// The position of the last decision, as long as the storage does not have it.
    unapplied: Mutex<HashMap<Pair, u64>>,
}

impl Decisions {
    pub(super) fn new(conn: Arc<dyn Conn>, sink: Arc<dyn DeltaSink>, status: Arc<Status>) -> Self {
        let before = status.journal().next;
        Self { conn, sink, status, before, unapplied: Mutex::default() }
    }

    /// Decides about everything of a user in a torrent that is waiting, and returns what that was.
    pub(super) fn decide(
        &self,
        pair: Pair,
        verdict: Verdict,
        now: Tick,
    ) -> Result<Traffic, DecisionError> {
        self.wait_for_turn(pair)?;
        let decided = self.decide_now(pair, verdict, now);
        let mut unapplied = self.unapplied.lock();
        match decided {
            Ok((_, Some(position))) => unapplied.insert(pair, position),
            Ok((_, None)) | Err(_) => unapplied.remove(&pair),
        };
        drop(unapplied);
        let (traffic, position) = decided?;
        match position {
            Some(position) if !self.sink.wait_durable(position) => Err(DecisionError::Unconfirmed),
            _ => Ok(traffic),
        }
    }

    /// Waits until the storage has every earlier decision about the pair, and keeps others from making
    /// one meanwhile.
    fn wait_for_turn(&self, pair: Pair) -> Result<(), DecisionError> {
        for _ in 0..PATIENCE.as_millis() / TURN.as_millis() {
            let applied = self.status.counts().applied.load(Ordering::Relaxed);
            let mut unapplied = self.unapplied.lock();
            unapplied.retain(|_, position| *position >= applied);
            if applied >= self.before
                && let Entry::Vacant(place) = unapplied.entry(pair)
            {
                place.insert(UNDER_WAY);
                return Ok(());
            }
            drop(unapplied);
            std::thread::sleep(TURN);
        }
        Err(DecisionError::Behind)
    }

    fn decide_now(
        &self,
        (torrent, user): Pair,
        verdict: Verdict,
        now: Tick,
    ) -> Result<(Traffic, Option<u64>), DecisionError> {
        let waiting = self.conn.totals(Totals::Passage(user, torrent))?.waiting();
        if waiting == Traffic::default() {
            return Ok((waiting, None));
        }
        let delta = Delta::decided(torrent, user, now, waiting, verdict);
        let position = self.sink.take(&delta, None).ok_or(DecisionError::NotTaken)?;
        Ok((waiting, Some(position)))
    }
}
