//! Tools for tests: scenarios, a naive model, random clients and a tracker without sockets.
//!
//! Behind the cargo feature `testing`, and the only part of the crate that uses `std`. Nothing of the
//! product is here: what is wrong in this folder makes tests wrong, not trackers.

pub mod clients;
pub mod model;
pub mod offline;
pub mod scenario;
pub mod wire;
