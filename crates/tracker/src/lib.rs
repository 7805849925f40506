//! The tracker as a library: configuration, front ends, threads, and what an operator sees.
//!
//! Knows no byte offset and no rule about peers; those are in `skep-proto` and `skep-engine`.
#![forbid(unsafe_code)]
#![warn(clippy::print_stderr)]

pub mod accounts;
pub mod admin;
pub mod banner;
pub mod beps;
pub mod bind;
mod builder;
pub mod cli;
pub mod compat;
pub mod config;
pub mod db;
pub mod doctor;
pub mod driver;
pub mod frontend;
pub mod gate;
pub mod pages;
pub mod policy;
pub mod reload;
pub mod runtime;
pub mod serve;
pub mod shards;
pub mod site;
pub mod start;
pub mod stats;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use self::builder::{BuildError, Builder, Extras};
#[cfg(feature = "testing")]
pub use skep_store::battery;

/// What is taken is counted, so that swarms can be kept within a budget.
#[cfg(feature = "allocator")]
#[global_allocator]
static ALLOCATOR: skep_net::memory::CountingAllocator = skep_net::memory::CountingAllocator;
