//! Request heads: raw bytes, limits, connections, and what is no HTTP at all.
//!
//! Targets are not taken apart here.

use std::format;
use std::vec;
use std::vec::Vec;

use super::{HEAD_BYTES_MAX, head_of};
use crate::http::*;

fn error_of(request: &[u8]) -> Option<HeadError> {
    match parse_head(request, HEAD_BYTES_MAX) {
        HeadStatus::Invalid(error) => Some(error),
        _ => None,
    }
}

fn with_headers(headers: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n").into_bytes()
}

#[test]
fn raw_bytes_in_the_target_are_taken_as_they_are() {
    let mut target = b"/announce?info_hash=!'()*~,/:;<>@[]".to_vec();
    target.extend(0x80..=0xff);
    let request = [b"GET ", &target[..], b" HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(head_of(&request).target, target);
    let request = b"GET /announce ?a=b c HTTP/1.0\r\n\r\n";
    assert_eq!(head_of(request).target, b"/announce ?a=b c");
}

#[test]
fn a_head_cut_anywhere_is_partial_until_it_is_whole() {
    let request = b"GET /announce?a=\xff HTTP/1.1\r\nHost: t.example\r\nConnection: close\r\n\r\n";
    for len in 0..request.len() {
        let status = parse_head(&request[..len], HEAD_BYTES_MAX);
        assert!(matches!(status, HeadStatus::Partial), "{status:?} after {len} bytes");
    }
    assert_eq!(head_of(request).len, request.len());
}

#[test]
fn requests_sent_ahead_are_left_alone() {
    let both = b"\r\nGET /one HTTP/1.1\nA: b\n\nHEAD /two HTTP/1.1\r\n\r\n";
    let first = head_of(both);
    assert_eq!((first.method, first.target), (Method::Get, &b"/one"[..]));
    let second = head_of(&both[first.len..]);
    assert_eq!((second.method, second.target), (Method::Head, &b"/two"[..]));
    assert_eq!(first.len + second.len, both.len());
}

#[test]
fn connections_persist_as_the_version_has_it() {
    for (version, header, keep_alive) in [
        ("1.1", "A: b", true),
        ("1.1", "Connection: close", false),
        ("1.1", "connection: foo, CLOSE", false),
        ("1.0", "A: b", false),
        ("1.0", "Connection: Keep-Alive", true),
        ("1.0", "Connection: keep-alive, close", false),
    ] {
        let request = format!("GET / HTTP/{version}\r\n{header}\r\n\r\n");
        assert_eq!(head_of(request.as_bytes()).keep_alive, keep_alive, "{request}");
    }
}

#[test]
fn a_body_is_noticed_and_ends_the_connection() {
    for (header, has_body) in [
        ("Content-Length: 0", false),
        ("Content-Length: 000", false),
        ("Content-Length: 5", true),
        ("content-length: 99999999999999999999999", true),
        ("Transfer-Encoding: chunked", true),
    ] {
        let request = with_headers(header);
        let head = head_of(&request);
        assert_eq!(head.has_body, has_body, "{header}");
        assert_eq!(Connection::of(&head).stays_open(), !has_body, "{header}");
    }
    for header in
        ["Content-Length: -1", "Content-Length: x", "Content-Length:", "Content-Length: +5"]
    {
        assert_eq!(error_of(&with_headers(header)), Some(HeadError::BadRequest), "{header}");
    }
}

#[test]
fn what_the_client_accepts_is_read_from_lists() {
    let request = with_headers("Accept: text/html, Application/JSON;q=0.9");
    assert!(head_of(&request).accepts_json);
    for header in ["Accept: text/html", "Accept: application/json;q=0", "Accept: xapplication/json"]
    {
        assert!(!head_of(&with_headers(header)).accepts_json, "{header}");
    }
}

#[test]
fn websocket_needs_both_headers_and_get() {
    let headers = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade";
    assert!(head_of(&with_headers(headers)).wants_websocket);
    assert!(!head_of(&with_headers("Upgrade: websocket")).wants_websocket);
    assert!(!head_of(&with_headers("Connection: upgrade")).wants_websocket);
    let post = format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n");
    assert!(!head_of(post.as_bytes()).wants_websocket);
}

#[test]
fn repeated_headers_are_found_in_order_whatever_their_case() {
    let request =
        with_headers("X-Forwarded-For: a\r\nHost: h\r\nx-forwarded-for:  b, c \t\r\nX-: d");
    let head = head_of(&request);
    let values: Vec<_> = head.headers_named("X-FORWARDED-FOR").collect();
    assert_eq!(values, [&b"a"[..], b"b, c"]);
    assert_eq!(head.header("host"), Some(&b"h"[..]));
    assert_eq!(head.header("missing"), None);
    assert_eq!(head.headers().count(), 4);
}

#[test]
fn what_is_no_request_is_refused_at_once() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..],
        b"get / HTTP/1.1\r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.x\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"GET /\t HTTP/1.1\r\n\r\n",
        b"GET /\rX HTTP/1.1\r\n\r\n",
        b"THISMETHODISFARTOOLONG",
        b"\x13BitTorrent protocol",
    ] {
        assert_eq!(error_of(bytes), Some(HeadError::BadRequest), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_control_byte_is_refused_wherever_it_stands() {
    let request = b"GET /0123456789abcdef HTTP/1.1\r\nName: 0123456789abcdef\r\n\r\n";
    let places = (5..20).chain(38..54);
    for (place, control) in places.flat_map(|place| (0..b' ').map(move |byte| (place, byte))) {
        let mut request = request.to_vec();
        request[place] = control;
        let refused = error_of(&request) == Some(HeadError::BadRequest);
        // A tab or a line end may stand among headers, where the latter ends one.
        let lawful = place >= 38 && matches!(control, b'\t' | b'\n');
        assert!(refused || lawful, "{control:#x} at {place}");
    }
}

#[test]
fn headers_that_can_be_read_in_two_ways_are_refused() {
    for header in ["A : b", ": b", "no colon", "A: b\r\n folded", "A: \0", "A: b\rC: d"] {
        assert_eq!(error_of(&with_headers(header)), Some(HeadError::BadRequest), "{header:?}");
    }
}

#[test]
fn a_long_target_and_long_headers_are_told_apart() {
    let mut long = b"GET /".to_vec();
    long.resize(HEAD_BYTES_MAX - 1, b'a');
    assert!(matches!(parse_head(&long, HEAD_BYTES_MAX), HeadStatus::Partial));
    long.push(b'a');
    assert_eq!(error_of(&long), Some(HeadError::TargetTooLong));
    let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
    long.resize(HEAD_BYTES_MAX, b'a');
    assert_eq!(error_of(&long), Some(HeadError::HeadersTooLarge));
}

#[test]
fn the_number_of_headers_is_limited() {
    let request =
        |count: usize| [b"GET / HTTP/1.1\r\n", &b"A: b\r\n".repeat(count)[..], b"\r\n"].concat();
    assert_eq!(head_of(&request(HEADERS_MAX)).headers().count(), HEADERS_MAX);
    assert_eq!(error_of(&request(HEADERS_MAX + 1)), Some(HeadError::HeadersTooLarge));
}

#[test]
fn a_scrape_of_sixty_escaped_torrents_fits_a_head() {
    let pair = "info_hash=%A2%A1U7T%2B%22%92Z%D1%04%86%BFz%8B%2A%9CB%F0%D1";
    let target = format!("/scrape?{}", vec![pair; 60].join("&"));
    let request = format!("GET {target} HTTP/1.1\r\nHost: t.example\r\n\r\n");
    assert_eq!(head_of(request.as_bytes()).target, target.as_bytes());
}

#[test]
fn a_head_keeps_its_secrets_when_it_is_printed() {
    let request = b"GET /secretpasskey/announce HTTP/1.1\r\nAuthorization: token\r\n\r\n";
    let printed = format!("{:?}", head_of(request));
    assert!(!printed.contains("secret") && !printed.contains("token"), "{printed}");
}
