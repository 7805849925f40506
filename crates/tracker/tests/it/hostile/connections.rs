//! Connections that are many, slow, silent or never read.
//!
//! What a head may look like is tested beside this.

use std::net::Ipv4Addr;

use skep_engine::testing::wire;

use crate::support::{HttpClient, Tracker, announce, failure, torrent, wait_until};

const CROWD: usize = 200;

fn head() -> Vec<u8> {
    let target = wire::http_announce(&announce(torrent(2), 6882, 1));
    format!("GET {target} HTTP/1.1\r\nHost: t.example\r\n\r\n").into_bytes()
}

/// An honest client with a new connection and one with a kept connection both get an answer.
fn announce_honestly(tracker: &Tracker, kept: &mut HttpClient) {
    let request = announce(torrent(1), 6881, 1);
    let seen = kept.announce(&request).unwrap().seen;
    assert_eq!((seen.seeders, seen.incomplete), (0, 1));
    let seen = HttpClient::connect(tracker.http()).announce(&request).unwrap().seen;
    assert_eq!((seen.seeders, seen.incomplete), (0, 1));
}

#[test]
fn half_open_heads_do_not_delay_an_honest_announce() {
    let tracker = Tracker::start(&["--http.head_timeout_secs=60"]);
    let head = head();
    let cut = |number: usize| 1 + number * (head.len() - 2) / CROWD;
    let mut kept = HttpClient::connect(tracker.http());
    let mut crowd: Vec<_> = (0..CROWD)
        .map(|number| {
            let mut client = HttpClient::connect(tracker.http());
            client.send(&head[..cut(number)]);
            client
        })
        .collect();
    for _ in 0..20 {
        announce_honestly(&tracker, &mut kept);
    }
    let open = || tracker.metric("skep_http_connections") as usize;
    wait_until("all are open", || open() > CROWD);
    announce_honestly(&tracker, &mut kept);
    assert!(crowd.iter().all(HttpClient::is_quiet), "all of them still held a head half open");
    // They were no dead weight: each is answered when its head is whole.
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send(&head[cut(number)..]);
        wire::read_http_announce(client.response().ok()).unwrap();
    }
}

#[test]
fn bytes_that_trickle_in_do_not_delay_an_honest_announce() {
    let tracker = Tracker::start(&["--http.head_timeout_secs=60"]);
    let head = head();
    let mut kept = HttpClient::connect(tracker.http());
    let mut crowd: Vec<_> = (0..CROWD).map(|_| HttpClient::connect(tracker.http())).collect();
    let (last, slow) = head.split_last().unwrap();
    for (number, byte) in slow.iter().enumerate() {
        crowd.iter_mut().for_each(|client| client.send(&[*byte]));
        if number % 8 == 0 {
            announce_honestly(&tracker, &mut kept);
        }
    }
    announce_honestly(&tracker, &mut kept);
    assert!(crowd.iter().all(HttpClient::is_quiet), "no head was whole yet");
    for client in &mut crowd {
        client.send(&[*last]);
        wire::read_http_announce(client.response().ok()).unwrap();
    }
}

#[test]
fn client_that_never_reads_is_cut_off_and_delays_nobody() {
    let tracker =
        Tracker::start(&["--http.write_timeout_secs=1", "--swarm.ports_per_address_max=0"]);
    let mut kept = HttpClient::connect(tracker.http());
    for port in 10_000..10_200 {
        kept.announce(&announce(torrent(2), port, 1)).unwrap();
    }
    let timed_out =
        "skep_traffic_drops_total{transport=\"http\",family=\"ipv4\",reason=\"timed_out\"}";
    let before = tracker.metric(timed_out);
    let mut greedy = HttpClient::connect(tracker.http());
    let target = wire::http_announce(&announce(torrent(2), 6882, 1));
    let request = format!("GET {target}&compact=0&numwant=200 HTTP/1.1\r\n\r\n");
    // Answers to this are far longer than what the system keeps for a reader.
    let mut asked_bytes = 0;
    wait_until("the tracker stops reading", || {
        asked_bytes += greedy.stuff(request.repeat(100).as_bytes());
        announce_honestly(&tracker, &mut kept);
        tracker.metric(timed_out) > before
    });
    announce_honestly(&tracker, &mut kept);
    let answers = asked_bytes / request.len();
    let read = greedy.rest();
    let got = read.windows(12).filter(|window| window == b"HTTP/1.1 200").count();
    assert!(0 < got && got < answers, "{got} answers to {answers} requests");
}

#[test]
fn head_that_takes_too_long_ends_its_connection() {
    let tracker = Tracker::start(&["--http.head_timeout_secs=1"]);
    let mut slow = HttpClient::connect(tracker.http());
    slow.send(b"GET /announce?info_hash=");
    let answer = slow.response();
    assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")));
    slow.finish();
    assert_eq!(slow.rest(), b"");
    let timed_out =
        "skep_traffic_drops_total{transport=\"http\",family=\"ipv4\",reason=\"timed_out\"}";
    assert_eq!(tracker.metric(timed_out), 1);
}

#[test]
fn silent_connections_are_closed() {
    let tracker = Tracker::start(&["--http.idle_timeout_secs=1"]);
    let mut silent = HttpClient::connect(tracker.http());
    assert_eq!(silent.rest(), b"", "one that never asked for anything");
    let mut kept = HttpClient::connect(tracker.http());
    assert_eq!(kept.get("/health").status, 200);
    assert_eq!(kept.rest(), b"", "one that asks for nothing more");
}

#[test]
fn connections_beyond_the_limit_are_turned_away_and_the_others_served() {
    let tracker = Tracker::start(&["--http.connections_max=20"]);
    let request = announce(torrent(1), 6881, 1);
    let mut served: Vec<_> = (0..20)
        .map(|_| {
            let mut client = tracker.http_client(Ipv4Addr::LOCALHOST);
            client.announce(&request).unwrap();
            client
        })
        .collect();
    for _ in 0..10 {
        let mut refused = HttpClient::connect(tracker.http());
        // It may have been turned away before it has sent anything.
        let _ = refused.send_if_open(b"GET /health HTTP/1.1\r\n\r\n");
        let answer = refused.response();
        assert_eq!((answer.status, failure(&answer.body).as_str()), (503, "tracker overloaded"));
        assert_eq!(answer.header("Connection"), Some("close"));
        assert_eq!(refused.rest(), b"");
    }
    for client in &mut served {
        client.announce(&request).unwrap();
    }
    let refused = "{transport=\"http\",family=\"ipv4\",reason=\"too_many_connections\"}";
    assert_eq!(tracker.metric(&format!("skep_traffic_drops_total{refused}")), 10);
    assert_eq!(tracker.metric("skep_http_connections"), 20);
    drop(served.pop());
    wait_until("a place is free", || tracker.metric("skep_http_connections") < 20);
    HttpClient::connect(tracker.http()).announce(&request).unwrap();
}
