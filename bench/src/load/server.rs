//! A tracker as a child process on a core of its own.
//!
//! Which tracker it is and what it is asked is the business of the caller.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use skep_net::affinity::{available_cores, pin_to_core};

/// A running tracker; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts a command on the first core that this process may use and stays on the last one.
    ///
    /// # Errors
    /// The program that cannot be started, or the core that cannot be used.
    pub(crate) fn start(command: &str, port: u16, cores: &[usize]) -> Result<Self> {
        let line = command.replace("{port}", &port.to_string());
        let mut words = line.split_whitespace();
        let program = words.next().context("the command of a tracker is empty")?;
        let (Some(&first), Some(&last)) = (cores.first(), cores.last()) else {
            unreachable!("a process may use a core at least");
        };
        // A child begins on the cores of the thread that starts it.
        pin_to_core(first).context("cannot pin the tracker")?;
        let child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"));
        pin_to_core(last).context("cannot pin the generator")?;
        Ok(Self { child: child? })
    }

    /// The process id, for its accounts.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The cores that this process may use; to be asked before the first start.
    pub(crate) fn cores() -> Vec<usize> {
        available_cores()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
