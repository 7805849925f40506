//! Clients that mean harm, and honest ones beside them that must not notice.
//!
//! That an honest client is not held up shows by order: it has its answer while the others still
//! have what would hold it up. No time is measured.

mod connections;
mod flood;
mod heads;
