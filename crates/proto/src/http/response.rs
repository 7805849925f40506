//! Responses: status lines, headers and the bencoded bodies, appended to the buffer of the caller.
//!
//! Peers come in as they are stored, in wire order. Which peers, and whether the answer is a
//! refusal, was decided before.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::IpAddr;
use core::ops::Range;

use crate::bencode::{DecimalDigits, Writer};
use crate::http::{Head, Method};
use crate::peer_addr::{IPV4_BYTES, IPV6_BYTES, canonical, unpack_ipv4, unpack_ipv6};
use crate::{InfoHash, PeerId};

/// The status lines that a tracker needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Status {
    /// 200; every tracker answer, refusals included.
    Ok,
    /// 400
    BadRequest,
    /// 404
    NotFound,
    /// 405, with the methods that are allowed.
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 414; the wording is the one that clients look for.
    TargetTooLong,
    /// 431
    HeadersTooLarge,
    /// 500
    InternalError,
    /// 503
    Unavailable,
}

impl Status {
    /// Code and reason, as in the status line.
    #[must_use]
    pub const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::TargetTooLong => "414 Request-URI Too Long",
            Self::HeadersTooLarge => "431 Request Header Fields Too Large",
            Self::InternalError => "500 Internal Server Error",
            Self::Unavailable => "503 Service Unavailable",
        }
    }

    /// The number in the status line.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::TargetTooLong => 414,
            Self::HeadersTooLarge => 431,
            Self::InternalError => 500,
            Self::Unavailable => 503,
        }
    }
}

/// What the body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentType {
    /// Bencode and short messages.
    Text,
    /// A page for people.
    Html,
    /// Statistics for programs.
    Json,
}

/// What becomes of the connection after the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// It stays open, as is usual in HTTP/1.1.
    KeepAlive,
    /// It stays open, which HTTP/1.0 wants to be told.
    KeepAliveStated,
    /// It is closed.
    Close,
}

impl Connection {
    /// What the client expects after this request.
    #[must_use]
    pub const fn of(head: &Head<'_>) -> Self {
        match (head.keep_alive && !head.has_body, head.http_minor) {
            (false, _) => Self::Close,
            (true, 0) => Self::KeepAliveStated,
            (true, _) => Self::KeepAlive,
        }
    }

    /// Says whether another request may follow.
    #[must_use]
    pub const fn stays_open(self) -> bool {
        !matches!(self, Self::Close)
    }
}

/// Everything before the body, except its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: Status,
    /// What the body is.
    pub content_type: ContentType,
    /// What becomes of the connection.
    pub connection: Connection,
    /// The body is left out, as for `HEAD`; its length is stated all the same.
    pub omit_body: bool,
    /// Further headers, for pages that people read.
    pub extra_headers: &'static [(&'static str, &'static str)],
}

impl ResponseHead {
    /// A text answer to `head`.
    #[must_use]
    pub const fn text(status: Status, head: &Head<'_>) -> Self {
        Self {
            status,
            content_type: ContentType::Text,
            connection: Connection::of(head),
            omit_body: matches!(head.method, Method::Head),
            extra_headers: &[],
        }
    }

    /// An answer to a head that was not understood: the connection ends.
    #[must_use]
    pub const fn closing(status: Status) -> Self {
        Self {
            status,
            content_type: ContentType::Text,
            connection: Connection::Close,
            omit_body: false,
            extra_headers: &[],
        }
    }
}

/// Appends a whole response to `out`; `body` appends the body.
///
/// # Units
/// `body_bytes_hint` is a guess at the length of the body: when it has as many digits as the
/// real length, the body is not moved after it was written.
pub fn respond(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    body_bytes_hint: usize,
    body: impl FnOnce(&mut Vec<u8>),
) {
    out.reserve(256 + body_bytes_hint);
    let digits = write_head(out, head, body_bytes_hint);
    let body_at = out.len();
    body(out);
    let mut length = DecimalDigits::default();
    let length = length.of((out.len() - body_at) as u64);
    if head.omit_body {
        out.truncate(body_at);
    }
    if length.len() == digits.len() {
        out[digits].copy_from_slice(length);
    } else {
        out.splice(digits, length.iter().copied());
    }
}

/// Appends the head of a response whose body of exactly `body_bytes` the caller sends itself.
pub fn respond_head(out: &mut Vec<u8>, head: &ResponseHead, body_bytes: usize) {
    write_head(out, head, body_bytes);
}

/// Appends a head and tells where in `out` the digits of the length stand.
fn write_head(out: &mut Vec<u8>, head: &ResponseHead, body_bytes: usize) -> Range<usize> {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.line().as_bytes());
    out.extend_from_slice(match head.content_type {
        ContentType::Text => b"\r\nContent-Type: text/plain\r\nContent-Length: ",
        ContentType::Html => {
            b"\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: " as &[u8]
        }
        ContentType::Json => b"\r\nContent-Type: application/json\r\nContent-Length: ",
    });
    let length_at = out.len();
    out.extend_from_slice(DecimalDigits::default().of(body_bytes as u64));
    let length_end = out.len();
    out.extend_from_slice(match head.connection {
        Connection::KeepAlive => b"\r\n" as &[u8],
        Connection::KeepAliveStated => b"\r\nConnection: keep-alive\r\n",
        Connection::Close => b"\r\nConnection: close\r\n",
    });
    if head.status == Status::MethodNotAllowed {
        out.extend_from_slice(b"Allow: GET, HEAD\r\n");
    }
    for (name, value) in head.extra_headers {
        for piece in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    out.extend_from_slice(b"\r\n");
    length_at..length_end
}

/// The peers of an answer, packed as they travel, with their ids beside them or without ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerList<'a> {
    /// IPv4 peers of 6 bytes each.
    pub ipv4: &'a [u8],
    /// IPv6 peers of 18 bytes each.
    pub ipv6: &'a [u8],
    /// The ids of the IPv4 peers in the same order; empty to leave them out.
    pub ipv4_ids: &'a [PeerId],
    /// The ids of the IPv6 peers in the same order; empty to leave them out.
    pub ipv6_ids: &'a [PeerId],
}

/// The answer to an announce that was not refused.
#[derive(Clone, Copy, Debug)]
pub struct AnnounceReply<'a> {
    /// Peers that have everything.
    pub seeders: u32,
    /// Finished downloads ever reported.
    pub completions: u32,
    /// Peers that do not have everything, partial seeds included.
    pub leechers: u32,
    /// Seconds until the next announce.
    pub interval_secs: u32,
    /// Seconds that must pass before the next announce.
    pub interval_min_secs: u32,
    /// The address of the client, to tell it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// A text to show beside the answer.
    pub warning: Option<&'a str>,
    /// Peers as packed bytes instead of dictionaries.
    pub compact: bool,
    /// The client came over IPv6, so that an empty `peers6` is shown as well.
    pub requester_ipv6: bool,
    /// The peers; always written, even if there are none.
    pub peers: PeerList<'a>,
}

impl AnnounceReply<'_> {
    /// About as many bytes as the answer takes, to guess the digits of its length.
    #[must_use]
    pub const fn body_bytes_hint(&self) -> usize {
        let peers = &self.peers;
        if self.compact {
            return 96 + peers.ipv4.len() + peers.ipv6.len();
        }
        96 + peers.ipv4.len() / IPV4_BYTES * 64 + peers.ipv6.len() / IPV6_BYTES * 80
    }
}

/// Appends the body of an announce answer.
///
/// # Panics
/// If a packed list is not a multiple of its stride: clients refuse the whole answer then.
/// # Source
/// BEP 3; compact form BEP 23 and BEP 7; `external ip` BEP 24.
pub fn write_announce(out: &mut Vec<u8>, reply: &AnnounceReply<'_>) {
    let peers = &reply.peers;
    assert!(peers.ipv4.len().is_multiple_of(IPV4_BYTES), "IPv4 peers are 6 bytes each");
    assert!(peers.ipv6.len().is_multiple_of(IPV6_BYTES), "IPv6 peers are 18 bytes each");
    let mut writer = Writer::new(out);
    writer.begin_dict();
    writer.key(b"complete").uint(reply.seeders.into());
    writer.key(b"downloaded").uint(reply.completions.into());
    match reply.external_ip.map(canonical) {
        Some(IpAddr::V4(ip)) => writer.key(b"external ip").bytes(&ip.octets()),
        Some(IpAddr::V6(ip)) => writer.key(b"external ip").bytes(&ip.octets()),
        None => {}
    }
    writer.key(b"incomplete").uint(reply.leechers.into());
    writer.key(b"interval").uint(reply.interval_secs.into());
    writer.key(b"min interval").uint(reply.interval_min_secs.into());
    writer.key(b"peers");
    if reply.compact {
        writer.bytes(peers.ipv4);
        if reply.requester_ipv6 || !peers.ipv6.is_empty() {
            writer.key(b"peers6").bytes(peers.ipv6);
        }
    } else {
        write_peer_dicts(&mut writer, peers);
    }
    if let Some(warning) = reply.warning {
        writer.key(b"warning message").bytes(warning.as_bytes());
    }
    writer.end();
}

/// Both families go into one list in this form; there is no second key.
fn write_peer_dicts(writer: &mut Writer<'_>, peers: &PeerList<'_>) {
    writer.begin_list();
    let (ipv4, _) = peers.ipv4.as_chunks::<IPV4_BYTES>();
    for (index, packed) in ipv4.iter().enumerate() {
        let (ip, port) = unpack_ipv4(packed);
        write_peer_dict(writer, ip.into(), port, peers.ipv4_ids.get(index));
    }
    let (ipv6, _) = peers.ipv6.as_chunks::<IPV6_BYTES>();
    for (index, packed) in ipv6.iter().enumerate() {
        let (ip, port) = unpack_ipv6(packed);
        write_peer_dict(writer, ip.into(), port, peers.ipv6_ids.get(index));
    }
    writer.end();
}

fn write_peer_dict(writer: &mut Writer<'_>, ip: IpAddr, port: u16, id: Option<&PeerId>) {
    let mut text = AddressText { bytes: [0; 46], len: 0 };
    write!(text, "{ip}").expect("no address has more than 45 characters");
    writer.begin_dict();
    writer.key(b"ip").bytes(&text.bytes[..text.len]);
    if let Some(id) = id {
        writer.key(b"peer id").bytes(id.as_bytes());
    }
    writer.key(b"port").uint(port.into());
    writer.end();
}

/// Room for the longest text of an address, since its length must be written before it.
struct AddressText {
    bytes: [u8; 46],
    len: usize,
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// After how long a refused client may ask again.
///
/// # Source
/// BEP 31.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryIn {
    /// Not before so many minutes.
    Minutes(u32),
    /// Never.
    Never,
}

/// The answer to a request that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure<'a> {
    /// The text that the client shows.
    pub reason: &'a str,
    /// Seconds until the next announce.
    pub interval_secs: Option<u32>,
    /// Seconds that must pass before the next announce.
    pub interval_min_secs: Option<u32>,
    /// When to ask again.
    pub retry_in: Option<RetryIn>,
}

impl<'a> Failure<'a> {
    /// A refusal with nothing but its reason.
    #[must_use]
    pub const fn new(reason: &'a str) -> Self {
        Self { reason, interval_secs: None, interval_min_secs: None, retry_in: None }
    }
}

/// Appends the body of a refusal.
///
/// # Source
/// BEP 3; `retry in` BEP 31, whose example has the minutes as text.
pub fn write_failure(out: &mut Vec<u8>, failure: &Failure<'_>) {
    let mut writer = Writer::new(out);
    writer.begin_dict();
    writer.key(b"failure reason").bytes(failure.reason.as_bytes());
    if let Some(secs) = failure.interval_secs {
        writer.key(b"interval").uint(secs.into());
    }
    if let Some(secs) = failure.interval_min_secs {
        writer.key(b"min interval").uint(secs.into());
    }
    match failure.retry_in {
        Some(RetryIn::Never) => writer.key(b"retry in").bytes(b"never"),
        Some(RetryIn::Minutes(minutes)) => {
            writer.key(b"retry in").bytes(DecimalDigits::default().of(minutes.into()));
        }
        None => {}
    }
    writer.end();
}

/// What a scrape says about one torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrapeEntry<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything.
    pub seeders: u32,
    /// Finished downloads ever reported.
    pub completions: u32,
    /// Peers that still download: `incomplete` without partial seeds (BEP 21).
    pub downloaders: Option<u32>,
    /// Peers that do not have everything, partial seeds included.
    pub leechers: u32,
    /// The name of the torrent.
    pub name: Option<&'a [u8]>,
}

/// Writes a scrape one torrent after the other, for scrapes too large to collect.
#[derive(Debug)]
pub struct ScrapeWriter<'a> {
    writer: Writer<'a>,
    last: Option<InfoHash>,
}

impl<'a> ScrapeWriter<'a> {
    /// Begins the body at the end of `out`.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let mut writer = Writer::new(out);
        writer.begin_dict();
        writer.key(b"files").begin_dict();
        Self { writer, last: None }
    }

    /// Appends a torrent; one that was just written is left out.
    ///
    /// # Panics
    /// In debug builds, if the torrents do not come in the order of their bytes.
    pub fn entry(&mut self, entry: &ScrapeEntry<'_>) {
        if self.last == Some(entry.info_hash) {
            return;
        }
        debug_assert!(self.last < Some(entry.info_hash), "torrents come in the order of bytes");
        self.last = Some(entry.info_hash);
        let writer = &mut self.writer;
        writer.key(entry.info_hash.as_bytes()).begin_dict();
        writer.key(b"complete").uint(entry.seeders.into());
        writer.key(b"downloaded").uint(entry.completions.into());
        if let Some(downloaders) = entry.downloaders {
            writer.key(b"downloaders").uint(downloaders.into());
        }
        writer.key(b"incomplete").uint(entry.leechers.into());
        if let Some(name) = entry.name {
            writer.key(b"name").bytes(name);
        }
        writer.end();
    }

    /// Ends the body, with the seconds between scrapes if they are to be told.
    pub fn finish(mut self, min_request_interval_secs: Option<u32>) {
        self.writer.end();
        if let Some(secs) = min_request_interval_secs {
            self.writer.key(b"flags").begin_dict();
            self.writer.key(b"min_request_interval").uint(secs.into());
            self.writer.end();
        }
        self.writer.end();
    }
}

/// Appends the body of a scrape answer; sorts `entries` and writes repeated torrents once.
///
/// # Source
/// BEP 48; `downloaders` BEP 21.
pub fn write_scrape(
    out: &mut Vec<u8>,
    entries: &mut [ScrapeEntry<'_>],
    min_request_interval_secs: Option<u32>,
) {
    entries.sort_by_key(|entry| entry.info_hash);
    let mut writer = ScrapeWriter::new(out);
    for entry in entries {
        writer.entry(entry);
    }
    writer.finish(min_request_interval_secs);
}
