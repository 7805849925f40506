//! The threads that do what has to be done from time to time: one sweeps, one reads files.
//!
//! They are two, so that a file that keeps its reader waiting keeps nobody else.

use std::time::Duration;

use crate::reload::Reloader;
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::Shutdown;
use crate::shards::PeerStore;

/// Looks a second: sweeping is spread over them.
const STEPS_PER_SEC: u32 = 10;

/// Time between two looks.
const STEP: Duration = Duration::from_millis(1000 / STEPS_PER_SEC as u64);

/// Sweeps until the tracker stops.
pub fn keep_swarms(store: &dyn PeerStore, reloader: &Reloader, clock: &Clock, shutdown: &Shutdown) {
    let pieces = store.sweep_pieces();
    let (mut piece, mut due) = (0, 0.0);
    while !shutdown.wait_timeout(STEP) {
        reloader.settle(clock.now());
        // So many pieces a step that all of them are swept once in the interval.
        due += pieces as f64 / f64::from(reloader.sweep_interval_secs() * STEPS_PER_SEC);
        while due >= 1.0 {
            due -= 1.0;
            store.sweep_piece(piece, clock.now());
            piece = (piece + 1) % pieces;
        }
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
