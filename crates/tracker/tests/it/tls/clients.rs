//! Clients that mean well: each version, resumption, one port for both, large answers.
//!
//! Files and reloads are tested beside this.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

use serde_json::json;
use skep_engine::testing::wire;

use super::{Files, TlsClient, client_config, https, run, start};
use crate::support::websocket::{self, Browser, peer};
use crate::support::{HttpClient, Tracker, announce, folder, torrent, wait_until};

fn curl(files: &Files, arguments: &[&str], url: &str) -> String {
    let cacert = files.certificate.display().to_string();
    let all = [&["-sS", "--cacert", &cacert, "--max-time", "30"], arguments, &[url]].concat();
    run("curl", &all.into_iter().map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn curl_is_answered_over_both_versions() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &[]);
    let port = https(&tracker).port();
    for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
        let shown = [&version[..], &["-w", " %{http_version} %{ssl_verify_result}"]].concat();
        let told = curl(&files, &shown, &format!("https://localhost:{port}/health"));
        assert_eq!(told, "ok 1.1 0", "{version:?}");
    }
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    let told = curl(&files, &[], &format!("https://localhost:{port}{target}"));
    let seen = wire::read_http_announce(told.as_bytes()).unwrap().seen;
    assert_eq!((seen.seeders, seen.incomplete), (0, 1));
    // The same swarm is behind both ports.
    let mut plain = HttpClient::connect(tracker.http());
    assert_eq!(plain.announce(&announce(torrent(1), 6882, 1)).unwrap().seen.incomplete, 2);
    assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"full\"}"), 3);
    assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"failed\"}"), 0);
    assert_eq!(tracker.metric("skep_tls_reload_success"), 1);
}

/// One request with `openssl s_client`, which keeps its session in a file.
fn openssl(files: &Files, port: u16, version: &str, session: [&str; 2]) -> String {
    let certificate = files.certificate.display();
    let [option, file] = session;
    let command = format!(
        "printf 'GET /health HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client \
         -connect 127.0.0.1:{port} -servername localhost -alpn http/1.1 -CAfile {certificate} \
         -verify_return_error {version} {option} {file} -ign_eof 2>&1"
    );
    run("sh", &["-c".to_owned(), command])
}

#[test]
fn openssl_resumes_sessions_of_both_versions_even_after_a_new_certificate() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &[]);
    let port = https(&tracker).port();
    let session = folder.path().join("session").display().to_string();
    for (version, resumed) in [("-tls1_2", 1), ("-tls1_3", 2)] {
        let told = openssl(&files, port, version, ["-sess_out", &session]);
        assert!(
            told.contains("\nNew, TLSv1.") && told.contains("ALPN protocol: http/1.1"),
            "{told}"
        );
        assert!(told.contains("200 OK"), "{told}");
        tracker.running().reload();
        let told = openssl(&files, port, version, ["-sess_in", &session]);
        assert!(told.contains("\nReused, TLSv1.") && told.contains("200 OK"), "{told}");
        assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"resumed\"}"), resumed);
    }
}

#[test]
fn connection_is_kept_and_its_end_is_said() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &[]);
    let mut client = TlsClient::connect(&client_config(&[&files]), https(&tracker));
    for _ in 0..3 {
        assert_eq!(client.get("/health"), "ok");
    }
    assert!(client.ask("/health", "Connection: close\r\n").ends_with("\r\n\r\nok"));
    assert!(client.is_ended());
    assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"full\"}"), 1);
    wait_until("it is closed", || tracker.metric("skep_http_connections") == 0);
}

#[test]
fn large_answer_arrives_whole() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &["--scrape.full=true", "--swarm.new_torrents_per_minute_max=0"]);
    let mut plain = HttpClient::connect(tracker.http());
    for number in 0..3000_u16 {
        let mut info_hash = torrent(9);
        info_hash.0[..2].copy_from_slice(&number.to_be_bytes());
        plain.announce(&announce(info_hash, 6881, 1)).unwrap();
    }
    let expected = plain.get("/scrape").body;
    assert!(expected.len() > 150_000);
    let url = format!("https://localhost:{}/scrape", https(&tracker).port());
    let file = folder.path().join("scrape").display().to_string();
    curl(&files, &["-o", &file], &url);
    assert!(std::fs::read(&file).unwrap() == expected, "the same bytes over TLS");
}

#[test]
fn one_port_takes_both_when_it_is_to_detect() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let [certificate, key] = files.settings();
    let tracker = Tracker::start(&["--listen.tls=detect", &certificate, &key]);
    let config = client_config(&[&files]);
    let mut secure = TlsClient::connect(&config, tracker.http());
    assert_eq!(secure.get("/health"), "ok");
    assert!(secure.get("/").contains("https://localhost/announce"));
    let mut plain = HttpClient::connect(tracker.http());
    assert_eq!(plain.get("/health").text(), "ok");
    assert_eq!(plain.get("/health").text(), "ok");

    // Both wait before they say anything, and say one byte first.
    let open = || tracker.metric("skep_http_connections");
    let (mut late, mut early) = (TcpStream::connect(tracker.http()).unwrap(), String::new());
    write!(early, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    wait_until("it is taken in", || open() == 3);
    for byte in early.as_bytes() {
        late.write_all(&[*byte]).unwrap();
    }
    let told = std::io::read_to_string(&mut late).unwrap();
    assert!(told.ends_with("\r\n\r\nok"), "{told}");

    let mut late = TlsClient::connect(&config, tracker.http());
    wait_until("it is taken in", || open() == 3);
    let mut hello = Vec::new();
    late.0.conn.write_tls(&mut hello).unwrap();
    for piece in [&hello[..1], &hello[1..9], &hello[9..]] {
        late.0.sock.write_all(piece).unwrap();
    }
    assert_eq!(late.get("/health"), "ok");
    assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"full\"}"), 1);
    assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"resumed\"}"), 1);
    assert_eq!(tracker.metric("skep_tls_handshakes_total{result=\"failed\"}"), 0);
}

#[test]
fn browsers_meet_over_tls_and_without() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &["--listen.tls=detect", "--listen.workers=1"]);
    let config = client_config(&[&files]);
    let on_own_port = TlsClient::connect(&config, https(&tracker));
    let mut secure = Browser::over(on_own_port.0, "ws://localhost/");
    let on_port_of_both = TlsClient::connect(&config, tracker.http());
    let mut detected = Browser::over(on_port_of_both.0, "ws://localhost/announce");
    let mut plain = tracker.browser();
    // Larger than what TLS takes at once.
    let long = "s".repeat(100_000);
    let offer = json!({"offer": {"type": "offer", "sdp": long}, "offer_id": "o".repeat(20)});
    plain.ask(&websocket::announce(&torrent(1), &peer(1), json!({"left": 1})));
    let offers = json!({"left": 0, "offers": [offer]});
    secure.ask(&websocket::announce(&torrent(1), &peer(2), offers.clone()));
    assert_eq!(plain.hear()["offer"]["sdp"], json!(long));
    secure.ask(&websocket::announce(&torrent(2), &peer(2), json!({"left": 1})));
    detected.ask(&websocket::announce(&torrent(2), &peer(3), offers));
    let offered = secure.hear();
    assert_eq!(offered["offer"]["sdp"], json!(long));
    let answer = json!({
        "to_peer_id": offered["peer_id"],
        "offer_id": offered["offer_id"],
        "answer": {"type": "answer", "sdp": long},
    });
    secure.send(&websocket::announce(&torrent(2), &peer(2), answer));
    assert_eq!(detected.hear()["answer"]["sdp"], json!(long));
    assert_eq!(tracker.metric("skep_websocket_connections"), 3);
}
