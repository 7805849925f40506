//! The load: how many announces are answered, and how much later clients are told to come for it.
//!
//! How delay follows from load is decided in the engine; here it is only measured and published.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use skep_engine::Tick;
use skep_engine::counters::{Action, WorkerCounters};
use skep_engine::session::LoadDelay;

use crate::policy::CurrentPolicy;

/// Seconds that load adds to every interval; workers look at it once for a batch.
#[derive(Debug, Clone, Default)]
pub struct CurrentDelay(Arc<AtomicU32>);

impl CurrentDelay {
    /// The delay now, in seconds.
    #[must_use]
    pub fn secs(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, secs: u32) {
        // Workers keep the line in their caches as long as nothing changes.
        if self.secs() != secs {
            self.0.store(secs, Ordering::Relaxed);
        }
    }
}

/// Part of the interval from which on a delay is worth a line in the log.
const LOGGED_PART: u32 = 10;

/// Looks at the counters of all workers.
pub struct LoadWatch {
    workers: Vec<Arc<WorkerCounters>>,
    policy: CurrentPolicy,
    current: CurrentDelay,
    delay: LoadDelay,
    announces: u64,
    looked_at: Tick,
    logged: bool,
}

impl LoadWatch {
    /// Watches these workers and publishes to `current`.
    #[must_use]
    pub fn new(
        workers: Vec<Arc<WorkerCounters>>,
        policy: CurrentPolicy,
        current: CurrentDelay,
    ) -> Self {
        Self {
            workers,
            policy,
            current,
            delay: LoadDelay::default(),
            announces: 0,
            looked_at: Tick(0),
            logged: false,
        }
    }

    /// Measures, and publishes and returns the delay in seconds that follows.
    pub fn look(&mut self, now: Tick) -> u32 {
        let answers = &self.policy.load().answers;
        let announces = announces(&self.workers);
        let (new, elapsed_secs) = (announces - self.announces, now.since(self.looked_at));
        (self.announces, self.looked_at) = (announces, now);
        let delay_secs = self.delay.step(answers, new, elapsed_secs);
        self.current.set(delay_secs);
        let interval_secs = answers.interval_secs;
        if !self.logged && delay_secs >= interval_secs / LOGGED_PART {
            self.logged = true;
            tracing::warn!(delay_secs, interval_secs, "load makes the announce interval longer");
        } else if self.logged && delay_secs == 0 {
            self.logged = false;
            tracing::info!(interval_secs, "the announce interval is the usual one again");
        }
        delay_secs
    }
}

fn announces(workers: &[Arc<WorkerCounters>]) -> u64 {
    let traffic = workers
        .iter()
        .flat_map(|worker| worker.udp.iter().chain(&worker.http).chain(&worker.websocket));
    traffic.map(|traffic| traffic.answers[Action::Announce as usize].get()).sum()
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use skep_engine::session::{AnswerSettings, Policy, Stretch};

    use super::*;

    fn policy(above_announces_per_sec: u32) -> Policy {
        let stretch =
            Stretch { interval_max_secs: 3960, above_announces_per_sec, above_swarm_peers: 0 };
        let answers = AnswerSettings { stretch: Some(stretch), ..AnswerSettings::default() };
        Policy { answers, ..Policy::default() }
    }

    #[test]
    fn announces_of_all_workers_and_transports_are_one_load() {
        let workers: Vec<Arc<WorkerCounters>> = vec![Arc::default(), Arc::default()];
        let in_force = Arc::new(ArcSwap::from_pointee(policy(10)));
        let current = CurrentDelay::default();
        let mut watch = LoadWatch::new(workers.clone(), in_force.clone(), current.clone());
        workers[0].udp[0].answers[Action::Announce as usize].add(1000);
        workers[0].udp[1].answers[Action::Announce as usize].add(100);
        workers[1].http[0].answers[Action::Announce as usize].add(2000);
        workers[1].http[1].answers[Action::Announce as usize].add(200);
        workers[1].udp[0].answers[Action::Scrape as usize].add(5000);
        assert_eq!((watch.look(Tick(0)), current.secs()), (330, 330));
        watch.look(Tick(0));
        assert_eq!(current.secs(), 330, "no announce counts twice");
        watch.look(Tick(30));
        assert_eq!(current.secs(), 300);
        in_force.store(Arc::new(policy(0)));
        watch.look(Tick(30));
        assert_eq!(current.secs(), 0, "a policy that does not ask for it");
    }
}
