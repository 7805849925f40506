//! HTTP over unix sockets, where proxies of this host speak for clients.
//!
//! What a header may look like is tested with the proxies of TCP.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use serde_json::json;
use skep_engine::testing::wire;
use tungstenite::client::IntoClientRequest;

use crate::support::websocket::{self, Browser, peer};
use crate::support::{
    DEADLINE, HttpClient, Process, Tracker, announce, failure, folder, load, torrent, wait_until,
};

/// What comes back on a new connection that is closed by its answer.
fn ask(path: &Path, target: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    let end = told.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let body = told.split_off(end);
    (String::from_utf8(told).unwrap(), body)
}

fn setting(path: &Path) -> String {
    format!("--listen.http_unix={}", path.display())
}

#[test]
fn client_is_who_the_header_names_and_must_be_named() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    let tracker = Tracker::start(&[&setting(&path)]);
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    for headers in ["", "X-Forwarded-For: unknown\r\n"] {
        let (head, body) = ask(&path, &target, headers);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        failure(&body);
    }
    let (_, body) = ask(&path, &target, "X-Forwarded-For: 198.51.100.9, 203.0.113.7\r\n");
    assert_eq!(wire::read_http_announce(&body).unwrap().seen.incomplete, 1);
    // Another client is told the address that the header named last.
    let other = HttpClient::connect(tracker.http()).announce(&announce(torrent(1), 6882, 1));
    let peers = other.unwrap().peers;
    assert!(format!("{peers:?}").contains("203.0.113.7:6881"), "{peers:?}");
    let (_, body) = ask(&path, "/health", "");
    assert_eq!(body, b"ok");
}

#[test]
fn browsers_come_through_a_unix_socket() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    let tracker = Tracker::start(&[&setting(&path)]);
    let browser = |client: &str| {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let url = "ws://tracker.example/";
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        let (socket, _) = tungstenite::client(request, stream).ok()?;
        Some(Browser { socket })
    };
    let me = websocket::announce(&torrent(1), &peer(1), json!({"left": 1}));
    let mut first = browser("203.0.113.7").unwrap();
    assert_eq!(first.ask(&me)["incomplete"], json!(1));
    let told = browser("203.0.113.8").unwrap().ask(&me);
    assert_eq!(told["failure reason"], json!("peer_id already in use"));
    assert!(browser("unknown").is_none(), "it must be known for whom it is");
    assert_eq!(tracker.metric("skep_websocket_connections"), 1);
}

#[test]
fn connections_of_one_socket_are_those_of_many_clients() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    let tracker = Tracker::start(&[&setting(&path), "--http.connections_per_address_max=1"]);
    let held: Vec<_> = (0..5).map(|_| UnixStream::connect(&path).unwrap()).collect();
    wait_until("all are open", || tracker.metric("skep_http_connections") == 5);
    assert_eq!(ask(&path, "/health", "").1, b"ok");
    drop(held);
    wait_until("all are closed", || tracker.metric("skep_http_connections") == 0);
}

#[test]
fn long_answer_arrives_whole_and_requests_in_parts_are_read() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    let settings = [&setting(&path), "--scrape.full=true", "--swarm.new_torrents_per_minute_max=0"];
    let tracker = Tracker::start(&settings);
    let mut client = HttpClient::connect(tracker.http());
    for number in 0..8000_u16 {
        let mut info_hash = torrent(9);
        info_hash.0[..2].copy_from_slice(&number.to_be_bytes());
        client.announce(&announce(info_hash, 6881, 1)).unwrap();
    }
    let expected = client.get("/scrape").body;
    assert!(ask(&path, "/scrape", "").1 == expected, "the same bytes through the socket");
    let mut stream = UnixStream::connect(&path).unwrap();
    for byte in b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(std::io::read_to_string(stream).unwrap().ends_with("\r\n\r\nok"));
}

#[test]
fn socket_is_removed_at_the_end_and_a_stale_one_is_replaced() {
    let folder = folder();
    let path = folder.path().join("http.sock");
    drop(UnixListener::bind(&path).unwrap());
    // Nothing else has to be on.
    let off = ["--listen.udp=off", "--listen.http=off", &setting(&path)];
    let tracker = Process::start(&off);
    let shown = format!("listening on unix   {}\n", path.display());
    assert!(tracker.said.contains(&shown), "{}", tracker.said);
    assert_eq!(ask(&path, "/health", "").1, b"ok");
    let (code, said) = Process::spawn(&[&off[..], &["--listen.admin=off"]].concat()).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another program listens there"), "{said}");
    assert_eq!(ask(&path, "/health", "").1, b"ok");
    tracker.signal("TERM");
    assert_eq!(tracker.end().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn paths_and_modes_that_cannot_be_are_refused() {
    let long = format!("--listen.http_unix=/{}", "a".repeat(120));
    for (flags, expected) in [
        (["--listen.http_unix=/a", "--listen.http_unix_mode=0999"], "octal digits"),
        (["--listen.http_unix=/a", "--listen.http_unix_mode=1777"], "octal digits"),
        (["--listen.http_unix=/a,/b,/a", "--log.level=info"], "must not hold /a twice"),
        ([&long, "--log.level=info"], "must be of 1 to 90 bytes"),
    ] {
        let problems = load(&flags).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains(expected), "{problems:?}");
    }
}
