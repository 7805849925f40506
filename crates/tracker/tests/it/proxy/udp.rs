//! Datagrams with a PROXY header in front.
//!
//! What comes back has no header: the proxy knows for whom it is.

use std::net::SocketAddr;

use skep_engine::testing::wire::{self, Answer};
use skep_proto::{AnnounceRequest, ConnectionId, TransactionId};

use super::{FROM_PROXY_UDP, PROXY, STRANGER, header, version_2};
use crate::support::{Tracker, UdpClient, announce, torrent};

const ID: TransactionId = TransactionId([1, 2, 3, 4]);

/// A client of the proxy.
struct Client<'a> {
    proxy: &'a UdpClient,
    address: SocketAddr,
}

impl<'a> Client<'a> {
    fn new(proxy: &'a UdpClient, address: &str) -> Self {
        Self { proxy, address: address.parse().unwrap() }
    }

    fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        [&header(Some(self.address)), payload].concat()
    }

    fn exchange(&self, payload: &[u8]) -> Vec<u8> {
        self.proxy.exchange(&self.datagram(payload))
    }

    fn connect(&self) -> ConnectionId {
        wire::read_udp_connect(&self.exchange(&wire::udp_connect(ID))).expect("a connection id")
    }

    fn announce(&self, request: &AnnounceRequest) -> Result<Answer, String> {
        let reply = self.exchange(&wire::udp_announce(self.connect(), ID, request));
        wire::read_udp_announce(&reply, self.address.is_ipv6())
    }
}

fn dropped(tracker: &Tracker, reason: &str) -> u64 {
    let labels = format!("transport=\"udp\",family=\"ipv4\",reason=\"{reason}\"");
    tracker.metric(&format!("skep_traffic_drops_total{{{labels}}}"))
}

#[test]
fn clients_behind_a_proxy_are_the_peers_and_not_the_proxy() {
    let tracker = Tracker::start(&[FROM_PROXY_UDP]);
    let proxy = tracker.udp_client(PROXY);
    let first = Client::new(&proxy, "203.0.113.5:40001");
    let second = Client::new(&proxy, "203.0.113.6:40002");
    assert_eq!(first.announce(&announce(torrent(1), 6881, 1)).unwrap().peers, []);
    let answer = second.announce(&announce(torrent(1), 6882, 1)).unwrap();
    assert_eq!(answer.peers, ["203.0.113.5:6881".parse().unwrap()]);
}

#[test]
fn client_over_ipv6_behind_a_proxy_over_ipv4_gets_ipv6_peers() {
    let tracker = Tracker::start(&[FROM_PROXY_UDP]);
    let proxy = tracker.udp_client(PROXY);
    let first = Client::new(&proxy, "[2001:db8::5]:40001");
    let second = Client::new(&proxy, "[2001:db8:0:1::6]:40002");
    first.announce(&announce(torrent(1), 6881, 1)).unwrap();
    let answer = second.announce(&announce(torrent(1), 6882, 1)).unwrap();
    assert_eq!(answer.peers, ["[2001:db8::5]:6881".parse().unwrap()]);
}

#[test]
fn connection_id_belongs_to_the_client_and_not_to_the_proxy() {
    let tracker = Tracker::start(&[FROM_PROXY_UDP]);
    let proxy = tracker.udp_client(PROXY);
    let id = Client::new(&proxy, "203.0.113.5:40001").connect();
    let request = wire::udp_announce(id, ID, &announce(torrent(1), 6881, 1));
    let thief = Client::new(&proxy, "203.0.113.6:40001").datagram(&request);
    proxy.send(&thief);
    // Another port of the same address may be what a NAT made of it.
    let reply = Client::new(&proxy, "203.0.113.5:40002").exchange(&request);
    assert!(wire::read_udp_announce(&reply, false).is_ok());
    assert_eq!(dropped(&tracker, "bad_connection_id"), 1);
}

#[test]
fn header_of_a_stranger_is_no_header() {
    let tracker = Tracker::start(&[FROM_PROXY_UDP]);
    let mut stranger = tracker.udp_client(STRANGER);
    stranger.send(&[&header(Some("203.0.113.5:1".parse().unwrap()))[..], &[0; 16]].concat());
    stranger.expect_silence("a header from elsewhere");
    assert_eq!(dropped(&tracker, "bad_connection_id"), 1);
    // Without any proxy, everybody is a stranger.
    let tracker = Tracker::start(&[]);
    let mut proxy = tracker.udp_client(PROXY);
    proxy.send(&Client::new(&proxy, "203.0.113.5:1").datagram(&wire::udp_connect(ID)));
    proxy.expect_silence("a header that nobody reads");
}

#[test]
fn proxy_may_see_whether_the_tracker_answers_and_nothing_more() {
    let tracker = Tracker::start(&[FROM_PROXY_UDP]);
    let proxy = tracker.udp_client(PROXY);
    for itself in [header(None), version_2(0x21, 0, &[4, 0, 1, 0])] {
        let reply = proxy.exchange(&[&itself[..], &wire::udp_connect(ID)].concat());
        let id = wire::read_udp_connect(&reply).expect("a connection id");
        let request = wire::udp_announce(id, ID, &announce(torrent(1), 6881, 1));
        proxy.send(&[&itself[..], &request].concat());
    }
    Client::new(&proxy, "203.0.113.5:40001").connect();
    assert_eq!(dropped(&tracker, "bad_proxy_header"), 2);
    let seen = tracker.udp_client(STRANGER).scrape(&[torrent(1)]).unwrap();
    assert_eq!(seen[0].incomplete, 0);
}

#[test]
fn rules_are_for_the_client_and_not_for_the_proxy() {
    let denied = "--access.addresses_deny=203.0.113.0/24";
    let tracker = Tracker::start(&[FROM_PROXY_UDP, denied, "--access.connects_per_minute_max=3"]);
    let proxy = tracker.udp_client(PROXY);
    let request = announce(torrent(1), 6881, 1);
    let refused = Client::new(&proxy, "203.0.113.5:40001").announce(&request).unwrap_err();
    assert!(refused.contains("address"), "{refused}");
    for third in 1..=4 {
        let address = format!("192.0.{third}.1:40001");
        let client = Client::new(&proxy, &address);
        client.connect();
        client.connect();
    }
    let one = Client::new(&proxy, "192.0.2.1:40001");
    one.connect();
    proxy.send(&one.datagram(&wire::udp_connect(ID)));
    Client::new(&proxy, "192.0.3.1:40001").connect();
    assert_eq!(dropped(&tracker, "rate_limited"), 1);
}

#[test]
fn broken_headers_are_dropped_and_counted() {
    let tracker = Tracker::start(&[FROM_PROXY_UDP]);
    let proxy = tracker.udp_client(PROXY);
    let whole = header(Some("203.0.113.5:40001".parse().unwrap()));
    let line = b"PROXY TCP4 203.0.113.5 127.0.0.1 40001 1337\r\n";
    let longer_than_the_datagram = version_2(0x21, 0x12, &[0; 2100]);
    let none = wire::udp_connect(ID);
    for broken in [&[][..], &whole[..27], line, &longer_than_the_datagram, &none] {
        proxy.send(broken);
    }
    // The header takes nearly all that is kept of a datagram, and what is left is no request.
    proxy.send(&[version_2(0x21, 0x12, &[1; 2030]), vec![9; 600]].concat());
    Client::new(&proxy, "203.0.113.5:40001").connect();
    assert_eq!(dropped(&tracker, "bad_proxy_header"), 5);
    assert_eq!(dropped(&tracker, "too_short"), 1);
}
