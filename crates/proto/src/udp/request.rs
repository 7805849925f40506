//! What a client sends: the common header, announces and scrapes.
//!
//! The address that an announce claims is handed on, not believed: that is how a swarm would get
//! pointed at a victim. Port 0 is not refused here either; that is a rule.

use core::net::IpAddr;

use crate::{
    AnnounceEvent, AnnounceRequest, ConnectionId, DecodeError, InfoHash, NumWant, PeerId, PeerKey,
    TransactionId, left_from_wire,
};

/// What stands in place of a connection id in a connect request.
///
/// # Source
/// BEP 15, "Connect".
pub const CONNECT_MAGIC: u64 = 0x0417_2710_1980;

/// Asks for a connection id.
pub const ACTION_CONNECT: u32 = 0;
/// Announces a peer.
pub const ACTION_ANNOUNCE: u32 = 1;
/// Asks for the counts of torrents.
pub const ACTION_SCRAPE: u32 = 2;
/// Marks an answer that carries an error text; never a request.
pub const ACTION_ERROR: u32 = 3;

/// Bytes of the header that every request begins with; shorter datagrams mean nothing.
pub const HEADER_BYTES: usize = 16;
/// Bytes of an announce request without its options.
pub const ANNOUNCE_REQUEST_BYTES: usize = 98;

const INFO_HASH_BYTES: usize = 20;

/// The first 16 bytes of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The token to prove, or [`CONNECT_MAGIC`].
    pub connection_id: ConnectionId,
    /// What is asked; see the `ACTION_` constants.
    pub action: u32,
    /// Goes back unchanged.
    pub transaction_id: TransactionId,
}

impl Header {
    /// Reads the header, or nothing when the datagram is shorter than that.
    ///
    /// # Layout
    /// Big-endian: 0 connection_id u64, 8 action u32, 12 transaction_id 4 bytes.
    /// # Source
    /// BEP 15.
    #[inline]
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let bytes = datagram.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            connection_id: ConnectionId(u64::from_be_bytes(field(bytes, 0))),
            action: u32::from_be_bytes(field(bytes, 8)),
            transaction_id: TransactionId(field(bytes, 12)),
        })
    }

    /// Says whether this is a connect request: the action and the constant that goes with it.
    #[inline]
    #[must_use]
    pub const fn is_connect(&self) -> bool {
        self.action == ACTION_CONNECT && self.connection_id.0 == CONNECT_MAGIC
    }
}

/// An announce and what came after its fixed part.
#[derive(Clone, Copy, Debug)]
pub struct UdpAnnounce<'a> {
    /// What the client states.
    pub announce: AnnounceRequest,
    /// The address in the message, which nobody has to believe; always IPv4.
    pub claimed_ip: Option<IpAddr>,
    /// The undecoded option bytes; see [`url_data`](crate::udp::url_data).
    pub options: &'a [u8],
}

/// Reads an announce, header included, whose connection id was proved before.
///
/// # Layout
/// Big-endian: 16 info_hash, 36 peer_id, 56 downloaded u64, 64 left u64, 72 uploaded u64,
/// 80 event u32, 84 IP address 4 bytes, 0 for the source, 88 key u32, 92 num_want i32, 96 port u16, 98 options.
/// # Cost
/// No allocation; one length check.
/// # Errors
/// [`DecodeError::MalformedPacket`] below 98 bytes. Any longer datagram is good.
/// # Source
/// BEP 15, "Announce"; event 4 from BEP 21; options from BEP 41.
#[inline]
pub fn read_announce(datagram: &[u8]) -> Result<UdpAnnounce<'_>, DecodeError> {
    let (bytes, options) = datagram
        .split_first_chunk::<ANNOUNCE_REQUEST_BYTES>()
        .ok_or(DecodeError::MalformedPacket)?;
    let announce = AnnounceRequest {
        info_hash: InfoHash(field(bytes, 16)),
        peer_id: PeerId(field(bytes, 36)),
        downloaded_bytes: u64::from_be_bytes(field(bytes, 56)),
        left_bytes: left_from_wire(u64::from_be_bytes(field(bytes, 64))),
        uploaded_bytes: u64::from_be_bytes(field(bytes, 72)),
        event: event_from_wire(u32::from_be_bytes(field(bytes, 80))),
        peer_key: PeerKey::from_u32(u32::from_be_bytes(field(bytes, 88))),
        num_want: num_want_from_wire(i32::from_be_bytes(field(bytes, 92))),
        port: u16::from_be_bytes(field(bytes, 96)),
    };
    let claimed_ip = match field(bytes, 84) {
        [0, 0, 0, 0] => None,
        octets => Some(IpAddr::from(octets)),
    };
    Ok(UdpAnnounce { announce, claimed_ip, options })
}

/// The torrents of a scrape, in the order in which they were asked for, repetitions included.
#[derive(Clone, Debug)]
pub struct InfoHashes<'a> {
    rest: &'a [[u8; INFO_HASH_BYTES]],
}

impl Iterator for InfoHashes<'_> {
    type Item = InfoHash;

    #[inline]
    fn next(&mut self) -> Option<InfoHash> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(InfoHash(*first))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.len(), Some(self.rest.len()))
    }
}

impl ExactSizeIterator for InfoHashes<'_> {}

/// Reads a scrape, header included, whose connection id was proved before.
///
/// # Cost
/// No allocation; the hashes stay in the datagram.
/// # Errors
/// [`DecodeError::FullScrape`] without a hash, [`DecodeError::MalformedPacket`] when the datagram
/// is shorter than a header or the hashes are not a multiple of 20 bytes.
/// # Source
/// BEP 15, "Scrape".
#[inline]
pub fn read_scrape(datagram: &[u8]) -> Result<InfoHashes<'_>, DecodeError> {
    let body = datagram.get(HEADER_BYTES..).ok_or(DecodeError::MalformedPacket)?;
    match body.as_chunks::<INFO_HASH_BYTES>() {
        ([], []) => Err(DecodeError::FullScrape),
        (rest, []) => Ok(InfoHashes { rest }),
        _ => Err(DecodeError::MalformedPacket),
    }
}

/// Undefined events count as regular announces: refusing them would cut off clients that know a
/// newer event, as it once cut off partial seeds.
#[inline]
const fn event_from_wire(event: u32) -> AnnounceEvent {
    match event {
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        4 => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

#[inline]
const fn num_want_from_wire(num_want: i32) -> NumWant {
    if num_want < 0 { NumWant::Default } else { NumWant::Count(num_want.cast_unsigned()) }
}

/// Copies the field at a constant offset; the check disappears when the offset is known.
#[inline(always)]
fn field<const N: usize, const OF: usize>(bytes: &[u8; OF], at: usize) -> [u8; N] {
    let mut copied = [0; N];
    copied.copy_from_slice(&bytes[at..at + N]);
    copied
}
