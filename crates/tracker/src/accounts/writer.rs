//! The thread that carries records from the journal to the storage: each of them once, and in order.
//!
//! How records are written is the journal's business, what becomes of them in the storage the driver's.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skep_net::clock::monotonic_coarse_nanos;
use skep_store::driver::{Batch, Conn, DriverError, Record};
use skep_store::{Journal, JournalReader, ReadError, RecordError};

use super::Status;
use super::refused::RefusedFile;
use crate::runtime::shutdown::Shutdown;

/// How long the writer waits for a record before it looks whether it is to end.
const LOOK: Duration = Duration::from_secs(1);

/// The first pause after a failure, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Records that may be refused in a row before it is taken for a fault of the storage.
const REFUSED_IN_A_ROW_MAX: u32 = 8;

/// What the writer works with.
pub(super) struct Writer {
    /// Where records come from.
    pub(super) journal: Arc<Journal>,
    /// Where they go.
    pub(super) conn: Arc<dyn Conn>,
    /// What is told of it.
    pub(super) status: Arc<Status>,
    /// Records that are applied together, at the most.
    pub(super) batch_records_max: usize,
    /// Records before this position may be given up if nothing else helps; an operator said so.
    pub(super) skip_until: Arc<AtomicU64>,
    /// Where refused records and damaged segments are kept.
    pub(super) data_dir: PathBuf,
    /// Asks to finish what is there, and to end when that fails.
    pub(super) ending: Shutdown,
}

/// Why the writer leaves its place in the journal.
#[derive(Debug)]
enum Halt {
    /// It is to end.
    Ending,
    /// Another batch was applied last than the writer believed.
    Reread,
}

/// What came out of the journal.
struct Taken {
    from: u64,
    records: Vec<Record>,
    /// What stands behind them and cannot be taken.
    fault: Option<Fault>,
}

enum Fault {
    Read(ReadError),
    Record { position: u64, bytes: Vec<u8>, error: RecordError },
}

/// What is kept of records that are given up.
enum Evidence<'a> {
    None,
    Bytes(&'a [u8]),
    Segment(&'a Path),
}

impl Writer {
    /// Applies what is in the journal and what comes, until it is to end and nothing is left or
    /// nothing more can be applied.
    pub(super) fn run(self) {
        let mut run = Run {
            refused: RefusedFile::new(&self.data_dir),
            writer: self,
            failures_in_a_row: 0,
            refused_in_a_row: 0,
            release_failed: false,
            reread: None,
            expected: None,
        };
        while let Err(Halt::Reread) = run.follow() {}
        let journal = run.writer.journal.status();
        let left = journal.next.saturating_sub(run.applied());
        if left > 0 {
            tracing::warn!(records = left, "not all records are applied; the journal keeps them");
        }
    }
}

struct Run {
    writer: Writer,
    refused: RefusedFile,
    failures_in_a_row: u32,
    refused_in_a_row: u32,
    release_failed: bool,
    /// Where the storage said to go on when it was last asked.
    reread: Option<u64>,
    /// Where it must go on, if that is known.
    expected: Option<u64>,
}

/// Why nothing is applied if the storage is elsewhere in the journal than this writer, who left out and
/// repeated nothing.
fn of_another(applied: u64, expected: u64) -> String {
    format!(
        "records up to position {applied} of this journal were applied to it, but this tracker is at \
         {expected}: another tracker has a copy of storage.data_dir, or the storage was put back; \
         let no two trackers have the same folder, and start this one again"
    )
}

impl Run {
    fn applied(&self) -> u64 {
        self.writer.status.counts().applied.load(Ordering::Relaxed)
    }

    fn follow(&mut self) -> Result<(), Halt> {
        let position = self.place()?;
        let mut reader = self.reader(position)?;
        loop {
            if !reader.wait(LOOK) {
                self.writer.status.counts().set_oldest(None);
                if self.writer.ending.requested() {
                    return Ok(());
                }
                continue;
            }
            let Taken { from, records, fault } = self.take(&mut reader);
            if let Some(first) = records.first() {
                self.writer.status.counts().set_oldest(Some(first.at_unix_secs));
                self.apply_records(from, records)?;
            }
            if let Some(fault) = fault {
                self.overcome(&mut reader, fault)?;
            }
        }
    }

    /// Asks the storage where to go on.
    fn place(&mut self) -> Result<u64, Halt> {
        loop {
            match self.writer.conn.applied(self.writer.journal.id()) {
                Ok(applied) => {
                    let position = applied.unwrap_or_else(|| self.writer.journal.status().first);
                    if let Some(expected) = self.expected.filter(|it| *it != position) {
                        self.pause(&of_another(position, expected))?;
                        continue;
                    }
                    if self.reread.replace(position) == Some(position) {
                        // It says so for the second time, and did not take a batch from there.
                        self.pause(&format!("it contradicts itself about position {position}"))?;
                    }
                    self.writer.status.counts().applied.store(position, Ordering::Relaxed);
                    return Ok(position);
                }
                Err(error) => self.pause(&error.to_string())?,
            }
        }
    }

    fn reader(&mut self, mut position: u64) -> Result<JournalReader, Halt> {
        loop {
            match self.writer.journal.reader(position) {
                Ok(reader) => return Ok(reader),
                Err(ReadError::Released { first, .. }) => {
                    let why = "they were removed, since this or another storage had them";
                    self.give_up(position..first, why, Evidence::None)?;
                    position = first;
                }
                Err(error) => self.pause(&error.to_string())?,
            }
        }
    }

    fn take(&self, reader: &mut JournalReader) -> Taken {
        let (from, max) = (reader.position(), self.writer.batch_records_max);
        let (mut records, mut fault) = (Vec::new(), None);
        while records.len() < max && fault.is_none() {
            match reader.read() {
                Ok(Some((position, bytes))) => match Record::decode(bytes) {
                    Ok(record) => records.push(record),
                    Err(error) => {
                        fault = Some(Fault::Record { position, bytes: bytes.to_vec(), error });
                    }
                },
                Ok(None) => break,
                Err(error) => fault = Some(Fault::Read(error)),
            }
        }
        Taken { from, records, fault }
    }

    /// Applies records that follow each other. If the storage refuses them, halves are tried until it
    /// is known which one it refuses.
    fn apply_records(&mut self, from: u64, records: Vec<Record>) -> Result<(), Halt> {
        // The part that comes first is last.
        let mut parts = vec![(from, records)];
        while let Some((from, records)) = parts.pop() {
            let batch = Batch::new(self.writer.journal.id(), from, records);
            let Some(why) = self.apply(&batch)? else {
                self.refused_in_a_row = 0;
                continue;
            };
            match batch.records() {
                [record] => {
                    if !self.set_aside(from, record, &why)? {
                        parts.push((from, vec![*record]));
                    }
                }
                records => {
                    let (first, second) = records.split_at(records.len() / 2);
                    parts.push((from + first.len() as u64, second.to_vec()));
                    parts.push((from, first.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// Applies a batch, however often it takes. Returns why if the storage refuses it for good.
    fn apply(&mut self, batch: &Batch) -> Result<Option<String>, Halt> {
        loop {
            let start = monotonic_coarse_nanos();
            match self.writer.conn.apply(batch) {
                Ok(()) => {
                    self.note_applied(batch, (monotonic_coarse_nanos() - start) / 1_000_000);
                    return Ok(None);
                }
                // It was applied before, and the answer was lost.
                Err(DriverError::OutOfOrder { applied, .. })
                    if [batch.from(), batch.until()].contains(&applied) =>
                {
                    self.expected = Some(applied);
                    return Err(Halt::Reread);
                }
                Err(DriverError::OutOfOrder { applied, from }) => {
                    self.note_failure();
                    self.pause(&of_another(applied, from))?;
                }
                Err(DriverError::Refused(why)) => {
                    self.note_failure();
                    return Ok(Some(why));
                }
                Err(error) => {
                    self.note_failure();
                    self.pause(&error.to_string())?;
                }
            }
        }
    }

    fn note_failure(&self) {
        self.writer.status.counts().failures.fetch_add(1, Ordering::Relaxed);
    }

    fn note_applied(&mut self, batch: &Batch, millis: u64) {
        let counts = self.writer.status.counts();
        counts.applied.store(batch.until(), Ordering::Relaxed);
        counts.batches.fetch_add(1, Ordering::Relaxed);
        counts.records.fetch_add(batch.records().len() as u64, Ordering::Relaxed);
        counts.apply_millis.fetch_add(millis, Ordering::Relaxed);
        if self.writer.status.set_stuck(None) {
            let tries = self.failures_in_a_row;
            tracing::info!(tries, "records are applied to the storage again");
        }
        (self.failures_in_a_row, self.reread) = (0, None);
        self.expected = Some(batch.until());
        let released = self.writer.journal.release(batch.until());
        if let Err(error) = &released
            && !self.release_failed
        {
            tracing::error!(%error, "a segment of the journal cannot be removed; tried again later");
        }
        self.release_failed = released.is_err();
    }

    /// Keeps a record that is refused for good in a file instead. False if it is to be tried again,
    /// since the storage refuses too many for it to be their fault.
    fn set_aside(&mut self, position: u64, record: &Record, why: &str) -> Result<bool, Halt> {
        let is_allowed = position < self.writer.skip_until.load(Ordering::Relaxed);
        if self.refused_in_a_row >= REFUSED_IN_A_ROW_MAX && !is_allowed {
            let after = position + 1;
            self.pause(&format!(
                "it refuses one record after the other: {why}; journal.skip_until = {after} keeps \
                 those before position {after} in a file instead"
            ))?;
            return Ok(false);
        }
        self.refused_in_a_row += 1;
        self.keep_aside(position, &record.encode(), why)?;
        let counts = self.writer.status.counts();
        let refused = counts.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused.is_power_of_two() {
            let file = self.refused.path().display();
            tracing::error!(%file, position, refused, "a record is refused, and kept in a file: {why}");
        }
        self.apply_gap(position..position + 1)?;
        Ok(true)
    }

    fn keep_aside(&mut self, position: u64, bytes: &[u8], why: &str) -> Result<(), Halt> {
        while let Err(error) = self.refused.add(self.writer.journal.id(), position, bytes, why) {
            self.pause(&format!("{} cannot be written: {error}", self.refused.path().display()))?;
        }
        Ok(())
    }

    /// Notes positions as applied whose records will never be.
    fn apply_gap(&mut self, positions: Range<u64>) -> Result<(), Halt> {
        let gap = Batch::given_up(self.writer.journal.id(), positions);
        while let Some(why) = self.apply(&gap)? {
            self.pause(&why)?;
        }
        Ok(())
    }

    fn overcome(&mut self, reader: &mut JournalReader, fault: Fault) -> Result<(), Halt> {
        match fault {
            Fault::Record { position, bytes, error } => {
                let evidence = Evidence::Bytes(&bytes);
                self.give_up(position..position + 1, &error.to_string(), evidence)
            }
            Fault::Read(ReadError::Damaged(damage)) => {
                let positions = loop {
                    match reader.skip_damaged() {
                        Ok(positions) => break positions,
                        Err(error) => self.pause(&error.to_string())?,
                    }
                };
                let place = damage.path.display();
                let why = format!("{place} is damaged at byte {}: {}", damage.offset, damage.fault);
                self.give_up(positions, &why, Evidence::Segment(&damage.path))
            }
            Fault::Read(error) => self.pause(&error.to_string()),
        }
    }

    /// Copies a damaged segment, which goes once all that can be read of it is applied.
    fn keep_segment(&self, path: &Path) {
        let name = path.with_extension("damaged");
        let copy = self.writer.data_dir.join(name.file_name().unwrap_or_default());
        match std::fs::copy(path, &copy) {
            Ok(_) => tracing::warn!(copy = %copy.display(), "the damaged segment is kept"),
            Err(error) => tracing::error!(%error, "the damaged segment cannot be kept"),
        }
    }

    /// Waits until an operator gives up records that cannot be read, then goes on behind them.
    fn give_up(
        &mut self,
        positions: Range<u64>,
        why: &str,
        evidence: Evidence<'_>,
    ) -> Result<(), Halt> {
        let Range { start, end } = positions;
        let records = end - start;
        let what = format!(
            "{records} records of the journal from position {start} on cannot be read: {why}; \
             journal.skip_until = {end} gives them up"
        );
        while self.writer.skip_until.load(Ordering::Relaxed) < end {
            if self.writer.status.set_stuck(Some(what.clone())) {
                tracing::error!("nothing more is applied to the storage: {what}");
            }
            if self.writer.ending.wait_timeout(LOOK) {
                return Err(Halt::Ending);
            }
        }
        match evidence {
            Evidence::None => {}
            Evidence::Bytes(bytes) => self.keep_aside(start, bytes, why)?,
            Evidence::Segment(path) => self.keep_segment(path),
        }
        self.apply_gap(start..end)?;
        self.writer.status.counts().given_up.fetch_add(records, Ordering::Relaxed);
        tracing::error!(from = start, records, "records of the journal are given up: {why}");
        Ok(())
    }

    /// Tells a failure if it is the first in a row, and waits before the next attempt.
    fn pause(&mut self, why: &str) -> Result<(), Halt> {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.writer.status.set_stuck(Some(why.to_owned())) {
            tracing::error!(
                "nothing is applied to the storage: {why}; the journal keeps it, and it is tried \
                 again"
            );
        } else {
            tracing::debug!(tries = self.failures_in_a_row, "still: {why}");
        }
        let doubled = PAUSE_MIN.saturating_mul(1 << self.failures_in_a_row.min(16));
        let pause = (doubled / 2).min(PAUSE_MAX).mul_f64(0.75 + fastrand::f64() / 2.0);
        match self.writer.ending.wait_timeout(pause) {
            true => Err(Halt::Ending),
            false => Ok(()),
        }
    }
}
