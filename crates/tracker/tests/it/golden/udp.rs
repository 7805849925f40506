//! Datagrams and what comes back, from loopback addresses in place of those in the files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_engine::counters::TrafficCounters;
use skep_engine::gate::RateTable;
use skep_engine::session::{ConnectionIds, Policy, UdpSession, UdpStep};
use skep_engine::testing::wire;
use skep_engine::{Seed, Tick};
use skep_proto::TransactionId;
use skep_proto::vectors::{Line, Session, UDP_OPTIONS, UDP_SESSION, Vector, VectorFile};

use super::{Bench, Settled, peer_line, place, replay, swarm_line};
use crate::support::{RawUdp, Tracker, UdpClient, shown, wait_until};

/// Two UDP ports; swarms whose peers share a few addresses.
const BASE: &str = "
listen.udp = [\"127.0.0.1:0\", \"[::1]:0\", \"127.0.0.10:0\"]
listen.http = [\"off\"]
swarm.ports_per_address_max = 0
swarm.peers_per_prefix_max = 0
";

/// Where peers of a whole swarm announce from; nobody else does.
const SWARM_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

#[test]
fn golden_udp_sessions_come_over_sockets() {
    replay("udp/session.txt", UDP_SESSION, |file, one| session(file, one, BASE));
}

#[test]
fn golden_udp_options_come_over_sockets() {
    replay("udp/options.txt", UDP_OPTIONS, |file, one| session(file, one, BASE));
}

#[test]
fn golden_udp_sessions_come_over_portable_sockets() {
    let base = format!("{BASE}listen.udp_backend = \"std\"\n");
    let name = "udp/session.txt, one datagram with each system call,";
    replay(name, UDP_SESSION, |file, one| session(file, one, &base));
}

fn session(file: &VectorFile, session: &Session, base: &str) -> usize {
    let mut talk = Talk {
        file: file.clone(),
        bench: Bench::new(base),
        from: String::new(),
        second: false,
        clients: BTreeMap::new(),
        ids: BTreeMap::new(),
    };
    let mut judged = |vector: &&Vector| {
        let mut lines = 0;
        for line in &vector.lines {
            lines += usize::from(talk.line(vector, line));
        }
        lines > 0
    };
    session.vectors.iter().filter(&mut judged).count()
}

/// One session as it goes on.
struct Talk {
    file: VectorFile,
    bench: Bench,
    /// The client of the next request, as the file writes it.
    from: String,
    /// Whether the next request goes to the second port.
    second: bool,
    clients: BTreeMap<(String, bool), UdpClient>,
    /// The last connection id of each address.
    ids: BTreeMap<IpAddr, Vec<u8>>,
}

/// The address of this host that stands for one in the files. Different hosts stay different, as
/// far as there are addresses: a host has one loopback address of IPv6.
fn stand_in(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip == Ipv4Addr::new(192, 0, 2, 1) => Ipv4Addr::new(127, 0, 0, 2).into(),
        IpAddr::V4(ip) if ip == Ipv4Addr::new(198, 51, 100, 7) => {
            Ipv4Addr::new(127, 0, 0, 3).into()
        }
        IpAddr::V4(ip) => panic!("no address of this host stands for {ip}"),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Puts the stand-ins where the addresses of the files are among the peers of a reply.
fn with_stand_ins(mut reply: Vec<u8>) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    for ip in ["192.0.2.1", "198.51.100.7", "2001:db8::7", "2001:db8::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        let (literal, actual) = (octets(ip), octets(stand_in(ip)));
        for at in 0..reply.len().saturating_sub(literal.len() - 1) {
            if reply[at..].starts_with(&literal) {
                reply[at..at + actual.len()].copy_from_slice(&actual);
            }
        }
    }
    reply
}

impl Talk {
    /// Does what a line says; `true` if it was an expectation.
    fn line(&mut self, vector: &Vector, line: &Line) -> bool {
        let place = place(vector, line);
        match line.word.as_str() {
            "set" => self.bench.set(line),
            "peer" => {
                let settled = peer_line(&self.file, line);
                self.settle(&[settled]);
            }
            "swarm" => {
                let client = vector.line("from").expect("a swarm has the family of a client");
                let ipv6 = self.file.address(&client.rest).is_ipv6();
                let ip = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { SWARM_IP.into() };
                let mut settled = swarm_line(&self.file, line);
                settled.iter_mut().for_each(|one| one.ip = Some(ip));
                self.settle(&settled);
            }
            "from" => self.from.clone_from(&line.rest),
            "to" => self.second = true,
            "wait" => self.bench.tracker().advance(line.rest.parse().unwrap()),
            "send" => self.send(&line.rest),
            "recv" => {
                self.receive(&place, &line.rest);
                return true;
            }
            "length" => {
                let reply = self.client().receive();
                check_length(&place, line, &reply);
                return true;
            }
            "silence" => {
                if self.file.address(&self.from).port() != 0 {
                    self.client().expect_silence(&place);
                }
                return true;
            }
            "means" | "says" => {}
            _ => panic!("a word that means nothing: {place}"),
        }
        false
    }

    fn ip(&self) -> IpAddr {
        stand_in(self.file.address(&self.from).ip())
    }

    /// The socket of the client of the moment. Each endpoint in the file has one of its own for
    /// each port of the tracker, hence a source port of its own.
    fn client(&mut self) -> &mut UdpClient {
        let (ip, second) = (self.ip(), self.second);
        let tracker = self.bench.tracker();
        let to = if second {
            *tracker.running().bound().udp.last().unwrap()
        } else {
            udp_of(tracker, ip)
        };
        let key = (self.from.clone(), second);
        self.clients.entry(key).or_insert_with(|| UdpClient::new(ip, to))
    }

    /// Brings peers of one host into their swarm.
    fn settle(&mut self, settled: &[Settled]) {
        let ip = settled[0].ip.expect("every peer has an address");
        let ip = if ip.is_loopback() { ip } else { stand_in(ip) };
        let mut client = UdpClient::new(ip, udp_of(self.bench.tracker(), ip));
        let id = client.connect();
        // Some at a time, so that none gets lost for want of room.
        for some in settled.chunks(32) {
            for Settled { request, .. } in some {
                client.send(&wire::udp_announce(id, TransactionId([0; 4]), request));
            }
            for _ in some {
                wire::read_udp_announce(&client.receive(), ip.is_ipv6()).unwrap();
            }
        }
    }

    fn send(&mut self, expression: &str) {
        let source = self.file.address(&self.from);
        if source.port() == 0 {
            let datagram = self.file.bytes(expression);
            return send_from_port_zero(self.bench.tracker(), &datagram);
        }
        if expression.contains("<cid:L>") {
            let ip = stand_in(self.file.address("L").ip());
            let id = self.id_of(ip);
            self.file.set("cid:L", &id);
        }
        if expression.contains("<cid>") {
            let id = self.id_of(self.ip());
            self.file.set("cid", &id);
        }
        let datagram = self.file.bytes(expression);
        self.client().send(&datagram);
    }

    /// The connection id that an address has, got for it if it has none yet.
    fn id_of(&mut self, ip: IpAddr) -> Vec<u8> {
        if !self.ids.contains_key(&ip) {
            let id = UdpClient::new(ip, udp_of(self.bench.tracker(), ip)).connect();
            self.ids.insert(ip, id.0.to_be_bytes().to_vec());
        }
        self.ids[&ip].clone()
    }

    fn receive(&mut self, place: &str, expression: &str) {
        let ip = self.ip();
        let reply = self.client().receive();
        if expression.contains("<cid>") {
            assert_eq!(reply.len(), 16, "{place}");
            let id = reply[8..].to_vec();
            assert_ne!(id, [0; 8], "{place}");
            self.file.set("cid", &id);
            self.ids.insert(ip, id);
        }
        let expected = with_stand_ins(self.file.bytes(expression));
        assert_eq!(shown(&reply), shown(&expected), "{place}");
    }
}

fn udp_of(tracker: &Tracker, ip: IpAddr) -> SocketAddr {
    if ip.is_ipv6() { tracker.udp_ipv6() } else { tracker.udp() }
}

fn check_length(place: &str, line: &Line, reply: &[u8]) {
    let number = |key| line.value(key).map(|value| value.parse::<usize>().unwrap());
    if let Some(exact) = number("exact") {
        assert_eq!(reply.len(), exact, "{place}");
    }
    if let Some(max) = number("max") {
        // As many peers as fit, since there are more.
        assert_eq!(reply.len(), max, "{place}");
    }
    let stride = number("stride").unwrap();
    assert_eq!((reply.len() - 20) % stride, 0, "{place}");
}

/// Port 0 is a source that no ordinary socket has. With the right to open raw sockets the datagram
/// goes to the tracker, which counts it; without it the proof is that of the session.
fn send_from_port_zero(tracker: &Tracker, datagram: &[u8]) {
    let Some(raw) = RawUdp::open() else {
        io::stderr()
            .write_all(b"source port 0: no right to raw sockets, shown to the session\n")
            .unwrap();
        let ids = ConnectionIds::new([7; 16], 120, 0);
        let mut session = UdpSession::new(ids, RateTable::new(Seed::new(1), 0, 24, 48));
        let source = SocketAddr::from(([192, 0, 2, 1], 0));
        let (policy, counters) = (Policy::default(), TrafficCounters::default());
        let step = session.receive(&policy, &counters, Tick(0), source, datagram, &mut [0; 2048]);
        return assert!(matches!(step, UdpStep::Drop), "{step:?}");
    };
    let SocketAddr::V4(to) = tracker.udp() else { unreachable!("asked for IPv4") };
    let dropped = |reason: &str| {
        let labels = format!("transport=\"udp\",family=\"ipv4\",reason=\"{reason}\"");
        tracker.metric(&format!("skep_traffic_drops_total{{{labels}}}"))
    };
    let (before, unsendable) = (dropped("source_port_zero"), dropped("send_failed"));
    raw.send(0, to, datagram).unwrap();
    wait_until("a datagram from port 0 is dropped", || dropped("source_port_zero") == before + 1);
    assert_eq!(dropped("send_failed"), unsendable, "nobody tried to answer");
}
