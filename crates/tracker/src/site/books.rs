//! Changes of a site: by the API, kept by the storage first, and by others in the storage itself.
//!
//! Knows no transport and checks no permission.

use std::sync::Arc;

use parking_lot::Mutex;
use skep_engine::site::Change;
use skep_store::driver::{Conn, DriverError};

use super::Site;
use super::gone::Gone;
use super::refresh::{Differences, differences};
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;

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
    /// Where swarms and sessions of torrents are.
    store: Arc<dyn PeerStore>,
    clock: Clock,
    /// Changes are put in force in the order in which the storage took them.
    one_at_a_time: Mutex<Order>,
}

/// What changes of a site have in common.
#[derive(Debug, Default)]
struct Order {
    /// How many changes there were.
    changes: u64,
    /// Whether the last look at the storage found most records gone.
    doubted: bool,
}

/// What a look at the storage came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// It holds what is in force.
    Same,
    /// Something was changed meanwhile, so that what was found means nothing.
    Overtaken,
    /// So many records are gone that it takes a second look to believe it.
    Doubtful(usize),
    /// So many differences are in force now.
    Changed(usize),
}

impl Books {
    /// Takes over a site and the storage that it was loaded from. Swarms of torrents that are no
    /// longer served go from `store`, and sessions of torrents that went or have another info hash end.
    #[must_use]
    pub fn new(
        site: Arc<Site>,
        conn: Option<Arc<dyn Conn>>,
        store: Arc<dyn PeerStore>,
        clock: Clock,
    ) -> Self {
        Self { site, conn, store, clock, one_at_a_time: Mutex::default() }
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
        let mut order = self.one_at_a_time.lock();
        order.changes += 1;
        let (changes, said) = decide(&self.site)?;
        if let Some(conn) = self.conn.as_ref().filter(|_| !changes.is_empty()) {
            conn.change(&changes).map_err(ChangeError::from)?;
        }
        self.apply(changes);
        Ok(said)
    }

    /// Puts in force what others changed in the storage. A failure changes nothing.
    ///
    /// # Cost
    /// Reads everything that the storage holds. Other changes wait for it only if they are told to.
    /// # Errors
    /// What the storage says.
    pub fn refresh(
        &self,
        budgets_are_settled: bool,
        changes_wait: bool,
    ) -> Result<Refreshed, DriverError> {
        let Some(conn) = &self.conn else { return Ok(Refreshed::Same) };
        let mut order = self.one_at_a_time.lock();
        let before = order.changes;
        let find = || differences(&self.site, &**conn, budgets_are_settled);
        let found = match changes_wait {
            true => find()?,
            false => {
                drop(order);
                let found = find()?;
                order = self.one_at_a_time.lock();
                found
            }
        };
        if order.changes != before {
            return Ok(Refreshed::Overtaken);
        }
        let Differences { changes, is_doubtful } = found;
        order.doubted = is_doubtful && !order.doubted;
        if order.doubted {
            return Ok(Refreshed::Doubtful(changes.len()));
        }
        if changes.is_empty() {
            return Ok(Refreshed::Same);
        }
        let count = changes.len();
        self.apply(changes);
        Ok(Refreshed::Changed(count))
    }

    fn apply(&self, changes: Vec<Change>) {
        let gone = Gone::of(&self.site, &changes);
        self.site.apply_all(changes);
        gone.leave(&self.site, &*self.store, self.clock.now());
    }
}
