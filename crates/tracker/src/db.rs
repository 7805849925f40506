//! What `skep db` tells and does: the SQL of tables, bringing them up to date, and how a storage fares.
//!
//! Runs no tracker and changes no record. What a database is asked is known to its driver.

use std::fmt::Write as _;

use skep_store::JournalEnd;
use skep_store::driver::{Driver, DriverError, DriverSettings, Status, schema};

use crate::accounts::{StorageError, driver_settings, find_driver, journal_folder};
use crate::builder::Extras;
use crate::config::Config;

/// What is asked of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbCommand {
    /// Print the SQL of its tables.
    Schema,
    /// Bring its tables up to date.
    Migrate,
    /// Tell how it fares.
    Status,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Told {
    /// Lines for whoever asked.
    pub text: String,
    /// Whether all is as it should be.
    pub is_fine: bool,
}

/// Why nothing came of it. No text of these holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// There is no such driver.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is nothing to look at.
    #[error("no storage is configured (storage.driver is none); name one with --driver")]
    None,
    /// The driver has no tables.
    #[error("the driver {0} has no tables")]
    NoTables(&'static str),
    /// The driver's answer.
    #[error("{name}: {source}")]
    Driver {
        /// The driver.
        name: &'static str,
        /// What it says.
        source: DriverError,
    },
}

/// Does what is asked of the storage that is configured.
///
/// # Errors
/// [`DbError`]
pub fn run(command: DbCommand, config: &Config, extras: &Extras) -> Result<Told, DbError> {
    let driver = find_driver(config, extras)?.ok_or(DbError::None)?;
    match command {
        DbCommand::Schema => sql(driver),
        DbCommand::Migrate => migrate(driver, config),
        DbCommand::Status => status(driver, config),
    }
}

fn sql(driver: &dyn Driver) -> Result<Told, DbError> {
    let steps = driver.migrations();
    if steps.is_empty() {
        return Err(DbError::NoTables(driver.name()));
    }
    let mut text = String::new();
    for step in steps {
        let (number, name, sql) = (step.number, step.name, step.sql);
        push(&mut text, format_args!("-- {number}: {name}\n\n{sql}\n"));
        let row = format!("({number}, '{name}', 0)");
        let insert = "INSERT INTO skep_meta (version, step, taken_at) VALUES";
        push(&mut text, format_args!("-- Who makes them by hand notes that.\n{insert} {row};\n"));
    }
    Ok(Told { text, is_fine: true })
}

fn migrate(driver: &dyn Driver, config: &Config) -> Result<Told, DbError> {
    if driver.migrations().is_empty() {
        return Err(DbError::NoTables(driver.name()));
    }
    // Whoever says this wants it now, whatever is to be done at a start.
    let settings = DriverSettings { migrate: true, ..driver_settings(config) };
    let name = driver.name();
    let failed = |source| DbError::Driver { name, source };
    let before = driver.status(&settings).map_err(failed)?.schema_found;
    driver.open(&settings).map_err(failed)?;
    let Status { place, schema_found, .. } = driver.status(&settings).map_err(failed)?;
    let text = match schema_found {
        now if now == before => format!("{name} {place}: schema {now} is up to date\n"),
        now => format!("{name} {place}: schema {before} is now {now}\n"),
    };
    Ok(Told { text, is_fine: true })
}

fn status(driver: &dyn Driver, config: &Config) -> Result<Told, DbError> {
    let name = driver.name();
    let settings = driver_settings(config);
    let status = driver.status(&settings).map_err(|source| DbError::Driver { name, source })?;
    let (known, found) = (schema::known(driver.migrations()), status.schema_found);
    let is_ours = known > 0;
    let mut text = format!("driver   {name}\nplace    {}\n", status.place);
    if is_ours {
        let advice = match found {
            _ if found == known => "up to date",
            _ if found > known => "made by a newer skep",
            _ => "run skep db migrate",
        };
        push(&mut text, format_args!("schema   {found} of {known}, {advice}\n"));
    }
    for (table, rows) in &status.rows {
        push(&mut text, format_args!("rows     {rows:>12} {table}\n"));
    }
    for (journal, position) in &status.applied {
        push(&mut text, format_args!("applied  {position:>12} of journal {journal:016x}\n"));
    }
    let journal_is_fine = push_journal(&mut text, config, &status);
    Ok(Told { text, is_fine: journal_is_fine && (!is_ours || found == known) })
}

/// Tells how far the tracker's own journal is ahead of the storage.
fn push_journal(text: &mut String, config: &Config, status: &Status) -> bool {
    let folder = journal_folder(config);
    match JournalEnd::find(&folder) {
        Ok(None) => true,
        Ok(Some(JournalEnd { id, next })) => {
            let applied = status.applied.iter().find(|(journal, _)| *journal == id);
            let behind = next.saturating_sub(applied.map_or(0, |(_, position)| *position));
            push(text, format_args!("journal  {next:>12} of journal {id:016x}, "));
            match applied {
                Some(_) => push(text, format_args!("{behind} records are not applied\n")),
                None => push(text, format_args!("of which none was applied\n")),
            }
            true
        }
        Err(error) => {
            push(text, format_args!("journal  {} cannot be read: {error}\n", folder.display()));
            false
        }
    }
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("a String takes everything");
}
