//! Looks at the storage from time to time, and tells the log what came of them.
//!
//! What a look compares is in `refresh`; when to look is decided elsewhere.

use std::sync::Arc;

use super::books::{Books, Refreshed};
use crate::accounts::Status;

/// Looks that are overtaken by the API before changes wait for one.
const OVERTAKEN_MAX: u32 = 3;

/// What looks are made with.
pub struct Poll {
    books: Arc<Books>,
    /// Where accounts are kept.
    accounts: Option<Arc<Status>>,
    /// Whether the last look failed.
    failed: bool,
    overtaken: u32,
}

impl Poll {
    /// Looks at the storage of `books`.
    #[must_use]
    pub fn new(books: Arc<Books>, accounts: Option<Arc<Status>>) -> Self {
        Self { books, accounts, failed: false, overtaken: 0 }
    }

    /// Looks, and puts in force what changed.
    pub fn look(&mut self) {
        let settled = self.accounts.as_ref().is_none_or(|status| status.is_settled());
        let may_wait = self.overtaken >= OVERTAKEN_MAX;
        match self.books.refresh(settled, may_wait) {
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
        self.overtaken = 0;
        match refreshed {
            Refreshed::Same => {}
            Refreshed::Overtaken => self.overtaken += 1,
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
