//! A TLS handshake on a new connection.
//!
//! Certificate and key are in `crate::tls`; what is said over the connection is HTTP as ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::HandshakeKind;
use skep_engine::counters::Handshake;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Door;
use super::client::Client;
use super::stream::Stream;
use crate::tls::Tls;

/// A connection that is encrypted.
pub(super) type TlsStream = tokio_rustls::server::TlsStream<Wire>;

/// Bytes of an answer that are encrypted before the system has room for them: one full record.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// Makes a connection an encrypted one; nothing if that fails. `early` was read of it already.
pub(super) async fn shake_hands(
    door: &Door,
    tls: &Tls,
    socket: TcpStream,
    early: Vec<u8>,
    client: Client,
) -> Option<Stream> {
    let wire = Wire { socket, early };
    // In a box: what a handshake needs is not kept for as long as the connection lasts.
    let accept = Box::pin(tls.acceptor().accept_with(wire, |session| {
        session.set_buffer_limit(Some(SEND_BUFFER_BYTES));
    }));
    let accepted = tokio::select! {
        accepted = timeout(door.limits.head_timeout, accept) => accepted,
        () = door.stopped() => return None,
    };
    let count = |end: Handshake| door.counters.tls_handshakes[end as usize].add(1);
    match accepted {
        Ok(Ok(stream)) => {
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            count(if resumed { Handshake::Resumed } else { Handshake::Full });
            Some(Stream::Tls(Box::new(stream)))
        }
        Ok(Err(_)) => {
            count(Handshake::Failed);
            None
        }
        Err(_) => {
            count(Handshake::Failed);
            door.answerer.borrow().count_timeout(client);
            None
        }
    }
}

/// A socket under TLS, and what was read of it before it was known to be one.
pub(in crate::frontend) struct Wire {
    socket: TcpStream,
    early: Vec<u8>,
}

impl Wire {
    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let taken = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..taken]);
        self.early = self.early.split_off(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
