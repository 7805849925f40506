//! The clock of latencies and of open loops.
//!
//! Precise, while the clock that trackers use ticks every few milliseconds; nothing else is here.

use std::sync::LazyLock;
use std::time::Instant;

/// Nanoseconds since the first call.
pub(crate) fn nanos() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(now);
    u64::try_from(now().duration_since(*START).as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "latencies are what this program measures")]
fn now() -> Instant {
    Instant::now()
}
