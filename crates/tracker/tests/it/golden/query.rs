//! Values and pairs of queries, as far as they can be told apart from outside.
//!
//! Which bytes a value stands for shows in a scrape; which pairs a query has shows in what is
//! missing, wrong or accepted.

use skep_engine::testing::wire;
use skep_proto::vectors::{HTTP_QUERY, Session, Vector, VectorFile};
use skep_proto::{InfoHash, PeerId};

use super::replay;
use crate::support::{HttpClient, Tracker, announce, failure, torrent};

#[test]
fn golden_queries_come_over_sockets() {
    replay("http/query.txt", HTTP_QUERY, |file, session| {
        if session.name == "D" { values(file, session) } else { queries(file, session) }
    });
}

const PEER_ID: &str = "-TR4100-abcdefghijkl";

fn request(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: t.example\r\n\r\n"].concat()
}

fn values(file: &VectorFile, session: &Session) -> usize {
    for (setting, word) in [("false", "hash"), ("true", "hash_plus_literal")] {
        let setting = format!("--http.plus_literal={setting}");
        for vector in &session.vectors {
            // Fresh, so that the torrent can have only one peer.
            let tracker = Tracker::start(&[&setting, "--listen.udp=off"]);
            let line = vector.line(word).or_else(|| vector.line("hash")).expect("a result");
            value(file, vector, &line.rest, &mut HttpClient::connect(tracker.http()));
        }
    }
    session.vectors.len()
}

fn value(file: &VectorFile, vector: &Vector, stated: &str, client: &mut HttpClient) {
    let value = file.text(&vector.line("value").expect("a value").rest);
    let rest = format!("&peer_id={PEER_ID}&port=6881&left=1");
    client.send(&request(&[b"/announce?info_hash=", &value[..], rest.as_bytes()].concat()));
    let announced = client.response();
    client.send(&request(&[b"/scrape?info_hash=", &value[..]].concat()));
    let scraped = client.response();
    if stated == "invalid" {
        for answer in [&announced, &scraped] {
            assert_eq!(failure(answer.ok()), "invalid info_hash", "{}", vector.id);
        }
        return;
    }
    let info_hash = InfoHash::from_slice(&file.bytes(stated)).unwrap();
    wire::read_http_announce(announced.ok()).unwrap();
    let by_value = wire::read_http_scrape(scraped.ok(), &[info_hash]).unwrap();
    // The tools of the test escape every byte.
    let escaped = client.scrape(&[info_hash]).unwrap();
    for seen in [&by_value[0], &escaped[0]] {
        assert_eq!((seen.seeders, seen.incomplete), (0, 1), "{}", vector.id);
    }
}

fn queries(file: &VectorFile, session: &Session) -> usize {
    for vector in &session.vectors {
        let tracker = Tracker::start(&["--listen.udp=off"]);
        query(file, vector, &tracker);
    }
    session.vectors.len()
}

/// Sends a query alone and behind the pairs that an announce needs, and derives from the stated
/// pairs what the tracker must say of it.
fn query(file: &VectorFile, vector: &Vector, tracker: &Tracker) {
    let query = file.text(&vector.line("query").expect("a query").rest);
    let stated = &vector.line("pairs").expect("its pairs").rest;
    let pairs: Vec<_> = stated.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    let value_of = |name| pairs.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
    let port: Option<u16> = value_of("port").and_then(|port| port.parse().ok());

    let mut client = HttpClient::connect(tracker.http());
    client.send(&request(&[b"/announce?", &query[..]].concat()));
    let alone = match value_of("info_hash") {
        Some(_) => "invalid info_hash",
        None => "missing info_hash",
    };
    assert_eq!(failure(client.response().ok()), alone, "{}", vector.id);

    let start = format!("/announce?info_hash={}&peer_id={PEER_ID}&left=1&", "a".repeat(20));
    client.send(&request(&[start.as_bytes(), &query[..]].concat()));
    let answer = client.response();
    let text = match (value_of("info_hash"), port) {
        (Some(_), _) => "multiple info_hash",
        (None, None) => "invalid port",
        (None, Some(port)) => {
            wire::read_http_announce(answer.ok()).unwrap();
            return assert_port(vector, client, port);
        }
    };
    assert_eq!(failure(answer.ok()), text, "{}", vector.id);
}

/// Another client is told where the first one listens.
fn assert_port(vector: &Vector, mut client: HttpClient, port: u16) {
    let mut other = announce(torrent(b'a'), 6882, 1);
    other.peer_id = PeerId(*b"-qB5010-ABCDEFGHIJKL");
    let peers = client.announce(&other).unwrap().peers;
    let ports: Vec<_> = peers.iter().map(std::net::SocketAddr::port).collect();
    assert_eq!(ports, [port], "{}", vector.id);
}
