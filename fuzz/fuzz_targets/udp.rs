//! Datagrams that strangers send, through the codec and through a whole tracker without sockets.
//!
//! Checks that nothing panics, that a stranger without a connection id gets nothing, and that every
//! reply is of a form that clients accept. The first byte chooses the client, the rest is the datagram.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use skep_engine::session::Policy;
use skep_engine::swarm::SwarmSettings;
use skep_engine::testing::offline::{CONNECTION_ID_SECS, OfflineTracker};
use skep_engine::testing::wire;
use skep_proto::TransactionId;
use skep_proto::udp::{
    self, ERROR_TEXT_BYTES_MAX, Header, IPV4_PAYLOAD_BYTES_MAX, IPV6_PAYLOAD_BYTES_MAX,
    URL_DATA_BYTES_MAX, UrlData,
};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, datagram)) = input.split_first() else {
        return;
    };
    codec(datagram);
    tracker(choice, datagram);
});

fn codec(datagram: &[u8]) {
    if let Some(header) = Header::read(datagram) {
        assert_eq!(header.transaction_id.0, datagram[12..16]);
    }
    if let Ok(read) = udp::read_announce(datagram) {
        assert_eq!(read.announce.info_hash.as_bytes(), &datagram[16..36]);
        assert_eq!(read.announce.port.to_be_bytes(), datagram[96..98]);
        let mut url = UrlData::new();
        udp::url_data(read.options, &mut url);
        assert!(url.as_bytes().len() <= URL_DATA_BYTES_MAX.min(read.options.len()));
    }
    if let Ok(hashes) = udp::read_scrape(datagram) {
        assert_eq!(hashes.len() * 20, datagram.len() - 16);
    }
}

fn tracker(choice: u8, datagram: &[u8]) {
    let ip: IpAddr = match choice % 4 {
        0 => Ipv4Addr::new(192, 0, 2, 1).into(),
        1 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        2 => Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let source = SocketAddr::new(ip, if choice & 4 == 0 { 6881 } else { 0 });
    let mut policy = Policy::default();
    policy.answers.port_zero_unlisted = choice & 8 != 0;
    policy.answers.ip_override_local = choice & 16 != 0;
    let mut tracker = OfflineTracker::new(policy, SwarmSettings::default(), 1);

    let connect = wire::udp_connect(TransactionId([0; 4]));
    let earlier = tracker.udp(source, &connect);
    tracker.advance(CONNECTION_ID_SECS);
    let stranger = tracker.udp(source, datagram);
    let (Some(earlier), Some(id)) = (earlier, tracker.udp(source, &connect)) else {
        assert_eq!((source.port(), stranger), (0, None));
        return;
    };
    // The fuzzer watches comparisons, so it does learn the two ids that are good at this moment.
    let ids = [&earlier[8..], &id[8..]];
    if let Some(reply) = stranger.filter(|_| !ids.contains(&&datagram[..8])) {
        assert!(wire::read_udp_connect(&reply).is_some(), "{reply:02x?}");
    }
    // The same with the id that the tracker gives to this client.
    let mut proven = datagram.to_vec();
    let Some(room) = proven.get_mut(..8) else {
        return;
    };
    room.copy_from_slice(&id[8..]);
    let is_request = proven.len() >= 16 && proven[8..12] != [0; 4];
    let reply = tracker.udp(source, &proven);
    assert_eq!(reply.is_some(), is_request);
    if let Some(reply) = reply {
        check_reply(&proven, &reply, ip.to_canonical().is_ipv6());
        // A retransmission is answered alike and adds nobody.
        let again = tracker.udp(source, &proven).expect("an answer again");
        assert_eq!(again.len(), reply.len());
    }
    assert!(tracker.shard.tally().peers_total() <= 1);
}

fn check_reply(request: &[u8], reply: &[u8], ipv6: bool) {
    let payload_max = if ipv6 { IPV6_PAYLOAD_BYTES_MAX } else { IPV4_PAYLOAD_BYTES_MAX };
    assert!(reply.len() <= payload_max);
    assert_eq!(reply[4..8], request[12..16], "the transaction id");
    match reply[..4] {
        [0, 0, 0, 3] => assert!(reply.len() <= 8 + ERROR_TEXT_BYTES_MAX && reply[8..].is_ascii()),
        [0, 0, 0, 1] => assert!(wire::read_udp_announce(reply, ipv6).is_ok()),
        [0, 0, 0, 2] => assert!(wire::read_udp_scrape(reply).is_ok()),
        _ => panic!("an action that nobody asked for: {reply:02x?}"),
    }
    assert!(reply[3] == 3 || reply[..4] == request[8..12]);
}
