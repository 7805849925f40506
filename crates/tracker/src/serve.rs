//! The tracker as a process: banner, signals, and the exit status.
//!
//! What a tracker does is in `start`; this is what an operator sees of it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::Builder;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::banner::Banner;
use crate::builder::Extras;
use crate::config::{Config, Loaded, TlsOnHttp};
use crate::doctor::{self, Conntrack, Host};
use crate::runtime::panic;
use crate::runtime::signals::{Asked, Signals};
use crate::runtime::workers::WorkerDied;
use crate::start::{Bound, Running, StartError, start_with};
use crate::telemetry::log::{self, LogControl};

/// How long a dead worker may go unnoticed.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Runs the tracker until a signal or the death of a worker ends it.
#[must_use]
pub fn serve(loaded: Loaded, extras: Extras) -> ExitCode {
    let Ok(log) = log::start(&loaded.config.log) else {
        // No room for a first thread, and nowhere to say so.
        return ExitCode::FAILURE;
    };
    panic::end_process(log.clone());
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let code = match run(loaded, extras, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    };
    log.flush();
    code
}

fn run(loaded: Loaded, extras: Extras, log: &LogControl) -> Result<(), Box<dyn std::error::Error>> {
    let config = loaded.config.clone();
    let _ = skep_net::limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything is read or bound: a reload may be asked for at any time.
    let mut signals = {
        let _entered = runtime.enter();
        Signals::catch()?
    };
    let Some(running) = started(loaded, extras, log, &runtime, &mut signals)? else {
        return Ok(());
    };
    let (banner, host) = (banner(&config, running.bound()), host(&config, running.bound()));
    log.say(&banner.text());
    for warning in host.warnings() {
        tracing::warn!("{warning}");
    }
    runtime.block_on(until_the_end(&mut signals, &running))?;
    Ok(running.stop()?)
}

/// Starts the tracker on a thread of its own, so that a long list does not keep signals waiting;
/// nothing if it was stopped meanwhile.
fn started(
    loaded: Loaded,
    extras: Extras,
    log: &LogControl,
    runtime: &Runtime,
    signals: &mut Signals,
) -> Result<Option<Running>, Box<dyn std::error::Error>> {
    let (sender, receiver) = oneshot::channel::<Result<Running, StartError>>();
    let log = log.clone();
    Builder::new().name("skep-start".to_owned()).spawn(move || {
        // Whoever was to take it has stopped.
        let _ = sender.send(start_with(loaded, extras, Some(log)));
    })?;
    let mut reload = false;
    let running = runtime.block_on(async {
        tokio::pin!(receiver);
        loop {
            tokio::select! {
                started = &mut receiver => return Ok(Some(started??)),
                asked = signals.next() => match asked {
                    Asked::Stop(name) => {
                        tracing::info!("{name}: stopping");
                        return Ok(None);
                    }
                    Asked::Reload => reload = true,
                },
            }
        }
    });
    if let (true, Ok(Some(running))) = (reload, &running) {
        running.request_reload();
    }
    running
}

/// Waits for the signal to stop; has settings and lists read again when asked to meanwhile.
async fn until_the_end(signals: &mut Signals, running: &Running) -> Result<(), WorkerDied> {
    let mut watch = tokio::time::interval(WATCH_EVERY);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop(name) => {
                    tracing::info!("{name}: stopping");
                    return Ok(());
                }
                Asked::Reload => running.request_reload(),
            },
            _ = watch.tick() => running.watch(Duration::ZERO)?,
        }
    }
}

fn banner(config: &Config, bound: &Bound) -> Banner {
    Banner {
        websocket: config.websocket.enabled,
        version: env!("CARGO_PKG_VERSION"),
        mode: config.mode,
        workers: bound.workers,
        udp: bound.udp.clone(),
        http: bound.http.clone(),
        https: bound.https.clone(),
        detects_tls: config.listen.tls == TlsOnHttp::Detect,
        http_unix: bound.http_unix.clone(),
        admin: bound.admin.clone(),
        chihaya: bound.chihaya.clone(),
        ipv6: doctor::has_ipv6(),
    }
}

fn host(config: &Config, bound: &Bound) -> Host {
    let open_files = skep_net::limits::open_files().ok();
    let ipv6 = doctor::has_ipv6();
    // On a host without IPv6 every IPv6 address can be listened on, and nobody comes.
    let missing = |from: &[SocketAddr]| {
        from.iter().any(|address| address.is_ipv6() && (!ipv6 || bound.left_out.contains(address)))
    };
    let fronts = [("UDP", &config.listen.udp), ("HTTP", &config.listen.http)];
    Host {
        receive_buffer_wanted_bytes: config.listen.receive_buffer_bytes.into(),
        receive_buffer_bytes: bound.receive_buffer_bytes.map(|bytes| bytes as u64),
        receive_buffer_bytes_max: skep_net::limits::receive_buffer_bytes_max()
            .map(|bytes| bytes as u64),
        open_files_max: open_files.map(|limit| limit.current_max),
        http_connections_max: match bound.http.is_empty()
            && bound.https.is_empty()
            && bound.http_unix.is_empty()
        {
            true => 0,
            false => config.http.connections_max.into(),
        },
        http_connections_possible: Some(bound.http_connections_max as u64),
        admin_for_strangers: bound
            .admin
            .iter()
            .filter(|address| !address.ip().is_loopback())
            .copied()
            .collect(),
        conntrack: Conntrack::read(),
        certificate_left_secs: bound.certificate_left_secs,
        ipv6_missing: fronts
            .into_iter()
            .filter(|(_, listeners)| missing(&listeners.addresses))
            .map(|(name, _)| name)
            .collect(),
    }
}
