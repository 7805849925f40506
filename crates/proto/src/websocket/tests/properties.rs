//! Properties of the WebSocket codec over random input; another JSON parser is the judge.
//!
//! Holds no fixed examples.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use std::{format, iter};

use proptest::prelude::*;
use serde_json::Value;

use super::{LIMITS, masked};
use crate::websocket::json::Scanner;
use crate::websocket::*;
use crate::{InfoHash, OfferId, PeerId};

/// Pieces that make JSON often enough to get far.
const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u00",
    "\\ud83d",
    "\\ude00",
    "\\n",
    "\\x",
    "a",
    "0",
    "-",
    "1",
    ".",
    "e",
    "E",
    "+",
    "null",
    "true",
    "false",
    " ",
    "\n",
    "\t",
    "\u{1}",
    "\u{7f}",
    "\u{e9}",
    "\u{1f600}",
    "\"\"",
    "\"a\"",
    "[]",
    "{}",
    "{\"a\":",
    "12345678",
];
/// Pieces that make messages of clients.
const MESSAGE_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"action\":\"announce\"",
    "\"action\":\"scrape\"",
    "\"info_hash\":",
    "\"peer_id\":",
    "\"to_peer_id\":",
    "\"offer_id\":",
    "\"offers\":[",
    "\"offer\":{\"type\":\"offer\",\"sdp\":\"s\"}",
    "\"answer\":{\"type\":\"answer\",\"sdp\":\"s\"}",
    "\"answer\":",
    "\"aaaaaaaaaaaaaaaaaaaa\"",
    "\"left\":",
    "\"numwant\":",
    "0",
    "-5",
    "1e3",
    "null",
    "\"event\":\"stopped\"",
    "\"",
    "\\",
];

fn words(alphabet: &'static [&'static str], max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(alphabet), 0..max)
        .prop_map(|words| words.concat())
}

fn json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::hash_map(any::<String>(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether the scanner takes a whole text.
fn scans(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().is_ok() && scanner.end().is_ok()
}

/// Each byte as a code point, in JSON as another writer spells it.
fn binary(bytes: &[u8]) -> Value {
    Value::from(bytes.iter().map(|&byte| char::from(byte)).collect::<String>())
}

fn parsed(out: &[u8]) -> Value {
    serde_json::from_slice(out).expect("what was written is JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn scanner_takes_what_another_parser_writes(value in json(5)) {
        prop_assert!(scans(&value.to_string()));
        prop_assert!(scans(&serde_json::to_string_pretty(&value).expect("writes")));
    }

    #[test]
    fn scanner_takes_what_another_parser_takes(text in words(JSON_WORDS, 16)) {
        // The other parser wants to know the value of a number.
        let ours = scans(&text);
        match serde_json::from_str::<Value>(&text) {
            Ok(_) => prop_assert!(ours, "refused {text:?}"),
            Err(error) if error.to_string().starts_with("number out of range") => {}
            Err(error) => prop_assert!(!ours, "took {text:?}: {error}"),
        }
    }

    #[test]
    fn binary_strings_of_another_writer_are_read(ids in any::<[[u8; 20]; 4]>(),
        sdp in any::<String>(), left in any::<u32>()) {
        let message = serde_json::json!({
            "action": "announce", "info_hash": binary(&ids[0]), "peer_id": binary(&ids[1]),
            "left": left, "answer": {"type": "answer", "sdp": sdp},
            "to_peer_id": binary(&ids[2]), "offer_id": binary(&ids[3]),
        });
        let text = message.to_string();
        let Ok(Request::Answer(answer)) = parse(&text, &LIMITS) else {
            panic!("{:?} for {text}", parse(&text, &LIMITS));
        };
        let read = [answer.info_hash.0, answer.peer_id.0, answer.to_peer_id.0, answer.offer_id.0];
        prop_assert_eq!(read, ids);
        // And another reader gets the same out of what is passed on.
        let mut out = vec![];
        write_answer(&mut out, &answer.info_hash, &answer.peer_id, &answer.offer_id, answer.sdp);
        let expected = serde_json::json!({
            "action": "announce", "info_hash": binary(&ids[0]), "peer_id": binary(&ids[1]),
            "answer": {"type": "answer", "sdp": sdp}, "offer_id": binary(&ids[3]),
        });
        prop_assert_eq!(parsed(&out), expected);
    }

    #[test]
    fn offers_of_another_writer_are_read(sdps in proptest::collection::vec(any::<String>(), 0..24),
        seed in any::<[u8; 20]>()) {
        let id = |n: usize| seed.map(|byte| byte.wrapping_add(n as u8));
        let offers: Vec<_> = sdps.iter().enumerate().map(|(n, sdp)| serde_json::json!({
            "offer": {"type": "offer", "sdp": sdp}, "offer_id": binary(&id(n)),
        })).collect();
        let text = serde_json::json!({
            "action": "announce", "info_hash": binary(&seed), "peer_id": binary(&seed),
            "offers": offers,
        }).to_string();
        let Ok(Request::Announce(announce)) = parse(&text, &LIMITS) else {
            panic!("{:?} for {text}", parse(&text, &LIMITS));
        };
        let read = announce.offers.as_slice();
        prop_assert_eq!(read.len(), sdps.len().min(OFFERS_MAX));
        for (n, (offer, sdp)) in iter::zip(read, &sdps).enumerate() {
            prop_assert_eq!(offer.offer_id.0, id(n));
            let passed_on: String = serde_json::from_str(&format!("\"{}\"", offer.sdp)).expect("text");
            prop_assert_eq!(&passed_on, sdp);
        }
    }

    #[test]
    fn answers_of_the_tracker_are_read_by_another_parser(ids in any::<[[u8; 20]; 2]>(),
        counts in any::<[u32; 3]>(), reason in any::<String>()) {
        let [info_hash, other] = ids.map(InfoHash);
        let [seeders, leechers, completions] = counts;
        let mut out = vec![];
        let interval_secs = completions;
        write_announced(&mut out, &Announced { info_hash, seeders, leechers, interval_secs });
        prop_assert_eq!(parsed(&out), serde_json::json!({
            "action": "announce", "complete": seeders, "incomplete": leechers,
            "interval": interval_secs, "info_hash": binary(&info_hash.0),
        }));
        out.clear();
        let entries = [info_hash, other];
        let entries = entries.map(|info_hash| ScrapeEntry { info_hash, seeders, leechers, completions });
        write_scrape(&mut out, entries, Some(seeders));
        let scraped = parsed(&out);
        for id in &ids {
            let key = binary(id);
            let counts = &scraped["files"][key.as_str().expect("a string")];
            let expected = serde_json::json!({
                "complete": seeders, "incomplete": leechers, "downloaded": completions,
            });
            prop_assert_eq!(counts, &expected);
        }
        out.clear();
        write_failure(&mut out, Action::Announce, Some(&info_hash), &reason);
        prop_assert_eq!(parsed(&out), serde_json::json!({
            "action": "announce", "failure reason": reason, "info_hash": binary(&info_hash.0),
        }));
        out.clear();
        write_offer(&mut out, &info_hash, &PeerId(ids[1]), &OfferId(ids[0]), "");
        prop_assert_eq!(&parsed(&out)["offer_id"], &binary(&ids[0]));
    }

    #[test]
    fn no_message_panics(text in words(MESSAGE_WORDS, 24)) {
        match parse(&text, &LIMITS) {
            Ok(Request::Scrape(Scrape::Torrents(hashes))) => {
                prop_assert_eq!(hashes.len(), hashes.count());
            }
            Ok(_) => prop_assert!(serde_json::from_str::<Value>(&text).is_ok()),
            Err(error) => prop_assert!(error.close_code() == 1003 || error.close_code() == 1008),
        }
    }

    #[test]
    fn frames_mean_the_same_however_they_arrive(
        parts in proptest::collection::vec("[a-z\u{e9}\u{1f600}]{0,200}", 1..6),
        piece in 1..64usize) {
        // The parts as fragments of one message, with pings between them.
        let mut sent = vec![];
        for (index, part) in parts.iter().enumerate() {
            let first = if index == 0 { 0x01 } else { 0x00 };
            let last = if index + 1 == parts.len() { 0x80 } else { 0x00 };
            sent.extend(masked(first | last, part.as_bytes()));
            sent.extend(masked(0x89, &[index as u8]));
        }
        let (mut reader, mut buffer, mut seen) = (Reader::default(), vec![], vec![]);
        for piece in sent.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Step::Frame { consumed, event } = reader.next(&mut buffer, 4096).expect("good") {
                match event {
                    Event::Message(text) => seen.push(String::from(text)),
                    Event::Fragment | Event::Ping(_) => {}
                    other => panic!("{other:?}"),
                }
                buffer.drain(..consumed);
            }
        }
        prop_assert_eq!(seen, [parts.concat()]);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn no_bytes_panic(input in proptest::collection::vec(any::<u8>(), 0..64), max in 0..64usize) {
        let (mut reader, mut input, mut at) = (Reader::default(), input, 0);
        while let Ok(Step::Frame { consumed, event }) = reader.next(&mut input[at..], max) {
            if let Event::Message(text) = event {
                prop_assert!(text.len() <= max);
            }
            at += consumed;
        }
    }
}
