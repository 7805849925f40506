//! Frames that a client sends, put together to messages.
//!
//! Nothing is read from a socket here and nothing is answered; what a message says is not known.

use alloc::vec::Vec;
use core::fmt;

use super::frame::{
    CONTROL_BYTES_MAX, FIN, LENGTH_U16, LENGTH_U64, MASKED, RSV, close_code, opcode,
};

/// Bytes of a masking key.
const MASK_BYTES: usize = 4;

/// What a client did that frames do not allow; the connection ends with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// A header that RFC 6455 forbids, fragments out of order, or a bad close frame.
    Protocol,
    /// A message that is not UTF-8.
    InvalidUtf8,
    /// A message longer than allowed.
    TooBig,
}

impl ReadError {
    /// The code for the close frame.
    ///
    /// # Source
    /// RFC 6455, section 7.4.1.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Protocol => close_code::PROTOCOL_ERROR,
            Self::InvalidUtf8 => close_code::INVALID_PAYLOAD,
            Self::TooBig => close_code::MESSAGE_TOO_BIG,
        }
    }

    /// A fixed text for the close frame.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Protocol => "protocol error",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::TooBig => "message too big",
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for ReadError {}

/// How far a buffer has been understood.
#[derive(PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// The frame at the start of the buffer is not all there.
    Partial {
        /// How long the buffer must be before it makes sense to try again: a claim of the client,
        /// who may send nothing more.
        wanted_bytes: usize,
    },
    /// One frame.
    Frame {
        /// Bytes of the frame; the next one begins behind them.
        consumed: usize,
        /// What it brought.
        event: Event<'a>,
    },
}

/// What a frame brought.
#[derive(PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole message, text or binary.
    Message(&'a str),
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The client closes, with a code if it gave one; nothing that follows counts.
    Close(Option<u16>),
    /// A part of a message whose end is still to come.
    Fragment,
}

/// Reads the frames of one client.
///
/// # Cost
/// A message in one frame is read where it stands. Fragments are copied together on the heap, which
/// is given back with the first call after their message; a reader between messages holds no heap.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    fragments: Vec<u8>,
}

/// What the next data frame may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// The first of a message.
    #[default]
    Between,
    /// The next of a message that has begun.
    Within,
    /// The first of a message; the one that was put together before it is still held.
    Delivered,
}

/// A header that breaks no rule by itself.
struct Header {
    opcode: u8,
    last: bool,
    mask: [u8; MASK_BYTES],
    /// Where the payload begins.
    payload_at: usize,
    payload_bytes: usize,
}

impl Reader {
    /// Reads the frame at the start of `input` and unmasks it in place.
    ///
    /// The same bytes must not be given again once they were [`Step::Frame`]. The payload of all
    /// frames of a message may be `message_bytes_max` long.
    ///
    /// # Errors
    /// As soon as the header shows it; the reader is of no use then.
    /// # Source
    /// RFC 6455, sections 5 and 7.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        message_bytes_max: usize,
    ) -> Result<Step<'a>, ReadError> {
        if self.state == State::Delivered {
            self.state = State::Between;
            self.fragments = Vec::new();
        }
        let header = match read_header(input)? {
            Ok(header) => header,
            Err(wanted_bytes) => return Ok(Step::Partial { wanted_bytes }),
        };
        self.check(&header, message_bytes_max)?;
        let consumed = header.payload_at.saturating_add(header.payload_bytes);
        let Some(payload) = input.get_mut(header.payload_at..consumed) else {
            return Ok(Step::Partial { wanted_bytes: consumed });
        };
        unmask(payload, header.mask);
        let event = match header.opcode {
            opcode::PING => Event::Ping(payload),
            opcode::PONG => Event::Pong,
            opcode::CLOSE => Event::Close(read_close(payload)?),
            _ => self.data(header.last, payload)?,
        };
        Ok(Step::Frame { consumed, event })
    }

    /// Says whether part of a message is held whose end is still to come.
    #[cfg(test)]
    pub(super) fn is_within_message(&self) -> bool {
        self.state == State::Within
    }

    /// Bytes of memory that the parts of a message take.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.fragments.capacity()
    }

    /// Checks what depends on the frames before.
    fn check(&self, header: &Header, message_bytes_max: usize) -> Result<(), ReadError> {
        let within = self.state == State::Within;
        match header.opcode {
            opcode::CLOSE | opcode::PING | opcode::PONG => return Ok(()),
            opcode::CONTINUATION if within => {}
            opcode::TEXT | opcode::BINARY if !within => {}
            _ => return Err(ReadError::Protocol),
        }
        // `fragments` is empty or part of this message.
        if header.payload_bytes > message_bytes_max.saturating_sub(self.fragments.len()) {
            return Err(ReadError::TooBig);
        }
        Ok(())
    }

    fn data<'a>(&'a mut self, last: bool, payload: &'a [u8]) -> Result<Event<'a>, ReadError> {
        let text = match (self.state, last) {
            (State::Between, true) => payload,
            (_, false) => {
                self.state = State::Within;
                self.fragments.extend_from_slice(payload);
                return Ok(Event::Fragment);
            }
            (_, true) => {
                self.state = State::Delivered;
                self.fragments.extend_from_slice(payload);
                &self.fragments
            }
        };
        core::str::from_utf8(text).map(Event::Message).map_err(|_| ReadError::InvalidUtf8)
    }
}

/// Reads a header, or tells how many bytes are wanted to go on.
fn read_header(input: &[u8]) -> Result<Result<Header, usize>, ReadError> {
    let Some((&[first, second], rest)) = input.split_first_chunk::<2>() else {
        return Ok(Err(2));
    };
    let last = first & FIN != 0;
    let kind = first & 0x0f;
    let short = second & !MASKED;
    let known = match kind {
        opcode::CONTINUATION | opcode::TEXT | opcode::BINARY => true,
        opcode::CLOSE | opcode::PING | opcode::PONG => {
            last && usize::from(short) <= CONTROL_BYTES_MAX
        }
        _ => false,
    };
    if !known || first & RSV != 0 || second & MASKED == 0 {
        return Err(ReadError::Protocol);
    }
    let length_bytes = match short {
        LENGTH_U16 => 2,
        LENGTH_U64 => 8,
        _ => 0,
    };
    let payload_at = 2 + length_bytes + MASK_BYTES;
    let Some((length, rest)) = rest.split_at_checked(length_bytes) else {
        return Ok(Err(payload_at));
    };
    let length = match length {
        [] => u64::from(short),
        more => more.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
    };
    let fits_shorter = match short {
        LENGTH_U16 => length < u64::from(LENGTH_U16),
        LENGTH_U64 => length <= u64::from(u16::MAX) || length > i64::MAX as u64,
        _ => false,
    };
    if fits_shorter {
        return Err(ReadError::Protocol);
    }
    // A frame that no memory holds is refused before its mask is waited for.
    let payload_bytes = usize::try_from(length).map_err(|_| ReadError::TooBig)?;
    let Some(&mask) = rest.first_chunk() else {
        return Ok(Err(payload_at));
    };
    Ok(Ok(Header { opcode: kind, last, mask, payload_at, payload_bytes }))
}

/// Takes the mask off, or puts it on.
///
/// # Source
/// RFC 6455, section 5.3.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; MASK_BYTES]) {
    let wide = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Reads the payload of a close frame.
///
/// # Source
/// RFC 6455, sections 5.5.1 and 7.4; 1012 to 1014 from the registry of section 11.7.
fn read_close(payload: &[u8]) -> Result<Option<u16>, ReadError> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        _ => return Err(ReadError::Protocol),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(ReadError::Protocol);
    }
    core::str::from_utf8(reason).map_err(|_| ReadError::InvalidUtf8)?;
    Ok(Some(code))
}
