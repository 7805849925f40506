//! Request heads that strangers send, through the codec and through a whole tracker without sockets.
//!
//! Checks that nothing panics, that a head means the same however it is cut, and that every answer is
//! canonical. The first byte chooses how lenient the reading is, the rest is the request.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use skep_engine::gate::AddressRanges;
use skep_engine::session::{Policy, Proxies};
use skep_engine::swarm::SwarmSettings;
use skep_engine::testing::offline::OfflineTracker;
use skep_engine::testing::wire;
use skep_proto::bencode;
use skep_proto::http::{
    self, HEADERS_MAX, HeadStatus, QueryOptions, Target, parse_announce, parse_head, parse_scrape,
};

const HEAD_BYTES_MAX: usize = 4096;
const SCRAPE_MAX: usize = 10;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, request)) = input.split_first() else {
        return;
    };
    let options = QueryOptions { plus_literal: choice & 1 != 0, allow_port_zero: choice & 2 != 0 };
    head(request);
    target(request, options);
    tracker(choice, request);
});

fn head(request: &[u8]) {
    let whole = parse_head(request, HEAD_BYTES_MAX);
    if let HeadStatus::Complete(head) = whole {
        assert!(head.len <= request.len().min(HEAD_BYTES_MAX));
        assert!(head.headers().count() <= HEADERS_MAX);
        // What follows belongs to the next request.
        let alone = parse_head(&request[..head.len], HEAD_BYTES_MAX);
        let HeadStatus::Complete(alone) = alone else {
            panic!("{alone:?} without what follows");
        };
        assert_eq!((alone.target, alone.len), (head.target, head.len));
        // Cut short, it may be nothing else than unfinished.
        let cut = parse_head(&request[..head.len / 2], HEAD_BYTES_MAX);
        assert!(matches!(cut, HeadStatus::Partial), "{cut:?} at its half");
        for name in ["x-forwarded-for", "forwarded"] {
            let values = || head.headers_named(name);
            let trusted = |ip: IpAddr| ip.is_loopback();
            let found = [
                http::client_address(values(), trusted),
                http::forwarded_client_address(values(), trusted),
            ];
            assert!(found.into_iter().flatten().all(|ip| !ip.is_loopback()));
        }
    }
}

fn target(bytes: &[u8], options: QueryOptions) {
    let target = Target::parse(bytes);
    if let Some(passkey) = target.passkey() {
        assert!(!passkey.as_bytes().is_empty());
    }
    let mut hashes = Vec::new();
    for query in [target.query, bytes] {
        if parse_scrape(query, options, SCRAPE_MAX, &mut hashes).is_ok() {
            assert!(hashes.len() <= SCRAPE_MAX);
        }
        let Ok(read) = parse_announce(query, options) else {
            continue;
        };
        assert!(read.announce.port != 0 || options.allow_port_zero);
        // What was understood says the same when it is written down.
        let written = wire::http_announce(&read.announce);
        let query = Target::parse(written.as_bytes()).query;
        let again = parse_announce(query, options).expect("what was just written");
        let mut first = read.announce;
        // Text of any length was folded; it cannot be written down again.
        first.peer_key = again.announce.peer_key;
        assert_eq!(format!("{first:?}"), format!("{:?}", again.announce));
    }
}

fn tracker(choice: u8, request: &[u8]) {
    let mut policy = Policy::default();
    policy.answers.port_zero_unlisted = choice & 2 != 0;
    policy.answers.external_ip = choice & 4 != 0;
    policy.scrapes.full = choice & 8 != 0;
    let proxy = Ipv4Addr::new(10, 0, 0, 1);
    policy.proxies = Proxies {
        trusted: AddressRanges::new([(proxy.into(), 32)]),
        header: "x-forwarded-for".into(),
        ..Proxies::default()
    };
    let source = if choice & 16 == 0 { Ipv4Addr::new(192, 0, 2, 1) } else { proxy };
    let mut tracker = OfflineTracker::new(policy, SwarmSettings::default(), 1);
    let response = tracker.http(source.into(), request);
    assert!(response.starts_with(b"HTTP/1.1 "));
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = &response[end.expect("a blank line") + 4..];
    if response[9..12] == *b"200" && !body.is_empty() {
        bencode::read(body).expect("canonical bencode");
    }
    assert!(tracker.shard.tally().peers_total() <= 1);
}
