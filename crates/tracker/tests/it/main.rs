//! Integration tests of the product, one module a subject.
//!
//! Shared helpers live in `support`, or in the module that alone needs them.

mod config;
mod telemetry;
