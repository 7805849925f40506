//! Tests of the WebSocket codec, by subject.
//!
//! What a tracker decides about a message is not tested here.

mod frames;
mod golden;
mod handshakes;
mod messages;
mod properties;

use std::vec::Vec;

use super::*;

const LIMITS: Limits = Limits { offers_max: OFFERS_MAX, scrape_info_hashes_max: 255 };
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it; `first` is the byte with the opcode.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = unmasked(first, payload);
    let payload_at = frame.len() - payload.len();
    frame[1] |= 0x80;
    frame.splice(payload_at..payload_at, MASK);
    for (byte, mask) in frame[payload_at + 4..].iter_mut().zip(MASK.iter().cycle()) {
        *byte ^= mask;
    }
    frame
}

/// A frame as a server sends it.
fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from([first]);
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..0x1_0000 => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}
