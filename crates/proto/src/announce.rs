//! What an announce says, whichever transport it came by.
//!
//! The address of the client is not here: it belongs to the transport, not to the message.

use crate::{DecodeError, InfoHash, PeerId, PeerKey};

/// What happened at the client since its last announce.
///
/// # Source
/// BEP 3 and BEP 15; `Paused` from BEP 21.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AnnounceEvent {
    /// A regular announce, or an event that nobody defined.
    #[default]
    None,
    /// The download began or the client came back.
    Started,
    /// The download just finished.
    Completed,
    /// The client leaves the swarm.
    Stopped,
    /// The client has all it wants but not everything: a partial seed.
    Paused,
}

/// How many peers the client asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NumWant {
    /// Absent, negative or unreadable: the tracker decides.
    #[default]
    Default,
    /// This many, before any cap.
    Count(u32),
}

/// One announce as the client states it; nothing in it is verified.
#[derive(Clone, Copy, Debug)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// What the client calls itself.
    pub peer_id: PeerId,
    /// Where the client listens; 0 is possible and means "nowhere".
    pub port: u16,
    /// Bytes sent to others since `started`, as claimed.
    pub uploaded_bytes: u64,
    /// Bytes got from others since `started`, as claimed.
    pub downloaded_bytes: u64,
    /// Bytes still missing; `None` when the client does not know or did not say.
    pub left_bytes: Option<u64>,
    /// What happened.
    pub event: AnnounceEvent,
    /// How many peers it would like.
    pub num_want: NumWant,
    /// Ties the addresses of one client together.
    pub peer_key: PeerKey,
}

/// The first number that a user's traffic cannot be counted without, and that an announce does not
/// tell, or not so that it can be read. A `left` that stands for "unknown" is told.
pub(crate) const fn uncounted(
    has_left: bool,
    uploaded_bytes: Option<u64>,
    downloaded_bytes: Option<u64>,
) -> Option<DecodeError> {
    match (has_left, uploaded_bytes, downloaded_bytes) {
        (false, ..) => Some(DecodeError::MissingLeft),
        (_, None, _) => Some(DecodeError::MissingUploaded),
        (.., None) => Some(DecodeError::MissingDownloaded),
        _ => None,
    }
}

/// Turns a `left` field into bytes, or `None` for the two values that clients send for "unknown".
///
/// # Source
/// BEP 3, `left`; magnet clients send 2^63-1 or 2^64-1 before they have the metadata.
#[must_use]
pub const fn left_from_wire(left: u64) -> Option<u64> {
    match left {
        u64::MAX | 0x7fff_ffff_ffff_ffff => None,
        _ => Some(left),
    }
}
