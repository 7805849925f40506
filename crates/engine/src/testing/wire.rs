//! What clients write and how they read the answers, over UDP and HTTP.
//!
//! The tracker's own reading and writing is not used here, except for the strict bencode reader: a
//! mistake there must not hide behind the same mistake in its tests. Malformed answers panic.

use std::format;
use std::net::SocketAddr;
use std::string::{String, ToString};
use std::vec::Vec;

use skep_proto::bencode::{self, Value};
use skep_proto::udp::CONNECT_MAGIC;
use skep_proto::{
    AnnounceEvent, AnnounceRequest, ConnectionId, InfoHash, NumWant, TransactionId, peer_addr,
};

/// The counts of a swarm as far as an answer shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Peers that have everything.
    pub seeders: u32,
    /// Leechers and partial seeds together.
    pub incomplete: u32,
    /// Partial seeds alone, where the answer tells.
    pub partial_seeds: Option<u32>,
    /// Finished downloads, where the answer tells.
    pub completions: Option<u32>,
}

/// The answer to an announce that did not fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The swarm.
    pub seen: Seen,
    /// The peers of both families in the order of the answer.
    pub peers: Vec<SocketAddr>,
    /// Seconds until the next announce.
    pub interval_secs: u32,
    /// Seconds that must pass before it; UDP answers do not carry them.
    pub interval_min_secs: Option<u32>,
}

/// Writes a connect request (BEP 15).
#[must_use]
pub fn udp_connect(transaction_id: TransactionId) -> Vec<u8> {
    udp_header(ConnectionId(CONNECT_MAGIC), 0, transaction_id)
}

/// Reads the id in a connect reply, if it is one.
#[must_use]
pub fn read_udp_connect(reply: &[u8]) -> Option<ConnectionId> {
    let reply: &[u8; 16] = reply.try_into().ok()?;
    (word(reply, 0) == 0)
        .then(|| ConnectionId(u64::from(word(reply, 8)) << 32 | u64::from(word(reply, 12))))
}

/// Writes an announce request (BEP 15, event 4 from BEP 21).
#[must_use]
pub fn udp_announce(
    connection_id: ConnectionId,
    transaction_id: TransactionId,
    request: &AnnounceRequest,
) -> Vec<u8> {
    let mut bytes = udp_header(connection_id, 1, transaction_id);
    bytes.extend(request.info_hash.as_bytes());
    bytes.extend(request.peer_id.as_bytes());
    bytes.extend(request.downloaded_bytes.to_be_bytes());
    bytes.extend(request.left_bytes.unwrap_or(u64::MAX).to_be_bytes());
    bytes.extend(request.uploaded_bytes.to_be_bytes());
    let event: u32 = match request.event {
        AnnounceEvent::None => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
        AnnounceEvent::Paused => 4,
    };
    bytes.extend(event.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend((request.peer_key.folded() as u32).to_be_bytes());
    let num_want = match request.num_want {
        NumWant::Default => u32::MAX,
        NumWant::Count(count) => count,
    };
    bytes.extend(num_want.to_be_bytes());
    bytes.extend(request.port.to_be_bytes());
    bytes
}

/// Writes a scrape request (BEP 15).
#[must_use]
pub fn udp_scrape(
    connection_id: ConnectionId,
    transaction_id: TransactionId,
    info_hashes: &[InfoHash],
) -> Vec<u8> {
    let mut bytes = udp_header(connection_id, 2, transaction_id);
    for info_hash in info_hashes {
        bytes.extend(info_hash.as_bytes());
    }
    bytes
}

/// Reads the reply to an announce whose peers are of the family of its client.
///
/// # Errors
/// The text of an error reply.
/// # Panics
/// If the reply is neither.
pub fn read_udp_announce(reply: &[u8], ipv6: bool) -> Result<Answer, String> {
    udp_error(reply)?;
    assert!(reply.len() >= 20 && word(reply, 0) == 1, "no announce reply: {reply:02x?}");
    let seen = Seen {
        seeders: word(reply, 16),
        incomplete: word(reply, 12),
        partial_seeds: None,
        completions: None,
    };
    let peers = if ipv6 { ipv6_peers(&reply[20..]) } else { ipv4_peers(&reply[20..]) };
    Ok(Answer { seen, peers, interval_secs: word(reply, 8), interval_min_secs: None })
}

/// Reads the reply to a scrape, one entry for each torrent that was asked for.
///
/// # Errors
/// The text of an error reply.
/// # Panics
/// If the reply is neither.
pub fn read_udp_scrape(reply: &[u8]) -> Result<Vec<Seen>, String> {
    udp_error(reply)?;
    assert!(reply.len() >= 8 && word(reply, 0) == 2, "no scrape reply: {reply:02x?}");
    let (entries, rest) = reply[8..].as_chunks::<12>();
    assert!(rest.is_empty(), "{} stray bytes in a scrape", rest.len());
    let entries = entries.iter().map(|entry| Seen {
        seeders: word(entry, 0),
        incomplete: word(entry, 8),
        partial_seeds: None,
        completions: Some(word(entry, 4)),
    });
    Ok(entries.collect())
}

fn udp_header(connection_id: ConnectionId, action: u32, id: TransactionId) -> Vec<u8> {
    let mut bytes = connection_id.0.to_be_bytes().to_vec();
    bytes.extend(action.to_be_bytes());
    bytes.extend(id.0);
    bytes
}

fn udp_error(reply: &[u8]) -> Result<(), String> {
    if reply.len() >= 8 && word(reply, 0) == 3 {
        return Err(String::from_utf8_lossy(&reply[8..]).to_string());
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

/// The target of an announce by HTTP (BEP 3), every byte of the identifiers escaped.
#[must_use]
pub fn http_announce(request: &AnnounceRequest) -> String {
    let mut target = format!(
        "/announce?info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&key={:08x}",
        escaped(request.info_hash.as_bytes()),
        escaped(request.peer_id.as_bytes()),
        request.port,
        request.uploaded_bytes,
        request.downloaded_bytes,
        request.peer_key.folded() as u32,
    );
    if let Some(left) = request.left_bytes {
        target += &format!("&left={left}");
    }
    if let NumWant::Count(count) = request.num_want {
        target += &format!("&numwant={count}");
    }
    target += match request.event {
        AnnounceEvent::None => "",
        AnnounceEvent::Started => "&event=started",
        AnnounceEvent::Completed => "&event=completed",
        AnnounceEvent::Stopped => "&event=stopped",
        AnnounceEvent::Paused => "&event=paused",
    };
    target
}

/// The target of a scrape by HTTP (BEP 48).
#[must_use]
pub fn http_scrape(info_hashes: &[InfoHash]) -> String {
    let pairs: Vec<_> = info_hashes
        .iter()
        .map(|info_hash| format!("info_hash={}", escaped(info_hash.as_bytes())))
        .collect();
    format!("/scrape?{}", pairs.join("&"))
}

/// Reads the body of a compact announce answer.
///
/// # Errors
/// The failure reason.
/// # Panics
/// If the body is neither, or no canonical bencode.
pub fn read_http_announce(body: &[u8]) -> Result<Answer, String> {
    let body = read_body(body)?;
    let mut peers = ipv4_peers(packed(&body, b"peers").expect("`peers` is always there"));
    peers.extend(ipv6_peers(packed(&body, b"peers6").unwrap_or_default()));
    let secs = |key: &[u8]| {
        let secs = body.get(key).and_then(Value::as_integer)?;
        Some(u32::try_from(secs).expect("an interval that clients can take"))
    };
    Ok(Answer {
        seen: read_counts(&body),
        peers,
        interval_secs: secs(b"interval").expect("`interval` is always there"),
        interval_min_secs: secs(b"min interval"),
    })
}

/// Reads the body of a scrape answer, one entry for each torrent that was asked for; one that is
/// left out counts as empty.
///
/// # Errors
/// The failure reason.
/// # Panics
/// If the body is neither, or no canonical bencode.
pub fn read_http_scrape(body: &[u8], info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String> {
    let body = read_body(body)?;
    let files = body.get(b"files").expect("`files` is always there");
    let entries = info_hashes.iter().map(|info_hash| {
        let unknown = Seen { seeders: 0, incomplete: 0, partial_seeds: None, completions: Some(0) };
        files.get(info_hash.as_bytes()).map_or(unknown, read_counts)
    });
    Ok(entries.collect())
}

fn read_body(body: &[u8]) -> Result<Value<'_>, String> {
    let text = String::from_utf8_lossy(body);
    let value = bencode::read(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    match value.get(b"failure reason").and_then(Value::as_bytes) {
        Some(reason) => Err(String::from_utf8_lossy(reason).to_string()),
        None => Ok(value),
    }
}

fn read_counts(value: &Value<'_>) -> Seen {
    let number = |key: &[u8]| {
        let number = value.get(key)?.as_integer()?;
        Some(u32::try_from(number).expect("counts are no larger"))
    };
    let incomplete = number(b"incomplete").expect("`incomplete` is always there");
    Seen {
        seeders: number(b"complete").expect("`complete` is always there"),
        incomplete,
        partial_seeds: number(b"downloaders").map(|downloaders| incomplete - downloaders),
        completions: number(b"downloaded"),
    }
}

fn packed<'a>(body: &Value<'a>, key: &[u8]) -> Option<&'a [u8]> {
    body.get(key).map(|value| value.as_bytes().expect("compact peers are a byte string"))
}

fn ipv4_peers(packed: &[u8]) -> Vec<SocketAddr> {
    let (peers, rest) = packed.as_chunks();
    assert!(rest.is_empty(), "{} bytes behind the peers", rest.len());
    let peers = peers.iter().map(peer_addr::unpack_ipv4);
    peers.map(|(ip, port)| SocketAddr::from((ip, port))).collect()
}

fn ipv6_peers(packed: &[u8]) -> Vec<SocketAddr> {
    let (peers, rest) = packed.as_chunks();
    assert!(rest.is_empty(), "{} bytes behind the peers", rest.len());
    let peers = peers.iter().map(peer_addr::unpack_ipv6);
    peers.map(|(ip, port)| SocketAddr::from((ip, port))).collect()
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}
