//! Opening handshakes, good and bad.
//!
//! Heads that are no HTTP are tested with HTTP.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::http::{Head, HeadStatus, parse_head};
use crate::websocket::handshake::{self, HandshakeError};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade";

fn with_head<T>(request: &str, check: impl FnOnce(&Head<'_>) -> T) -> T {
    match parse_head(request.as_bytes(), 4096) {
        HeadStatus::Complete(head) => check(&head),
        status => panic!("{status:?} for {request}"),
    }
}

/// The whole answer, or nothing when no upgrade was asked for.
fn answer(request: &str) -> Option<Result<String, HandshakeError>> {
    let accepted = with_head(request, handshake::parse)?;
    Some(accepted.map(|accept| {
        let mut out = Vec::new();
        handshake::write_response(&mut out, &accept);
        String::from_utf8(out).expect("ASCII")
    }))
}

fn answer_to(headers: &[&str]) -> Option<Result<String, HandshakeError>> {
    answer(&format!("GET /announce HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n")))
}

/// # Source
/// RFC 6455, section 1.3, has the key and the accept value.
#[test]
fn sample_handshake_of_the_standard_is_accepted() {
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(answer_to(&[UPGRADE, KEY, VERSION]), Some(Ok(expected.to_string())));
    let browser = "GET / HTTP/1.1\r\nHost: t.example\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
                   Origin: https://x.example\r\nupgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(answer(browser), Some(Ok(expected.to_string())));
}

#[test]
fn head_without_upgrade_is_no_handshake() {
    assert_eq!(answer_to(&[KEY, VERSION]), None);
    assert_eq!(answer_to(&["Upgrade: websocket", KEY, VERSION]), None);
    assert_eq!(answer_to(&["Upgrade: h2c\r\nConnection: Upgrade", KEY, VERSION]), None);
    assert_eq!(
        answer(&format!("POST / HTTP/1.1\r\n{UPGRADE}\r\n{KEY}\r\n{VERSION}\r\n\r\n")),
        None
    );
}

#[test]
fn old_http_and_bodies_are_refused() {
    let old = format!("GET / HTTP/1.0\r\n{UPGRADE}\r\n{KEY}\r\n{VERSION}\r\n\r\n");
    assert_eq!(answer(&old), Some(Err(HandshakeError::BadRequest)));
    let body = answer_to(&[UPGRADE, KEY, VERSION, "Content-Length: 1"]);
    assert_eq!(body, Some(Err(HandshakeError::BadRequest)));
}

#[test]
fn only_version_13_is_known() {
    for version in ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 13, 8", "X: 1"] {
        let refused = answer_to(&[UPGRADE, KEY, version]);
        assert_eq!(refused, Some(Err(HandshakeError::UnknownVersion)), "{version}");
    }
    let twice = answer_to(&[UPGRADE, KEY, VERSION, VERSION]);
    assert_eq!(twice, Some(Err(HandshakeError::UnknownVersion)));
}

#[test]
fn key_is_sixteen_bytes_in_base64() {
    let keys = [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWU=",
        "dGhlIHNhbXBsZSBub25jZWVl",
        "dGhlIHNhbXBsZSBub25jZWVlZQ==",
        "dGhlIHNhbXBsZSBub25-ZQ==",
    ];
    for key in keys {
        let refused = answer_to(&[UPGRADE, VERSION, &format!("Sec-WebSocket-Key: {key}")]);
        assert_eq!(refused, Some(Err(HandshakeError::InvalidKey)), "{key}");
    }
    assert_eq!(answer_to(&[UPGRADE, VERSION]), Some(Err(HandshakeError::InvalidKey)));
    let twice = answer_to(&[UPGRADE, VERSION, KEY, KEY]);
    assert_eq!(twice, Some(Err(HandshakeError::InvalidKey)));
}

#[test]
fn refusal_says_what_is_allowed() {
    let refusal = |error| {
        let mut out = Vec::new();
        handshake::write_refusal(&mut out, error);
        String::from_utf8(out).expect("ASCII")
    };
    let version = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Content-Type: text/plain\r\nContent-Length: 32\r\nConnection: close\r\n\r\n\
                   Sec-WebSocket-Version must be 13";
    assert_eq!(refusal(HandshakeError::UnknownVersion), version);
    let key = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 44\r\n\
               Connection: close\r\n\r\nSec-WebSocket-Key must be 16 bytes in base64";
    assert_eq!(refusal(HandshakeError::InvalidKey), key);
}
