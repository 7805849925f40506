//! Who may use the API: this host alone, or whoever has a token.
//!
//! What tokens and scopes look like is tested where they are read.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use skep::config::Scope;

use super::{Site, hash};
use crate::support::api::{ApiClient, json as body, token};
use crate::support::{DEADLINE, Tracker, folder};

pub(super) const EVERY: [Scope; 6] =
    [Scope::Read, Scope::Write, Scope::Bans, Scope::Reload, Scope::Trace, Scope::Passkeys];

#[test]
fn without_tokens_neither_pages_nor_proxies_nor_other_names_are_served() {
    let site = Site::start();
    for (name, value) in [
        ("Host", "tracker.example.org"),
        ("Host", "localhost.example.org:1338"),
        ("Origin", "http://localhost"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Whatever", ""),
        ("Forwarded", "for=127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("X-Real-IP", "127.0.0.1"),
        ("True-Client-IP", "127.0.0.1"),
        ("CF-Connecting-IP", "127.0.0.1"),
        ("CF-RAY", "x"),
    ] {
        let mut api = site.api().with(name, value);
        assert_eq!(api.get("/api/v1/stats").status, 403, "{name}: {value}");
        let put = api.ask("PUT", "/api/v1/torrents/1", &json!({ "info_hash": hash(1) }));
        assert_eq!(put.status, 403, "{name}: {value}");
    }
    for host in ["127.0.0.1:1338", "localhost:80", "[::1]"] {
        assert_eq!(site.api().with("Host", host).get("/api/v1/stats").status, 200, "{host}");
    }
    // Proxies that add nothing speak it unless they are told otherwise.
    let mut old = TcpStream::connect(site.tracker.admin()).unwrap();
    old.set_read_timeout(Some(DEADLINE)).unwrap();
    old.write_all(b"GET /api/v1/stats HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 403 "), "{answer}");
    // The rest of the listener is for whoever reaches it, as before.
    let mut other = site.api().with("Host", "tracker.example.org");
    for target in ["/", "/health", "/metrics", "/api/openapi.json"] {
        assert_eq!(other.get(target).status, 200, "{target}");
    }
}

#[test]
fn without_tokens_passkeys_are_shown_to_nobody() {
    let site = Site::start();
    let mut api = site.api();
    let put = api.ask("PUT", "/api/v1/users/1", &json!({ "passkey": "z9z9z9z9" }));
    assert_eq!(put.status, 201);
    for target in ["/api/v1/users/1?passkeys=true", "/api/v1/users?passkeys=true"] {
        let answer = api.get(target);
        assert_eq!((answer.status, answer.text().contains("z9")), (403, false), "{target}");
        assert_eq!(api.get(target.split('?').next().unwrap()).status, 200);
    }
}

#[test]
fn with_tokens_this_host_needs_one_too() {
    let (secret, line) = token("site", &[Scope::Read]);
    let site = Site::start_with(&["--mode=registered", &format!("--admin.tokens={line}")]);
    let answer = site.api().get("/api/v1/stats");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer realm=\"skep\""));
    for wrong in [&secret[..secret.len() - 1], &line, "", "x"] {
        let answer = site.api().with_token(wrong).get("/api/v1/stats");
        let challenge = answer.header("WWW-Authenticate").unwrap();
        assert_eq!((answer.status, challenge.starts_with("Bearer ")), (401, true), "{wrong}");
    }
    let mut api = site.api().with_token(&secret).with("Host", "tracker.example.org");
    assert_eq!(api.get("/api/v1/stats").status, 200);
    let answer = api.ask("PUT", "/api/v1/torrents/1", &json!({}));
    assert_eq!(answer.status, 403);
    let challenge = answer.header("WWW-Authenticate").unwrap();
    assert!(challenge.contains(r#"error="insufficient_scope", scope="write""#), "{challenge}");
    assert_eq!(api.get("/api/v1/users?passkeys=true").status, 403);
    assert_eq!(api.get(&format!("/api/v1/torrents/{}/live?peers=1", hash(1))).status, 403);
}

/// Every operation of the description: method, path with values put in, and its scope.
fn operations() -> Vec<(String, String, String)> {
    let description = skep::admin::description();
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let values = [
            ("{torrent}", "1"),
            ("{id}", "1"),
            ("{prefix}", "XX"),
            ("{address}", "192.0.2.0"),
            ("{prefix_len}", "24"),
        ];
        let target =
            values.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["bearer"][0].as_str().unwrap().to_owned();
            operations.push((method.to_uppercase(), target.clone(), scope));
        }
    }
    operations
}

#[test]
fn every_operation_needs_the_scope_that_its_description_names_and_no_other() {
    let tokens: Vec<_> = EVERY
        .iter()
        .map(|scope| {
            (*scope, token(scope.word().trim_matches(':').split(':').next().unwrap(), &[*scope]))
        })
        .collect();
    let lines: Vec<_> = tokens.iter().map(|(_, (_, line))| line.as_str()).collect();
    let site =
        Site::start_with(&["--mode=registered", &format!("--admin.tokens={}", lines.join(","))]);
    let operations = operations();
    assert!(operations.len() > 40, "{operations:?}");
    for (method, target, needed) in operations {
        for (scope, (secret, _)) in &tokens {
            let status = site.api().with_token(secret).ask(&method, &target, &Value::Null).status;
            let is_refused = status == 403;
            assert_eq!(
                is_refused,
                scope.word() != needed,
                "{method} {target} with {scope:?}: {status}"
            );
        }
    }
}

#[test]
fn tokens_are_replaced_by_a_reload() {
    let (first, first_line) = token("first", &EVERY);
    let (second, second_line) = token("second", &[Scope::Read]);
    let folder = folder();
    let file = folder.path().join("skep.toml");
    let write = |line: &str| fs::write(&file, format!("[admin]\ntokens = [\"{line}\"]\n")).unwrap();
    write(&first_line);
    let own = ["--listen.admin=127.0.0.1:0", "--config", file.to_str().unwrap()];
    let tracker = Tracker::start(&own);
    let api = |secret: &str| ApiClient::connect(tracker.admin()).with_token(secret);
    assert_eq!(api(&second).get("/api/v1/stats").status, 401);
    write(&second_line);
    let reloaded = api(&first).send("POST", "/api/v1/reload", &[], "");
    assert_eq!(body(&reloaded), json!({ "reloaded": true }));
    assert_eq!(api(&first).get("/api/v1/stats").status, 401);
    assert_eq!(api(&second).get("/api/v1/stats").status, 200);
}

#[test]
fn reload_that_fails_says_so() {
    let folder = folder();
    let file = folder.path().join("skep.toml");
    fs::write(&file, "").unwrap();
    let own = ["--listen.admin=127.0.0.1:0", "--config", file.to_str().unwrap()];
    let tracker = Tracker::start(&own);
    fs::write(&file, "mode = 7\n").unwrap();
    let mut api = ApiClient::connect(tracker.admin());
    assert_eq!(api.send("POST", "/api/v1/reload", &[], "").status, 409);
}
