//! Percent decoding of one value.
//!
//! Nothing here knows what the value is for; bytes that need no escape are taken as they are,
//! whether or not they are text.

use crate::ids::hex_digit;

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Decodes byte by byte, without a buffer.
///
/// # Source
/// RFC 3986, section 2.1; a raw `+` for a space is what form encoders send.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    rest: &'a [u8],
    plus_literal: bool,
}

impl Iterator for Decoded<'_> {
    type Item = Result<u8, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match first {
            b'%' => match *rest {
                [high, low, ref rest @ ..] => match (hex_digit(high), hex_digit(low)) {
                    (Some(high), Some(low)) => {
                        self.rest = rest;
                        Ok(high << 4 | low)
                    }
                    _ => Err(Malformed),
                },
                _ => Err(Malformed),
            },
            b'+' if !self.plus_literal => Ok(b' '),
            _ => Ok(first),
        })
    }
}

/// The bytes that `value` spells; `plus_literal` keeps a raw `+` instead of reading a space.
#[inline]
#[must_use]
pub const fn decoded(value: &[u8], plus_literal: bool) -> Decoded<'_> {
    Decoded { rest: value, plus_literal }
}

/// Decodes into `out` and returns what was written, or nothing if it is malformed or does not fit.
#[inline]
#[must_use]
pub fn decode_into<'o>(value: &[u8], plus_literal: bool, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let mut len = 0;
    for byte in decoded(value, plus_literal) {
        *out.get_mut(len)? = byte.ok()?;
        len += 1;
    }
    Some(&out[..len])
}

/// Decodes a value that must spell exactly `N` bytes.
#[inline]
#[must_use]
pub fn decode_exact<const N: usize>(value: &[u8], plus_literal: bool) -> Option<[u8; N]> {
    let mut out = [0; N];
    let len = decode_into(value, plus_literal, &mut out)?.len();
    (len == N).then_some(out)
}
