//! Many datagrams in one system call, on sockets that are connected to the tracker.
//!
//! Holds unsafe code and hands out nothing raw. Not the batch of the tracker: that one only answers
//! what came in, and what is measured should not measure itself.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::ptr;

/// Datagrams that are received, or kept of one kind to be sent, at the most.
pub(crate) const BATCH_MAX: usize = 64;

/// Datagrams that every kernel takes as one message.
pub(crate) const SEGMENTS_MAX: usize = 64;

/// Room between datagrams, so that no two share a cache line.
const LINE_BYTES: usize = 64;

/// Datagrams that were received together.
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    /// The most that is taken of a datagram.
    room_bytes: usize,
    len: usize,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Inbox {
    /// Takes the memory; no later call allocates. What is longer than a room is cut to it.
    pub(crate) fn new(room_bytes: usize) -> Self {
        // SAFETY: both are plain integers and raw pointers, for which all zeroes is valid.
        let (vector, header) = unsafe { (zeroed(), zeroed()) };
        Self {
            bytes: vec![0; room_bytes.next_multiple_of(LINE_BYTES) * BATCH_MAX].into(),
            room_bytes,
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
        let begin = index * self.room_bytes.next_multiple_of(LINE_BYTES);
        &self.bytes[begin..][..self.headers[..self.len][index].msg_len as usize]
    }

    /// Replaces what is here by datagrams that wait at a socket; does not wait for any.
    ///
    /// # Errors
    /// The cause given by the system, such as a port that nobody listens on.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, count_max: usize) -> io::Result<()> {
        self.len = 0;
        let count = count_max.min(BATCH_MAX);
        let rooms = self.bytes.chunks_mut(self.room_bytes.next_multiple_of(LINE_BYTES));
        let entries = self.vectors.iter_mut().zip(&mut self.headers);
        for ((vector, header), room) in entries.zip(rooms).take(count) {
            vector.iov_base = room.as_mut_ptr().cast();
            vector.iov_len = self.room_bytes;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: `count` headers point to a vector each and that to room of the length it states.
        // These pointers were just made into memory that `self` owns and that is borrowed until
        // the call returns; names and control buffers are null.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        match usize::try_from(received) {
            Ok(received) => self.len = received,
            Err(_) => {
                let cause = io::Error::last_os_error();
                if !matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                    return Err(cause);
                }
            }
        }
        Ok(())
    }
}

/// Datagrams of one length, side by side in memory; what was sent leaves its bytes for the next.
struct Lane {
    bytes: Box<[u8]>,
    datagram_bytes: usize,
    len: usize,
}

/// Room for a control message that holds the length of the datagrams in a message.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    segment_bytes: u16,
    /// The kernel wants the room to end where the next header could begin.
    padding: [u8; 6],
}

/// Datagrams to be sent together, by kind.
///
/// All of a kind have the same length, so that many of them go to the kernel as one message, which
/// it cuts into datagrams again when they arrive (`UDP_SEGMENT`). That halves what sending costs.
pub(crate) struct Outbox {
    lanes: Vec<Lane>,
    segments_max: usize,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Outbox {
    /// Takes the memory and fills it with one template for each kind of datagram.
    ///
    /// `segments_max` datagrams make a message at the most.
    pub(crate) fn new(templates: &[&[u8]], segments_max: usize) -> Self {
        let lane = |template: &&[u8]| Lane {
            bytes: template.repeat(BATCH_MAX).into(),
            datagram_bytes: template.len(),
            len: 0,
        };
        // SAFETY: all three are plain integers and raw pointers, for which all zeroes is valid.
        let (control, vector, header) = unsafe { (zeroed::<Control>(), zeroed(), zeroed()) };
        let messages = templates.len() * BATCH_MAX;
        Self {
            lanes: templates.iter().map(lane).collect(),
            segments_max,
            controls: vec![control; messages].into(),
            vectors: vec![vector; messages].into(),
            headers: vec![header; messages].into(),
        }
    }

    /// Whether there is no room for another datagram of a kind.
    pub(crate) fn is_full(&self, kind: usize) -> bool {
        self.lanes[kind].len == BATCH_MAX
    }

    /// Adds a datagram and returns its bytes: the template or an earlier one of this kind.
    ///
    /// # Panics
    /// If there are [`BATCH_MAX`] already.
    pub(crate) fn push(&mut self, kind: usize) -> &mut [u8] {
        let lane = &mut self.lanes[kind];
        let begin = lane.len * lane.datagram_bytes;
        lane.len += 1;
        &mut lane.bytes[begin..][..lane.datagram_bytes]
    }

    /// Sends what is here, kind after kind, and leaves nothing; waits where the kernel has no room.
    ///
    /// # Errors
    /// The cause given by the system.
    pub(crate) fn send(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let count = self.point();
        let mut next = 0;
        while next < count {
            let rest = &mut self.headers[next..count];
            // SAFETY: every header points to a vector, that to bytes of the length it states, and
            // to a control message of its length or none. `point` just made these pointers into
            // memory that `self` owns and that is borrowed until the call returns; the kernel only
            // reads there, and names are null.
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
        self.lanes.iter_mut().for_each(|lane| lane.len = 0);
        Ok(())
    }

    /// Points headers at vectors and vectors at datagrams; returns how many messages that makes.
    fn point(&mut self) -> usize {
        let mut count = 0;
        for lane in &mut self.lanes {
            let bytes = &mut lane.bytes[..lane.len * lane.datagram_bytes];
            for message in bytes.chunks_mut(lane.datagram_bytes * self.segments_max) {
                let vector = &mut self.vectors[count];
                vector.iov_base = message.as_mut_ptr().cast();
                vector.iov_len = message.len();
                let header = &mut self.headers[count].msg_hdr;
                header.msg_iov = vector;
                header.msg_iovlen = 1;
                header.msg_control = ptr::null_mut();
                header.msg_controllen = 0;
                if message.len() > lane.datagram_bytes {
                    let control = &mut self.controls[count];
                    let data = size_of::<u16>();
                    control.header.cmsg_len = (size_of::<libc::cmsghdr>() + data) as _;
                    control.header.cmsg_level = libc::SOL_UDP;
                    control.header.cmsg_type = libc::UDP_SEGMENT;
                    control.segment_bytes = lane.datagram_bytes as u16;
                    header.msg_control = ptr::from_mut(control).cast();
                    header.msg_controllen = size_of::<Control>() as _;
                }
                count += 1;
            }
        }
        count
    }
}

/// Whether the kernel cuts messages into datagrams; Linux does since 4.18.
pub(crate) fn cuts_messages(socket: &UdpSocket) -> bool {
    let off: libc::c_int = 0;
    // SAFETY: the value lives on the stack and its length is stated; the kernel copies it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const off).cast(),
            size_of::<libc::c_int>() as _,
        )
    };
    result == 0
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Sends three of one kind and two of another and returns what arrives.
    fn exchanged(segments_max: usize, room_bytes: usize) -> Vec<Vec<u8>> {
        let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        here.connect(there.local_addr().unwrap()).unwrap();
        there.connect(here.local_addr().unwrap()).unwrap();
        assert!(cuts_messages(&here));
        let mut inbox = Inbox::new(room_bytes);
        inbox.receive(&there, BATCH_MAX).unwrap();
        assert_eq!(inbox.len(), 0);
        let mut outbox = Outbox::new(&[b"a-", b"bcd-"], segments_max);
        for turn in b'1'..=b'3' {
            outbox.push(0)[1] = turn;
            if turn < b'3' {
                outbox.push(1)[3] = turn;
            }
        }
        outbox.send(&here).unwrap();
        outbox.send(&here).unwrap();
        inbox.receive(&there, 4).unwrap();
        assert_eq!(inbox.len(), 4);
        let mut received: Vec<_> = (0..4).map(|i| inbox.datagram(i).to_vec()).collect();
        inbox.receive(&there, 4).unwrap();
        received.extend((0..inbox.len()).map(|i| inbox.datagram(i).to_vec()));
        received
    }

    #[test]
    fn datagrams_arrive_one_by_one_however_they_were_sent() {
        let expected = [&b"a1"[..], b"a2", b"a3", b"bcd1", b"bcd2"];
        for segments_max in [1, 2, SEGMENTS_MAX] {
            assert_eq!(exchanged(segments_max, 100), expected);
        }
    }

    #[test]
    fn datagram_is_cut_to_its_room() {
        assert_eq!(exchanged(1, 3)[3], b"bcd");
    }
}
