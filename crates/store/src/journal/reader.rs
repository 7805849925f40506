//! Reading a journal from a position on, over all its segments, while it is written.
//!
//! It hands out nothing that the disk has not confirmed, and remembers nothing: where to begin is
//! told by whoever applies the records.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::folder::{Damage, segment_path};
use super::format::Fault;
use super::queue::Shared;
use super::segment::{SegmentError, SegmentReader};

/// Why a journal cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record was released.
    #[error("record {position} was released; the oldest that is kept is {first}")]
    Released {
        /// The record that was asked for.
        position: u64,
        /// The oldest that is kept.
        first: u64,
    },
    /// The journal ends before the record, so records were lost or this is another journal.
    #[error("record {position} was asked for, but the journal ends before {durable}")]
    Ahead {
        /// The record that was asked for.
        position: u64,
        /// The end of the journal.
        durable: u64,
    },
    /// What is read is not what was written; only [`JournalReader::skip_damaged`] leads on.
    #[error(
        "record {} cannot be read: {} is damaged at byte {}: {}",
        .0.position, .0.path.display(), .0.offset, .0.fault
    )]
    Damaged(Damage),
    /// A segment could not be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The segment.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// A place in a journal from which records are read.
#[derive(Debug)]
pub struct JournalReader {
    shared: Arc<Shared>,
    position: u64,
    /// How far may be read without asking again.
    limit: u64,
    current: Option<Current>,
    /// The last attempt to read met damage.
    damaged: bool,
}

#[derive(Debug)]
struct Current {
    first: u64,
    /// Where the next segment begins; what this one holds behind that was never confirmed.
    end: Option<u64>,
    segment: SegmentReader<File>,
}

impl JournalReader {
    pub(super) fn new(shared: Arc<Shared>, position: u64) -> Result<Self, ReadError> {
        let durable = shared.lock().durable;
        if position > durable {
            return Err(ReadError::Ahead { position, durable });
        }
        let mut reader = Self { shared, position, limit: 0, current: None, damaged: false };
        reader.look()?;
        Ok(reader)
    }

    /// The position of the record that is read next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits until there is a record to read, at most for `timeout`; may come back before that.
    ///
    /// Returns whether there is one.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.position < self.limit || self.shared.wait_readable(self.position, timeout)
    }

    /// Returns the next record with its position, nothing if all that is on the disk was read.
    ///
    /// # Cost
    /// Two reads of the file for each batch that was written, a lock when all was read.
    /// # Errors
    /// [`ReadError`]; the place stays where it is, so damage is reported until it is skipped.
    pub fn read(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        if self.position >= self.limit && !self.look()? {
            return Ok(None);
        }
        let position = self.position;
        if self.current.as_ref().is_none_or(|it| it.end.is_some_and(|end| end <= position)) {
            self.current = None;
            self.current = Some(self.open()?);
        }
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let path = || segment_path(&self.shared.folder, current.first);
        let offset = current.segment.offset();
        let (offset, fault) = match current.segment.next_record() {
            Ok(Some((at, record))) => {
                self.position = at + 1;
                return Ok(Some((at, record)));
            }
            Ok(None) => (offset, Fault::Truncated),
            Err(SegmentError::Damaged { offset, fault, .. }) => (offset, fault),
            Err(SegmentError::Io(source)) => return Err(ReadError::Io { path: path(), source }),
        };
        self.damaged = true;
        Err(ReadError::Damaged(Damage { path: path(), offset, position, fault }))
    }

    /// Gives up the records that damage makes unreadable, and returns which they are.
    ///
    /// For an operator who was told. Does nothing unless the last [`JournalReader::read`] met
    /// damage.
    ///
    /// # Errors
    /// [`ReadError::Io`] if the segment cannot be read at all.
    pub fn skip_damaged(&mut self) -> Result<Range<u64>, ReadError> {
        let start = self.position;
        if !self.damaged {
            return Ok(start..start);
        }
        let (end, durable) = {
            let state = self.shared.lock();
            (state.segment_of(start).and_then(|(_, end)| end), state.durable)
        };
        let end = end.unwrap_or(durable);
        let resumed = match &mut self.current {
            Some(current) => {
                let path = segment_path(&self.shared.folder, current.first);
                let resumed = current.segment.resume();
                let goes_on = resumed.map_err(|source| ReadError::Io { path, source })?;
                goes_on.then(|| current.segment.position()).filter(|&position| position < end)
            }
            None => None,
        };
        if resumed.is_none() {
            self.current = None;
        }
        self.damaged = false;
        self.position = resumed.unwrap_or(end);
        Ok(start..self.position)
    }

    /// Asks how far may be read; false if all was read.
    fn look(&mut self) -> Result<bool, ReadError> {
        let state = self.shared.lock();
        let position = self.position;
        self.limit = state.durable;
        if state.segment_of(position).is_none() {
            let first = state.segments.front().map_or(state.durable, |segment| segment.first);
            return Err(ReadError::Released { position, first });
        }
        if let Some(current) = &mut self.current {
            current.end = match state.segment_of(current.first) {
                Some((first, end)) if first == current.first => end,
                // It was released, so what is left begins in another one.
                _ => Some(position),
            };
        }
        Ok(position < self.limit)
    }

    /// Opens the segment that holds the next record and goes there.
    fn open(&mut self) -> Result<Current, ReadError> {
        let position = self.position;
        let place = {
            let state = self.shared.lock();
            let kept = state.segments.front().map_or(state.durable, |segment| segment.first);
            state.segment_of(position).ok_or(kept)
        };
        let (first, end) = place.map_err(|first| ReadError::Released { position, first })?;
        let path = segment_path(&self.shared.folder, first);
        match self.go_to(first, &path) {
            Ok(segment) => Ok(Current { first, end, segment }),
            Err(SegmentError::Io(source)) => Err(ReadError::Io { path, source }),
            Err(SegmentError::Damaged { offset, fault, .. }) => {
                self.damaged = true;
                Err(ReadError::Damaged(Damage { path, offset, position, fault }))
            }
        }
    }

    /// Damage before the wanted record does not matter: what was there has been applied.
    fn go_to(&self, first: u64, path: &Path) -> Result<SegmentReader<File>, SegmentError> {
        let position = self.position;
        let mut segment = SegmentReader::open(File::open(path)?)?;
        let damaged = |offset, fault| SegmentError::Damaged { offset, position, fault };
        if segment.id() != self.shared.id || segment.position() != first {
            return Err(damaged(0, Fault::Stranger));
        }
        while segment.position() < position {
            let offset = segment.offset();
            match segment.next_record() {
                Ok(Some(_)) => {}
                Ok(None) => return Err(damaged(offset, Fault::Truncated)),
                Err(SegmentError::Damaged { offset, fault, .. }) => {
                    if !segment.resume()? || segment.position() > position {
                        return Err(damaged(offset, fault));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(segment)
    }
}
