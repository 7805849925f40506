//! Bytes to words and back: UDP and HTTP requests, connection ids, announce replies.
//!
//! No swarm is asked here; the peers of replies are made up.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use skep_engine::Tick;
use skep_engine::gate::Reason;
use skep_engine::session::{ConnectionIds, HttpSession, Policy, finish_announce};
use skep_engine::swarm::{Announced, Counts};
use skep_engine::testing::wire;
use skep_proto::http::{HeadStatus, PeerList, ResponseHead, Status, Target, parse_head, respond};
use skep_proto::udp::{Header, read_announce, read_scrape};
use skep_proto::{ConnectionId, PeerId, TransactionId};

use crate::count;
use crate::swarms::{info_hash, request};

/// Torrents in one scrape by UDP, as BEP 15 puts it.
pub(crate) const SCRAPE_TORRENTS: u64 = 74;

const CALLS: u32 = 1000;
const SLOT_SECS: u32 = 120;
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(11, 22, 33, 44));
const TRANSACTION_ID: TransactionId = TransactionId([1, 2, 3, 4]);
const PEERS: usize = 30;

/// A request as a common client writes it.
const HTTP_REQUEST: &[u8] =
    b"GET /announce?info_hash=%12%b4%c6%00m%a2%f9%1c%0e%ddG%7f%3a.%9b%85z%11%e0_\
    &peer_id=-qB5020-Zr3%7eK9%21xTq4w&port=51413&uploaded=1048576&downloaded=734003200\
    &left=2147483648&corrupt=0&key=7A3F09C1&numwant=30&compact=1&no_peer_id=1&supportcrypto=1\
    &redundant=0 HTTP/1.1\r\nHost: tracker.example.org:1337\r\nUser-Agent: qBittorrent/5.0.2\r\n\
    Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";

pub(crate) fn rows() {
    udp_requests();
    connection_ids();
    udp_reply();
    http();
}

fn udp_requests() {
    let connect = wire::udp_connect(TRANSACTION_ID);
    count("UDP decode: connect", CALLS, |_| {
        let header = Header::read(black_box(&connect));
        black_box(header.is_some_and(|header| header.is_connect()));
    });
    let announce = wire::udp_announce(ConnectionId(7), TRANSACTION_ID, &request(1, 1));
    count("UDP decode: announce", CALLS, |_| {
        let datagram = black_box(&announce);
        black_box(&Header::read(datagram));
        black_box(&read_announce(datagram));
    });
    let info_hashes: Vec<_> = (0..SCRAPE_TORRENTS).map(info_hash).collect();
    let scrape = wire::udp_scrape(ConnectionId(7), TRANSACTION_ID, &info_hashes);
    count("UDP decode: scrape of 74 torrents", CALLS, |_| {
        let datagram = black_box(&scrape);
        black_box(&Header::read(datagram));
        for info_hash in read_scrape(datagram).into_iter().flatten() {
            black_box(&info_hash);
        }
    });
}

fn connection_ids() {
    let ids = ConnectionIds::new([7; 16], SLOT_SECS, 0);
    let now = Tick(SLOT_SECS);
    count("connection id: make", CALLS, |_| {
        black_box(ids.issue(black_box(SOURCE), None, now));
    });
    for (name, issued) in [
        ("connection id: check one of this slot", now),
        ("connection id: check one of the slot before", Tick(0)),
    ] {
        let id = ids.issue(SOURCE, None, issued);
        assert!(ids.verify(SOURCE, None, id, now), "ids live for two slots");
        count(name, CALLS, |_| {
            black_box(ids.verify(black_box(SOURCE), None, id, now));
        });
    }
}

fn udp_reply() {
    let announced = announced();
    let mut out = [0; 2048];
    count("UDP encode: announce reply around its peers", CALLS, |_| {
        black_box(finish_announce(&mut out, TRANSACTION_ID, 1800, black_box(&announced)));
    });
}

fn http() {
    let policy = Policy::default();
    let session = HttpSession { policy: &policy };
    let mut reason = Reason::default();
    count("HTTP decode: request head and announce query", CALLS, |_| {
        let HeadStatus::Complete(head) = parse_head(black_box(HTTP_REQUEST), 16 * 1024) else {
            panic!("the request is whole");
        };
        let target = Target::parse(head.target);
        let announce = session.announce(&target, SOURCE, &mut reason);
        assert!(black_box(&announce).is_ok(), "the announce is good");
    });

    let HeadStatus::Complete(head) = parse_head(HTTP_REQUEST, 16 * 1024) else {
        panic!("the request is whole");
    };
    let target = Target::parse(head.target);
    let Ok(mut asked) = session.announce(&target, SOURCE, &mut reason) else {
        panic!("the announce is good");
    };
    let mut rng = Rng::with_seed(1);
    let (endpoints, peer_ids): (Vec<_>, Vec<_>) = (0..PEERS)
        .map(|_| (std::array::from_fn::<u8, 6, _>(|_| rng.u8(..)), PeerId([rng.u8(..); 20])))
        .unzip();
    let compact = PeerList { ipv4: endpoints.as_flattened(), ..PeerList::default() };
    let (announced, response) = (announced(), ResponseHead::text(Status::Ok, &head));
    let mut out = Vec::with_capacity(8192);
    for (name, peers) in [
        ("HTTP encode: announce reply with 30 peers, compact", compact),
        (
            "HTTP encode: announce reply with 30 peers, dictionaries with peer ids",
            PeerList { ipv4_ids: &peer_ids, ..compact },
        ),
    ] {
        asked.compact = peers.ipv4_ids.is_empty();
        count(name, CALLS, |_| {
            out.clear();
            let interval = policy.answers.interval_after(&announced, 0, &mut rng);
            respond(&mut out, &response, 100 + announced.ipv4_bytes, |out| {
                session.write_announce(out, interval, &asked, &announced, peers);
            });
            black_box(&out);
        });
    }
}

fn announced() -> Announced {
    Announced {
        counts: Counts { seeders: 250, leechers: 750, partial_seeds: 0, completions: 1234 },
        ipv4_bytes: PEERS * 6,
        ..Announced::default()
    }
}
