//! What the tracker sends back, written into the buffer of the caller.
//!
//! Peers are not written here: they are stored in wire order, so the owner of the swarm copies
//! them behind the header itself. How many there may be is stated here, since it follows from the
//! sizes of packets.

use super::request::{ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_ERROR, ACTION_SCRAPE};
use crate::peer_addr::{IPV4_BYTES, IPV6_BYTES};
use crate::{ConnectionId, TransactionId};

/// Bytes of a connect reply.
pub const CONNECT_BYTES: usize = 16;
/// Bytes of an announce reply before its peers.
pub const ANNOUNCE_HEADER_BYTES: usize = 20;
/// Bytes of a scrape reply before its entries.
pub const SCRAPE_HEADER_BYTES: usize = 8;
/// Bytes of one scrape entry.
pub const SCRAPE_ENTRY_BYTES: usize = 12;
/// Longest error text that is sent; the rest is cut off.
pub const ERROR_TEXT_BYTES_MAX: usize = 200;

/// Largest payload that crosses IPv4 in one piece: a PPPoE link (1492) less 28 bytes of headers.
pub const IPV4_PAYLOAD_BYTES_MAX: usize = 1464;
/// Largest payload that crosses IPv6 in one piece: the least MTU (1280) less 48 bytes of headers.
pub const IPV6_PAYLOAD_BYTES_MAX: usize = 1232;
/// Most peers in a reply over IPv4; more would fit, but no client asks for more.
pub const IPV4_PEERS_MAX: usize = 200;
/// Most peers in a reply over IPv6.
pub const IPV6_PEERS_MAX: usize = 67;
/// Most torrents answered in one scrape, over either family.
pub const SCRAPE_INFO_HASHES_MAX: usize = 102;

const _: () = {
    assert!(ANNOUNCE_HEADER_BYTES + IPV4_PEERS_MAX * IPV4_BYTES <= IPV4_PAYLOAD_BYTES_MAX);
    assert!(ANNOUNCE_HEADER_BYTES + IPV6_PEERS_MAX * IPV6_BYTES <= IPV6_PAYLOAD_BYTES_MAX);
    assert!(ANNOUNCE_HEADER_BYTES + (IPV6_PEERS_MAX + 1) * IPV6_BYTES > IPV6_PAYLOAD_BYTES_MAX);
    assert!(
        SCRAPE_HEADER_BYTES + SCRAPE_INFO_HASHES_MAX * SCRAPE_ENTRY_BYTES <= IPV6_PAYLOAD_BYTES_MAX
    );
    // BEP 15 lets a client put up to about 74 torrents into one scrape; all must get an answer.
    assert!(SCRAPE_INFO_HASHES_MAX >= 74);
    assert!(ERROR_TEXT_BYTES_MAX + 8 <= IPV6_PAYLOAD_BYTES_MAX);
};

/// Writes a connect reply and returns its length in bytes.
///
/// # Layout
/// Big-endian: 0 action u32 = 0, 4 transaction_id, 8 connection_id u64.
/// # Panics
/// If `out` holds less than [`CONNECT_BYTES`].
/// # Source
/// BEP 15, "Connect".
#[inline]
#[must_use]
pub fn write_connect(
    out: &mut [u8],
    transaction_id: TransactionId,
    connection_id: ConnectionId,
) -> usize {
    let out = fixed::<CONNECT_BYTES>(out);
    put_head(out, ACTION_CONNECT, transaction_id);
    out[8..].copy_from_slice(&connection_id.0.to_be_bytes());
    CONNECT_BYTES
}

/// Writes an announce reply up to its first peer and returns the length in bytes.
///
/// # Units
/// `interval_secs` is in seconds. Every number is cut to 2^31-1, since clients read it as signed.
/// # Layout
/// Big-endian: 0 action u32 = 1, 4 transaction_id, 8 interval u32, 12 leechers u32,
/// 16 seeders u32, 20 peers of 6 bytes (IPv4) or 18 bytes (IPv6), nothing after the last.
/// # Panics
/// If `out` holds less than [`ANNOUNCE_HEADER_BYTES`].
/// # Source
/// BEP 15, "Announce".
#[inline]
#[must_use]
pub fn write_announce_header(
    out: &mut [u8],
    transaction_id: TransactionId,
    interval_secs: u32,
    leechers: u32,
    seeders: u32,
) -> usize {
    let out = fixed::<ANNOUNCE_HEADER_BYTES>(out);
    put_head(out, ACTION_ANNOUNCE, transaction_id);
    out[8..12].copy_from_slice(&signed_word(interval_secs));
    out[12..16].copy_from_slice(&signed_word(leechers));
    out[16..20].copy_from_slice(&signed_word(seeders));
    ANNOUNCE_HEADER_BYTES
}

/// Writes a scrape reply up to its first entry and returns the length in bytes.
///
/// # Layout
/// Big-endian: 0 action u32 = 2, 4 transaction_id, 8 entries in the order of the request.
/// # Panics
/// If `out` holds less than [`SCRAPE_HEADER_BYTES`].
/// # Source
/// BEP 15, "Scrape".
#[inline]
#[must_use]
pub fn write_scrape_header(out: &mut [u8], transaction_id: TransactionId) -> usize {
    put_head(fixed::<SCRAPE_HEADER_BYTES>(out), ACTION_SCRAPE, transaction_id);
    SCRAPE_HEADER_BYTES
}

/// Writes one scrape entry at the start of `out` and returns its length in bytes.
///
/// # Layout
/// Big-endian: 0 seeders u32, 4 completions u32, 8 leechers u32; seeders first, unlike an announce.
/// # Panics
/// If `out` holds less than [`SCRAPE_ENTRY_BYTES`].
/// # Source
/// BEP 15, "Scrape".
#[inline]
#[must_use]
pub fn write_scrape_entry(out: &mut [u8], seeders: u32, completions: u32, leechers: u32) -> usize {
    let out = fixed::<SCRAPE_ENTRY_BYTES>(out);
    out[..4].copy_from_slice(&signed_word(seeders));
    out[4..8].copy_from_slice(&signed_word(completions));
    out[8..].copy_from_slice(&signed_word(leechers));
    SCRAPE_ENTRY_BYTES
}

/// Writes an error reply and returns its length in bytes.
///
/// The text is not terminated by a zero byte; one over [`ERROR_TEXT_BYTES_MAX`] is cut off.
///
/// # Layout
/// Big-endian: 0 action u32 = 3, 4 transaction_id, 8 text.
/// # Panics
/// If `out` holds less than 8 bytes and the text.
/// # Source
/// BEP 15, "Errors".
#[must_use]
pub fn write_error(out: &mut [u8], transaction_id: TransactionId, text: &str) -> usize {
    let text = &text.as_bytes()[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)];
    put_head(fixed::<8>(out), ACTION_ERROR, transaction_id);
    out[8..8 + text.len()].copy_from_slice(text);
    8 + text.len()
}

#[inline(always)]
fn fixed<const N: usize>(out: &mut [u8]) -> &mut [u8; N] {
    out.first_chunk_mut().expect("the caller's buffer holds the reply")
}

#[inline(always)]
fn put_head<const N: usize>(out: &mut [u8; N], action: u32, transaction_id: TransactionId) {
    out[..4].copy_from_slice(&action.to_be_bytes());
    out[4..8].copy_from_slice(&transaction_id.0);
}

#[inline(always)]
fn signed_word(value: u32) -> [u8; 4] {
    value.min(i32::MAX.cast_unsigned()).to_be_bytes()
}
