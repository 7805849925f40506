//! The JSON messages of a tracker, read as far as they must be checked.
//!
//! Strings stay as they came and are compared by what they mean; whether they are right is judged
//! elsewhere.

use crate::load::answer::Wrong;

/// Objects in objects that a message may have.
const DEPTH_MAX: u32 = 8;

/// What a message of a tracker says; strings are the text between the quotes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) action: &'a [u8],
    pub(crate) info_hash: &'a [u8],
    pub(crate) peer_id: &'a [u8],
    pub(crate) offer_id: &'a [u8],
    pub(crate) offer: Option<Description<'a>>,
    pub(crate) answer: Option<Description<'a>>,
    pub(crate) has_to_peer_id: bool,
    pub(crate) is_failure: bool,
    pub(crate) interval: u64,
    pub(crate) counts: Counted,
    /// The only torrent of a scrape, with what it counts.
    pub(crate) file: Option<(&'a [u8], Counted)>,
    /// Torrents of a scrape.
    pub(crate) files: u32,
}

/// An offer or an answer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Description<'a> {
    pub(crate) kind: &'a [u8],
    pub(crate) sdp: &'a [u8],
}

/// Numbers of peers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counted {
    pub(crate) complete: Option<u64>,
    pub(crate) incomplete: Option<u64>,
}

impl Counted {
    /// All peers, if both numbers are there.
    pub(crate) fn peers(self) -> Option<u64> {
        self.complete?.checked_add(self.incomplete?)
    }

    fn read<'a>(&mut self, key: &[u8], scanner: &mut Scanner<'a, '_>) -> Result<(), Wrong> {
        match key {
            b"complete" => self.complete = Some(scanner.number()?),
            b"incomplete" => self.incomplete = Some(scanner.number()?),
            _ => scanner.skip(0)?,
        }
        Ok(())
    }
}

/// Reads a message; strings that begin with `long` are passed over at once.
pub(crate) fn read<'a>(text: &'a [u8], long: &[u8]) -> Result<Message<'a>, Wrong> {
    let mut message = Message::default();
    let mut scanner = Scanner { rest: text, long };
    scanner.object(|key, scanner| {
        match key {
            b"action" => message.action = scanner.string()?,
            b"info_hash" => message.info_hash = scanner.string()?,
            b"peer_id" => message.peer_id = scanner.string()?,
            b"offer_id" => message.offer_id = scanner.string()?,
            b"offer" => message.offer = Some(scanner.description()?),
            b"answer" => message.answer = Some(scanner.description()?),
            b"interval" => message.interval = scanner.number()?,
            b"files" => scanner.object(|hash, scanner| {
                let mut counts = Counted::default();
                scanner.object(|key, scanner| counts.read(key, scanner))?;
                message.files += 1;
                message.file = Some((hash, counts));
                Ok(())
            })?,
            b"failure reason" => {
                message.is_failure = true;
                scanner.skip(0)?;
            }
            b"to_peer_id" => {
                message.has_to_peer_id = true;
                scanner.skip(0)?;
            }
            _ => message.counts.read(key, scanner)?,
        }
        Ok(())
    })?;
    match scanner.token() {
        None => Ok(message),
        Some(_) => Err(Wrong::Json),
    }
}

struct Scanner<'a, 'b> {
    rest: &'a [u8],
    long: &'b [u8],
}

impl<'a> Scanner<'a, '_> {
    /// The next byte that is no white space, which is not taken.
    fn token(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn take(&mut self, wanted: u8) -> Result<(), Wrong> {
        if self.token() != Some(wanted) {
            return Err(Wrong::Json);
        }
        self.rest = &self.rest[1..];
        Ok(())
    }

    /// Hands each key to `each`, which takes the value.
    fn object(
        &mut self,
        mut each: impl FnMut(&'a [u8], &mut Self) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        self.take(b'{')?;
        if self.token() == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            each(key, self)?;
            if self.token() == Some(b'}') {
                return self.take(b'}');
            }
            self.take(b',')?;
        }
    }

    /// A string as it stands between its quotes.
    fn string(&mut self) -> Result<&'a [u8], Wrong> {
        self.take(b'"')?;
        let mut end = 0;
        if self.rest.starts_with(self.long) {
            end = self.long.len();
        }
        loop {
            match self.rest.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(0..0x20) | None => return Err(Wrong::Json),
                Some(_) => end += 1,
            }
        }
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    /// A whole number that is not negative.
    fn number(&mut self) -> Result<u64, Wrong> {
        self.token();
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let text = std::str::from_utf8(digits).map_err(|_| Wrong::Json)?;
        text.parse().map_err(|_| Wrong::Json)
    }

    fn description(&mut self) -> Result<Description<'a>, Wrong> {
        let mut description = Description::default();
        self.object(|key, scanner| {
            match key {
                b"type" => description.kind = scanner.string()?,
                b"sdp" => description.sdp = scanner.string()?,
                _ => scanner.skip(0)?,
            }
            Ok(())
        })?;
        Ok(description)
    }

    /// Passes over a value of whatever kind.
    fn skip(&mut self, depth: u32) -> Result<(), Wrong> {
        match self.token() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') if depth < DEPTH_MAX => self.object(|_, scanner| scanner.skip(depth + 1)),
            Some(b'[') if depth < DEPTH_MAX => {
                self.take(b'[')?;
                while self.token() != Some(b']') {
                    self.skip(depth + 1)?;
                    if self.token() != Some(b']') {
                        self.take(b',')?;
                    }
                }
                self.take(b']')
            }
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = self.rest.iter().take_while(is_part).count();
                self.rest = &self.rest[length..];
                Ok(())
            }
            _ => Err(Wrong::Json),
        }
    }
}

/// Whether the text of a string means these bytes, each of which is one character.
pub(crate) fn means(text: &[u8], bytes: &[u8]) -> bool {
    let mut rest = text;
    for &byte in bytes {
        match character(rest) {
            Some((found, behind)) if found == byte => rest = behind,
            _ => return false,
        }
    }
    rest.is_empty()
}

/// Whether two texts of strings mean the same, by characters up to U+00FF.
pub(crate) fn mean_the_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let (Some((first, rest)), Some((second, other_rest))) = (character(one), character(other))
        && first == second
    {
        (one, other) = (rest, other_rest);
    }
    one.is_empty() && other.is_empty()
}

/// The bytes that the text of a string means if it has exactly as many characters.
pub(crate) fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (mut found, mut rest) = ([0; N], text);
    for byte in &mut found {
        (*byte, rest) = character(rest)?;
    }
    rest.is_empty().then_some(found)
}

/// The first character of the text of a string, up to U+00FF.
fn character(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'\\', b'u', b'0', b'0', high, low, rest @ ..] => {
            let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
            Some((digit(high)? << 4 | digit(low)?, rest))
        }
        [b'\\', escape, rest @ ..] => {
            let byte = match escape {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                b'"' | b'\\' | b'/' => *escape,
                _ => return None,
            };
            Some((byte, rest))
        }
        [byte @ 0x20..0x80, rest @ ..] => Some((*byte, rest)),
        [lead @ (0xc2 | 0xc3), next @ 0x80..0xc0, rest @ ..] => {
            Some((lead << 6 | next & 0x3f, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offer_is_read_whatever_the_order_of_its_keys() {
        let text =
            br#" { "offer_id":"id","x":[1,{"y":null},"z"],"offer":{"sdp":"v=0\r\n","type":"offer"},
            "peer_id" : "p", "info_hash":"h","action":"announce"} "#;
        for long in ["v=0", "v=1"] {
            let message = read(text, long.as_bytes()).unwrap();
            let offer = Description { kind: b"offer", sdp: br"v=0\r\n" };
            assert_eq!(message.offer, Some(offer));
            assert_eq!((message.offer_id, message.peer_id), (&b"id"[..], &b"p"[..]));
            assert_eq!((message.info_hash, message.action), (&b"h"[..], &b"announce"[..]));
            assert!(message.answer.is_none() && !message.is_failure && !message.has_to_peer_id);
        }
    }

    #[test]
    fn counts_of_a_reply_and_of_a_scrape_are_told_apart() {
        let reply = read(br#"{"complete":1,"incomplete":2,"interval":120}"#, b"-").unwrap();
        assert_eq!((reply.counts.peers(), reply.interval, reply.files), (Some(3), 120, 0));
        let text = br#"{"files":{"h":{"complete":3,"downloaded":9,"incomplete":4}},"flags":{}}"#;
        let scrape = read(text, b"-").unwrap();
        let (hash, counted) = scrape.file.unwrap();
        assert_eq!((hash, counted.peers(), scrape.files), (&b"h"[..], Some(7), 1));
        assert_eq!(scrape.counts.peers(), None);
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        let long = "[".repeat(20);
        let texts = [
            "",
            "[]",
            "{",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"interval\":-1}",
            "{\"interval\":}",
            "{\"action\":1}",
            "{\"action\":\"",
            "{\"action\":\"\\",
            "{\"action\":\"\n\"}",
            "{\"a\":1,}",
            &format!("{{\"a\":{long}"),
        ];
        for text in texts {
            assert_eq!(read(text.as_bytes(), b"-"), Err(Wrong::Json), "{text}");
        }
    }

    #[test]
    fn binary_strings_are_compared_by_what_they_mean() {
        let all: Vec<u8> = (0..=255).collect();
        for chunk in all.as_chunks::<4>().0 {
            let escaped: String = chunk.iter().map(|byte| format!("\\u00{byte:02X}")).collect();
            assert_eq!(bytes(escaped.as_bytes()), Some(*chunk));
            let plain: String = chunk.iter().map(|&byte| char::from(byte)).collect();
            let needs_escape = chunk.iter().any(|byte| *byte < 0x20 || *byte == b'\\');
            assert_eq!(means(plain.as_bytes(), chunk), !needs_escape);
        }
        assert!(means(br#"\n\/\""#, b"\n/\""));
        assert!(!means(b"abc", b"ab") && !means(b"ab", b"abc"));
        assert!(mean_the_same(br"a\n\/", br"\u0061\n/") && mean_the_same(b"", b""));
        assert!(!mean_the_same(b"ab", b"a") && !mean_the_same(b"a", b"b"));
        assert_eq!(bytes::<1>("\u{100}".as_bytes()), None);
        assert_eq!(bytes::<1>(br"\u0100"), None);
    }
}
