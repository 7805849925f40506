//! The query: its pairs, and the announce or scrape that they spell.
//!
//! Reads what a client claims and judges nothing but the form; where the client really is, and
//! whether port 0 may pass, is told or decided elsewhere. Passkeys are handed on undecoded.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::str;

use super::percent::{decode_exact, decode_into, decoded};
use super::target::Passkey;
use crate::announce::uncounted;
use crate::{
    AnnounceEvent, AnnounceRequest, DecodeError, InfoHash, NumWant, PeerId, PeerKey,
    left_from_wire, peer_addr,
};

/// Longest `key` that is decoded before it is folded.
const PEER_KEY_BYTES_MAX: usize = 64;
/// Longest text of an address, escapes resolved: 45 for IPv6 with an embedded IPv4, and brackets.
const IP_TEXT_BYTES_MAX: usize = 47;
/// Longest parameter name that means something.
const NAME_BYTES_MAX: usize = 12;

/// How lenient the reading is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueryOptions {
    /// Takes a raw `+` as itself instead of a space.
    pub plus_literal: bool,
    /// Lets port 0 pass.
    pub allow_port_zero: bool,
}

/// An announce by HTTP: the request and how the client would like the answer.
#[derive(Clone, Copy, Debug)]
pub struct AnnounceQuery<'a> {
    /// What the client states.
    pub announce: AnnounceRequest,
    /// Peers as packed bytes (BEP 23); only `compact=0` asks for dictionaries.
    pub compact: bool,
    /// Dictionary peers without their peer ids.
    pub no_peer_id: bool,
    /// What is wrong with it where traffic is counted: the first of `left`, `uploaded` and
    /// `downloaded` that it does not tell. One that cannot be read counts as 0 everywhere else.
    pub uncounted: Option<DecodeError>,
    /// Bytes that the client got and threw away since `started`, as claimed.
    pub corrupt_bytes: Option<u64>,
    /// The address literal in `ip=`, which nobody has to believe.
    pub claimed_ip: Option<IpAddr>,
    /// The passkey in the query.
    pub passkey: Option<Passkey<'a>>,
}

/// Walks over the pairs of a query; see [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

/// The pairs of a query, undecoded, in order.
///
/// Pairs end at `&` only, since `;` may stand in a peer_id. A name without `=` has an empty value;
/// pairs without a name are left out. A second `?` before `info_hash=` separates too, and so does
/// `&amp;`, because clients glue and escape announce URLs wrongly.
#[must_use]
pub const fn pairs(query: &[u8]) -> Pairs<'_> {
    Pairs { rest: query }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (segment, rest) = split_pair(self.rest);
            self.rest = rest;
            let equals = segment.iter().position(|&byte| byte == b'=').unwrap_or(segment.len());
            let (name, value) = segment.split_at(equals);
            if !name.is_empty() {
                return Some((name, value.get(1..).unwrap_or_default()));
            }
        }
        None
    }
}

#[inline]
fn split_pair(query: &[u8]) -> (&[u8], &[u8]) {
    for (at, &byte) in query.iter().enumerate() {
        let rest = &query[at + 1..];
        match byte {
            b'&' => return (&query[..at], rest.strip_prefix(b"amp;").unwrap_or(rest)),
            b'?' if rest.starts_with(b"info_hash=") => return (&query[..at], rest),
            _ => {}
        }
    }
    (query, &[])
}

/// The parameters that mean something to a tracker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameter {
    InfoHash,
    PeerId,
    Port,
    Uploaded,
    Downloaded,
    Corrupt,
    Left,
    Event,
    NumWant,
    Compact,
    NoPeerId,
    Key,
    Ip,
    Passkey,
}

impl Parameter {
    #[inline]
    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"info_hash" => Self::InfoHash,
            b"peer_id" => Self::PeerId,
            b"port" => Self::Port,
            b"uploaded" => Self::Uploaded,
            b"downloaded" => Self::Downloaded,
            b"corrupt" => Self::Corrupt,
            b"left" => Self::Left,
            b"event" => Self::Event,
            b"numwant" | b"num_want" => Self::NumWant,
            b"compact" => Self::Compact,
            b"no_peer_id" => Self::NoPeerId,
            b"key" => Self::Key,
            b"ip" => Self::Ip,
            b"passkey" | b"pid" | b"authkey" => Self::Passkey,
            _ if name.contains(&b'%') => {
                let mut plain = [0; NAME_BYTES_MAX];
                let plain = decode_into(name, true, &mut plain)?;
                // A name that still holds an escape is no name of ours; never decode twice.
                return if plain.contains(&b'%') { None } else { Self::from_name(plain) };
            }
            _ => return None,
        })
    }
}

/// Reads an announce from a query.
///
/// Of a repeated parameter the last one counts, except `info_hash`. Only `info_hash`, `peer_id`
/// and `port` can be wrong; anything else that cannot be read is as good as absent.
///
/// # Cost
/// No allocation; one pass.
/// # Errors
/// The first of: `info_hash`, `peer_id`, `port` missing or wrong.
/// # Source
/// BEP 3, BEP 7, BEP 21, BEP 23.
pub fn parse_announce(
    query: &[u8],
    options: QueryOptions,
) -> Result<AnnounceQuery<'_>, DecodeError> {
    let plus = options.plus_literal;
    let (mut info_hash, mut hash_count) = (Err(DecodeError::MissingInfoHash), 0u32);
    let (mut peer_id, mut port) = (Err(DecodeError::MissingPeerId), None);
    let (mut uploaded_bytes, mut downloaded_bytes, mut left_bytes) = (None, None, None);
    let (mut event, mut num_want) = (AnnounceEvent::None, NumWant::Default);
    let (mut compact, mut no_peer_id, mut has_left) = (true, false, false);
    let mut peer_key = PeerKey::default();
    let (mut claimed_ip, mut passkey, mut corrupt_bytes) = (None, None, None);
    for (name, value) in pairs(query) {
        let Some(parameter) = Parameter::from_name(name) else {
            continue;
        };
        match parameter {
            Parameter::InfoHash => {
                hash_count += 1;
                let hash = decode_exact(value, plus).map(InfoHash);
                info_hash = hash.ok_or(DecodeError::InvalidInfoHash);
            }
            Parameter::PeerId => {
                let id = decode_exact(value, plus).map(PeerId);
                peer_id = id.ok_or(DecodeError::InvalidPeerId);
            }
            Parameter::Port => port = number(value).and_then(|port| u16::try_from(port).ok()),
            Parameter::Uploaded => uploaded_bytes = number(value),
            Parameter::Downloaded => downloaded_bytes = number(value),
            Parameter::Corrupt => corrupt_bytes = number(value),
            Parameter::Left => {
                (has_left, left_bytes) = (true, number(value).and_then(left_from_wire));
            }
            Parameter::Event => event = event_from_text(value),
            Parameter::NumWant => num_want = num_want_from_text(value),
            Parameter::Compact => compact = !spells(value, b"0"),
            Parameter::NoPeerId => no_peer_id = spells(value, b"1"),
            Parameter::Key => peer_key = peer_key_from_text(value, plus),
            Parameter::Ip => claimed_ip = ip_from_text(value).or(claimed_ip),
            Parameter::Passkey => passkey = Passkey::new(value),
        }
    }
    if hash_count > 1 {
        return Err(DecodeError::MultipleInfoHash);
    }
    let (info_hash, peer_id) = (info_hash?, peer_id?);
    let allowed = |port: &u16| *port != 0 || options.allow_port_zero;
    let port = port.filter(allowed).ok_or(DecodeError::InvalidPort)?;
    let announce = AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded_bytes: uploaded_bytes.unwrap_or(0),
        downloaded_bytes: downloaded_bytes.unwrap_or(0),
        left_bytes,
        event,
        num_want,
        peer_key,
    };
    Ok(AnnounceQuery {
        announce,
        compact,
        no_peer_id,
        uncounted: uncounted(has_left, uploaded_bytes, downloaded_bytes),
        corrupt_bytes,
        claimed_ip,
        passkey,
    })
}

/// The first torrent that a query names, if that can be read.
#[must_use]
pub fn first_info_hash(query: &[u8], options: QueryOptions) -> Option<InfoHash> {
    pairs(query)
        .find(|(name, _)| Parameter::from_name(name) == Some(Parameter::InfoHash))
        .and_then(|(_, value)| decode_exact(value, options.plus_literal).map(InfoHash))
}

/// Reads the torrents of a scrape into `out`, at most the first `max`, repetitions included.
///
/// `out` is emptied first and stays empty when the query names no torrent.
///
/// # Errors
/// [`DecodeError::InvalidInfoHash`] if any one is not 20 bytes; `out` is then without meaning.
/// # Source
/// BEP 48.
pub fn parse_scrape(
    query: &[u8],
    options: QueryOptions,
    max: usize,
    out: &mut Vec<InfoHash>,
) -> Result<(), DecodeError> {
    out.clear();
    for (name, value) in pairs(query) {
        if Parameter::from_name(name) != Some(Parameter::InfoHash) {
            continue;
        }
        let hash = decode_exact(value, options.plus_literal).map(InfoHash);
        let hash = hash.ok_or(DecodeError::InvalidInfoHash)?;
        if out.len() < max {
            out.push(hash);
        }
    }
    Ok(())
}

/// The passkey that a query carries as `passkey`, `pid` or `authkey`, undecoded.
#[must_use]
pub fn passkey_in_query(query: &[u8]) -> Option<Passkey<'_>> {
    pairs(query)
        .filter(|(name, _)| Parameter::from_name(name) == Some(Parameter::Passkey))
        .last()
        .and_then(|(_, value)| Passkey::new(value))
}

/// Reads decimal digits; a number above 64 bits becomes the largest one.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    decoded(value, true).try_fold(0u64, |sum, digit| match digit {
        Ok(digit @ b'0'..=b'9') => {
            Some(sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        }
        _ => None,
    })
}

fn num_want_from_text(value: &[u8]) -> NumWant {
    number(value)
        .map_or(NumWant::Default, |count| NumWant::Count(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// Undefined events count as regular announces, as they do over UDP.
fn event_from_text(value: &[u8]) -> AnnounceEvent {
    let mut plain = [0; 9];
    let Some(plain) = decode_into(value, true, &mut plain) else {
        return AnnounceEvent::None;
    };
    match plain {
        _ if plain.eq_ignore_ascii_case(b"started") => AnnounceEvent::Started,
        _ if plain.eq_ignore_ascii_case(b"completed") => AnnounceEvent::Completed,
        _ if plain.eq_ignore_ascii_case(b"stopped") => AnnounceEvent::Stopped,
        _ if plain.eq_ignore_ascii_case(b"paused") => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

fn spells(value: &[u8], plain: &[u8]) -> bool {
    decoded(value, true).eq(plain.iter().map(|&byte| Ok(byte)))
}

fn peer_key_from_text(value: &[u8], plus_literal: bool) -> PeerKey {
    let mut plain = [0; PEER_KEY_BYTES_MAX];
    match decode_into(value, plus_literal, &mut plain) {
        Some([]) => PeerKey::default(),
        Some(plain) => PeerKey::from_bytes(plain),
        // Too long or malformed: equal text still means an equal key.
        None => PeerKey::from_bytes(value),
    }
}

/// Reads an address literal; a name or anything else is nothing.
fn ip_from_text(value: &[u8]) -> Option<IpAddr> {
    let mut plain = [0; IP_TEXT_BYTES_MAX];
    let text = str::from_utf8(decode_into(value, true, &mut plain)?).ok()?;
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().map(peer_addr::canonical)
}
