//! Frames of a WebSocket client (RFC 6455): masked ones to send, and those of a tracker.
//!
//! Bytes only; what a message says is read elsewhere.

use crate::load::answer::Wrong;

/// The key of every masked frame.
///
/// Real ones differ from frame to frame, and it costs the same to take them off again.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const OPCODE_TEXT: u8 = 1;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;

/// The most bytes of a tracker's frame.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// A text frame, parts of which are written over before it is sent.
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    head_bytes: usize,
    mask: [u8; 4],
}

impl Prepared {
    /// A frame of a client.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 14);
        let head_bytes = write(&mut bytes, OPCODE_TEXT, text, Some(MASK));
        Self { bytes, head_bytes, mask: MASK }
    }

    /// A frame of a tracker.
    pub(crate) fn unmasked(text: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 10);
        let head_bytes = write(&mut bytes, OPCODE_TEXT, text, None);
        Self { bytes, head_bytes, mask: [0; 4] }
    }

    /// Writes other text over some of it.
    pub(crate) fn put(&mut self, at: usize, text: &[u8]) {
        let room = &mut self.bytes[self.head_bytes + at..][..text.len()];
        for (place, (room, byte)) in (at..).zip(room.iter_mut().zip(text)) {
            *room = byte ^ self.mask[place & 3];
        }
    }

    /// Reads a part of a frame that differs from this one in nothing else.
    pub(crate) fn part<const N: usize>(&self, frame: &[u8], at: usize) -> [u8; N] {
        let mut text = [0; N];
        for (place, (byte, masked)) in
            (at..).zip(text.iter_mut().zip(&frame[self.head_bytes + at..]))
        {
            *byte = masked ^ self.mask[place & 3];
        }
        text
    }

    /// What is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Appends the answer to a ping.
pub(crate) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, OPCODE_PONG, payload, Some(MASK));
}

/// Appends a frame and returns how long its head is.
fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> usize {
    let start = out.len();
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(masked | short as u8),
        middle @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend((middle as u16).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let head_bytes = out.len() - start;
    let mask = mask.unwrap_or_default();
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    head_bytes
}

/// A frame of a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    Close,
}

/// Takes the first frame off what was received; nothing as long as it is not whole.
pub(crate) fn split(received: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, Wrong> {
    let Some(([first, second], rest)) = received.split_first_chunk() else {
        return Ok(None);
    };
    // In one piece, without extensions, and not masked.
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(Wrong::Frame);
    }
    let (length, rest) = match second {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(*short), rest),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(Wrong::Frame);
    }
    let Some((payload, rest)) = rest.split_at_checked(length as usize) else {
        return Ok(None);
    };
    let frame = match first & 0x0f {
        OPCODE_TEXT => Frame::Text(payload),
        OPCODE_PING => Frame::Ping(payload),
        OPCODE_PONG => Frame::Pong,
        OPCODE_CLOSE => Frame::Close,
        _ => return Err(Wrong::Frame),
    };
    Ok(Some((frame, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(frame: &[u8], head_bytes: usize) -> Vec<u8> {
        let mask = &frame[head_bytes - 4..head_bytes];
        frame[head_bytes..]
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect()
    }

    #[test]
    fn part_of_a_masked_frame_is_written_over() {
        for (length, head_bytes) in [(100, 6), (126, 8), (0xffff, 8), (0x1_0000, 14)] {
            let mut text = vec![b'-'; length];
            let mut prepared = Prepared::new(&text);
            prepared.put(7, b"announce");
            text[7..15].copy_from_slice(b"announce");
            assert_eq!(prepared.bytes().len(), head_bytes + length);
            assert_eq!(unmasked(prepared.bytes(), head_bytes), text);
        }
    }

    #[test]
    fn frames_are_taken_off_one_by_one_and_only_whole() {
        let mut received = vec![0x81, 2, b'o', b'k', 0x89, 0, 0x81, 126, 0, 200];
        received.extend([b'x'; 200]);
        let (first, rest) = split(&received).unwrap().unwrap();
        assert_eq!(first, Frame::Text(b"ok"));
        let (second, rest) = split(rest).unwrap().unwrap();
        assert_eq!(second, Frame::Ping(b""));
        assert_eq!(split(rest), Ok(Some((Frame::Text(&[b'x'; 200]), &b""[..]))));
        for length in 0..rest.len() {
            assert_eq!(split(&rest[..length]), Ok(None));
        }
    }

    #[test]
    fn what_no_tracker_sends_is_refused() {
        for head in [[0x01, 0], [0xc1, 0], [0x81, 0x80], [0x82, 0], [0x80, 0]] {
            assert_eq!(split(&head), Err(Wrong::Frame), "{head:x?}");
        }
        assert_eq!(split(&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]), Err(Wrong::Frame));
    }
}
