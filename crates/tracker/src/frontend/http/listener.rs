//! A listener in the event loop, which gives out the connections that wait together.
//!
//! What becomes of a connection is decided by the caller.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};

/// Connections that are taken in before others have their turn.
const TURN_MAX: u32 = 64;

/// A listener in the event loop.
#[cfg(unix)]
pub(super) struct Listener(AsyncFd<TcpListener>);

#[cfg(unix)]
impl Listener {
    /// Takes over a listener of `skep_net`.
    // Its successor is unsafe, to be promised that the descriptor stays; the standard library's does.
    #[allow(deprecated)]
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        AsyncFd::with_interest(listener, Interest::READABLE).map(Self)
    }

    /// Waits for connections, hands on those that are there and returns how many it were.
    pub(super) async fn accept(
        &self,
        mut admit: impl FnMut(TcpStream, SocketAddr),
    ) -> io::Result<u32> {
        let mut ready = self.0.readable().await?;
        for accepted in 0..TURN_MAX {
            match ready.try_io(|listener| skep_net::tcp::accept(listener.get_ref())) {
                Ok(Ok((stream, peer))) => admit(stream, peer),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => return Ok(accepted),
            }
        }
        Ok(TURN_MAX)
    }
}

/// A listener in the event loop.
#[cfg(not(unix))]
pub(super) struct Listener(tokio::net::TcpListener);

#[cfg(not(unix))]
impl Listener {
    /// Takes over a listener of `skep_net`.
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(listener).map(Self)
    }

    /// Waits for a connection, hands it on and returns how many it were.
    pub(super) async fn accept(
        &self,
        mut admit: impl FnMut(TcpStream, SocketAddr),
    ) -> io::Result<u32> {
        let (stream, peer) = self.0.accept().await?;
        let stream = stream.into_std()?;
        stream.set_nodelay(true)?;
        admit(stream, peer);
        Ok(1)
    }
}
