//! Replays the vector files of WebSocket: messages decode, answers encode.
//!
//! Holds no bytes of its own.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{eprintln, vec};

use super::LIMITS;
use crate::golden::Meaning;
use crate::vectors::{Line, Vector, VectorFile, WEBSOCKET_MESSAGES, WEBSOCKET_SESSION};
use crate::websocket::*;
use crate::{InfoHash, OfferId, PeerId};

fn meaning_of(message: &str) -> Meaning {
    match parse(message, &LIMITS) {
        Ok(Request::Announce(announce)) => {
            let mut meaning = Meaning::announce(&announce.request);
            let offers = announce.offers.as_slice().iter();
            let offers = offers.map(|offer| format!("{}:{}", offer.offer_id, shown(offer.sdp)));
            meaning.fields.insert("offers", offers.collect::<Vec<_>>().join(","));
            meaning
        }
        Ok(Request::Answer(answer)) => {
            let mut meaning = Meaning::plain("answer");
            meaning.fields.insert("info_hash", answer.info_hash.to_string());
            meaning.fields.insert("peer_id", answer.peer_id.to_string());
            meaning.fields.insert("to_peer_id", answer.to_peer_id.to_string());
            meaning.fields.insert("offer_id", answer.offer_id.to_string());
            meaning.fields.insert("sdp", shown(answer.sdp));
            meaning
        }
        Ok(Request::Scrape(Scrape::All)) => Meaning::plain("full scrape"),
        Ok(Request::Scrape(Scrape::Torrents(hashes))) => {
            let words: Vec<_> = hashes.map(|hash| format!(" {hash}")).collect();
            Meaning::plain(format!("scrape{}", words.concat()))
        }
        Err(error) => Meaning::plain(match error.sendable() {
            Some(action) => {
                let info_hash = error.info_hash.map_or_else(|| "none".into(), |id| id.to_string());
                format!("fails {} {info_hash} {error}", action.text())
            }
            None => format!("closes {}", error.close_code()),
        }),
    }
}

fn shown(sdp: &str) -> String {
    sdp.as_bytes().escape_ascii().to_string()
}

/// Encodes the message that a `says` line states.
fn message_of(line: &Line, file: &VectorFile) -> Vec<u8> {
    let id = |key| file.bytes(line.value(key).expect("an id")).try_into().expect("twenty bytes");
    let number = |key| line.value(key).expect("a count").parse().expect("a number");
    let words: Vec<_> = line.rest.split(' ').collect();
    let mut out = vec![];
    match words[0] {
        "announced" => {
            let announced = Announced {
                info_hash: InfoHash(id("info_hash")),
                seeders: number("complete"),
                leechers: number("incomplete"),
                interval_secs: number("interval"),
            };
            write_announced(&mut out, &announced);
        }
        kind @ ("offer" | "answer") => {
            let write = if kind == "offer" { write_offer } else { write_answer };
            let (info_hash, peer_id) = (InfoHash(id("info_hash")), PeerId(id("peer_id")));
            let sdp = line.value("sdp").expect("a description");
            write(&mut out, &info_hash, &peer_id, &OfferId(id("offer_id")), sdp);
        }
        "scrape" => {
            let entries = words[1..].iter().map(|word| scrape_entry(word, file));
            write_scrape(&mut out, entries, None);
        }
        "failure" => {
            let action = [Action::Announce, Action::Scrape];
            let action = action.into_iter().find(|action| action.text() == words[1]);
            let info_hash = (words[2] != "none").then(|| file.bytes(words[2]));
            let info_hash = info_hash.map(|bytes| InfoHash(bytes.try_into().expect("twenty")));
            let action = action.expect("an action");
            write_failure(&mut out, action, info_hash.as_ref(), &words[3..].join(" "));
        }
        _ => panic!("no such message: {line:?}"),
    }
    out
}

fn scrape_entry(word: &str, file: &VectorFile) -> ScrapeEntry {
    let (name, counts) = word.split_once('=').expect("counts of a torrent");
    let counts: Vec<u32> = counts.split('/').map(|count| count.parse().expect("a count")).collect();
    ScrapeEntry {
        info_hash: InfoHash::from_slice(&file.bytes(name)).expect("twenty bytes"),
        seeders: counts[0],
        leechers: counts[1],
        completions: counts[2],
    }
}

fn replay_vector(file: &VectorFile, vector: &Vector) {
    let (mut message, mut expected) = (String::new(), vec![]);
    for line in &vector.lines {
        let at = format!("{} in line {}", vector.id, line.number);
        let (_, text) = line.rest.split_once(' ').unwrap_or_default();
        match line.word.as_str() {
            "message" => message = String::from_utf8(file.text(text)).expect("UTF-8"),
            "means" => meaning_of(&message).check(&vector.id, line, file),
            "gets" => expected = file.text(text),
            "says" => {
                let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text);
                let encoded = message_of(line, file);
                assert_eq!(json(&encoded).expect(&at), json(&expected).expect(&at), "{at}");
            }
            "socket" | "nothing" | "closes" | "cut" => {}
            word => panic!("a word that means nothing: {word}"),
        }
    }
}

fn replay(name: &str, text: &str) {
    let file = VectorFile::read(text);
    let count = file.vectors().map(|vector| replay_vector(&file, vector)).count();
    eprintln!("vectors: {count} in websocket/{name}");
    assert!(count > 0);
}

#[test]
fn golden_sessions_decode_and_encode() {
    replay("session.txt", WEBSOCKET_SESSION);
}

#[test]
fn golden_messages_decode() {
    replay("messages.txt", WEBSOCKET_MESSAGES);
}
