//! Replays the vector files of HTTP: requests decode, answers encode.
//!
//! Holds no bytes of its own.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{eprintln, vec};

use super::head_of;
use crate::golden::Meaning;
use crate::http::*;
use crate::vectors::{
    HTTP_ERRORS, HTTP_FORWARDED, HTTP_QUERY, HTTP_SESSION, Line, Vector, VectorFile,
};
use crate::{DecodeError, InfoHash, PeerId, bencode};

fn meaning_of(head: &Head<'_>) -> Meaning {
    if head.method == Method::Other {
        return Meaning::plain("method");
    }
    let target = Target::parse(head.target);
    let options = QueryOptions::default();
    let decoded = match target.route {
        Route::Announce { .. } => parse_announce(target.query, options).map(|decoded| {
            let mut meaning = Meaning::announce(&decoded.announce);
            let ip = decoded.claimed_ip.map_or_else(|| "none".into(), |ip| ip.to_string());
            let passkey = target.passkey().map(|key| key.as_bytes().to_vec()).unwrap_or_default();
            meaning.fields.insert("compact", u8::from(decoded.compact).to_string());
            meaning.fields.insert("no_peer_id", u8::from(decoded.no_peer_id).to_string());
            meaning.fields.insert("ip", ip);
            meaning.fields.insert("passkey", String::from_utf8(passkey).expect("ASCII"));
            meaning
        }),
        Route::Scrape { .. } => {
            let mut hashes = vec![];
            match parse_scrape(target.query, options, 100, &mut hashes) {
                Ok(()) if hashes.is_empty() => Err(DecodeError::FullScrape),
                Ok(()) => {
                    let words: Vec<_> = hashes.iter().map(InfoHash::to_string).collect();
                    Ok(Meaning::plain(format!("scrape {}", words.join(" "))))
                }
                Err(error) => Err(error),
            }
        }
        _ => Ok(Meaning::plain("unknown")),
    };
    decoded.unwrap_or_else(Meaning::plain)
}

/// Encodes the body that a `says` line states.
fn body_of(line: &Line, file: &VectorFile) -> Vec<u8> {
    let mut out = vec![];
    match line.rest.split(' ').next() {
        Some("announce") => write_announce_line(&mut out, line, file),
        Some("failure") => {
            let reason = line.value("reason").expect("a reason").replace('_', " ");
            // The names of parameters keep their line.
            let reason = reason.replace("info hash", "info_hash").replace("peer id", "peer_id");
            let number = |key| line.value(key).map(|value| value.parse().expect("a number"));
            write_failure(
                &mut out,
                &Failure {
                    reason: &reason,
                    interval_secs: number("interval"),
                    interval_min_secs: number("interval_min"),
                    retry_in: line.value("retry").map(|retry| match retry {
                        "never" => RetryIn::Never,
                        minutes => RetryIn::Minutes(minutes.parse().expect("minutes")),
                    }),
                },
            );
        }
        Some("scrape") => {
            let mut entries: Vec<_> = line
                .rest
                .split(' ')
                .filter(|word| word.starts_with('<'))
                .map(|word| scrape_entry(word, file))
                .collect();
            let flags = line.value("flags").map(|secs| secs.parse().expect("seconds"));
            write_scrape(&mut out, &mut entries, flags);
        }
        _ => panic!("no such answer: {line:?}"),
    }
    out
}

fn scrape_entry(word: &str, file: &VectorFile) -> ScrapeEntry<'static> {
    let (name, counts) = word.split_once('=').expect("counts of a torrent");
    let counts: Vec<u32> = counts.split('/').map(|count| count.parse().expect("a count")).collect();
    ScrapeEntry {
        info_hash: InfoHash::from_slice(&file.bytes(name)).expect("twenty bytes"),
        seeders: counts[0],
        completions: counts[1],
        leechers: counts[2],
        downloaders: counts.get(3).copied(),
        name: None,
    }
}

fn write_announce_line(out: &mut Vec<u8>, line: &Line, file: &VectorFile) {
    let number = |key| line.value(key).expect("a count").parse().expect("a number");
    let packed = |key| file.bytes(line.value(key).unwrap_or_default());
    let ids = |key| {
        let bytes = packed(key);
        bytes.chunks(20).map(|id| PeerId::from_slice(id).expect("an id")).collect::<Vec<_>>()
    };
    let (ipv4, ipv6) = (packed("peers"), packed("peers6"));
    let (ipv4_ids, ipv6_ids) = (ids("ids"), ids("ids6"));
    let reply = AnnounceReply {
        seeders: number("complete"),
        completions: number("downloaded"),
        leechers: number("incomplete"),
        interval_secs: number("interval"),
        interval_min_secs: number("interval_min"),
        external_ip: line.value("external_ip").map(|name| file.address(name).ip()),
        warning: None,
        compact: line.value("compact") != Some("0"),
        requester_ipv6: line.value("from6") == Some("1"),
        peers: PeerList { ipv4: &ipv4, ipv6: &ipv6, ipv4_ids: &ipv4_ids, ipv6_ids: &ipv6_ids },
    };
    write_announce(out, &reply);
}

fn replay_vector(file: &VectorFile, vector: &Vector) {
    let (mut request, mut body, mut response) = (vec![], None, None);
    for line in &vector.lines {
        let at = format!("{} in line {}", vector.id, line.number);
        match line.word.as_str() {
            "get" => {
                request = b"GET ".to_vec();
                request.extend(file.text(&line.rest));
                request.extend(b" HTTP/1.1\r\nHost: t.example\r\n\r\n");
            }
            "request" => request = file.text(&line.rest),
            "means" => {
                let head = head_of(&request);
                assert_eq!(head.len, request.len(), "{at}");
                meaning_of(&head).check(&vector.id, line, file);
            }
            "body" => {
                let bytes = file.text(&line.rest);
                bencode::read(&bytes).unwrap_or_else(|error| panic!("{at}: {error}"));
                let other = bt_bencode::from_slice::<bt_bencode::Value>(&bytes);
                assert!(other.is_ok(), "{at}");
                body = Some(bytes);
            }
            "response" => response = Some(file.text(&line.rest)),
            "says" => {
                let encoded = body_of(line, file);
                if let Some(expected) = body.take() {
                    assert_eq!(
                        encoded.escape_ascii().to_string(),
                        expected.escape_ascii().to_string(),
                        "{at}"
                    );
                }
                if let Some(expected) = response.take() {
                    let head = ResponseHead::text(Status::Ok, &head_of(&request));
                    let mut out = vec![];
                    respond(&mut out, &head, encoded.len(), |out| out.extend(&encoded));
                    assert_eq!(
                        out.escape_ascii().to_string(),
                        expected.escape_ascii().to_string(),
                        "{at}"
                    );
                }
            }
            "set" | "swarm" | "peer" | "from" | "status" => {}
            word => panic!("a word that means nothing: {word}"),
        }
    }
}

fn replay(name: &str, text: &str, replay_one: impl Fn(&VectorFile, &Vector)) {
    let file = VectorFile::read(text);
    let mut count = 0;
    for vector in file.vectors() {
        replay_one(&file, vector);
        count += 1;
    }
    eprintln!("vectors: {count} in http/{name}");
    assert!(count > 0);
}

#[test]
fn golden_sessions_decode_and_encode() {
    replay("session.txt", HTTP_SESSION, replay_vector);
}

#[test]
fn golden_refusals_decode_and_encode() {
    replay("errors.txt", HTTP_ERRORS, replay_vector);
}

#[test]
fn golden_values_decode() {
    replay("query.txt", HTTP_QUERY, |file, vector| {
        if let Some(query) = vector.line("query") {
            let query = file.text(&query.rest);
            let stated: BTreeMap<_, _> = vector
                .line("pairs")
                .expect("a query has pairs")
                .rest
                .split_whitespace()
                .map(|word| word.split_once('=').expect("name=value"))
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect();
            assert_eq!(pairs(&query).collect::<BTreeMap<_, _>>(), stated, "{}", vector.id);
            return;
        }
        let value = file.text(&vector.line("value").expect("a value").rest);
        for (plus_literal, word) in [(false, "hash"), (true, "hash_plus_literal")] {
            let line = vector.line(word).or_else(|| vector.line("hash")).expect("a result");
            let expected = match line.rest.as_str() {
                "invalid" => Err(DecodeError::InvalidInfoHash),
                bytes => Ok(InfoHash::from_slice(&file.bytes(bytes)).expect("twenty bytes")),
            };
            let options = QueryOptions { plus_literal, ..QueryOptions::default() };
            let query =
                [b"info_hash=", &value[..], b"&peer_id=-TR4100-abcdefghijkl&port=1"].concat();
            let announced = parse_announce(&query, options).map(|read| read.announce.info_hash);
            assert_eq!(announced, expected, "{}", vector.id);
            let mut scraped = vec![];
            let scrape = parse_scrape(&query, options, 1, &mut scraped);
            assert_eq!(scrape.map(|()| scraped[0]), expected, "{}", vector.id);
        }
    });
}

#[test]
fn golden_proxy_headers_name_the_client() {
    let trusted = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
    let from = core::cell::RefCell::new(None);
    replay("forwarded.txt", HTTP_FORWARDED, |file, vector| {
        if let Some(line) = vector.line("from") {
            *from.borrow_mut() = Some(file.address(&line.rest));
        }
        let source: SocketAddr = from.borrow().expect("the first vector says from where");
        let headers: Vec<_> = vector
            .lines
            .iter()
            .filter(|line| line.word == "header")
            .map(|line| &line.rest)
            .collect();
        let values = headers.iter().map(|value| value.as_bytes());
        let found =
            if trusted(source.ip()) { client_address(values, trusted) } else { Some(source.ip()) };
        let stated = vector.line("client").expect("a client").rest.parse().ok();
        assert_eq!(found, stated, "{}", vector.id);
    });
}
