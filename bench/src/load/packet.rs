//! The requests of BEP 15 as bytes, copied from what was prepared before any is sent.
//!
//! Which request is sent when is decided elsewhere.

use skep_proto::udp::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, ANNOUNCE_REQUEST_BYTES, CONNECT_MAGIC,
    HEADER_BYTES,
};

use crate::load::population::{Peer, Sources, info_hash, peer_id};

/// What a datagram asks.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    Connect,
    Announce(Peer),
    Scrape(Peer),
}

/// Writes requests.
pub(crate) struct Writer {
    sources: Sources,
    /// An announce with everything that is the same in all.
    announce: [u8; ANNOUNCE_REQUEST_BYTES],
}

impl Writer {
    pub(crate) fn new(sources: Sources, num_want: u32) -> Self {
        let mut announce = [0; ANNOUNCE_REQUEST_BYTES];
        announce[8..12].copy_from_slice(&ACTION_ANNOUNCE.to_be_bytes());
        announce[64..72].copy_from_slice(&(1u64 << 30).to_be_bytes());
        announce[92..96].copy_from_slice(&num_want.to_be_bytes());
        Self { sources, announce }
    }

    /// Writes a request and returns its length.
    ///
    /// # Layout
    /// BEP 15; what an announce leaves at zero (amounts, event, address, key) stays as prepared.
    pub(crate) fn write(
        &self,
        room: &mut [u8],
        request: Request,
        connection_id: [u8; 8],
        transaction_id: u32,
    ) -> usize {
        let length = match request {
            Request::Connect => {
                room[..8].copy_from_slice(&CONNECT_MAGIC.to_be_bytes());
                room[8..12].copy_from_slice(&ACTION_CONNECT.to_be_bytes());
                HEADER_BYTES
            }
            Request::Announce(peer) => {
                room[..ANNOUNCE_REQUEST_BYTES].copy_from_slice(&self.announce);
                room[..8].copy_from_slice(&connection_id);
                room[16..36].copy_from_slice(&info_hash(peer.torrent));
                room[36..56].copy_from_slice(&peer_id(peer));
                room[96..98].copy_from_slice(&self.sources.port(peer).to_be_bytes());
                ANNOUNCE_REQUEST_BYTES
            }
            Request::Scrape(peer) => {
                room[..8].copy_from_slice(&connection_id);
                room[8..12].copy_from_slice(&ACTION_SCRAPE.to_be_bytes());
                room[16..36].copy_from_slice(&info_hash(peer.torrent));
                HEADER_BYTES + 20
            }
        };
        room[12..16].copy_from_slice(&transaction_id.to_be_bytes());
        length
    }
}
