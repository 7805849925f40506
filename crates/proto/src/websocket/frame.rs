//! Frames that the server sends: text, ping, pong and close, never masked and never in fragments.
//!
//! What stands in a text is not known here.

use alloc::vec::Vec;

/// The last frame of a message, which is also its first.
pub(super) const FIN: u8 = 0x80;
/// The bits that only extensions use.
pub(super) const RSV: u8 = 0x70;
/// The bit of the second byte that says that the payload is masked.
pub(super) const MASKED: u8 = 0x80;
/// The value of a length that stands in the next two bytes.
pub(super) const LENGTH_U16: u8 = 126;
/// The value of a length that stands in the next eight bytes.
pub(super) const LENGTH_U64: u8 = 127;
/// The longest payload of a control frame.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// The kinds of frames.
///
/// # Source
/// RFC 6455, section 11.8.
pub(super) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0x0;
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const BINARY: u8 = 0x2;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xa;
}

/// Why a connection ends, as its close frame says it.
///
/// # Source
/// RFC 6455, section 7.4.1.
pub mod close_code {
    /// The purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server goes down.
    pub const GOING_AWAY: u16 = 1001;
    /// The client broke the rules of frames.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The message is nothing that a tracker understands.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// The text is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// The message breaks a rule, and no better code fits.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// The message is too long.
    pub const MESSAGE_TOO_BIG: u16 = 1009;
    /// Something went wrong in the server.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// The server has too much to do; come back later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
}

/// Where a text frame begins that [`end_text`] has still to complete.
#[derive(Debug)]
#[must_use = "the frame has no length yet"]
pub struct TextMark {
    payload_at: usize,
}

/// The header that most messages get: two bytes, and the length in two more.
const HEADER_BYTES: usize = 4;

/// Begins a text frame at the end of `out`; its payload is to be appended, then [`end_text`].
pub fn begin_text(out: &mut Vec<u8>) -> TextMark {
    out.extend_from_slice(&[FIN | opcode::TEXT, LENGTH_U16, 0, 0]);
    TextMark { payload_at: out.len() }
}

/// Completes the text frame with everything that was appended since `mark`, which must be UTF-8.
///
/// # Cost
/// The payload stays where it is unless it is shorter than 126 bytes or longer than 65,535.
/// # Panics
/// If `out` is shorter than it was at `mark`.
/// # Source
/// RFC 6455, section 5.2.
pub fn end_text(out: &mut Vec<u8>, mark: TextMark) {
    let TextMark { payload_at } = mark;
    let len = out.len().checked_sub(payload_at).expect("nothing is taken from an open frame");
    if len <= CONTROL_BYTES_MAX {
        out[payload_at - HEADER_BYTES + 1] = len as u8;
        out.copy_within(payload_at.., payload_at - HEADER_BYTES + 2);
        out.truncate(out.len() - 2);
    } else if let Ok(len) = u16::try_from(len) {
        out[payload_at - 2..payload_at].copy_from_slice(&len.to_be_bytes());
    } else {
        out[payload_at - HEADER_BYTES + 1] = LENGTH_U64;
        out.splice(payload_at - 2..payload_at, (len as u64).to_be_bytes());
    }
}

/// Appends a text frame; `text` must be UTF-8.
pub fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(HEADER_BYTES + text.len());
    let mark = begin_text(out);
    out.extend_from_slice(text);
    end_text(out, mark);
}

/// Appends a ping; a payload longer than 125 bytes is cut off.
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, opcode::PING, &[], payload);
}

/// Appends the pong to a ping with this payload.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, opcode::PONG, &[], payload);
}

/// Appends a close frame; a reason longer than 123 bytes is cut off.
///
/// # Source
/// RFC 6455, section 5.5.1; [`close_code`] has the codes.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    write_control(out, opcode::CLOSE, &code.to_be_bytes(), reason.as_bytes());
}

fn write_control(out: &mut Vec<u8>, opcode: u8, before: &[u8], payload: &[u8]) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX - before.len())];
    out.extend_from_slice(&[FIN | opcode, (before.len() + payload.len()) as u8]);
    out.extend_from_slice(before);
    out.extend_from_slice(payload);
}
