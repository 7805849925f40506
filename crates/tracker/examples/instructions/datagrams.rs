//! From datagrams to replies: whole batches through the UDP front end and the store in memory.
//!
//! Sockets are real, and so are the system calls, of which callgrind counts nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as Client};
use std::sync::Arc;

use fastrand::Rng;
use skep::frontend::udp::UdpFrontend;
use skep::frontend::{Shared, Worker};
use skep::runtime::clock::Clock;
use skep::runtime::load::CurrentDelay;
use skep::runtime::shutdown::Shutdown;
use skep::shards::{Answer, Batch, MemoryStore, PeerStore, Request};
use skep_engine::gate::RateTable;
use skep_engine::session::{ConnectionIds, Policy, UdpSession};
use skep_engine::swarm::{Moment, PeerRoom, PrivatePeers, SwarmSettings};
use skep_engine::testing::wire;
use skep_engine::{Seed, Tick};
use skep_net::udp::{Backend, UdpOptions, UdpSocket};
use skep_proto::{InfoHash, TransactionId};

use crate::swarms::{NEW_TORRENTS_PER_MINUTE_MAX, announce, info_hash, request};
use crate::words::SCRAPE_TORRENTS;
use crate::{counted, end_of_row};

/// Datagrams in a batch, as configured by default.
const BATCH: usize = 64;
const ROUNDS: u32 = 16;
/// Long enough that no run sees two slots.
const SLOT_SECS: u32 = 1 << 30;
const TRANSACTION_ID: TransactionId = TransactionId([1, 2, 3, 4]);
/// Peers of each torrent that is asked about, besides the one that asks.
const PEERS: u64 = 50;
/// Torrents besides these; so many that the store asks for memory ahead.
const OTHER_TORRENTS: u64 = 100_000;

struct Tracker {
    frontend: UdpFrontend,
    store: Arc<dyn PeerStore>,
    ids: ConnectionIds,
    address: SocketAddr,
    clients: Vec<Client>,
}

impl Tracker {
    fn new() -> std::io::Result<Self> {
        let seed = Seed::new(42);
        // Clients on this machine are to meet the others, as clients on the internet do.
        let settings =
            SwarmSettings { private_peers: PrivatePeers::Always, ..SwarmSettings::default() };
        let store: Arc<dyn PeerStore> = Arc::new(MemoryStore::new(&settings, seed.clone()));
        let shared = Shared {
            late: None,
            store: store.clone(),
            policy: Arc::new(Arc::new(Policy::default()).into()),
            clock: Clock::start(),
            shutdown: Shutdown::default(),
            delay: CurrentDelay::default(),
            seed: seed.clone(),
            new_torrents_per_minute_max: NEW_TORRENTS_PER_MINUTE_MAX,
        };
        let worker = Worker { rng: Rng::with_seed(1), ..Worker::new(shared, Arc::default()) };
        let ids = ConnectionIds::new([7; 16], SLOT_SECS, 0);
        let session = UdpSession::new(ids.clone(), RateTable::new(seed, 0, 24, 48));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = UdpOptions { backend: Backend::Mmsg, ..UdpOptions::new(any) };
        let socket = UdpSocket::bind(&options)?;
        let address = socket.local_addr();
        let frontend = UdpFrontend::new(worker, session, vec![socket], BATCH);
        let clients = (0..BATCH).map(|number| {
            let client = Client::bind((Ipv4Addr::new(127, 0, 0, 2 + number as u8), 0))?;
            client.set_nonblocking(true)?;
            Ok(client)
        });
        let clients = clients.collect::<std::io::Result<_>>()?;
        Ok(Self { frontend, store, ids, address, clients })
    }

    /// Announces peers past the sockets.
    fn fill(&self, peers: impl Iterator<Item = (u64, u64)>) {
        let mut rng = Rng::with_seed(2);
        let mut new_torrents = RateTable::new(Seed::new(42), 0, 32, 48);
        let now = Tick(0);
        let mut moment = Moment { now, rng: &mut rng, new_torrents: &mut new_torrents };
        let requests =
            peers.map(|(torrent, peer)| Request::Announce(announce(torrent, peer))).collect();
        self.store.submit(&mut moment, &mut Fill(requests));
    }

    /// Counts what a datagram costs, as the mean of whole batches.
    ///
    /// `datagram` makes that of a client, whose number and address it is told.
    fn count(
        &mut self,
        name: &str,
        reply_bytes: usize,
        datagram: impl Fn(&Self, usize, IpAddr) -> Vec<u8>,
    ) -> std::io::Result<()> {
        let clients = self.clients.iter().enumerate();
        let datagrams =
            clients.map(|(number, client)| Ok(datagram(self, number, client.local_addr()?.ip())));
        let datagrams: Vec<_> = datagrams.collect::<std::io::Result<_>>()?;
        // The first round makes the clients known and is not counted.
        for round in 0..=ROUNDS {
            for (client, datagram) in self.clients.iter().zip(&datagrams) {
                client.send_to(datagram, self.address)?;
            }
            let mut served = Ok(0);
            let mut serve = || served = self.frontend.serve_batch(0);
            if round == 0 {
                serve();
            } else {
                counted(&mut serve);
            }
            assert_eq!(served?, BATCH, "what was sent on this machine is there at once");
            let mut reply = [0; 2048];
            for client in &self.clients {
                assert_eq!(client.recv(&mut reply)?, reply_bytes, "{name}");
            }
        }
        end_of_row(name, BATCH as u32 * ROUNDS);
        Ok(())
    }
}

/// Announces whose answers nobody reads.
struct Fill(Vec<Request>);

impl Batch for Fill {
    fn requests(&self) -> &[Request] {
        &self.0
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom::default()
    }

    fn complete(&mut self, _number: usize, _answer: Answer) {}
}

pub(crate) fn rows() {
    let mut tracker = Tracker::new().expect("sockets on this machine can be bound");
    let counted = count_all(&mut tracker);
    counted.expect("sockets on this machine can be used");
}

fn count_all(tracker: &mut Tracker) -> std::io::Result<()> {
    let clients = BATCH as u64;
    tracker.fill((0..clients * PEERS).map(|peer| (peer / PEERS, peer)));
    tracker
        .count("UDP datagram to reply: connect", 16, |_, _, _| wire::udp_connect(TRANSACTION_ID))?;
    for (name, left) in [
        ("UDP datagram to reply: announce of a leecher, 30 of 51 peers", 1),
        ("UDP datagram to reply: announce of a seeder, 30 of 51 peers", 0),
    ] {
        tracker.count(name, 20 + 30 * 6, announce_of(left))?;
    }
    for (name, torrents) in [
        ("UDP datagram to reply: scrape of 1 torrent", 1),
        ("UDP datagram to reply: scrape of 74 torrents", SCRAPE_TORRENTS),
    ] {
        tracker.count(name, 8 + torrents as usize * 12, |tracker, number, ip| {
            let hashes: Vec<InfoHash> = (0..torrents)
                .map(|torrent| info_hash((number as u64 + torrent) % clients))
                .collect();
            wire::udp_scrape(tracker.ids.issue(ip, None, Tick(0)), TRANSACTION_ID, &hashes)
        })?;
    }
    tracker.fill((0..OTHER_TORRENTS).map(|number| (clients + number, number)));
    // The sweep is what tells the store how large it is.
    tracker.store.sweep_piece(0, Tick(0));
    let name = "UDP datagram to reply: announce of a leecher, 100,000 torrents, memory asked ahead";
    tracker.count(name, 20 + 30 * 6, announce_of(1))
}

/// Announces of client `number` to torrent `number`.
fn announce_of(left: u64) -> impl Fn(&Tracker, usize, IpAddr) -> Vec<u8> {
    move |tracker, number, ip| {
        let mut request = request(number as u64, 1_000_000 + number as u64);
        request.left_bytes = Some(left);
        wire::udp_announce(tracker.ids.issue(ip, None, Tick(0)), TRANSACTION_ID, &request)
    }
}
