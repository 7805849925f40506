//! The thread that writes batches: one write and one sync for all records that wait together.
//!
//! It decides what a failed write means. Waiting for records and waking callers is the queue's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, DiskFile};
use super::folder::{UNFINISHED, segment_path};
use super::format::{Batch, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::queue::{Segment, Shared};

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) commit_interval: Duration,
    pub(super) retry_interval: Duration,
    pub(super) segment_bytes: u64,
    /// The segment that is written, if one was begun since the start and nothing failed in it.
    pub(super) active: Option<Active>,
}

/// A segment that takes batches.
pub(super) struct Active {
    file: Box<dyn DiskFile>,
    /// Its length; the disk has confirmed all of it.
    bytes: u64,
}

impl Writer {
    /// Writes until the journal closes and the queue is empty, or the disk takes nothing then.
    pub(super) fn run(mut self) {
        while let Some(batch) = self.shared.take(self.commit_interval) {
            if !self.keep(batch) {
                break;
            }
        }
        self.shared.ended();
    }

    /// Writes a batch, however often it takes; false if the last attempt of a closing journal fails.
    fn keep(&mut self, mut batch: Batch) -> bool {
        loop {
            let last = self.shared.is_closing();
            // A failure may be of the file alone, so the second attempt follows at once.
            let result = self.commit(&mut batch).or_else(|_| self.commit(&mut batch));
            match result {
                Ok(bytes) => {
                    self.shared.committed(batch, bytes);
                    return true;
                }
                Err(error) => self.shared.pause(error.kind(), self.retry_interval),
            }
            if last {
                return false;
            }
        }
    }

    /// Writes a batch and waits for the disk; returns the length of the segment then.
    ///
    /// After a failure nothing is known of what the file holds behind its confirmed length, and a
    /// later sync of the same file may report success for data that the kernel has dropped. So the
    /// file gets no second chance: it is cut, and the batch goes into a new one.
    fn commit(&mut self, batch: &mut Batch) -> io::Result<u64> {
        let result = self.try_commit(batch);
        if result.is_err() {
            self.shared.attempt_failed();
            if let Some(mut active) = self.active.take() {
                // The next segment begins where the confirmed records end, and readers heed
                // that; cutting serves a start that comes before there is a next segment.
                let _ = active.file.cut(active.bytes).and_then(|()| active.file.sync());
            }
        }
        result
    }

    fn try_commit(&mut self, batch: &mut Batch) -> io::Result<u64> {
        if self.active.as_ref().is_some_and(|active| active.bytes >= self.segment_bytes) {
            self.active = None;
        }
        let active = match &mut self.active {
            Some(active) => active,
            none => none.insert(create(&*self.disk, &self.shared, batch.first)?),
        };
        let bytes = batch.seal(self.shared.id, active.bytes);
        active.file.write_all(bytes)?;
        active.file.sync()?;
        active.bytes += bytes.len() as u64;
        Ok(active.bytes)
    }
}

/// Begins the segment whose first record has position `first`.
///
/// It gets its name when the disk holds its header, so that a segment without one is damage and
/// never the work of a crash. A segment of the same name holds no confirmed record: it is replaced.
pub(super) fn create(disk: &dyn Disk, shared: &Shared, first: u64) -> io::Result<Active> {
    let unfinished = shared.folder.join(UNFINISHED);
    let path = segment_path(&shared.folder, first);
    let begin = || {
        let mut file = disk.create(&unfinished)?;
        file.write_all(&SegmentHeader { id: shared.id, first }.encode())?;
        file.sync()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_folder(&shared.folder)?;
        Ok(file)
    };
    match begin() {
        Ok(file) => {
            let bytes = SEGMENT_HEADER_BYTES as u64;
            shared.created(Segment { first, bytes });
            Ok(Active { file, bytes })
        }
        Err(error) => {
            // Left over it would only take room until the next attempt or start.
            let _ = disk.remove(&unfinished);
            Err(error)
        }
    }
}
