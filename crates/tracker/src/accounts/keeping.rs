//! The journal of accounts, its writer and its sink, from the start of the tracker to its end.
//!
//! Which storage there is was decided before; what is restored from it goes where the caller says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use skep_engine::Tick;
use skep_engine::ledger::{TorrentId, Traffic, UserId, Verdict};
use skep_store::driver::{Conn, DriverError};
use skep_store::{Journal, JournalSettings, OpenError, ReadError};

use super::decisions::{DecisionError, Decisions};
use super::writer::Writer;
use super::{DeltaSink, JournalSink, Remembered, Restored, Status, restore};
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::Shutdown;

/// One wait for the end of the writer, and how many of them there are at the most.
const TURN: Duration = Duration::from_millis(10);
const TURNS_MAX: u32 = 500;

/// How accounts are kept.
#[derive(Debug, Clone)]
pub struct AccountsSettings {
    /// The journal.
    pub journal: JournalSettings,
    /// The folder of the tracker.
    pub data_dir: PathBuf,
    /// Whether replies to ends of sessions and downloads wait for the disk.
    pub durable_events: bool,
    /// Records that are applied together, at the most.
    pub batch_records_max: usize,
    /// Records before this position may be given up if nothing else helps.
    pub skip_until: u64,
}

/// Why accounts cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountsError {
    /// The journal cannot be used.
    #[error("cannot use the journal: {0}")]
    Journal(#[from] OpenError),
    /// A segment of the journal cannot be read.
    #[error("cannot read the journal: {0}")]
    Read(#[from] ReadError),
    /// The storage does not answer.
    #[error("cannot use the storage: {0}")]
    Storage(#[from] DriverError),
    /// The journal in the folder is older than what was applied.
    #[error(
        "records up to position {applied} were applied to the storage, but the journal in {} ends \
         at {end}: it is an old copy; move the folder away to begin a new journal, nothing in it is \
         missing from the storage", folder.display()
    )]
    Ahead {
        /// The folder of the journal.
        folder: PathBuf,
        /// The position behind the last record that was applied.
        applied: u64,
        /// The position behind the last record of the journal.
        end: u64,
    },
    /// The storage is older than the journal.
    #[error(
        "records up to position {applied} were applied to the storage, but those before {first} are \
         no longer in the journal in {}: the storage is an old copy; put back the latest one, or set \
         journal.skip_until = {first} to go on without these records", folder.display()
    )]
    Behind {
        /// The folder of the journal.
        folder: PathBuf,
        /// The position behind the last record that was applied.
        applied: u64,
        /// The oldest position that the journal has.
        first: u64,
    },
    /// The storage has never heard of the journal, which is not new.
    #[error(
        "the journal in {} has given records up to position {first} to a storage, but not to this \
         one; use the other storage, or move the folder away to begin a new journal",
        folder.display()
    )]
    Stranger {
        /// The folder of the journal.
        folder: PathBuf,
        /// The oldest position that the journal has.
        first: u64,
    },
    /// The system has no room for a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// Accounts that are kept.
pub struct Accounts {
    journal: Arc<Journal>,
    conn: Arc<dyn Conn>,
    status: Arc<Status>,
    sink: Arc<JournalSink>,
    decisions: Decisions,
    skip_until: Arc<AtomicU64>,
    ending: Shutdown,
    settings: AccountsSettings,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Accounts {
    /// Opens the journal and looks whether it fits what the storage has applied.
    ///
    /// # Errors
    /// [`AccountsError`]; it says what an operator can do.
    pub fn open(
        conn: Arc<dyn Conn>,
        settings: AccountsSettings,
        clock: &Clock,
    ) -> Result<Self, AccountsError> {
        let journal = Arc::new(Journal::open(&settings.journal)?);
        let recovery = journal.recovery();
        if recovery.cut_bytes > 0 {
            let bytes = recovery.cut_bytes;
            tracing::info!(bytes, "the end of the journal was half-written and is cut off");
        }
        if let Some(damage) = &recovery.damage {
            let (file, byte) = (damage.path.display(), damage.offset);
            let position = damage.position;
            tracing::error!(%file, byte, position, "the journal is damaged: {}", damage.fault);
        }
        let position = place(&journal, &*conn, &settings)?;
        let status = Arc::new(Status::new(journal.clone()));
        status.counts().applied.store(position, Ordering::Relaxed);
        let durable = settings.durable_events;
        let sink = JournalSink::new(journal.clone(), status.clone(), clock.clone(), durable);
        let sink = Arc::new(sink);
        let decisions = Decisions::new(conn.clone(), sink.clone(), status.clone());
        Ok(Self {
            journal,
            conn,
            status,
            sink,
            decisions,
            skip_until: Arc::new(AtomicU64::new(settings.skip_until)),
            ending: Shutdown::default(),
            settings,
            writer: Mutex::new(None),
        })
    }

    /// Hands over every session that was heard of since a time, the latest first: those that only the
    /// journal knows, then those of the storage. Call it before [`Accounts::start`].
    ///
    /// # Cost
    /// Reads the journal from the applied position on; memory for each session in it.
    /// # Errors
    /// [`AccountsError`]; what was handed over does not count then.
    pub fn restore(
        &self,
        since_unix_secs: u64,
        take: &mut dyn FnMut(&Remembered) -> bool,
    ) -> Result<Restored, AccountsError> {
        let from = self.status.counts().applied.load(Ordering::Relaxed);
        restore::restore(&self.journal, &*self.conn, from, since_unix_secs, take)
    }

    /// Starts to apply records.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub fn start(&self) -> Result<(), AccountsError> {
        let writer = Writer {
            journal: self.journal.clone(),
            conn: self.conn.clone(),
            status: self.status.clone(),
            batch_records_max: self.settings.batch_records_max,
            skip_until: self.skip_until.clone(),
            data_dir: self.settings.data_dir.clone(),
            ending: self.ending.clone(),
        };
        let thread = Builder::new().name("skep-accounts".to_owned()).spawn(|| writer.run());
        *self.writer.lock() = Some(thread.map_err(AccountsError::Thread)?);
        Ok(())
    }

    /// Where deltas go.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn DeltaSink> {
        self.sink.clone()
    }

    /// Decides about all traffic of a user in a torrent that was held, as far as the storage knows of
    /// it, and returns how much that was. What was decided is on the disk then, and counts once.
    ///
    /// # Cost
    /// Waits for the storage and for the disk, some seconds each at the most.
    /// # Errors
    /// [`DecisionError`]
    pub fn decide(
        &self,
        torrent: TorrentId,
        user: UserId,
        verdict: Verdict,
        now: Tick,
    ) -> Result<Traffic, DecisionError> {
        self.decisions.decide((torrent, user), verdict, now)
    }

    /// How accounts fare.
    #[must_use]
    pub const fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Lets records before a position be given up if nothing else helps.
    pub fn skip_until(&self, position: u64) {
        self.skip_until.store(position, Ordering::Relaxed);
    }

    /// Writes what was counted to the disk, and applies what can be applied in a few seconds. Call it
    /// when nobody counts any more; the rest stays in the journal.
    pub fn stop(&self) {
        if let Err(error) = self.journal.close() {
            tracing::error!("{error}");
        }
        self.ending.request();
        let Some(writer) = self.writer.lock().take() else { return };
        for _ in 0..TURNS_MAX {
            if writer.is_finished() {
                // A panic has ended the process already.
                let _ = writer.join();
                return;
            }
            std::thread::sleep(TURN);
        }
        tracing::warn!("the storage takes its time; what it did not take stays in the journal");
    }
}

/// Where the storage goes on in the journal.
fn place(
    journal: &Journal,
    conn: &dyn Conn,
    settings: &AccountsSettings,
) -> Result<u64, AccountsError> {
    let folder = || settings.journal.folder.clone();
    let status = journal.status();
    let (first, end) = (status.first, status.durable);
    match conn.applied(journal.id())? {
        Some(applied) if applied > end => {
            Err(AccountsError::Ahead { folder: folder(), applied, end })
        }
        Some(applied) if applied < first && settings.skip_until < first => {
            Err(AccountsError::Behind { folder: folder(), applied, first })
        }
        Some(applied) => Ok(applied),
        None if first > 0 && settings.skip_until < first => {
            Err(AccountsError::Stranger { folder: folder(), first })
        }
        None => Ok(first),
    }
}
