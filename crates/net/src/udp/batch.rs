//! Preallocated room for a batch of datagrams and the replies to them.
//!
//! No socket here: the backends fill a batch and empty it, callers read and write in between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

#[cfg(target_os = "linux")]
use super::mmsg::Headers;

/// Room for one datagram and for one reply; what does not fit is cut off.
///
/// # Units
/// Bytes.
pub const DATAGRAM_BYTES_MAX: usize = 2048;

/// The most datagrams that one batch may hold, because the kernel sends no more in one call.
pub const BATCH_MAX: usize = 1024;

/// The address of this machine that a datagram was sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) address: IpAddr,
    /// Zero, unless the address has a meaning on one interface only.
    pub(super) interface: u32,
}

/// What is known of one datagram besides its bytes.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) source: SocketAddr,
    pub(super) asked: Option<Asked>,
    pub(super) datagram_bytes: usize,
    pub(super) truncated: bool,
    pub(super) reply_bytes: usize,
}

const EMPTY: Slot = Slot {
    source: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    asked: None,
    datagram_bytes: 0,
    truncated: false,
    reply_bytes: 0,
};

/// Where a reply goes, and which address of this machine it leaves from.
#[derive(Clone, Copy, Debug)]
pub struct ReplyTo {
    source: SocketAddr,
    asked: Option<Asked>,
}

/// Datagrams received together, each with a place for the reply to it.
///
/// # Cost
/// All memory is taken by [`Batch::new`], about 4.3 KiB for each datagram; no later call allocates.
pub struct Batch {
    pub(super) slots: Box<[Slot]>,
    pub(super) datagrams: Box<[[u8; DATAGRAM_BYTES_MAX]]>,
    pub(super) replies: Box<[[u8; DATAGRAM_BYTES_MAX]]>,
    /// Indices of the slots whose replies are being sent; the first ones of it are valid.
    pub(super) pending: Box<[usize]>,
    pub(super) len: usize,
    #[cfg(target_os = "linux")]
    pub(super) headers: Headers,
}

impl Batch {
    /// Takes the memory for batches of at most `capacity` datagrams.
    ///
    /// # Panics
    /// Unless `capacity` is between 1 and [`BATCH_MAX`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        assert!(
            (1..=BATCH_MAX).contains(&capacity),
            "a batch must hold between 1 and {BATCH_MAX} datagrams"
        );
        Self {
            slots: vec![EMPTY; capacity].into(),
            datagrams: vec![[0; DATAGRAM_BYTES_MAX]; capacity].into(),
            replies: vec![[0; DATAGRAM_BYTES_MAX]; capacity].into(),
            pending: vec![0; capacity].into(),
            len: 0,
            #[cfg(target_os = "linux")]
            headers: Headers::new(capacity),
        }
    }

    /// How many datagrams the batch can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many datagrams it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of a datagram, cut to [`DATAGRAM_BYTES_MAX`].
    ///
    /// # Panics
    /// If `index` is not below [`Batch::len`]; so do all methods that take an index.
    #[must_use]
    pub fn datagram(&self, index: usize) -> &[u8] {
        let slot = &self.slots[..self.len][index];
        &self.datagrams[index][..slot.datagram_bytes]
    }

    /// Who sent a datagram.
    #[must_use]
    pub fn source(&self, index: usize) -> SocketAddr {
        self.slots[..self.len][index].source
    }

    /// Whether a datagram was longer than [`DATAGRAM_BYTES_MAX`].
    #[must_use]
    pub fn truncated(&self, index: usize) -> bool {
        self.slots[..self.len][index].truncated
    }

    /// A datagram, who sent it, and the buffer of [`DATAGRAM_BYTES_MAX`] for the reply to it.
    ///
    /// The reply is sent once [`Batch::set_reply_len`] has told its length.
    #[must_use]
    pub fn exchange(&mut self, index: usize) -> (&[u8], SocketAddr, &mut [u8]) {
        let slot = &self.slots[..self.len][index];
        let datagram = &self.datagrams[index][..slot.datagram_bytes];
        (datagram, slot.source, &mut self.replies[index])
    }

    /// The buffer of [`DATAGRAM_BYTES_MAX`] for the reply to a datagram.
    ///
    /// It holds leftovers of earlier batches.
    #[must_use]
    pub fn reply_buffer(&mut self, index: usize) -> &mut [u8] {
        &mut self.replies[..self.len][index]
    }

    /// The reply to a datagram as far as it is to be sent.
    #[must_use]
    pub fn reply(&self, index: usize) -> &[u8] {
        &self.replies[index][..self.slots[..self.len][index].reply_bytes]
    }

    /// Tells how many bytes of the reply buffer to send; 0, the state after receiving, is no reply.
    ///
    /// # Panics
    /// If the length is above [`DATAGRAM_BYTES_MAX`].
    pub fn set_reply_len(&mut self, index: usize, reply_bytes: usize) {
        assert!(reply_bytes <= DATAGRAM_BYTES_MAX, "a reply must fit its buffer");
        self.slots[..self.len][index].reply_bytes = reply_bytes;
    }

    /// Where the reply to a datagram goes, for one that is sent from another batch.
    #[must_use]
    pub fn reply_to(&self, index: usize) -> ReplyTo {
        let Slot { source, asked, .. } = self.slots[..self.len][index];
        ReplyTo { source, asked }
    }

    /// Forgets every datagram.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a reply to a datagram that another batch held.
    ///
    /// # Panics
    /// If the batch is full, or if the reply is longer than [`DATAGRAM_BYTES_MAX`].
    pub fn push_reply(&mut self, to: ReplyTo, reply: &[u8]) {
        let ReplyTo { source, asked } = to;
        self.replies[self.len][..reply.len()].copy_from_slice(reply);
        self.slots[self.len] = Slot { source, asked, reply_bytes: reply.len(), ..EMPTY };
        self.len += 1;
    }

    /// Adds a datagram that a backend holds elsewhere; the batch must not be full.
    pub(super) fn push(&mut self, bytes: &[u8], source: SocketAddr) {
        let datagram_bytes = bytes.len().min(DATAGRAM_BYTES_MAX);
        self.datagrams[self.len][..datagram_bytes].copy_from_slice(&bytes[..datagram_bytes]);
        let truncated = bytes.len() > DATAGRAM_BYTES_MAX;
        self.slots[self.len] = Slot { source, datagram_bytes, truncated, ..EMPTY };
        self.len += 1;
    }

    /// Notes in `pending` which replies to send; returns their count and that of the impossible.
    ///
    /// Nothing listens on port 0, and the kernel refuses it.
    pub(super) fn collect_replies(&mut self) -> (usize, usize) {
        let mut count = 0;
        let mut impossible = 0;
        for (index, slot) in self.slots[..self.len].iter().enumerate() {
            if slot.reply_bytes == 0 {
                continue;
            }
            if slot.source.port() == 0 {
                impossible += 1;
                continue;
            }
            self.pending[count] = index;
            count += 1;
        }
        (count, impossible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_to_port_0_never_reaches_the_kernel() {
        let mut batch = Batch::new(4);
        for port in [0, 1, 0, 2] {
            batch.push(b"q", (Ipv4Addr::LOCALHOST, port).into());
        }
        assert_eq!(batch.collect_replies(), (0, 0));
        for index in 1..4 {
            batch.set_reply_len(index, 1);
        }
        assert_eq!(batch.collect_replies(), (2, 1));
        assert_eq!(batch.pending[..2], [1, 3]);
    }
}
