//! Heads that are too long, too many at once, or none at all.
//!
//! Which heads are understood is tested where they are parsed; here is what becomes of connections.

use skep_engine::testing::wire;
use skep_proto::InfoHash;

use crate::support::{HttpClient, Tracker, announce, torrent};

const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A request whose head is exactly so long.
fn padded(start: &str, end: &str, len: usize) -> Vec<u8> {
    let padding = "a".repeat(len - start.len() - end.len());
    format!("{start}{padding}{end}").into_bytes()
}

#[test]
fn head_of_exactly_the_limit_is_read() {
    let tracker = Tracker::start(&[]);
    for (start, end) in [
        ("GET /health HTTP/1.1\r\nHost: a\r\nX-Padding: ", "\r\n\r\n"),
        ("GET /health?", " HTTP/1.1\r\n\r\n"),
    ] {
        let mut client = HttpClient::connect(tracker.http());
        client.send(&padded(start, end, HEAD_BYTES_MAX));
        assert_eq!(client.response().status, 200);
        // And the connection is good for another one.
        assert_eq!(client.get("/health").status, 200);
    }
}

#[test]
fn head_beyond_the_limit_is_refused_in_words_that_clients_know() {
    let tracker = Tracker::start(&[]);
    for (start, end, expected) in [
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nX-Padding: ",
            "\r\n\r\n",
            "HTTP/1.1 431 Request Header Fields Too Large\r\n",
        ),
        ("GET /health?", " HTTP/1.1\r\n\r\n", "HTTP/1.1 414 Request-URI Too Long\r\n"),
    ] {
        // One byte more in what is too long, the line or all, or so many more that they are on
        // their way when the answer comes.
        let line_ends = if expected.contains("414") { 4 } else { 0 };
        for len in [HEAD_BYTES_MAX + 1 + line_ends, 4 * HEAD_BYTES_MAX] {
            let mut client = HttpClient::connect(tracker.http());
            client.send(&padded(start, end, len));
            client.finish();
            let answer = String::from_utf8(client.rest()).unwrap();
            assert!(answer.starts_with(expected), "{len} bytes: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        }
    }
}

#[test]
fn garbage_behind_requests_ends_the_connection_after_their_answers() {
    let tracker = Tracker::start(&[]);
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let garbage: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00",
        b"{\"jsonrpc\":\"2.0\"}\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"\x13BitTorrent protocol\x00\x00\x00\x00\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
    ];
    for garbage in garbage {
        let mut client = HttpClient::connect(tracker.http());
        client.send(&[request.as_bytes(), request.as_bytes(), garbage].concat());
        for _ in 0..2 {
            let seen = wire::read_http_announce(client.response().ok()).unwrap().seen;
            assert_eq!((seen.seeders, seen.incomplete), (0, 1));
        }
        assert_eq!(client.response().status, 400, "{garbage:02x?}");
        client.finish();
        assert_eq!(client.rest(), b"", "{garbage:02x?}");
    }
}

#[test]
fn body_is_never_read_as_a_request() {
    let tracker = Tracker::start(&[]);
    let mut client = HttpClient::connect(tracker.http());
    let smuggled = "GET /stats.json HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length";
    client.send(format!("{head}: {}\r\n\r\n{smuggled}", smuggled.len()).as_bytes());
    client.finish();
    let told = String::from_utf8(client.rest()).unwrap();
    assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
    assert!(told.contains("\r\nConnection: close\r\n"), "{told}");
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let tracker = Tracker::start(&["--swarm.ports_per_address_max=0"]);
    let mut client = HttpClient::connect(tracker.http());
    let requests: Vec<_> = (1..=300u32)
        .map(|number| {
            let request = announce(torrent(1), 10_000 + number as u16, 1);
            format!("GET {} HTTP/1.1\r\n\r\n", wire::http_announce(&request))
        })
        .collect();
    client.send(requests.concat().as_bytes());
    for number in 1..=300 {
        let seen = wire::read_http_announce(client.response().ok()).unwrap().seen;
        assert_eq!(seen.incomplete, number, "each sees one peer more than the one before");
    }
}

#[test]
fn scrape_of_sixty_torrents_is_answered() {
    let tracker = Tracker::start(&[]);
    let mut client = HttpClient::connect(tracker.http());
    let info_hashes: Vec<_> = (100..160).map(torrent).collect();
    for info_hash in &info_hashes {
        client.announce(&announce(*info_hash, 6881, 1)).unwrap();
    }
    let target = wire::http_scrape(&info_hashes);
    assert!(target.len() > 4200, "{} bytes", target.len());
    let seen = client.scrape(&info_hashes).unwrap();
    assert!(seen.iter().all(|seen| (seen.seeders, seen.incomplete) == (0, 1)), "{seen:?}");
}

#[test]
fn udp_scrape_of_seventy_four_torrents_is_answered() {
    let tracker = Tracker::start(&[]);
    let mut client = tracker.udp_client(std::net::Ipv4Addr::LOCALHOST);
    let info_hashes: Vec<InfoHash> = (100..174).map(torrent).collect();
    client.announce(&announce(info_hashes[73], 6881, 0)).unwrap();
    let seen = client.scrape(&info_hashes).unwrap();
    assert_eq!(seen.len(), 74);
    let seeders: Vec<_> = seen.iter().map(|seen| seen.seeders).collect();
    assert_eq!(seeders, [[0; 73].as_slice(), &[1]].concat());
}
