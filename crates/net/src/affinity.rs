//! Which processor cores this process may use, and pinning a thread to one of them.
//!
//! How many workers there are and which worker goes where is decided by the caller.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

use std::io;

/// Lists the cores that this process may run on, by the numbers that [`pin_to_core`] takes.
///
/// A container or `taskset` may leave any subset, so the list need not start at 0. It is never
/// empty. Call it before the first thread is pinned.
#[must_use]
pub fn available_cores() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    if let Some(cores) = linux::allowed_cores() {
        return cores;
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    (0..count).collect()
}

/// Pins the calling thread to one core; does nothing where the system has no such call.
///
/// # Errors
/// The cause given by the system, for example when this process may not use that core.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return linux::pin_to_core(core);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = core;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;

    const CORES_MAX: usize = libc::CPU_SETSIZE as usize;

    /// The affinity mask of the main thread; nothing if it does not fit the fixed-size set.
    pub(super) fn allowed_cores() -> Option<Vec<usize>> {
        // SAFETY: a CPU set is an array of integers, for which all zeroes is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer and size describe `set`, which outlives the call.
        let result = unsafe {
            libc::sched_getaffinity(libc::getpid(), size_of::<libc::cpu_set_t>(), &raw mut set)
        };
        if result != 0 {
            return None;
        }
        // SAFETY: every number asked for is below the size of the set.
        let cores = (0..CORES_MAX).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect();
        Some(cores)
    }

    pub(super) fn pin_to_core(core: usize) -> io::Result<()> {
        if core >= CORES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("core number must be below {CORES_MAX}"),
            ));
        }
        // SAFETY: a CPU set is an array of integers, for which all zeroes is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: `core` was checked to be below the size of the set.
        unsafe { libc::CPU_SET(core, &mut set) };
        // SAFETY: the pointer and size describe `set`, which outlives the call; 0 is this thread.
        let result =
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_pins_to_any_available_core_and_to_no_other() {
        let cores = available_cores();
        assert!(!cores.is_empty());
        std::thread::spawn(move || {
            for &core in &cores {
                pin_to_core(core).unwrap();
                #[cfg(target_os = "linux")]
                {
                    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                    let line = format!("Cpus_allowed_list:\t{core}\n");
                    assert!(status.contains(&line), "no {line:?} in {status}");
                }
            }
            #[cfg(target_os = "linux")]
            assert!(pin_to_core(usize::MAX).is_err());
        })
        .join()
        .unwrap();
    }
}
