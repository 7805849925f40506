//! One address that loads a tracker over HTTP: its connection and what it waits for.
//!
//! When to send what, and how to count what comes of it, is decided by the load itself.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::load::answer::{Judge, Wrong};
use crate::load::clock;
use crate::load::message::{Body, RESPONSE_BYTES_MAX, Request, Reuse, Writer, whole_body};
use crate::load::population::{Peer, Sources};
use crate::load::system::{disconnect, set_bind_without_port};
use crate::load::tls::Tls;

/// After how long a request counts as lost.
pub(crate) const ANSWER_NANOS_MAX: u64 = 5_000_000_000;
/// How long the tracker may take to begin to listen.
const START_NANOS_MAX: u64 = 20_000_000_000;
/// How long to wait before asking once more whether it does.
const START_PAUSE: Duration = Duration::from_millis(20);

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing; a connection that it has is one that the tracker keeps.
    Idle,
    /// The connection, over which nothing was sent yet.
    Connecting,
    /// The answer.
    Waiting {
        /// Over a connection that has brought answers before.
        kept: bool,
    },
    /// The end of the connection, which the tracker announced or was asked for.
    Ending { until_nanos: u64 },
}

/// One connection at a time from one address, with some of the peers that announce from there.
pub(crate) struct Client<'a> {
    source: SocketAddr,
    pub(crate) peers: &'a [Peer],
    pub(crate) announced: usize,
    /// Requests of the mix made so far.
    pub(crate) turn: u32,
    pub(crate) state: State,
    pub(crate) socket: Option<Socket>,
    /// A socket whose connection has ended, for the next one.
    spare: Option<Socket>,
    /// Through which everything goes, if it does.
    pub(crate) tls: Option<Tls>,
    pub(crate) asked: Request,
    pub(crate) due_nanos: u64,
    pub(crate) request: Vec<u8>,
    pub(crate) received: usize,
    pub(crate) response: Box<[u8; RESPONSE_BYTES_MAX]>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(source: usize, peers: &'a [Peer], tls: Option<Tls>) -> Self {
        Self {
            source: (Sources::address(source), 0).into(),
            peers,
            announced: 0,
            turn: 0,
            state: State::Idle,
            socket: None,
            spare: None,
            tls,
            asked: Request::Announce(peers[0]),
            due_nanos: 0,
            request: Vec::new(),
            received: 0,
            response: Box::new([0; RESPONSE_BYTES_MAX]),
        }
    }

    /// Whether a peer was not announced yet, or has no answer yet.
    pub(crate) fn is_filling(&self) -> bool {
        self.announced < self.peers.len() || self.state != State::Idle
    }

    pub(crate) fn next_peer(&mut self) -> Peer {
        let peer = self.peers[self.announced % self.peers.len()];
        self.announced += 1;
        peer
    }

    /// Announces a peer until that is accepted: some trackers still read their lists after they
    /// began to answer.
    pub(crate) fn wait_for_acceptance(
        &mut self,
        target: SocketAddr,
        writer: &Writer,
        judge: &mut Judge,
    ) -> Result<()> {
        let end = clock::nanos() + START_NANOS_MAX;
        let peer = self.peers[0];
        writer.write(&mut self.request, Request::Announce(peer), Reuse::Never);
        loop {
            let cause = match self.exchange(target) {
                Err(cause) => cause.to_string(),
                Ok(Err(wrong)) => wrong.to_string(),
                Ok(Ok(Body { start, end, .. })) => {
                    match judge.http_announce(peer, &self.response[start..end]) {
                        Err(wrong @ Wrong::Refused) => wrong.to_string(),
                        // Whatever else is wrong will be wrong again and count then.
                        _ => return Ok(()),
                    }
                }
            };
            ensure!(clock::nanos() < end, "no announce was accepted at {}: {cause}", target);
            std::thread::sleep(START_PAUSE);
        }
    }

    /// Waits for the answer to the request over a connection of its own.
    fn exchange(&mut self, target: SocketAddr) -> io::Result<Result<Body, Wrong>> {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        set_bind_without_port(&socket)?;
        socket.bind(&self.source.into())?;
        socket.connect(&target.into())?;
        socket.set_read_timeout(Some(Duration::from_nanos(ANSWER_NANOS_MAX)))?;
        let mut connection = TcpStream::from(socket);
        match &mut self.tls {
            None => ask(&mut connection, &self.request, &mut self.response[..]),
            Some(tls) => {
                tls.begin()?;
                let mut stream = tls.waiting(&mut connection);
                ask(&mut stream, &self.request, &mut self.response[..])
            }
        }
    }

    /// Begins a connection and sends the request, which can follow at once over loopback.
    pub(crate) fn connect_and_send(&mut self, target: SocketAddr) -> io::Result<()> {
        let socket = match self.spare.take() {
            Some(socket) => socket,
            None => self.open(target)?,
        };
        match socket.connect(&target.into()) {
            Err(cause) if cause.raw_os_error() != Some(libc::EINPROGRESS) => return Err(cause),
            _ => {}
        }
        self.socket = Some(socket);
        if let Some(tls) = &mut self.tls {
            tls.begin()?;
            tls.add(&self.request)?;
        }
        self.send(false)
    }

    fn open(&self, target: SocketAddr) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::for_address(target), kind, Some(Protocol::TCP))?;
        set_bind_without_port(&socket)?;
        socket.bind(&self.source.into())?;
        Ok(socket)
    }

    /// Sends the request unless the connection is still being made.
    pub(crate) fn send(&mut self, kept: bool) -> io::Result<()> {
        let Some(mut socket) = self.socket.as_ref() else {
            return Err(ErrorKind::NotConnected.into());
        };
        let sent = match &mut self.tls {
            None => socket.write(&self.request),
            Some(tls) => {
                if kept {
                    tls.add(&self.request)?;
                }
                // Whatever the socket takes later is sent when there is something to receive.
                tls.flush(&mut socket).map(|()| self.request.len())
            }
        };
        self.state = match sent {
            Ok(sent) if sent == self.request.len() => State::Waiting { kept },
            Ok(_) => return Err(ErrorKind::WriteZero.into()),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => State::Connecting,
            // The tracker has closed it; receiving will tell.
            Err(_) if kept => State::Waiting { kept },
            Err(cause) => return Err(cause),
        };
        Ok(())
    }

    /// Receives what is there; tells where the body of the answer is once that is whole.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Result<Body, Wrong>>> {
        loop {
            let Some(mut socket) = self.socket.as_ref() else {
                return Err(ErrorKind::NotConnected.into());
            };
            let room = &mut self.response[self.received..];
            let received = match &mut self.tls {
                None => socket.read(room),
                Some(tls) => tls.receive(&mut socket, room),
            };
            match received {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(more) => self.received += more,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(cause) => return Err(cause),
            }
            if let Some(body) = whole_body(&self.response[..self.received]) {
                return Ok(Some(body));
            }
        }
    }

    /// Makes room for the next connection once the tracker has ended this one, or time is up.
    ///
    /// The socket is taken back into use, which saves half of what a connection costs. The kernel
    /// resets what the tracker has closed already, so that it learns nothing of this.
    pub(crate) fn await_end(&mut self, until_nanos: u64) {
        let Some(mut socket) = self.socket.as_ref() else {
            return self.abandon();
        };
        match socket.read(&mut self.response[..]) {
            Err(cause) if cause.kind() == ErrorKind::WouldBlock && clock::nanos() < until_nanos => {
            }
            // The end of a TLS session.
            Ok(1..) if self.tls.is_some() => self.await_end(until_nanos),
            Ok(0) if disconnect(socket).is_ok() => {
                self.spare = self.socket.take();
                self.state = State::Idle;
            }
            _ => self.abandon(),
        }
    }

    pub(crate) fn abandon(&mut self) {
        self.socket = None;
        self.state = State::Idle;
    }

    /// Whether the connection goes on with the TLS session of an earlier one.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_resumed)
    }
}

/// Sends a request and waits for the whole answer.
fn ask(
    stream: &mut (impl io::Read + io::Write),
    request: &[u8],
    response: &mut [u8],
) -> io::Result<Result<Body, Wrong>> {
    stream.write_all(request)?;
    let mut received = 0;
    loop {
        match stream.read(&mut response[received..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            more => received += more,
        }
        if let Some(body) = whole_body(&response[..received]) {
            return Ok(body);
        }
    }
}
