//! Accounts of a private tracker: from announces of members to records that outlive the process.
//!
//! How an announce is counted is known to the engine's ledger, how records are kept to the store.

mod decisions;
mod keeping;
mod late;
mod open;
mod refused;
mod restore;
mod sink;
mod slots;
mod status;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use skep_engine::ledger::{Delta, LedgerSettings};

use crate::site::Site;

pub use self::decisions::DecisionError;
pub use self::keeping::{Accounts, AccountsError, AccountsSettings};
pub(crate) use self::late::LateDatagram;
pub use self::late::{Late, LateThread};
pub use self::open::{
    StorageError, driver_settings, find_driver, journal_folder, load_site, open_accounts,
    open_storage, restore_accounts,
};
pub use self::refused::{REFUSED_FILE, RefusedFile};
pub use self::restore::{Remembered, Restored};
pub use self::sink::JournalSink;
pub(crate) use self::slots::Slots;
pub use self::status::{Counts, Status, Untaken};
pub use self::watch::Watch;

/// What the ledgers of all shards are kept with.
#[derive(Clone)]
pub struct Ledgers {
    /// Whose factors decide what traffic is worth.
    pub site: Arc<Site>,
    /// Where deltas go.
    pub sink: Arc<dyn DeltaSink>,
    /// How accounts are kept.
    pub settings: LedgerSettings,
}

/// What becomes of deltas once they are counted.
pub trait DeltaSink: Send + Sync {
    /// Takes a delta of a client at `endpoint`, in the order in which deltas of a session were made:
    /// called while the shard is locked. Returns its position in the journal, nothing if it was lost
    /// because there is no room; that is counted and told by the sink.
    ///
    /// # Cost
    /// No system call but to wake a writer that sleeps, and no waiting.
    fn take(&self, delta: &Delta, endpoint: Option<SocketAddr>) -> Option<u64>;

    /// Whether there is hardly room for deltas. Sweeps of sessions wait then.
    fn is_short(&self) -> bool {
        false
    }

    /// Whether the begin of a session would be refused now, because the reply would have to wait until it
    /// is on the disk and there is hardly room.
    fn refuses_begins(&self) -> bool {
        false
    }

    /// Whether a reply to this delta must wait until it is on the disk.
    fn wants_durable(&self, delta: &Delta) -> bool;

    /// Waits until a record, and all before it, are on the disk. Returns whether they are: after a
    /// while, or if the disk takes nothing, it gives up.
    fn wait_durable(&self, position: u64) -> bool;
}
