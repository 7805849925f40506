//! A tracker as a child process on a core of its own.
//!
//! Which tracker it is and what it is asked is the business of the caller.

use std::mem;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use skep_net::affinity::{available_cores, pin_to_core};

use crate::load::system::{end_with_this_thread, on_end_signal};

/// The tracker that runs, within reach of the thread that waits for signals.
static RUNNING: Mutex<Option<Child>> = Mutex::new(None);

/// A running tracker; it is killed when this is dropped and when this process ends in any way.
pub(crate) struct Server {
    pid: u32,
}

impl Server {
    /// Starts a command on the first core that this process may use and stays on the last one.
    ///
    /// The tracker ends with the thread that calls this, even if that is killed.
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
        let mut running = running();
        ensure!(running.is_none(), "one tracker at a time");
        // A child begins on the cores of the thread that starts it.
        pin_to_core(first).context("cannot pin the tracker")?;
        let mut tracker = Command::new(program);
        tracker.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        end_with_this_thread(&mut tracker);
        let child = tracker.spawn().with_context(|| format!("cannot start {program}"));
        pin_to_core(last).context("cannot pin the generator")?;
        let child = running.insert(child?);
        Ok(Self { pid: child.id() })
    }

    /// The process id, for its accounts.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets no tracker outlive this process when a signal ends it; to be called once, at the start.
    pub(crate) fn end_with_process() -> Result<()> {
        let stop_for_good = || {
            let mut running = running();
            stop(&mut running);
            // Nobody may start another one in the moment that is left.
            mem::forget(running);
        };
        on_end_signal(stop_for_good).context("cannot wait for signals")
    }

    /// The cores that this process may use; to be asked before the first start.
    pub(crate) fn cores() -> Vec<usize> {
        available_cores()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut running());
    }
}

fn running() -> MutexGuard<'static, Option<Child>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(running: &mut Option<Child>) {
    if let Some(mut child) = running.take() {
        // It may have ended by itself; then there is nothing left to do.
        let _ = child.kill();
        let _ = child.wait();
    }
}
