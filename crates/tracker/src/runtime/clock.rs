//! The one place that asks for the time.
//!
//! Workers read it once for a batch; everything below them is handed a [`Tick`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use skep_engine::Tick;

/// Seconds since the process began: real ones, and those that a test adds.
#[derive(Debug, Clone)]
pub struct Clock {
    start_secs: u64,
    unix_secs_at_start: u64,
    moved_secs: Arc<AtomicU32>,
}

impl Clock {
    /// Starts the clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            start_secs: skep_net::clock::monotonic_coarse_secs(),
            unix_secs_at_start: unix.map_or(0, |since| since.as_secs()),
            moved_secs: Arc::default(),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Tick {
        let real = skep_net::clock::monotonic_coarse_secs().saturating_sub(self.start_secs);
        Tick(real as u32).plus(self.moved_secs.load(Ordering::Relaxed))
    }

    /// The wall clock at [`Tick`] 0, in seconds since 1970.
    #[must_use]
    pub const fn unix_secs_at_start(&self) -> u64 {
        self.unix_secs_at_start
    }

    /// What the wall clock shows at a time, in seconds since 1970.
    #[must_use]
    pub const fn unix_secs(&self, tick: Tick) -> u64 {
        self.unix_secs_at_start + tick.0 as u64
    }

    /// Moves the time ahead, for tests that would otherwise have to wait.
    pub fn advance(&self, secs: u32) {
        self.moved_secs.fetch_add(secs, Ordering::Relaxed);
    }
}
