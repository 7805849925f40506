//! The thread that does what has to be done from time to time: sweeps, and looks at list files.

use std::sync::Arc;
use std::time::Duration;

use crate::reload::Reloader;
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::Shutdown;
use crate::shards::PeerStore;

/// Looks a second: sweeping is spread over them.
const STEPS_PER_SEC: u32 = 10;

/// Runs until the tracker stops.
pub fn run(store: &dyn PeerStore, reloader: &Arc<Reloader>, clock: &Clock, shutdown: &Shutdown) {
    let step = Duration::from_secs(1) / STEPS_PER_SEC;
    let pieces = store.sweep_pieces();
    let (mut piece, mut due, mut steps) = (0, 0.0, 0u32);
    while !shutdown.wait_timeout(step) {
        // So many pieces a step that all of them are swept once in the interval.
        due += pieces as f64 / f64::from(reloader.sweep_interval_secs() * STEPS_PER_SEC);
        while due >= 1.0 {
            due -= 1.0;
            store.sweep_piece(piece, clock.now());
            piece = (piece + 1) % pieces;
        }
        steps += 1;
        if steps >= reloader.poll_secs() * STEPS_PER_SEC {
            steps = 0;
            reloader.poll();
        }
    }
}
