//! Accounts of the whole program: what clients were promised is in the database, whatever happens.
//!
//! How announces are counted is tested in the engine, each step on the way to the storage beside it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod away;
mod client;
mod kill;
mod site;
mod tracker;
