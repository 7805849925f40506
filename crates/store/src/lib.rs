//! What outlives a restart: torrent lists and registries, and a journal of what was promised.
//!
//! Internal, no promise of a stable interface. This crate knows where lasting things are kept and in
//! which format; it knows no swarm, no socket and no rule that is made of a list. Database drivers
//! belong here too, each in a folder of its own behind a cargo feature. Everything here may block:
//! callers run it on a thread of its own, and no announce ever waits for it.
#![forbid(unsafe_code)]

pub mod driver;
mod journal;
mod list;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod watch;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use journal::{
    AppendError, BATCH_BYTES_MAX, CloseError, Damage, Fault, Journal, JournalEnd, JournalReader,
    JournalSettings, JournalStatus, OpenError, RECORD_BYTES_MAX, ReadError, Recovery, SegmentError,
    SegmentReader,
};
pub use list::{
    Entry, FILE_BYTES_MAX, LINE_BYTES_MAX, LineFault, LineProblem, ListError, ListFile, ListReader,
    PROBLEMS_KEPT_MAX, Skipped, open_list,
};
pub use record::{ENCODED_BYTES_MAX, Encoded, RecordError};
pub use watch::{Look, Watched};
