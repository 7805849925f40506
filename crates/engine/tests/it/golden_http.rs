//! The golden HTTP sessions, replayed on sessions and a shard without sockets.

use std::net::SocketAddr;

use skep_engine::testing::offline::OfflineTracker;
use skep_proto::bencode;
use skep_proto::vectors::{self, Line, VectorFile};

use crate::golden_udp::{put_peer, put_swarm, set, tracker};

/// What came back, whichever way it was asked for.
#[derive(Default)]
struct Got {
    status: u16,
    body: Vec<u8>,
    response: Vec<u8>,
}

fn ask(tracker: &mut OfflineTracker, client: SocketAddr, request: &[u8]) -> Got {
    let response = tracker.http(client.ip(), request);
    let text = String::from_utf8_lossy(&response);
    let status = text[9..12].parse().expect("a status line");
    let head = text.find("\r\n\r\n").expect("a blank line") + 4;
    Got { status, body: response[head..].to_vec(), response }
}

fn replay(text: &str) -> usize {
    let file = VectorFile::read(text);
    let mut checked = 0;
    for session in &file.sessions {
        let mut tracker = tracker();
        let mut client = SocketAddr::from(([192, 0, 2, 1], 6881));
        let mut got = Got::default();
        for line in session.vectors.iter().flat_map(|vector| &vector.lines) {
            let at = format!("line {}: {} {}", line.number, line.word, line.rest);
            match line.word.as_str() {
                "set" => set(&mut tracker, line),
                "peer" => put_peer(&mut tracker, &file, line),
                "swarm" => put_swarm(&mut tracker, &file, line, client),
                "from" => client = file.address(&line.rest),
                "get" => {
                    let target = file.text(&line.rest);
                    let request = [b"GET ", target.as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
                    got = ask(&mut tracker, client, &request);
                }
                "request" => got = ask(&mut tracker, client, &file.text(&line.rest)),
                "status" => {
                    checked += 1;
                    assert_eq!(got.status.to_string(), line.rest, "{at}");
                }
                "body" => {
                    checked += 1;
                    compare(&got, &got.body, &file.text(&line.rest), line);
                }
                "response" => {
                    checked += 1;
                    compare(&got, &got.response, &file.text(&line.rest), line);
                }
                "means" | "says" => {}
                other => panic!("line {}: {other} is not replayed here", line.number),
            }
        }
    }
    checked
}

fn compare(got: &Got, found: &[u8], expected: &[u8], line: &Line) {
    let (text, wanted) = (found.escape_ascii(), expected.escape_ascii());
    assert_eq!(found, expected, "\n{text}\n{wanted}\nline {}", line.number);
    assert_eq!(got.status, 200, "line {}", line.number);
    bencode::read(&got.body).unwrap_or_else(|error| panic!("line {}: {error}", line.number));
}

#[test]
fn every_http_session_goes_as_written() {
    let checked = replay(vectors::HTTP_SESSION);
    assert!(checked >= 15, "{checked} answers compared");
}

#[test]
fn every_http_error_reads_as_written() {
    let checked = replay(vectors::HTTP_ERRORS);
    assert!(checked >= 20, "{checked} answers compared");
}
