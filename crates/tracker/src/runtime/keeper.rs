//! The threads that do what has to be done from time to time: sweep, read files, look at the storage.
//!
//! They are several, so that a file or a database that keeps its reader waiting keeps nobody else.

use std::sync::Arc;
use std::time::Duration;

use skep_engine::swarm::Pressure;

use crate::accounts::Watch;
use crate::reload::Reloader;
use crate::runtime::clock::Clock;
use crate::runtime::load::LoadWatch;
use crate::runtime::memory::MemoryBudget;
use crate::runtime::shutdown::Shutdown;
use crate::shards::PeerStore;
use crate::site::Poll;
use crate::telemetry::Gauges;

/// Looks a second: sweeping is spread over them.
const STEPS_PER_SEC: u32 = 10;

/// Time between two looks.
const STEP: Duration = Duration::from_millis(1000 / STEPS_PER_SEC as u64);

/// Seconds between two looks at whether memory is to be given back to the system.
const GIVE_BACK_SECS: u32 = 2;

/// What the swarms are kept with.
pub struct Keeping {
    /// The swarms.
    pub store: Arc<dyn PeerStore>,
    /// How much memory they may take.
    pub budget: MemoryBudget,
    /// How long clients must stay away.
    pub load: LoadWatch,
    /// What they are told to.
    pub reloader: Arc<Reloader>,
    /// What is told of memory and load.
    pub gauges: Arc<Gauges>,
    /// The time.
    pub clock: Clock,
    /// When to stop.
    pub shutdown: Shutdown,
}

/// Sweeps and watches the memory and the load until the tracker stops.
pub fn keep_swarms(mut keeping: Keeping) {
    let pieces = keeping.store.sweep_pieces();
    let (mut piece, mut due, mut pressure, mut steps) = (0, 0.0, Pressure::None, 0);
    while !keeping.shutdown.wait_timeout(STEP) {
        let reloader = &keeping.reloader;
        reloader.settle(keeping.clock.now());
        // So many pieces a step that all of them are swept once in the interval; or more slowly, if
        // they are so large that the pauses in sweeping take longer.
        due += pieces as f64 / f64::from(reloader.sweep_interval_secs() * STEPS_PER_SEC);
        while due >= 1.0 && !keeping.shutdown.requested() {
            due -= 1.0;
            keeping.store.sweep_piece(piece, keeping.clock.now());
            piece = (piece + 1) % pieces;
            pressure = keeping.watch_memory(pressure);
        }
        pressure = keeping.watch_memory(pressure);
        keeping.gauges.set_delay(keeping.load.look(keeping.clock.now()));
        steps += 1;
        if steps == GIVE_BACK_SECS * STEPS_PER_SEC {
            steps = 0;
            keeping.budget.give_back();
        }
    }
}

impl Keeping {
    /// Lets the swarms know when memory becomes shorter or longer than `before`.
    fn watch_memory(&mut self, before: Pressure) -> Pressure {
        let pressure = self.budget.look();
        let (used_bytes, budget_bytes) = (self.budget.used_bytes(), self.budget.max_bytes());
        self.gauges.set_memory(used_bytes, budget_bytes, pressure);
        if pressure != before {
            self.store.set_pressure(pressure);
            let (now, before) = (pressure.word(), before.word());
            tracing::warn!(used_bytes, budget_bytes, now, before, "memory pressure has changed");
        }
        pressure
    }
}

/// Reloads when it is asked for, and looks at the list files in between, until the tracker stops.
pub fn keep_lists(reloader: &Reloader, shutdown: &Shutdown) {
    let mut steps = 0;
    while !shutdown.wait_timeout(STEP) {
        reloader.attend();
        steps += 1;
        if steps >= reloader.poll_secs() * STEPS_PER_SEC {
            steps = 0;
            reloader.poll();
        }
    }
}

/// Looks how accounts fare until the tracker stops.
pub fn watch_accounts(mut watch: Watch, shutdown: &Shutdown) {
    while !shutdown.wait_timeout(STEP) {
        watch.look();
    }
}

/// Looks at the storage for what others changed, and lets it forget old sessions, until the tracker
/// stops.
pub fn poll_storage(mut poll: Poll, reloader: &Reloader, shutdown: &Shutdown) {
    let mut steps = 0;
    while !shutdown.wait_timeout(STEP) {
        poll.forget_sessions(reloader.sessions_kept_secs());
        steps += 1;
        let poll_secs = reloader.storage_poll_secs();
        if poll_secs != 0 && steps >= poll_secs * STEPS_PER_SEC {
            poll.look();
            steps = 0;
        }
    }
}
