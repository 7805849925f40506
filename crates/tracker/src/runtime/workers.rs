//! Named threads that live as long as the process: when one of them ends, the process ends.
//!
//! A panic ends the process by itself: see `panic`.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::shutdown::Shutdown;

/// The threads of the process.
#[derive(Debug)]
pub struct Workers {
    shutdown: Shutdown,
    ends: (SyncSender<End>, Receiver<End>),
    handles: Vec<JoinHandle<()>>,
}

/// How a thread ended.
#[derive(Debug)]
struct End {
    name: String,
    result: Result<(), String>,
}

/// A thread ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("worker {name} ended: {cause}")]
pub struct WorkerDied {
    /// The thread.
    pub name: String,
    /// Why.
    pub cause: String,
}

/// Threads that can end without anybody listening.
const ENDS_MAX: usize = 1024;

/// One wait for the end of a thread.
const TURN: Duration = Duration::from_millis(10);

/// Turns in which no thread ends before the rest are left behind: five seconds, more than open
/// connections are given.
const QUIET_TURNS_MAX: u32 = 500;

impl Workers {
    /// No thread yet; all of them will stop with `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, ends: sync_channel(ENDS_MAX), handles: Vec::new() }
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// If the system has no room for it.
    pub fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let ends = self.ends.0.clone();
        let handle = Builder::new().name(name.clone()).spawn(move || {
            let result = run().map_err(|error| error.to_string());
            // At the very end nobody may be left to hear of it.
            let _ = ends.try_send(End { name, result });
        })?;
        self.handles.push(handle);
        Ok(())
    }

    /// Waits until a thread ends or the time is over.
    ///
    /// # Errors
    /// If one ended and was not asked to.
    pub fn watch(&self, time: Duration) -> Result<(), WorkerDied> {
        match self.ends.1.recv_timeout(time) {
            Ok(end) if !self.shutdown.requested() || end.result.is_err() => {
                let cause = end.result.err().unwrap_or_else(|| "it stopped by itself".to_owned());
                Err(WorkerDied { name: end.name, cause })
            }
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// Asks all threads to stop and waits for them, but for one that shows no sign of ending, such as
    /// a reader of a file on a network that is gone.
    ///
    /// # Errors
    /// If one of them failed.
    pub fn stop(self) -> Result<(), WorkerDied> {
        self.stop_within(QUIET_TURNS_MAX)
    }

    fn stop_within(self, quiet_turns_max: u32) -> Result<(), WorkerDied> {
        self.shutdown.request();
        let mut failed = None;
        let mut quiet_turns = 0;
        while quiet_turns < quiet_turns_max && !self.handles.iter().all(JoinHandle::is_finished) {
            match self.ends.1.recv_timeout(TURN) {
                Ok(end) => failed = failed.or_else(|| end.failure()),
                Err(_) => quiet_turns += 1,
            }
        }
        failed = failed.or_else(|| self.ends.1.try_iter().find_map(End::failure));
        for handle in self.handles {
            let name = handle.thread().name().unwrap_or_default().to_owned();
            if !handle.is_finished() {
                tracing::warn!(name, "a thread does not end; it is left behind");
            } else if handle.join().is_err() {
                let died = WorkerDied { name, cause: "it panicked".to_owned() };
                failed = failed.or(Some(died));
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl End {
    fn failure(self) -> Option<WorkerDied> {
        Some(WorkerDied { name: self.name, cause: self.result.err()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_does_not_end_is_left_behind() {
        let shutdown = Shutdown::default();
        let mut workers = Workers::new(shutdown.clone());
        let (release, wait) = sync_channel::<()>(0);
        workers.spawn("stuck".into(), move || wait.recv().map_err(io::Error::other)).unwrap();
        workers
            .spawn("lawful".into(), move || {
                while !shutdown.wait_timeout(TURN) {}
                Err(io::Error::other("on its way out"))
            })
            .unwrap();
        let died = workers.stop_within(20).unwrap_err();
        assert_eq!(died.to_string(), "worker lawful ended: on its way out");
        drop(release);
    }
}
