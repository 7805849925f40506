//! Changes by the API: kept by the storage first, then put in force.
//!
//! Knows no transport and checks no permission.

use std::sync::Arc;

use parking_lot::Mutex;
use skep_engine::site::Change;
use skep_store::driver::{Conn, DriverError};

use super::Site;

/// Why a change was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The storage did not take it; nothing was changed.
    #[error(transparent)]
    Storage(#[from] DriverError),
    /// It contradicts itself or what is known already, such as a passkey that another user has.
    #[error("{0}")]
    Conflict(String),
}

/// The one way by which a running tracker's site is changed.
pub struct Books {
    site: Arc<Site>,
    /// Without a storage changes last as long as the process.
    conn: Option<Arc<dyn Conn>>,
    /// Changes are put in force in the order in which the storage took them.
    one_at_a_time: Mutex<()>,
}

impl Books {
    /// Takes over a site and the storage that it was loaded from.
    #[must_use]
    pub fn new(site: Arc<Site>, conn: Option<Arc<dyn Conn>>) -> Self {
        Self { site, conn, one_at_a_time: Mutex::new(()) }
    }

    /// What is in force.
    #[must_use]
    pub const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The storage, if there is one.
    #[must_use]
    pub const fn conn(&self) -> Option<&Arc<dyn Conn>> {
        self.conn.as_ref()
    }

    /// Accepts changes, all or none. They survive a crash once this returns.
    ///
    /// # Cost
    /// Waits for the storage: call it where that may take its time.
    /// # Errors
    /// [`ChangeError`]; nothing was changed then.
    pub fn change(&self, changes: Vec<Change>) -> Result<(), ChangeError> {
        self.change_by(|_| Ok((changes, ())))
    }

    /// Accepts the changes that `decide` makes of what is in force, which nothing else changes
    /// meanwhile, and returns what it says of them.
    ///
    /// # Cost
    /// That of [`Self::change`].
    /// # Errors
    /// What `decide` says, and [`ChangeError`]; nothing was changed then.
    pub fn change_by<T, E: From<ChangeError>>(
        &self,
        decide: impl FnOnce(&Site) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        let _order = self.one_at_a_time.lock();
        let (changes, said) = decide(&self.site)?;
        if let Some(conn) = self.conn.as_ref().filter(|_| !changes.is_empty()) {
            conn.change(&changes).map_err(ChangeError::from)?;
        }
        self.site.apply_all(changes);
        Ok(said)
    }
}
