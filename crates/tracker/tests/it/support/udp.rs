//! A UDP client, and a sender of datagrams that no ordinary client can send.
//!
//! What goes over the wire is written and read by the engine's test tools or by the caller.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};

use skep_engine::testing::wire::{self, Answer, Seen};
use skep_proto::{AnnounceRequest, ConnectionId, InfoHash, TransactionId};
use socket2::{Domain, Protocol, Socket, Type};

use super::DEADLINE;

/// One socket of a client, connected to one address of a tracker, so that replies from any other
/// address do not reach it.
pub(crate) struct UdpClient {
    socket: UdpSocket,
    requests: u32,
}

impl UdpClient {
    /// Binds any port of an address of this host.
    pub(crate) fn new(ip: IpAddr, tracker: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(tracker).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, requests: 0 }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    /// The next datagram, whenever it comes.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let len = self.socket.recv(&mut bytes).expect("a reply comes");
        bytes.truncate(len);
        bytes
    }

    pub(crate) fn exchange(&self, datagram: &[u8]) -> Vec<u8> {
        self.send(datagram);
        self.receive()
    }

    /// Proves that nothing is on its way: all from one socket is answered in order by one worker,
    /// so anything else would come before the answer to a connect that is sent now.
    pub(crate) fn expect_silence(&mut self, what: &str) {
        let id = self.transaction_id();
        let reply = self.exchange(&wire::udp_connect(id));
        let fits = reply.len() == 16 && reply[..8] == [&[0; 4], &id.0[..]].concat()[..];
        assert!(fits, "{what}: expected silence, got {reply:02x?}");
    }

    pub(crate) fn connect(&mut self) -> ConnectionId {
        let id = self.transaction_id();
        let reply = self.exchange(&wire::udp_connect(id));
        wire::read_udp_connect(&reply).unwrap_or_else(|| panic!("no connect: {reply:02x?}"))
    }

    pub(crate) fn announce(&mut self, request: &AnnounceRequest) -> Result<Answer, String> {
        let connection_id = self.connect();
        self.announce_with(connection_id, request)
    }

    pub(crate) fn announce_with(
        &mut self,
        connection_id: ConnectionId,
        request: &AnnounceRequest,
    ) -> Result<Answer, String> {
        let id = self.transaction_id();
        let reply = self.exchange(&wire::udp_announce(connection_id, id, request));
        assert_eq!(reply[4..8], id.0, "the transaction id comes back");
        wire::read_udp_announce(&reply, self.address().is_ipv6())
    }

    pub(crate) fn scrape(&mut self, info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String> {
        let connection_id = self.connect();
        let id = self.transaction_id();
        let reply = self.exchange(&wire::udp_scrape(connection_id, id, info_hashes));
        assert_eq!(reply[4..8], id.0, "the transaction id comes back");
        wire::read_udp_scrape(&reply)
    }

    fn transaction_id(&mut self) -> TransactionId {
        self.requests += 1;
        // Far from any number that a test chooses.
        TransactionId((0xc0de_0000 + self.requests).to_be_bytes())
    }
}

/// Sends datagrams with any source port, 0 included.
pub(crate) struct RawUdp(Socket);

impl RawUdp {
    /// Opens the socket, for which the right to open raw sockets is needed; nothing without it.
    pub(crate) fn open() -> Option<Self> {
        match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) {
            Ok(socket) => Some(Self(socket)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends from a port of whichever address the system takes for the way there.
    pub(crate) fn send(&self, port: u16, to: SocketAddrV4, payload: &[u8]) -> io::Result<()> {
        let mut datagram = Vec::with_capacity(8 + payload.len());
        datagram.extend(port.to_be_bytes());
        datagram.extend(to.port().to_be_bytes());
        datagram.extend((8 + payload.len() as u16).to_be_bytes());
        // No checksum, which IPv4 allows.
        datagram.extend([0; 2]);
        datagram.extend(payload);
        let address = SocketAddrV4::new(*to.ip(), 0);
        self.0.send_to(&datagram, &address.into()).map(drop)
    }
}
