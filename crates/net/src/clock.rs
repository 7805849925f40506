//! A cheap monotonic clock for code that needs the time once per batch.
//!
//! It knows no calendar: the origin is arbitrary and only differences mean something.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

#[cfg(any(test, not(target_os = "linux")))]
use std::sync::OnceLock;
#[cfg(any(test, not(target_os = "linux")))]
use std::time::Instant;

/// Reads the clock in whole seconds.
///
/// # Cost
/// A few nanoseconds on Linux: no system call is entered.
#[must_use]
pub fn monotonic_coarse_secs() -> u64 {
    monotonic_coarse_nanos() / 1_000_000_000
}

/// Reads the clock in nanoseconds; it moves in steps of some milliseconds and never backwards.
///
/// # Cost
/// A few nanoseconds on Linux: no system call is entered.
#[must_use]
pub fn monotonic_coarse_nanos() -> u64 {
    #[cfg(target_os = "linux")]
    return coarse_nanos();
    #[cfg(not(target_os = "linux"))]
    return instant_nanos();
}

#[cfg(target_os = "linux")]
fn coarse_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to `now`, which outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    // Every Linux that runs Rust has this clock; a zero time would freeze every expiry silently.
    assert_eq!(result, 0, "the coarse monotonic clock must be readable");
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Counts from the first call, because an [`Instant`] shows no number of its own.
#[cfg(any(test, not(target_os = "linux")))]
#[allow(clippy::disallowed_methods, reason = "this file is the clock where the kernel has none")]
fn instant_nanos() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_and_never_step_back() {
        for read in [monotonic_coarse_nanos as fn() -> u64, instant_nanos] {
            let start = read();
            let mut last = start;
            while last == start {
                let now = read();
                assert!(now >= last);
                last = now;
            }
        }
    }

    #[test]
    fn seconds_and_nanoseconds_are_one_clock() {
        let before = monotonic_coarse_nanos() / 1_000_000_000;
        let secs = monotonic_coarse_secs();
        let after = monotonic_coarse_nanos() / 1_000_000_000;
        assert!(before <= secs && secs <= after);
    }
}
