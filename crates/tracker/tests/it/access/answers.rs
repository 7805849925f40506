//! Settings that change what answers carry.
//!
//! Which peers are chosen is tested in scenarios.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_engine::testing::wire;

use super::{counts, scrape};
use crate::support::{Tracker, announce, shown, torrent};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn client_without_a_port_is_served_and_not_listed_where_that_is_wanted() {
    let tracker = Tracker::start(&["--announce.port_zero=unlisted"]);
    let listed = announce(torrent(1), 6881, 1);
    tracker.announce_twice(&listed).unwrap();
    let unlisted = announce(torrent(1), 0, 1);
    for ip in [HERE, Ipv4Addr::new(127, 0, 0, 2)] {
        let expected = [SocketAddr::from((HERE, 6881))];
        assert_eq!(tracker.udp_client(ip).announce(&unlisted).unwrap().peers, expected);
        assert_eq!(tracker.http_client(ip).announce(&unlisted).unwrap().peers, expected);
    }
    let other = tracker.announce_twice(&announce(torrent(1), 6882, 1)).unwrap();
    assert_eq!(other.peers, [SocketAddr::from((HERE, 6881))]);
    assert_eq!(counts(&tracker, torrent(1)), (0, 2));
}

#[test]
fn client_without_a_port_is_refused_by_default() {
    let tracker = Tracker::start(&[]);
    let told = tracker.announce_twice(&announce(torrent(1), 0, 1));
    assert_eq!(told, Err("invalid port".into()));
}

#[test]
fn other_family_comes_along_over_http_unless_that_is_off() {
    for (flag, along) in [("true", true), ("false", false)] {
        let tracker = Tracker::start(&[&format!("--announce.cross_family={flag}")]);
        let ipv6 = announce(torrent(1), 6886, 1);
        tracker.udp_client(Ipv6Addr::LOCALHOST).announce(&ipv6).unwrap();
        let ipv4 = announce(torrent(1), 6884, 1);
        let body = tracker.http_client(HERE).get(&wire::http_announce(&ipv4)).body;
        let peers6 = body.windows(8).any(|window| window == b"6:peers6");
        assert_eq!(peers6, along, "{}", shown(&body));
        let peers = wire::read_http_announce(&body).unwrap().peers;
        let expected = SocketAddr::from((Ipv6Addr::LOCALHOST, 6886));
        assert_eq!(peers, if along { vec![expected] } else { vec![] });
        // The other way round.
        let body = tracker.http_client(Ipv6Addr::LOCALHOST).get(&wire::http_announce(&ipv6)).body;
        let peers = wire::read_http_announce(&body).unwrap().peers;
        let expected = SocketAddr::from((HERE, 6884));
        assert_eq!(peers, if along { vec![expected] } else { vec![] });
        // UDP has room for one family alone.
        assert_eq!(tracker.udp_client(HERE).announce(&ipv4).unwrap().peers, []);
    }
}

#[test]
fn plus_sign_is_a_space_or_itself() {
    for (flag, byte) in [("false", b' '), ("true", b'+')] {
        let tracker = Tracker::start(&[&format!("--http.plus_literal={flag}")]);
        let query = "info_hash=++++++++++++++++++++&peer_id=-TR4100-abcdefghijkl&port=6881&left=1";
        wire::read_http_announce(tracker.get(&format!("/announce?{query}")).ok()).unwrap();
        assert_eq!(counts(&tracker, torrent(byte)), (0, 1));
    }
}

#[test]
fn interval_varies_within_its_percentage_and_the_minimum_is_told() {
    let tracker = Tracker::start(&[
        "--announce.interval_secs=1000",
        "--announce.interval_min_secs=700",
        "--announce.interval_jitter_percent=20",
    ]);
    let mut client = tracker.http_client(HERE);
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    let mut seen: Vec<u32> = (0..200)
        .map(|_| {
            let body = client.get(&target).body;
            let value = skep_proto::bencode::read(&body).unwrap();
            let number = |key: &[u8]| value.get(key).and_then(|value| value.as_integer()).unwrap();
            assert_eq!(number(b"min interval"), 700);
            number(b"interval") as u32
        })
        .collect();
    seen.sort_unstable();
    assert!(seen[0] >= 800 && seen[199] <= 1200, "{seen:?}");
    assert!(seen[0] < 950 && seen[199] > 1050, "{seen:?}");
}

#[test]
fn peers_asked_for_are_bounded_as_configured() {
    let tracker = Tracker::start(&[
        "--announce.peers_default=3",
        "--announce.peers_max=5",
        "--swarm.ports_per_address_max=0",
    ]);
    for port in 7000..7020 {
        tracker.udp_client(HERE).announce(&announce(torrent(1), port, 1)).unwrap();
    }
    let request = announce(torrent(1), 6881, 1);
    assert_eq!(tracker.announce_twice(&request).map(|answer| answer.peers.len()), Ok(3));
    for (wanted, got) in [(0, 0), (1, 1), (4, 4), (5, 5), (6, 5), (1000, 5)] {
        let request =
            skep_proto::AnnounceRequest { num_want: skep_proto::NumWant::Count(wanted), ..request };
        assert_eq!(tracker.udp_client(HERE).announce(&request).unwrap().peers.len(), got);
        assert_eq!(tracker.http_client(HERE).announce(&request).unwrap().peers.len(), got);
    }
}

#[test]
fn scrape_beyond_its_bound_is_answered_as_far_as_it_goes() {
    let tracker = Tracker::start(&["--scrape.hashes_max=2"]);
    let info_hashes = [torrent(3), torrent(2), torrent(1)];
    tracker.announce_twice(&announce(torrent(1), 6881, 1)).unwrap();
    let by_udp = tracker.udp_client(HERE).scrape(&info_hashes).unwrap();
    assert_eq!(by_udp.len(), 2);
    let body = tracker.http_client(HERE).get(&wire::http_scrape(&info_hashes)).body;
    let value = skep_proto::bencode::read(&body).unwrap();
    let files = value.get(b"files").unwrap();
    let has = |byte| files.get(torrent(byte).as_bytes()).is_some();
    assert_eq!([has(3), has(2), has(1)], [true, true, false]);
    assert_eq!(scrape(&tracker, torrent(1)).incomplete, 1);
}
