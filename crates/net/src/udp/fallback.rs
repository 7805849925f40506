//! The portable backend: one datagram in one call, through the standard library.
//!
//! No system call that some system lacks; what costs here is accepted for being the same everywhere.

use std::io;
use std::net;
use std::time::Duration;

use socket2::Socket;

use super::batch::{Batch, DATAGRAM_BYTES_MAX};
use super::{Readiness, SendReport, UdpSocket, is_passing, send_all};
use crate::clock::monotonic_coarse_nanos;

/// How long [`wait_any`] looks at one socket while another might become ready.
const SLICE: Duration = Duration::from_millis(5);

/// How long to wait for room when sending; no portable call tells when there is some.
const ROOM_WAIT: Duration = Duration::from_millis(1);

/// The socket is non-blocking except while this backend waits.
pub(super) struct Fallback {
    /// One byte longer than a batch takes, which is how a cut datagram shows.
    scratch: Box<[u8; DATAGRAM_BYTES_MAX + 1]>,
}

impl Fallback {
    pub(super) fn new(socket: &Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::of_open_socket())
    }

    /// The state of another handle to a socket that does not block.
    pub(super) fn of_open_socket() -> Self {
        Self { scratch: Box::new([0; DATAGRAM_BYTES_MAX + 1]) }
    }

    pub(super) fn receive(
        &mut self,
        socket: &net::UdpSocket,
        batch: &mut Batch,
        wait_max: Duration,
    ) -> io::Result<()> {
        self.drain(socket, batch)?;
        if batch.is_empty() && !wait_max.is_zero() {
            blocking(socket, wait_max, || self.receive_one(socket, batch))?;
            self.drain(socket, batch)?;
        }
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        socket: &net::UdpSocket,
        batch: &Batch,
        count: usize,
    ) -> SendReport {
        let send_one = |next: usize| {
            let index = batch.pending[next];
            let slot = &batch.slots[index];
            socket.send_to(&batch.replies[index][..slot.reply_bytes], slot.source).map(|_| 1)
        };
        send_all(count, send_one, || std::thread::sleep(ROOM_WAIT))
    }

    /// Takes what is there until the batch is full.
    fn drain(&mut self, socket: &net::UdpSocket, batch: &mut Batch) -> io::Result<()> {
        while batch.len() < batch.capacity() && self.receive_one(socket, batch)? {}
        Ok(())
    }

    /// Takes one datagram; false if there was none.
    fn receive_one(&mut self, socket: &net::UdpSocket, batch: &mut Batch) -> io::Result<bool> {
        match socket.recv_from(&mut self.scratch[..]) {
            Ok((bytes, source)) => {
                batch.push(&self.scratch[..bytes], source);
                Ok(true)
            }
            Err(cause) if is_oversized(&cause) => Ok(true),
            Err(cause) if is_passing(&cause) => Ok(false),
            Err(cause) => Err(cause),
        }
    }
}

/// Windows refuses to cut a datagram and loses its source: it counts as never received.
fn is_oversized(cause: &io::Error) -> bool {
    const WSAEMSGSIZE: i32 = 10040;
    cfg!(windows) && cause.raw_os_error() == Some(WSAEMSGSIZE)
}

/// Runs a call on the socket while it blocks for at most `wait_max`.
fn blocking<T>(
    socket: &net::UdpSocket,
    wait_max: Duration,
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    socket.set_read_timeout(Some(wait_max))?;
    socket.set_nonblocking(false)?;
    let result = call();
    socket.set_nonblocking(true)?;
    result
}

pub(super) fn wait_any(sockets: &[&UdpSocket], wait_max: Duration) -> io::Result<Readiness> {
    let deadline = u128::from(monotonic_coarse_nanos()) + wait_max.as_nanos();
    let mut turn = 0;
    loop {
        let mut readiness = Readiness::default();
        for (index, socket) in sockets.iter().enumerate() {
            if has_datagram(&socket.socket) {
                readiness.mark(index);
            }
        }
        let left_nanos = deadline.saturating_sub(monotonic_coarse_nanos().into());
        if readiness.any() || left_nanos == 0 {
            return Ok(readiness);
        }
        let left = Duration::from_nanos(u64::try_from(left_nanos).unwrap_or(u64::MAX));
        let socket = &sockets[turn % sockets.len()].socket;
        blocking(socket, SLICE.min(left), || Ok(has_datagram(socket)))?;
        turn += 1;
    }
}

/// Whether a receive would not find the socket empty; a fault is for the receive to tell.
fn has_datagram(socket: &net::UdpSocket) -> bool {
    match socket.peek_from(&mut [0]) {
        Ok(_) => true,
        Err(cause) => !is_passing(&cause),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use socket2::SockRef;

    use super::*;
    use crate::udp::{Backend, UdpOptions};

    #[test]
    fn socket_blocks_only_while_it_waits() {
        let address = (net::Ipv4Addr::LOCALHOST, 0).into();
        let options = UdpOptions { backend: Backend::Std, ..UdpOptions::new(address) };
        let mut socket = UdpSocket::bind(&options).unwrap();
        let mut batch = Batch::new(1);
        let wait_max = Duration::from_millis(1);
        assert_eq!(socket.receive(&mut batch, wait_max).unwrap(), 0);
        assert!(SockRef::from(&socket.socket).nonblocking().unwrap());
        assert!(!wait_any(&[&socket], wait_max).unwrap().any());
        assert!(SockRef::from(&socket.socket).nonblocking().unwrap());
    }
}
