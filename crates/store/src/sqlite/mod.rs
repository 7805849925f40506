//! The storage that needs no server: one SQLite file of the tracker's own.
//!
//! Knows no other database and no rule about records. `docs/internals/sqlite.md` tells what a crash or
//! a power cut can and cannot undo.

mod apply;
mod change;
mod load;
mod open;

use std::path::PathBuf;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use skep_engine::ledger::Sums;
use skep_engine::site::Change;

use crate::driver::schema::{self, Migration};
use crate::driver::{Batch, Conn, Driver, DriverError, DriverSettings, Record, Status, Totals};

/// The driver of SQLite files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sqlite;

impl Driver for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn open(&self, settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError> {
        let path = open::path(settings)?;
        let mut writer = open::writer(&path, settings.migrate)?;
        if settings.migrate {
            schema::migrate(schema::SQLITE, &mut writer)?;
        }
        schema::require_current(schema::SQLITE, open::version(&writer).map_err(failed)?)?;
        let reader = open::reader(&path)?;
        Ok(Box::new(SqliteConn { path, writer: Mutex::new(writer), reader: Mutex::new(reader) }))
    }

    fn migrations(&self) -> &'static [Migration] {
        schema::SQLITE
    }

    fn status(&self, settings: &DriverSettings) -> Result<Status, DriverError> {
        let path = open::path(settings)?;
        let place = path.display().to_string();
        if !path.exists() {
            return Ok(Status { place, ..Status::default() });
        }
        let status = load::status(&open::reader(&path)?).map_err(failed)?;
        Ok(Status { place, ..status })
    }
}

/// An open file.
struct SqliteConn {
    path: PathBuf,
    /// For short questions, which never wait for a batch.
    reader: Mutex<Connection>,
    /// The only connection of this process that writes, so that none waits for another's lock. Closed
    /// last, because one that only reads leaves the write-ahead log behind.
    writer: Mutex<Connection>,
}

impl Conn for SqliteConn {
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        load::records(&mut open::reader(&self.path)?, take)
    }

    fn load_sessions(
        &self,
        since_unix_secs: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        load::sessions(&open::reader(&self.path)?, since_unix_secs, take)
    }

    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        let users = load::users_of_old_sessions(&open::reader(&self.path)?, before_unix_secs)?;
        let mut gone = 0;
        for some in users.chunks(FORGET_USERS_MAX) {
            // The writer is let go in between: batches do not wait for all of it.
            gone += change::forget_sessions(&mut self.writer.lock(), some, before_unix_secs)?;
        }
        Ok(gone)
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        apply::position(&self.reader.lock(), journal)
    }

    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        apply::apply(&mut self.writer.lock(), batch)
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        change::change(&mut self.writer.lock(), changes)
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        load::totals(&self.reader.lock(), of).map_err(failed)
    }

    fn ping(&self) -> Result<(), DriverError> {
        let read = "SELECT 1 FROM skep_meta LIMIT 1";
        let found = self.reader.lock().query_row(read, [], |_| Ok(())).optional();
        found.map(drop).map_err(failed)
    }
}

/// Users whose old sessions are forgotten at once.
const FORGET_USERS_MAX: usize = 200;

/// The greatest number of a column.
const COLUMN_MAX: u64 = i64::MAX as u64;

/// A number as a column holds it, cut to the greatest one.
fn clamped(number: u64) -> i64 {
    number.min(COLUMN_MAX) as i64
}

/// What a database's answer means for those who asked.
fn failed(error: rusqlite::Error) -> DriverError {
    let text = match &error {
        // The text of a failed statement repeats all of it.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DriverError::Damaged(text),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            DriverError::Refused(text)
        }
        // A busy or full disk, a lock, a file that was taken away.
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => DriverError::Unavailable(text),
        _ => DriverError::Schema(text),
    }
}

#[cfg(test)]
mod tests;
