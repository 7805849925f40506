//! A listener in the event loop, which gives out the connections that wait together.
//!
//! What becomes of a connection is decided by the caller.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::fd::AsRawFd;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};

/// Connections that are taken in before others have their turn.
const TURN_MAX: u32 = 64;

/// A listener in the event loop.
#[cfg(unix)]
pub(super) struct Listener<L: AsRawFd = TcpListener>(AsyncFd<L>);

#[cfg(unix)]
impl<L: AsRawFd> Listener<L> {
    /// Takes over a listener that does not block.
    // Its successor is unsafe, to be promised that the descriptor stays; the standard library's does.
    #[allow(deprecated)]
    pub(super) fn new(listener: L) -> io::Result<Self> {
        AsyncFd::with_interest(listener, Interest::READABLE).map(Self)
    }

    /// Waits for connections, takes those that are there and returns how many it were.
    async fn take(&self, mut take: impl FnMut(&L) -> io::Result<()>) -> io::Result<u32> {
        let mut ready = self.0.readable().await?;
        for accepted in 0..TURN_MAX {
            match ready.try_io(|listener| take(listener.get_ref())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => return Ok(accepted),
            }
        }
        Ok(TURN_MAX)
    }
}

#[cfg(unix)]
impl Listener {
    /// Waits for connections, hands on those that are there and returns how many it were.
    pub(super) async fn accept(
        &self,
        mut admit: impl FnMut(TcpStream, SocketAddr),
    ) -> io::Result<u32> {
        let accept = |listener: &TcpListener| {
            let (stream, peer) = skep_net::tcp::accept(listener)?;
            admit(stream, peer);
            Ok(())
        };
        self.take(accept).await
    }
}

#[cfg(unix)]
impl Listener<UnixListener> {
    /// Waits for connections, hands on those that are there and returns how many it were.
    pub(super) async fn accept_unix(&self, mut admit: impl FnMut(UnixStream)) -> io::Result<u32> {
        let accept = |listener: &UnixListener| {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            admit(stream);
            Ok(())
        };
        self.take(accept).await
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
