//! The end of the process, as its threads and tasks hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// Tells everybody to stop, once.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// For threads that look between two batches.
    flag: AtomicBool,
    /// For threads that sleep.
    sleepers: (Mutex<bool>, Condvar),
    /// For tasks.
    tasks: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(Inner {
            flag: AtomicBool::new(false),
            sleepers: (Mutex::new(false), Condvar::new()),
            tasks: watch::Sender::new(false),
        }))
    }
}

impl Shutdown {
    /// Asks everybody to stop.
    pub fn request(&self) {
        self.0.flag.store(true, Ordering::Relaxed);
        *self.0.sleepers.0.lock() = true;
        self.0.sleepers.1.notify_all();
        self.0.tasks.send_replace(true);
    }

    /// Whether it is time to stop.
    #[inline]
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.flag.load(Ordering::Relaxed)
    }

    /// Sleeps for a time, or until it is time to stop; tells which.
    #[must_use]
    pub fn wait_timeout(&self, time: Duration) -> bool {
        let (requested, woken) = &self.0.sleepers;
        let mut requested = requested.lock();
        if !*requested {
            woken.wait_for(&mut requested, time);
        }
        *requested
    }

    /// Waits until it is time to stop.
    pub async fn wait(&self) {
        let mut receiver = self.0.tasks.subscribe();
        // The sender lives as long as this clone, so waiting cannot fail.
        let _ = receiver.wait_for(|requested| *requested).await;
    }
}
