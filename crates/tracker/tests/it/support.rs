//! Trackers, clients and processes for the tests of the product over real sockets.
//!
//! Judges nothing but the form of what comes back: what an answer must say stands in the tests. No
//! test sleeps; it reads from a socket or a pipe, or takes turns until a condition holds.

pub(crate) mod api;
mod http;
mod process;
mod tracker;
mod udp;
pub(crate) mod websocket;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey, bencode};

pub(crate) use http::{HttpClient, Response};
pub(crate) use process::Process;
pub(crate) use tracker::{Tracker, load, metric};
pub(crate) use udp::{RawUdp, UdpClient};

/// How long a test waits before it calls something missing a failure; nothing that goes well takes
/// any part of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long one turn of [`wait_until`] is.
const TURN: Duration = Duration::from_millis(10);

/// Waits until a condition holds of something that cannot be waited for in any other way.
///
/// Turns are counted, no clock is asked: a machine that is busy has more time.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    // Nobody sends to this socket.
    let quiet = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    quiet.set_read_timeout(Some(TURN)).unwrap();
    for _ in 0..DEADLINE.as_millis() / TURN.as_millis() {
        if condition() {
            return;
        }
        let _timed_out = quiet.recv(&mut [0; 1]);
    }
    assert!(condition(), "it never came about that {what}");
}

/// The folder of this test run for files that a tracker reads.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::TempDir::new().unwrap()
}

/// A file of the whole project by its path from the root.
pub(crate) fn of_project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The torrent of twenty equal bytes.
pub(crate) fn torrent(byte: u8) -> InfoHash {
    InfoHash([byte; 20])
}

/// The first announce of a client with so many bytes left.
pub(crate) fn announce(info_hash: InfoHash, port: u16, left_bytes: u64) -> AnnounceRequest {
    let mut peer_id = *b"-XX0001-............";
    peer_id[15..].copy_from_slice(format!("{port:05}").as_bytes());
    AnnounceRequest {
        info_hash,
        peer_id: PeerId(peer_id),
        port,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes: Some(left_bytes),
        event: AnnounceEvent::Started,
        num_want: NumWant::Default,
        peer_key: PeerKey::from_u32(port.into()),
    }
}

/// The text of a bencoded failure.
pub(crate) fn failure(body: &[u8]) -> String {
    let told = String::from_utf8_lossy(body).into_owned();
    let value = bencode::read(body).unwrap_or_else(|error| panic!("{error}: {told}"));
    let reason = value.get(b"failure reason").and_then(bencode::Value::as_bytes);
    let reason = reason.unwrap_or_else(|| panic!("no failure: {told}"));
    String::from_utf8(reason.to_vec()).unwrap()
}

/// Bytes as they can be read by people and compared.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
