//! Finding and opening the file, and how far its tables are.
//!
//! No record is read or written here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::failed;
use crate::driver::schema::{Migrate, Migration};
use crate::driver::{DriverError, DriverSettings};

/// The name of the file in the tracker's folder.
const FILE: &str = "skep.db";

/// How long to wait for another process, such as a backup, to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Statements that each connection keeps ready; there are fewer.
const STATEMENTS_MAX: usize = 64;
/// Memory for pages of the writer at the most, taken as they are needed: a page that many batches
/// change is read once.
const WRITER_CACHE_KIB: i64 = 256 * 1024;
/// Pages of the write-ahead log at which it is copied into the file. More of them mean that a page
/// which many batches change is copied less often.
const CHECKPOINT_PAGES: i64 = 64 * 1024;

/// Where the file is: what the URL says, seen from the tracker's folder.
pub(super) fn path(settings: &DriverSettings) -> Result<PathBuf, DriverError> {
    let url = settings.url.as_str();
    let stated = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    let stated = stated.unwrap_or(url);
    if stated.contains("://") {
        return Err(DriverError::Settings(
            "the url of sqlite is a path, also as sqlite:path".into(),
        ));
    }
    if stated.starts_with(':') || stated.starts_with("file:") {
        let text = "sqlite needs the path of a file; what is only in memory would not last";
        return Err(DriverError::Settings(text.into()));
    }
    let name = if stated.is_empty() { FILE } else { stated };
    Ok(settings.data_dir.join(name))
}

/// Opens the file for writing, and makes it if it is asked to.
pub(super) fn writer(path: &Path, create: bool) -> Result<Connection, DriverError> {
    if create {
        make_folder(path)?;
        make_private(path);
    }
    let create = if create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | create)?;
    set_up_writer(&connection).map_err(|error| cannot_open(path, error))?;
    Ok(connection)
}

/// Opens the file for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, DriverError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, DriverError> {
    let open = || {
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // The first look into the file: opening alone reads nothing.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|error| cannot_open(path, error))
}

fn set_up_writer(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let text = "its folder does not allow a write-ahead log, as on a network file system";
        return Err(rusqlite::Error::SqliteFailure(code, Some(text.into())));
    }
    // A batch is on the disk when it is committed: its records leave the journal then.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Makes the folder of the file, so that it is there after a power cut as well.
fn make_folder(path: &Path) -> Result<(), DriverError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    if folder.is_dir() {
        return Ok(());
    }
    let made = std::fs::create_dir_all(folder).and_then(|()| match folder.parent() {
        Some(parent) if cfg!(unix) && parent.is_dir() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    });
    made.map_err(|error| {
        DriverError::Settings(format!("cannot make the folder {}: {error}", folder.display()))
    })
}

/// Makes the file, if it is not there, for nobody else to read: passkeys are in it. Its log gets the
/// same rights. What goes wrong is told when the file is opened.
fn make_private(path: &Path) {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

/// A file that another process holds may be free later; any other fault is one of the settings.
fn cannot_open(path: &Path, error: rusqlite::Error) -> DriverError {
    let place = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            DriverError::Unavailable(format!("{place} is locked by another process"))
        }
        Some(ErrorCode::NotADatabase) => {
            DriverError::Damaged(format!("{place} is not an SQLite database"))
        }
        Some(ErrorCode::DatabaseCorrupt) => DriverError::Damaged(format!("{place}: {error}")),
        _ if !path.exists() => DriverError::Settings(format!("cannot make {place}: {error}")),
        _ => DriverError::Settings(format!("cannot open {place}: {error}")),
    }
}

/// The number of the last step that was taken.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'skep_meta'";
    if connection.query_row(sql, [], |row| row.get::<_, u32>(0))? == 0 {
        return Ok(0);
    }
    connection.query_row("SELECT coalesce(max(version), 0) FROM skep_meta", [], |row| row.get(0))
}

impl Migrate for Connection {
    fn version(&mut self) -> Result<u32, DriverError> {
        version(self).map_err(failed)
    }

    fn take(&mut self, step: &Migration) -> Result<(), DriverError> {
        let mut run = || {
            let transaction = self.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if version(&transaction)? >= step.number {
                return Ok(());
            }
            transaction.execute_batch(step.sql)?;
            let sql =
                "INSERT INTO skep_meta (version, step, taken_at) VALUES (?1, ?2, unixepoch())";
            transaction.execute(sql, (step.number, step.name))?;
            transaction.commit()
        };
        run().map_err(failed)
    }
}
