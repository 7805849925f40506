//! The tracker as a process: banner, signals, and the exit status.
//!
//! What a tracker does is in `start`; this is what an operator sees of it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::banner::Banner;
use crate::config::{Config, Loaded};
use crate::doctor::{Conntrack, Host};
use crate::runtime::workers::WorkerDied;
use crate::start::{Bound, Running, start};
use crate::telemetry::log;

/// How long a dead worker may go unnoticed.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Runs the tracker until a signal or the death of a worker ends it.
#[must_use]
pub fn serve(loaded: Loaded) -> ExitCode {
    let config = loaded.config.clone();
    let log = log::start(&config.log);
    let _ = skep_net::limits::raise_open_files();
    let running = match start(loaded, Some(log)) {
        Ok(running) => running,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // Whoever reads the banner may send a signal at once.
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    // Nobody has to be there to read it.
    let _ = io::stderr().write_all(banner(&config, running.bound()).text().as_bytes());
    for warning in host(&config, running.bound()).warnings() {
        tracing::warn!("{warning}");
    }
    match signals.until_the_end(&running).and_then(|()| running.stop()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(died) => failed(&died),
    }
}

fn banner(config: &Config, bound: &Bound) -> Banner {
    Banner {
        version: env!("CARGO_PKG_VERSION"),
        mode: config.mode,
        workers: bound.workers,
        udp: bound.udp.clone(),
        http: bound.http.clone(),
        admin: bound.admin.clone(),
    }
}

fn host(config: &Config, bound: &Bound) -> Host {
    let open_files = skep_net::limits::open_files().ok();
    let missing = |from: &[SocketAddr]| from.iter().any(|address| bound.left_out.contains(address));
    let fronts = [("UDP", &config.listen.udp), ("HTTP", &config.listen.http)];
    Host {
        receive_buffer_wanted_bytes: config.listen.receive_buffer_bytes.into(),
        receive_buffer_bytes: bound.receive_buffer_bytes.map(|bytes| bytes as u64),
        receive_buffer_bytes_max: skep_net::limits::receive_buffer_bytes_max()
            .map(|bytes| bytes as u64),
        open_files_max: open_files.map(|limit| limit.current_max),
        http_connections_max: match bound.http.is_empty() {
            true => 0,
            false => config.http.connections_max.into(),
        },
        conntrack: Conntrack::read(),
        ipv6_missing: fronts
            .into_iter()
            .filter(|(_, listeners)| missing(&listeners.addresses))
            .map(|(name, _)| name)
            .collect(),
    }
}

fn failed(cause: &dyn std::error::Error) -> ExitCode {
    tracing::error!("{cause}");
    ExitCode::FAILURE
}

/// The signals that mean something, and the runtime in which they are waited for.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    /// Waits for the signal to stop; reloads on SIGHUP meanwhile.
    fn until_the_end(mut self, running: &Running) -> Result<(), WorkerDied> {
        self.runtime.block_on(async {
            let mut watch = tokio::time::interval(WATCH_EVERY);
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => break tracing::info!("SIGTERM: stopping"),
                    _ = self.interrupt.recv() => break tracing::info!("SIGINT: stopping"),
                    _ = self.hang_up.recv() => running.reload(),
                    _ = watch.tick() => running.watch(Duration::ZERO)?,
                }
            }
            Ok(())
        })
    }
}
