//! WebRTC peers: whom they meet, who owns them, what is counted, how long they stay.

use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;
use skep_engine::gate::{RateTable, Reason, Refusal, Rules};
use skep_engine::swarm::{
    Announce, Announced, Connection, Counts, Moment, PeerRoom, Pressure, Shard, SwarmSettings,
    Swept, Totals, WEBRTC_BYTES, WebrtcPeer, webrtc_peers,
};
use skep_engine::testing::clients::{address, info_hash, webrtc_announce};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, PeerId};

const EVENT: AnnounceEvent = AnnounceEvent::None;

struct Setup {
    shard: Shard,
    totals: Arc<Totals>,
    rng: Rng,
    new_torrents: RateTable,
    now: Tick,
    peers: Vec<WebrtcPeer>,
}

fn peer(peer: u8, connection: u64) -> WebrtcPeer {
    WebrtcPeer { peer_id: PeerId([peer; 20]), connection: Connection(connection) }
}

impl Setup {
    fn new(settings: SwarmSettings) -> Self {
        let (totals, seed) = (Arc::<Totals>::default(), Seed::new(1));
        Self {
            shard: Shard::sharing(settings, seed.clone(), totals.clone()),
            totals,
            rng: Rng::with_seed(1),
            new_torrents: RateTable::new(seed, 0, 32, 48),
            now: Tick(1000),
            peers: Vec::new(),
        }
    }

    fn announce(&mut self, announce: &Announce) -> Announced {
        let mut webrtc = [0; 20 * WEBRTC_BYTES];
        let (mut ipv4, mut ipv6) = ([0; 60], [0; 180]);
        let room = PeerRoom {
            ipv4: &mut ipv4,
            ipv6: &mut ipv6,
            webrtc: &mut webrtc,
            ..PeerRoom::default()
        };
        let (now, rng) = (self.now, &mut self.rng);
        let mut moment = Moment { now, rng, new_torrents: &mut self.new_torrents };
        let announced = self.shard.announce(&mut moment, announce, room);
        self.peers = webrtc_peers(&webrtc[..announced.webrtc_bytes]).collect();
        announced
    }

    /// A WebRTC peer announces from the address of a host.
    fn come(&mut self, peer: WebrtcPeer, host: u32, left_bytes: u64) -> Announced {
        self.act(peer, host, EVENT, Some(left_bytes))
    }

    fn act(
        &mut self,
        peer: WebrtcPeer,
        host: u32,
        event: AnnounceEvent,
        left_bytes: Option<u64>,
    ) -> Announced {
        let ip = address(host, false, false);
        self.announce(&webrtc_announce(info_hash(1), (peer, ip), event, left_bytes))
    }

    /// A peer over UDP or HTTP announces.
    fn knock(&mut self, name: u8, ip: IpAddr) -> Announced {
        let mut announce = webrtc_announce(info_hash(1), (peer(name, 0), ip), EVENT, Some(1));
        announce.connection = None;
        announce.request.port = 6881;
        self.announce(&announce)
    }

    fn relay(&mut self, from: WebrtcPeer, to: u8) -> Option<Connection> {
        self.shard.relay(self.now, &info_hash(1), &from, &PeerId([to; 20]))
    }

    fn sweep(&mut self) {
        while self.shard.sweep(self.now, 100) == Swept::More {}
    }
}

#[test]
fn browsers_and_others_neither_meet_nor_count_each_other() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.knock(51, address(1, false, false));
    setup.knock(52, address(2, true, false));
    let announced = setup.come(peer(1, 1), 1, 1);
    assert_eq!(announced.counts, Counts { leechers: 1, ..Counts::default() });
    assert_eq!((announced.ipv4_bytes, announced.ipv6_bytes, announced.webrtc_bytes), (0, 0, 0));
    setup.come(peer(2, 2), 2, 0);
    assert_eq!(setup.peers, [peer(1, 1)]);
    let announced = setup.knock(53, address(3, false, false));
    assert_eq!(announced.counts, Counts { leechers: 3, ..Counts::default() });
    assert_eq!((announced.ipv4_bytes, announced.ipv6_bytes, announced.webrtc_bytes), (6, 18, 0));
    let torrent = info_hash(1);
    assert_eq!(setup.shard.scrape(&torrent).unwrap().leechers, 3);
    let browsers = setup.shard.webrtc_scrape(&torrent).unwrap();
    assert_eq!((browsers.leechers, browsers.seeders), (1, 1));
    assert_eq!(setup.shard.webrtc_scrape(&info_hash(2)), None);
}

#[test]
fn completions_are_those_of_the_torrent() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.act(peer(1, 1), 1, AnnounceEvent::Completed, None);
    let announced = setup.knock(54, address(1, false, false));
    assert_eq!((announced.counts.completions, announced.counts.seeders), (1, 0));
    let again = setup.act(peer(1, 1), 1, AnnounceEvent::Completed, Some(0));
    assert_eq!((again.counts.completions, again.counts.seeders), (1, 1));
}

#[test]
fn nobody_is_told_of_itself_or_of_others_on_its_connection() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.come(peer(1, 1), 1, 1);
    setup.come(peer(2, 1), 1, 1);
    setup.come(peer(3, 2), 2, 1);
    setup.come(peer(1, 1), 1, 1);
    assert_eq!(setup.peers, [peer(3, 2)]);
}

#[test]
fn seeders_are_told_of_leechers_alone() {
    for (seeds_to_seeds, expected) in [(false, 1), (true, 3)] {
        let mut setup = Setup::new(SwarmSettings { seeds_to_seeds, ..SwarmSettings::default() });
        setup.come(peer(1, 1), 1, 0);
        setup.come(peer(2, 2), 2, 1);
        setup.act(peer(3, 3), 3, AnnounceEvent::Paused, Some(5));
        setup.come(peer(4, 4), 4, 0);
        assert_eq!(setup.peers.len(), expected);
    }
}

#[test]
fn peer_id_moves_to_another_connection_of_its_address_only() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.come(peer(1, 1), 1, 1);
    setup.come(peer(2, 2), 2, 1);
    let stolen = setup.come(peer(1, 3), 3, 0);
    assert!(stolen.peer_id_in_use);
    assert_eq!((stolen.counts.leechers, stolen.webrtc_bytes), (2, 0), "nothing was changed");
    assert!(setup.act(peer(1, 3), 3, AnnounceEvent::Stopped, None).peer_id_in_use);
    // Nor does another connection of the same address stop it.
    assert!(setup.act(peer(1, 3), 1, AnnounceEvent::Stopped, None).peer_id_in_use);
    assert_eq!(setup.relay(peer(2, 2), 1), Some(Connection(1)));
    // It became a leecher again or stays one; the row moves either way.
    for (connection, left_bytes) in [(4, 1), (5, 0), (6, 1)] {
        let moved = setup.come(peer(1, connection), 1, left_bytes);
        assert!(!moved.peer_id_in_use);
        assert_eq!(moved.counts.seeders + moved.counts.leechers, 2);
        assert_eq!(setup.relay(peer(2, 2), 1), Some(Connection(connection)));
    }
    assert!(!setup.shard.leave(setup.now, &info_hash(1), &peer(1, 1)), "it lost its peer");
    assert!(setup.shard.leave(setup.now, &info_hash(1), &peer(1, 6)));
    assert_eq!(setup.relay(peer(2, 2), 1), None);
    assert_eq!(setup.shard.tally().peers_total(), 1);
}

#[test]
fn peer_id_of_a_silent_peer_is_free() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.come(peer(1, 1), 1, 1);
    setup.now = setup.now.plus(248);
    assert!(!setup.come(peer(1, 2), 2, 1).peer_id_in_use);
}

#[test]
fn message_refreshes_its_sender_and_changes_nothing_else() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.act(peer(1, 1), 1, AnnounceEvent::Completed, None);
    setup.come(peer(2, 2), 2, 1);
    setup.now = setup.now.plus(200);
    assert_eq!(setup.relay(peer(1, 7), 2), None, "another connection speaks for it");
    assert_eq!(setup.relay(peer(1, 1), 2), Some(Connection(2)));
    assert_eq!(setup.relay(peer(1, 1), 3), None);
    setup.now = setup.now.plus(100);
    setup.sweep();
    let counts = setup.shard.webrtc_scrape(&info_hash(1)).unwrap();
    assert_eq!((counts.seeders, counts.leechers), (1, 0), "the receiver fell silent");
    assert_eq!(setup.relay(peer(1, 1), 2), None);
    let again = setup.act(peer(1, 1), 1, AnnounceEvent::Completed, Some(0));
    assert!(!again.completion_counted, "it is remembered that it has finished");
}

#[test]
fn each_kind_of_peer_lives_by_its_own_time() {
    let settings = SwarmSettings {
        peer_ttl_secs: 1500,
        webrtc_peer_ttl_secs: 240,
        ..SwarmSettings::default()
    };
    let mut setup = Setup::new(settings);
    setup.knock(55, address(1, false, false));
    setup.come(peer(1, 1), 1, 1);
    setup.now = setup.now.plus(300);
    setup.come(peer(2, 2), 2, 1);
    assert_eq!(setup.peers, []);
    assert_eq!(setup.knock(56, address(2, false, false)).ipv4_bytes, 6);
    setup.sweep();
    assert_eq!(setup.shard.tally().peers_total(), 3);
}

#[test]
fn nothing_is_left_of_browsers_that_left() {
    let mut setup = Setup::new(SwarmSettings::default());
    for number in 0..250 {
        setup.come(peer(number, u64::from(number)), u32::from(number), 1);
    }
    assert_eq!(setup.peers.len(), 20);
    for number in 0..250 {
        assert!(setup.shard.leave(setup.now, &info_hash(1), &peer(number, u64::from(number))));
    }
    assert_eq!((setup.shard.tally().torrents, setup.shard.tally().peers_total()), (0, 0));
    assert!(setup.shard.heap_bytes() < 1000);
}

#[test]
fn full_memory_takes_no_further_browser_but_answers_it() {
    let mut setup = Setup::new(SwarmSettings::default());
    setup.come(peer(1, 1), 1, 1);
    setup.totals.set_pressure(Pressure::Full);
    let before = setup.shard.heap_bytes();
    let announced = setup.come(peer(2, 2), 2, 1);
    assert!(announced.not_stored);
    assert_eq!(setup.peers, [peer(1, 1)]);
    assert_eq!(setup.relay(peer(2, 2), 1), None, "who is not stored sends no message");
    assert_eq!(setup.shard.heap_bytes(), before);
}

#[test]
fn port_zero_is_no_reason_to_refuse_a_browser() {
    let rules = Rules { ports_reserved_denied: true, ..Rules::default() };
    let ip = address(1, false, false);
    let mut announce = webrtc_announce(info_hash(1), (peer(1, 1), ip), EVENT, None);
    let mut reason = Reason::default();
    let mut admit = |announce: &_| rules.admit(announce, None, &mut reason).map_err(Refusal::index);
    assert_eq!(admit(&announce), Ok(None));
    announce.connection = None;
    assert_eq!(admit(&announce), Err(Refusal::InvalidPort.index()));
    announce.connection = Some(Connection(1));
    announce.ip = IpAddr::from([0, 0, 0, 0]);
    assert_eq!(admit(&announce), Err(Refusal::InvalidIp.index()));
}

#[test]
fn peers_are_listed_with_family_and_peer_id() {
    let mut setup = Setup::new(SwarmSettings { peer_ids: false, ..SwarmSettings::default() });
    setup.knock(57, address(1, true, false));
    setup.come(peer(1, 1), 1, 1);
    let ipv6 = (peer(2, 2), address(2, true, false));
    setup.announce(&webrtc_announce(info_hash(1), ipv6, EVENT, Some(1)));
    let mut listed = Vec::new();
    setup.shard.for_each_peer(|stored| {
        listed.push((stored.endpoint.map(<[u8]>::len), stored.peer_id, stored.ipv6));
    });
    listed.sort_unstable();
    let [one, two] = [1, 2].map(|number| Some(PeerId([number; 20])));
    assert_eq!(listed, [(None, one, false), (None, two, true), (Some(18), None, true)]);
}
