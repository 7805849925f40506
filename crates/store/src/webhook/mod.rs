//! The storage for sites that want to hear of every delta: each batch is sent to a URL of theirs.
//!
//! Records of the site, sessions and positions are in a SQLite file of the tracker's own; how those
//! are kept is not known here. `docs/guide/webhook.md` tells sites what comes.

mod lines;
mod post;

use std::time::Duration;

use parking_lot::Mutex;
use skep_engine::ledger::Sums;
use skep_engine::site::Change;

use self::post::Receiver;
use crate::driver::schema::Migration;
use crate::driver::{
    Batch, Conn, Driver, DriverError, DriverSettings, Record, Status, Totals, without_secrets,
};
use crate::sqlite::Sqlite;

/// How long a site may take for a batch, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The driver of sites that hear of deltas over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Webhook {
    /// How long a site may take for a batch.
    pub timeout: Duration,
}

impl Default for Webhook {
    fn default() -> Self {
        Self::new()
    }
}

impl Webhook {
    /// Makes the driver.
    #[must_use]
    pub const fn new() -> Self {
        Self { timeout: TIMEOUT }
    }
}

/// The settings of the file in which everything but deltas is.
fn of_file(settings: &DriverSettings) -> DriverSettings {
    DriverSettings { url: String::new(), ..settings.clone() }
}

impl Driver for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn open(&self, settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError> {
        let receiver = Receiver::new(&settings.url, self.timeout)?;
        let file = Sqlite.open(&of_file(settings))?;
        Ok(Box::new(WebhookConn { file, receiver, one_at_a_time: Mutex::new(()) }))
    }

    fn migrations(&self) -> &'static [Migration] {
        Sqlite.migrations()
    }

    fn status(&self, settings: &DriverSettings) -> Result<Status, DriverError> {
        let status = Sqlite.status(&of_file(settings))?;
        let place = format!("{}, {}", without_secrets(&settings.url), status.place);
        Ok(Status { place, ..status })
    }
}

/// A site that hears of deltas, and the file for everything else.
struct WebhookConn {
    file: Box<dyn Conn>,
    receiver: Receiver,
    /// Batches are sent in their order, and none while another one is under way.
    one_at_a_time: Mutex<()>,
}

impl Conn for WebhookConn {
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        self.file.load(take)
    }

    fn load_sessions(
        &self,
        journal: u64,
        since_unix_secs: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        self.file.load_sessions(journal, since_unix_secs, take)
    }

    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        self.file.forget_sessions(before_unix_secs)
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        self.file.applied(journal)
    }

    /// Sends the batch, and notes its end when the site has it. Between the two it may come again.
    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        let _order = self.one_at_a_time.lock();
        let from = batch.from();
        if let Some(applied) = self.file.applied(batch.journal())?
            && applied != from
        {
            return Err(DriverError::OutOfOrder { applied, from });
        }
        if !batch.records().is_empty() {
            self.receiver.post(&lines::key_of_batch(batch), &lines::lines(batch)?)?;
        }
        self.file.apply(batch)
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        self.file.change(changes)
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        self.file.totals(of)
    }

    fn ping(&self) -> Result<(), DriverError> {
        self.file.ping()
    }
}

#[cfg(test)]
mod tests;
