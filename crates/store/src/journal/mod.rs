//! A journal: records that were promised to be on the disk, in order, until they were applied.
//!
//! Records are opaque bytes with a position. What they mean, and how far they were applied, is
//! known to whoever appends and reads them. `docs/internals/journal.md` tells the format and what
//! happens when something fails.

mod disk;
mod folder;
mod format;
mod peek;
mod queue;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

pub use self::folder::{Damage, OpenError, Recovery};
pub use self::format::{BATCH_BYTES_MAX, Fault, RECORD_BYTES_MAX};
pub use self::peek::JournalEnd;
pub use self::queue::{AppendError, JournalStatus};
pub use self::reader::{JournalReader, ReadError};
pub use self::segment::{SegmentError, SegmentReader};

use self::disk::{Disk, FileSystem};
use self::folder::segment_path;
use self::queue::{IfFailing, Limits, Shared};
use self::writer::Writer;

/// Where a journal is kept and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// The folder, which is made if need be; it belongs to the journal alone.
    pub folder: PathBuf,
    /// The id of the journal if it is a new one; a number that no other journal has, a random one.
    pub id_if_new: u64,
    /// How long records wait for company if nobody waits for them.
    pub commit_interval: Duration,
    /// How long to wait before the disk is tried again that took nothing.
    pub retry_interval: Duration,
    /// A segment that is as long as this takes no more batches.
    ///
    /// # Units
    /// Bytes.
    pub segment_bytes: u64,
    /// The most that records take in memory until they are on the disk.
    ///
    /// # Units
    /// Bytes, two more for each record than it is long.
    pub queue_bytes_max: usize,
    /// While the segments have as many bytes in all, nothing is taken; 0 for no limit.
    ///
    /// # Units
    /// Bytes.
    pub size_bytes_max: u64,
}

impl JournalSettings {
    /// Settings that fit most: 50 ms, 1 s, 64 MiB, 32 MiB and no limit.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, id_if_new: u64) -> Self {
        Self {
            folder: folder.into(),
            id_if_new,
            commit_interval: Duration::from_millis(50),
            retry_interval: Duration::from_secs(1),
            segment_bytes: 64 << 20,
            queue_bytes_max: 32 << 20,
            size_bytes_max: 0,
        }
    }
}

/// Records were not on the disk when a journal was closed, and are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{records} records could not be written before the journal was closed: {kind}")]
pub struct CloseError {
    /// How many.
    pub records: u64,
    /// What the disk answered last.
    pub kind: io::ErrorKind,
}

/// A journal that is open for appending, reading and releasing, from any thread.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    disk: OneDisk,
    recovery: Recovery,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held while segments are removed.
    releasing: Mutex<()>,
    lock: File,
}

const FOR_EVER: Duration = Duration::from_secs(1 << 20);

struct OneDisk(Arc<dyn Disk>);

impl std::fmt::Debug for OneDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Journal {
    /// Opens the journal of a folder, or begins one, and starts its writer thread.
    ///
    /// What a crash left half-written is cut off; [`Journal::recovery`] tells.
    ///
    /// # Cost
    /// Reads the newest segment.
    /// # Errors
    /// [`OpenError`] if the folder cannot be used, is in use, or its newest segment has no header.
    pub fn open(settings: &JournalSettings) -> Result<Self, OpenError> {
        Self::open_on(settings, Arc::new(FileSystem))
    }

    fn open_on(settings: &JournalSettings, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let folder = &settings.folder;
        let lock = folder::lock(&*disk, folder)?;
        let found = folder::recover(folder)?;
        let shared = Arc::new(Shared::new(
            folder.clone(),
            found.id.unwrap_or(settings.id_if_new),
            found.next,
            found.segments,
            Limits {
                queue_bytes_max: settings.queue_bytes_max,
                size_bytes_max: settings.size_bytes_max,
            },
        ));
        let failed = |action| move |source| OpenError::Io { action, path: folder.clone(), source };
        // A new journal has its id on the disk before anybody is told of it.
        let active = match found.id {
            Some(_) => None,
            None => Some(writer::create(&*disk, &shared, found.next).map_err(failed("write to"))?),
        };
        let writer = Writer {
            shared: Arc::clone(&shared),
            disk: Arc::clone(&disk),
            commit_interval: settings.commit_interval,
            retry_interval: settings.retry_interval,
            segment_bytes: settings.segment_bytes,
            active,
        };
        let thread = std::thread::Builder::new()
            .name("skep-journal".to_owned())
            .spawn(|| writer.run())
            .map_err(failed("start a thread for"))?;
        Ok(Self {
            shared,
            disk: OneDisk(disk),
            recovery: found.recovery,
            writer: Mutex::new(Some(thread)),
            releasing: Mutex::new(()),
            lock,
        })
    }

    /// The id of the journal: positions of another one mean something else.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// What was found at the end of the journal when it was opened.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Takes a record and returns its position; it is written soon.
    ///
    /// Positions begin with 0 and have no gaps. A record that was taken is lost only if the
    /// process or the machine ends before it is on the disk.
    ///
    /// # Cost
    /// A lock and a copy; a system call if the writer has nothing to do.
    /// # Errors
    /// [`AppendError`]; the record was not taken then and never comes.
    pub fn append(&self, record: &[u8]) -> Result<u64, AppendError> {
        self.shared.append(record, IfFailing::Refuse)
    }

    /// Takes a record like [`Journal::append`], but also while the disk takes nothing or the journal
    /// is full, and into the last quarter of the queue, which is kept for that: for records that must
    /// not be refused lightly.
    ///
    /// # Errors
    /// [`AppendError`]; the record was not taken then and never comes.
    pub fn append_held(&self, record: &[u8]) -> Result<u64, AppendError> {
        self.shared.append(record, IfFailing::Queue)
    }

    /// Whether the disk takes nothing, or the journal is full, or its queue half full.
    ///
    /// # Cost
    /// Takes no lock.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.shared.is_short()
    }

    /// Takes a record and returns its position when it is on the disk.
    ///
    /// # Errors
    /// [`AppendError`]; after [`AppendError::Unconfirmed`] the record comes later, after any
    /// other it never does.
    pub fn append_durable(&self, record: &[u8]) -> Result<u64, AppendError> {
        let position = self.append(record)?;
        self.wait_durable(position)?;
        Ok(position)
    }

    /// Returns when a record that was appended, and all before it, are on the disk.
    ///
    /// They are written at once, whatever the commit interval is.
    ///
    /// # Errors
    /// [`AppendError::Unconfirmed`] if the disk takes nothing, [`AppendError::Closed`] if the
    /// journal ended before.
    /// # Panics
    /// If no record of that position was appended.
    pub fn wait_durable(&self, position: u64) -> Result<(), AppendError> {
        while !self.shared.wait_durable(position, FOR_EVER)? {}
        Ok(())
    }

    /// Like [`Journal::wait_durable`], but gives up when the disk has confirmed nothing for so long;
    /// returns whether the record is on the disk.
    ///
    /// # Errors
    /// As above.
    /// # Panics
    /// As above.
    pub fn wait_durable_within(
        &self,
        position: u64,
        patience: Duration,
    ) -> Result<bool, AppendError> {
        self.shared.wait_durable(position, patience)
    }

    /// Returns a reader whose first record is the one at `position`.
    ///
    /// # Errors
    /// [`ReadError::Released`] and [`ReadError::Ahead`] if the journal does not reach there.
    pub fn reader(&self, position: u64) -> Result<JournalReader, ReadError> {
        JournalReader::new(Arc::clone(&self.shared), position)
    }

    /// Removes the segments of which all records are before `position`; the newest one stays.
    ///
    /// # Errors
    /// If a file cannot be removed; the next call tries it again.
    pub fn release(&self, position: u64) -> io::Result<()> {
        let _one_at_a_time = self.releasing.lock();
        let mut removed = false;
        while let Some(first) = self.applied(position) {
            match self.disk.0.remove(&segment_path(&self.shared.folder, first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {
                    let mut state = self.shared.lock();
                    state.segments.pop_front();
                    self.shared.note_room(&state);
                }
            }
            removed = true;
        }
        if removed { self.disk.0.sync_folder(&self.shared.folder) } else { Ok(()) }
    }

    /// The oldest segment, if all its records are before `position`.
    fn applied(&self, position: u64) -> Option<u64> {
        let state = self.shared.lock();
        let (oldest, next) = (state.segments.front()?, state.segments.get(1)?);
        (next.first <= position).then_some(oldest.first)
    }

    /// How the journal fares.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        self.shared.status()
    }

    /// Writes what is queued and takes nothing more; readers go on to the end.
    ///
    /// # Errors
    /// [`CloseError`] if the disk does not take it; those records are lost.
    pub fn close(&self) -> Result<(), CloseError> {
        self.shared.close();
        if let Some(thread) = self.writer.lock().take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
        let state = self.shared.lock();
        match state.failing {
            Some(kind) if state.durable < state.next => {
                Err(CloseError { records: state.next - state.durable, kind })
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Journal {
    /// Closes; whoever wants to know whether that worked has called [`Journal::close`] before.
    fn drop(&mut self) {
        let _ = self.close();
        // Closing the file is not enough: a process that was just started may hold a copy of it.
        let _ = self.lock.unlock();
    }
}
