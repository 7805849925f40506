//! Changing lists, settings and the certificate while the tracker runs.
//!
//! Lists and settings change together or not at all; the certificate changes alone. What cannot be read leaves in force what was in
//! force, says so in the log, and is tried again. Nobody who answers or handles signals waits for it.

mod certificate;
mod ttl;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use skep_engine::ledger::LedgerSettings;
use skep_engine::session::Policy;
use skep_engine::swarm::SwarmSettings;
use skep_engine::{Seed, Tick};
use skep_store::{Look, Watched};

use crate::accounts::Accounts;
use crate::admin::Tokens;
use crate::config::{Config, Loaded, report};
use crate::policy::{self, CurrentPolicy, ListSizes};
use crate::runtime::clock::Clock;
use crate::shards::{PeerStore, SHARDS};
use crate::site::Site;
use crate::telemetry::Gauges;
use crate::telemetry::log::LogControl;
use ttl::PeerTtl;

pub use self::certificate::Certificate;

/// Reads the configuration and the lists again.
pub struct Reloader {
    /// Held while files are read, and wanted by nobody but those who read them.
    state: Mutex<State>,
    swarms: Mutex<Swarms>,
    certificate: Mutex<Option<Certificate>>,
    wanted: AtomicBool,
    sweep_interval_secs: AtomicU32,
    poll_secs: AtomicU32,
    storage_poll_secs: AtomicU32,
    sessions_kept_secs: AtomicU32,
    affected: Affected,
}

/// Everything that a reload changes, and what it needs for that.
pub struct Affected {
    /// What is in force.
    pub policy: CurrentPolicy,
    /// The swarms, which lose torrents that are no longer served.
    pub store: Arc<dyn PeerStore>,
    /// What the site tells.
    pub site: Arc<Site>,
    /// Accounts, where they are kept.
    pub accounts: Option<Arc<Accounts>>,
    /// The seed of the process.
    pub seed: Seed,
    /// Sizes of lists and the result, for the metrics.
    pub gauges: Arc<Gauges>,
    /// The time, for the metrics.
    pub clock: Clock,
    /// The level of the log, unless somebody else owns it.
    pub log: Option<LogControl>,
    /// The tokens of the API.
    pub tokens: Tokens,
}

struct State {
    /// What the tracker was started with: options that need a restart are as they are here.
    started: Loaded,
    in_force: Source,
    /// A configuration whose lists could not be read.
    unfinished: Option<Source>,
    /// What was complained of, so that it is not told again at every look.
    complaint: String,
    /// Policies that somebody may still be reading. They are dropped here, since freeing a long list
    /// takes its time and no worker has any.
    retired: Vec<Arc<Policy>>,
}

/// A configuration and its list files as they were right before they were read.
struct Source {
    loaded: Loaded,
    watched: Vec<Watched>,
}

/// The settings of swarms and ledgers as they are in force.
struct Swarms {
    settings: SwarmSettings,
    ledgers: LedgerSettings,
    ttl: PeerTtl,
    /// The longest gap that counts, which follows the interval and waits like the life of peers.
    gap: PeerTtl,
}

impl Swarms {
    fn new(config: &Config) -> Self {
        let settings = policy::swarm_settings(config);
        let ledgers = policy::ledger_settings(config, SHARDS as u32);
        let ttl = PeerTtl::new(settings.peer_ttl_secs);
        let gap = PeerTtl::new(ledgers.gap_max_secs);
        Self { settings, ledgers, ttl, gap }
    }

    fn put_in_force(&mut self, store: &dyn PeerStore) {
        let ttl_secs = self.ttl.secs();
        (self.settings.peer_ttl_secs, self.ledgers.peer_ttl_secs) = (ttl_secs, ttl_secs);
        self.ledgers.gap_max_secs = self.gap.secs();
        store.configure(&self.settings, &self.ledgers);
    }
}

impl Reloader {
    /// Takes over what was loaded at the start.
    #[must_use]
    pub fn new(loaded: Loaded, certificate: Option<Certificate>, affected: Affected) -> Self {
        if let Some(certificate) = &certificate {
            certificate.note(&affected.gauges);
        }
        let (swarm, access) = (&loaded.config.swarm, &loaded.config.access);
        Self {
            sweep_interval_secs: AtomicU32::new(swarm.sweep_interval_secs),
            poll_secs: AtomicU32::new(access.poll_secs),
            storage_poll_secs: AtomicU32::new(loaded.config.storage.poll_secs),
            sessions_kept_secs: AtomicU32::new(sessions_kept_secs(&loaded.config)),
            wanted: AtomicBool::new(false),
            certificate: Mutex::new(certificate),
            swarms: Mutex::new(Swarms::new(&loaded.config)),
            state: Mutex::new(State {
                started: loaded.clone(),
                in_force: Source::new(loaded),
                unfinished: None,
                complaint: String::new(),
                retired: Vec::new(),
            }),
            affected,
        }
    }

    /// Seconds between two looks at the list files.
    #[must_use]
    pub fn poll_secs(&self) -> u32 {
        self.poll_secs.load(Ordering::Relaxed)
    }

    /// Seconds between two looks at the storage; 0 for never.
    #[must_use]
    pub fn storage_poll_secs(&self) -> u32 {
        self.storage_poll_secs.load(Ordering::Relaxed)
    }

    /// Seconds for which a session that is silent may go on: the longest time since the start.
    #[must_use]
    pub fn sessions_kept_secs(&self) -> u32 {
        self.sessions_kept_secs.load(Ordering::Relaxed)
    }

    /// Seconds in which everything is swept once.
    #[must_use]
    pub fn sweep_interval_secs(&self) -> u32 {
        self.sweep_interval_secs.load(Ordering::Relaxed)
    }

    /// Asks for a reload and does not wait for it.
    pub fn request(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Does what was asked for, and drops what nobody reads any more.
    pub fn attend(&self) {
        if self.wanted.swap(false, Ordering::Relaxed) {
            self.reload();
        }
        let retired = &mut self.state.lock().retired;
        let before = retired.len();
        retired.retain(|policy| Arc::strong_count(policy) > 1);
        if retired.len() < before {
            // Whoever still read the old policy may have stored what the new one denies.
            self.drop_what_is_not_served(&self.affected.policy.load());
        }
    }

    /// Looks at the list files and those of the certificate, and reads again what changed and is not
    /// being written.
    pub fn poll(&self) {
        if let Some(certificate) = &mut *self.certificate.lock() {
            certificate.poll(&self.affected.gauges);
        }
        let mut state = self.state.lock();
        if let Some(mut source) = state.unfinished.take() {
            if source.look() == Look::Changing {
                state.unfinished = Some(source);
            } else {
                self.take_over(&mut state, source);
            }
        } else if state.in_force.look() == Look::Changed {
            self.read_lists(&mut state);
        }
    }

    /// Reads configuration and lists again, as on SIGHUP, and tells whether they are in force.
    pub fn reload(&self) -> bool {
        let mut state = self.state.lock();
        state.complaint.clear();
        state.unfinished = None;
        match state.started.reload() {
            Ok((loaded, waiting)) => {
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                for key in waiting {
                    tracing::warn!(key, "this change takes effect with a restart");
                }
                if let Some(certificate) = &mut *self.certificate.lock() {
                    certificate.reload(&loaded.config.tls, &self.affected.gauges);
                }
                self.take_over(&mut state, Source::new(loaded))
            }
            Err(problems) => {
                let problems = report(&problems);
                tracing::error!("nothing is reloaded: {}", problems.trim_end());
                self.note(false);
                // The files that are in force may have changed all the same.
                if let Some(certificate) = &mut *self.certificate.lock() {
                    certificate.poll(&self.affected.gauges);
                }
                false
            }
        }
    }

    /// Makes the policy anew of the configuration in force, after the API changed something of it, and
    /// tells whether it is in force.
    pub fn refresh(&self) -> bool {
        self.read_lists(&mut self.state.lock())
    }

    /// Lets a shorter life of peers begin when its time has come.
    pub fn settle(&self, now: Tick) {
        let mut swarms = self.swarms.lock();
        let (ttl, gap) = (swarms.ttl.settle(now), swarms.gap.settle(now));
        if ttl || gap {
            swarms.put_in_force(&*self.affected.store);
        }
        if ttl {
            tracing::info!(secs = swarms.ttl.secs(), "swarm.peer_ttl_secs is in force");
        }
    }

    /// Puts a configuration and its lists in force, or keeps it for the next look.
    fn take_over(&self, state: &mut State, mut source: Source) -> bool {
        let config = &source.loaded.config;
        match policy::load(config, &self.affected.seed, &self.affected.site) {
            Ok((policy, sizes)) => {
                if let Some(log) = &self.affected.log {
                    log.set_level(config.log.level);
                }
                self.poll_secs.store(config.access.poll_secs, Ordering::Relaxed);
                self.storage_poll_secs.store(config.storage.poll_secs, Ordering::Relaxed);
                self.sessions_kept_secs.fetch_max(sessions_kept_secs(config), Ordering::Relaxed);
                if let Some(accounts) = &self.affected.accounts {
                    accounts.skip_until(config.journal.skip_until);
                }
                self.sweep_interval_secs.store(config.swarm.sweep_interval_secs, Ordering::Relaxed);
                self.affected.tokens.store(Arc::new(config.admin.tokens.clone()));
                self.configure_swarms(config);
                self.put_in_force(state, policy, sizes);
                source.note_read();
                state.in_force = source;
                tracing::info!(
                    listed = sizes.listed,
                    denied = sizes.denied,
                    bad_lines = sizes.bad_lines,
                    "settings and lists are reloaded"
                );
                true
            }
            Err(error) => {
                self.complain(state, format!("settings and lists are not reloaded: {error}"));
                state.unfinished = Some(source);
                false
            }
        }
    }

    /// Puts the lists of the configuration in force that is in force already.
    fn read_lists(&self, state: &mut State) -> bool {
        match policy::load(&state.in_force.loaded.config, &self.affected.seed, &self.affected.site)
        {
            Ok((policy, sizes)) => {
                self.put_in_force(state, policy, sizes);
                state.in_force.note_read();
                tracing::info!(
                    listed = sizes.listed,
                    denied = sizes.denied,
                    bad_lines = sizes.bad_lines,
                    "a list changed: the lists are reloaded"
                );
                true
            }
            Err(error) => {
                self.complain(state, format!("the lists are not reloaded: {error}"));
                false
            }
        }
    }

    fn put_in_force(&self, state: &mut State, mut policy: Policy, sizes: ListSizes) {
        policy.own_gates = self.affected.policy.load().own_gates.clone();
        let policy = Arc::new(policy);
        state.retired.push(self.affected.policy.swap(policy.clone()));
        self.drop_what_is_not_served(&policy);
        self.affected.gauges.set_lists(sizes.listed, sizes.denied, sizes.bad_lines);
        state.complaint.clear();
        self.note(true);
    }

    fn drop_what_is_not_served(&self, policy: &Policy) {
        if !policy.rules.serves_all() {
            self.affected.store.retain(&|info_hash| policy.rules.serves(info_hash));
        }
    }

    fn configure_swarms(&self, config: &Config) {
        let now = self.affected.clock.now();
        let mut swarms = self.swarms.lock();
        swarms.settings = policy::swarm_settings(config);
        swarms.ledgers = policy::ledger_settings(config, SHARDS as u32);
        swarms.ttl.wish(config.swarm.peer_ttl_secs, now);
        swarms.gap.wish(config.accounts.gap_max_secs, now);
        swarms.put_in_force(&*self.affected.store);
        if swarms.ttl.secs() > config.swarm.peer_ttl_secs {
            tracing::info!(
                secs = config.swarm.peer_ttl_secs,
                "swarm.peer_ttl_secs waits until clients that keep to the longer time came back"
            );
        }
    }

    fn complain(&self, state: &mut State, complaint: String) {
        self.note(false);
        if state.complaint == complaint {
            tracing::debug!("still {complaint}");
            return;
        }
        tracing::error!("{complaint}; the old ones stay in force, and the next look tries again");
        state.complaint = complaint;
    }

    /// Shows the metrics how it went.
    fn note(&self, ok: bool) {
        let unix_secs =
            self.affected.clock.unix_secs_at_start() + u64::from(self.affected.clock.now().0);
        self.affected.gauges.set_reload(ok, unix_secs);
    }
}

/// How long sessions are remembered, and so are those of peers that are not gone yet.
const fn sessions_kept_secs(config: &Config) -> u32 {
    let (baseline, peer) = (config.accounts.baseline_ttl_secs, config.swarm.peer_ttl_secs);
    if baseline > peer { baseline } else { peer }
}

impl Source {
    fn new(loaded: Loaded) -> Self {
        let access = &loaded.config.access;
        let files = [&access.torrents_file, &access.torrents_deny_file];
        let watched = files.into_iter().flatten().map(Watched::new).collect();
        Self { loaded, watched }
    }

    /// Looks at all files. All of them are read together, so one that is being written holds up all.
    fn look(&mut self) -> Look {
        let looks: Vec<_> = self.watched.iter_mut().map(Watched::look).collect();
        let first = [Look::Changing, Look::Changed].into_iter().find(|look| looks.contains(look));
        first.unwrap_or(Look::Same)
    }

    fn note_read(&mut self) {
        self.watched.iter_mut().for_each(Watched::note_read);
    }
}

#[cfg(test)]
mod tests;
