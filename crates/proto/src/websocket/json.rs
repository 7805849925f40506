//! A strict JSON scanner: everything borrows from the text, nothing is decoded before it is asked for.
//!
//! No message is known here. Numbers keep their text, strings their escapes.

/// How deep arrays and objects may stand in each other.
const DEPTH_MAX: u8 = 16;

/// Room for every word of the protocol.
pub(super) const WORD_BYTES_MAX: usize = 16;

/// Text that is not JSON, or nested too deep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a str,
    escaped: bool,
}

/// Any value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Null,
    False,
    True,
    /// The text of a number.
    Number(&'a str),
    Text(Text<'a>),
    /// An array with its brackets.
    Array(&'a str),
    Object,
}

/// Where reading has come to in a text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Skips white space and shows what comes then, without taking it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Fails unless nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        self.peek().map_or(Ok(()), |_| Err(Malformed))
    }

    /// Takes an object; `member` has to take the value of each key.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.list(b'{', b'}', |scanner| {
            let key = scanner.string()?;
            scanner.take(b':')?;
            member(scanner, key)
        })
    }

    /// Takes an array; `element` has to take each element.
    pub(super) fn array(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.list(b'[', b']', element)
    }

    /// Takes any value.
    pub(super) fn value(&mut self) -> Result<Value<'a>, Malformed> {
        let first = self.peek().ok_or(Malformed)?;
        let from = self.at;
        match first {
            b'"' => self.string().map(Value::Text),
            b'{' => {
                self.object(|scanner, _| scanner.value().map(drop))?;
                Ok(Value::Object)
            }
            b'[' => {
                self.array(|scanner| scanner.value().map(drop))?;
                Ok(Value::Array(&self.text[from..self.at]))
            }
            b'n' => self.word("null", Value::Null),
            b'f' => self.word("false", Value::False),
            b't' => self.word("true", Value::True),
            _ => {
                let len = number_len(&self.text.as_bytes()[from..]).ok_or(Malformed)?;
                self.at += len;
                Ok(Value::Number(&self.text[from..self.at]))
            }
        }
    }

    /// Takes the next element of an array that was taken before and is known to be good.
    pub(super) fn next_element(&mut self) -> Option<Value<'a>> {
        // The bracket, or the comma behind the element before.
        if !matches!(self.peek()?, b'[' | b',') {
            return None;
        }
        self.at += 1;
        self.value().ok()
    }

    /// Takes elements between `open` and `close`, separated by commas.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.take(open)?;
        if self.depth == DEPTH_MAX {
            return Err(Malformed);
        }
        self.depth += 1;
        if self.peek() == Some(close) {
            self.at += 1;
        } else {
            loop {
                element(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == close => break self.at += 1,
                    _ => return Err(Malformed),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Takes a string.
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        self.take(b'"')?;
        let bytes = self.text.as_bytes();
        let from = self.at;
        let mut at = from;
        let mut escaped = false;
        loop {
            at += first_special(&bytes[at..]).ok_or(Malformed)?;
            if bytes[at] != b'\\' {
                break;
            }
            escaped = true;
            // Escapes come in pairs: lines of a session description end in two of them.
            while bytes.get(at) == Some(&b'\\') {
                at += escape_len(&bytes[at..]).ok_or(Malformed)?;
            }
        }
        if bytes[at] != b'"' {
            return Err(Malformed);
        }
        self.at = at + 1;
        Ok(Text { raw: &self.text[from..at], escaped })
    }

    fn take(&mut self, expected: u8) -> Result<(), Malformed> {
        if self.peek() != Some(expected) {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(value)
    }
}

impl<'a> Text<'a> {
    /// The word that the string spells, however it does; empty when it is longer than `room`, as no
    /// word of the protocol is.
    pub(super) fn word<'r>(&self, room: &'r mut [u8; WORD_BYTES_MAX]) -> &'r [u8]
    where
        'a: 'r,
    {
        if !self.escaped {
            return self.raw.as_bytes();
        }
        let mut len = 0;
        for point in self.latin1() {
            let (Some(byte), Some(place)) = (point, room.get_mut(len)) else {
                return &[];
            };
            *place = byte;
            len += 1;
        }
        &room[..len]
    }

    /// The bytes of a binary string: exactly 20 code points, each below U+0100.
    pub(super) fn twenty_bytes(&self) -> Option<[u8; 20]> {
        if let Some(plain) = self.raw.as_bytes().as_array()
            && !self.escaped
            && plain.is_ascii()
        {
            return Some(*plain);
        }
        let mut bytes = [0; 20];
        let mut points = self.latin1();
        for byte in &mut bytes {
            *byte = points.next()??;
        }
        points.next().is_none().then_some(bytes)
    }

    /// The code points as bytes, with nothing for each that is above U+00FF.
    fn latin1(&self) -> impl Iterator<Item = Option<u8>> + use<'a> {
        let mut rest = self.raw.as_bytes();
        core::iter::from_fn(move || {
            let (len, point) = match *rest {
                [] => return None,
                [b'\\', b'u', ..] => {
                    (6, read_hex(&rest[2..]).and_then(|unit| unit.try_into().ok()))
                }
                [b'\\', letter, ..] => (2, Some(unescape(letter))),
                [first @ 0xc2..=0xc3, second, ..] => (2, Some(first << 6 | second & 0x3f)),
                [first @ 0..0x80, ..] => (1, Some(first)),
                // What follows the first byte of a longer one does not matter.
                _ => (1, None),
            };
            rest = &rest[len..];
            Some(point)
        })
    }
}

/// What one letter behind a backslash stands for.
const fn unescape(letter: u8) -> u8 {
    match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        itself => itself,
    }
}

/// Bytes that are looked at together: what the compiler compares in one step on every processor.
const BLOCK_BYTES: usize = 16;

/// Finds the first quote, backslash or control character.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let is_special = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    let (blocks, tail) = bytes.as_chunks::<BLOCK_BYTES>();
    for (index, block) in blocks.iter().enumerate() {
        // Without a way out, so that it is not done byte by byte.
        if block.iter().fold(false, |found, &byte| found | is_special(byte)) {
            return first_special_in_words(block).map(|at| index * BLOCK_BYTES + at);
        }
    }
    first_special_in_words(tail).map(|at| blocks.len() * BLOCK_BYTES + at)
}

/// Finds the same in a few bytes, eight at a time.
fn first_special_in_words(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (LOW * u64::from(b'"'));
        let backslash = word ^ (LOW * u64::from(b'\\'));
        // A subtraction borrows into the high bit of each byte that is too small, and perhaps into
        // bytes above it; the lowest is always right.
        let found = (word.wrapping_sub(LOW * 0x20) & !word)
            | (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash);
        if found & HIGH != 0 {
            return Some(index * 8 + (found & HIGH).trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(words.len() * 8 + at)
}

/// The length of the escape at the start of `bytes`; halves of a surrogate pair must be together.
///
/// # Source
/// RFC 8259, section 7. Deviation: a lone surrogate is refused, since many clients refuse it.
fn escape_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match read_hex(&bytes[2..])? {
            0xd800..0xdc00 => {
                let low = bytes[6..].strip_prefix(b"\\u").and_then(read_hex)?;
                matches!(low, 0xdc00..0xe000).then_some(12)
            }
            0xdc00..0xe000 => None,
            _ => Some(6),
        },
        _ => None,
    }
}

fn read_hex(digits: &[u8]) -> Option<u16> {
    let digits = digits.first_chunk::<4>()?;
    digits
        .iter()
        .try_fold(0, |sum, &digit| Some(sum << 4 | u16::from(crate::ids::hex_digit(digit)?)))
}

/// The length of the number at the start of `bytes`.
///
/// # Source
/// RFC 8259, section 6.
fn number_len(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let count = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let first = usize::from(bytes.first() == Some(&b'-'));
    let mut at = match bytes.get(first)? {
        b'0' => first + 1,
        _ => digits(first)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(at + 1 + usize::from(signed))?;
    }
    Some(at)
}
