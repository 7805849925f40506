//! What leads to a peer, in the bytes in which lanes keep it.
//!
//! Over IPv4 and IPv6 that is an address and a port, as they travel. A WebRTC peer is reached through
//! the tracker, by the connection that it announced on. Which peers may meet is decided elsewhere.

use core::net::IpAddr;

use skep_proto::PeerId;
use skep_proto::peer_addr::{self, IPV4_BYTES, IPV6_BYTES};

use super::part::Part;
use crate::hash::Seed;

/// Bytes of a WebRTC peer in an answer.
pub const WEBRTC_BYTES: usize = 32;

const PEER_ID_BYTES: usize = 20;
const CONNECTION_BYTES: usize = 8;
/// Where the tag of the owner's address begins.
const TAG: usize = PEER_ID_BYTES + CONNECTION_BYTES;
/// The bit of a tag that says that the address is an IPv6 one.
const TAG_IPV6: u32 = 1;

/// Names a connection on which WebRTC peers announce.
///
/// Whoever accepts connections chooses the numbers, and gives none to two connections.
///
/// # Layout
/// Packed, so that an announce that may carry one is still copied without a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(Rust, packed)]
pub struct Connection(pub u64);

/// A WebRTC peer of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WebrtcPeer {
    /// What it calls itself; nobody else in the swarm has the same peer id.
    pub peer_id: PeerId,
    /// The connection that leads to it.
    pub connection: Connection,
}

impl WebrtcPeer {
    fn read(endpoint: &[u8; WEBRTC_BYTES]) -> Self {
        let (mut peer_id, mut connection) = ([0; PEER_ID_BYTES], [0; CONNECTION_BYTES]);
        peer_id.copy_from_slice(&endpoint[..PEER_ID_BYTES]);
        connection.copy_from_slice(&endpoint[PEER_ID_BYTES..TAG]);
        Self { peer_id: PeerId(peer_id), connection: Connection(u64::from_le_bytes(connection)) }
    }
}

/// Reads the WebRTC peers that were written to the room of an answer.
pub fn webrtc_peers(written: &[u8]) -> impl ExactSizeIterator<Item = WebrtcPeer> {
    written.as_chunks().0.iter().map(WebrtcPeer::read)
}

/// The WebRTC peer of a row, unless the row is of another kind.
pub(super) fn webrtc_peer(endpoint: &[u8]) -> Option<WebrtcPeer> {
    endpoint.as_array().map(WebrtcPeer::read)
}

/// Whether the owner of one WebRTC peer may speak for the other: it is on the same connection, or it
/// came back from the same address.
pub(super) fn same_owner(one: &[u8], other: &[u8]) -> bool {
    same_connection(one, other) || one[TAG..] == other[TAG..]
}

/// Whether one connection leads to two WebRTC peers.
pub(super) fn same_connection(one: &[u8], other: &[u8]) -> bool {
    one[PEER_ID_BYTES..TAG] == other[PEER_ID_BYTES..TAG]
}

/// Whether an endpoint is one of an IPv6 address.
pub(super) fn is_ipv6(endpoint: &[u8]) -> bool {
    match endpoint.len() {
        IPV4_BYTES => false,
        IPV6_BYTES => true,
        _ => u32::from(endpoint[TAG]) & TAG_IPV6 != 0,
    }
}

/// An endpoint of any kind.
///
/// # Layout
/// Address and port in wire order: 6 or 18 bytes. Of a WebRTC peer 32 bytes: its peer id, the number
/// of its connection, and a keyed hash of its owner's address, whose lowest bit tells the family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    bytes: [u8; WEBRTC_BYTES],
    stride: u8,
}

impl Endpoint {
    pub(super) fn new(ip: IpAddr, port: u16) -> Self {
        let mut bytes = [0; WEBRTC_BYTES];
        let stride = match ip {
            IpAddr::V4(ip) => {
                bytes[..IPV4_BYTES].copy_from_slice(&peer_addr::pack_ipv4(ip, port));
                IPV4_BYTES
            }
            IpAddr::V6(ip) => {
                bytes[..IPV6_BYTES].copy_from_slice(&peer_addr::pack_ipv6(ip, port));
                IPV6_BYTES
            }
        };
        Self { bytes, stride: stride as u8 }
    }

    /// A WebRTC peer to look for; without the tag of its owner it is not to be stored.
    pub(super) fn webrtc(peer: &WebrtcPeer) -> Self {
        let mut bytes = [0; WEBRTC_BYTES];
        bytes[..PEER_ID_BYTES].copy_from_slice(peer.peer_id.as_bytes());
        bytes[PEER_ID_BYTES..TAG].copy_from_slice(&peer.connection.0.to_le_bytes());
        Self { bytes, stride: WEBRTC_BYTES as u8 }
    }

    /// Notes who owns a WebRTC peer.
    pub(super) fn owned_by(mut self, ip: IpAddr, seed: &Seed) -> Self {
        let tag = match ip {
            IpAddr::V4(ip) => seed.hash(&ip.octets()) as u32 & !TAG_IPV6,
            IpAddr::V6(ip) => seed.hash(&ip.octets()) as u32 | TAG_IPV6,
        };
        self.bytes[TAG..].copy_from_slice(&tag.to_le_bytes());
        self
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.stride as usize]
    }

    /// Where the row of this peer is in a part of a lane of its kind.
    pub(super) fn position_in(&self, part: &Part) -> Option<u32> {
        let found = match usize::from(self.stride) {
            IPV4_BYTES => self.search::<IPV4_BYTES, IPV4_BYTES>(part),
            IPV6_BYTES => self.search::<IPV6_BYTES, IPV6_BYTES>(part),
            // The connection may be another one by now.
            _ => self.search::<WEBRTC_BYTES, PEER_ID_BYTES>(part),
        };
        found.map(|position| position as u32)
    }

    /// Linear search with the widths known at compile time, so that a row is compared in registers.
    fn search<const STRIDE: usize, const KEY: usize>(&self, part: &Part) -> Option<usize> {
        let wanted: &[u8; KEY] = self.bytes.first_chunk()?;
        let (rows, _) = part.endpoints(STRIDE).as_chunks::<STRIDE>();
        rows.iter().position(|row| row.first_chunk() == Some(wanted))
    }
}
