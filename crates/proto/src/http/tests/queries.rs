//! Announces and scrapes that other trackers get wrong.
//!
//! The golden values are replayed elsewhere.

use core::net::IpAddr;
use std::vec;

use crate::http::*;
use crate::{AnnounceEvent, AnnounceRequest, DecodeError, InfoHash, NumWant, PeerKey};

const START: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-TR4100-abcdefghijkl";

fn decode(more: &str) -> Result<(AnnounceRequest, bool, bool, Option<IpAddr>), DecodeError> {
    let query = std::format!("{START}&{more}");
    let read = parse_announce(query.as_bytes(), QueryOptions::default())?;
    Ok((read.announce, read.compact, read.no_peer_id, read.claimed_ip))
}

fn announce(more: &str) -> AnnounceRequest {
    decode(&std::format!("port=6881&{more}")).expect("nothing in it can be wrong").0
}

#[test]
fn a_name_without_a_value_does_not_shift_the_pairs_behind_it() {
    let (announce, ..) = decode("left&port=6881&uploaded&downloaded=7").expect("an announce");
    assert_eq!((announce.port, announce.left_bytes), (6881, None));
    assert_eq!((announce.uploaded_bytes, announce.downloaded_bytes), (0, 7));
}

#[test]
fn a_huge_left_never_becomes_zero() {
    for (left, expected) in [
        ("18446744073709551615", None),
        ("18446744073709551616", None),
        ("36893488147419103232", None),
        ("99999999999999999999999999999999999999999999", None),
        ("9223372036854775807", None),
        ("9223372036854775808", Some(1 << 63)),
        ("00000000000000000000000000000000000000000005", Some(5)),
        ("16384", Some(16384)),
        ("%31%30", Some(10)),
        ("0", Some(0)),
        ("", None),
        ("-0", None),
        ("NaN", None),
        ("1e3", None),
        (" 1", None),
        ("%zz", None),
    ] {
        assert_eq!(announce(&std::format!("left={left}")).left_bytes, expected, "{left}");
    }
}

#[test]
fn amounts_that_are_no_numbers_count_as_nothing() {
    let read = announce("uploaded=-5&downloaded=99999999999999999999999");
    assert_eq!((read.uploaded_bytes, read.downloaded_bytes), (0, u64::MAX));
}

#[test]
fn corrupt_bytes_are_known_only_if_they_are_told() {
    let read = |more: &str| {
        let query = std::format!("{START}&port=1{more}");
        parse_announce(query.as_bytes(), QueryOptions::default()).map(|read| read.corrupt_bytes)
    };
    assert_eq!(read("&corrupt=16384"), Ok(Some(16384)));
    for told in ["", "&corrupt=", "&corrupt=-1", "&corrupt=1.0"] {
        assert_eq!(read(told), Ok(None), "{told}");
    }
}

#[test]
fn events_have_no_case_and_unknown_ones_are_no_errors() {
    for (text, event) in [
        ("started", AnnounceEvent::Started),
        ("STOPPED", AnnounceEvent::Stopped),
        ("Completed", AnnounceEvent::Completed),
        ("%70aused", AnnounceEvent::Paused),
        ("", AnnounceEvent::None),
        ("empty", AnnounceEvent::None),
        ("update", AnnounceEvent::None),
        ("completedly", AnnounceEvent::None),
        ("%", AnnounceEvent::None),
    ] {
        assert_eq!(announce(&std::format!("event={text}")).event, event, "{text}");
    }
}

#[test]
fn only_compact_zero_asks_for_dictionaries_and_nothing_is_an_error() {
    for (text, expected) in [
        ("compact=0", false),
        ("compact=%30", false),
        ("compact=1", true),
        ("compact=2", true),
        ("compact=", true),
        ("compact=00", true),
        ("compact", true),
        ("x", true),
    ] {
        let (_, compact, ..) = decode(&std::format!("port=1&{text}")).expect("an announce");
        assert_eq!(compact, expected, "{text}");
    }
}

#[test]
fn num_want_follows_the_table() {
    for (text, expected) in [
        ("x", NumWant::Default),
        ("numwant=", NumWant::Default),
        ("numwant=NaN", NumWant::Default),
        ("numwant=-1", NumWant::Default),
        ("numwant=0", NumWant::Count(0)),
        ("numwant=80", NumWant::Count(80)),
        ("num_want=80", NumWant::Count(80)),
        ("numwant=99999999999999999999", NumWant::Count(u32::MAX)),
    ] {
        assert_eq!(announce(text).num_want, expected, "{text}");
    }
}

#[test]
fn a_key_is_opaque_and_the_same_over_both_wires() {
    assert_eq!(announce("key=DEADBEEF").peer_key, PeerKey::from_u32(0xdead_beef));
    assert_eq!(announce("key=%44EADBEEF").peer_key, PeerKey::from_u32(0xdead_beef));
    assert_ne!(announce("key=-1").peer_key, announce("key=-2").peer_key);
    assert_eq!(
        announce("key=%de%ad%be%ef%00%01%02%ff").peer_key,
        announce("key=%DE%AD%BE%EF%00%01%02%FF").peer_key
    );
    assert_eq!(announce("key=").peer_key, PeerKey::default());
    let long = "x".repeat(100);
    assert_ne!(
        announce(&std::format!("key={long}a")).peer_key,
        announce(&std::format!("key={long}b")).peer_key
    );
}

#[test]
fn an_address_is_a_literal_or_nothing() {
    for (text, expected) in [
        ("ip=192.0.2.9", Some("192.0.2.9")),
        ("ip=2001%3adb8::1", Some("2001:db8::1")),
        ("ip=[2001:db8::1]", Some("2001:db8::1")),
        ("ip=::ffff:192.0.2.9", Some("192.0.2.9")),
        ("ip=192.0.2.8&ip=192.0.2.9", Some("192.0.2.9")),
        ("ip=host.example", None),
        ("ip=192.0.2.9:80", None),
        ("ip=%ff", None),
        ("ipv4=192.0.2.9&ipv6=2001:db8::1", None),
    ] {
        let (.., ip) = decode(&std::format!("port=1&{text}")).expect("never an error");
        assert_eq!(ip, expected.map(|ip| ip.parse().expect("an address")), "{text}");
    }
}

#[test]
fn the_first_problem_is_reported() {
    let error = |query: &str| parse_announce(query.as_bytes(), QueryOptions::default()).err();
    assert_eq!(error("port=0"), Some(DecodeError::MissingInfoHash));
    assert_eq!(error("info_hash=x&port=0"), Some(DecodeError::InvalidInfoHash));
    assert_eq!(error("info_hash=aaaaaaaaaaaaaaaaaaaa&port=0"), Some(DecodeError::MissingPeerId));
    assert_eq!(error(&std::format!("port=0&{START}")), Some(DecodeError::InvalidPort));
    assert_eq!(error("info_hash=x&info_hash=y"), Some(DecodeError::MultipleInfoHash));
    assert_eq!(error("sha_ih=aaaaaaaaaaaaaaaaaaaa"), Some(DecodeError::MissingInfoHash));
}

#[test]
fn the_last_of_a_repeated_parameter_counts() {
    assert_eq!(decode("port=1&port=2").expect("an announce").0.port, 2);
    assert_eq!(decode("port=1&port=x").err(), Some(DecodeError::InvalidPort));
    assert_eq!(announce("left=5&left=0").left_bytes, Some(0));
}

#[test]
fn port_zero_passes_only_when_it_is_allowed() {
    let query = std::format!("{START}&port=0");
    let allowed = QueryOptions { allow_port_zero: true, ..QueryOptions::default() };
    assert_eq!(parse_announce(query.as_bytes(), allowed).expect("allowed").announce.port, 0);
    assert_eq!(parse_announce(START.as_bytes(), allowed).err(), Some(DecodeError::InvalidPort));
}

#[test]
fn a_malformed_escape_matters_only_where_it_stands() {
    assert!(decode("port=1&unknown=%zz&key=%&%zz=1&%=2").is_ok());
    assert_eq!(decode("port=%zz").err(), Some(DecodeError::InvalidPort));
}

#[test]
fn an_escaped_name_is_the_same_name_and_is_decoded_once() {
    assert_eq!(decode("%70ort=6881").expect("an announce").0.port, 6881);
    assert_eq!(decode("%2570ort=6881").err(), Some(DecodeError::InvalidPort));
}

#[test]
fn a_scrape_keeps_the_first_torrents_and_checks_all() {
    let mut out = vec![InfoHash([9; 20])];
    let options = QueryOptions::default();
    assert_eq!(parse_scrape(b"x=1", options, 2, &mut out), Ok(()));
    assert_eq!(out, []);
    let query = "info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb&info_hash=cccccccccccccccccccc";
    assert_eq!(parse_scrape(query.as_bytes(), options, 2, &mut out), Ok(()));
    assert_eq!(out, [InfoHash([b'a'; 20]), InfoHash([b'b'; 20])]);
    let query = std::format!("{query}&info_hash=d");
    assert_eq!(
        parse_scrape(query.as_bytes(), options, 2, &mut out),
        Err(DecodeError::InvalidInfoHash)
    );
}
