//! From the configuration to an open storage, a site that is loaded and accounts that go on.
//!
//! Everything here waits for files and databases, and is done before anybody is answered.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use skep_engine::ledger::{Delta, SessionState};
use skep_engine::site::{Change, FactorId};
use skep_store::JournalSettings;
use skep_store::driver::registry::{DRIVERS, Make, find};
use skep_store::driver::{Conn, Driver, DriverError, DriverSettings};

use super::{Accounts, AccountsError, AccountsSettings, Restored};
use crate::builder::Extras;
use crate::config::{Config, Mode};
use crate::runtime::clock::Clock;
use crate::shards::MemoryStore;
use crate::site::Site;

/// The folder of the journal in the folder of the tracker.
const JOURNAL_FOLDER: &str = "journal";

/// Why the storage cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Nobody knows a driver of that name.
    #[error("storage.driver = {name:?}: there is no such driver; there are {}", known.join(", "))]
    Unknown {
        /// What the configuration says.
        name: String,
        /// The names of all drivers.
        known: Vec<&'static str>,
    },
    /// The driver was left out of this build.
    #[error("storage.driver = {name:?}: this build is without the feature {feature}")]
    Absent {
        /// The name of the driver.
        name: String,
        /// The feature of cargo that it needs.
        feature: &'static str,
    },
    /// It cannot be opened.
    #[error("cannot open the storage ({name}): {source}")]
    Open {
        /// The name of the driver.
        name: String,
        /// What it says.
        source: DriverError,
    },
    /// What it holds cannot be read.
    #[error("cannot load the site from the storage: {0}")]
    Load(#[source] DriverError),
}

/// Opens the storage that the configuration names; nothing if it names none.
///
/// # Errors
/// [`StorageError`]; no text of it holds a password.
pub fn open_storage(
    config: &Config,
    extras: &Extras,
) -> Result<Option<Arc<dyn Conn>>, StorageError> {
    let Some(driver) = find_driver(config, extras)? else { return Ok(None) };
    let opened = driver.open(&driver_settings(config));
    let name = || config.storage.driver.clone();
    let conn = opened.map_err(|source| StorageError::Open { name: name(), source })?;
    Ok(Some(conn.into()))
}

/// Finds the driver that the configuration names; nothing if it names none.
///
/// # Errors
/// [`StorageError`] if there is no such driver.
pub fn find_driver<'a>(
    config: &Config,
    extras: &'a Extras,
) -> Result<Option<&'a dyn Driver>, StorageError> {
    let name = &config.storage.driver;
    match (extras.driver(name), find(name)) {
        (Some(driver), _) => Ok(Some(driver.as_ref())),
        (None, Some(row)) => match row.make {
            Make::Nothing => Ok(None),
            Make::Driver(driver) => Ok(Some(driver)),
            Make::Absent => Err(StorageError::Absent { name: name.clone(), feature: row.feature }),
        },
        (None, None) => {
            let own = extras.drivers.iter().map(|driver| driver.name());
            let known = DRIVERS.iter().map(|row| row.name).chain(own).collect();
            Err(StorageError::Unknown { name: name.clone(), known })
        }
    }
}

/// The folder of the journal.
#[must_use]
pub fn journal_folder(config: &Config) -> PathBuf {
    config.storage.data_dir.join(JOURNAL_FOLDER)
}

/// How the configuration wants the driver to be opened.
#[must_use]
pub fn driver_settings(config: &Config) -> DriverSettings {
    let storage = &config.storage;
    DriverSettings {
        url: storage.url.expose().unwrap_or_default().to_owned(),
        data_dir: storage.data_dir.clone(),
        names: storage.names.clone(),
        migrate: storage.migrate,
    }
}

/// Puts everything in force that the storage holds.
///
/// # Errors
/// If it cannot be read: without it nobody would be let in.
pub fn load_site(conn: &dyn Conn, site: &Site) -> Result<(), StorageError> {
    site.load(|take| conn.load(take)).map_err(StorageError::Load)?;
    let (users, torrents) = (site.users_count(), site.torrents_count());
    tracing::info!(users, torrents, "the site is loaded from the storage");
    Ok(())
}

/// Opens the journal where accounts are kept: in private mode.
///
/// # Errors
/// [`AccountsError`]
pub fn open_accounts(
    config: &Config,
    conn: Option<&Arc<dyn Conn>>,
    id_if_new: u64,
    clock: &Clock,
) -> Result<Option<Accounts>, AccountsError> {
    let Some(conn) = conn.filter(|_| config.mode == Mode::Private) else { return Ok(None) };
    let (journal, data_dir) = (&config.journal, &config.storage.data_dir);
    let settings = AccountsSettings {
        journal: JournalSettings {
            commit_interval: Duration::from_millis(journal.commit_interval_ms.into()),
            segment_bytes: journal.segment_bytes,
            queue_bytes_max: usize::try_from(journal.queue_max_bytes).unwrap_or(usize::MAX),
            size_bytes_max: journal.size_max_bytes,
            ..JournalSettings::new(journal_folder(config), id_if_new)
        },
        data_dir: data_dir.clone(),
        durable_events: journal.durable_events,
        batch_records_max: journal.batch_records_max as usize,
        skip_until: journal.skip_until,
    };
    Accounts::open(conn.clone(), settings, clock).map(Some)
}

/// Lets sessions go on where they were, and takes from budgets what the storage has not heard of yet.
/// Open sessions of torrents that are gone end.
///
/// # Errors
/// [`AccountsError`]
pub fn restore_accounts(
    accounts: &Accounts,
    config: &Config,
    site: &Site,
    store: &MemoryStore,
    clock: &Clock,
) -> Result<(), AccountsError> {
    let now = clock.now();
    let now_unix_secs = clock.unix_secs(now);
    let ttl_secs = config.accounts.baseline_ttl_secs.max(config.swarm.peer_ttl_secs);
    let since = now_unix_secs.saturating_sub(ttl_secs.into());
    // The latest word comes first: whether a session is open.
    let mut gone = HashMap::new();
    let Restored { sessions, unapplied, spent } = accounts.restore(since, &mut |session| {
        let Some(torrent) = site.torrent(session.state.torrent) else {
            let SessionState { torrent, user, peer_id, .. } = session.state;
            gone.entry((torrent, user, peer_id)).or_insert(session.state);
            return false;
        };
        let silent_secs = now_unix_secs.saturating_sub(session.at_unix_secs);
        let silent_secs = u32::try_from(silent_secs).unwrap_or(u32::MAX);
        store.restore(&torrent.info_hash, &session.state, silent_secs, now)
    })?;
    let sink = accounts.sink();
    for session in gone.into_values().filter(|session| session.open) {
        // One that is not taken ends with the next start.
        let _ = sink.take(&Delta::end_of(session, now), None);
    }
    for (factor, bytes) in spent {
        spend(site, factor, bytes);
    }
    tracing::info!(sessions, unapplied, "accounts go on where they were");
    Ok(())
}

fn spend(site: &Site, factor: FactorId, bytes: u64) {
    let Some(mut factor) = site.factor(factor) else { return };
    if let Some(left) = &mut factor.budget_bytes {
        *left = left.saturating_sub(bytes);
        site.apply(Change::PutFactor(factor));
    }
}
