//! Random clients that download, finish, pause, vanish and lie, over a network that loses, doubles
//! and reorders.
//!
//! All from one seed. They know nothing of the tracker's answers: what is wrong with those is found
//! elsewhere.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use fastrand::Rng;
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

use crate::swarm::{Announce, Connection, WebrtcPeer};

/// Announces that are on their way at most; the farther one may fall behind the others.
const IN_FLIGHT_MAX: usize = 12;

/// What a crowd of clients is like.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Clients, each in one torrent.
    pub clients: u32,
    /// Torrents.
    pub torrents: u32,
    /// Hosts that the clients live on; fewer hosts than clients share addresses.
    pub hosts: u32,
    /// Clients of a hundred that have IPv6 alone.
    pub ipv6_percent: u32,
    /// Clients of a hundred that announce over both families.
    pub dual_percent: u32,
    /// Clients of a hundred on private addresses.
    pub local_percent: u32,
    /// Announces of a hundred that get lost; as many come twice.
    pub loss_percent: u32,
}

#[derive(Debug)]
struct Client {
    addresses: Vec<IpAddr>,
    port: u16,
    peer_id: PeerId,
    peer_key: PeerKey,
    info_hash: InfoHash,
    left_bytes: Option<u64>,
    online: bool,
}

/// Clients and the announces that they sent.
#[derive(Debug)]
pub struct Crowd {
    rng: Rng,
    profile: Profile,
    clients: Vec<Client>,
    in_flight: Vec<Announce>,
}

/// The info_hash of a torrent by its number.
#[must_use]
pub fn info_hash(torrent: u32) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&torrent.to_be_bytes());
    InfoHash(bytes)
}

/// An address of a small world by the number of its host; four IPv6 hosts share each /64.
#[must_use]
pub fn address(host: u32, ipv6: bool, local: bool) -> IpAddr {
    let [_, a, b, c] = host.to_be_bytes();
    let ipv6_host = u128::from(host >> 2) << 64 | u128::from(host & 3);
    match (ipv6, local) {
        (false, false) => Ipv4Addr::new(198, 18 + (a & 1), b, c).into(),
        (false, true) => Ipv4Addr::new(10, a, b, c).into(),
        (true, false) => Ipv6Addr::from(0x2001_0db8 << 96 | ipv6_host).into(),
        (true, true) => Ipv6Addr::from(0xfd00 << 112 | ipv6_host).into(),
    }
}

/// A WebRTC peer of a small world by the numbers of its peer id and of its connection. Four
/// connections come from each address.
#[must_use]
pub fn webrtc_peer(peer: u32, connection: u32) -> (WebrtcPeer, IpAddr) {
    let mut peer_id = PeerId([b'w'; 20]);
    peer_id.0[..4].copy_from_slice(&peer.to_be_bytes());
    let ip = address(connection >> 2, connection >> 2 & 1 != 0, false);
    (WebrtcPeer { peer_id, connection: Connection(connection.into()) }, ip)
}

/// Its announce.
#[must_use]
pub fn webrtc_announce(
    info_hash: InfoHash,
    (peer, ip): (WebrtcPeer, IpAddr),
    event: AnnounceEvent,
    left_bytes: Option<u64>,
) -> Announce {
    let request = AnnounceRequest {
        info_hash,
        peer_id: peer.peer_id,
        port: 0,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes,
        event,
        num_want: NumWant::Default,
        peer_key: PeerKey::default(),
    };
    Announce { request, ip, connection: Some(peer.connection), listed: true }
}

impl Crowd {
    /// Makes the clients; nobody has announced yet.
    #[must_use]
    pub fn new(profile: Profile, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let clients =
            (0..profile.clients).map(|number| client(&profile, &mut rng, number)).collect();
        Self { rng, profile, clients, in_flight: Vec::new() }
    }

    /// Lets some client act and gives an announce that arrives now, if one does.
    pub fn next_arrival(&mut self) -> Option<Announce> {
        let number = self.rng.usize(..self.clients.len());
        self.act(number);
        let full = self.in_flight.len() > IN_FLIGHT_MAX;
        (full || self.rng.bool()).then(|| self.arrive()).flatten()
    }

    /// Brings one client into its swarm, over a network that loses nothing.
    pub fn start(&mut self, number: u32) -> Vec<Announce> {
        let client = &mut self.clients[number as usize];
        client.online = true;
        let event = AnnounceEvent::Started;
        let num_want = NumWant::Count(self.rng.u32(..100));
        client.announces(event, client.left_bytes, num_want).collect()
    }

    /// Takes one client out of its swarm, over a network that loses nothing.
    pub fn stop(&mut self, number: u32) -> Vec<Announce> {
        let client = &mut self.clients[number as usize];
        client.online = false;
        let event = AnnounceEvent::Stopped;
        client.announces(event, client.left_bytes, NumWant::Count(0)).collect()
    }

    /// An announce that was on its way.
    pub fn arrive(&mut self) -> Option<Announce> {
        if self.in_flight.is_empty() {
            return None;
        }
        let number = self.rng.usize(..self.in_flight.len());
        Some(self.in_flight.swap_remove(number))
    }

    fn act(&mut self, number: usize) {
        let rng = &mut self.rng;
        let client = &mut self.clients[number];
        let event = if client.online { client.go_on(rng) } else { client.come(rng) };
        let Some(event) = event else { return };
        let num_want = match rng.u32(..10) {
            0 => NumWant::Count(0),
            1 => NumWant::Count(1),
            2 => NumWant::Count(u32::MAX),
            3..6 => NumWant::Count(rng.u32(..200)),
            _ => NumWant::Default,
        };
        let left_bytes = match rng.u32(..50) {
            // A magnet link before its metadata, and a client that lies.
            0 => Some(16384),
            1 => None,
            _ => client.left_bytes,
        };
        for mut announce in client.announces(event, left_bytes, num_want) {
            if rng.u32(..100) < 3 {
                // It cannot take connections, and says so.
                announce.request.port = 0;
                announce.listed = false;
            }
            let fate = rng.u32(..100);
            let copies = match fate {
                _ if fate < self.profile.loss_percent => 0,
                _ if fate < 2 * self.profile.loss_percent => 2,
                _ => 1,
            };
            self.in_flight.extend((0..copies).map(|_| announce));
        }
    }
}

impl Client {
    /// Comes online, as what it was or with a new name.
    fn come(&mut self, rng: &mut Rng) -> Option<AnnounceEvent> {
        self.online = true;
        if rng.u32(..4) == 0 {
            rng.fill(&mut self.peer_id.0);
        }
        if rng.u32(..4) == 0 {
            self.left_bytes = left_bytes(rng);
        }
        Some(match rng.u32(..10) {
            0 => AnnounceEvent::None,
            1 => AnnounceEvent::Completed,
            2 => AnnounceEvent::Paused,
            _ => AnnounceEvent::Started,
        })
    }

    /// Does something, or vanishes without a word.
    fn go_on(&mut self, rng: &mut Rng) -> Option<AnnounceEvent> {
        match rng.u32(..100) {
            0..45 => {
                self.left_bytes = self.left_bytes.map(|left| left / 2);
                Some(AnnounceEvent::None)
            }
            45..65 => {
                self.left_bytes = Some(0);
                Some(AnnounceEvent::Completed)
            }
            65..75 => Some(AnnounceEvent::Paused),
            75..80 => {
                // It looked at its files again.
                self.left_bytes = left_bytes(rng);
                Some(AnnounceEvent::None)
            }
            80..93 => {
                self.online = false;
                Some(AnnounceEvent::Stopped)
            }
            _ => {
                self.online = false;
                None
            }
        }
    }

    /// One announce for each of its addresses (BEP 7).
    fn announces(
        &self,
        event: AnnounceEvent,
        left_bytes: Option<u64>,
        num_want: NumWant,
    ) -> impl Iterator<Item = Announce> {
        let request = AnnounceRequest {
            info_hash: self.info_hash,
            peer_id: self.peer_id,
            port: self.port,
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes,
            event,
            num_want,
            peer_key: self.peer_key,
        };
        self.addresses.iter().map(move |&ip| Announce {
            request,
            ip,
            connection: None,
            listed: true,
        })
    }
}

fn client(profile: &Profile, rng: &mut Rng, number: u32) -> Client {
    let host = rng.u32(..profile.hosts);
    let local = rng.u32(..100) < profile.local_percent;
    let family = rng.u32(..100);
    let dual = family < profile.dual_percent;
    let ipv6 = family < profile.dual_percent + profile.ipv6_percent;
    let mut addresses = Vec::new();
    if dual || !ipv6 {
        addresses.push(address(host, false, local));
    }
    if dual || ipv6 {
        addresses.push(address(host, true, local));
    }
    let mut peer_id = PeerId([0; 20]);
    rng.fill(&mut peer_id.0);
    Client {
        addresses,
        // Not all different: some clients share an endpoint, as after a restart.
        port: 1024 + (number % 50_000) as u16,
        peer_id,
        peer_key: PeerKey::from_u32(number),
        info_hash: info_hash(rng.u32(..profile.torrents)),
        left_bytes: left_bytes(rng),
        online: false,
    }
}

fn left_bytes(rng: &mut Rng) -> Option<u64> {
    match rng.u32(..10) {
        0..3 => Some(0),
        3 => None,
        _ => Some(rng.u64(1..1 << 40)),
    }
}
