//! Everything that a storage driver of one's own is written with.
//!
//! Names only; what they are is told where they are defined.

pub use skep_engine::Tick;
pub use skep_engine::ledger::{
    Delta, Family, Permille, Scope, SessionState, Spent, Sums, TorrentId, Traffic, UserId, Verdict,
};
pub use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, Target, Torrent, TorrentGroupId,
    TorrentState, User,
};
pub use skep_proto::{InfoHash, PeerId};
pub use skep_store::driver::registry::{DRIVERS, Make, find};
pub use skep_store::driver::{
    Batch, Conn, Driver, DriverError, DriverSettings, Passage, Record, Totals,
};
#[cfg(feature = "sqlite")]
pub use skep_store::sqlite::Sqlite;
