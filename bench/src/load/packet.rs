//! The requests of BEP 15 as bytes, written over what was prepared before any is sent.
//!
//! Which request is sent when is decided elsewhere.

use skep_proto::udp::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, ANNOUNCE_REQUEST_BYTES, CONNECT_MAGIC,
    HEADER_BYTES,
};

use crate::load::population::{Peer, Sources, info_hash, passkey, peer_id, user};

/// What a datagram asks.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    Connect,
    Announce(Peer),
    Scrape(Peer),
}

/// How many kinds of requests there are.
const KINDS: usize = 3;

impl Request {
    /// The place of its kind among the templates.
    pub(crate) fn kind(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Announce(_) => 1,
            Self::Scrape(_) => 2,
        }
    }
}

/// Of an announce of a user, where the passkey begins: behind the option's kind and length and a slash.
const PASSKEY_AT: usize = ANNOUNCE_REQUEST_BYTES + 3;

/// Writes requests.
pub(crate) struct Writer {
    sources: Sources,
    users: Option<u32>,
    connect: [u8; HEADER_BYTES],
    announce: Vec<u8>,
    scrape: [u8; HEADER_BYTES + 20],
}

impl Writer {
    /// With users, each announce carries the passkey of one.
    pub(crate) fn new(sources: Sources, num_want: u32, users: Option<u32>) -> Self {
        let mut connect = [0; HEADER_BYTES];
        connect[..8].copy_from_slice(&CONNECT_MAGIC.to_be_bytes());
        connect[8..12].copy_from_slice(&ACTION_CONNECT.to_be_bytes());
        let mut announce = vec![0; ANNOUNCE_REQUEST_BYTES];
        announce[8..12].copy_from_slice(&ACTION_ANNOUNCE.to_be_bytes());
        announce[64..72].copy_from_slice(&(1u64 << 30).to_be_bytes());
        announce[92..96].copy_from_slice(&num_want.to_be_bytes());
        if users.is_some() {
            // BEP 41: URL data in one piece.
            let url = [b"/".as_slice(), &[b'0'; 32], b"/announce"].concat();
            announce.extend([2, url.len() as u8]);
            announce.extend(url);
        }
        let mut scrape = [0; HEADER_BYTES + 20];
        scrape[8..12].copy_from_slice(&ACTION_SCRAPE.to_be_bytes());
        Self { sources, users, connect, announce, scrape }
    }

    /// What is the same in all requests of each kind, whose length it has.
    pub(crate) fn templates(&self) -> [&[u8]; KINDS] {
        [&self.connect, &self.announce, &self.scrape]
    }

    /// Writes a request over the template or over another request of its kind.
    ///
    /// # Layout
    /// BEP 15 and BEP 41; what an announce leaves at zero (amounts, event, address, key) stays as prepared.
    pub(crate) fn write(
        &self,
        room: &mut [u8],
        request: Request,
        connection_id: [u8; 8],
        transaction_id: u32,
    ) {
        match request {
            Request::Connect => {}
            Request::Announce(peer) => {
                room[..8].copy_from_slice(&connection_id);
                room[16..36].copy_from_slice(&info_hash(peer.torrent));
                room[36..56].copy_from_slice(&peer_id(peer));
                room[96..98].copy_from_slice(&self.sources.port(peer).to_be_bytes());
                if let Some(users) = self.users {
                    let passkey = passkey(user(peer, users));
                    room[PASSKEY_AT..][..passkey.len()].copy_from_slice(&passkey);
                }
            }
            Request::Scrape(peer) => {
                room[..8].copy_from_slice(&connection_id);
                room[16..36].copy_from_slice(&info_hash(peer.torrent));
            }
        }
        room[12..16].copy_from_slice(&transaction_id.to_be_bytes());
    }

    /// A whole request.
    pub(crate) fn whole(
        &self,
        request: Request,
        connection_id: [u8; 8],
        transaction_id: u32,
    ) -> Vec<u8> {
        let mut bytes = self.templates()[request.kind()].to_vec();
        self.write(&mut bytes, request, connection_id, transaction_id);
        bytes
    }
}
