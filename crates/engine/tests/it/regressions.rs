//! Mistakes that trackers are known for, or that this one once made, one test each.
//!
//! Those that show in the bytes of one request alone are with the codec.

use std::net::{IpAddr, SocketAddr};

use fastrand::Rng;
use skep_engine::gate::RateTable;
use skep_engine::session::Policy;
use skep_engine::swarm::{Announce, Announced, Moment, PeerRoom, Shard, SwarmSettings, Swept};
use skep_engine::testing::offline::OfflineTracker;
use skep_engine::testing::wire;
use skep_engine::{Seed, Tick};
use skep_proto::udp::CONNECT_MAGIC;
use skep_proto::{
    AnnounceEvent, AnnounceRequest, ConnectionId, InfoHash, NumWant, PeerId, PeerKey,
    TransactionId, bencode,
};

const IH: InfoHash = InfoHash([0x61; 20]);
const TRANSACTION: TransactionId = TransactionId([1, 2, 3, 4]);
/// The query of an announce that nothing is wrong with.
const QUERY: &str =
    "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-TR4100-abcdefghijkl&port=6881";

fn tracker() -> OfflineTracker {
    OfflineTracker::new(Policy::default(), SwarmSettings::default(), 11)
}

fn endpoint(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn request(left_bytes: Option<u64>) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: IH,
        peer_id: PeerId(*b"-TR4100-abcdefghijkl"),
        port: 6881,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes,
        event: AnnounceEvent::None,
        num_want: NumWant::Default,
        peer_key: PeerKey::default(),
    }
}

fn connect(tracker: &mut OfflineTracker, source: SocketAddr) -> ConnectionId {
    let reply = tracker.udp(source, &wire::udp_connect(TRANSACTION));
    wire::read_udp_connect(&reply.unwrap()).unwrap()
}

fn announce(
    tracker: &mut OfflineTracker,
    source: SocketAddr,
    request: &AnnounceRequest,
) -> Vec<u8> {
    let id = connect(tracker, source);
    let datagram = wire::udp_announce(id, TRANSACTION, request);
    tracker.udp(source, &datagram).expect("an answer")
}

fn peers(tracker: &mut OfflineTracker, source: SocketAddr) -> Vec<SocketAddr> {
    let reply = announce(tracker, source, &request(Some(1)));
    wire::read_udp_announce(&reply, source.is_ipv6()).unwrap().peers
}

#[test]
fn bad_connection_id_gets_no_answer_whatever_follows() {
    let mut tracker = tracker();
    let source = endpoint("192.0.2.1:6881");
    let empty = tracker.shard.heap_bytes();
    let mut rng = Rng::with_seed(5);
    for length in 0..400 {
        for action in [0, 1, 2, 3, 4, 7, u32::MAX] {
            let mut datagram: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
            if let Some(bytes) = datagram.get_mut(8..12) {
                bytes.copy_from_slice(&action.to_be_bytes());
            }
            assert_eq!(tracker.udp(source, &datagram), None, "{length} bytes, action {action}");
        }
    }
    // The constant that anybody knows proves nothing.
    let magic = wire::udp_announce(ConnectionId(CONNECT_MAGIC), TRANSACTION, &request(Some(1)));
    assert_eq!(tracker.udp(source, &magic), None);
    assert_eq!(tracker.shard.heap_bytes(), empty, "forged requests cost memory");
}

#[test]
fn connect_is_answered_with_no_more_bytes_than_it_has() {
    let mut tracker = tracker();
    for extra in [0, 1, 2000] {
        let mut datagram = wire::udp_connect(TRANSACTION);
        datagram.resize(16 + extra, 0);
        let reply = tracker.udp(endpoint("192.0.2.1:6881"), &datagram).unwrap();
        assert_eq!(reply.len(), 16);
    }
}

#[test]
fn connection_id_depends_on_the_address_and_not_on_the_port() {
    let mut tracker = tracker();
    let id = connect(&mut tracker, endpoint("192.0.2.1:6881"));
    let datagram = wire::udp_announce(id, TRANSACTION, &request(Some(1)));
    assert!(tracker.udp(endpoint("192.0.2.1:1025"), &datagram).is_some());
    assert!(tracker.udp(endpoint("[::ffff:192.0.2.1]:1025"), &datagram).is_some());
    assert!(tracker.udp(endpoint("192.0.2.2:6881"), &datagram).is_none());
    let mut other = OfflineTracker::new(Policy::default(), SwarmSettings::default(), 12);
    assert!(other.udp(endpoint("192.0.2.1:6881"), &datagram).is_none(), "predictable");
}

#[test]
fn connection_id_expires() {
    let mut tracker = tracker();
    let source = endpoint("192.0.2.1:6881");
    let id = connect(&mut tracker, source);
    let datagram = wire::udp_announce(id, TRANSACTION, &request(Some(1)));
    tracker.advance(119);
    assert!(tracker.udp(source, &datagram).is_some());
    tracker.advance(122);
    assert!(tracker.udp(source, &datagram).is_none());
}

#[test]
fn partial_seed_is_welcome_with_its_first_event() {
    let mut tracker = tracker();
    let paused = AnnounceRequest { event: AnnounceEvent::Paused, ..request(Some(5)) };
    let reply = announce(&mut tracker, endpoint("192.0.2.1:6881"), &paused);
    assert_eq!(wire::read_udp_announce(&reply, false).unwrap().seen.incomplete, 1);
    let target = format!("{QUERY}&left=5&event=paused");
    let (_, body) = tracker.get("192.0.2.2".parse().unwrap(), target.as_bytes());
    assert_eq!(wire::read_http_announce(&body).unwrap().seen.incomplete, 2);
    assert_eq!(tracker.shard.scrape(&IH).unwrap().partial_seeds, 2);
}

#[test]
fn unknown_events_and_options_are_passed_over() {
    let mut tracker = tracker();
    let source = endpoint("192.0.2.1:6881");
    let id = connect(&mut tracker, source);
    let mut datagram = wire::udp_announce(id, TRANSACTION, &request(Some(1)));
    datagram[80..84].copy_from_slice(&77u32.to_be_bytes());
    datagram.extend(b"\x63\x04abcd\x02\x02/a\x01\xfe\xff");
    let reply = tracker.udp(source, &datagram).unwrap();
    assert_eq!(wire::read_udp_announce(&reply, false).unwrap().seen.incomplete, 1);
}

#[test]
fn scrape_answers_in_the_order_asked_repetitions_included() {
    let mut tracker = tracker();
    let source = endpoint("192.0.2.1:6881");
    let hashes: Vec<_> = (0..74).map(|number| InfoHash([number; 20])).collect();
    for (number, info_hash) in hashes.iter().enumerate() {
        for host in 0..number % 5 {
            let source = SocketAddr::from(([192, 0, 2, host as u8], 6881));
            let request = AnnounceRequest { info_hash: *info_hash, ..request(Some(1)) };
            announce(&mut tracker, source, &request);
        }
    }
    let id = connect(&mut tracker, source);
    let mut asked: Vec<_> = hashes.iter().rev().copied().collect();
    asked[3] = asked[7];
    let datagram = wire::udp_scrape(id, TRANSACTION, &asked);
    let reply = tracker.udp(source, &datagram).unwrap();
    let seen: Vec<_> = wire::read_udp_scrape(&reply).unwrap();
    assert_eq!(seen.len(), 74);
    for (entry, info_hash) in seen.iter().zip(&asked) {
        assert_eq!(entry.incomplete, u32::from(info_hash.0[0]) % 5, "{info_hash}");
    }
}

#[test]
fn answer_without_peers_says_so_in_either_form() {
    let mut tracker = tracker();
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    let (_, body) = tracker.get(ip, QUERY.as_bytes());
    assert!(body.ends_with(b"5:peers0:e"), "{}", body.escape_ascii());
    let (_, body) = tracker.get(ip, format!("{QUERY}&compact=0").as_bytes());
    assert!(body.ends_with(b"5:peerslee"), "{}", body.escape_ascii());
}

#[test]
fn every_http_answer_is_canonical() {
    let mut policy = Policy::default();
    policy.answers.external_ip = true;
    policy.scrapes.downloaders = true;
    policy.scrapes.flags = true;
    let mut tracker = OfflineTracker::new(policy, SwarmSettings::default(), 11);
    let mut rng = Rng::with_seed(6);
    for _ in 0..500 {
        let ip = if rng.bool() {
            IpAddr::from([192, 0, 2, rng.u8(..)])
        } else {
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, rng.u16(..)])
        };
        let target = match rng.u8(..5) {
            0 => "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb".into(),
            1 => "/announce?port=1".into(),
            _ => format!(
                "{QUERY}&compact={}&no_peer_id={}&left={}",
                rng.u8(..3),
                rng.u8(..2),
                rng.u8(..2)
            ),
        };
        let (_, body) = tracker.get(ip, target.as_bytes());
        bencode::read(&body).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()));
    }
}

#[test]
fn pair_without_a_value_does_not_shift_the_others() {
    let mut tracker = tracker();
    let target = "/announce?left&info_hash=aaaaaaaaaaaaaaaaaaaa&&event&=x\
                  &peer_id=-TR4100-abcdefghijkl&port=1&port=6881&left=0";
    let (_, body) = tracker.get("192.0.2.1".parse().unwrap(), target.as_bytes());
    assert_eq!(wire::read_http_announce(&body).unwrap().seen.seeders, 1);
    let told = peers(&mut tracker, endpoint("192.0.2.9:9"));
    assert_eq!(told, [endpoint("192.0.2.1:6881")]);
}

#[test]
fn compact_zero_is_answered_with_dictionaries() {
    let mut tracker = tracker();
    let first = "192.0.2.1".parse().unwrap();
    tracker.get(first, QUERY.as_bytes());
    let second = "192.0.2.2".parse().unwrap();
    let (_, body) = tracker.get(second, format!("{QUERY}&compact=0").as_bytes());
    let body = bencode::read(&body).unwrap();
    let peers = body.get(b"peers").unwrap().as_list().unwrap();
    assert_eq!(peers[0].get(b"port").unwrap().as_integer(), Some(6881));
}

#[test]
fn port_zero_is_not_replaced_by_the_source_port() {
    let mut tracker = tracker();
    let hidden = AnnounceRequest { port: 0, ..request(Some(1)) };
    let reply = announce(&mut tracker, endpoint("192.0.2.1:6881"), &hidden);
    assert_eq!(wire::read_udp_announce(&reply, false).unwrap_err(), "invalid port");
    assert_eq!(tracker.shard.tally().torrents, 0);
}

#[test]
fn address_in_a_message_is_not_believed() {
    let mut tracker = tracker();
    let source = endpoint("192.0.2.1:6881");
    let id = connect(&mut tracker, source);
    let mut datagram = wire::udp_announce(id, TRANSACTION, &request(Some(1)));
    datagram[84..88].copy_from_slice(&[8, 8, 8, 8]);
    tracker.udp(source, &datagram).unwrap();
    let target = format!("{QUERY}&ip=9.9.9.9&ipv4=9.9.9.9&ipv6=2001:db8::9");
    tracker.get("192.0.2.2".parse().unwrap(), target.as_bytes());
    let mut told = peers(&mut tracker, endpoint("192.0.2.9:9"));
    told.sort();
    assert_eq!(told, [endpoint("192.0.2.1:6881"), endpoint("192.0.2.2:6881")]);
}

#[test]
fn only_neighbours_may_name_their_public_address() {
    let mut policy = Policy::default();
    policy.answers.ip_override_local = true;
    let mut tracker = OfflineTracker::new(policy, SwarmSettings::default(), 11);
    for (source, claimed) in [
        ("192.168.0.1", "198.51.100.1"),
        // These are no public addresses of anybody.
        ("192.168.0.2", "0.0.0.0"),
        ("192.168.0.3", "224.0.0.1"),
        ("192.168.0.4", "255.255.255.255"),
        ("192.168.0.5", "127.0.0.1"),
        ("192.0.2.6", "198.51.100.6"),
    ] {
        let target = format!("{QUERY}&ip={claimed}");
        tracker.get(source.parse().unwrap(), target.as_bytes());
    }
    let mut told = peers(&mut tracker, endpoint("192.0.2.9:9"));
    told.sort();
    assert_eq!(told, [endpoint("192.0.2.6:6881"), endpoint("198.51.100.1:6881")]);
}

#[test]
fn answers_stay_within_one_packet_whatever_is_configured() {
    let mut policy = Policy::default();
    policy.answers.peers_max = 1000;
    let mut tracker = OfflineTracker::new(policy, SwarmSettings::default(), 11);
    let everybody = AnnounceRequest { num_want: NumWant::Count(1000), ..request(Some(1)) };
    for host in 0..1000u16 {
        let [high, low] = host.to_be_bytes();
        for ip in
            [IpAddr::from([198, 51, high, low]), IpAddr::from([0x2001, 0xdb8, 1, host, 0, 0, 0, 1])]
        {
            tracker.store(&Announce {
                request: request(Some(1)),
                ip,
                connection: None,
                listed: true,
            });
        }
    }
    let ipv6 = announce(&mut tracker, endpoint("[2001:db8::1]:6881"), &everybody);
    assert_eq!(ipv6.len(), 20 + 67 * 18);
    let ipv4 = announce(&mut tracker, endpoint("192.0.2.1:6881"), &everybody);
    assert_eq!(ipv4.len(), 20 + 200 * 6);
}

#[test]
fn huge_left_makes_no_seeder() {
    let mut tracker = tracker();
    for (host, left) in [
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "9223372036854775807",
        "-1",
        "0x0",
        "",
    ]
    .iter()
    .enumerate()
    {
        let ip = IpAddr::from([192, 0, 2, host as u8 + 1]);
        let (_, body) = tracker.get(ip, format!("{QUERY}&left={left}").as_bytes());
        let seen = wire::read_http_announce(&body).unwrap().seen;
        assert_eq!((seen.seeders, seen.incomplete), (0, host as u32 + 1), "left={left}");
    }
}

#[test]
fn mapped_address_is_the_same_peer() {
    let mut tracker = tracker();
    tracker.get("192.0.2.1".parse().unwrap(), QUERY.as_bytes());
    tracker.get("::ffff:192.0.2.1".parse().unwrap(), QUERY.as_bytes());
    let source = endpoint("[::ffff:192.0.2.1]:6881");
    let reply = announce(&mut tracker, source, &request(Some(1)));
    let answer = wire::read_udp_announce(&reply, false).unwrap();
    assert_eq!((answer.seen.incomplete, answer.peers.len()), (1, 0));
}

/// A shard and what it needs from its caller.
struct Bare {
    shard: Shard,
    rng: Rng,
    new_torrents: RateTable,
}

impl Bare {
    fn new(settings: SwarmSettings, new_torrents_max: u32) -> Self {
        Self {
            shard: Shard::new(settings, Seed::new(4)),
            rng: Rng::with_seed(4),
            new_torrents: RateTable::new(Seed::new(4), new_torrents_max, 32, 64),
        }
    }

    fn announce(&mut self, now: Tick, announce: &Announce, ipv4: &mut [u8]) -> Announced {
        let mut moment = Moment { now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let room = PeerRoom { ipv4, ..PeerRoom::default() };
        self.shard.announce(&mut moment, announce, room)
    }

    fn arrive(&mut self, now: Tick, ip: IpAddr) -> Announced {
        let announce = Announce { request: request(Some(1)), ip, connection: None, listed: true };
        self.announce(now, &announce, &mut [])
    }
}

#[test]
fn moment_that_comes_late_expires_nobody() {
    let mut bare = Bare::new(SwarmSettings::default(), 0);
    let ip = |number: u8| IpAddr::from([192, 0, 2, number]);
    // One worker reads its clock, another one is faster, and a step of the time stamps lies between.
    bare.arrive(Tick(1000), ip(1));
    bare.arrive(Tick(1000), ip(2));
    let announced = bare.arrive(Tick(999), ip(3));
    assert_eq!(announced.counts.leechers, 3);
    while bare.shard.sweep(Tick(998), 10) == Swept::More {}
    assert_eq!(bare.shard.tally().peers_total(), 3);
}

#[test]
fn sweep_goes_on_behind_a_lane_that_shrank() {
    let mut bare = Bare::new(SwarmSettings::default(), 0);
    for number in 0..2000u16 {
        let [high, low] = number.to_be_bytes();
        bare.arrive(Tick(0), IpAddr::from([198, 51, high, low]));
        bare.arrive(Tick(0), IpAddr::from([10, 51, high, low]));
        bare.arrive(Tick(0), IpAddr::from([0x2001, 0xdb8, 1, number, 0, 0, 0, 1]));
    }
    while bare.shard.sweep(Tick(4000), 50) == Swept::More {}
    assert_eq!(bare.shard.tally().peers_total(), 0, "one round reaches everybody");
    assert_eq!(bare.shard.tally().torrents, 0);
}

#[test]
fn unlisted_client_is_not_told_of_a_silent_peer() {
    let mut bare = Bare::new(SwarmSettings::default(), 0);
    bare.arrive(Tick(0), IpAddr::from([192, 0, 2, 1]));
    let hidden = Announce {
        request: AnnounceRequest { port: 0, peer_id: PeerId([7; 20]), ..request(Some(1)) },
        ip: IpAddr::from([192, 0, 2, 2]),
        connection: None,
        listed: false,
    };
    let mut room = [0; 60];
    assert_eq!(bare.announce(Tick(3600), &hidden, &mut room).ipv4_bytes, 6);
    assert_eq!(bare.announce(Tick(3700), &hidden, &mut room).ipv4_bytes, 0);
}

#[test]
fn flood_of_new_torrents_from_one_address_is_bounded() {
    let mut bare = Bare::new(SwarmSettings::default(), 60);
    let mut bring = |ip: IpAddr, number: u32| {
        let mut info_hash = IH;
        info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
        let announce = Announce {
            request: AnnounceRequest { info_hash, ..request(Some(1)) },
            ip,
            connection: None,
            listed: true,
        };
        bare.announce(Tick(100), &announce, &mut []).not_stored
    };
    let flooder = IpAddr::from([192, 0, 2, 1]);
    let refused = (0..1000).filter(|&number| bring(flooder, number)).count();
    assert_eq!(refused, 940);
    assert!(!bring(flooder, 5), "what is known is not new");
    assert!(!bring(IpAddr::from([198, 51, 100, 1]), 5000), "others go on");
    assert_eq!(bare.shard.tally().torrents, 61);
}
