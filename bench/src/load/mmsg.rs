//! Many datagrams in one system call, on sockets that are connected to the tracker.
//!
//! Holds unsafe code and hands out nothing raw. Not the batch of the tracker: that one only answers
//! what came in, and what is measured should not measure itself.
#![allow(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::ptr;

/// Datagrams in one system call at the most.
pub(crate) const BATCH_MAX: usize = 64;

/// Room for a datagram.
///
/// # Units
/// Bytes.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 2048;

/// Room for some datagrams, either received together or to be sent together.
pub(crate) struct Datagrams {
    bytes: Box<[[u8; DATAGRAM_BYTES_MAX]]>,
    lengths: [usize; BATCH_MAX],
    len: usize,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Datagrams {
    /// Takes the memory; no later call allocates.
    pub(crate) fn new() -> Self {
        // SAFETY: both are plain integers and raw pointers, for which all zeroes is valid.
        let (vector, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            bytes: vec![[0; DATAGRAM_BYTES_MAX]; BATCH_MAX].into(),
            lengths: [0; BATCH_MAX],
            len: 0,
            vectors: vec![vector; BATCH_MAX].into(),
            headers: vec![header; BATCH_MAX].into(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of a datagram.
    pub(crate) fn datagram(&self, index: usize) -> &[u8] {
        &self.bytes[..self.len][index][..self.lengths[index]]
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == BATCH_MAX
    }

    /// Adds a datagram, which `write` writes and tells the length of.
    ///
    /// # Panics
    /// If there are [`BATCH_MAX`] already.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let length = write(&mut self.bytes[self.len]);
        assert!(length <= DATAGRAM_BYTES_MAX, "a datagram must fit its room");
        self.lengths[self.len] = length;
        self.len += 1;
    }

    /// Replaces what is here by datagrams that wait at a socket; does not wait for any.
    ///
    /// # Errors
    /// The cause given by the system, such as a port that nobody listens on.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.len = 0;
        self.lengths = [DATAGRAM_BYTES_MAX; BATCH_MAX];
        self.point(0, BATCH_MAX);
        // SAFETY: every header points to a vector and that to room of the length it states. `point`
        // just made these pointers into memory that `self` owns and that is borrowed until the
        // call returns; names and control buffers are null.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_MAX as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let cause = io::Error::last_os_error();
            return match cause.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(cause),
            };
        };
        for (length, header) in self.lengths.iter_mut().zip(&self.headers[..received]) {
            *length = header.msg_len as usize;
        }
        self.len = received;
        Ok(())
    }

    /// Sends what is here and leaves nothing; waits where the kernel has no room.
    ///
    /// # Errors
    /// The cause given by the system.
    pub(crate) fn send(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let mut next = 0;
        while next < self.len {
            self.point(next, self.len);
            let rest = &mut self.headers[next..self.len];
            // SAFETY: as in `receive`; the vectors state the lengths of the datagrams, which the
            // kernel only reads.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as _,
                    libc::MSG_NOSIGNAL as _,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => next += sent,
                Err(_) => {
                    let cause = io::Error::last_os_error();
                    if cause.kind() != io::ErrorKind::Interrupted {
                        return Err(cause);
                    }
                }
            }
        }
        self.len = 0;
        Ok(())
    }

    /// Points headers at vectors and vectors at the datagrams from `first` to before `end`.
    fn point(&mut self, first: usize, end: usize) {
        for index in first..end {
            let vector = &mut self.vectors[index];
            vector.iov_base = self.bytes[index].as_mut_ptr().cast();
            vector.iov_len = self.lengths[index];
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn datagrams_arrive_in_order_and_whole() {
        let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        here.connect(there.local_addr().unwrap()).unwrap();
        there.connect(here.local_addr().unwrap()).unwrap();
        let mut datagrams = Datagrams::new();
        datagrams.receive(&there).unwrap();
        assert_eq!(datagrams.len(), 0);
        for length in 1..=3 {
            datagrams.push(|room| {
                room[..length].fill(length as u8);
                length
            });
        }
        datagrams.send(&here).unwrap();
        assert_eq!(datagrams.len(), 0);
        datagrams.receive(&there).unwrap();
        let received: Vec<&[u8]> = (0..datagrams.len()).map(|i| datagrams.datagram(i)).collect();
        assert_eq!(received, [&[1][..], &[2, 2], &[3, 3, 3]]);
    }
}
