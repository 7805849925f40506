//! The bytes of a connection, whatever carries them.
//!
//! Knows no HTTP and no time-out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

#[cfg(feature = "tls")]
use super::tls::TlsStream;

/// A connection in the event loop.
pub(in crate::frontend) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// In a box, so that a plain connection is no larger for it.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Sends something of `bytes` to a client that takes its answer slowly. One that takes nothing
    /// is too slow.
    ///
    /// The system does not call a socket writable before a third of its buffer is free, which may be
    /// a megabyte.
    ///
    /// # Errors
    /// `TimedOut` if the system takes nothing.
    #[cfg(unix)]
    pub(super) fn write_into_a_little_room(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use std::io::Write;
        let taken = match self {
            Self::Tcp(stream) => duplicate(stream)?.write(bytes),
            Self::Unix(stream) => duplicate(stream)?.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                // What it was given already is what the system has no room for.
                let (wire, session) = stream.get_mut();
                let sent = session.write_tls(&mut duplicate(wire.socket())?);
                return sent.ok().filter(|sent| *sent > 0).map(|_| 0).ok_or_else(too_slow);
            }
        };
        taken.ok().filter(|taken| *taken > 0).ok_or_else(too_slow)
    }

    /// Elsewhere a client that did not make the socket writable in time is too slow.
    ///
    /// # Errors
    /// Always `TimedOut`.
    #[cfg(not(unix))]
    pub(super) fn write_into_a_little_room(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(too_slow())
    }
}

/// The same socket, without what the event loop believes of it.
#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<std::fs::File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

fn too_slow() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Hands a call on to what carries the bytes.
macro_rules! carried {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            #[cfg(unix)]
            Stream::Unix(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                let $inner = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        carried!(self, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        carried!(self, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carried!(self, inner => inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, inner => inner.poll_shutdown(cx))
    }
}
