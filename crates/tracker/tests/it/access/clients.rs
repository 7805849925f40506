//! Clients, addresses and ports that are refused, and who a client is taken to be.
//!
//! Torrents are tested beside this.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_engine::testing::wire::{self, Answer};
use skep_proto::{AnnounceRequest, PeerId};

use super::counts;
use crate::support::{HttpClient, Tracker, announce, torrent};

fn local(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// What a client at an address is told, over both transports alike.
fn told(tracker: &Tracker, ip: impl Into<IpAddr>, request: &AnnounceRequest) -> Result<(), String> {
    let ip = ip.into();
    let by_udp = tracker.udp_client(ip).announce(request).map(drop);
    let by_http = tracker.http_client(ip).announce(request).map(drop);
    assert_eq!(by_udp, by_http);
    by_udp
}

#[test]
fn clients_are_chosen_by_the_beginning_of_their_peer_id() {
    let flags = ["--access.clients_allow=-XX,TR,M7", "--access.clients_deny=-XX0002,TR29"];
    let tracker = Tracker::start(&flags);
    for (peer_id, allowed) in [
        ("-XX0001-aaaaaaaaaaaa", true),
        ("-XX0002-aaaaaaaaaaaa", false),
        ("-TR3000-aaaaaaaaaaaa", true),
        ("-TR2940-aaaaaaaaaaaa", false),
        ("M7-2-1--aaaaaaaaaaaa", true),
        ("-qB5010-aaaaaaaaaaaa", false),
        ("aaaa-XX0001-aaaaaaaa", false),
    ] {
        let request = AnnounceRequest {
            peer_id: PeerId(peer_id.as_bytes().try_into().unwrap()),
            ..announce(torrent(1), 6881, 1)
        };
        let expected = if allowed { Ok(()) } else { Err("client not allowed".into()) };
        assert_eq!(told(&tracker, local(1), &request), expected, "{peer_id}");
    }
}

#[test]
fn addresses_are_refused_by_range() {
    let tracker = Tracker::start(&["--access.addresses_deny=127.0.0.8/29,::1"]);
    let request = announce(torrent(1), 6881, 1);
    for (last, allowed) in [(7, true), (8, false), (15, false), (16, true)] {
        let expected = if allowed { Ok(()) } else { Err("address not allowed".into()) };
        assert_eq!(told(&tracker, local(last), &request), expected, "{last}");
    }
    let ipv6 = told(&tracker, Ipv6Addr::LOCALHOST, &request);
    assert_eq!(ipv6, Err("address not allowed".into()));
    assert_eq!(counts(&tracker, torrent(1)), (0, 2), "only the allowed are there");
}

#[test]
fn ports_of_services_are_refused_where_that_is_wanted() {
    for (flag, refused) in [("true", true), ("false", false)] {
        let tracker = Tracker::start(&[&format!("--access.ports_reserved_deny={flag}")]);
        for port in [1, 25, 53, 1023, 3389] {
            let told = told(&tracker, local(1), &announce(torrent(1), port, 1));
            assert_eq!(told.is_err(), refused, "port {port}");
            assert!(told.is_ok() || told == Err("invalid port".into()));
        }
        for port in [80, 443, 1024, 6881] {
            assert_eq!(told(&tracker, local(1), &announce(torrent(1), port, 1)), Ok(()), "{port}");
        }
    }
}

/// Announces over HTTP with one more header and returns the answer or the failure.
fn through_proxy(
    tracker: &Tracker,
    from: Ipv4Addr,
    request: &AnnounceRequest,
    header: (&str, &str),
) -> Result<Answer, String> {
    let mut client = HttpClient::connect_from(from.into(), tracker.http());
    let answer = client.get_with(&wire::http_announce(request), &[header]);
    wire::read_http_announce(answer.ok())
}

#[test]
fn client_behind_a_proxy_is_the_one_whom_the_proxy_names() {
    let named: SocketAddr = "198.51.100.7:6881".parse().unwrap();
    for (header, value) in [
        ("X-Forwarded-For", "6.6.6.6, 198.51.100.7"),
        ("X-Real-IP", "198.51.100.7"),
        ("Forwarded", "for=6.6.6.6, for=198.51.100.7;proto=https;by=10.0.0.1"),
        ("Forwarded", "For=\"198.51.100.7:4711\""),
    ] {
        let setting = format!("--proxy.header={header}");
        let tracker = Tracker::start(&["--proxy.trusted=127.0.0.2", &setting]);
        let first = announce(torrent(1), 6881, 1);
        through_proxy(&tracker, local(2), &first, (header, value)).unwrap();
        let second = announce(torrent(1), 6882, 1);
        let other = (header, "for=192.0.2.1");
        let other = if header == "Forwarded" { other } else { (header, "192.0.2.1") };
        let peers = through_proxy(&tracker, local(2), &second, other).unwrap().peers;
        assert_eq!(peers, [named], "{header}: {value}");
    }
}

#[test]
fn nobody_else_can_name_another_address() {
    let tracker = Tracker::start(&["--proxy.trusted=127.0.0.2"]);
    let header = ("X-Forwarded-For", "198.51.100.7");
    through_proxy(&tracker, local(3), &announce(torrent(1), 6881, 1), header).unwrap();
    let peers = tracker.announce_twice(&announce(torrent(1), 6882, 1)).unwrap().peers;
    assert_eq!(peers, [SocketAddr::from((local(3), 6881))]);
}

#[test]
fn proxy_that_names_nobody_is_no_peer() {
    let tracker = Tracker::start(&["--proxy.trusted=127.0.0.2"]);
    let request = announce(torrent(1), 6881, 1);
    let failed = Err("proxy did not supply client address".to_owned());
    for header in [("X-Other", "198.51.100.7"), ("X-Forwarded-For", "unknown")] {
        assert_eq!(through_proxy(&tracker, local(2), &request, header), failed);
    }
    // A proxy has no part in UDP.
    tracker.udp_client(local(2)).announce(&request).unwrap();
    assert_eq!(counts(&tracker, torrent(1)), (0, 1));
}

#[test]
fn claimed_address_is_believed_of_local_clients_alone_and_only_if_wanted() {
    let claim = |tracker: &Tracker, claimed: &str, header: Option<&str>| {
        let target = wire::http_announce(&announce(torrent(1), 6881, 1));
        let headers: Vec<_> = header.map(|ip| ("X-Forwarded-For", ip)).into_iter().collect();
        let mut client = HttpClient::connect(tracker.http());
        let body = client.get_with(&format!("{target}&ip={claimed}"), &headers).body;
        wire::read_http_announce(&body).unwrap();
        let mut ips = Vec::new();
        tracker.running().store().for_each_peer(&mut |peer| {
            let endpoint = peer.endpoint.unwrap();
            ips.push(match endpoint.len() {
                6 => IpAddr::from(<[u8; 4]>::try_from(&endpoint[..4]).unwrap()),
                _ => IpAddr::from(<[u8; 16]>::try_from(&endpoint[..16]).unwrap()),
            });
        });
        ips
    };
    let here: IpAddr = local(1).into();
    let global: IpAddr = "198.51.100.9".parse().unwrap();
    let start = |flags: &[&str]| Tracker::start(flags);
    let tracker = start(&[]);
    assert_eq!(claim(&tracker, "198.51.100.9", None), [here], "off by default");
    let tracker = start(&["--announce.ip_override=local"]);
    assert_eq!(claim(&tracker, "198.51.100.9", None), [global]);
    for not_global in ["10.0.0.1", "224.0.0.1", "0.0.0.0", "host.example"] {
        let tracker = start(&["--announce.ip_override=local"]);
        assert_eq!(claim(&tracker, not_global, None), [here], "{not_global}");
    }
    // A client that is known to come from elsewhere is not on the tracker's own network.
    let tracker = start(&["--announce.ip_override=local", "--proxy.trusted=127.0.0.0/8"]);
    let from: IpAddr = "203.0.113.5".parse().unwrap();
    assert_eq!(claim(&tracker, "198.51.100.9", Some("203.0.113.5")), [from]);
}

#[test]
fn claimed_address_of_udp_follows_the_same_rule() {
    for (flag, expected) in [("off", local(1)), ("local", Ipv4Addr::new(198, 51, 100, 9))] {
        let tracker = Tracker::start(&[&format!("--announce.ip_override={flag}")]);
        let mut client = tracker.udp_client(local(1));
        let id = client.connect();
        let number = skep_proto::TransactionId([1; 4]);
        let mut datagram = wire::udp_announce(id, number, &announce(torrent(1), 6881, 1));
        // BEP 15: the address is at 84.
        datagram[84..88].copy_from_slice(&[198, 51, 100, 9]);
        client.exchange(&datagram);
        let mut endpoints = Vec::new();
        let store = tracker.running().store();
        store.for_each_peer(&mut |peer| endpoints.push(peer.endpoint.unwrap().to_vec()));
        assert_eq!(endpoints, [[&expected.octets()[..], &6881u16.to_be_bytes()].concat()]);
    }
}
