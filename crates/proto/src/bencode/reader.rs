//! Reads one bencoded value and accepts nothing that is not canonical.
//!
//! Replies are read by clients of every strictness; tests and tools read them with this one, so
//! what passes here passes anywhere. The tracker itself never reads bencode from strangers.

use alloc::vec::Vec;
use core::fmt;

/// Deepest nesting that is read.
pub const DEPTH_MAX: usize = 32;

/// A bencoded value; byte strings stay in the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// A number.
    Integer(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Self>),
    /// A dictionary in the order of its keys.
    Dict(Vec<(&'a [u8], Self)>),
}

impl<'a> Value<'a> {
    /// The value under a key, if this is a dictionary that has it.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Self> {
        let Self::Dict(entries) = self else {
            return None;
        };
        let at = entries.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&entries[at].1)
    }

    /// The number, if this is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The byte string, if this is one.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }
}

/// Why some bytes are not one canonical value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes end inside a value.
    Truncated,
    /// A byte that no value or number can have there.
    Unexpected,
    /// A number or length with a leading zero, or minus zero.
    LeadingZero,
    /// A number above 63 bits.
    TooLarge,
    /// A key that is not greater than the one before it.
    UnsortedKey,
    /// More than [`DEPTH_MAX`] lists and dictionaries in each other.
    TooDeep,
    /// Bytes behind the value.
    TrailingBytes,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end inside a value",
            Self::Unexpected => "a byte that cannot stand there",
            Self::LeadingZero => "a number with a leading zero or minus zero",
            Self::TooLarge => "a number above 63 bits",
            Self::UnsortedKey => "a key that is not greater than the one before it",
            Self::TooDeep => "lists and dictionaries nested deeper than 32",
            Self::TrailingBytes => "bytes behind the value",
        })
    }
}

impl core::error::Error for ReadError {}

/// Reads exactly one value that takes up all of `bytes`.
///
/// # Cost
/// Allocates in proportion to the number of elements.
/// # Errors
/// The first violation found.
/// # Source
/// BEP 3, "bencoding".
pub fn read(bytes: &[u8]) -> Result<Value<'_>, ReadError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(ReadError::TrailingBytes) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Calls itself for nested values, which [`DEPTH_MAX`] bounds.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, ReadError> {
        match self.peek()? {
            b'i' => {
                self.rest = &self.rest[1..];
                self.integer().map(Value::Integer)
            }
            b'0'..=b'9' => self.bytes().map(Value::Bytes),
            b'l' | b'd' if depth == DEPTH_MAX => Err(ReadError::TooDeep),
            b'l' => {
                self.rest = &self.rest[1..];
                let mut elements = Vec::new();
                while !self.ends()? {
                    elements.push(self.value(depth + 1)?);
                }
                Ok(Value::List(elements))
            }
            b'd' => {
                self.rest = &self.rest[1..];
                let mut entries: Vec<(&[u8], Value<'_>)> = Vec::new();
                while !self.ends()? {
                    let key = self.bytes()?;
                    if entries.last().is_some_and(|(last, _)| *last >= key) {
                        return Err(ReadError::UnsortedKey);
                    }
                    entries.push((key, self.value(depth + 1)?));
                }
                Ok(Value::Dict(entries))
            }
            _ => Err(ReadError::Unexpected),
        }
    }

    fn peek(&self) -> Result<u8, ReadError> {
        self.rest.first().copied().ok_or(ReadError::Truncated)
    }

    /// Takes the end of a list or dictionary if it is there.
    fn ends(&mut self) -> Result<bool, ReadError> {
        let ends = self.peek()? == b'e';
        if ends {
            self.rest = &self.rest[1..];
        }
        Ok(ends)
    }

    fn integer(&mut self) -> Result<i64, ReadError> {
        let negative = self.peek()? == b'-';
        if negative {
            self.rest = &self.rest[1..];
        }
        let magnitude = self.digits(b'e')?;
        match (negative, magnitude) {
            (true, 0) => Err(ReadError::LeadingZero),
            (true, _) => 0i64.checked_sub_unsigned(magnitude).ok_or(ReadError::TooLarge),
            (false, _) => i64::try_from(magnitude).map_err(|_| ReadError::TooLarge),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let len = usize::try_from(self.digits(b':')?).map_err(|_| ReadError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads digits up to `end` and takes both.
    fn digits(&mut self, end: u8) -> Result<u64, ReadError> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        match rest.first() {
            None => return Err(ReadError::Truncated),
            Some(&found) if found != end || digits.is_empty() => return Err(ReadError::Unexpected),
            Some(_) => self.rest = &rest[1..],
        }
        if digits.len() > 1 && digits[0] == b'0' {
            return Err(ReadError::LeadingZero);
        }
        digits
            .iter()
            .try_fold(0u64, |sum, &digit| {
                let sum = sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
                Some(sum)
            })
            .ok_or(ReadError::TooLarge)
    }
}
