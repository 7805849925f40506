//! One address that loads a tracker over UDP: its socket, its peers and its requests under way.
//!
//! When to send what is decided by the load itself.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use skep_proto::udp::{ANNOUNCE_HEADER_BYTES, CONNECT_MAGIC, HEADER_BYTES};
use socket2::SockRef;

use crate::load::answer::{Judge, Wrong, udp_connect};
use crate::load::clock;
use crate::load::figures::Counts;
use crate::load::packet::{Request, Writer};
use crate::load::population::{Peer, Sources};

/// After how long a request counts as lost.
pub(crate) const ANSWER_NANOS_MAX: u64 = 1_000_000_000;
/// The transaction id of what is asked before there is any load; no slot has it.
const FIRST: u32 = u32::MAX;
/// How long the tracker may take to begin to answer.
const START_NANOS_MAX: u64 = 20_000_000_000;
/// Requests that may be under way from one source: slots are numbered in half a transaction id.
pub(crate) const SLOTS_MAX: usize = 1 << 15;
/// Room for answers while this program is busy with other sources.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// One request under way, found again by its transaction id.
#[derive(Clone, Copy)]
struct Slot {
    generation: u16,
    request: Option<Request>,
    due_nanos: u64,
    /// The last request that was given up and is not answered since.
    lost: Option<u16>,
}

/// One address with its socket and the peers that announce from there.
pub(crate) struct Source<'a> {
    pub(crate) socket: UdpSocket,
    pub(crate) connection_id: [u8; 8],
    peers: &'a [Peer],
    /// Announces sent so far; peers come round and round.
    announced: usize,
    /// Announces lost while filling, to be sent again.
    again: Vec<Peer>,
    slots: Vec<Slot>,
    free: Vec<u16>,
}

impl<'a> Source<'a> {
    /// Opens the socket and gets a first connection id, waiting for a tracker that just starts.
    pub(crate) fn open(
        index: usize,
        peers: &'a [Peer],
        target: SocketAddr,
        slots: usize,
    ) -> Result<Self> {
        ensure!(!peers.is_empty(), "there are more sources than peers");
        let address = Sources::address(index);
        let socket = UdpSocket::bind((address, 0))
            .with_context(|| format!("cannot bind a socket to {address}"))?;
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.connect(target)?;
        Ok(Self {
            connection_id: first_connection_id(&socket)
                .with_context(|| format!("no tracker answers at {target}"))?,
            socket,
            peers,
            announced: 0,
            again: Vec::new(),
            slots: vec![Slot { generation: 0, request: None, due_nanos: 0, lost: None }; slots],
            free: (0..slots as u16).collect(),
        })
    }

    /// Announces a peer until that is accepted: some trackers still read their lists after they
    /// began to answer.
    pub(crate) fn wait_for_acceptance(&mut self, writer: &Writer, judge: &mut Judge) -> Result<()> {
        let peer = self.peers[0];
        let request = writer.whole(Request::Announce(peer), self.connection_id, FIRST);
        exchange(&self.socket, &request, |answer| match judge.udp_announce(peer, answer) {
            // The other one answers a connect that was sent twice.
            Err(Wrong::Refused | Wrong::Action) => None,
            // Some refuse without a word.
            Err(Wrong::Length) if answer.len() < ANNOUNCE_HEADER_BYTES => None,
            // Whatever else is wrong will be wrong again and count then.
            _ => Some(Ok(())),
        })
    }

    /// Whether a peer was not announced yet, or has no answer yet.
    pub(crate) fn is_filling(&self) -> bool {
        self.announced < self.peers.len() || !self.again.is_empty() || self.under_way() > 0
    }

    /// How many requests have no answer yet and are not given up.
    pub(crate) fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn next_unannounced(&mut self) -> Option<Peer> {
        if self.announced < self.peers.len() {
            return Some(self.next_peer());
        }
        self.again.pop()
    }

    pub(crate) fn next_peer(&mut self) -> Peer {
        let peer = self.peers[self.announced % self.peers.len()];
        self.announced += 1;
        peer
    }

    /// Takes a slot for a request and returns the transaction id; nothing if all are taken.
    pub(crate) fn begin(&mut self, request: Request, due_nanos: u64) -> Option<u32> {
        let at = self.free.pop()?;
        let slot = &mut self.slots[usize::from(at)];
        slot.generation = slot.generation.wrapping_add(1);
        slot.request = Some(request);
        slot.due_nanos = due_nanos;
        Some(u32::from(slot.generation) << 16 | u32::from(at))
    }

    /// Finds the request of an answer and since when it was due, and frees its slot.
    ///
    /// Nothing for an answer to a request that was given up, which is counted.
    pub(crate) fn end(
        &mut self,
        answer: &[u8],
        counts: &mut Counts,
    ) -> Result<Option<(Request, u64)>, Wrong> {
        let Some([_, _, _, _, id @ ..]) = answer.first_chunk::<8>() else {
            return Err(Wrong::Length);
        };
        let id = u32::from_be_bytes(*id);
        if id == FIRST {
            return Ok(None);
        }
        let (generation, at) = ((id >> 16) as u16, id as u16);
        let slot = self.slots.get_mut(usize::from(at)).ok_or(Wrong::Transaction)?;
        if slot.lost == Some(generation) {
            slot.lost = None;
            counts.late += 1;
            return Ok(None);
        }
        if slot.generation != generation {
            return Err(Wrong::Transaction);
        }
        let request = slot.request.take().ok_or(Wrong::Transaction)?;
        self.free.push(at);
        Ok(Some((request, slot.due_nanos)))
    }

    /// Frees the slots of requests that had no answer in time and returns how many.
    ///
    /// With `again`, announces among them are sent once more.
    pub(crate) fn give_up(&mut self, now_nanos: u64, again: bool) -> u64 {
        let mut lost = 0;
        for (at, slot) in (0u16..).zip(&mut self.slots) {
            if slot.request.is_none() || now_nanos < slot.due_nanos + ANSWER_NANOS_MAX {
                continue;
            }
            lost += 1;
            if let (true, Some(Request::Announce(peer))) = (again, slot.request.take()) {
                self.again.push(peer);
            }
            slot.request = None;
            slot.lost = Some(slot.generation);
            self.free.push(at);
        }
        lost
    }
}

/// Asks for a connection id until there is an answer.
fn first_connection_id(socket: &UdpSocket) -> Result<[u8; 8]> {
    let mut request = [0; HEADER_BYTES];
    request[..8].copy_from_slice(&CONNECT_MAGIC.to_be_bytes());
    request[12..].copy_from_slice(&FIRST.to_be_bytes());
    exchange(socket, &request, |answer| {
        let id = udp_connect(answer);
        Some(id.map_err(|wrong| anyhow!("the first connect failed: {wrong}")))
    })
}

/// Sends a request again and again until `judge` makes something of an answer.
fn exchange<T>(
    socket: &UdpSocket,
    request: &[u8],
    mut judge: impl FnMut(&[u8]) -> Option<Result<T>>,
) -> Result<T> {
    const PATIENCE: Duration = Duration::from_millis(50);
    let end = clock::nanos() + START_NANOS_MAX;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut answer = [0; 2048];
    loop {
        // Both fail at once while nobody listens on the port yet.
        match socket.send(request).and_then(|_| socket.recv(&mut answer)) {
            Ok(length) if length >= 8 && answer[4..8] == request[12..16] => {
                if let Some(result) = judge(&answer[..length]) {
                    return result;
                }
                std::thread::sleep(PATIENCE);
            }
            Ok(_) => {}
            Err(cause) => match cause.kind() {
                ErrorKind::ConnectionRefused => std::thread::sleep(PATIENCE),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                _ => return Err(cause.into()),
            },
        }
        ensure!(clock::nanos() < end, "waited {} s", START_NANOS_MAX / 1_000_000_000);
    }
}
