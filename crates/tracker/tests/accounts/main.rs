//! Accounts of the whole program: what clients were promised is in the database, whatever happens.
//!
//! How announces are counted is tested in the engine, each step on the way to the storage beside it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod away;
mod client;
// Servers are started as Debian has them.
#[cfg(target_os = "linux")]
mod databases;
mod kill;
mod looks;
#[cfg(target_os = "linux")]
#[path = "../../../store/tests/servers/mod.rs"]
#[allow(dead_code, reason = "tests of drivers need more of it")]
mod servers;
mod site;
mod tracker;
