//! Changing lists and settings while the tracker runs: all of it or nothing.
//!
//! What cannot be read leaves in force what was in force, and says so in the log.

use std::sync::Arc;

use parking_lot::Mutex;
use skep_engine::Seed;
use skep_store::Watched;

use crate::config::{Config, Loaded, changed_restart_keys, report};
use crate::policy::{self, CurrentPolicy};
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;
use crate::telemetry::Gauges;
use crate::telemetry::log::LogControl;

/// Reads the configuration and the lists again.
pub struct Reloader {
    state: Mutex<State>,
    affected: Affected,
}

/// Everything that a reload changes, and what it needs for that.
pub struct Affected {
    /// What is in force.
    pub policy: CurrentPolicy,
    /// The swarms, which lose torrents that are no longer served.
    pub store: Arc<dyn PeerStore>,
    /// The seed of the process.
    pub seed: Seed,
    /// Sizes of lists and the result, for the metrics.
    pub gauges: Arc<Gauges>,
    /// The time, for the metrics.
    pub clock: Clock,
    /// The level of the log, unless somebody else owns it.
    pub log: Option<LogControl>,
}

struct State {
    loaded: Loaded,
    watched: Vec<Watched>,
}

impl Reloader {
    /// Takes over what was loaded at the start.
    #[must_use]
    pub fn new(loaded: Loaded, affected: Affected) -> Self {
        let watched = watched(&loaded.config);
        Self { state: Mutex::new(State { loaded, watched }), affected }
    }

    /// Seconds between two looks at the list files.
    #[must_use]
    pub fn poll_secs(&self) -> u32 {
        self.state.lock().loaded.config.access.poll_secs
    }

    /// Seconds in which everything is swept once.
    #[must_use]
    pub fn sweep_interval_secs(&self) -> u32 {
        self.state.lock().loaded.config.swarm.sweep_interval_secs
    }

    /// Reads the list files again if one of them changed.
    pub fn poll(&self) {
        let mut state = self.state.lock();
        // All are asked: each remembers what it saw.
        let changed = state.watched.iter_mut().fold(false, |any, file| file.changed() | any);
        if changed {
            self.apply(&state.loaded.config);
        }
    }

    /// Reads configuration and lists again, as on SIGHUP.
    pub fn reload(&self) {
        let mut state = self.state.lock();
        let loaded = match Config::load(&state.loaded.sources) {
            Ok(loaded) => loaded,
            Err(problems) => {
                let problems = report(&problems);
                tracing::error!("the configuration is not reloaded: {}", problems.trim_end());
                self.note(false);
                return;
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        for key in changed_restart_keys(&state.loaded, &loaded) {
            tracing::warn!(key, "this change takes effect with a restart");
        }
        if let Some(log) = &self.affected.log {
            log.set_level(loaded.config.log.level);
        }
        // Before the lists are read, so that a change during the reading is seen at the next look.
        state.watched = watched(&loaded.config);
        if self.apply(&loaded.config) {
            self.affected.store.configure(&policy::swarm_settings(&loaded.config));
            state.loaded = loaded;
        }
    }

    /// Puts a configuration and its lists in force; `false` if a list cannot be read.
    fn apply(&self, config: &Config) -> bool {
        match policy::load(config, &self.affected.seed) {
            Ok((policy, sizes)) => {
                let policy = Arc::new(policy);
                self.affected.policy.store(policy.clone());
                if !policy.rules.serves_all() {
                    self.affected.store.retain(&|info_hash| policy.rules.serves(info_hash));
                }
                self.affected.gauges.set_lists(sizes.listed, sizes.denied, sizes.bad_lines);
                self.note(true);
                tracing::info!(
                    listed = sizes.listed,
                    denied = sizes.denied,
                    bad_lines = sizes.bad_lines,
                    "lists and settings are reloaded"
                );
                true
            }
            Err(error) => {
                tracing::error!("the lists are not reloaded: {error}; the old ones stay in force");
                self.note(false);
                false
            }
        }
    }

    /// Shows the metrics how it went.
    fn note(&self, ok: bool) {
        let unix_secs =
            self.affected.clock.unix_secs_at_start() + u64::from(self.affected.clock.now().0);
        self.affected.gauges.set_reload(ok, unix_secs);
    }
}

fn watched(config: &Config) -> Vec<Watched> {
    let access = &config.access;
    [&access.torrents_file, &access.torrents_deny_file]
        .into_iter()
        .flatten()
        .map(Watched::new)
        .collect()
}
