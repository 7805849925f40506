//! Tests of the engine as its users meet it: scripts, golden bytes, simulation, regressions.
//!
//! No socket and no clock. The same scripts and bytes go over sockets in the tests of the product.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should")]

mod golden_http;
mod golden_udp;
mod layout;
mod ledger;
mod ledger_model;
mod pressure;
mod regressions;
mod scenarios;
mod simulation;
mod site;
mod states;
mod uniformity;
mod webrtc;
