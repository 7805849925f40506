//! Writes bencoded values behind each other into a growing buffer.
//!
//! The order of keys is up to the caller; the strict reader proves it in tests.

use alloc::vec::Vec;

/// Appends values to a buffer.
///
/// # Source
/// BEP 3, "bencoding".
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Writes at the end of `out`.
    #[must_use]
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Begins a dictionary; keys must follow in the order of their bytes.
    #[inline]
    pub fn begin_dict(&mut self) {
        self.out.push(b'd');
    }

    /// Begins a list.
    #[inline]
    pub fn begin_list(&mut self) {
        self.out.push(b'l');
    }

    /// Ends the dictionary or list that was begun last.
    #[inline]
    pub fn end(&mut self) {
        self.out.push(b'e');
    }

    /// Writes a key; its value must follow.
    #[inline]
    pub fn key(&mut self, key: &[u8]) -> &mut Self {
        self.bytes(key);
        self
    }

    /// Writes a byte string.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(DecimalDigits::default().of(bytes.len() as u64));
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
    }

    /// Writes a number.
    #[inline]
    pub fn uint(&mut self, value: u64) {
        self.out.push(b'i');
        self.out.extend_from_slice(DecimalDigits::default().of(value));
        self.out.push(b'e');
    }
}

/// Room for the decimal digits of a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecimalDigits([u8; 20]);

impl DecimalDigits {
    /// The digits of `value`, without leading zeros.
    #[inline]
    pub fn of(&mut self, mut value: u64) -> &[u8] {
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return &self.0[at..];
            }
        }
    }
}
