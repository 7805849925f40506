//! Everything that is opened for clients, sites and operators, and how much of it there is room for.
//!
//! What comes through is answered elsewhere.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::unix::{UnixSockets, bind_unix};
use super::{Bound, StartError};
use crate::bind::Sockets;
use crate::config::{Config, TlsOnHttp};
use crate::frontend::http::{HttpLimits, Listening, Security};
use crate::runtime::clock::Clock;
use crate::telemetry::process::open_files;
use crate::tls::Tls;

/// Files that are kept free for operators, lists, logs and pages, though never more than half of
/// what is free.
const FILES_FOR_OTHERS: u64 = 80;

/// Files that a runtime opens for itself.
const FILES_PER_RUNTIME: u64 = 6;

/// Everything that was opened for clients, sites and operators.
pub(super) struct Doors {
    pub(super) worker_count: usize,
    pub(super) sockets: Sockets,
    pub(super) unix_sockets: UnixSockets,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) limits: HttpLimits,
    pub(super) bound: Bound,
}

impl Doors {
    pub(super) fn open(
        config: &Config,
        tls: Option<Arc<Tls>>,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        let worker_count = worker_count(config);
        let sockets = Sockets::bind(config, worker_count)?;
        let unix_sockets = bind_unix(config)?;
        let mut bound = bound(config, &sockets).map_err(StartError::Socket)?;
        let unix_files = (worker_count * config.listen.http_unix.len()) as u64;
        let possible = connections_possible(bound.runtimes(worker_count), unix_files);
        let limits = http_limits(config, possible);
        bound.http_connections_max = limits.connections_max;
        bound.certificate_left_secs = certificate_left_secs(tls.as_deref(), clock);
        Ok(Self { worker_count, sockets, unix_sockets, tls, limits, bound })
    }
}

/// Seconds for which a certificate is good, if it tells.
fn certificate_left_secs(tls: Option<&Tls>, clock: &Clock) -> Option<i64> {
    let expires = tls?.expires_unix_secs();
    (expires > 0).then(|| expires as i64 - clock.unix_secs_at_start() as i64)
}

/// The listeners of each worker, with what they take.
pub(super) fn listening(
    config: &Config,
    http: Vec<Vec<TcpListener>>,
    https: Vec<Vec<TcpListener>>,
) -> Vec<Vec<Listening>> {
    let on_http = match config.listen.tls {
        TlsOnHttp::Off => Security::Plain,
        TlsOnHttp::Detect => Security::Detect,
    };
    let with = |security| move |socket| Listening::Tcp { socket, security };
    let of_worker = |(http, https): (Vec<_>, Vec<_>)| {
        let http = http.into_iter().map(with(on_http));
        http.chain(https.into_iter().map(with(Security::Tls))).collect()
    };
    http.into_iter().zip(https).map(of_worker).collect()
}

fn worker_count(config: &Config) -> usize {
    match config.listen.workers {
        0 => skep_net::affinity::available_cores().len().max(1),
        count => count as usize,
    }
}

fn http_limits(config: &Config, connections_possible: usize) -> HttpLimits {
    let http = &config.http;
    let secs = |secs: u32| Duration::from_secs(secs.into());
    HttpLimits {
        head_bytes_max: http.head_max_bytes as usize,
        head_timeout: secs(http.head_timeout_secs),
        idle_timeout: secs(http.idle_timeout_secs),
        write_timeout: secs(http.write_timeout_secs),
        connections_max: (http.connections_max as usize).min(connections_possible),
        connections_per_address_max: http.connections_per_address_max as usize,
    }
}

/// Connections for which there are files: running out of them would keep new ones waiting instead
/// of turning them away. Asked when everything is bound, before `runtimes` are started and `others`
/// are opened.
fn connections_possible(runtimes: usize, others: u64) -> usize {
    match (skep_net::limits::open_files(), open_files()) {
        (Ok(files), Some(open)) => {
            let taken = open + FILES_PER_RUNTIME * runtimes as u64 + others;
            let free = files.current_max.saturating_sub(taken);
            (free - FILES_FOR_OTHERS.min(free / 2)) as usize
        }
        _ => usize::MAX,
    }
}

fn bound(config: &Config, sockets: &Sockets) -> io::Result<Bound> {
    type Addresses = io::Result<Vec<SocketAddr>>;
    let of = |listeners: &[TcpListener]| -> Addresses {
        listeners.iter().map(TcpListener::local_addr).collect()
    };
    let first = |workers: &[Vec<TcpListener>]| of(workers.first().map_or(&[], Vec::as_slice));
    let udp = sockets.udp.first().map_or(&[][..], Vec::as_slice);
    Ok(Bound {
        udp: udp.iter().map(|socket| socket.local_addr()).collect(),
        http: first(&sockets.http)?,
        https: first(&sockets.https)?,
        http_unix: config.listen.http_unix.clone(),
        certificate_left_secs: None,
        admin: of(&sockets.admin)?,
        chihaya: of(&sockets.chihaya)?,
        left_out: sockets.left_out.clone(),
        receive_buffer_bytes: udp.iter().map(|socket| socket.receive_buffer_bytes()).min(),
        workers: sockets.udp.len(),
        http_connections_max: 0,
    })
}
