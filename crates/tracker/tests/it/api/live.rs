//! What the API shows of what is going on: sums, swarms, peers, and announces that are followed.
//!
//! Announces come over real sockets.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{Site, hash};
use crate::support::api::json as body;
use crate::support::{announce, torrent};

fn announced(site: &Site, byte: u8, port: u16, left_bytes: u64) {
    let mut client = site.tracker.udp_client(Ipv4Addr::LOCALHOST);
    client.announce(&announce(torrent(byte), port, left_bytes)).unwrap();
}

#[test]
fn greatest_swarms_come_first() {
    let site = Site::start_with(&[]);
    for (byte, port, left_bytes) in
        [(1, 1, 0), (1, 2, 5), (2, 1, 5), (2, 2, 5), (2, 3, 5), (3, 1, 0), (3, 2, 0)]
    {
        announced(&site, byte, 7000 + port, left_bytes);
    }
    let list = |query: &str| {
        let list = body(&site.api().get(&format!("/api/v1/swarms{query}")));
        let hashes: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|swarm| swarm["info_hash"].clone())
            .collect();
        hashes
    };
    assert_eq!(list("?by=seeders"), [hash(3), hash(1), hash(2)]);
    assert_eq!(list("?by=leechers&limit=2"), [hash(2), hash(1)]);
    assert_eq!(list("")[0], hash(2));
    let stats = body(&site.api().get("/api/v1/stats"));
    assert_eq!((&stats["torrents"], &stats["peers"]), (&json!(3), &json!(7)));
    assert_eq!((&stats["seeders"], &stats["leechers"]), (&json!(3), &json!(4)));
    assert_eq!(stats["traffic"][0]["transport"], "udp");
    assert!(stats["traffic"][0]["requests"].as_u64().unwrap() >= 14, "{stats}");
}

#[test]
fn swarm_of_a_torrent_is_shown_with_as_many_peers_as_wanted() {
    let site = Site::start();
    let record = json!({ "info_hash": hash(1), "name": "A" });
    assert_eq!(site.api().ask("PUT", "/api/v1/torrents/7", &record).status, 201);
    announced(&site, 1, 7001, 0);
    announced(&site, 1, 7002, 5);
    let live = body(&site.api().get("/api/v1/torrents/7/live"));
    let crowd = json!({ "seeders": 1, "leechers": 1, "partial_seeds": 0 });
    assert_eq!(live["swarm"]["peers"], crowd);
    assert_eq!((&live["swarm"]["id"], &live["swarm"]["name"]), (&json!(7), &json!("A")));
    assert_eq!((&live["list"], &live["list_left_out"]), (&json!([]), &json!(2)));
    let live = body(&site.api().get(&format!("/api/v1/torrents/{}/live?peers=9", hash(1))));
    let mut peers = live["list"].as_array().unwrap().clone();
    peers.sort_by_key(|peer| peer["port"].as_u64());
    assert_eq!(peers.len(), 2);
    assert_eq!((&peers[0]["port"], &peers[0]["class"]), (&json!(7001), &json!("seeder")));
    assert_eq!(
        (&peers[1]["address"], &peers[1]["class"]),
        (&json!("127.0.0.1"), &json!("leecher"))
    );
    let unknown = body(&site.api().get(&format!("/api/v1/torrents/{}/live", hash(9))));
    assert_eq!(unknown["swarm"]["peers"]["seeders"], 0);
}

#[test]
fn announces_are_followed_from_when_it_is_asked_for_until_it_ends() {
    let site = Site::start_with(&[]);
    let path = format!("/api/v1/torrents/{}/trace", hash(1));
    let mut api = site.api();
    assert_eq!(api.get(&path).status, 404);
    announced(&site, 1, 7000, 5);
    let put = api.ask("PUT", &path, &json!({ "minutes": 10, "records_max": 2 }));
    assert_eq!((put.status, &body(&put)["records"]), (200, &json!([])));
    for port in [7001, 7002, 7003] {
        announced(&site, 1, port, 5);
        announced(&site, 2, port, 5);
    }
    let trace = body(&api.get(&path));
    assert_eq!((&trace["seen"], trace["records"].as_array().unwrap().len()), (&json!(3), 2));
    let last = &trace["records"][1];
    let (port, event) = (&last["port"], &last["event"]);
    assert_eq!((port, event), (&json!(7003), &json!("started")));
    assert_eq!((&last["address"], &last["left_bytes"]), (&json!("127.0.0.1"), &json!(5)));
    assert_eq!((&last["leechers"], &last["peers_given"]), (&json!(4), &json!(3)));
    assert_eq!(last["user"], Value::Null);
    site.tracker.running().clock().advance(600);
    announced(&site, 1, 7004, 5);
    let trace = body(&api.get(&path));
    assert_eq!((&trace["seen"], &trace["secs_left"]), (&json!(3), &json!(0)));
    assert_eq!(api.delete(&path).status, 204);
    assert_eq!(api.delete(&path).status, 404);
}

#[test]
fn announces_of_a_user_are_followed_without_the_passkey() {
    let site = Site::start_with(&["--mode=private"]);
    let mut api = site.api();
    for (id, passkey) in [(1, "z9z9z9z9z9"), (2, "y8y8y8y8y8")] {
        let user = json!({ "passkey": passkey });
        assert_eq!(api.ask("PUT", &format!("/api/v1/users/{id}"), &user).status, 201);
    }
    assert_eq!(api.ask("PUT", "/api/v1/torrents/1", &json!({ "info_hash": hash(1) })).status, 201);
    let put = api.ask("PUT", "/api/v1/users/1/trace", &json!({ "minutes": 1 }));
    assert_eq!(put.status, 200);
    for passkey in ["z9z9z9z9z9", "y8y8y8y8y8"] {
        let target = skep_engine::testing::wire::http_announce(&announce(torrent(1), 7001, 5));
        site.tracker.get(&format!("/{passkey}{target}")).ok();
    }
    let answer = api.get("/api/v1/users/1/trace");
    let trace = body(&answer);
    assert_eq!((&trace["seen"], &trace["records"][0]["user"]), (&json!(1), &json!(1)));
    assert!(!answer.text().contains("z9"), "{}", answer.text());
    let live = api.get("/api/v1/users/1/live");
    assert_eq!((live.status, &body(&live)["sessions_left_out"]), (200, &json!(0)));
    assert_eq!(api.get("/api/v1/users/3/live").status, 404);
}
