//! Unix sockets of the HTTP front end, where the system has them.
//!
//! What is spoken over them is known elsewhere.

use std::io;

use super::StartError;
#[cfg(unix)]
use crate::bind::unix::UnixSocket;
use crate::config::Config;
#[cfg(unix)]
use crate::config::Listen;
use crate::frontend::http::Listening;

#[cfg(unix)]
pub(super) type UnixSockets = Vec<UnixSocket>;
#[cfg(not(unix))]
pub(super) type UnixSockets = ();

#[cfg(unix)]
pub(super) fn bind_unix(config: &Config) -> Result<UnixSockets, StartError> {
    let Listen { http_unix, http_unix_mode, .. } = &config.listen;
    let bound = http_unix.iter().map(|path| UnixSocket::bind(path, *http_unix_mode));
    Ok(bound.collect::<Result<_, _>>()?)
}

#[cfg(not(unix))]
pub(super) fn bind_unix(_config: &Config) -> Result<UnixSockets, StartError> {
    Ok(())
}

/// Gives each worker a listener of each unix socket.
#[cfg(unix)]
pub(super) fn add_unix(listeners: &mut [Vec<Listening>], sockets: &UnixSockets) -> io::Result<()> {
    for of_worker in listeners {
        for socket in sockets {
            of_worker.push(Listening::Unix(socket.listener()?));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn add_unix(
    _listeners: &mut [Vec<Listening>],
    _sockets: &UnixSockets,
) -> io::Result<()> {
    Ok(())
}
