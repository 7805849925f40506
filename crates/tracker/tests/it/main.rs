//! Integration tests of the product, one module a subject.
//!
//! Shared helpers live in `support`, or in the module that alone needs them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod access;
mod accounts;
mod api;
mod chihaya;
mod config;
mod db;
mod external;
mod generated;
mod golden;
mod hostile;
mod http_limits;
mod intervals;
mod lifecycle;
mod memory;
mod own_gates;
mod pages;
mod private;
mod proxy;
mod robustness;
mod scenarios;
mod support;
mod telemetry;
#[cfg(feature = "tls")]
mod tls;
#[cfg(unix)]
mod unix_sockets;
mod websocket;
