//! Trackers as child processes, each on the core it is given.
//!
//! Which tracker it is and what it is asked is the business of the caller.

use std::io::{BufRead as _, BufReader, Write as _};
use std::mem;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use skep_net::affinity::pin_to_core;

use crate::load::system::{begin_on_core, end_with_this_thread, on_end_signal};

/// The first port that Linux hands out by itself.
///
/// Trackers stay below: connections of the generator that just ended would keep some of them from
/// binding one of those.
const CLIENT_PORT_MIN: u16 = 32_768;

/// The trackers that run, within reach of the thread that waits for signals.
static RUNNING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A running tracker; it is killed when this is dropped and when this process ends in any way.
pub(crate) struct Server {
    pid: u32,
}

impl Server {
    /// Starts a command on one core, or wherever the system likes.
    ///
    /// The tracker ends with the thread that calls this, even if that is killed.
    ///
    /// # Errors
    /// The program that cannot be started, or the core that cannot be used.
    pub(crate) fn start(line: &str, core: Option<usize>) -> Result<Self> {
        // Nobody reads what it writes, so it must not be a pipe, which would fill up.
        Self::start_with(line, core, Stdio::null)
    }

    /// The same for a program that answers lines: see [`Server::ask`].
    pub(crate) fn start_talking(line: &str, core: Option<usize>) -> Result<Self> {
        Self::start_with(line, core, Stdio::piped)
    }

    fn start_with(line: &str, core: Option<usize>, end: fn() -> Stdio) -> Result<Self> {
        let mut words = line.split_whitespace();
        let program = words.next().context("the command of a tracker is empty")?;
        let mut command = Command::new(program);
        command.args(words).stdin(end()).stdout(end()).stderr(Stdio::null());
        end_with_this_thread(&mut command);
        if let Some(core) = core {
            begin_on_core(&mut command, core);
        }
        let mut running = running();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let pid = child.id();
        running.push(child);
        Ok(Self { pid })
    }

    /// The process id, for its accounts.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes a line to the program and returns the one that it answers.
    pub(crate) fn ask(&self, line: &str) -> Result<String> {
        let mut running = running();
        let child = running.iter_mut().find(|child| child.id() == self.pid);
        let child = child.context("the tracker has ended")?;
        let (Some(input), Some(output)) = (&mut child.stdin, &mut child.stdout) else {
            bail!("the tracker was not started to talk");
        };
        writeln!(input, "{line}").context("the tracker takes no commands")?;
        let mut answer = String::new();
        BufReader::new(output).read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }

    /// Lets no tracker outlive this process when a signal ends it; to be called once, at the start.
    pub(crate) fn end_with_process() -> Result<()> {
        let stop_for_good = || {
            let mut running = running();
            running.drain(..).for_each(stop);
            // Nobody may start another one in the moment that is left.
            mem::forget(running);
        };
        on_end_signal(stop_for_good).context("cannot wait for signals")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut running = running();
        let place = running.iter().position(|child| child.id() == self.pid);
        if let Some(place) = place {
            stop(running.swap_remove(place));
        }
    }
}

fn running() -> MutexGuard<'static, Vec<Child>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(mut child: Child) {
    // It may have ended by itself; then there is nothing left to do.
    let _ = child.kill();
    let _ = child.wait();
}

/// Does something on a thread of its own that stays on one core, if one is given.
pub(crate) fn on_core<T: Send>(
    core: Option<usize>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let pinned = || {
        if let Some(core) = core {
            pin_to_core(core).with_context(|| format!("cannot use core {core}"))?;
        }
        work()
    };
    let done = thread::scope(|scope| scope.spawn(pinned).join());
    done.unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
}

/// The first port from the given one on that nobody uses right now.
pub(crate) fn free_port(from: u16) -> Result<u16> {
    let is_free = |&port: &u16| {
        let address = (Ipv4Addr::UNSPECIFIED, port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    (from..CLIENT_PORT_MIN)
        .find(is_free)
        .with_context(|| format!("no free port between {from} and {CLIENT_PORT_MIN}"))
}
