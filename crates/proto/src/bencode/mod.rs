//! Bencode: a small writer for replies, and a strict reader for tests and tools.
//!
//! Knows no key and no reply; those are with the protocol that they belong to.

mod reader;
mod writer;

pub use reader::{DEPTH_MAX, ReadError, Value, read};
pub use writer::{DecimalDigits, Writer};

#[cfg(test)]
mod tests;
