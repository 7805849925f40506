//! Bounds that nobody tunes, each with its unit and the reason for its size.
//!
//! Bounds that an operator may move are options of the product, not constants here.

/// Peers in one answer at the most, whatever is asked and configured.
pub const PEERS_PER_ANSWER_MAX: usize = 1000;

/// Torrents in one scrape at the most, whatever is configured.
pub const SCRAPE_INFO_HASHES_MAX: usize = 1000;

/// Peers that one part of a lane holds on average before another part is split off.
///
/// A peer is found by reading its part from end to end, so this bounds the cost of a look-up;
/// a part costs a header of 40 bytes, so it also bounds the cost of a peer.
pub(crate) const PART_PEERS_MAX: u32 = 96;

/// Peers a part on average below which parts are joined again.
pub(crate) const PART_PEERS_MIN: u32 = 24;

/// Parts that one answer looks into at the most, so that its cost never follows the swarm's size.
pub(crate) const PARTS_PER_ANSWER_MAX: usize = 256;

/// Torrents in one chunk of a shard's table; growth adds a chunk and copies nothing.
pub(crate) const CHUNK_TORRENTS: usize = 256;

/// Completions a shard remembers in order to count a dual-stack client once.
pub(crate) const RECENT_COMPLETIONS_MAX: usize = 512;

/// Seconds an empty torrent keeps its count of completions.
pub(crate) const EMPTY_TORRENT_TTL_SECS: u32 = 24 * 3600;

/// The longest `peer_ttl` in seconds that coarse time stamps can tell from a fresh peer.
pub const PEER_TTL_SECS_MAX: u32 = crate::time::STAMP_WRAP_SECS / 2 - 736;

const _: () =
    assert!(PART_PEERS_MIN * 2 < PART_PEERS_MAX, "a split part must not be joined at once");
const _: () = assert!(PEER_TTL_SECS_MAX == 64_800, "eighteen hours, as the option list says");
const _: () = assert!(
    EMPTY_TORRENT_TTL_SECS < crate::time::STAMP_WRAP_SECS - 3600,
    "an hour of late sweeps must not wrap a stamp"
);
