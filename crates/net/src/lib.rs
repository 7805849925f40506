//! Sockets for a tracker: batched UDP, TCP listeners, and the few system calls around them.
//!
//! Internal, no promise of a stable interface. This crate knows system calls and socket options; it
//! knows no protocol above UDP and TCP, starts no thread and keeps no policy. It is the only crate
//! that may hold unsafe code, and only in the files that say so in their head.

pub mod addresses;
pub mod affinity;
pub mod clock;
pub mod limits;
pub mod memory;
#[cfg(target_os = "linux")]
mod sys;
pub mod tcp;
pub mod udp;
#[cfg(target_os = "linux")]
pub mod watch;
