//! A tracker that is offered three times what its memory holds: it stays within its budget and
//! answers everybody.

use std::net::{IpAddr, Ipv4Addr};

use skep_engine::testing::wire;
use skep_proto::{ConnectionId, InfoHash, TransactionId};

use crate::support::{HttpClient, Process, UdpClient, announce, metric};

const BUDGET_BYTES: u64 = 20 * 1024 * 1024;
/// What a torrent of one peer takes at the least: its record and its part of the index.
const TORRENT_BYTES_MIN: u64 = 60;
/// Announces under way at once.
const WINDOW: u32 = 64;
/// Peers of the swarm that has to go on working.
const POPULAR_PEERS: u8 = 40;

fn torrent(number: u32) -> InfoHash {
    let mut info_hash = InfoHash([0x5a; 20]);
    info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
    info_hash
}

/// Announces a peer to so many new torrents and returns how many answers came.
fn fill(client: &UdpClient, id: ConnectionId, torrents: std::ops::Range<u32>) -> u32 {
    let mut answers = 0;
    for first in torrents.step_by(WINDOW as usize) {
        for number in first..first + WINDOW {
            let request = announce(torrent(number), 6881, 1);
            let transaction_id = TransactionId(number.to_be_bytes());
            client.send(&wire::udp_announce(id, transaction_id, &request));
        }
        for _ in 0..WINDOW {
            let reply = client.receive();
            assert_eq!(reply[..4], [0, 0, 0, 1], "an announce is answered by an announce");
            answers += 1;
        }
    }
    answers
}

#[test]
fn three_times_the_budget_is_answered_and_not_held() {
    let budget = format!("--swarm.memory_max_bytes={BUDGET_BYTES}");
    let mut tracker =
        Process::start(&[&budget, "--swarm.new_torrents_per_minute_max=0", "--listen.workers=1"]);
    let udp = tracker.udp();
    let popular = torrent(u32::MAX);
    let peer = |number: u8| IpAddr::V4(Ipv4Addr::new(127, 0, 1, number));
    for number in 1..=POPULAR_PEERS {
        UdpClient::new(peer(number), udp).announce(&announce(popular, 6881, 1)).unwrap();
    }
    let mut filler = UdpClient::new(Ipv4Addr::LOCALHOST.into(), udp);
    let id = filler.connect();
    let torrents = (3 * BUDGET_BYTES / TORRENT_BYTES_MIN) as u32 / WINDOW * WINDOW;
    assert_eq!(fill(&filler, id, 0..torrents), torrents);

    let resident = tracker.resident_data_bytes();
    assert!(resident <= BUDGET_BYTES / 10 * 11, "{resident} bytes resident");
    let text = HttpClient::connect(tracker.admin()).get("/metrics").text().to_owned();
    assert_eq!(metric(&text, "skep_memory_pressure"), 3);
    assert_eq!(metric(&text, "skep_memory_budget_bytes"), BUDGET_BYTES);
    let held = metric(&text, "skep_swarm_torrents");
    assert!(held > 10_000 && held < u64::from(torrents) / 2, "{held} of {torrents} torrents held");

    let mut newcomer = UdpClient::new(peer(200), udp);
    let answer = newcomer.announce(&announce(popular, 6881, 1)).unwrap();
    assert_eq!(answer.seen.incomplete, u32::from(POPULAR_PEERS), "one made room for it");
    assert_eq!(answer.peers.len(), usize::from(POPULAR_PEERS) - 1);
}
