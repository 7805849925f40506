//! Connections with a PROXY header in front.
//!
//! The tracker tells clients their address (BEP 24), which shows whom it took them for.

use std::net::{IpAddr, SocketAddr};

use skep_engine::testing::wire;
use skep_proto::bencode;

use super::{FROM_PROXY, PROXY, STRANGER, header, version_2};
use crate::support::{HttpClient, Tracker, announce, failure, torrent, wait_until};

const TELLS: &str = "--announce.external_ip=true";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.5 127.0.0.1 40001 1337\r\n";

/// An announce, after which the connection stays open.
fn request() -> Vec<u8> {
    request_with("")
}

fn request_with(headers: &str) -> Vec<u8> {
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    format!("GET {target} HTTP/1.1\r\nHost: t.example\r\n{headers}\r\n").into_bytes()
}

/// Whom the tracker took the sender of an announce for.
fn told(client: &mut HttpClient) -> IpAddr {
    let answer = client.response();
    let value = bencode::read(answer.ok()).unwrap();
    let packed = value.get(b"external ip").and_then(bencode::Value::as_bytes);
    let packed = packed.unwrap_or_else(|| panic!("{}", failure(&answer.body)));
    match <[u8; 4]>::try_from(packed) {
        Ok(octets) => octets.into(),
        Err(_) => <[u8; 16]>::try_from(packed).unwrap().into(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn dropped(tracker: &Tracker, reason: &str) -> u64 {
    let labels = format!("transport=\"http\",family=\"ipv4\",reason=\"{reason}\"");
    tracker.metric(&format!("skep_traffic_drops_total{{{labels}}}"))
}

#[test]
fn header_of_either_version_names_the_client_for_the_whole_connection() {
    let tracker = Tracker::start(&[FROM_PROXY, TELLS]);
    let line_ipv6 = b"PROXY TCP6 2001:db8::5 ::1 40001 1337\r\n".to_vec();
    for (header, expected) in [
        (LINE.to_vec(), "203.0.113.5"),
        (line_ipv6, "2001:db8::5"),
        (header(Some(address("203.0.113.5:1"))), "203.0.113.5"),
        (header(Some(address("[2001:db8::5]:1"))), "2001:db8::5"),
        (header(Some(address("[::ffff:203.0.113.5]:1"))), "203.0.113.5"),
    ] {
        let mut proxy = tracker.http_client(PROXY);
        proxy.send(&[header, request()].concat());
        assert_eq!(told(&mut proxy), ip(expected));
        proxy.send(&request());
        assert_eq!(told(&mut proxy), ip(expected));
    }
    // One at either address, and not the proxy.
    let seen = tracker.udp_client(STRANGER).scrape(&[torrent(1)]).unwrap();
    assert_eq!(seen[0].incomplete, 2);
}

#[test]
fn header_and_request_may_come_in_pieces_of_any_size() {
    let tracker = Tracker::start(&[FROM_PROXY, TELLS]);
    for header in [LINE.to_vec(), header(Some(address("203.0.113.5:1")))] {
        for cut in 1..header.len() {
            let mut proxy = tracker.http_client(PROXY);
            proxy.send(&header[..cut]);
            proxy.send(&header[cut..]);
            proxy.send(&request());
            assert_eq!(told(&mut proxy), ip("203.0.113.5"), "cut at {cut}");
        }
        let mut proxy = tracker.http_client(PROXY);
        for byte in [&header[..], &request()].concat() {
            proxy.send(&[byte]);
        }
        assert_eq!(told(&mut proxy), ip("203.0.113.5"));
    }
}

#[test]
fn extensions_longer_than_one_piece_are_skipped() {
    let tracker = Tracker::start(&[FROM_PROXY, TELLS]);
    let endpoints = [203, 0, 113, 5, 127, 0, 0, 1, 0, 1, 0, 80];
    let extended = version_2(0x21, 0x11, &[&endpoints[..], &[4; 4000]].concat());
    let mut proxy = tracker.http_client(PROXY);
    proxy.send(&extended[..1000]);
    proxy.send(&[&extended[1000..], &request()].concat());
    assert_eq!(told(&mut proxy), ip("203.0.113.5"));
    let too_long = version_2(0x21, 0x11, &[&endpoints[..], &[4; 5000]].concat());
    let mut proxy = tracker.http_client(PROXY);
    let _ = proxy.send_if_open(&too_long);
    assert_eq!(proxy.rest(), b"");
    wait_until("it is counted", || dropped(&tracker, "bad_proxy_header") == 1);
}

#[test]
fn proxy_without_a_header_is_cut_off_and_counted() {
    let tracker = Tracker::start(&[FROM_PROXY, "--http.head_timeout_secs=1"]);
    let mut proxy = tracker.http_client(PROXY);
    proxy.send(&request());
    assert_eq!(proxy.rest(), b"");
    wait_until("it is counted", || dropped(&tracker, "bad_proxy_header") == 1);
    for silent_after in [&b""[..], &LINE[..20]] {
        let mut proxy = tracker.http_client(PROXY);
        proxy.send(silent_after);
        assert_eq!(proxy.rest(), b"");
    }
    wait_until("they are counted", || dropped(&tracker, "timed_out") == 2);
    wait_until("none is open", || tracker.metric("skep_http_connections") == 0);
}

#[test]
fn header_of_a_stranger_is_a_broken_request() {
    let tracker = Tracker::start(&[FROM_PROXY, TELLS]);
    let mut stranger = tracker.http_client(STRANGER);
    stranger.send(&[LINE, &request()].concat());
    assert_eq!(stranger.response().status, 400);
    let mut stranger = tracker.http_client(STRANGER);
    stranger.send(&request());
    assert_eq!(told(&mut stranger), IpAddr::from(STRANGER));
}

#[test]
fn proxy_that_names_nobody_may_see_pages_and_not_announce() {
    let tracker = Tracker::start(&[FROM_PROXY]);
    for header in [header(None), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut proxy = tracker.http_client(PROXY);
        proxy.send(&header);
        assert_eq!(proxy.get("/health").text(), "ok");
        proxy.send(&request());
        assert_eq!(failure(proxy.response().ok()), "proxy did not supply client address");
        // Its word counts only if it is also one of those who may name clients in a header.
        proxy.send(&request_with("X-Forwarded-For: 203.0.113.5\r\n"));
        assert_eq!(failure(proxy.response().ok()), "proxy did not supply client address");
    }
    let tracker = Tracker::start(&[FROM_PROXY, TELLS, "--proxy.trusted=127.10.0.0/16"]);
    let mut proxy = tracker.http_client(PROXY);
    proxy.send(&[header(None), request_with("X-Forwarded-For: 203.0.113.5\r\n")].concat());
    assert_eq!(told(&mut proxy), ip("203.0.113.5"));
}

#[test]
fn proxy_before_the_proxy_is_asked_for_the_client() {
    let tracker = Tracker::start(&[FROM_PROXY, TELLS, "--proxy.trusted=203.0.113.0/24"]);
    let mut proxy = tracker.http_client(PROXY);
    proxy.send(&[LINE, &request_with("X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n")].concat());
    assert_eq!(told(&mut proxy), ip("198.51.100.7"));
    proxy.send(&request());
    assert_eq!(failure(proxy.response().ok()), "proxy did not supply client address");
}

#[test]
fn places_and_rules_are_those_of_the_client() {
    let tracker = Tracker::start(&[
        FROM_PROXY,
        TELLS,
        "--http.connections_per_address_max=2",
        "--access.addresses_deny=198.51.100.0/24",
    ]);
    let connect = |client: &str| {
        let mut proxy = tracker.http_client(PROXY);
        proxy.send(&[header(Some(address(client))), request()].concat());
        proxy
    };
    let mut held: Vec<_> = (0..2).map(|_| connect("203.0.113.5:1")).collect();
    held.iter_mut().for_each(|client| assert_eq!(told(client), ip("203.0.113.5")));
    assert_eq!(connect("203.0.113.5:1").response().status, 503);
    assert_eq!(dropped(&tracker, "too_many_connections_of_address"), 1);
    assert_eq!(told(&mut connect("203.0.113.6:1")), ip("203.0.113.6"));
    let refused = connect("198.51.100.1:1").response();
    assert!(failure(refused.ok()).contains("address"));
    // The proxy itself has no such bound, nor while it has not said for whom it connects.
    let mut waiting: Vec<_> = (0..5).map(|_| tracker.http_client(PROXY)).collect();
    for proxy in &mut waiting {
        proxy.send(&header(None));
        assert_eq!(proxy.get("/health").status, 200);
    }
}
