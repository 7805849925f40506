//! Looks at the storage from time to time, and tells the log what came of them.
//!
//! What a look compares is in `refresh`; when to look is decided elsewhere.

use std::sync::Arc;

use skep_engine::Tick;

use super::books::{Books, Refreshed};
use crate::accounts::Status;
use crate::runtime::clock::Clock;

/// Looks that are overtaken by the API before changes wait for one.
const OVERTAKEN_MAX: u32 = 3;

/// Seconds between two times that the storage forgets old sessions.
const FORGET_SECS: u32 = 3600;

/// Seconds after which a storage is asked whether it took changes, if it did not say so.
const SETTLE_SECS: u32 = 5;

/// What looks are made with.
pub struct Poll {
    books: Arc<Books>,
    /// Where accounts are kept.
    accounts: Option<Arc<Status>>,
    /// Whether the last look failed.
    failed: bool,
    overtaken: u32,
    clock: Clock,
    /// When sessions are forgotten next.
    forget_at: Tick,
    settle_at: Tick,
}

impl Poll {
    /// Looks at the storage of `books`.
    #[must_use]
    pub fn new(books: Arc<Books>, accounts: Option<Arc<Status>>, clock: Clock) -> Self {
        let now = clock.now();
        let (forget_at, settle_at) = (now, now.plus(SETTLE_SECS));
        Self { books, accounts, failed: false, overtaken: 0, clock, forget_at, settle_at }
    }

    /// Lets the storage forget sessions that have been silent for so long that none of them goes on,
    /// if that was not done lately.
    pub fn forget_sessions(&mut self, kept_secs: u32) {
        let now = self.clock.now();
        let (Some(conn), Some(_)) = (self.books.conn(), &self.accounts) else { return };
        if now < self.forget_at {
            return;
        }
        self.forget_at = now.plus(FORGET_SECS);
        let before_unix_secs = self.clock.unix_secs(now).saturating_sub(kept_secs.into());
        match conn.forget_sessions(before_unix_secs) {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "sessions that ended long ago are forgotten"),
            Err(error) => {
                tracing::warn!("old sessions cannot be forgotten: {error}; tried again in an hour");
            }
        }
    }

    /// Finds out about changes of which the storage did not say whether it took them, from time to time.
    pub fn settle(&mut self) {
        let now = self.clock.now();
        if now < self.settle_at {
            return;
        }
        self.settle_at = now.plus(SETTLE_SECS);
        if let Err(error) = self.books.settle() {
            tracing::debug!("it is not known which changes were taken: {error}");
        }
    }

    /// Looks, and puts in force what changed.
    pub fn look(&mut self) {
        let accounts = self.accounts.as_ref();
        let settled = || accounts.map_or(Some(0), |status| status.settled());
        let may_wait = self.overtaken >= OVERTAKEN_MAX;
        match self.books.refresh(&settled, may_wait) {
            Ok(refreshed) => {
                if std::mem::take(&mut self.failed) {
                    tracing::info!("the storage can be looked at again");
                }
                self.note(refreshed);
            }
            Err(error) if self.failed => tracing::debug!("still: {error}"),
            Err(error) => {
                self.failed = true;
                tracing::error!(
                    "cannot look for changes of the storage: {error}; all stays as it is"
                );
            }
        }
    }

    fn note(&mut self, refreshed: Refreshed) {
        self.overtaken = match refreshed {
            Refreshed::Overtaken => self.overtaken + 1,
            _ => 0,
        };
        match refreshed {
            Refreshed::Same | Refreshed::Overtaken => {}
            Refreshed::Doubtful(removals) => tracing::warn!(
                removals,
                "most records are gone from the storage; they stay in force unless the next look \
                 finds the same"
            ),
            Refreshed::Changed(changes) => {
                tracing::info!(changes, "changes of the storage are in force");
            }
        }
    }
}
