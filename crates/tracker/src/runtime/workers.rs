//! Named threads that live as long as the process: when one of them ends, the process ends.

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
        let mut ending = Ending {
            end: Some(End { name: name.clone(), result: panicked() }),
            to: self.ends.0.clone(),
        };
        let handle = Builder::new().name(name).spawn(move || {
            let result = run().map_err(|error| error.to_string());
            if let Some(end) = &mut ending.end {
                end.result = result;
            }
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

    /// Asks all threads to stop and waits for them.
    ///
    /// # Errors
    /// If one of them failed.
    pub fn stop(self) -> Result<(), WorkerDied> {
        self.shutdown.request();
        for handle in self.handles {
            // Its end says whether it panicked.
            let _ = handle.join();
        }
        match self.ends.1.try_iter().find_map(|end| Some((end.name, end.result.err()?))) {
            Some((name, cause)) => Err(WorkerDied { name, cause }),
            None => Ok(()),
        }
    }
}

fn panicked() -> Result<(), String> {
    Err("it panicked".to_owned())
}

/// Reports the end of a thread, however it comes about.
struct Ending {
    end: Option<End>,
    to: SyncSender<End>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = self.to.try_send(end);
        }
    }
}
