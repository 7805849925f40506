//! The signals that mean something to a tracker.
//!
//! Says which one came; what it does is decided by the caller.

use std::io;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To stop, by the signal of this name.
    Stop(&'static str),
    /// To read configuration and lists again.
    Reload,
}

pub use system::Signals;

#[cfg(unix)]
mod system {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Asked, io};

    /// Catches signals as long as it lives.
    pub struct Signals {
        terminate: Signal,
        interrupt: Signal,
        hang_up: Signal,
    }

    impl Signals {
        /// From here on none of them ends the process by itself. Needs a runtime around it.
        ///
        /// # Errors
        /// If the system refuses.
        pub fn catch() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        }

        /// Waits for the next one.
        pub async fn next(&mut self) -> Asked {
            tokio::select! {
                _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
                _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
                _ = self.hang_up.recv() => Asked::Reload,
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Asked, io};

    /// Catches Ctrl-C, the only one that every system has.
    pub struct Signals;

    impl Signals {
        /// There is nothing to prepare.
        ///
        /// # Errors
        /// None.
        pub const fn catch() -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits for the next one.
        pub async fn next(&mut self) -> Asked {
            if tokio::signal::ctrl_c().await.is_err() {
                // Without the means to wait for it nobody can send it either.
                std::future::pending::<()>().await;
            }
            Asked::Stop("Ctrl-C")
        }
    }
}
