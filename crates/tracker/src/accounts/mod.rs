//! Accounts of a private tracker: from announces of members to records that outlive the process.
//!
//! How an announce is counted is known to the engine's ledger, how records are kept to the store.

mod keeping;
mod refused;
mod restore;
mod sink;
mod status;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::net::SocketAddr;

use skep_engine::ledger::Delta;

pub use self::keeping::{Accounts, AccountsError, AccountsSettings};
pub use self::refused::{REFUSED_FILE, RefusedFile};
pub use self::restore::{Remembered, Restored};
pub use self::sink::JournalSink;
pub use self::status::{Counts, Loss, Status};
pub use self::watch::Watch;

/// What becomes of deltas once they are counted.
pub trait DeltaSink: Send + Sync {
    /// Takes a delta of a client at `endpoint`, in the order in which deltas of a session were made:
    /// called while the shard is locked. Returns its position in the journal, nothing if it was lost
    /// because there is no room; that is counted and told by the sink.
    ///
    /// # Cost
    /// No system call but to wake a writer that sleeps, and no waiting.
    fn take(&self, delta: &Delta, endpoint: Option<SocketAddr>) -> Option<u64>;

    /// Whether there is hardly room for deltas. Then only ends of sessions and of downloads are to be
    /// entered in the ledger, and other announces answered without: the next one that is entered
    /// carries their bytes, whereas a delta that was not taken is gone. Sweeps of sessions wait, too.
    fn is_short(&self) -> bool {
        false
    }

    /// Whether a reply to this delta must wait until it is on the disk.
    fn wants_durable(&self, delta: &Delta) -> bool;

    /// Waits until a record, and all before it, are on the disk. Returns whether they are: after a
    /// while, or if the disk takes nothing, it gives up.
    fn wait_durable(&self, position: u64) -> bool;
}
