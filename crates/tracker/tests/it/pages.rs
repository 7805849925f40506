//! Pages for people and monitors, and the metrics that count what was asked.
//!
//! How pages look is tested where they are made.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use skep_engine::testing::wire;
use skep_proto::{AnnounceRequest, PeerId, TransactionId};

use crate::support::{HttpClient, Response, Tracker, announce, torrent, wait_until};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Empty of peers, as monitors of other trackers know it.
const NOTHING: &str = "{\"torrents\":0,\"activeTorrents\":0,\"peersAll\":0,\"peersSeederOnly\":0,\
    \"peersLeecherOnly\":0,\"peersSeederAndLeecher\":0,\"peersIPv4\":0,\"peersIPv6\":0,\"clients\":{}}";

fn by_peer_id(peer_id: &[u8; 20], port: u16, left_bytes: u64) -> AnnounceRequest {
    AnnounceRequest { peer_id: PeerId(*peer_id), ..announce(torrent(1), port, left_bytes) }
}

fn json(response: &Response) -> serde_json::Value {
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    serde_json::from_str(response.text()).unwrap()
}

#[test]
fn statistics_of_an_empty_tracker_have_every_key() {
    let tracker = Tracker::start(&[]);
    assert_eq!(tracker.get("/stats.json").text(), NOTHING);
}

#[test]
fn statistics_count_endpoints_and_clients() {
    let tracker = Tracker::start(&[]);
    let web_torrent = by_peer_id(b"-WW0091-4ea5886ce160", 6881, 1);
    tracker.udp_client(HERE).announce(&web_torrent).unwrap();
    let stats = json(&tracker.get("/stats.json"));
    let expected = serde_json::json!({
        "torrents": 1, "activeTorrents": 1, "peersAll": 1, "peersSeederOnly": 0,
        "peersLeecherOnly": 1, "peersSeederAndLeecher": 0, "peersIPv4": 1, "peersIPv6": 0,
        "clients": { "WebTorrent": { "0.91": 1 } },
    });
    assert_eq!(stats, expected);
    // The same endpoint seeds another torrent; another client has IPv6 and no known name.
    let seeding = AnnounceRequest { info_hash: torrent(2), left_bytes: Some(0), ..web_torrent };
    tracker.udp_client(HERE).announce(&seeding).unwrap();
    let unknown = by_peer_id(b"01234567890123456789", 6882, 0);
    tracker.http_client(Ipv6Addr::LOCALHOST).announce(&unknown).unwrap();
    let expected = serde_json::json!({
        "torrents": 2, "activeTorrents": 2, "peersAll": 2, "peersSeederOnly": 1,
        "peersLeecherOnly": 0, "peersSeederAndLeecher": 1, "peersIPv4": 1, "peersIPv6": 1,
        "clients": { "WebTorrent": { "0.91": 1 }, "unknown": { "01234567": 1 } },
    });
    assert_eq!(json(&tracker.get("/stats.json")), expected);
    let accept = [("Accept", "application/json")];
    let by_accept = HttpClient::connect(tracker.http()).get_with("/stats", &accept);
    assert_eq!(json(&by_accept), expected);
}

#[test]
fn pages_for_people_are_html_without_anything_from_elsewhere() {
    let tracker = Tracker::start(&[]);
    let hostile = by_peer_id(b"<script>alert(1)</sc", 6881, 1);
    tracker.udp_client(HERE).announce(&hostile).unwrap();
    for target in ["/", "/stats"] {
        let page = tracker.get(target);
        assert_eq!(page.status, 200);
        assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
        let text = page.text();
        assert!(text.starts_with("<!doctype html>") && text.contains("</html>"), "{text}");
        for outside in ["src=\"http", "href=\"http", "@import", "url(http", "<script>alert"] {
            assert!(!text.contains(outside), "{target} has {outside}");
        }
    }
}

#[test]
fn home_page_shows_urls_of_the_host_that_was_asked_for() {
    let tracker = Tracker::start(&[]);
    let port = tracker.http().port();
    let ask = |host: &str| {
        let mut client = HttpClient::connect(tracker.http());
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        client.response().text().to_owned()
    };
    let page = ask(&format!("tracker.example:{port}"));
    for scheme in ["udp", "http"] {
        let url = format!("{scheme}://tracker.example:{port}/announce");
        assert!(page.contains(&url), "no {url} in {page}");
    }
    let page = ask("\"><script>alert(1)</script>");
    assert!(!page.contains("<script>alert"), "{page}");
}

#[test]
fn health_is_ok() {
    let tracker = Tracker::start(&[]);
    let health = tracker.get("/health");
    assert_eq!((health.status, health.text()), (200, "ok"));
}

#[test]
fn unknown_paths_are_404_and_other_methods_405() {
    let tracker = Tracker::start(&[]);
    let mut client = HttpClient::connect(tracker.http());
    for path in ["/foo", "/announce/a/b/c", "/stats/more", "/metrics", "/favicon.ico", "/.git"] {
        let answer = client.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains(path), "nothing of the request comes back");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "BREW"] {
        let mut client = HttpClient::connect(tracker.http());
        client.send(format!("{method} /announce HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = client.response();
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("Allow"), Some("GET, HEAD"), "{method}");
    }
}

#[test]
fn head_is_get_without_a_body() {
    let tracker = Tracker::start(&[]);
    let announce = wire::http_announce(&announce(torrent(1), 6881, 1));
    // The first one changes the lengths of others.
    tracker.get(&announce);
    for target in
        [announce.as_str(), "/scrape?info_hash=%01", "/health", "/stats.json", "/", "/foo"]
    {
        let mut client = HttpClient::connect(tracker.http());
        let whole = client.get(target);
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: t.example\r\n\r\n").as_bytes());
        assert_eq!(client.response_head().head, whole.head, "{target}");
        // And nothing follows before the next answer.
        assert_eq!(client.get("/health").text(), "ok", "{target}");
    }
}

#[test]
fn connection_is_kept_as_the_version_and_the_header_say() {
    let tracker = Tracker::start(&[]);
    for (version, header, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let mut client = HttpClient::connect(tracker.http());
        client.send(format!("GET /health HTTP/{version}\r\n{header}\r\n").as_bytes());
        let answer = client.response();
        let expected = match (version, kept) {
            (_, false) => Some("close"),
            ("1.0", true) => Some("keep-alive"),
            _ => None,
        };
        assert_eq!(answer.header("Connection"), expected, "{version} {header}");
        if kept {
            assert_eq!(client.get("/health").status, 200, "{version} {header}");
        } else {
            assert_eq!(client.rest(), b"", "{version} {header}");
        }
    }
}

/// The value of every line that has labels of traffic.
fn traffic(tracker: &Tracker) -> BTreeMap<String, u64> {
    let text = HttpClient::connect(tracker.admin()).get("/metrics").text().to_owned();
    assert!(text.ends_with("# EOF\n"));
    text.lines()
        .filter_map(|line| line.strip_prefix("skep_traffic_")?.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// By how much [`ask_all_sorts`] makes which counter rise, but for the bytes of HTTP.
const RISEN: &str = "
    requests_total udp ipv4 action=connect 2
    answers_total udp ipv4 action=connect 2
    requests_total udp ipv4 action=announce 4
    answers_total udp ipv4 action=announce 3
    requests_total udp ipv4 action=scrape 2
    answers_total udp ipv4 action=scrape 1
    errors_total udp ipv4 kind=invalid_port 1
    errors_total udp ipv4 kind=full_scrape 1
    drops_total udp ipv4 reason=bad_connection_id 1
    drops_total udp ipv4 reason=too_short 1
    peers_sent_total udp ipv4 - 3
    received_bytes_total udp ipv4 - 547
    sent_bytes_total udp ipv4 - 193
    requests_total http ipv6 action=announce 2
    answers_total http ipv6 action=announce 1
    requests_total http ipv6 action=scrape 1
    answers_total http ipv6 action=scrape 1
    requests_total http ipv6 action=page 1
    answers_total http ipv6 action=page 1
    errors_total http ipv6 kind=missing_info_hash 1
    peers_sent_total http ipv6 - 3
";

/// The counters of [`RISEN`] by the names that they have in the answer of `/metrics`.
fn risen() -> BTreeMap<String, u64> {
    let counter = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [metric, transport, family, label, count] = words[..] else { panic!("{line}") };
        let label = label.split_once('=');
        let label = label.map_or(String::new(), |(key, value)| format!(",{key}=\"{value}\""));
        let labels = format!("transport=\"{transport}\",family=\"{family}\"{label}");
        (format!("{metric}{{{labels}}}"), count.parse().unwrap())
    };
    RISEN.trim().lines().map(counter).collect()
}

/// Asks for this and that over UDP on IPv4 and over HTTP on IPv6, in good form and bad.
fn ask_all_sorts(tracker: &Tracker) {
    let mut by_udp = tracker.udp_client(HERE);
    let id = by_udp.connect();
    for port in [6881, 6882, 6883] {
        by_udp.announce_with(id, &announce(torrent(1), port, 1)).unwrap();
    }
    by_udp.announce_with(id, &announce(torrent(1), 0, 1)).unwrap_err();
    let number = TransactionId([1; 4]);
    by_udp.exchange(&wire::udp_scrape(id, number, &[torrent(1), torrent(2)]));
    by_udp.exchange(&wire::udp_scrape(id, number, &[]));
    let mut forged = id;
    forged.0 ^= 1;
    by_udp.send(&wire::udp_scrape(forged, number, &[torrent(1)]));
    by_udp.send(&[0; 15]);
    by_udp.expect_silence("two datagrams that are dropped");
    let mut by_http = tracker.http_client(Ipv6Addr::LOCALHOST);
    by_http.announce(&announce(torrent(1), 6884, 0)).unwrap();
    by_http.scrape(&[torrent(1)]).unwrap();
    by_http.get("/stats.json");
    by_http.get("/announce");
}

#[test]
fn metrics_rise_by_what_was_asked() {
    let tracker = Tracker::start(&["--listen.admin=127.0.0.1:0"]);
    let before = traffic(&tracker);
    ask_all_sorts(&tracker);
    let expected = risen();
    // A worker counts what it sent after it is sent.
    let difference = || -> BTreeMap<String, u64> {
        let after = traffic(&tracker);
        after
            .into_iter()
            .map(|(name, value)| (name.clone(), value - before[&name]))
            .filter(|(name, count)| *count > 0 && !name.contains("bytes_total{transport=\"http\""))
            .collect()
    };
    let mut found = difference();
    wait_until("every counter rose by so much", || {
        found = difference();
        found == expected || found.values().sum::<u64>() > expected.values().sum()
    });
    assert_eq!(found, expected);
    for name in ["received_bytes_total", "sent_bytes_total"] {
        let name = format!("{name}{{transport=\"http\",family=\"ipv6\"}}");
        assert!(traffic(&tracker)[&name] > 400, "{name}");
    }
    assert_eq!(tracker.metric("skep_swarm_torrents"), 1);
    let leechers = "skep_swarm_peers{family=\"ipv4\",scope=\"local\",class=\"leecher\"}";
    assert_eq!(tracker.metric(leechers), 3);
    let seeders = "skep_swarm_peers{family=\"ipv6\",scope=\"local\",class=\"seeder\"}";
    assert_eq!(tracker.metric(seeders), 1);
}

#[test]
fn clients_find_no_metrics_and_operators_no_announce() {
    let tracker = Tracker::start(&["--listen.admin=127.0.0.1:0"]);
    assert_eq!(tracker.get("/metrics").status, 404);
    let mut operator = HttpClient::connect(tracker.admin());
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    assert_eq!(operator.get(&target).status, 404);
    assert_eq!(operator.get("/health").text(), "ok");
    assert_eq!(operator.get("/").status, 200);
}
