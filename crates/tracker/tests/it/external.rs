//! Clients on the tracker's own network, under its public addresses.
//!
//! Everything here comes from loopback addresses; strangers are named by a trusted proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_engine::testing::wire;
use skep_proto::bencode;

use crate::support::{HttpClient, Tracker, announce, load, torrent};

const EXTERNAL: &str = "--announce.external_addresses=192.0.2.7,2001:db8::7";
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 2);

fn start(settings: &[&str]) -> Tracker {
    Tracker::start(&[&["--proxy.trusted=127.10.0.0/16"], settings].concat())
}

/// The peers that somebody far away is given, in order.
fn seen_by_a_stranger(tracker: &Tracker) -> Vec<SocketAddr> {
    let target = wire::http_announce(&announce(torrent(1), 7000, 1));
    let mut proxy = tracker.http_client(PROXY);
    let answer = proxy.get_with(&target, &[("X-Forwarded-For", "203.0.113.5")]);
    let mut peers = wire::read_http_announce(answer.ok()).unwrap().peers;
    peers.sort();
    peers
}

fn local_peers(tracker: &Tracker) {
    tracker.udp_client(Ipv4Addr::LOCALHOST).announce(&announce(torrent(1), 6881, 1)).unwrap();
    tracker.http_client(Ipv4Addr::LOCALHOST).announce(&announce(torrent(1), 6882, 1)).unwrap();
    tracker.udp_client(Ipv6Addr::LOCALHOST).announce(&announce(torrent(1), 6883, 1)).unwrap();
    tracker.http_client(Ipv6Addr::LOCALHOST).announce(&announce(torrent(1), 6884, 1)).unwrap();
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn local_peers_are_handed_out_with_the_public_address_of_their_family() {
    let tracker = start(&[]);
    local_peers(&tracker);
    assert_eq!(seen_by_a_stranger(&tracker), [], "they cannot be reached from outside");
    let tracker = start(&[EXTERNAL]);
    local_peers(&tracker);
    let expected = ["192.0.2.7:6881", "192.0.2.7:6882", "[2001:db8::7]:6883", "[2001:db8::7]:6884"];
    assert_eq!(seen_by_a_stranger(&tracker), sockets(&expected));
    // To each other as well: there is one record of a peer, not one for each who asks.
    let answer = tracker.udp_client(Ipv4Addr::LOCALHOST).announce(&announce(torrent(1), 6885, 1));
    assert!(answer.unwrap().peers.contains(&"192.0.2.7:6881".parse().unwrap()));
}

#[test]
fn family_without_a_public_address_stays_as_it_is() {
    let tracker = start(&["--announce.external_addresses=192.0.2.7"]);
    local_peers(&tracker);
    assert_eq!(seen_by_a_stranger(&tracker), sockets(&["192.0.2.7:6881", "192.0.2.7:6882"]));
}

#[test]
fn strangers_and_those_who_name_their_address_keep_it() {
    let tracker = start(&[EXTERNAL, "--announce.ip_override=local"]);
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    tracker.http_client(Ipv4Addr::LOCALHOST).get(&format!("{target}&ip=198.51.100.9")).ok();
    let target = wire::http_announce(&announce(torrent(1), 6882, 1));
    let mut proxy = tracker.http_client(PROXY);
    proxy.get_with(&target, &[("X-Forwarded-For", "203.0.113.6")]).ok();
    let expected = ["198.51.100.9:6881", "203.0.113.6:6882"];
    assert_eq!(seen_by_a_stranger(&tracker), sockets(&expected));
}

#[test]
fn local_client_that_stops_is_removed() {
    let tracker = start(&[EXTERNAL]);
    let mut request = announce(torrent(1), 6881, 1);
    let mut client = tracker.udp_client(Ipv4Addr::LOCALHOST);
    client.announce(&request).unwrap();
    request.event = skep_proto::AnnounceEvent::Stopped;
    client.announce(&request).unwrap();
    assert_eq!(seen_by_a_stranger(&tracker), []);
}

/// What a client is told of its own address (BEP 24).
fn told(mut client: HttpClient) -> Option<IpAddr> {
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    let answer = client.get(&target);
    let value = bencode::read(answer.ok()).unwrap();
    let packed = value.get(b"external ip").and_then(bencode::Value::as_bytes)?;
    Some(match <[u8; 4]>::try_from(packed) {
        Ok(octets) => octets.into(),
        Err(_) => <[u8; 16]>::try_from(packed).unwrap().into(),
    })
}

#[test]
fn clients_are_told_their_address_in_either_family_if_the_operator_wants_it() {
    let hosts: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let tracker = start(&[]);
    assert_eq!(hosts.map(|ip| told(tracker.http_client(ip))), [None; 2]);
    let tracker = start(&["--announce.external_ip=true"]);
    assert_eq!(hosts.map(|ip| told(tracker.http_client(ip))), hosts.map(Some));
    let tracker = start(&["--announce.external_ip=true", EXTERNAL]);
    let external = ["192.0.2.7", "2001:db8::7"].map(|text| text.parse().ok());
    assert_eq!(hosts.map(|ip| told(tracker.http_client(ip))), external);
}

#[test]
fn public_addresses_are_one_of_each_family() {
    let addresses = load(&[EXTERNAL]).unwrap().config.announce.external_addresses;
    assert_eq!(addresses, ["192.0.2.7", "2001:db8::7"].map(|text| text.parse::<IpAddr>().unwrap()));
}
