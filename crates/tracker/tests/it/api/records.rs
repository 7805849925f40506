//! Torrents, users, groups, factors, clients and bans: put, read, changed, listed, removed.

use serde_json::{Value, json};

use super::{Site, hash};
use crate::support::api::{faults, json as body};
use crate::support::{announce, torrent};

#[test]
fn torrent_is_put_read_changed_and_removed() {
    let site = Site::start();
    let mut api = site.api();
    let put = api.ask("PUT", "/api/v1/torrents/7", &json!({ "info_hash": hash(7), "name": "A" }));
    assert_eq!((put.status, put.header("Location")), (201, Some("/api/v1/torrents/7")));
    let expected = json!({
        "id": 7, "info_hash": hash(7), "name": "A", "state": "approved", "reason": null,
        "owner": null, "group": 0, "upload": 1000, "download": 1000, "key_salt": 0,
    });
    assert_eq!(body(&put), expected);
    for named in ["7".to_owned(), hash(7), hash(7).to_uppercase()] {
        let got = api.get(&format!("/api/v1/torrents/{named}"));
        assert_eq!((got.status, body(&got)), (200, expected.clone()), "{named}");
        assert_eq!(got.header("ETag"), put.header("ETag"));
    }
    let path = format!("/api/v1/torrents/{}", hash(7));
    let patch = json!({ "state": "pending", "owner": 5, "name": null });
    let patched = body(&api.ask("PATCH", &path, &patch));
    assert_eq!((&patched["state"], &patched["owner"]), (&json!("pending"), &json!(5)));
    assert_eq!((&patched["name"], &patched["info_hash"]), (&Value::Null, &json!(hash(7))));
    // What a whole record leaves out has its default.
    let again = api.ask("PUT", "/api/v1/torrents/7", &json!({ "info_hash": hash(8) }));
    assert_eq!((again.status, &body(&again)["owner"]), (200, &Value::Null));
    assert_eq!(api.get(&path).status, 404, "it has another info hash");
    assert_eq!(api.delete("/api/v1/torrents/7").status, 204);
    assert_eq!(api.delete("/api/v1/torrents/7").status, 404);
    assert_eq!(api.get("/api/v1/torrents/7").status, 404);
}

#[test]
fn what_is_read_can_be_put_again() {
    let (_site, mut api) = Site::with_every_scope();
    for (path, record) in [
        ("/api/v1/torrents/1", json!({ "info_hash": hash(1), "state": "banned", "reason": "x" })),
        ("/api/v1/users/1", json!({ "passkey": "0123456789abcdef", "slots": 3, "hidden": true })),
        ("/api/v1/groups/1", json!({ "name": "Staff", "download": 0, "may_leech": false })),
        ("/api/v1/factors/1", json!({ "scope": "token", "user": 1, "torrent": 1, "download": 0 })),
        (
            "/api/v1/factors/2",
            json!({ "starts_unix_secs": 5, "budget_bytes": 9007199254740991_u64 }),
        ),
        ("/api/v1/clients/-XX", json!({ "allowed": false })),
        ("/api/v1/bans/192.0.2.0/24", json!({ "reason": "noise" })),
        ("/api/v1/bans/2001:db8::/32", json!({})),
    ] {
        assert_eq!(api.ask("PUT", path, &record).status, 201, "{path}");
        let query = if path.contains("users") { "?passkeys=true" } else { "" };
        let mut read = body(&api.get(&format!("{path}{query}")));
        for (name, value) in record.as_object().unwrap() {
            assert_eq!(&read[name], value, "{path}");
        }
        // Clients and bans are named by their path alone.
        if path.contains("clients") || path.contains("bans") {
            let fields = read.as_object_mut().unwrap();
            fields.retain(|name, _| ["allowed", "reason"].contains(&name.as_str()));
        }
        assert_eq!(api.ask("PUT", path, &read).status, 200, "{path}");
        assert_eq!(api.delete(path).status, 204, "{path}");
        assert_eq!(api.get(path).status, 404, "{path}");
    }
}

#[test]
fn lists_come_in_pages_by_number() {
    let site = Site::start();
    let mut api = site.api();
    for id in [9_u8, 3, 200, 4, 50] {
        let state = if id == 4 { "pending" } else { "approved" };
        let record = json!({ "info_hash": hash(id), "state": state });
        api.ask("PUT", &format!("/api/v1/torrents/{id}"), &record);
    }
    let mut page = |query: &str| {
        let page = body(&api.get(&format!("/api/v1/torrents?{query}")));
        let ids: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap()).collect();
        (ids, page["next"].clone())
    };
    assert_eq!(page(""), (vec![3, 4, 9, 50, 200], Value::Null));
    assert_eq!(page("limit=2"), (vec![3, 4], json!(4)));
    assert_eq!(page("limit=2&after=4"), (vec![9, 50], json!(50)));
    assert_eq!(page("limit=2&after=50"), (vec![200], Value::Null));
    assert_eq!(page("limit=5"), (vec![3, 4, 9, 50, 200], Value::Null));
    assert_eq!(page("state=pending"), (vec![4], Value::Null));
}

#[test]
fn every_field_that_does_not_fit_is_named_and_no_value_repeated() {
    let site = Site::start();
    let mut api = site.api();
    let long = "x".repeat(161);
    for (path, record, named) in [
        ("torrents/1", json!({}), &["info_hash"][..]),
        ("torrents/1", json!([]), &["body"]),
        ("torrents/1", json!({ "info_hash": hash(1), "id": 2 }), &["id"]),
        (
            "torrents/1",
            json!({ "info_hash": "zz", "name": "a\nb", "owner": 0, "reason": long, "state": "z9" }),
            &["info_hash", "name", "owner", "reason", "state"],
        ),
        ("torrents/1", json!({ "info_hash": hash(1), "upload": -1 }), &["upload"]),
        ("torrents/1", json!({ "info_hash": hash(1), "upload": 1_000_001 }), &["upload"]),
        (
            "torrents/1",
            json!({ "info_hash": hash(1), "upload": 1.5, "colour": 1 }),
            &["colour", "upload"],
        ),
        ("users/1", json!({ "passkey": "z9short" }), &["passkey"]),
        ("users/1", json!({ "passkey": "z9".repeat(33) }), &["passkey"]),
        ("users/1", json!({ "passkey": "z9z9z9z9/z9" }), &["passkey"]),
        ("users/1", json!({ "passkey": "z9z9z9z9", "hidden": 1 }), &["hidden"]),
        ("users/1", json!({ "z9z9z9z9": 1, "passkey": "01234567" }), &["?"]),
        ("users/1", json!({ "passkey": "z9z9z9z9", "slots": 4294967295_u32 }), &["slots"]),
        ("factors/1", json!({ "scope": "token", "user": 1 }), &["torrent"]),
        ("factors/1", json!({ "scope": "site", "user": 1 }), &["user"]),
        ("factors/1", json!({ "starts_unix_secs": 9, "ends_unix_secs": 9 }), &["ends_unix_secs"]),
        ("factors/1", json!({ "budget_bytes": 9007199254740992_u64 }), &["budget_bytes"]),
        ("clients/a.b", json!({ "allowed": true }), &["prefix"]),
        ("clients/XX", json!({}), &["allowed"]),
        ("bans/192.0.2.1/24", json!({}), &["address"]),
        ("bans/192.0.2.0/33", json!({}), &["prefix_len"]),
    ] {
        let answer = api.ask("PUT", &format!("/api/v1/{path}"), &record);
        assert_eq!((answer.status, faults(&answer)), (422, strings(named)), "{path} {record}");
        assert!(!answer.text().contains("z9"), "{}", answer.text());
    }
    assert_eq!(body(&api.get("/api/v1/stats"))["records"]["torrents"], 0);
}

#[test]
fn nothing_that_belongs_to_another_is_taken() {
    let site = Site::start();
    let mut api = site.api();
    let user = json!({ "passkey": "z9z9z9z9" });
    assert_eq!(api.ask("PUT", "/api/v1/users/1", &user).status, 201);
    let answer = api.ask("PUT", "/api/v1/users/2", &user);
    assert_eq!((answer.status, faults(&answer)), (409, strings(&["passkey"])));
    assert!(!answer.text().contains("z9"), "{}", answer.text());
    assert_eq!(api.ask("PUT", "/api/v1/users/1", &user).status, 200, "it is its own");
    assert_eq!(api.ask("PUT", "/api/v1/torrents/1", &json!({ "info_hash": hash(1) })).status, 201);
    assert_eq!(api.ask("PUT", "/api/v1/torrents/2", &json!({ "info_hash": hash(2) })).status, 201);
    let answer = api.ask("PATCH", "/api/v1/torrents/2", &json!({ "info_hash": hash(1) }));
    assert_eq!((answer.status, faults(&answer)), (409, strings(&["info_hash"])));
}

#[test]
fn many_records_are_changed_all_or_none() {
    let site = Site::start();
    let mut api = site.api();
    let of = |id: u32| json!({ "id": id, "info_hash": format!("{id:040x}") });
    let put: Vec<_> = (1..=5000).map(of).collect();
    let done = api.ask("POST", "/api/v1/torrents/bulk", &json!({ "put": put }));
    assert_eq!(body(&done), json!({ "put": 5000, "created": 5000, "removed": 0 }));
    let count = |expected: u32| {
        assert_eq!(body(&site.api().get("/api/v1/stats"))["records"]["torrents"], expected);
    };
    count(5000);
    let mixed = json!({
        "remove": [1, 0, 2, 1],
        "put": [of(6000), { "id": 6000, "info_hash": "z" }, { "info_hash": hash(1) }, of(2), 7],
    });
    let refused = api.ask("POST", "/api/v1/torrents/bulk", &mixed);
    let expected = [
        "remove/1",
        "remove/3",
        "put/1/id",
        "put/1/info_hash",
        "put/2/id",
        "put/3/id",
        "put/4/id",
        "put/4",
    ];
    assert_eq!((refused.status, faults(&refused)), (422, strings(&expected)));
    // The hash of 1 is free once 1 is removed; that of 2 is not.
    let mut taken = json!({ "remove": [1], "put": [
        { "id": 6000, "info_hash": format!("{:040x}", 1) },
        { "id": 6001, "info_hash": format!("{:040x}", 2) },
    ] });
    let refused = api.ask("POST", "/api/v1/torrents/bulk", &taken);
    assert_eq!((refused.status, faults(&refused)), (409, strings(&["put/1/info_hash"])));
    count(5000);
    taken["put"].as_array_mut().unwrap().pop();
    let done = api.ask("POST", "/api/v1/torrents/bulk", &taken);
    assert_eq!(body(&done), json!({ "put": 1, "created": 1, "removed": 1 }));
    count(5000);
    let same = json!({ "put": [
        { "id": 1, "passkey": "01234567" }, { "id": 2, "passkey": "01234567" },
    ] });
    let refused = api.ask("POST", "/api/v1/users/bulk", &same);
    assert_eq!((refused.status, faults(&refused)), (409, strings(&["put/1/passkey"])));
}

#[test]
fn banned_removed_or_renamed_torrent_loses_its_swarm() {
    let site = Site::start();
    let mut api = site.api();
    let bulk = "/api/v1/torrents/bulk";
    let record = json!({ "info_hash": hash(1) });
    for (method, path, change) in [
        ("PATCH", "/api/v1/torrents/1", json!({ "state": "banned" })),
        ("PATCH", "/api/v1/torrents/1", json!({ "state": "deleted" })),
        ("PUT", "/api/v1/torrents/1", json!({ "info_hash": hash(9) })),
        ("DELETE", "/api/v1/torrents/1", json!({})),
        ("POST", bulk, json!({ "remove": [1] })),
        ("POST", bulk, json!({ "put": [{ "id": 1, "info_hash": hash(1), "state": "banned" }] })),
    ] {
        assert!(api.ask("PUT", "/api/v1/torrents/1", &record).status < 300);
        let mut client = site.tracker.udp_client(std::net::Ipv4Addr::LOCALHOST);
        client.announce(&announce(torrent(1), 6881, 1)).unwrap();
        let live = format!("/api/v1/torrents/{}/live", hash(1));
        let leechers = || body(&site.api().get(&live))["swarm"]["peers"]["leechers"].clone();
        assert!(api.ask("PATCH", "/api/v1/torrents/1", &json!({ "name": "x" })).status == 200);
        assert_eq!(leechers(), 1);
        assert!(api.ask(method, path, &change).status < 300, "{method} {path}");
        assert_eq!(leechers(), 0, "{method} {path}");
    }
}

#[test]
fn torrent_that_is_registered_anew_keeps_its_swarm() {
    let site = Site::start();
    let mut api = site.api();
    let record = json!({ "info_hash": hash(1) });
    assert_eq!(api.ask("PUT", "/api/v1/torrents/5", &record).status, 201);
    let mut client = site.tracker.udp_client(std::net::Ipv4Addr::LOCALHOST);
    client.announce(&announce(torrent(1), 6881, 1)).unwrap();
    let change = json!({ "remove": [5], "put": [{ "id": 9, "info_hash": hash(1) }] });
    assert_eq!(api.ask("POST", "/api/v1/torrents/bulk", &change).status, 200);
    let live = body(&api.get(&format!("/api/v1/torrents/{}/live", hash(1))));
    assert_eq!((&live["swarm"]["id"], &live["swarm"]["peers"]["leechers"]), (&json!(9), &json!(1)));
}

#[test]
fn passkeys_are_shown_when_asked_for_alone() {
    let (_site, mut api) = Site::with_every_scope();
    let put = api.ask("PUT", "/api/v1/users/1", &json!({ "passkey": "z9z9z9z9" }));
    let patched = api.ask("PATCH", "/api/v1/users/1", &json!({ "slots": 1 }));
    for answer in [put, patched, api.get("/api/v1/users/1"), api.get("/api/v1/users")] {
        assert!(answer.status < 300 && !answer.text().contains("z9"), "{}", answer.text());
    }
    for target in ["/api/v1/users/1?passkeys=true", "/api/v1/users?passkeys=true"] {
        assert!(api.get(target).text().contains("\"passkey\":\"z9z9z9z9\""), "{target}");
    }
}

#[test]
fn lists_are_verified_in_two_steps() {
    let site = Site::start();
    let mut api = site.api();
    let user = |id: u32, slots: Option<u32>| json!({ "id": id, "passkey": format!("passkey{id:05}"), "slots": slots });
    let digest = |id: u32, slots: &str| {
        let text = format!("{id}\npasskey{id:05}\n0\n1\n0\n0\n{slots}\n\n1000\n1000\n0");
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(text.as_bytes());
        u64::from_be_bytes(hash[..8].try_into().unwrap())
    };
    let put: Vec<_> = [1, 2, 12, 13, 25].map(|id| user(id, (id == 2).then_some(3))).into();
    assert_eq!(api.ask("POST", "/api/v1/users/bulk", &json!({ "put": put })).status, 200);
    let buckets = |second: u64| {
        let first = digest(1, "") ^ digest(2, "3");
        json!({ "bucket_ids": 10, "buckets": [
            { "bucket": 0, "count": 2, "digest": format!("{first:016x}") },
            { "bucket": 1, "count": 2, "digest": format!("{second:016x}") },
            { "bucket": 2, "count": 1, "digest": format!("{:016X}", digest(25, "")) },
        ] })
    };
    let path = "/api/v1/users/verify/buckets";
    let same = body(&api.ask("POST", path, &buckets(digest(12, "") ^ digest(13, ""))));
    assert_eq!(same, json!({ "differing": [] }));
    let other = body(&api.ask("POST", path, &buckets(digest(12, "") ^ digest(14, ""))));
    assert_eq!(other, json!({ "differing": [1] }));
    let none = body(&api.ask("POST", path, &json!({ "bucket_ids": 10, "buckets": [] })));
    assert_eq!(none, json!({ "differing": [0, 1, 2] }));
    let records = json!({ "first": 10, "last": 19, "records": [
        { "id": 12, "digest": format!("{:016x}", digest(12, "7")) },
        { "id": 14, "digest": format!("{:016x}", digest(14, "")) },
    ] });
    let said = body(&api.ask("POST", "/api/v1/users/verify/records", &records));
    assert_eq!(said, json!({ "missing": [14], "surplus": [13], "differing": [12] }));
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
