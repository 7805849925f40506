//! The golden datagrams, replayed on sessions and a shard without sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use skep_engine::Seed;
use skep_engine::gate::{TorrentAccess, TorrentList};
use skep_engine::session::Policy;
use skep_engine::swarm::{Announce, SwarmSettings};
use skep_engine::testing::offline::OfflineTracker;
use skep_engine::testing::wire;
use skep_proto::vectors::{self, Line, VectorFile};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};
use skep_proto::{TransactionId, peer_addr};

/// A tracker as the vectors assume it: intervals do not vary.
pub(crate) fn tracker() -> OfflineTracker {
    let mut policy = Policy::default();
    policy.answers.interval_jitter_percent = 0;
    OfflineTracker::new(policy, SwarmSettings::default(), 7)
}

/// Changes what a `set` line names.
pub(crate) fn set(tracker: &mut OfflineTracker, line: &Line) {
    let policy = &mut tracker.policy;
    match line.rest.as_str() {
        "torrents allow" => {
            policy.rules.access = TorrentAccess::Listed;
            policy.rules.torrents = TorrentList::new(Seed::new(1), []);
        }
        "external_ip on" => policy.answers.external_ip = true,
        "downloaders on" => policy.scrapes.downloaders = true,
        "flags on" => policy.scrapes.flags = true,
        "overload on" => tracker.overloaded = true,
        other => panic!("line {}: no such setting: {other}", line.number),
    }
}

/// Puts the peer of a `peer` line into its swarm.
pub(crate) fn put_peer(tracker: &mut OfflineTracker, file: &VectorFile, line: &Line) {
    let words: Vec<_> = line.rest.split(' ').collect();
    let [torrent, endpoint, class, peer_id] = words[..] else {
        panic!("line {}: {}", line.number, line.rest);
    };
    let endpoint = file.address(endpoint);
    let mut request = request(&file.bytes(&format!("<{torrent}>")));
    request.peer_id = PeerId::from_slice(&file.bytes(&format!("<{peer_id}>"))).unwrap();
    request.port = endpoint.port();
    request.left_bytes = Some(u64::from(class != "seeder"));
    if class == "partial_seed" {
        request.event = AnnounceEvent::Paused;
    }
    store(tracker, request, endpoint.ip());
}

/// Puts the peers of a `swarm` line into their swarm; they are of the family of `client`.
pub(crate) fn put_swarm(
    tracker: &mut OfflineTracker,
    file: &VectorFile,
    line: &Line,
    client: SocketAddr,
) {
    let torrent = line.rest.split(' ').next().unwrap();
    let number = |key| line.value(key).map_or(0, |value| value.parse().unwrap());
    let (seeders, leechers, completions) =
        (number("seeders"), number("leechers"), number("completions"));
    let host = |number: u32| -> IpAddr {
        let [_, a, b, c] = number.to_be_bytes();
        if client.is_ipv4() {
            IpAddr::from([198, 18 + a, b, c])
        } else {
            IpAddr::from([0x2001, 0xdb8, 0xffff, number as u16, 0, 0, 0, 1])
        }
    };
    let mut request = request(&file.bytes(&format!("<{torrent}>")));
    for number in 0..seeders + leechers {
        request.left_bytes = Some(u64::from(number >= seeders));
        request.event = AnnounceEvent::None;
        store(tracker, request, host(number));
    }
    for number in 0..completions {
        request.event = AnnounceEvent::Completed;
        request.left_bytes = Some(0);
        request.peer_key = PeerKey::from_u32(number);
        let ip = host(1_000_000 + number);
        store(tracker, request, ip);
        request.event = AnnounceEvent::Stopped;
        store(tracker, request, ip);
    }
}

fn request(info_hash: &[u8]) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash::from_slice(info_hash).unwrap(),
        peer_id: PeerId(*b"-XX0001-nobody-known"),
        port: 4000,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes: Some(1),
        event: AnnounceEvent::None,
        num_want: NumWant::Default,
        peer_key: PeerKey::default(),
    }
}

fn store(tracker: &mut OfflineTracker, request: AnnounceRequest, ip: IpAddr) {
    let announced = tracker.store(&Announce { request, ip, connection: None, listed: true });
    assert!(!announced.not_stored);
}

/// Where a session stands.
struct Replay {
    file: VectorFile,
    tracker: OfflineTracker,
    client: SocketAddr,
    /// Ids that the tracker gave out, by address.
    ids: BTreeMap<IpAddr, Vec<u8>>,
    sent: Vec<u8>,
    received: Option<Vec<u8>>,
    checked: usize,
}

impl Replay {
    fn line(&mut self, line: &Line) {
        let at = format!("line {}: {} {}", line.number, line.word, line.rest);
        match line.word.as_str() {
            "set" => set(&mut self.tracker, line),
            "peer" => put_peer(&mut self.tracker, &self.file, line),
            "swarm" => {
                // The client that follows says of which family the peers are.
                put_swarm(&mut self.tracker, &self.file, line, self.client);
            }
            "from" => self.client = self.file.address(&line.rest),
            "wait" => self.tracker.advance(line.rest.parse().unwrap()),
            "send" => {
                if line.rest.contains("<cid") {
                    self.name_ids(&line.rest);
                }
                self.sent = self.file.bytes(&line.rest);
                self.received = self.tracker.udp(self.client, &self.sent);
                let received = self.received.as_deref();
                if let Some(id) = received.filter(|_| self.is_connect()) {
                    self.ids.insert(self.ip(), id[8..].to_vec());
                }
            }
            "recv" => {
                self.checked += 1;
                let received = self.received.take().unwrap_or_else(|| panic!("silence, {at}"));
                if self.is_connect() {
                    self.file.set("cid", &received[8..]);
                    assert_ne!(received[8..], [0; 8], "{at}");
                }
                let expected = self.file.bytes(&line.rest);
                assert_eq!(received, expected, "\n{received:02x?}\n{expected:02x?}\n{at}");
            }
            "silence" => {
                self.checked += 1;
                assert_eq!(self.received, None, "{at}");
            }
            "length" => {
                self.checked += 1;
                let received = self.received.take().unwrap_or_else(|| panic!("silence, {at}"));
                let number = |key| line.value(key).map(|value| value.parse::<usize>().unwrap());
                assert!(number("exact").is_none_or(|exact| received.len() == exact), "{at}");
                assert!(number("max").is_none_or(|max| received.len() <= max), "{at}");
                let peers = received.len() - 20;
                assert!(number("stride").is_none_or(|stride| peers.is_multiple_of(stride)), "{at}");
                assert!(peers > 0, "{at}");
            }
            "means" | "says" | "to" => {}
            other => panic!("line {}: {other} is not replayed here", line.number),
        }
    }

    fn ip(&self) -> IpAddr {
        peer_addr::canonical(self.client.ip())
    }

    fn is_connect(&self) -> bool {
        self.sent.len() >= 16 && self.sent[8..12] == [0; 4]
    }

    /// Lets `<cid>` and `<cid:NAME>` stand for ids, got from the tracker when first needed.
    fn name_ids(&mut self, expression: &str) {
        for word in expression.split(' ') {
            let Some(name) = word.strip_prefix("<cid").and_then(|rest| rest.strip_suffix('>'))
            else {
                continue;
            };
            let client = name.strip_prefix(':').map_or(self.client, |name| self.file.address(name));
            let ip = peer_addr::canonical(client.ip());
            if !self.ids.contains_key(&ip) {
                let connect = wire::udp_connect(TransactionId([9; 4]));
                let reply = self.tracker.udp(client, &connect).expect("connects are answered");
                self.ids.insert(ip, reply[8..].to_vec());
            }
            self.file.set(&format!("cid{name}"), &self.ids[&ip]);
        }
    }
}

fn replay(text: &str) -> usize {
    let mut replay = Replay {
        file: VectorFile::read(text),
        tracker: tracker(),
        client: SocketAddr::from(([192, 0, 2, 1], 6881)),
        ids: BTreeMap::new(),
        sent: vec![],
        received: None,
        checked: 0,
    };
    for session in replay.file.sessions.clone() {
        replay.tracker = tracker();
        replay.ids.clear();
        for vector in &session.vectors {
            let swarms = |line: &&Line| line.word == "swarm" || line.word == "peer";
            let from = vector.line("from");
            // Swarms are of the family of the client that is named after them.
            if vector.lines.iter().any(|line| swarms(&line))
                && let Some(from) = from
            {
                replay.line(from);
            }
            for line in &vector.lines {
                replay.line(line);
            }
        }
    }
    replay.checked
}

#[test]
fn every_udp_session_goes_as_written() {
    let checked = replay(vectors::UDP_SESSION);
    assert!(checked >= 40, "{checked} answers compared");
}

#[test]
fn every_announce_with_options_is_answered() {
    // What a hundred announces do to one swarm must not show in the next.
    let checked = replay(vectors::UDP_OPTIONS);
    assert!(checked >= 8, "{checked} answers compared");
}
