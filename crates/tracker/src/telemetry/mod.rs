//! What the tracker tells its operator: metrics and log lines.
//!
//! Reads counters that others keep; nothing here is touched while a request is answered.

mod lines;
pub mod log;
pub mod metrics;
pub mod names;
pub(crate) mod process;
mod reference;

pub use metrics::{Gauges, Metrics};
pub use reference::{drivers_reference, gates_reference, metrics_reference};
