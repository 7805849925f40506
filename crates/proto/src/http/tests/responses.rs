//! Response heads and bodies: exact bytes, order of keys, and room that was guessed wrongly.
//!
//! The golden bodies are replayed elsewhere.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::head_of;
use crate::http::*;
use crate::{InfoHash, PeerId, bencode};

fn response(head: &ResponseHead, hint: usize, body: &[u8]) -> String {
    let mut out = b"before".to_vec();
    respond(&mut out, head, hint, |out| out.extend_from_slice(body));
    let out = String::from_utf8(out).expect("ASCII");
    out.strip_prefix("before").expect("what was there stays").into()
}

fn reply<'a>() -> AnnounceReply<'a> {
    AnnounceReply {
        seeders: 1,
        completions: 2,
        leechers: 3,
        interval_secs: 1800,
        interval_min_secs: 900,
        external_ip: None,
        warning: None,
        compact: true,
        requester_ipv6: false,
        peers: PeerList::default(),
    }
}

#[test]
fn a_wrong_guess_at_the_length_changes_no_byte() {
    let head = ResponseHead::closing(Status::Ok);
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\
                    Connection: close\r\n\r\nhello, world";
    for hint in [0, 12, 99, 100, 1_000_000] {
        assert_eq!(response(&head, hint, b"hello, world"), expected, "{hint}");
    }
}

#[test]
fn head_gets_the_length_without_the_body() {
    let head = ResponseHead::text(Status::Ok, &head_of(b"HEAD / HTTP/1.1\r\n\r\n"));
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n";
    assert_eq!(response(&head, 1, b"hello, world"), expected);
}

#[test]
fn old_clients_are_told_that_the_connection_stays() {
    let request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let head = ResponseHead::text(Status::Ok, &head_of(request));
    assert!(response(&head, 0, b"").contains("\r\nConnection: keep-alive\r\n"));
}

#[test]
fn other_status_lines_read_as_clients_expect_them() {
    let start = |status: Status| {
        let head = ResponseHead::closing(status);
        let text = response(&head, 0, b"");
        assert_eq!(status.line()[..3].parse(), Ok(status.code()));
        text
    };
    assert!(start(Status::TargetTooLong).starts_with("HTTP/1.1 414 Request-URI Too Long\r\n"));
    assert!(start(Status::BadRequest).starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(start(Status::MethodNotAllowed).contains("\r\nAllow: GET, HEAD\r\n"));
    for status in [
        Status::Ok,
        Status::NotFound,
        Status::RequestTimeout,
        Status::HeadersTooLarge,
        Status::InternalError,
        Status::Unavailable,
    ] {
        assert!(!start(status).contains("Allow"));
    }
}

#[test]
fn pages_carry_headers_of_their_own_behind_the_common_ones() {
    const HEADERS: &[(&str, &str)] = &[("X-Content-Type-Options", "nosniff")];
    for (content_type, name) in
        [(ContentType::Html, "text/html; charset=utf-8"), (ContentType::Json, "application/json")]
    {
        let head = ResponseHead {
            content_type,
            extra_headers: HEADERS,
            ..ResponseHead::closing(Status::Ok)
        };
        let expected = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {name}\r\nContent-Length: 2\r\n\
             Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\nok"
        );
        assert_eq!(response(&head, 0, b"ok"), expected);
    }
}

#[test]
fn peers_are_written_even_if_there_are_none() {
    for (compact, expected) in [(true, &b"0:"[..]), (false, b"le")] {
        let mut out = vec![];
        write_announce(&mut out, &AnnounceReply { compact, ..reply() });
        let tail = [b"5:peers", expected, b"e"].concat();
        assert!(out.ends_with(&tail), "{}", out.escape_ascii());
    }
}

#[test]
fn ipv6_peers_are_shown_to_whoever_can_use_them() {
    for (requester_ipv6, ipv6, shown) in
        [(true, &[][..], true), (false, &[3; 18][..], true), (false, &[][..], false)]
    {
        let mut out = vec![];
        let peers = PeerList { ipv6, ..PeerList::default() };
        write_announce(&mut out, &AnnounceReply { requester_ipv6, peers, ..reply() });
        let value = bencode::read(&out).expect("canonical");
        assert_eq!(value.get(b"peers6").is_some(), shown);
        assert!(value.get(b"peers").is_some());
    }
}

#[test]
fn everything_optional_keeps_the_order_of_keys() {
    let ids = [PeerId([1; 20])];
    for compact in [true, false] {
        let mut out = vec![];
        let full = AnnounceReply {
            external_ip: Some([192, 0, 2, 1].into()),
            warning: Some("be kind"),
            compact,
            requester_ipv6: true,
            peers: PeerList { ipv4: &[2; 6], ipv6: &[3; 18], ipv4_ids: &ids, ipv6_ids: &ids },
            ..reply()
        };
        write_announce(&mut out, &full);
        let value = bencode::read(&out).expect("canonical");
        assert_eq!(value.get(b"peers6").is_some(), compact, "dictionaries have one list");
        assert_eq!(
            value.get(b"warning message").and_then(bencode::Value::as_bytes),
            Some(&b"be kind"[..])
        );
        if !compact {
            let peers = value.get(b"peers").and_then(bencode::Value::as_list).expect("a list");
            assert_eq!(peers.len(), 2);
            assert_eq!(peers[1].get(b"port").and_then(bencode::Value::as_integer), Some(0x0303));
        }
    }
}

#[test]
fn the_longest_address_fits_a_dictionary() {
    let ipv6 = [0xff; 18];
    let mut out = vec![];
    let peers = PeerList { ipv6: &ipv6, ..PeerList::default() };
    write_announce(&mut out, &AnnounceReply { compact: false, peers, ..reply() });
    let text = b"2:ip39:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert!(out.windows(text.len()).any(|part| part == text), "{}", out.escape_ascii());
}

#[test]
#[should_panic(expected = "IPv4 peers are 6 bytes each")]
fn a_ragged_list_of_peers_is_a_broken_invariant() {
    let peers = PeerList { ipv4: &[0; 7], ..PeerList::default() };
    write_announce(&mut vec![], &AnnounceReply { peers, ..reply() });
}

#[test]
fn the_hint_has_as_many_digits_as_common_bodies() {
    let ipv4 = [1; 50 * 6];
    let mut out = vec![];
    let peers = PeerList { ipv4: &ipv4, ..PeerList::default() };
    let common = AnnounceReply { peers, ..reply() };
    write_announce(&mut out, &common);
    assert_eq!(out.len().ilog10(), common.body_bytes_hint().ilog10());
}

fn entry(byte: u8) -> ScrapeEntry<'static> {
    ScrapeEntry {
        info_hash: InfoHash([byte; 20]),
        seeders: 1,
        completions: 2,
        downloaders: Some(3),
        leechers: 4,
        name: Some(b"a name"),
    }
}

#[test]
fn scraped_torrents_are_sorted_by_bytes_and_written_once() {
    let mut out = vec![];
    write_scrape(&mut out, &mut [entry(0xff), entry(0x61), entry(0xff), entry(0)], Some(900));
    let value = bencode::read(&out).expect("canonical");
    let Some(bencode::Value::Dict(files)) = value.get(b"files") else { panic!("no files") };
    let hashes: Vec<_> = files.iter().map(|(hash, _)| hash[0]).collect();
    assert_eq!(hashes, [0, 0x61, 0xff]);
    assert_eq!(files[0].1.get(b"name").and_then(bencode::Value::as_bytes), Some(&b"a name"[..]));
}

#[test]
fn an_empty_scrape_is_an_empty_dictionary() {
    let mut out = vec![];
    write_scrape(&mut out, &mut [], None);
    assert_eq!(out, b"d5:filesdee");
}
