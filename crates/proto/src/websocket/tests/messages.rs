//! Messages: limits, the good next to the bad, and what is written.
//!
//! Single odd messages stand in the vector files.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::LIMITS;
use crate::websocket::*;
use crate::{DecodeError, InfoHash, OfferId, PeerId};

fn announce_with(offers: usize) -> String {
    let offers: Vec<_> = (0..offers)
        .map(|n| {
            format!(r#"{{"offer":{{"type":"offer","sdp":"s{n}"}},"offer_id":"offer-{n:014}"}}"#)
        })
        .collect();
    let ids = r#""info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb""#;
    format!(r#"{{"action":"announce",{ids},"offers":[{}]}}"#, offers.join(","))
}

fn offers_of(text: &str, offers_max: usize) -> Vec<String> {
    match parse(text, &Limits { offers_max, ..LIMITS }) {
        Ok(Request::Announce(announce)) => {
            announce.offers.as_slice().iter().map(|offer| offer.sdp.into()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn offers_beyond_the_limit_are_passed_over() {
    assert_eq!(offers_of(&announce_with(5), 3), ["s0", "s1", "s2"]);
    assert_eq!(offers_of(&announce_with(5), 0), [""; 0]);
    assert_eq!(offers_of(&announce_with(100), usize::MAX).len(), OFFERS_MAX);
}

#[test]
fn torrents_beyond_the_limit_are_passed_over() {
    let scrape = |hashes: &str, max| {
        let text = format!(r#"{{"action":"scrape","info_hash":{hashes}}}"#);
        let limits = Limits { scrape_info_hashes_max: max, ..LIMITS };
        match parse(&text, &limits) {
            Ok(Request::Scrape(Scrape::Torrents(hashes))) => {
                let len = hashes.len();
                let hashes: Vec<_> = hashes.map(|hash| hash.0[0]).collect();
                assert_eq!(hashes.len(), len);
                hashes
            }
            other => panic!("{other:?}"),
        }
    };
    let three = r#" [ "aaaaaaaaaaaaaaaaaaaa" , "bbbbbbbbbbbbbbbbbbbb","cccccccccccccccccccc" ] "#;
    assert_eq!(scrape(three, 255), *b"abc");
    assert_eq!(scrape(three, 2), *b"ab");
    assert_eq!(scrape(three, 0), *b"");
    assert_eq!(scrape(r#""aaaaaaaaaaaaaaaaaaaa""#, 1), *b"a");
    assert_eq!(scrape(r#""aaaaaaaaaaaaaaaaaaaa""#, 0), *b"");
}

#[test]
fn error_tells_what_was_understood() {
    let text = r#"{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"short"}"#;
    let error = MessageError {
        action: Some(Action::Announce),
        info_hash: Some(InfoHash([b'a'; 20])),
        kind: DecodeError::InvalidPeerId,
    };
    assert_eq!(parse(text, &LIMITS).unwrap_err(), error);
    // Whatever came first, half a message tells nothing.
    let half = parse(&text[..text.len() - 1], &LIMITS).unwrap_err();
    let error = MessageError { action: None, info_hash: None, kind: DecodeError::InvalidJson };
    assert_eq!(half, error);
    assert_eq!((half.sendable(), half.close_code()), (None, 1003));
}

#[test]
fn every_cut_of_a_message_is_refused() {
    let text = announce_with(2);
    for end in 0..text.len() {
        let refused = parse(&text[..end], &LIMITS).unwrap_err();
        assert_eq!(refused.kind, DecodeError::InvalidJson, "{end}");
    }
    assert_eq!(offers_of(&text, 2), ["s0", "s1"]);
}

/// Long strings are looked through in blocks, short ones and ends in words and bytes.
#[test]
fn what_ends_or_breaks_a_string_is_found_anywhere_in_it() {
    for len in 0..80 {
        let before = "\u{e9}x~ ".repeat(16);
        let before = &before[..before.floor_char_boundary(len)];
        let takes = |inserted: &str| {
            let text = announce_with(1).replace("s0", &format!("{before}{inserted}and more of it"));
            parse(&text, &LIMITS).is_ok()
        };
        assert!(takes("") && takes("\u{7f}") && takes(r"\r\n\u001f\\") && takes("\u{1f600}"));
        for broken in
            ["\0", "\n", "\u{1f}", "\"", r"\x", r"\u12g4", r"\ud800", r"\udfff", r"\ud83d\n"]
        {
            assert!(!takes(broken), "{broken:?} behind {len} bytes");
        }
    }
}

/// Clients send the whole text, so nothing may be lost or spelled differently on the way.
#[test]
fn description_is_passed_on_byte_by_byte() {
    let sdp = concat!(r"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n\u0061\/\\\", "\"\u{e9}\u{7f}");
    let text = announce_with(1).replace("s0", sdp);
    assert_eq!(offers_of(&text, 1), [sdp]);
    let ids = (InfoHash([0x1f; 20]), PeerId([b'"'; 20]), OfferId([0xff; 20]));
    let mut out = vec![];
    write_offer(&mut out, &ids.0, &ids.1, &ids.2, sdp);
    let expected = format!(
        r#"{{"action":"announce","offer":{{"type":"offer","sdp":"{sdp}"}},"offer_id":"{}","peer_id":"{}","info_hash":"{}"}}"#,
        "\u{ff}".repeat(20),
        r#"\""#.repeat(20),
        r"\u001f".repeat(20),
    );
    assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
}

#[test]
fn scrape_may_tell_when_to_come_again() {
    let mut out = vec![];
    write_scrape(&mut out, [], Some(60));
    assert_eq!(out, br#"{"action":"scrape","files":{},"flags":{"min_request_interval":60}}"#);
}

#[test]
fn reason_of_a_failure_is_escaped() {
    let mut out = vec![];
    write_failure(&mut out, Action::Scrape, None, "a \"b\" \\ \n\u{e9}");
    let expected = r#"{"action":"scrape","failure reason":"a \"b\" \\ \u000a"#;
    assert_eq!(String::from_utf8(out).expect("UTF-8"), format!("{expected}\u{e9}\"}}"));
}
