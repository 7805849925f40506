//! What the kernel accounts to a process and to the machine: processor time and memory.
//!
//! Reads only; starting and stopping programs is the business of `server`.

use std::fs;

use anyhow::{Context as _, Result};

/// Ticks of the accounting in a second; Linux shows 100 to programs whatever it uses itself.
const TICKS_PER_SEC: f64 = 100.0;

/// Processor seconds, user and system, that a process and its finished children have used.
pub(crate) fn cpu_secs(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks_in(&text)
        .map(|ticks| ticks as f64 / TICKS_PER_SEC)
        .with_context(|| format!("cannot understand {path}"))
}

/// The name of a program may hold blanks and brackets, so counting begins behind the last bracket.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Bytes of a process that are in memory.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.split_ascii_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .with_context(|| format!("no resident memory in {path}"))?;
    Ok(kib * 1024)
}

/// Processor seconds in which any core of the machine did not idle, stolen time included.
pub(crate) fn machine_cpu_secs() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let mut ticks = text
        .lines()
        .next()
        .context("/proc/stat is empty")?
        .split_ascii_whitespace()
        .skip(1)
        .map_while(|field| field.parse::<u64>().ok());
    let fields: Vec<u64> = ticks.by_ref().take(8).collect();
    // user nice system idle iowait irq softirq steal
    let busy = fields.iter().enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Ok(busy.map(|(_, ticks)| *ticks).sum::<u64>() as f64 / TICKS_PER_SEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 31 12 0 0 20 0 1 0 5";
        assert_eq!(ticks_in(stat), Some(43));
        assert_eq!(ticks_in("7 (a"), None);
    }

    #[test]
    fn own_figures_are_readable() {
        let own = std::process::id();
        assert!(resident_bytes(own).unwrap() > 4096);
        assert!(cpu_secs(own).unwrap() >= 0.0);
        assert!(machine_cpu_secs().unwrap() > 0.0);
    }
}
