//! Threads, signals and the clock: everything about running that is not about trackers.

pub mod clock;
pub mod keeper;
pub mod load;
pub mod memory;
pub mod panic;
pub mod shutdown;
pub mod signals;
pub mod workers;
