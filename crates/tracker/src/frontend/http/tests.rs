//! Turns among connections, what is kept of full scrapes, and the end of a listener.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use skep_engine::Seed;
use skep_engine::session::HttpRefusal;
use skep_engine::swarm::SwarmSettings;
use skep_engine::testing::wire;
use skep_net::tcp::accept;
use skep_proto::http::{Connection, ContentType, ResponseHead, Status};
use skep_proto::{AnnounceEvent, AnnounceRequest, DecodeError, InfoHash, NumWant, PeerId, PeerKey};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deferred::{Deferred, Made, Walk};
use super::*;
use crate::config::{Config, Mode};
use crate::policy;
use crate::runtime::clock::Clock;
use crate::runtime::load::CurrentDelay;
use crate::runtime::shutdown::Shutdown;
use crate::shards::MemoryStore;

const LONG: Duration = Duration::from_secs(20);

fn request(info_hash: InfoHash, port: u16) -> AnnounceRequest {
    AnnounceRequest {
        info_hash,
        peer_id: PeerId(*b"-XX0001-............"),
        port,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes: Some(1),
        event: AnnounceEvent::Started,
        num_want: NumWant::Default,
        peer_key: PeerKey::from_u32(1),
    }
}

fn announce(info_hash: InfoHash, port: u16) -> String {
    format!("GET {} HTTP/1.1\r\n\r\n", wire::http_announce(&request(info_hash, port)))
}

struct Setup {
    shared: Shared,
    http: HttpShared,
}

impl Setup {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.swarm.ports_per_address_max = 0;
        config.swarm.new_torrents_per_minute_max = 0;
        change(&mut config);
        let (seed, clock) = (Seed::new(1), Clock::start());
        let settings: SwarmSettings = policy::swarm_settings(&config);
        let store = Arc::new(MemoryStore::new(&settings, seed.clone()));
        let (policy, _) =
            policy::load(&config, &seed, &Arc::new(crate::site::Site::new(&seed, &clock))).unwrap();
        let shared = Shared {
            store: store.clone(),
            late: None,
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            delay: CurrentDelay::default(),
            clock: clock.clone(),
            shutdown: Shutdown::default(),
            seed: seed.clone(),
            new_torrents_per_minute_max: 0,
        };
        let limits = HttpLimits {
            head_bytes_max: 16 * 1024,
            head_timeout: LONG,
            idle_timeout: LONG,
            write_timeout: LONG,
            connections_max: 1000,
            connections_per_address_max: 0,
        };
        let site = Site {
            version: "1.2.3",
            mode: Mode::Public,
            udp_port: None,
            http_port: Some(1),
            https_port: None,
            websocket: true,
        };
        Self { shared, http: HttpShared::new(limits, site, Stats::new(store, seed, clock), None) }
    }

    fn door(&self, stopped: watch::Receiver<bool>) -> Rc<Door> {
        let counters = Arc::<WorkerCounters>::default();
        let worker = Worker::new(self.shared.clone(), counters.clone());
        let (exchange, _) = Exchange::new(1);
        let hub = Hub::new(0, exchange, counters).unwrap();
        Rc::new(Door::new(worker, self.http.clone(), hub, stopped))
    }

    fn full_scrape(&self, peer: IpAddr) -> Deferred {
        let head = ResponseHead {
            status: Status::Ok,
            content_type: ContentType::Text,
            connection: Connection::KeepAlive,
            omit_body: false,
            extra_headers: &[],
        };
        let (pages, shared) = (self.http.pages.clone(), self.shared.clone());
        let client = SocketAddr::new(peer, 0).into();
        Deferred { head, what: Walk::FullScrape, pages, shared, client }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

fn listen() -> TcpListener {
    skep_net::tcp::listen((Ipv4Addr::LOCALHOST, 0).into(), false, 16).unwrap()
}

/// Both ends of a connection, of which one end has something to say already.
fn connection(says: &str) -> (TcpStream, TcpStream, SocketAddr) {
    let listener = listen();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(says.as_bytes()).unwrap();
    let (stream, peer) = accept(&listener).unwrap();
    (client, stream, peer)
}

/// The number of incomplete peers in the first answer.
fn incomplete(mut client: &TcpStream) -> u32 {
    let mut answer = [0; 4096];
    let len = client.read(&mut answer).unwrap();
    let body = answer[..len].windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let told = String::from_utf8_lossy(&answer[body..len]).into_owned();
    let (_, number) = told.split_once("10:incompletei").unwrap();
    number.split('e').next().unwrap().parse().unwrap()
}

#[test]
fn client_with_many_requests_waits_for_one_with_a_single_request() {
    const MANY: u16 = 50;
    let setup = Setup::new(|_| {});
    let info_hash = InfoHash([1; 20]);
    let many: String = (1..=MANY).map(|port| announce(info_hash, port)).collect();
    run(async {
        let (_stop, stopped) = watch::channel(false);
        let door = setup.door(stopped);
        // Whichever of them is looked at first, one of the two comes behind the many.
        let first = connection(&announce(info_hash, 1001));
        let crowd = connection(&many);
        let last = connection(&announce(info_hash, 1002));
        let mut clients = Vec::new();
        for (client, stream, peer) in [first, crowd, last] {
            door.admit(stream, peer.into(), Security::Plain);
            clients.push(client);
        }
        let served = &door.shared.store;
        while served.tally().peers_total() < u64::from(MANY) + 2 {
            tokio::task::yield_now().await;
        }
        for client in [&clients[0], &clients[2]] {
            let peers = incomplete(client);
            assert!(peers <= 6, "{peers} announces came before");
        }
    });
}

async fn scraped(setup: &Setup, last: u8) -> Made {
    setup.full_scrape(Ipv4Addr::new(192, 0, 2, last).into()).make().await
}

/// What was made of a full scrape, in one word.
fn told(made: &Made) -> Result<usize, HttpRefusal<'static>> {
    made.body.as_ref().map(|body| body.len()).map_err(|refusal| *refusal)
}

/// Announces so many torrents over a connection.
async fn fill(door: &Rc<Door>, torrents: u32) {
    let says: String = (0..torrents)
        .map(|number| {
            let mut info_hash = [7; 20];
            info_hash[..4].copy_from_slice(&number.to_be_bytes());
            announce(InfoHash(info_hash), 1)
        })
        .collect();
    let listener = listen();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        let mut reader = client.try_clone().unwrap();
        let read = std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        client.write_all(says.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        read.join().unwrap().unwrap();
    });
    let (stream, peer) = loop {
        match accept(&listener) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::task::yield_now().await;
            }
            accepted => break accepted.unwrap(),
        }
    };
    door.admit(stream, peer.into(), Security::Plain);
    while !client.is_finished() {
        tokio::task::yield_now().await;
    }
    client.join().unwrap();
}

#[test]
fn refusal_of_a_large_full_scrape_is_kept_for_a_while() {
    let setup = Setup::new(|config| {
        (config.scrape.full, config.scrape.full_max) = (true, 1500);
    });
    run(async {
        let (_stop, stopped) = watch::channel(false);
        let door = setup.door(stopped);
        fill(&door, 1600).await;
        let too_large = Err(HttpRefusal::FullScrapeTooLarge);
        assert_eq!(told(&scraped(&setup, 1).await), too_large);
        setup.shared.store.retain(&|_| false);
        assert_eq!(told(&scraped(&setup, 1).await), too_large);
        setup.shared.clock.advance(10);
        assert_eq!(told(&scraped(&setup, 1).await), Err(HttpRefusal::NothingFound));
        // A small one is made anew each time.
        fill(&door, 1).await;
        assert!(told(&scraped(&setup, 1).await).is_ok());
    });
}

#[test]
fn full_scrapes_under_way_are_bounded_in_all_and_for_one_address() {
    let setup = Setup::new(|config| config.scrape.full = true);
    run(async {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(scraped(&setup, 1).await);
            assert_eq!(told(held.last().unwrap()), Err(HttpRefusal::NothingFound));
        }
        assert_eq!(told(&scraped(&setup, 1).await), Err(HttpRefusal::Overloaded));
        for last in 2..=29 {
            held.push(scraped(&setup, last).await);
        }
        assert_eq!(told(&scraped(&setup, 99).await), Err(HttpRefusal::Overloaded));
        held.clear();
        assert_eq!(told(&scraped(&setup, 1).await), Err(HttpRefusal::NothingFound));
    });
}

#[test]
fn bodies_that_slow_readers_hold_are_few() {
    let setup = Setup::new(|config| config.scrape.full = true);
    run(async {
        let (_stop, stopped) = watch::channel(false);
        let door = setup.door(stopped);
        fill(&door, 1100).await;
        let mut held = Vec::new();
        for last in 1..=20 {
            held.push(scraped(&setup, last).await);
            setup.shared.clock.advance(10);
        }
        let mut bodies: Vec<_> =
            held.iter().map(|made| made.body.as_ref().unwrap().as_ptr()).collect();
        bodies.sort_unstable();
        bodies.dedup();
        assert_eq!(bodies.len(), 3);
    });
}

#[test]
fn full_scrape_that_was_forbidden_meanwhile_is_refused() {
    let setup = Setup::new(|_| {});
    run(async {
        let expected = Err(HttpRefusal::Broken(DecodeError::FullScrape));
        assert_eq!(told(&scraped(&setup, 1).await), expected);
    });
}

/// Everything that comes back on a new connection on which a whole text was sent.
fn answers(door: &Rc<Door>, says: &str) -> String {
    let (mut client, stream, peer) = connection(says);
    door.admit(stream, peer.into(), Security::Plain);
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn connection_that_asks_once_is_over_before_the_event_loop_hears_of_it() {
    let setup = Setup::new(|_| {});
    run(async {
        let (_stop, stopped) = watch::channel(false);
        let door = setup.door(stopped);
        // Nothing else can run here: this reads to the end without giving up its turn.
        let told = answers(&door, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.ends_with("\r\n\r\nok"), "{told}");
        assert_eq!(door.counters.http_connections.get(), 0);
        let sent: u64 = door.counters.http.iter().map(|family| family.sent_bytes.get()).sum();
        assert_eq!(sent, told.len() as u64);
    });
}

#[test]
fn request_in_two_parts_and_requests_in_a_row_are_answered_in_order() {
    let setup = Setup::new(|_| {});
    let health = "GET /health HTTP/1.1\r\n\r\n";
    let missing = "GET /missing HTTP/1.1\r\nConnection: close\r\n\r\n";
    for (now, later) in
        [("", health), ("GET /hea", "lth HTTP/1.1\r\n\r\n"), (health, ""), (health, health)]
    {
        run(async {
            let (_stop, stopped) = watch::channel(false);
            let door = setup.door(stopped);
            let (mut client, stream, peer) = connection(now);
            door.admit(stream, peer.into(), Security::Plain);
            client.write_all(later.as_bytes()).unwrap();
            client.write_all(missing.as_bytes()).unwrap();
            let reading = std::thread::spawn(move || {
                let mut told = String::new();
                client.read_to_string(&mut told).unwrap();
                told
            });
            while !reading.is_finished() {
                tokio::task::yield_now().await;
            }
            let told = reading.join().unwrap();
            let statuses: Vec<&str> =
                told.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
            let whole = (now.len() + later.len()) / health.len();
            assert_eq!(statuses[..whole], ["200", "200"][..whole], "{told}");
            assert_eq!(statuses[whole..], ["404"], "{told}");
        });
    }
}

/// Takes what is written and never sends it on, as TLS does when the other side takes nothing.
struct Stuck;

impl AsyncRead for Stuck {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn nothing_is_held_for_browsers_that_are_gone() {
    let setup = Setup::new(|_| {});
    run(async {
        let (_stop, stopped) = watch::channel(false);
        let door = setup.door(stopped);
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        // The first part of a message, and the beginning of a long second one.
        let part = [&b"\x01\xfe\x03\xe8\0\0\0\0"[..], &[b' '; 1000]].concat();
        let begins = [&part, &b"\x80\xfe\x03\xe8\0\0\0\0"[..], &[b' '; 900]].concat();
        for input in [part, begins] {
            let place = door.places.take(ip, || false).unwrap();
            let open = Open::new(door.clone(), place);
            websocket::serve(tokio::io::empty(), open, caller(ip), input).await;
            assert_eq!(door.hub.held_bytes(), 0);
        }
    });
}

fn caller(source: IpAddr) -> Caller {
    Caller { source, credential: skep_engine::session::Credential::default() }
}

#[test]
fn browser_that_closes_and_takes_nothing_does_not_stay() {
    let setup = Setup::new(|_| {});
    run(async {
        let (_stop, stopped) = watch::channel(false);
        let door = setup.door(stopped);
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let place = door.places.take(ip, || false).unwrap();
        let open = Open::new(door.clone(), place);
        // A masked frame that closes.
        let closes = b"\x88\x80\0\0\0\0".to_vec();
        let served = tokio::task::spawn_local(websocket::serve(Stuck, open, caller(ip), closes));
        tokio::task::spawn_local(websocket::tend(door.clone()));
        while door.counters.websocket_connections.get() == 0 {
            tokio::task::yield_now().await;
        }
        door.shared.clock.advance(LONG.as_secs() as u32 + 1);
        tokio::time::timeout(LONG, served).await.unwrap().unwrap();
        assert_eq!(door.counters.websocket_connections.get(), 0);
        assert_eq!(door.counters.http_connections.get(), 0);
    });
}
