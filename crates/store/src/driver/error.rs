//! What goes wrong with a storage, in as many words as its callers tell apart.
//!
//! No text of these holds a password or a passkey.

/// Why a storage did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// It does not answer, or asks to try again: a lost connection, a deadlock, a lock that did not
    /// come. The same call may work later.
    #[error("the storage is not available: {0}")]
    Unavailable(String),
    /// Its tables are not what the driver expects.
    #[error("the tables do not fit: {0}")]
    Schema(String),
    /// The settings of the driver make no sense.
    #[error("{0}")]
    Settings(String),
    /// It refuses what it was asked to write, and would refuse it again.
    #[error("the storage refuses: {0}")]
    Refused(String),
    /// What is to be changed is in a table of the site's own, which the site changes.
    #[error("{0}")]
    NotOurs(String),
    /// What it holds cannot be read.
    #[error("the storage is damaged: {0}")]
    Damaged(String),
    /// A batch does not begin where the last one ended.
    #[error("records up to {applied} were applied, but the batch begins at {from}")]
    OutOfOrder {
        /// The end of what was applied.
        applied: u64,
        /// The begin of the batch.
        from: u64,
    },
}

impl DriverError {
    /// Whether the same call may work later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
