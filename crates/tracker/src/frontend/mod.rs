//! The doors: receive, let a session decide, ask the swarms, send.
//!
//! No rule lives here and no byte offset is known here.

pub mod http;
pub mod udp;
pub mod websocket;

use fastrand::Rng;
use std::sync::Arc;

use skep_engine::Seed;
use skep_engine::counters::WorkerCounters;
use skep_engine::gate::RateTable;

use crate::accounts::Late;
use crate::policy::CurrentPolicy;
use crate::runtime::clock::Clock;
use crate::runtime::load::CurrentDelay;
use crate::runtime::shutdown::Shutdown;
use crate::shards::PeerStore;

/// What every worker is given.
#[derive(Clone)]
pub struct Shared {
    /// The swarms.
    pub store: Arc<dyn PeerStore>,
    /// Where replies wait that promise something, if any do.
    pub late: Option<Arc<Late>>,
    /// What is in force.
    pub policy: CurrentPolicy,
    /// What load adds to intervals.
    pub delay: CurrentDelay,
    /// The time.
    pub clock: Clock,
    /// When to stop.
    pub shutdown: Shutdown,
    /// For tables that a worker owns.
    pub seed: Seed,
    /// New torrents of one address a minute; 0 for no limit.
    pub new_torrents_per_minute_max: u32,
}

/// What a worker owns and no other thread touches, but for reading its counters.
pub struct Worker {
    /// What it shares with all.
    pub shared: Shared,
    /// What it counts.
    pub counters: Arc<WorkerCounters>,
    /// How many new torrents addresses may still bring.
    pub new_torrents: RateTable,
    /// Randomness that nothing secret depends on.
    pub rng: Rng,
}

impl Worker {
    /// Makes a worker that counts into `counters`.
    #[must_use]
    pub fn new(shared: Shared, counters: Arc<WorkerCounters>) -> Self {
        let max = shared.new_torrents_per_minute_max;
        // An IPv6 customer may have a whole /48: its addresses are one.
        let new_torrents = RateTable::new(shared.seed.clone(), max, 32, 48);
        Self { shared, counters, new_torrents, rng: Rng::new() }
    }
}
