//! The bytes of a connection, whatever carries them.
//!
//! Knows no HTTP and no time-out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection in the event loop.
pub(super) enum Stream {
    Tcp(TcpStream),
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
        use std::os::fd::AsFd;
        let Self::Tcp(stream) = self;
        let socket = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        match (&socket).write(bytes) {
            Ok(sent) if sent > 0 => Ok(sent),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Elsewhere a client that did not make the socket writable in time is too slow.
    ///
    /// # Errors
    /// Always `TimedOut`.
    #[cfg(not(unix))]
    pub(super) fn write_into_a_little_room(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::TimedOut.into())
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        let Self::Tcp(stream) = self.get_mut();
        Pin::new(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
