//! What a storage driver is: where a site's records come from and where deltas go to.
//!
//! The words of all drivers and no driver. Calls wait for the database, so they are made on threads of
//! their own and never by whoever answers clients.

mod batch;
#[cfg(any(test, feature = "testing"))]
pub mod battery;
mod error;
pub mod registry;
pub mod schema;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use self::batch::{Batch, Passage, Record, Totals};
pub use self::error::DriverError;
use self::schema::Migration;

use skep_engine::site::Change;

/// How a driver is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverSettings {
    /// Where the database is, in the driver's own form; it may hold a password.
    pub url: String,
    /// Folder of the tracker, for drivers that keep files; made when first written to.
    pub data_dir: std::path::PathBuf,
    /// Names of the site's own tables and columns by the driver's names for them, such as
    /// `users.passkey` for the column and `users` for the table.
    pub names: std::collections::BTreeMap<String, String>,
    /// Whether the tables are the driver's own, to be made and migrated by it.
    pub migrate: bool,
}

/// A kind of storage.
pub trait Driver: Send + Sync + 'static {
    /// The name for `storage.driver`.
    fn name(&self) -> &'static str;

    /// Opens the storage, and migrates it if the settings say so.
    ///
    /// # Errors
    /// [`DriverError`], which names what was tried but no password.
    fn open(&self, settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError>;

    /// The steps that make its tables; none for a storage that has no tables.
    fn migrations(&self) -> &'static [Migration] {
        &[]
    }

    /// Looks at the storage without changing it, whatever the version of its tables is.
    ///
    /// # Errors
    /// [`DriverError`] if it cannot be opened.
    fn status(&self, settings: &DriverSettings) -> Result<Status, DriverError> {
        self.open(&DriverSettings { migrate: false, ..settings.clone() })?.ping()?;
        Ok(Status { place: without_secrets(&settings.url), ..Status::default() })
    }
}

/// What somebody who looks at a storage wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Where it is, without anything secret.
    pub place: String,
    /// The version of its tables; 0 if there are none.
    pub schema_found: u32,
    /// How many rows each table has, by the table's name.
    pub rows: Vec<(String, u64)>,
    /// The position behind the last record that was applied, by journal.
    pub applied: Vec<(u64, u64)>,
}

/// Scheme and host of a URL, which may be shown: all else of it may be secret.
#[must_use]
pub fn without_secrets(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        // Settings of some kind, and no path.
        None if url.contains(['@', '=']) => "(not shown)".to_owned(),
        None => url.to_owned(),
    }
}

/// An open storage, used by several threads at once.
pub trait Conn: Send + Sync {
    /// Hands over every record, each as the change that puts it, in any order, and all as they are at
    /// one moment if the storage can do that.
    ///
    /// # Errors
    /// [`DriverError`]; what was handed over until then does not count.
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError>;

    /// Hands over sessions that were heard of at or after a time, the latest first, so that they go on.
    /// Those that came with other journals are other trackers'.
    ///
    /// Of the delta only the session means anything; see [`Record::of_session`].
    ///
    /// # Errors
    /// [`DriverError`]; what was handed over until then does not count.
    fn load_sessions(
        &self,
        journal: u64,
        since_unix_secs: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError>;

    /// The position behind the last record of a journal that was applied; nothing if none was.
    ///
    /// # Errors
    /// [`DriverError`]
    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError>;

    /// Forgets sessions that were last heard of before a time, and returns how many.
    ///
    /// # Errors
    /// [`DriverError`]
    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        let _ = before_unix_secs;
        Ok(0)
    }

    /// Adds up a batch, and notes its end as the position that was applied, both or neither.
    ///
    /// A batch that does not begin where the last one ended was applied before, at least in part; it
    /// is refused with [`DriverError::OutOfOrder`] and changes nothing. The first one of a journal may
    /// begin anywhere. A batch may be without records; its end is noted all the same.
    ///
    /// # Errors
    /// [`DriverError`]; if it is transient, the same batch comes again.
    fn apply(&self, batch: &Batch) -> Result<(), DriverError>;

    /// Writes changes, all or none.
    ///
    /// # Errors
    /// [`DriverError`]
    fn change(&self, changes: &[Change]) -> Result<(), DriverError>;

    /// What was added up for a user, or for a torrent, or for a user in a torrent.
    ///
    /// # Errors
    /// [`DriverError`]
    fn totals(&self, of: Totals) -> Result<skep_engine::ledger::Sums, DriverError>;

    /// Tells whether the storage answers.
    ///
    /// # Errors
    /// [`DriverError`] if it does not.
    fn ping(&self) -> Result<(), DriverError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_nothing_is_shown_but_its_host() {
        for (url, shown) in [
            ("postgres://skep:s3cret@db:5432/site", "postgres://db:5432"),
            ("mysql://skep:s@3cret@db/site", "mysql://db"),
            ("mysql://skep:@db", "mysql://db"),
            ("https://TOKEN@site.example/a/path?key=TOKEN", "https://site.example"),
            ("https://[2001:db8::1]:8443?key=a@b", "https://[2001:db8::1]:8443"),
            ("https://site.example/hooks/a@b", "https://site.example"),
            ("host=db password=s3cret", "(not shown)"),
            ("skep:s3cret@tcp(db)/site", "(not shown)"),
            ("/srv/skep.db", "/srv/skep.db"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
