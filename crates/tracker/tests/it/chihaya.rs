//! The routes of Chihaya over real sockets: paths, bodies, codes, and who may use them.
//!
//! Its configuration is tested with the others.

use serde_json::{Value, json};
use skep_engine::testing::wire;
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash};

use crate::support::api::ApiClient;
use crate::support::{HttpClient, Process, Response, Tracker, announce, folder};

const PUBLIC: &[&str] = &["--compat.chihaya", "--compat.chihaya_listen=127.0.0.1:0"];

/// A plus, a percent sign, a slash, a space, a quote, a backslash and bytes that are no text.
const HASH: InfoHash = InfoHash([
    0x2b, 0x25, 0x2f, 0x20, 0x22, 0x5c, 0x80, 0xff, 0xc3, 0xa9, 0x00, 0x0a, b'a', b'b', b'c', b'd',
    b'e', b'f', b'g', 0x7f,
]);

/// A site that speaks to the tracker.
struct Site {
    tracker: Tracker,
    client: HttpClient,
    folder: tempfile::TempDir,
}

impl Site {
    fn public(more: &[&str]) -> Self {
        Self::of(folder(), &[PUBLIC, more].concat())
    }

    /// One that knows its torrents.
    fn registered(more: &[&str]) -> Self {
        let folder = folder();
        let list = folder.path().join("torrents");
        std::fs::write(&list, "").unwrap();
        let file = format!("--access.torrents_file={}", list.display());
        Self::of(folder, &[PUBLIC, &["--mode=registered", &file], more].concat())
    }

    /// One that knows its users as well.
    fn private(more: &[&str]) -> Self {
        Self::private_in(folder(), more)
    }

    fn private_in(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let data = format!("--storage.data_dir={}", folder.path().display());
        Self::of(folder, &[PUBLIC, &["--mode=private", &data], more].concat())
    }

    fn of(folder: tempfile::TempDir, settings: &[&str]) -> Self {
        let tracker = Tracker::start(settings);
        let client = HttpClient::connect(tracker.running().bound().chihaya[0]);
        Self { tracker, client, folder }
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> Response {
        self.ask_with(method, target, body, "")
    }

    fn ask_with(&mut self, method: &str, target: &str, body: &str, headers: &str) -> Response {
        let len = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: t\r\n{headers}");
        self.client.send(format!("{head}Content-Length: {len}\r\n\r\n{body}").as_bytes());
        self.client.response()
    }

    /// Asks for what must be answered with 200 and nothing.
    fn done(&mut self, method: &str, target: &str, body: &str) {
        let response = self.ask(method, target, body);
        assert_eq!((response.status, response.text()), (200, ""), "{method} {target} {body}");
    }

    /// The code and the text of what is not done.
    fn refused(&mut self, method: &str, target: &str, body: &str) -> (u16, String) {
        let response = self.ask(method, target, body);
        assert!(response.status >= 400, "{method} {target} {body}");
        (response.status, response.text().trim_end().to_owned())
    }

    fn json(&mut self, target: &str) -> Value {
        let response = self.ask("GET", target, "");
        assert_eq!(response.status, 200, "{}", response.text());
        let json_type = response.header("Content-Type");
        assert_eq!(json_type, Some("application/json; charset=UTF-8"));
        serde_json::from_slice(&response.body).unwrap()
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// Bytes as a JSON text in which each character is a byte, non-ASCII ones as `\u00XX`.
fn as_characters(bytes: &[u8]) -> String {
    let characters = bytes.iter().map(|byte| match byte {
        b'a'..=b'z' => char::from(*byte).to_string(),
        byte => format!("\\u{byte:04x}"),
    });
    characters.collect()
}

#[test]
fn torrent_is_put_in_every_spelling_and_found_in_every_spelling() {
    let hex: String = HASH.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let once = escaped(&HASH.0);
    let twice = once.replace('%', "%25");
    let characters = as_characters(&HASH.0);
    for spelling in [&hex, &hex.to_uppercase(), &once, &characters] {
        let mut site = Site::public(&[]);
        let body = format!("{{\"id\": 7, \"infohash\": \"{spelling}\", \"up_multiplier\": 0.5}}");
        site.done("PUT", "/torrents/whatever", &body);
        for path in [&hex, &once, &twice] {
            let shown = site.json(&format!("/torrents/{path}"));
            assert_eq!(
                shown,
                json!({
                    "id": 7,
                    "infohash": HASH.0.iter().map(|byte| char::from(*byte)).collect::<String>(),
                    "seeders": {}, "leechers": {}, "snatches": 0,
                    "up_multiplier": 0.5, "down_multiplier": 1.0, "last_action": 0,
                })
            );
        }
        site.done("DELETE", &format!("/torrents/{twice}"), "");
        assert_eq!(site.refused("GET", &format!("/torrents/{hex}"), ""), (404, String::new()));
        // As often as a site likes.
        site.done("DELETE", &format!("/torrents/{hex}"), "");
    }
}

#[test]
fn peers_are_shown_under_their_names_and_stay_when_the_torrent_is_put() {
    let mut site = Site::public(&["--announce.private_peers=always"]);
    let seeder = AnnounceRequest { port: 1001, ..announce(HASH, 1001, 0) };
    site.tracker.http_client([127, 0, 0, 1]).announce(&seeder).unwrap();
    let mut leecher = announce(HASH, 1002, 5);
    leecher.peer_id.0[..3].copy_from_slice(b"\x00\xff\"");
    site.tracker.http_client(std::net::Ipv6Addr::LOCALHOST).announce(&leecher).unwrap();
    let path = format!("/torrents/{}", escaped(&HASH.0));
    let before = site.json(&path);
    assert_eq!(before["id"], 0);
    let body = r#"{"infohash": "%2B%25%2F%20%22%5C%80%FF%C3%A9%00%0Aabcdefg%7F", "id": 3,
                   "seeders": {}, "leechers": null, "snatches": 9}"#;
    site.done("PUT", "/torrents/x", body);
    let shown = site.json(&path);
    let seeders = shown["seeders"].as_object().unwrap();
    assert_eq!(seeders.keys().collect::<Vec<_>>(), ["4:-XX0001-.......01001"]);
    let peer = &seeders["4:-XX0001-.......01001"];
    assert_eq!((&peer["ip"], &peer["port"]), (&json!("127.0.0.1"), &json!(1001)));
    assert_eq!((&peer["torrent_id"], &peer["left"]), (&json!(3), &json!(0)));
    let leechers = shown["leechers"].as_object().unwrap();
    assert_eq!(leechers.keys().collect::<Vec<_>>(), ["6:\u{0}\u{ff}\"0001-.......01002"]);
    assert_eq!(leechers.values().next().unwrap()["ip"], "::1");
    site.done("DELETE", &path, "");
    assert_eq!(site.refused("GET", &path, "").0, 404, "the swarm went as well");
}

#[test]
fn completions_are_counted_once() {
    let mut site = Site::public(&[]);
    let mut client = site.tracker.http_client([127, 0, 0, 1]);
    client.announce(&announce(HASH, 1, 5)).unwrap();
    let completed = AnnounceRequest { event: AnnounceEvent::Completed, ..announce(HASH, 1, 0) };
    client.announce(&completed).unwrap();
    client.announce(&completed).unwrap();
    assert_eq!(site.json(&format!("/torrents/{}", escaped(&HASH.0)))["snatches"], 1);
}

#[test]
fn records_without_a_number_get_one_and_keep_it() {
    let mut site = Site::registered(&[]);
    let hashes = ["a", "b", "c"].map(|letter| letter.repeat(20));
    for hash in &hashes {
        site.done("PUT", "/torrents/x", &format!("{{\"infohash\": \"{hash}\"}}"));
    }
    let ids = |site: &mut Site| {
        hashes.clone().map(|it| site.json(&format!("/torrents/{it}"))["id"].clone())
    };
    assert_eq!(ids(&mut site), [1, 2, 3]);
    site.done("PUT", "/torrents/x", &format!("{{\"infohash\": \"{}\", \"id\": 0}}", hashes[1]));
    assert_eq!(ids(&mut site), [1, 2, 3]);
    let (code, text) = site.refused(
        "PUT",
        "/torrents/x",
        &format!("{{\"infohash\": \"{}\", \"id\": 9}}", hashes[1]),
    );
    assert_eq!((code, &*text), (400, "infohash is that of torrent 2"));
}

#[test]
fn bodies_that_make_no_sense_are_400_and_change_nothing() {
    let mut site = Site::registered(&[]);
    for body in [
        "",
        "[]",
        "{",
        "{\"infohash\": 1}",
        "{\"infohash\": \"\"}",
        "{\"infohash\": \"abc\"}",
        "{\"infohash\": \"aaaaaaaaaaaaaaaaaaaa\", \"id\": -1}",
        "{\"infohash\": \"aaaaaaaaaaaaaaaaaaaa\", \"id\": 4294967296}",
        "{\"infohash\": \"aaaaaaaaaaaaaaaaaaaa\", \"up_multiplier\": -1}",
        "{\"infohash\": \"aaaaaaaaaaaaaaaaaaaa\", \"down_multiplier\": \"x\"}",
    ] {
        assert_eq!(site.refused("PUT", "/torrents/x", body).0, 400, "{body}");
    }
    let mut site = Site::private(&[]);
    for body in ["", "{}", "{\"passkey\": \"\"}", "{\"passkey\": \"a b\"}", "{\"passkey\": 1}"] {
        assert_eq!(site.refused("PUT", "/users/x", body).0, 400, "{body}");
    }
    assert_eq!(site.refused("GET", "/torrents/aaaaaaaaaaaaaaaaaaaa", "").0, 404);
    assert_eq!(site.refused("GET", "/torrents/%zz", "").0, 404);
}

#[test]
fn routes_depend_on_the_mode_and_on_what_is_chosen() {
    let settings = ["--access.clients_allow=OP1011", "--listen.admin=127.0.0.1:0"];
    let mut public = Site::public(&settings);
    let mut api = ApiClient::connect(public.tracker.admin());
    let put = api.ask("PUT", "/api/v1/clients/OP1011", &json!({ "allowed": true }));
    assert_eq!(put.status, 201);
    for target in ["/users/a", "/clients/OP1011", "/announce", "/", "/torrents/", "/nothing"] {
        assert_eq!(public.refused("PUT", target, "{}").0, 404, "{target}");
    }
    assert_eq!(public.refused("POST", "/torrents/x", "{}").0, 405);
    assert_eq!(public.refused("POST", "/stats", "{}").0, 405);

    let mut open = Site::registered(&[]);
    assert_eq!(open.refused("PUT", "/clients/OP1011", "").0, 404);
    assert_eq!(open.refused("DELETE", "/users/nobody", "").0, 404);
    Site::private(&[]).done("DELETE", "/users/nobody", "");

    let mut site = Site::registered(&["--access.clients_allow=OP1011"]);
    site.done("PUT", "/clients/TR2840", "");
    site.done("DELETE", "/clients/OP1011", "");
    site.done("DELETE", "/clients/OP1011", "");
    assert_eq!(site.refused("PUT", "/clients/TR", "").0, 400);
    assert_eq!(site.refused("DELETE", "/clients/TR2840", "").0, 400, "everybody would be let in");
}

#[test]
fn users_are_put_by_what_the_body_says() {
    let mut site = Site::private(&[]);
    site.done("PUT", "/users/x", r#"{"id": 5, "passkey": "one", "down_multiplier": 0}"#);
    site.done("PUT", "/users/x", r#"{"passkey": "one"}"#);
    let (code, text) = site.refused("PUT", "/users/x", r#"{"id": 6, "passkey": "one"}"#);
    assert_eq!((code, &*text), (400, "passkey is that of user 5"));
    site.done("PUT", "/users/x", r#"{"id": 5, "passkey": "two"}"#);
    // The first passkey is nobody's now.
    site.done("PUT", "/users/x", r#"{"id": 6, "passkey": "one"}"#);
    site.done("DELETE", "/users/two", "");
    site.done("PUT", "/users/x", r#"{"id": 7, "passkey": "two"}"#);
}

#[test]
fn what_a_site_puts_decides_who_announces_what() {
    let mut site = Site::private(&["--access.clients_allow=OP1011"]);
    let mut request = announce(HASH, 1, 5);
    request.peer_id.0[..8].copy_from_slice(b"-TR2840-");
    let query = wire::http_announce(&request).replace("/announce", "/users/secret/announce");
    let mut client = site.tracker.http_client([127, 0, 0, 1]);
    let mut told = || match wire::read_http_announce(client.get(&query).ok()) {
        Ok(answer) => format!("{} of {}", answer.seen.incomplete, answer.seen.seeders),
        Err(failure) => failure,
    };
    let hex: String = HASH.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told(), "Passkey not found");
    site.done("PUT", "/users/x", r#"{"id": 5, "passkey": "secret"}"#);
    assert_eq!(told(), "client not allowed");
    site.done("PUT", "/clients/TR2840", "");
    assert_eq!(told(), "Unregistered torrent");
    site.done("PUT", "/torrents/x", &format!("{{\"id\": 8, \"infohash\": \"{hex}\"}}"));
    assert_eq!(told(), "1 of 0");
    site.done("PUT", "/torrents/x", &format!("{{\"id\": 8, \"infohash\": \"{hex}\"}}"));
    assert_eq!(told(), "1 of 0");
    let shown = site.json(&format!("/torrents/{hex}"));
    assert_eq!(shown["leechers"].as_object().unwrap().len(), 1);
    site.done("PUT", "/users/x", r#"{"id": 5, "passkey": "other"}"#);
    assert_eq!(told(), "Passkey not found");
    site.done("PUT", "/users/x", r#"{"id": 5, "passkey": "secret"}"#);
    site.done("DELETE", &format!("/torrents/{hex}"), "");
    assert_eq!(told(), "Unregistered torrent");
    site.done("DELETE", "/clients/TR2840", "");
    assert_eq!(told(), "client not allowed");
    site.done("DELETE", "/users/secret", "");
    assert_eq!(told(), "Passkey not found");
}

#[test]
fn what_a_site_put_is_there_after_a_restart() {
    let mut site = Site::private(&[]);
    site.done("PUT", "/torrents/x", r#"{"id": 8, "infohash": "aaaaaaaaaaaaaaaaaaaa"}"#);
    site.done("PUT", "/users/x", r#"{"id": 5, "passkey": "secret"}"#);
    let Site { tracker, folder, .. } = site;
    drop(tracker);
    let mut site = Site::private_in(folder, &[]);
    assert_eq!(site.json("/torrents/aaaaaaaaaaaaaaaaaaaa")["id"], 8);
    let (_, text) = site.refused("PUT", "/users/x", r#"{"id": 6, "passkey": "secret"}"#);
    assert_eq!(text, "passkey is that of user 5");
}

#[test]
fn stats_have_the_names_of_chihaya() {
    let mut site = Site::public(&[]);
    site.tracker.http_client([127, 0, 0, 1]).announce(&announce(HASH, 1, 0)).unwrap();
    let stats = site.json("/stats");
    assert_eq!(stats["Tracker.Announces"], 1);
    assert_eq!(stats["Requests.Handled"], 1);
    assert_eq!(stats["Peers.IPv4"]["Seeds"]["Current"], 1);
    assert_eq!(stats["Peers.IPv6"]["Peers"]["Current"], 0);
    assert!(stats["Started"].as_str().unwrap().ends_with('Z'));
    let flat = site.json("/stats?flatten");
    assert_eq!(flat["Peers.IPv4.Peers.Current"], 1);
    assert!(flat.as_object().unwrap().contains_key("ResponseTime.P90"));
    let pretty = site.ask("GET", "/stats?flatten&pretty", "");
    assert!(pretty.text().contains("\n  \"Tracker.Scrapes\": 0"), "{}", pretty.text());
    assert_eq!(site.ask("GET", "/check", "").text(), "STILL-ALIVE");
}

#[test]
fn target_that_is_no_path_is_not_found() {
    let site = Site::public(&["--listen.admin=127.0.0.1:0"]);
    let bound = site.tracker.running().bound();
    for address in [bound.chihaya[0], bound.admin[0]] {
        for line in ["CONNECT a:1", "CONNECT [::1]:1", "OPTIONS *", "GET *", "GET http://a"] {
            let mut client = HttpClient::connect(address);
            client.send(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let status = client.response_head().status;
            let is_page = address == bound.admin[0] && line == "GET http://a";
            let expected = if is_page { 200..201 } else { 400..500 };
            assert!(expected.contains(&status), "{line} on {address}: {status}");
        }
    }
}

#[test]
fn token_is_asked_for_where_one_is_set() {
    let mut site = Site::public(&["--compat.chihaya_token=sesame, open"]);
    assert_eq!(site.ask("GET", "/check", "").status, 200, "monitors need none");
    for (headers, status) in [
        ("", 401),
        ("Authorization: Bearer sesame\r\n", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: sesame, open\r\n", 401),
        ("Authorization: Bearer sesame, open\r\n", 200),
        ("Authorization: bearer   sesame, open\r\n", 200),
        // "site:sesame, open" and ":sesame" and no colon.
        ("Authorization: Basic c2l0ZTpzZXNhbWUsIG9wZW4=\r\n", 200),
        ("Authorization: Basic OnNlc2FtZQ==\r\n", 401),
        ("Authorization: Basic c2VzYW1lLCBvcGVu\r\n", 401),
        ("Authorization: Basic !\r\n", 401),
    ] {
        assert_eq!(site.ask_with("GET", "/stats", "", headers).status, status, "{headers}");
    }
}

#[test]
fn configuration_of_chihaya_turns_the_routes_on() {
    let folder = folder();
    let file = folder.path().join("config.json");
    std::fs::write(&file, r#"{"addr": "127.0.0.1:0", "announce": "30m"}"#).unwrap();
    let arguments = ["-config", file.to_str().unwrap(), "--compat.chihaya_listen=127.0.0.1:0"];
    let mut process = Process::start(&arguments);
    let address = process.banner("listening on chihaya")[0];
    assert_ne!(address, process.http());
    let mut client = HttpClient::connect(address);
    assert_eq!(client.get("/check").text(), "STILL-ALIVE");
    assert_eq!(client.get("/announce").status, 404, "those have a listener of their own");
}
