//! Properties of the HTTP codec over random input.
//!
//! Holds no fixed examples.

use core::net::IpAddr;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::HEAD_BYTES_MAX;
use crate::bencode;
use crate::http::percent::{decode_exact, decode_into, decoded};
use crate::http::*;

/// Escapes some bytes and leaves others as they are, as clients do.
fn encode(bytes: &[u8], how: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    for (byte, how) in bytes.iter().zip(how.iter().cycle()) {
        let must = matches!(byte, 0..=b' ' | b'%' | b'+' | b'&' | b'?' | b'=' | b'#');
        match how % 3 {
            0 if !must => out.push(*byte),
            1 => out.extend(format!("%{byte:02x}").bytes()),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max)
}

/// Text that looks like a query or a head often enough to get far.
fn nearly(alphabet: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => proptest::sample::select(alphabet).prop_map(|word| word.as_bytes().to_vec()),
        1 => bytes(4),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

const QUERY_WORDS: &[&str] = &[
    "/",
    "announce",
    "scrape",
    "?",
    "&",
    "=",
    "%",
    "%6",
    "%61",
    "info_hash",
    "peer_id",
    "port",
    "left",
    "ip",
    "key",
    "event",
    "passkey",
    "users",
    "aaaaaaaaaaaaaaaaaaaa",
    "1",
    "amp;",
    "http://",
];
const HEAD_WORDS: &[&str] = &[
    "GET ",
    "HEAD ",
    "/",
    " HTTP/1.1",
    " HTTP/1.0",
    "\r\n",
    "\n",
    "\r",
    ": ",
    ":",
    "Connection",
    "Content-Length",
    "Accept",
    "close",
    "0",
    ",",
    ";q=0",
    "\t",
    " ",
    "X",
];

fn read_everything(target: &[u8]) {
    let parsed = Target::parse(target);
    let _ = parsed.passkey();
    for plus_literal in [false, true] {
        let options = QueryOptions { plus_literal, allow_port_zero: plus_literal };
        let _ = parse_announce(parsed.query, options);
        let mut out = vec![];
        let _ = parse_scrape(parsed.query, options, 3, &mut out);
        assert!(out.len() <= 3);
    }
}

proptest! {
    #[test]
    fn any_escaping_of_any_bytes_decodes(value in bytes(40), how in bytes(7).prop_filter("some", |how| !how.is_empty())) {
        let encoded = encode(&value, &how);
        let mut room = vec![0; value.len()];
        prop_assert_eq!(decode_into(&encoded, false, &mut room), Some(&value[..]));
        prop_assert_eq!(decode_into(&encoded, true, &mut room), Some(&value[..]));
        let plain: Result<Vec<_>, _> = decoded(&encoded, false).collect();
        prop_assert_eq!(plain, Ok(value.clone()));
        if !value.is_empty() {
            prop_assert_eq!(decode_into(&encoded, false, &mut room[1..]), None);
        }
    }

    #[test]
    fn announces_read_back(ids in any::<([u8; 20], [u8; 20])>(), how in any::<[u8; 8]>(),
        port in 1..=u16::MAX, amounts in any::<(u64, u64, u32)>()) {
        let (uploaded, left, num_want) = amounts;
        let query = [
            b"peer_id=", &encode(&ids.1, &how)[..], b"&info_hash=", &encode(&ids.0, &how),
            format!("&port={port}&uploaded={uploaded}&left={left}&numwant={num_want}").as_bytes(),
        ].concat();
        prop_assert_eq!(decode_exact(&encode(&ids.0, &how), true), Some(ids.0));
        let announce = parse_announce(&query, QueryOptions::default()).expect("good").announce;
        prop_assert_eq!(announce.info_hash.0, ids.0);
        prop_assert_eq!(announce.peer_id.0, ids.1);
        prop_assert_eq!(announce.port, port);
        prop_assert_eq!(announce.uploaded_bytes, uploaded);
        prop_assert_eq!(announce.left_bytes, crate::left_from_wire(left));
        prop_assert_eq!(announce.num_want, crate::NumWant::Count(num_want));
    }

    #[test]
    fn no_target_panics(target in prop_oneof![bytes(120), nearly(QUERY_WORDS)]) {
        read_everything(&target);
    }

    #[test]
    fn no_head_panics_and_a_whole_one_is_found_at_any_cut(
        buffer in prop_oneof![bytes(120), nearly(HEAD_WORDS)],
        bytes_max in 0..200usize,
    ) {
        let _ = parse_head(&buffer, bytes_max);
        let whole = parse_head(&buffer, HEAD_BYTES_MAX);
        if let HeadStatus::Complete(head) = whole {
            prop_assert!(head.len <= buffer.len());
            prop_assert!(head.headers().count() <= HEADERS_MAX);
            let again = parse_head(&buffer[..head.len], HEAD_BYTES_MAX);
            prop_assert!(matches!(again, HeadStatus::Complete(again) if again.len == head.len));
            for len in 0..head.len {
                let cut = parse_head(&buffer[..len], HEAD_BYTES_MAX);
                prop_assert!(matches!(cut, HeadStatus::Partial), "{cut:?} at {len}");
            }
        }
    }

    #[test]
    fn no_proxy_header_panics_or_names_a_proxy(values in proptest::collection::vec(
        prop_oneof![bytes(40), nearly(&["10.0.0.1", "192.0.2.1", "[::1]", ":80", ",", " ", "for=", "\"", ";"])], 0..4)) {
        let trusted = |ip: IpAddr| ip == IpAddr::from([10, 0, 0, 1]);
        for found in [
            client_address(values.iter().map(Vec::as_slice), trusted),
            forwarded_client_address(values.iter().map(Vec::as_slice), trusted),
        ] {
            prop_assert!(!found.is_some_and(trusted));
        }
    }

    #[test]
    fn every_reply_is_canonical(counts in any::<(u32, u32, u32)>(), ipv4 in bytes(40), ipv6 in bytes(8),
        flags in any::<[bool; 4]>()) {
        let (ipv4, ipv6) = (ipv4.repeat(6), ipv6.repeat(18));
        let mut out = vec![];
        write_announce(&mut out, &AnnounceReply {
            seeders: counts.0, completions: counts.1, leechers: counts.2,
            interval_secs: counts.0, interval_min_secs: counts.1,
            external_ip: flags[0].then(|| [192, 0, 2, 1].into()),
            warning: flags[1].then_some("w"), compact: flags[2], requester_ipv6: flags[3],
            peers: PeerList { ipv4: &ipv4, ipv6: &ipv6, ..PeerList::default() },
        });
        let value = bencode::read(&out).expect("canonical");
        prop_assert!(value.get(b"peers").is_some());
        prop_assert!(bt_bencode::from_slice::<bt_bencode::Value>(&out).is_ok());
    }

    #[test]
    fn every_failure_is_canonical(reason in any::<String>(), numbers in any::<[Option<u32>; 3]>()) {
        let mut out = vec![];
        write_failure(&mut out, &Failure {
            reason: &reason, interval_secs: numbers[0], interval_min_secs: numbers[1],
            retry_in: numbers[2].map(|n| if n % 2 == 0 { RetryIn::Never } else { RetryIn::Minutes(n) }),
        });
        prop_assert!(bencode::read(&out).is_ok());
    }
}
