//! Limits that the system sets on this process and that decide how much traffic it can take.
//!
//! It reads and raises them; what to warn about is decided by the caller.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

use std::io;

/// How many files and sockets this process may hold open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFiles {
    /// The limit in force.
    pub current_max: u64,
    /// How far this process may raise it by itself.
    pub allowed_max: u64,
}

/// Reads the limit of open files.
///
/// # Errors
/// The cause given by the system; `Unsupported` where this crate knows no such limit.
pub fn open_files() -> io::Result<OpenFiles> {
    #[cfg(target_os = "linux")]
    return linux::open_files();
    #[cfg(not(target_os = "linux"))]
    Err(unsupported())
}

/// Raises the limit of open files as far as this process may, and returns what is in force then.
///
/// # Errors
/// The cause given by the system; `Unsupported` where this crate knows no such limit.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    #[cfg(target_os = "linux")]
    return linux::raise_open_files();
    #[cfg(not(target_os = "linux"))]
    Err(unsupported())
}

/// The largest receive buffer that an unprivileged process may ask for, if the system tells.
///
/// # Units
/// Bytes, as in `net.core.rmem_max`.
#[must_use]
pub fn receive_buffer_bytes_max() -> Option<usize> {
    read_number("/proc/sys/net/core/rmem_max")
}

/// The largest send buffer that an unprivileged process may ask for, if the system tells.
///
/// # Units
/// Bytes, as in `net.core.wmem_max`.
#[must_use]
pub fn send_buffer_bytes_max() -> Option<usize> {
    read_number("/proc/sys/net/core/wmem_max")
}

fn read_number(path: &str) -> Option<usize> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "the limit of open files is not known on this system",
    )
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{OpenFiles, io};

    pub(super) fn open_files() -> io::Result<OpenFiles> {
        let limit = get()?;
        Ok(OpenFiles { current_max: limit.rlim_cur, allowed_max: limit.rlim_max })
    }

    pub(super) fn raise_open_files() -> io::Result<OpenFiles> {
        let limit = get()?;
        set(libc::rlimit64 { rlim_cur: limit.rlim_max, ..limit })?;
        open_files()
    }

    pub(super) fn set(limit: libc::rlimit64) -> io::Result<()> {
        // SAFETY: the pointer is to `limit`, which outlives the call and is only read.
        if unsafe { libc::setrlimit64(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn get() -> io::Result<libc::rlimit64> {
        let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is to `limit`, which outlives the call.
        if unsafe { libc::getrlimit64(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(limit)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn open_files_rise_to_what_is_allowed() {
        let allowed_max = open_files().unwrap().allowed_max;
        linux::set(libc::rlimit64 { rlim_cur: allowed_max - 1, rlim_max: allowed_max }).unwrap();
        assert_eq!(open_files().unwrap().current_max, allowed_max - 1);
        let after = raise_open_files().unwrap();
        assert_eq!(after, OpenFiles { current_max: allowed_max, allowed_max });
        assert_eq!(open_files().unwrap(), after);
    }

    #[test]
    fn kernel_tells_its_largest_buffers() {
        assert!(receive_buffer_bytes_max().unwrap() >= 2048);
        assert!(send_buffer_bytes_max().unwrap() >= 2048);
        assert_eq!(read_number("/proc/sys/net/core/no-such-number"), None);
    }
}
