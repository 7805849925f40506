//! What strangers send over WebSocket: handshakes, frames and messages.
//!
//! Checks that nothing panics, that frames mean the same however they are cut, that what was
//! understood reads the same when it is said again, and that another JSON parser agrees. The first
//! byte chooses what the rest is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use skep_proto::http::{HeadStatus, parse_head};
use skep_proto::websocket::{
    self, Action, Announce, Answer, Event, Limits, ReadError, Reader, Request, Scrape, Step,
    handshake,
};
use skep_proto::{AnnounceEvent, NumWant};

const MESSAGE_BYTES_MAX: usize = 4096;
const LIMITS: Limits = Limits { offers_max: 5, scrape_info_hashes_max: 5 };
const MASK: [u8; 4] = [1, 2, 4, 8];

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    match choice % 4 {
        0 | 1 => {
            if let Ok(text) = str::from_utf8(rest) {
                message(text);
            }
        }
        2 => frames(rest, usize::from(choice / 4) + 1),
        _ => head(rest),
    }
});

fn head(bytes: &[u8]) {
    let HeadStatus::Complete(head) = parse_head(bytes, 4096) else {
        return;
    };
    let mut out = Vec::new();
    match handshake::parse(&head) {
        Some(Ok(accept)) => handshake::write_response(&mut out, &accept),
        Some(Err(error)) => handshake::write_refusal(&mut out, error),
        None => return,
    }
    assert!(out.starts_with(b"HTTP/1.1 ") && out.is_ascii());
}

fn frames(bytes: &[u8], piece_bytes: usize) {
    let whole = events(bytes, bytes.len().max(1));
    assert_eq!(events(bytes, piece_bytes), whole, "in pieces of {piece_bytes}");
    for text in whole.0.iter().filter_map(|event| event.strip_prefix("message ")) {
        message(text);
        let mut sent = Vec::new();
        websocket::write_text(&mut sent, text.as_bytes());
        let (read, error) = events(&masked(&sent, text.len()), 1000);
        assert_eq!((read, error), (vec![format!("message {text}")], None));
    }
}

/// What the bytes bring when they arrive in pieces.
fn events(bytes: &[u8], piece_bytes: usize) -> (Vec<String>, Option<ReadError>) {
    let (mut reader, mut buffer, mut seen) = (Reader::default(), Vec::new(), Vec::new());
    for piece in bytes.chunks(piece_bytes) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer, MESSAGE_BYTES_MAX) {
                Ok(Step::Frame { consumed, event }) => {
                    seen.push(match event {
                        Event::Message(text) => {
                            assert!(text.len() <= MESSAGE_BYTES_MAX);
                            format!("message {text}")
                        }
                        other => format!("{other:?}"),
                    });
                    buffer.drain(..consumed);
                }
                Ok(Step::Partial { wanted_bytes }) => {
                    assert!(wanted_bytes > buffer.len());
                    break;
                }
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

/// A frame of a server, as a client sends it.
fn masked(frame: &[u8], payload_bytes: usize) -> Vec<u8> {
    let (header, payload) = frame.split_at(frame.len() - payload_bytes);
    let mut masked = [header, &MASK].concat();
    masked[1] |= 0x80;
    masked.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    masked
}

fn message(text: &str) {
    let request = match websocket::parse(text, &LIMITS) {
        Ok(request) => request,
        Err(error) => {
            if let Some(action) = error.sendable() {
                let mut out = Vec::new();
                let info_hash = error.info_hash.as_ref();
                websocket::write_failure(&mut out, action, info_hash, error.kind.text());
                let written = read(&out);
                assert_eq!(written["failure reason"], error.kind.text());
                assert_eq!(written["action"], action.text());
            }
            return;
        }
    };
    // The other parser wants to know the values of numbers.
    if let Err(error) = serde_json::from_str::<Value>(text) {
        assert!(error.to_string().starts_with("number out of range"), "{error}: {text}");
    }
    let said = match &request {
        Request::Announce(announce) => say_announce(announce),
        Request::Answer(answer) => say_answer(answer),
        Request::Scrape(scrape) => say_scrape(scrape),
    };
    let again = websocket::parse(&said, &LIMITS).expect("what was just said");
    let said_again = match &again {
        Request::Announce(announce) => say_announce(announce),
        Request::Answer(answer) => say_answer(answer),
        Request::Scrape(scrape) => say_scrape(scrape),
    };
    assert_eq!(said_again, said);
}

fn read(out: &[u8]) -> Value {
    serde_json::from_slice(out).unwrap_or_else(|error| panic!("{error}: {}", out.escape_ascii()))
}

/// A binary string with its quotes.
fn binary(id: &[u8; 20]) -> String {
    let points: String = id.iter().map(|byte| format!("\\u00{byte:02x}")).collect();
    format!("\"{points}\"")
}

fn value(id: &[u8; 20]) -> Value {
    id.iter().map(|&byte| char::from(byte)).collect::<String>().into()
}

fn say_announce(announce: &Announce<'_>) -> String {
    let request = &announce.request;
    assert_eq!(request.port, 0);
    let mut offers = Vec::new();
    for offer in announce.offers.as_slice() {
        let mut out = Vec::new();
        let (info_hash, peer_id) = (&request.info_hash, &request.peer_id);
        websocket::write_offer(&mut out, info_hash, peer_id, &offer.offer_id, offer.sdp);
        let written = read(&out);
        assert_eq!(written["offer_id"], value(&offer.offer_id.0));
        assert_eq!(written["peer_id"], value(&peer_id.0));
        let (sdp, id) = (offer.sdp, binary(&offer.offer_id.0));
        let offer = format!(r#"{{"offer":{{"type":"offer","sdp":"{sdp}"}},"offer_id":{id}}}"#);
        offers.push(offer);
    }
    assert!(offers.len() <= LIMITS.offers_max);
    let event = match request.event {
        AnnounceEvent::None => "update",
        AnnounceEvent::Started => "started",
        AnnounceEvent::Completed => "completed",
        AnnounceEvent::Stopped => "stopped",
        AnnounceEvent::Paused => "paused",
    };
    let num_want = match request.num_want {
        NumWant::Default => "null".into(),
        NumWant::Count(count) => count.to_string(),
    };
    format!(
        r#"{{"action":"announce","info_hash":{},"peer_id":{},"uploaded":{},"downloaded":{},
            "left":{},"event":"{event}","numwant":{num_want},"offers":[{}]}}"#,
        binary(&request.info_hash.0),
        binary(&request.peer_id.0),
        request.uploaded_bytes,
        request.downloaded_bytes,
        request.left_bytes.map_or_else(|| "null".into(), |left| left.to_string()),
        offers.join(","),
    )
}

fn say_answer(answer: &Answer<'_>) -> String {
    let mut out = Vec::new();
    let Answer { info_hash, peer_id, to_peer_id, offer_id, sdp } = answer;
    websocket::write_answer(&mut out, info_hash, peer_id, offer_id, sdp);
    let written = read(&out);
    assert_eq!(written["info_hash"], value(&info_hash.0));
    assert_eq!(written["answer"]["type"], "answer");
    format!(
        r#"{{"action":"announce","info_hash":{},"peer_id":{},"to_peer_id":{},"offer_id":{},
            "answer":{{"type":"answer","sdp":"{sdp}"}}}}"#,
        binary(&info_hash.0),
        binary(&peer_id.0),
        binary(&to_peer_id.0),
        binary(&offer_id.0),
    )
}

fn say_scrape(scrape: &Scrape<'_>) -> String {
    let Scrape::Torrents(hashes) = scrape else {
        return format!(r#"{{"action":"{}"}}"#, Action::Scrape.text());
    };
    assert!(hashes.len() <= LIMITS.scrape_info_hashes_max);
    let entries = hashes.clone().map(|info_hash| websocket::ScrapeEntry {
        info_hash,
        seeders: 1,
        leechers: 2,
        completions: 3,
    });
    let mut out = Vec::new();
    websocket::write_scrape(&mut out, entries, None);
    read(&out);
    let hashes: Vec<_> = hashes.clone().map(|hash| binary(&hash.0)).collect();
    format!(r#"{{"action":"scrape","info_hash":[{}]}}"#, hashes.join(","))
}
