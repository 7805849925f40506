//! Swarms, rules and per-client protocol state of a BitTorrent tracker: words to decisions.
//!
//! Internal to skep, no promise of a stable interface. The engine has no clock, no socket, no
//! thread, no lock and no unsafe code: the same input, time and seed give the same output.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod counters;
pub mod gate;
mod hash;
pub mod ledger;
pub mod limits;
pub mod session;
pub mod site;
pub mod swarm;
#[cfg(feature = "testing")]
pub mod testing;
mod time;

pub use hash::Seed;
pub use time::{STAMP_STEP_SECS, Tick};
