//! The memory budget: how much is used of how much, and what that means for the swarms.
//!
//! What is kept under pressure is decided in the engine; here it is only measured.

use std::fs;

use skep_engine::swarm::Pressure;
use skep_net::memory::{allocated_bytes, available_bytes, give_back_freed};

/// Percent of the machine's memory that the process takes if nothing else is said.
const OF_MACHINE_PERCENT: u64 = 80;

/// Percent of the budget from which on each pressure begins.
const BEGINS_PERCENT: [(Pressure, u64); 3] =
    [(Pressure::Low, 85), (Pressure::High, 92), (Pressure::Full, 97)];

/// Percent of the budget by which use must fall below that for the pressure to end.
const RELIEF_PERCENT: u64 = 2;

/// Bytes that are freed before they are given back to the system, so that peers who come and go cause
/// nothing.
const GIVEN_BACK_BYTES_MIN: u64 = 16 << 20;

/// Bytes by which use may fall from one look to the next when nothing goes on any more.
const CALM_BYTES: u64 = 1 << 20;

/// How much memory the process may use, and how much it used when it was measured last.
#[derive(Debug)]
pub struct MemoryBudget {
    max_bytes: u64,
    /// Code, stacks and whatever was there before the first block was counted.
    fixed_bytes: u64,
    used_bytes: u64,
    /// The most that was used since memory was given back to the system.
    peak_bytes: u64,
    /// What was used when it was looked whether to give memory back.
    seen_bytes: u64,
    pressure: Pressure,
}

impl MemoryBudget {
    /// Takes the configured budget, 0 for a part of what the machine or its container has.
    #[must_use]
    pub fn new(configured_bytes: u64) -> Self {
        let max_bytes = match configured_bytes {
            0 => available_bytes().map_or(u64::MAX, |bytes| bytes / 100 * OF_MACHINE_PERCENT),
            bytes => bytes,
        };
        let fixed_bytes = resident_bytes().saturating_sub(allocated_bytes() as u64);
        Self {
            max_bytes,
            fixed_bytes,
            used_bytes: fixed_bytes,
            peak_bytes: 0,
            seen_bytes: 0,
            pressure: Pressure::None,
        }
    }

    /// Measures, and tells how short memory is now.
    pub fn look(&mut self) -> Pressure {
        self.used_bytes = self.fixed_bytes + allocated_bytes() as u64;
        self.pressure = pressure(self.used_bytes, self.max_bytes, self.pressure);
        self.pressure
    }

    /// Gives memory back to the system when much was freed, no more is being freed, and the allocator
    /// still keeps it. To be called every few seconds.
    ///
    /// While torrents expire their blocks lie between those of others, and there is little to give.
    pub fn give_back(&mut self) {
        let falling = self.seen_bytes.saturating_sub(self.used_bytes) >= CALM_BYTES;
        self.seen_bytes = self.used_bytes;
        self.peak_bytes = self.peak_bytes.max(self.used_bytes);
        if !falling && is_much_less(self.used_bytes, self.peak_bytes) {
            self.peak_bytes = self.used_bytes;
            if is_much_less(self.used_bytes, resident_bytes()) {
                give_back_freed();
            }
        }
    }

    /// The budget in bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What was used when it was measured last, in bytes.
    #[must_use]
    pub const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }
}

/// The pressure of so much use, where it was `before`: it ends later than it begins, so that it does
/// not come and go with every peer.
fn pressure(used: u64, max: u64, before: Pressure) -> Pressure {
    let begun = |&&(pressure, percent): &&(Pressure, u64)| {
        let relief = if pressure <= before { RELIEF_PERCENT } else { 0 };
        used >= max / 100 * (percent - relief)
    };
    BEGINS_PERCENT.iter().rev().find(begun).map_or(Pressure::None, |(pressure, _)| *pressure)
}

/// Whether use is so far below what it was, or what is resident, that memory should go back.
const fn is_much_less(used: u64, before: u64) -> bool {
    before.saturating_sub(used) >= GIVEN_BACK_BYTES_MIN
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_at_once_and_falls_with_some_relief() {
        let mut now = Pressure::None;
        for (used, expected) in [
            (84, Pressure::None),
            (85, Pressure::Low),
            (84, Pressure::Low),
            (82, Pressure::None),
            (98, Pressure::Full),
            (96, Pressure::Full),
            (94, Pressure::High),
            (90, Pressure::High),
            (89, Pressure::Low),
        ] {
            now = pressure(used, 100, now);
            assert_eq!(now, expected, "{used} percent used");
        }
    }

    #[test]
    fn memory_goes_back_when_much_was_freed_and_not_with_every_peer() {
        let mib = 1 << 20;
        for (used, before, expected) in [(85, 100, false), (84, 100, true), (60, 40, false)] {
            assert_eq!(is_much_less(used * mib, before * mib), expected, "{before} to {used} MiB");
        }
    }

    #[test]
    fn a_budget_is_what_was_said_or_a_part_of_the_machine() {
        assert_eq!(MemoryBudget::new(1 << 30).max_bytes(), 1 << 30);
        let mut of_machine = MemoryBudget::new(0);
        assert!(of_machine.max_bytes() > 1 << 20, "{} bytes", of_machine.max_bytes());
        assert_eq!(of_machine.look(), Pressure::None);
    }
}
