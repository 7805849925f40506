//! From the ledger to the journal: one record for each delta.
//!
//! What becomes of records in the journal is known to the writer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use skep_engine::ledger::Delta;
use skep_store::Journal;
use skep_store::driver::Record;

use super::{DeltaSink, Status};
use crate::runtime::clock::Clock;

/// How long a reply waits for a disk that confirms nothing: less than clients wait for the reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps deltas in a journal.
#[derive(Debug)]
pub struct JournalSink {
    journal: Arc<Journal>,
    status: Arc<Status>,
    clock: Clock,
    durable_events: bool,
}

impl JournalSink {
    /// Writes to a journal; `durable_events` tells whether replies to ends of sessions and downloads
    /// wait for the disk.
    #[must_use]
    pub const fn new(
        journal: Arc<Journal>,
        status: Arc<Status>,
        clock: Clock,
        durable_events: bool,
    ) -> Self {
        Self { journal, status, clock, durable_events }
    }
}

impl DeltaSink for JournalSink {
    fn take(&self, delta: &Delta, endpoint: Option<SocketAddr>) -> Option<u64> {
        let at_unix_secs = self.clock.unix_secs(delta.at);
        let record = Record { at_unix_secs, endpoint, delta: *delta };
        let bytes = record.encode();
        // What is refused of a session that goes on comes again with its next announce. The end of a
        // session or of a download does not.
        let appended = match is_said_once(delta) {
            true => self.journal.append_held(&bytes),
            false => self.journal.append(&bytes),
        };
        match appended {
            Ok(position) => Some(position),
            Err(error) => {
                self.status.counts().note_untaken(error.into());
                None
            }
        }
    }

    fn is_short(&self) -> bool {
        self.journal.is_short()
    }

    fn refuses_begins(&self) -> bool {
        self.durable_events && self.journal.is_short()
    }

    fn wants_durable(&self, delta: &Delta) -> bool {
        // A session whose begin is forgotten would begin anew, without what it moved until then.
        self.durable_events && (is_said_once(delta) || delta.began)
    }

    fn wait_durable(&self, position: u64) -> bool {
        let is_durable = matches!(self.journal.wait_durable_within(position, PATIENCE), Ok(true));
        if !is_durable {
            self.status.counts().unconfirmed.fetch_add(1, Ordering::Relaxed);
        }
        is_durable
    }
}

/// Whether a client will not say it again.
const fn is_said_once(delta: &Delta) -> bool {
    !delta.session.open || delta.completed || delta.verdict.is_some()
}
