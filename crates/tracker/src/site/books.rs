//! Changes of a site: by the API, kept by the storage first, and by others in the storage itself.
//!
//! Knows no transport and checks no permission.

use std::sync::Arc;

use parking_lot::Mutex;
use skep_engine::site::{Change, Factor};
use skep_store::driver::{Conn, DriverError};

use super::Site;
use super::gone::Gone;
use super::refresh::{Differences, differences, leave_budgets};
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;

/// Why a change was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The storage did not take it; nothing was changed. If the storage was not available, it may have
    /// taken it all the same, and then it is in force a little later.
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
    /// Changes that the storage was sent last, if nobody knows whether it took them.
    unsure: Vec<Change>,
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

    /// Takes over a site and a storage beside swarms that nobody has announced to.
    #[cfg(test)]
    pub(crate) fn alone(site: Arc<Site>, conn: Option<Arc<dyn Conn>>) -> Self {
        let (settings, seed) =
            (skep_engine::swarm::SwarmSettings::default(), skep_engine::Seed::new(1));
        let store = crate::shards::MemoryStore::new(&settings, seed);
        Self::new(site, conn, Arc::new(store), Clock::start())
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
        self.make_sure(&mut order).map_err(ChangeError::from)?;
        let (changes, said) = decide(&self.site)?;
        if changes.is_empty() {
            return Ok(said);
        }
        // Even one that fails: the storage may have taken it all the same.
        order.changes += 1;
        if let Some(conn) = &self.conn
            && let Err(error) = conn.change(&changes)
        {
            if error.is_transient() {
                order.unsure = changes;
            }
            return Err(ChangeError::from(error).into());
        }
        self.apply(changes);
        Ok(said)
    }

    /// Finds out whether the storage took changes whose answer was lost, if there are any, and puts
    /// them in force then.
    ///
    /// # Errors
    /// What the storage says; it is to be asked again then.
    pub fn settle(&self) -> Result<(), DriverError> {
        self.make_sure(&mut self.one_at_a_time.lock())
    }

    fn make_sure(&self, order: &mut Order) -> Result<(), DriverError> {
        let Some(conn) = self.conn.as_ref().filter(|_| !order.unsure.is_empty()) else {
            return Ok(());
        };
        let Differences { changes: found, .. } = differences(&self.site, &**conn)?;
        let changes = std::mem::take(&mut order.unsure);
        // All of them were taken, or none.
        if found.iter().any(|found| changes.iter().any(|change| makes(change, found))) {
            order.changes += 1;
            tracing::warn!(
                changes = changes.len(),
                "the storage took changes although it did not say so; they are in force now"
            );
            self.apply(changes);
        }
        Ok(())
    }

    /// Puts in force what others changed in the storage. A failure changes nothing.
    ///
    /// `settled` says up to which record the storage has heard of all that was counted, if it has. What
    /// is left of budgets is taken from the storage only if nothing was counted meanwhile.
    ///
    /// # Cost
    /// Reads everything that the storage holds. Other changes wait for it only if they are told to.
    /// # Errors
    /// What the storage says.
    pub fn refresh(
        &self,
        settled: &dyn Fn() -> Option<u64>,
        changes_wait: bool,
    ) -> Result<Refreshed, DriverError> {
        let Some(conn) = &self.conn else { return Ok(Refreshed::Same) };
        let mut order = self.one_at_a_time.lock();
        let before = order.changes;
        let settled_before = settled();
        let find = || differences(&self.site, &**conn);
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
        let Differences { mut changes, is_doubtful } = found;
        if settled_before.is_none() || settled() != settled_before {
            leave_budgets(&self.site, &mut changes);
        }
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

/// Whether a change makes this difference.
fn makes(change: &Change, found: &Change) -> bool {
    match (change, found) {
        (Change::AmendFactor(factor), Change::PutFactor(found)) => {
            let budget_bytes = factor.budget_bytes;
            *factor == Factor { budget_bytes, ..found.clone() }
        }
        _ => change == found,
    }
}

#[cfg(test)]
mod tests;
