//! What outlives a restart: the storage, the site in it, and accounts that go on where they were.
//!
//! Opened before anybody is answered, and closed when nobody is any more.

use std::sync::Arc;

use arc_swap::ArcSwap;
use skep_engine::Seed;
use skep_engine::session::Policy;

use super::{Parts, StartError};
use crate::accounts::{
    Accounts, DeltaSink, Late, LateThread, Ledgers, Watch, load_site, open_accounts, open_storage,
    restore_accounts,
};
use crate::builder::Extras;
use crate::compat::chihaya;
use crate::config::Config;
use crate::frontend::Shared;
use crate::policy;
use crate::reload::Reloader;
use crate::runtime::clock::Clock;
use crate::runtime::keeper;
use crate::runtime::load::CurrentDelay;
use crate::runtime::shutdown::Shutdown;
use crate::shards::{MemoryStore, PeerStore, SHARDS};
use crate::site::{Books, Poll, Site};
use crate::trace::Traces;

/// What was found, and what takes what comes.
pub(super) struct Kept {
    pub(super) site: Arc<Site>,
    pub(super) books: Arc<Books>,
    pub(super) store: Arc<dyn PeerStore>,
    pub(super) accounts: Option<Arc<Accounts>>,
    pub(super) late: Option<Arc<Late>>,
    pub(super) late_thread: Option<LateThread>,
    pub(super) traces: Arc<Traces>,
}

impl Kept {
    /// Opens everything that the configuration asks for.
    pub(super) fn open(
        config: &Config,
        extras: &Extras,
        seed: &Seed,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        let site = Arc::new(Site::new(seed, clock));
        site.set_combine(policy::combine(config));
        let conn = open_storage(config, extras)?;
        if let Some(conn) = &conn {
            load_site(&**conn, &site)?;
        }
        let accounts = match &extras.sink {
            Some(_) => None,
            None => open_accounts(config, conn.as_ref(), journal_id()?, clock)?,
        };
        let journal = accounts.as_ref().map(|accounts| accounts.sink());
        let sink = extras.sink.clone().or(journal);
        let ledgers = sink.as_ref().map(|sink| ledgers(config, &site, sink));
        let (late, late_thread) = sink.map(Late::new).unzip();
        let swarms = policy::swarm_settings(config);
        let traces = Arc::<Traces>::default();
        let store = MemoryStore::with_ledgers(&swarms, seed.clone(), ledgers);
        let store = Arc::new(store.with_traces(traces.clone()));
        if let Some(accounts) = &accounts {
            restore_accounts(accounts, config, &site, &store, clock)?;
        }
        let books = Arc::new(Books::new(site.clone(), conn, store.clone(), clock.clone()));
        chihaya::begin(&books, &config.compat)?;
        let accounts = accounts.map(Arc::new);
        Ok(Self { site, books, store, accounts, late, late_thread, traces })
    }
}

impl Kept {
    /// What every worker is given.
    pub(super) fn shared(
        &self,
        config: &Config,
        policy: Policy,
        clock: &Clock,
        seed: &Seed,
        shutdown: &Shutdown,
    ) -> Shared {
        Shared {
            store: self.store.clone(),
            late: self.late.clone(),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            delay: CurrentDelay::default(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            seed: seed.clone(),
            new_torrents_per_minute_max: config.swarm.new_torrents_per_minute_max,
        }
    }
}

fn ledgers(config: &Config, site: &Arc<Site>, sink: &Arc<dyn DeltaSink>) -> Ledgers {
    let settings = policy::ledger_settings(config, SHARDS as u32);
    Ledgers { site: site.clone(), sink: sink.clone(), settings }
}

fn journal_id() -> Result<u64, StartError> {
    let mut id = [0; 8];
    getrandom::fill(&mut id)?;
    Ok(u64::from_le_bytes(id))
}

impl Parts<'_> {
    /// Lets what was counted go to the storage, and looks there for what others changed.
    pub(super) fn spawn_storage(
        &mut self,
        books: &Arc<Books>,
        accounts: Option<&Arc<Accounts>>,
        reloader: &Arc<Reloader>,
    ) -> Result<(), StartError> {
        let shutdown = self.shared.shutdown.clone();
        if let Some(accounts) = accounts {
            accounts.start()?;
            let (watch, shutdown) = (Watch::new(accounts.status().clone()), shutdown.clone());
            self.spawn("skep-watch".to_owned(), move || {
                keeper::watch_accounts(watch, &shutdown);
                Ok(())
            })?;
        }
        if books.conn().is_none() {
            return Ok(());
        }
        let status = accounts.map(|accounts| accounts.status().clone());
        let poll = Poll::new(books.clone(), status, self.shared.clock.clone());
        let reloader = reloader.clone();
        self.spawn("skep-poll".to_owned(), move || {
            keeper::poll_storage(poll, &reloader, &shutdown);
            Ok(())
        })
    }
}
