//! A storm of torrents that passes: the memory that it took goes back to the system.
//!
//! A program of its own with a single test, since it measures the memory of its process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use skep::cli::{self, Command};
use skep::config::Config;
use skep::start::{Running, start};
use skep_engine::testing::wire;
use skep_net::memory::join_freed_blocks_at_once;
use skep_proto::{
    AnnounceEvent, AnnounceRequest, ConnectionId, InfoHash, NumWant, PeerId, PeerKey, TransactionId,
};

/// Torrents of one peer, and as many of two.
const TORRENTS: u32 = 200_000;
/// Announces under way at once.
const WINDOW: u32 = 50;
/// One turn of waiting.
const TURN: Duration = Duration::from_millis(100);
/// Turns after which it is called a failure; nothing that goes well takes half of them.
const TURNS: u32 = 600;

struct Client {
    socket: UdpSocket,
    id: ConnectionId,
}

impl Client {
    fn new(tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(tracker).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.send(&wire::udp_connect(TransactionId([1; 4]))).unwrap();
        let mut reply = [0; 64];
        let len = socket.recv(&mut reply).unwrap();
        let id = wire::read_udp_connect(&reply[..len]).unwrap();
        Self { socket, id }
    }

    fn announce(&self, torrents: Range<u32>, port: u16) {
        let mut reply = [0; 1024];
        for number in torrents.clone() {
            let mut info_hash = InfoHash([0x5a; 20]);
            info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
            let request = AnnounceRequest {
                info_hash,
                peer_id: PeerId([port as u8; 20]),
                port,
                uploaded_bytes: 0,
                downloaded_bytes: 0,
                left_bytes: Some(1),
                event: AnnounceEvent::Started,
                num_want: NumWant::Default,
                peer_key: PeerKey::from_u32(port.into()),
            };
            let transaction_id = TransactionId(number.to_be_bytes());
            let datagram = wire::udp_announce(self.id, transaction_id, &request);
            self.socket.send(&datagram).unwrap();
        }
        for _ in torrents {
            let len = self.socket.recv(&mut reply).unwrap();
            assert!(
                len >= 20 && reply[..4] == [0, 0, 0, 1],
                "an announce is answered by an announce"
            );
        }
    }
}

fn tracker() -> Running {
    let settings = [
        "--listen.port=0",
        "--listen.admin=off",
        "--listen.workers=2",
        "--swarm.new_torrents_per_minute_max=0",
        "--swarm.sweep_interval_secs=1",
    ];
    match cli::parse(settings.iter().map(OsString::from), &[]).unwrap() {
        Command::Serve(sources) => start(Config::load(&sources).unwrap(), None).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn memory_goes_back_to_the_system_when_a_storm_has_passed() {
    // As the program does first.
    join_freed_blocks_at_once();
    let tracker = tracker();
    let udp = tracker.bound().udp.iter().find(|address| address.is_ipv4()).unwrap();
    let udp = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), udp.port());
    // Several, so that every worker gets some of them.
    let clients: Vec<Client> = (0..8).map(|_| Client::new(udp)).collect();
    let before = resident_bytes();

    for (first, client) in (0..2 * TORRENTS).step_by(WINDOW as usize).zip(clients.iter().cycle()) {
        client.announce(first..first + WINDOW, 6881);
        if first >= TORRENTS {
            client.announce(first..first + WINDOW, 6882);
        }
    }
    let tally = tracker.store().tally();
    let expected = (u64::from(2 * TORRENTS), u64::from(3 * TORRENTS));
    assert_eq!((tally.torrents, tally.peers_total()), expected);
    let full = resident_bytes();
    let allowed = before + before / 4 + 30 * 1024 * 1024;
    assert!(full > allowed + 10 * 1024 * 1024, "{full} bytes are no storm after {before}");

    tracker.clock().advance(2 * 3600);
    let mut turns = 0;
    while tracker.store().tally().torrents > 0 || resident_bytes() > allowed {
        let (left, resident) = (tracker.store().tally().torrents, resident_bytes());
        assert!(
            turns < TURNS,
            "{left} torrents and {resident} bytes are left of {full}, {before} before"
        );
        turns += 1;
        tracker.watch(TURN).unwrap();
    }
    tracker.stop().unwrap();
}
