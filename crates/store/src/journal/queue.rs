//! What callers, the writer and readers of a journal share: the queue, and how far the disk is.
//!
//! It touches no file. One lock guards all of it and is held for the copy of one record.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::format::{Batch, LENGTH_BYTES, RECORD_BYTES_MAX};

/// Buffers that are kept for the next batches.
const SPARE_MAX: usize = 4;

/// Why a record was not taken, or is not known to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The record is too long and was not taken.
    #[error("a record of {bytes} bytes; at most {RECORD_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The queue has no room, so the record was not taken.
    #[error("the queue of the journal is full")]
    QueueFull,
    /// The segments are as long as they may be in all, so the record was not taken.
    #[error("the journal is as long as it may be; records leave it when they are applied")]
    JournalFull,
    /// The disk does not take what is queued already, so the record was not taken.
    #[error("the disk takes nothing: {kind}")]
    Disk {
        /// What the disk answered last.
        kind: io::ErrorKind,
    },
    /// The record was taken, and is written as soon as the disk allows; it is not there yet.
    #[error("record {position} is queued, but the disk takes nothing: {kind}")]
    Unconfirmed {
        /// The position of the record.
        position: u64,
        /// What the disk answered last.
        kind: io::ErrorKind,
    },
    /// The journal was closed; what was not on the disk by then will not be.
    #[error("the journal is closed")]
    Closed,
}

/// A segment that is in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) bytes: u64,
}

/// What becomes of a record while the disk takes nothing or the journal is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfFailing {
    /// It is refused.
    Refuse,
    /// It waits in the queue, as long as that has room.
    Queue,
}

/// What the writer thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    /// It looks at the queue before it waits again.
    Busy,
    /// It waits for a record.
    Idle,
    /// It waits for company for the records that are there.
    Gathering,
}

#[derive(Debug)]
pub(super) struct State {
    queue: VecDeque<Batch>,
    spare: Vec<Vec<u8>>,
    /// Bytes of records that are not on the disk, those in the writer's hands included.
    queued_bytes: usize,
    /// The position of the record that is taken next.
    pub(super) next: u64,
    /// Every record before this position is on the disk.
    pub(super) durable: u64,
    /// Somebody waits for every record before this position.
    wanted: u64,
    activity: Activity,
    pub(super) failing: Option<io::ErrorKind>,
    closing: bool,
    /// The writer has ended.
    closed: bool,
    pub(super) segments: VecDeque<Segment>,
    /// What the segments may have in all, and what those in memory may have.
    limits: Limits,
    counts: Counts,
}

/// How long a journal may become. Bytes, each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Of records that are not on the disk.
    pub(super) queue_bytes_max: usize,
    /// Of all segments; 0 for no limit.
    pub(super) size_bytes_max: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    refused: u64,
    commits: u64,
    write_failures: u64,
}

/// How a journal fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalStatus {
    /// The oldest position that is kept.
    pub first: u64,
    /// Every record before this position is on the disk.
    pub durable: u64,
    /// The position that the next record will have.
    pub next: u64,
    /// Bytes of the records that are not on the disk yet.
    pub queued_bytes: usize,
    /// Segments that are kept.
    pub segments: usize,
    /// Bytes of these segments.
    pub segment_bytes: u64,
    /// What the disk answered, if nothing is taken because of it.
    pub failing: Option<io::ErrorKind>,
    /// Whether the segments are as long as they may be, so that nothing is taken.
    pub full: bool,
    /// Records that were not taken since the start, for whatever reason.
    pub refused: u64,
    /// Batches that were written and synced since the start.
    pub commits: u64,
    /// Batches that could not be written or synced since the start, each attempt counted.
    pub write_failures: u64,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Callers who wait for the disk, and readers, wait here.
    done: Condvar,
    pub(super) folder: PathBuf,
    pub(super) id: u64,
    /// As [`State::is_short`] had it last.
    short: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        folder: PathBuf,
        id: u64,
        next: u64,
        segments: VecDeque<Segment>,
        limits: Limits,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            spare: Vec::new(),
            queued_bytes: 0,
            next,
            durable: next,
            wanted: 0,
            activity: Activity::Busy,
            failing: None,
            closing: false,
            closed: false,
            segments,
            limits,
            counts: Counts::default(),
        };
        let (work, done) = (Condvar::new(), Condvar::new());
        let short = AtomicBool::new(state.is_short());
        Self { state: Mutex::new(state), work, done, folder, id, short }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Takes a record and returns its position.
    pub(super) fn append(&self, record: &[u8], if_failing: IfFailing) -> Result<u64, AppendError> {
        let mut state = self.state.lock();
        match state.push(record, if_failing) {
            Ok(position) => {
                self.note_room(&state);
                self.wake_writer(&mut state);
                Ok(position)
            }
            Err(error) => {
                state.counts.refused += 1;
                Err(error)
            }
        }
    }

    /// Whether there is hardly room for more; asked by many at once.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Notes whether there is room after the state has changed.
    pub(super) fn note_room(&self, state: &State) {
        let short = state.is_short();
        if self.short.load(Ordering::Relaxed) != short {
            self.short.store(short, Ordering::Relaxed);
        }
    }

    /// Returns when the record at `position` is on the disk, or when the disk has confirmed nothing
    /// for so long; tells which.
    pub(super) fn wait_durable(
        &self,
        position: u64,
        patience: Duration,
    ) -> Result<bool, AppendError> {
        let mut state = self.state.lock();
        assert!(position < state.next, "waits for record {position} that nobody appended");
        loop {
            if position < state.durable {
                return Ok(true);
            }
            if state.closed {
                return Err(AppendError::Closed);
            }
            if let Some(kind) = state.failing {
                return Err(AppendError::Unconfirmed { position, kind });
            }
            state.wanted = state.wanted.max(position + 1);
            self.wake_writer(&mut state);
            if self.done.wait_for(&mut state, patience).timed_out() {
                return Ok(position < state.durable);
            }
        }
    }

    /// Waits until a record at `position` can be read; false if it cannot be after all.
    pub(super) fn wait_readable(&self, position: u64, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        if position >= state.durable && !state.closed {
            self.done.wait_for(&mut state, timeout);
        }
        position < state.durable
    }

    fn wake_writer(&self, state: &mut State) {
        let wake = match state.activity {
            Activity::Busy => false,
            Activity::Idle => !state.queue.is_empty() || state.closing,
            Activity::Gathering => state.is_urgent(),
        };
        if wake {
            // Noted here, so that the next record does not wake it once more.
            state.activity = Activity::Busy;
            self.work.notify_one();
        }
    }

    /// Hands the writer the next batch, once it has one that should wait no longer.
    ///
    /// Returns nothing when the journal closes and the queue is empty.
    pub(super) fn take(&self, commit_interval: Duration) -> Option<Batch> {
        let mut state = self.state.lock();
        while state.queue.is_empty() {
            if state.closing {
                return None;
            }
            state.activity = Activity::Idle;
            self.work.wait(&mut state);
            state.activity = Activity::Busy;
        }
        if !commit_interval.is_zero() && !state.is_urgent() {
            state.activity = Activity::Gathering;
            self.work.wait_for(&mut state, commit_interval);
            state.activity = Activity::Busy;
        }
        state.queue.pop_front()
    }

    /// Notes that a batch is on the disk, and tells everybody who waits for that.
    pub(super) fn committed(&self, batch: Batch, offset_after: u64) {
        let mut state = self.state.lock();
        state.durable = batch.end();
        state.queued_bytes -= batch.payload().len();
        state.counts.commits += 1;
        state.failing = None;
        if let Some(segment) = state.segments.back_mut() {
            segment.bytes = offset_after;
        }
        if state.spare.len() < SPARE_MAX {
            state.spare.push(batch.into_buffer());
        }
        self.note_room(&state);
        self.done.notify_all();
    }

    /// Notes that an attempt to write a batch failed.
    pub(super) fn attempt_failed(&self) {
        self.state.lock().counts.write_failures += 1;
    }

    /// Refuses records from now on, and waits for a while unless the journal closes.
    pub(super) fn pause(&self, kind: io::ErrorKind, retry_interval: Duration) {
        let mut state = self.state.lock();
        state.failing = Some(kind);
        self.note_room(&state);
        self.done.notify_all();
        if !state.closing {
            self.work.wait_for(&mut state, retry_interval);
        }
    }

    /// Tells whether nothing more will come.
    pub(super) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    /// Notes a segment that is in the folder now.
    pub(super) fn created(&self, segment: Segment) {
        let mut state = self.state.lock();
        if state.segments.back().is_some_and(|last| last.first == segment.first) {
            state.segments.pop_back();
        }
        state.segments.push_back(segment);
    }

    /// Takes no record any more and lets the writer finish.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        state.activity = Activity::Busy;
        self.work.notify_one();
    }

    /// Notes that the writer has ended.
    pub(super) fn ended(&self) {
        self.state.lock().closed = true;
        self.done.notify_all();
    }

    pub(super) fn status(&self) -> JournalStatus {
        let state = self.state.lock();
        JournalStatus {
            first: state.segments.front().map_or(state.durable, |segment| segment.first),
            durable: state.durable,
            next: state.next,
            queued_bytes: state.queued_bytes,
            segments: state.segments.len(),
            segment_bytes: state.segment_bytes(),
            failing: state.failing,
            full: state.is_full(),
            refused: state.counts.refused,
            commits: state.counts.commits,
            write_failures: state.counts.write_failures,
        }
    }
}

impl State {
    fn push(&mut self, record: &[u8], if_failing: IfFailing) -> Result<u64, AppendError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(AppendError::TooLong { bytes: record.len() });
        }
        if self.closing {
            return Err(AppendError::Closed);
        }
        let mut queue_bytes_max = self.limits.queue_bytes_max;
        if if_failing == IfFailing::Refuse {
            queue_bytes_max = queue_bytes_max / 4 * 3;
            if let Some(kind) = self.failing {
                return Err(AppendError::Disk { kind });
            }
            if self.is_full() {
                return Err(AppendError::JournalFull);
            }
        }
        let bytes = LENGTH_BYTES + record.len();
        if self.queued_bytes + bytes > queue_bytes_max {
            return Err(AppendError::QueueFull);
        }
        if !self.queue.back().is_some_and(|batch| batch.has_room(record.len())) {
            let buffer = self.spare.pop().unwrap_or_default();
            self.queue.push_back(Batch::new(self.next, buffer));
        }
        if let Some(batch) = self.queue.back_mut() {
            batch.push(record);
        }
        self.queued_bytes += bytes;
        self.next += 1;
        Ok(self.next - 1)
    }

    fn segment_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn is_full(&self) -> bool {
        let max = self.limits.size_bytes_max;
        max != 0 && self.segment_bytes() >= max
    }

    /// Whether nothing is taken or will be soon.
    fn is_short(&self) -> bool {
        let queue_bytes_short = self.limits.queue_bytes_max / 2;
        self.failing.is_some() || self.queued_bytes > queue_bytes_short || self.is_full()
    }

    /// Tells whether what is queued should wait for no more company.
    fn is_urgent(&self) -> bool {
        self.wanted > self.durable || self.queue.len() > 1 || self.closing
    }

    /// The segment that `position` is in, and where the next one begins.
    pub(super) fn segment_of(&self, position: u64) -> Option<(u64, Option<u64>)> {
        let behind = self.segments.partition_point(|segment| segment.first <= position);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        Some((segment.first, self.segments.get(behind).map(|next| next.first)))
    }
}
