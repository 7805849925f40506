//! The golden bytes of `testdata/`, read for tests of this and other crates.
//!
//! Nothing is replayed here; `testdata/README.md` says what each line means. Mistakes in the files
//! panic with their line, since only tests read them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::{IpAddr, SocketAddr};

use crate::peer_addr::{canonical_socket, pack_ipv4, pack_ipv6};

/// Connects, announces, scrapes and errors by UDP.
pub const UDP_SESSION: &str = include_str!("../testdata/udp/session.txt");
/// Options behind a UDP announce.
pub const UDP_OPTIONS: &str = include_str!("../testdata/udp/options.txt");
/// Announces and scrapes by HTTP.
pub const HTTP_SESSION: &str = include_str!("../testdata/http/session.txt");
/// Refusals by HTTP, and odd requests that are not refused.
pub const HTTP_ERRORS: &str = include_str!("../testdata/http/errors.txt");
/// Percent decoding and pairs.
pub const HTTP_QUERY: &str = include_str!("../testdata/http/query.txt");
/// Headers that proxies add.
pub const HTTP_FORWARDED: &str = include_str!("../testdata/http/forwarded.txt");
/// Announces, offers, answers and scrapes by WebSocket.
pub const WEBSOCKET_SESSION: &str = include_str!("../testdata/websocket/session.txt");
/// Messages that are odd or wrong.
pub const WEBSOCKET_MESSAGES: &str = include_str!("../testdata/websocket/messages.txt");

/// A file of vectors.
#[derive(Clone, Debug)]
pub struct VectorFile {
    /// The sessions in order; each one has a tracker of its own.
    pub sessions: Vec<Session>,
    names: BTreeMap<String, Vec<u8>>,
    addresses: BTreeMap<String, SocketAddr>,
}

/// Vectors that follow on each other.
#[derive(Clone, Debug)]
pub struct Session {
    /// What the file calls it.
    pub name: String,
    /// Its vectors.
    pub vectors: Vec<Vector>,
}

/// A few lines under one id.
#[derive(Clone, Debug)]
pub struct Vector {
    /// The id, such as `U5b`.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Its lines in order.
    pub lines: Vec<Line>,
}

/// One line of a vector.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it stands in the file, counted from 1.
    pub number: usize,
    /// Its first word.
    pub word: String,
    /// What follows the word and one space.
    pub rest: String,
}

impl VectorFile {
    /// Reads a file.
    ///
    /// # Panics
    /// On the first line that makes no sense.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut file =
            Self { sessions: vec![], names: BTreeMap::new(), addresses: BTreeMap::new() };
        for line in lines(text) {
            let (first, rest) = split_word(&line.rest);
            let (first, rest) = (first.to_string(), rest.to_string());
            match line.word.as_str() {
                "name" => {
                    let bytes = file.bytes(&rest);
                    file.names.insert(first, bytes);
                }
                "address" => {
                    let address = rest.parse().unwrap_or_else(|_| panic!("no endpoint: {line:?}"));
                    file.addresses.insert(first, address);
                }
                "session" => file.sessions.push(Session { name: first, vectors: vec![] }),
                "vector" => {
                    let session = file.sessions.last_mut().expect("a session comes first");
                    session.vectors.push(Vector { id: first, title: rest, lines: vec![] });
                }
                _ => {
                    let session = file.sessions.last_mut().expect("a session comes first");
                    session.vectors.last_mut().expect("a vector comes first").lines.push(line);
                }
            }
        }
        file
    }

    /// All vectors of all sessions.
    pub fn vectors(&self) -> impl Iterator<Item = &Vector> {
        self.sessions.iter().flat_map(|session| &session.vectors)
    }

    /// Gives bytes a name, such as `cid`.
    pub fn set(&mut self, name: &str, bytes: &[u8]) {
        self.names.insert(name.to_string(), bytes.to_vec());
    }

    /// The endpoint of this name, or the one that is written there.
    ///
    /// # Panics
    /// If it is neither.
    #[must_use]
    pub fn address(&self, text: &str) -> SocketAddr {
        self.addresses.get(text).copied().unwrap_or_else(|| {
            text.parse().unwrap_or_else(|_| panic!("neither a name nor an endpoint: {text}"))
        })
    }

    /// The bytes of a byte expression.
    ///
    /// # Panics
    /// On an unknown name or odd digits.
    #[must_use]
    pub fn bytes(&self, expression: &str) -> Vec<u8> {
        let mut bytes = vec![];
        let mut rest = expression.trim();
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let (text, after) = quoted.split_once('"').expect("the quote is closed");
                bytes.extend_from_slice(text.as_bytes());
                rest = after.trim_start();
                continue;
            }
            let (word, after) = split_word(rest);
            rest = after.trim_start();
            if let Some(name) = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
                bytes.extend(self.named(name));
            } else if let Some((digits, count)) = word.split_once('*') {
                let count = count.parse().expect("a count follows the asterisk");
                bytes.extend(from_hex(digits).repeat(count));
            } else {
                bytes.extend(from_hex(word));
            }
        }
        bytes
    }

    /// The bytes of a text expression.
    ///
    /// # Panics
    /// On an unknown name or escape.
    #[must_use]
    pub fn text(&self, expression: &str) -> Vec<u8> {
        let mut bytes = vec![];
        let mut rest = expression;
        while let Some(at) = rest.find(['\\', '<']) {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            if let Some(named) = rest[at..].strip_prefix('<') {
                let (name, after) = named.split_once('>').expect("the name is closed");
                bytes.extend(self.named(name));
                rest = after;
                continue;
            }
            let escape = &rest[at + 1..];
            let (spelled, len) = match escape.as_bytes() {
                [b'r', ..] => (b'\r', 1),
                [b'n', ..] => (b'\n', 1),
                [b'\\', ..] => (b'\\', 1),
                [b'x', ..] => (from_hex(&escape[1..3])[0], 3),
                _ => panic!("an escape that means nothing: {expression}"),
            };
            bytes.push(spelled);
            rest = &escape[len..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    fn named(&self, name: &str) -> Vec<u8> {
        if let Some(bytes) = self.names.get(name) {
            return bytes.clone();
        }
        if let Some(bytes) = name.strip_suffix(".json").and_then(|name| self.names.get(name)) {
            return bytes.iter().flat_map(|byte| format!("\\u00{byte:02x}").into_bytes()).collect();
        }
        let (name, part) = name.split_once('.').unwrap_or((name, "peer"));
        let address = self.addresses.get(name).unwrap_or_else(|| panic!("no such name: <{name}>"));
        let address = canonical_socket(*address);
        let packed = match address.ip() {
            IpAddr::V4(ip) => pack_ipv4(ip, address.port()).to_vec(),
            IpAddr::V6(ip) => pack_ipv6(ip, address.port()).to_vec(),
        };
        match part {
            "peer" => packed,
            "ip" => packed[..packed.len() - 2].to_vec(),
            _ => panic!("no such part of an endpoint: {part}"),
        }
    }
}

impl Line {
    /// The value of `key=value` among the words of this line.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let prefix = format!("{key}=");
        let word = self.rest.split(' ').find(|word| word.starts_with(&prefix))?;
        Some(&word[prefix.len()..])
    }
}

impl Vector {
    /// The first line with this word.
    #[must_use]
    pub fn line(&self, word: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.word == word)
    }
}

/// The lines that mean something, with those that go on joined.
fn lines(text: &str) -> Vec<Line> {
    let mut found: Vec<Line> = vec![];
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        if !goes_on && (line.is_empty() || line.starts_with('#')) {
            continue;
        }
        let (piece, more) = line.strip_suffix('\\').map_or((line, false), |piece| (piece, true));
        if goes_on {
            let last = found.last_mut().expect("the line before goes on");
            last.rest.push_str(piece.trim_start_matches(' '));
        } else {
            let (word, rest) = split_word(piece);
            let (word, rest) = (word.to_string(), rest.to_string());
            found.push(Line { number: index + 1, word, rest });
        }
        goes_on = more;
    }
    found
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn from_hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {digits}");
    (0..digits.len())
        .step_by(2)
        .map(|at| {
            u8::from_str_radix(&digits[at..at + 2], 16)
                .unwrap_or_else(|_| panic!("no hexadecimal digits: {digits}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_spell_bytes() {
        let mut file = VectorFile::read("name A 61*3 \"b c\" 64\naddress L 192.0.2.1:6881\n");
        assert_eq!(file.bytes("<A> 00"), b"aaab cd\0");
        assert_eq!(file.text("<A>\\x00<L>\\r\\n"), b"aaab cd\0\xc0\0\x02\x01\x1a\xe1\r\n");
        assert_eq!(file.bytes("<L.ip>"), [192, 0, 2, 1]);
        assert_eq!(file.text("\"<A.json>"), b"\"\\u0061\\u0061\\u0061\\u0062\\u0020\\u0063\\u0064");
        file.set("cid", &[7; 8]);
        assert_eq!(file.bytes("<cid>"), [7; 8]);
    }

    #[test]
    fn a_line_that_goes_on_is_one_line() {
        let file = VectorFile::read("session X\nvector V a title\nget a&\\\n  b=1 \\\n  c\n");
        let vector = &file.sessions[0].vectors[0];
        assert_eq!((vector.id.as_str(), vector.title.as_str()), ("V", "a title"));
        assert_eq!(vector.lines[0].rest, "a&b=1 c");
        assert_eq!(vector.lines[0].value("b"), None);
    }
}
