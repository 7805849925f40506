//! What the tracker says, as JSON appended to the buffer of the caller.
//!
//! Frames are not known here, and neither is who gets what.

use alloc::vec::Vec;

use super::Action;
use crate::bencode::DecimalDigits;
use crate::{InfoHash, OfferId, PeerId};

/// The answer to an announce that was not refused.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that do not have everything, partial seeds included.
    pub leechers: u32,
    /// Seconds until the next announce.
    pub interval_secs: u32,
}

/// The counts of one torrent.
#[derive(Clone, Copy, Debug)]
pub struct ScrapeEntry {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything.
    pub seeders: u32,
    /// Peers that do not have everything, partial seeds included.
    pub leechers: u32,
    /// Finished downloads ever reported.
    pub completions: u32,
}

/// Appends the answer to an announce.
///
/// # Source
/// The WebTorrent tracker protocol.
pub fn write_announced(out: &mut Vec<u8>, announced: &Announced) {
    out.extend_from_slice(b"{\"action\":\"announce\",\"complete\":");
    write_uint(out, announced.seeders);
    out.extend_from_slice(b",\"incomplete\":");
    write_uint(out, announced.leechers);
    out.extend_from_slice(b",\"interval\":");
    write_uint(out, announced.interval_secs);
    write_id(out, b",\"info_hash\":\"", &announced.info_hash.0);
    out.extend_from_slice(b"\"}");
}

/// Appends the offer of `from` to another peer.
///
/// # Units
/// `sdp` is the text between the quotes of a JSON string, as it came in.
/// # Source
/// The WebTorrent tracker protocol.
pub fn write_offer(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    from: &PeerId,
    offer_id: &OfferId,
    sdp: &str,
) {
    write_description(out, b"offer", info_hash, from, offer_id, sdp);
}

/// Appends the answer of `from` to the peer that made the offer.
///
/// # Units
/// `sdp` is the text between the quotes of a JSON string, as it came in.
/// # Source
/// The WebTorrent tracker protocol.
pub fn write_answer(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    from: &PeerId,
    offer_id: &OfferId,
    sdp: &str,
) {
    write_description(out, b"answer", info_hash, from, offer_id, sdp);
}

fn write_description(
    out: &mut Vec<u8>,
    kind: &[u8],
    info_hash: &InfoHash,
    from: &PeerId,
    offer_id: &OfferId,
    sdp: &str,
) {
    out.reserve(128 + 3 * ID_TEXT_BYTES_MAX + sdp.len());
    for piece in [b"{\"action\":\"announce\",\"", kind, b"\":{\"type\":\"", kind] {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(b"\",\"sdp\":\"");
    out.extend_from_slice(sdp.as_bytes());
    write_id(out, b"\"},\"offer_id\":\"", &offer_id.0);
    write_id(out, b"\",\"peer_id\":\"", &from.0);
    write_id(out, b"\",\"info_hash\":\"", &info_hash.0);
    out.extend_from_slice(b"\"}");
}

/// Appends the counts of torrents.
///
/// # Source
/// The WebTorrent tracker protocol; `flags` as in a scrape by HTTP, BEP 48.
pub fn write_scrape(
    out: &mut Vec<u8>,
    entries: impl IntoIterator<Item = ScrapeEntry>,
    interval_min_secs: Option<u32>,
) {
    out.extend_from_slice(b"{\"action\":\"scrape\",\"files\":{");
    let mut before: &[u8] = b"\"";
    for entry in entries {
        write_id(out, before, &entry.info_hash.0);
        out.extend_from_slice(b"\":{\"complete\":");
        write_uint(out, entry.seeders);
        out.extend_from_slice(b",\"incomplete\":");
        write_uint(out, entry.leechers);
        out.extend_from_slice(b",\"downloaded\":");
        write_uint(out, entry.completions);
        out.push(b'}');
        before = b",\"";
    }
    out.push(b'}');
    if let Some(secs) = interval_min_secs {
        out.extend_from_slice(b",\"flags\":{\"min_request_interval\":");
        write_uint(out, secs);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends a failure; without a torrent only if none could be read.
///
/// # Source
/// The WebTorrent tracker protocol: clients match failures by `action` and `info_hash`.
pub fn write_failure(
    out: &mut Vec<u8>,
    action: Action,
    info_hash: Option<&InfoHash>,
    reason: &str,
) {
    out.extend_from_slice(b"{\"action\":\"");
    out.extend_from_slice(action.text().as_bytes());
    out.extend_from_slice(b"\",\"failure reason\":\"");
    for &byte in reason.as_bytes() {
        match byte {
            // Text is UTF-8 already.
            0x80.. => out.push(byte),
            _ => out.extend_from_slice(escape(byte)),
        }
    }
    if let Some(info_hash) = info_hash {
        write_id(out, b"\",\"info_hash\":\"", &info_hash.0);
    }
    out.extend_from_slice(b"\"}");
}

fn write_uint(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(DecimalDigits::default().of(value.into()));
}

/// The longest text of 20 bytes: each of them as `\u00xx`.
const ID_TEXT_BYTES_MAX: usize = 20 * 6;

/// Appends `before` and 20 bytes as a binary string: each byte is one code point.
fn write_id(out: &mut Vec<u8>, before: &[u8], id: &[u8; 20]) {
    // The entries of the table are copied whole, so the last needs room for what it does not use.
    let mut text = [0; ID_TEXT_BYTES_MAX + 2];
    let mut len = 0;
    for &byte in id {
        let spelled = &SPELLED[usize::from(byte)];
        text[len..len + 8].copy_from_slice(spelled);
        len += usize::from(spelled[7]);
    }
    out.extend_from_slice(before);
    out.extend_from_slice(&text[..len]);
}

fn escape(byte: u8) -> &'static [u8] {
    let spelled = &SPELLED[usize::from(byte)];
    &spelled[..usize::from(spelled[7])]
}

/// How each code point below U+0100 stands in a string: up to six bytes, and in the eighth how many.
static SPELLED: [[u8; 8]; 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let point = byte as u8;
        table[byte] = match point {
            b'"' | b'\\' => [b'\\', point, 0, 0, 0, 0, 0, 2],
            0..0x20 => {
                let (high, low) = (HEX[byte >> 4], HEX[byte & 15]);
                [b'\\', b'u', b'0', b'0', high, low, 0, 6]
            }
            0x20..0x80 => [point, 0, 0, 0, 0, 0, 0, 1],
            0x80.. => [0xc0 | point >> 6, 0x80 | point & 0x3f, 0, 0, 0, 0, 0, 2],
        };
        byte += 1;
    }
    table
};
