//! Failures of the API, conditions, and requests that come twice.
//!
//! That every failure is problem details is seen to by the client of these tests.

use std::fs;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Site, hash};
use crate::support::api::json as body;
use crate::support::{announce, folder, torrent};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn ban_that_cannot_come_into_force_is_not_answered_with_success() {
    let folder = folder();
    let list = folder.path().join("denied");
    fs::write(&list, "").unwrap();
    let site = Site::start_with(&[&format!("--access.torrents_deny_file={}", list.display())]);
    let mut api = site.api();
    let rules = [
        ("/api/v1/bans/192.0.2.0/24", json!({})),
        ("/api/v1/clients/-XX", json!({ "allowed": false })),
    ];
    fs::remove_file(&list).unwrap();
    for (path, rule) in &rules {
        let put = api.ask("PUT", path, rule);
        assert_eq!(put.status, 500, "{path}");
        assert!(put.text().contains("not in force"), "{}", put.text());
    }
    fs::write(&list, "").unwrap();
    for (path, rule) in &rules {
        assert_eq!(api.ask("PUT", path, rule).status, 200, "{path}");
        assert_eq!(api.delete(path).status, 204, "{path}");
    }
}

#[test]
fn every_way_to_fail_is_problem_details() {
    let site = Site::start();
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let huge = "9999999999999";
    let own: &[(&str, &str)] = &[JSON];
    for (method, target, headers, sent, status) in [
        ("GET", "/nothing", &[][..], "", 404),
        ("GET", "/api/v1", &[], "", 404),
        ("GET", "/api/v1/nothing", &[], "", 404),
        ("GET", "/api/v1/torrents/1/nothing", &[], "", 404),
        ("GET", "/api/v1/clients/%ff", &[], "", 404),
        ("GET", "/api/v1/users/1", &[], "", 404),
        ("POST", "/api/v1/torrents", own, "{}", 405),
        ("PATCH", "/api/v1/stats", own, "{}", 405),
        ("DELETE", "/metrics", &[], "", 405),
        ("GET", "/api/v1/torrents/x", &[], "", 404),
        ("GET", "/api/v1/torrents/%ff", &[], "", 404),
        ("GET", "/api/v1/torrents?limit=0", &[], "", 422),
        ("GET", "/api/v1/torrents?limit=1&limit=2", &[], "", 422),
        ("GET", "/api/v1/torrents?limit=1001", &[], "", 422),
        ("GET", "/api/v1/torrents?colour=red", &[], "", 422),
        ("GET", "/api/v1/torrents?state=z", &[], "", 422),
        ("GET", "/api/v1/users?passkeys=maybe", &[], "", 422),
        ("GET", "/api/v1/swarms?by=z", &[], "", 422),
        ("GET", "/api/v1/stats?x", &[], "", 422),
        ("PUT", "/api/v1/groups/1", own, "", 400),
        ("PUT", "/api/v1/groups/1", own, "{", 400),
        ("PUT", "/api/v1/groups/1", own, "{}{}", 400),
        ("PUT", "/api/v1/groups/1", &[], "{}", 415),
        ("PUT", "/api/v1/groups/1", &[("Content-Type", "text/plain")], "{}", 415),
        ("PUT", "/api/v1/groups/1", own, &large, 413),
        ("PUT", "/api/v1/groups/1", own, "[1]", 422),
        ("PUT", "/api/v1/groups/1", &[JSON, ("Idempotency-Key", "a b")], "{}", 422),
        ("PUT", "/api/v1/groups/1", &[JSON, ("If-Match", "*")], "{}", 412),
        ("PATCH", "/api/v1/groups/1", own, "{}", 404),
        ("PUT", &format!("/api/v1/groups/{huge}"), own, "{}", 404),
        ("PUT", "/api/v1/groups/0", own, "{}", 404),
        ("DELETE", "/api/v1/groups/1", &[("If-Match", "*")], "", 404),
        ("PUT", "/api/v1/groups/1", &[JSON, ("If-Match", "*")], "[]", 422),
    ] {
        let answer = site.api().send(method, target, headers, sent);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        if status == 405 {
            assert!(answer.header("Allow").is_some(), "{method} {target}: {}", answer.head);
        }
    }
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(site.api().send("PUT", "/api/v1/groups/1", &[JSON], &deep).status, 400);
    assert_eq!(body(&site.api().get("/api/v1/stats"))["records"]["groups"], 0);
}

#[test]
fn body_that_is_announced_too_long_is_not_waited_for() {
    let site = Site::start();
    let mut client = crate::support::HttpClient::connect(site.tracker.admin());
    client.send(
        b"POST /api/v1/torrents/bulk HTTP/1.1\r\nHost: localhost\r\n\
          Content-Type: application/json\r\nContent-Length: 9000000\r\n\r\n",
    );
    assert_eq!(client.response().status, 413);
}

#[test]
fn change_is_made_only_to_the_record_that_was_seen() {
    let site = Site::start();
    let mut api = site.api();
    let path = "/api/v1/groups/1";
    let put = api.ask("PUT", path, &json!({ "name": "a" }));
    let first = put.header("ETag").unwrap().to_owned();
    let known = [("If-None-Match", first.as_str())];
    assert_eq!(api.send("GET", path, &known, "").status, 304);
    let of = |tag: &str| [JSON, ("If-Match", tag)].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let mut send = |method: &str, tag: &str, sent: &str| {
        let headers = of(tag);
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        api.send(method, path, &headers, sent)
    };
    let patched = send("PATCH", &first, r#"{"name":"b"}"#);
    let second = patched.header("ETag").unwrap().to_owned();
    assert_eq!(patched.status, 200);
    assert_ne!(first, second);
    assert_eq!(send("PATCH", &first, r#"{"name":"c"}"#).status, 412);
    assert_eq!(send("PUT", &first, "{}").status, 412);
    assert_eq!(send("DELETE", &first, "").status, 412);
    assert_eq!(body(&site.api().get(path))["name"], "b");
    assert_eq!(send("DELETE", &format!("\"x\", {second}"), "").status, 204);
    // To add, but never to replace.
    let add = || site.api().send("PUT", path, &[JSON, ("If-None-Match", "*")], "{}").status;
    assert_eq!((add(), add()), (201, 412));
}

#[test]
fn request_with_a_key_is_carried_out_once() {
    let site = Site::start();
    let mut api = site.api();
    let bulk = json!({ "put": [{ "id": 1, "info_hash": hash(1) }], "remove": [9] }).to_string();
    let headers = [JSON, ("Idempotency-Key", "a-1")];
    let target = "/api/v1/torrents/bulk";
    let first = api.send("POST", target, &headers, &bulk);
    assert_eq!(body(&first)["created"], 1);
    assert_eq!(first.header("Idempotency-Replayed"), None);
    assert_eq!(api.delete("/api/v1/torrents/1").status, 204);
    let again = api.send("POST", target, &headers, &bulk);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    assert_eq!(again.header("Content-Type"), Some("application/json"));
    assert_eq!(api.get("/api/v1/torrents/1").status, 404, "it was not carried out again");
    let other = json!({ "remove": [9] }).to_string();
    assert_eq!(api.send("POST", target, &headers, &other).status, 422);
    assert_eq!(api.send("POST", "/api/v1/users/bulk", &headers, &bulk).status, 422);
    site.tracker.running().clock().advance(24 * 3600);
    assert_eq!(api.send("POST", target, &headers, &other).status, 200, "a day later it is free");
}

#[test]
fn public_tracker_keeps_no_records_but_bans() {
    let site = Site::start_with(&[]);
    let mut api = site.api();
    for target in ["torrents", "users", "groups", "factors", "torrents/1", "users/1/trace"] {
        assert_eq!(api.get(&format!("/api/v1/{target}")).status, 409, "{target}");
    }
    assert_eq!(api.ask("PUT", "/api/v1/groups/1", &json!({})).status, 409);
    for target in ["stats", "swarms", "bans", "clients"] {
        assert_eq!(api.get(&format!("/api/v1/{target}")).status, 200, "{target}");
    }
    assert_eq!(api.get(&format!("/api/v1/torrents/{}/live", hash(1))).status, 200);
    let announced = || {
        let mut client = site.tracker.udp_client(Ipv4Addr::LOCALHOST);
        client.announce(&announce(torrent(1), 6881, 1)).map(drop)
    };
    for (path, record) in [
        ("/api/v1/bans/127.0.0.0/8", json!({})),
        ("/api/v1/clients/-XX", json!({ "allowed": false })),
        ("/api/v1/clients/-YY", json!({ "allowed": true })),
    ] {
        assert_eq!(announced(), Ok(()));
        assert_eq!(api.ask("PUT", path, &record).status, 201);
        announced().unwrap_err();
        assert_eq!(api.delete(path).status, 204);
    }
    assert_eq!(announced(), Ok(()));
    assert_eq!(api.send("POST", "/api/v1/reload", &[], "").status, 200);
    assert_eq!(body(&api.get("/api/v1/stats"))["mode"], Value::from("public"));
}
