//! What the system says of this process.
//!
//! Only reads `/proc`; where there is none, nothing is known.

use std::fs;

/// Ticks of processor time in a second, as Linux shows them to programs on every architecture that
/// this one runs on, whatever the kernel uses inside.
const TICKS_PER_SEC: f64 = 100.0;

/// Resources in use.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Process {
    pub(super) cpu_secs: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
}

impl Process {
    pub(super) fn read() -> Option<Self> {
        Some(Self {
            cpu_secs: cpu_secs(&fs::read_to_string("/proc/self/stat").ok()?)?,
            resident_bytes: resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)?,
            open_files: open_files()?,
        })
    }
}

/// Files and sockets that are open now.
pub(crate) fn open_files() -> Option<u64> {
    // One of them is the directory that is being read.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

fn cpu_secs(stat: &str) -> Option<f64> {
    // The second field is the name of the program in brackets, which may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SEC)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_program_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 156 0 0 0 250 50 0 0 20 0 1 0 100 4 5 6";
        assert_eq!(cpu_secs(stat), Some(3.0));
        assert_eq!(cpu_secs("7 (a"), None);
    }

    #[test]
    fn resident_memory_is_told_in_bytes() {
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\nVmRSS:\t  1234 kB\n"), Some(1234 * 1024));
        assert_eq!(resident_bytes("VmPeak:\t  9 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_files() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 100_000);
        assert!(process.open_files >= 3);
    }
}
