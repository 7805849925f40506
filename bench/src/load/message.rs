//! Requests and responses of HTTP as bytes.
//!
//! Which request is sent when, over which connection, is decided elsewhere; what a body says is
//! judged by `answer`.

use std::net::SocketAddr;

use crate::load::answer::Wrong;
use crate::load::population::{Peer, Sources, info_hash, passkey, peer_id, user};

/// More than any response has.
pub(crate) const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// How connections are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reuse {
    /// One connection for all requests of an address, as long as the tracker keeps it.
    KeepAlive,
    /// A new connection for each request.
    Never,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    Announce(Peer),
    Scrape(Peer),
}

/// What the head of a response says of its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Body {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether the tracker keeps the connection.
    pub(crate) kept: bool,
}

/// Reads the head of a response; nothing while it is not complete.
fn body_of(response: &[u8]) -> Result<Option<Body>, Wrong> {
    let Some(head) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&response[..head]).map_err(|_| Wrong::Head)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut kept = status.starts_with("HTTP/1.1 200 ");
    if !kept && !status.starts_with("HTTP/1.0 200 ") {
        return Err(Wrong::Head);
    }
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            kept = value.trim().eq_ignore_ascii_case("keep-alive");
        }
    }
    let start = head + 4;
    Ok(Some(Body { start, end: start + length.ok_or(Wrong::Head)?, kept }))
}

/// Where the body is if a response is whole, and what is wrong with the response.
pub(crate) fn whole_body(response: &[u8]) -> Option<Result<Body, Wrong>> {
    match body_of(response) {
        Ok(Some(body)) if body.end == response.len() => Some(Ok(body)),
        Ok(Some(body)) if body.end < response.len() => Some(Err(Wrong::Length)),
        Ok(_) if response.len() == RESPONSE_BYTES_MAX => Some(Err(Wrong::Head)),
        Ok(_) => None,
        Err(wrong) => Some(Err(wrong)),
    }
}

/// Writes requests.
pub(crate) struct Writer {
    sources: Sources,
    users: Option<u32>,
    /// Of an announce, what follows the port.
    announce: String,
    /// What follows the query.
    head: String,
}

impl Writer {
    /// With users, each announce carries the passkey of one.
    pub(crate) fn new(
        sources: Sources,
        num_want: u32,
        target: SocketAddr,
        users: Option<u32>,
    ) -> Self {
        Self {
            sources,
            users,
            announce: format!(
                "&uploaded=0&downloaded=0&left=1073741824&compact=1&numwant={num_want}"
            ),
            head: format!(" HTTP/1.1\r\nHost: {target}\r\nUser-Agent: skep-bench\r\n"),
        }
    }

    /// Replaces bytes by a request.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>, request: Request, reuse: Reuse) {
        bytes.clear();
        match request {
            Request::Announce(peer) => {
                bytes.extend(b"GET /");
                if let Some(users) = self.users {
                    bytes.extend(passkey(user(peer, users)));
                    bytes.push(b'/');
                }
                bytes.extend(b"announce?info_hash=");
                write_escaped(bytes, &info_hash(peer.torrent));
                bytes.extend(b"&peer_id=");
                bytes.extend(peer_id(peer));
                bytes.extend(b"&port=");
                // Ports of the population have five digits.
                let port = u32::from(self.sources.port(peer));
                bytes
                    .extend([10_000, 1000, 100, 10, 1].map(|unit| b'0' + (port / unit % 10) as u8));
                bytes.extend(self.announce.as_bytes());
            }
            Request::Scrape(peer) => {
                bytes.extend(b"GET /scrape?info_hash=");
                write_escaped(bytes, &info_hash(peer.torrent));
            }
        }
        bytes.extend(self.head.as_bytes());
        bytes.extend(match reuse {
            Reuse::KeepAlive => &b"\r\n"[..],
            Reuse::Never => b"Connection: close\r\n\r\n",
        });
    }
}

fn write_escaped(bytes: &mut Vec<u8>, plain: &[u8]) {
    let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
    for &byte in plain {
        if byte.is_ascii_alphanumeric() {
            bytes.push(byte);
        } else {
            bytes.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_proto::NumWant;
    use skep_proto::http::{HeadStatus, QueryOptions, parse_announce, parse_head};

    use super::*;

    #[test]
    fn body_is_found_by_its_stated_length() {
        let response = b"HTTP/1.1 200 OK\r\nContent-length: 3\r\n\r\nd1e";
        let end = response.len();
        let body = Body { start: end - 3, end, kept: true };
        assert_eq!(body_of(response), Ok(Some(body)));
        assert_eq!(body_of(&response[..20]), Ok(None));
        assert_eq!(body_of(&response[..end - 1]), Ok(Some(body)));
    }

    #[test]
    fn connection_is_kept_only_if_the_tracker_keeps_it() {
        let kept = |head: &str| {
            let response = format!("HTTP/{head}Content-Length: 0\r\n\r\n");
            body_of(response.as_bytes()).unwrap().unwrap().kept
        };
        assert!(kept("1.1 200 OK\r\n"));
        assert!(!kept("1.1 200 OK\r\nConnection: close\r\n"));
        assert!(!kept("1.0 200 OK\r\n"));
        assert!(kept("1.0 200 OK\r\nConnection: Keep-Alive\r\n"));
    }

    #[test]
    fn other_statuses_and_missing_lengths_are_wrong() {
        let missing = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(body_of(missing), Err(Wrong::Head));
        let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(body_of(refused), Err(Wrong::Head));
    }

    #[test]
    fn request_escapes_every_byte_that_is_not_a_letter_or_digit() {
        let sources = Sources::new(1).unwrap();
        let peer = Peer { torrent: 3, index: 0, size: 1 };
        let mut request = Vec::new();
        let writer = Writer::new(sources, 30, "127.0.0.1:80".parse().unwrap(), None);
        writer.write(&mut request, Request::Announce(peer), Reuse::Never);
        let HeadStatus::Complete(head) = parse_head(&request, 16_384) else {
            panic!("not a whole head");
        };
        assert!(!head.keep_alive);
        assert_eq!(head.len, request.len());
        let query = head.target.split(|&byte| byte == b'?').nth(1).unwrap();
        let read = parse_announce(query, QueryOptions::default()).unwrap();
        assert_eq!(read.announce.info_hash.0, info_hash(3));
        assert_eq!(read.announce.peer_id.0, peer_id(peer));
        assert_eq!(read.announce.port, sources.port(peer));
        assert_eq!(read.announce.num_want, NumWant::Count(30));
    }
}
