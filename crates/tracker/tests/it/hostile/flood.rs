//! A flood of forged datagrams: no memory, no answers to those who prove nothing, honest ones served.
//!
//! Every byte that comes back to the flood is counted.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use fastrand::Rng;
use skep_engine::testing::wire;
use skep_proto::{ConnectionId, TransactionId};

use crate::support::{HttpClient, Process, RawUdp, UdpClient, announce, metric, torrent};

const DATAGRAMS: usize = 300_000;
/// So many at once that the tracker has to work off a queue, and few enough for small buffers.
const BURST: usize = 500;
/// Addresses of one burst; the next burst has others.
const FORGERS: usize = 32;
/// What the process may grow by: its allocator and the stacks of its threads settle.
const GROWTH_BYTES_MAX: u64 = 1024 * 1024;

#[test]
fn forged_datagrams_take_no_memory_and_get_only_connect_replies() {
    let mut tracker = Process::start(&[]);
    let SocketAddr::V4(udp) = tracker.udp() else { unreachable!("asked for IPv4") };
    let mut honest: Vec<_> =
        (0..8).map(|_| UdpClient::new(Ipv4Addr::LOCALHOST.into(), udp.into())).collect();
    let mut by_http = HttpClient::connect(tracker.http());
    let raw = RawUdp::open();
    let mut flood = Flood::new(udp.into(), honest[0].connect());
    let bursts = DATAGRAMS / BURST;
    let mut settled_bytes = 0;
    for number in 0..bursts {
        if number == bursts / 10 {
            settled_bytes = tracker.resident_bytes();
        }
        flood.burst();
        if let Some(raw) = &raw {
            raw.send(0, udp, &wire::udp_connect(TransactionId([0; 4]))).unwrap();
        }
        let request = announce(torrent(1), 6881, 1);
        let honest_one = &mut honest[number % 8];
        assert_eq!(honest_one.announce(&request).unwrap().seen.incomplete, 1);
        if number % 10 == 0 {
            assert_eq!(by_http.announce(&request).unwrap().seen.incomplete, 1);
        }
    }
    let grown_bytes = tracker.resident_bytes().saturating_sub(settled_bytes);
    assert!(grown_bytes <= GROWTH_BYTES_MAX, "grown by {grown_bytes} bytes");
    assert!(flood.connects > 10_000, "{} connects", flood.connects);
    assert!(0 < flood.replies && flood.replies <= flood.connects);
    let text = HttpClient::connect(tracker.admin()).get("/metrics").text().to_owned();
    let dropped = |reason| {
        let labels = format!("transport=\"udp\",family=\"ipv4\",reason=\"{reason}\"");
        metric(&text, &format!("skep_traffic_drops_total{{{labels}}}"))
    };
    let reasons = ["too_short", "bad_magic", "bad_connection_id", "source_port_zero"];
    let all: u64 = reasons.map(dropped).iter().sum();
    let lost = metric(&text, "skep_udp_kernel_drops_total");
    let proved_nothing = (DATAGRAMS as u64 - flood.connects) + raw.map_or(0, |_| bursts as u64);
    assert!(all + lost >= proved_nothing, "{all} dropped, {lost} lost of {proved_nothing}");
    assert_eq!(dropped("send_failed"), 0);
    assert_eq!(metric(&text, "skep_swarm_torrents"), 1, "only the honest ones have a torrent");
}

/// The flood and what comes back to it.
struct Flood {
    rng: Rng,
    tracker: SocketAddr,
    /// The id of somebody else.
    stolen: ConnectionId,
    addresses: u32,
    /// Connect requests among the datagrams, which alone may be answered.
    connects: u64,
    replies: u64,
}

impl Flood {
    fn new(tracker: SocketAddr, stolen: ConnectionId) -> Self {
        let rng = Rng::with_seed(0x736b_6570);
        Self { rng, tracker, stolen, addresses: 0, connects: 0, replies: 0 }
    }

    /// Sends a burst from fresh addresses and reads whatever comes back to them.
    fn burst(&mut self) {
        let sockets: Vec<_> = (0..FORGERS).map(|_| self.forger()).collect();
        let mut sent_bytes = [0; FORGERS];
        for number in 0..BURST {
            let forger = number % FORGERS;
            let datagram = self.datagram();
            sent_bytes[forger] += datagram.len();
            sockets[forger].send(&datagram).unwrap();
        }
        for (socket, sent_bytes) in sockets.iter().zip(sent_bytes) {
            let got_bytes = self.read_all(socket);
            assert!(got_bytes <= sent_bytes, "{got_bytes} bytes for {sent_bytes}");
        }
    }

    /// A socket on an address that nobody had before.
    fn forger(&mut self) -> UdpSocket {
        self.addresses += 1;
        let [_, high, middle, low] = self.addresses.to_be_bytes();
        // Away from the addresses of the honest, and none ends in 0 or 255.
        let ip = Ipv4Addr::new(127, 64 + high, middle, low.clamp(1, 254));
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(self.tracker).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    }

    /// Reads up to the reply to a connect of its own, before which all others have come.
    fn read_all(&mut self, socket: &UdpSocket) -> usize {
        let last = TransactionId(*b"last");
        let mut got_bytes = 0;
        let mut reply = [0; 2048];
        for _ in 0..10 {
            socket.send(&wire::udp_connect(last)).unwrap();
            // In a burst it may get lost like any other datagram; then it is sent again.
            while let Ok(len) = socket.recv(&mut reply) {
                let reply = &reply[..len];
                assert!(len == 16 && reply[..4] == [0; 4], "not a connect reply: {reply:02x?}");
                if reply[4..8] == last.0 {
                    return got_bytes;
                }
                self.replies += 1;
                got_bytes += len;
            }
        }
        panic!("an honest connect is never answered");
    }

    fn datagram(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let id = TransactionId(rng.u32(..0x6000_0000).to_be_bytes());
        let forged = ConnectionId(rng.u64(..));
        let request = announce(torrent(rng.u8(..)), 6881, 1);
        match rng.u32(..8) {
            0 => {
                self.connects += 1;
                wire::udp_connect(id)
            }
            1 => {
                self.connects += 1;
                let mut long = wire::udp_connect(id);
                long.resize(16 + rng.usize(..1000), 0xff);
                long
            }
            2 => wire::udp_announce(forged, id, &request),
            3 => wire::udp_announce(self.stolen, id, &request),
            4 => wire::udp_scrape(forged, id, &vec![torrent(1); rng.usize(..70)]),
            5 => {
                let mut unknown = wire::udp_scrape(forged, id, &[]);
                unknown[8..12].copy_from_slice(&rng.u32(3..).to_be_bytes());
                unknown
            }
            6 => {
                let mut wrong_constant = wire::udp_connect(id);
                wrong_constant[rng.usize(..8)] ^= 0x40;
                wrong_constant
            }
            _ => {
                let mut noise = vec![0; rng.usize(..300)];
                rng.fill(&mut noise);
                noise
            }
        }
    }
}
