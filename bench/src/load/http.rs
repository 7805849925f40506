//! Load over HTTP: a closed loop with one request under way from each address.
//!
//! Every answer is judged. A thread for each address is enough: what is measured is the processor
//! time of the tracker, not the rate.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::clock::monotonic_coarse_nanos;
use socket2::{Domain, Protocol, Socket, Type};

use crate::load::answer::{Judge, Wrong};
use crate::load::figures::{Counts, Figures, Moment};
use crate::load::population::{Peer, Population, Sources, info_hash, peer_id};

/// After how long a request counts as lost.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the tracker may take to begin to listen.
const START_SECS_MAX: u64 = 15;
/// Requests that may fail in a row before the tracker counts as gone.
const FAILURES_MAX: u32 = 100;
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// How connections are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reuse {
    /// One connection for all announces of an address.
    KeepAlive,
    /// A new connection for each announce.
    Never,
}

/// How to load a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpLoad {
    pub(crate) target: SocketAddr,
    pub(crate) reuse: Reuse,
    pub(crate) num_want: u32,
    /// Load before the window is timed.
    pub(crate) warm_up_secs: f64,
    pub(crate) secs: f64,
    /// Process of the tracker, for its accounts.
    pub(crate) server: Option<u32>,
}

/// Fills a tracker with every peer once, over kept connections, then measures it.
///
/// # Errors
/// What the system reports, and a tracker that does not answer; wrong answers are only counted.
pub(crate) fn run(load: &HttpLoad, population: &Population) -> Result<Figures> {
    wait_for_listener(load.target)?;
    let mut clients: Vec<Client<'_>> = population
        .lists
        .iter()
        .enumerate()
        .map(|(index, peers)| Client::new(index, peers, load, population.sources))
        .collect();
    phase(&mut clients, |client| {
        let peers = client.peers;
        client.reuse = Reuse::KeepAlive;
        peers.iter().try_for_each(|&peer| client.announce(peer))
    })?;
    mixed(&mut clients, load, load.warm_up_secs)?;
    let before = total(&clients);
    let begin = Moment::now(load.server)?;
    mixed(&mut clients, load, load.secs)?;
    let end = Moment::now(load.server)?;
    Figures::new((begin, end), (before, total(&clients)), load.server)
}

fn mixed(clients: &mut [Client<'_>], load: &HttpLoad, secs: f64) -> Result<()> {
    let end = monotonic_coarse_nanos() + (secs * 1e9) as u64;
    phase(clients, |client| {
        client.reuse = load.reuse;
        while monotonic_coarse_nanos() < end {
            let peer = client.peers[client.announced % client.peers.len()];
            client.announced += 1;
            client.announce(peer)?;
        }
        Ok(())
    })
}

/// Runs all clients at once, each on a thread, until all are done.
fn phase<'a>(
    clients: &mut [Client<'a>],
    work: impl Fn(&mut Client<'a>) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
        let mut result = Ok(());
        for thread in threads {
            let Ok(done) = thread.join() else {
                bail!("a client panicked");
            };
            result = result.and(done);
        }
        result
    })
}

fn total(clients: &[Client<'_>]) -> Counts {
    let mut sum = Counts::default();
    for client in clients {
        sum.add(&client.counts);
    }
    sum
}

/// One address that announces.
struct Client<'a> {
    source: SocketAddr,
    target: SocketAddr,
    peers: &'a [Peer],
    announced: usize,
    reuse: Reuse,
    connection: Option<TcpStream>,
    judge: Judge,
    counts: Counts,
    failures: u32,
    request: Vec<u8>,
    response: Box<[u8; RESPONSE_BYTES_MAX]>,
}

impl<'a> Client<'a> {
    fn new(index: usize, peers: &'a [Peer], load: &HttpLoad, sources: Sources) -> Self {
        Self {
            source: (Sources::address(index), 0).into(),
            target: load.target,
            peers,
            announced: 0,
            reuse: load.reuse,
            connection: None,
            judge: Judge::new(sources, load.num_want),
            counts: Counts::default(),
            failures: 0,
            request: Vec::new(),
            response: Box::new([0; RESPONSE_BYTES_MAX]),
        }
    }

    /// Announces a peer and counts what came of it.
    fn announce(&mut self, peer: Peer) -> Result<()> {
        write_request(&mut self.request, peer, &self.judge, self.reuse, self.target);
        match self.exchange() {
            Ok(Ok((body, end))) => {
                self.failures = 0;
                match self.judge.http_announce(peer, &self.response[body..end]) {
                    Ok(peers) => {
                        self.counts.announces += 1;
                        self.counts.peers += peers;
                    }
                    Err(wrong) => self.counts.note(wrong),
                }
            }
            Ok(Err(wrong)) => {
                self.connection = None;
                self.counts.note(wrong);
            }
            Err(cause) => {
                self.connection = None;
                self.counts.lost += 1;
                self.failures += 1;
                ensure!(
                    self.failures < FAILURES_MAX,
                    "{FAILURES_MAX} requests in a row failed: {cause}"
                );
            }
        }
        if self.reuse == Reuse::Never {
            self.connection = None;
        }
        Ok(())
    }

    /// Sends the request and receives the response; tells where its body is.
    fn exchange(&mut self) -> std::io::Result<Result<(usize, usize), Wrong>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.source, self.target)?,
        };
        connection.write_all(&self.request)?;
        let mut received = 0;
        loop {
            let room = &mut self.response[received..];
            if room.is_empty() {
                return Ok(Err(Wrong::Head));
            }
            match connection.read(room)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => received += more,
            }
            match body_of(&self.response[..received]) {
                Err(wrong) => return Ok(Err(wrong)),
                Ok(Some((body, end))) if end == received => {
                    self.connection = Some(connection);
                    return Ok(Ok((body, end)));
                }
                Ok(Some((_, end))) if end < received => return Ok(Err(Wrong::Length)),
                Ok(_) => {}
            }
        }
    }
}

/// Where the body begins and ends, or nothing while the head is not complete.
fn body_of(response: &[u8]) -> Result<Option<(usize, usize)>, Wrong> {
    let Some(head) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&response[..head]).map_err(|_| Wrong::Head)?;
    let mut lines = text.split("\r\n");
    if !lines.next().unwrap_or_default().starts_with("HTTP/1.1 200 ") {
        return Err(Wrong::Head);
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or(Wrong::Head)?;
    Ok(Some((head + 4, head + 4 + length)))
}

fn write_request(
    request: &mut Vec<u8>,
    peer: Peer,
    judge: &Judge,
    reuse: Reuse,
    target: SocketAddr,
) {
    request.clear();
    request.extend(b"GET /announce?info_hash=");
    for byte in info_hash(peer.torrent) {
        if byte.is_ascii_alphanumeric() {
            request.push(byte);
        } else {
            let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            request.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    request.extend(b"&peer_id=");
    request.extend(peer_id(peer));
    let rest = format!(
        "&port={}&uploaded=0&downloaded=0&left=1073741824&compact=1&numwant={} HTTP/1.1\r\n\
         Host: {target}\r\nUser-Agent: skep-bench\r\n",
        judge.sources.port(peer),
        judge.num_want,
    );
    request.extend(rest.as_bytes());
    request.extend(match reuse {
        Reuse::KeepAlive => &b"\r\n"[..],
        Reuse::Never => b"Connection: close\r\n\r\n",
    });
}

fn connect(source: SocketAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let domain = Domain::for_address(target);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A port that an earlier connection still lingers on may be taken again.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    socket.bind(&source.into())?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

fn wait_for_listener(target: SocketAddr) -> Result<()> {
    let end = monotonic_coarse_nanos() + START_SECS_MAX * 1_000_000_000;
    loop {
        match TcpStream::connect(target) {
            Ok(_) => return Ok(()),
            Err(cause) if monotonic_coarse_nanos() > end => {
                return Err(cause).with_context(|| format!("no tracker listens at {target}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_proto::NumWant;
    use skep_proto::http::{HeadStatus, QueryOptions, parse_announce, parse_head};

    use super::*;

    #[test]
    fn body_is_found_by_its_stated_length() {
        let response = b"HTTP/1.1 200 OK\r\nContent-length: 3\r\n\r\nd1e";
        let end = response.len();
        assert_eq!(body_of(response), Ok(Some((end - 3, end))));
        assert_eq!(body_of(&response[..20]), Ok(None));
        assert_eq!(body_of(&response[..end - 1]), Ok(Some((end - 3, end))));
    }

    #[test]
    fn other_statuses_and_missing_lengths_are_wrong() {
        let missing = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(body_of(missing), Err(Wrong::Head));
        let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(body_of(refused), Err(Wrong::Head));
    }

    #[test]
    fn request_escapes_every_byte_that_is_not_a_letter_or_digit() {
        let sources = Sources::new(1).unwrap();
        let peer = Peer { torrent: 3, index: 0, size: 1 };
        let mut request = Vec::new();
        let judge = Judge::new(sources, 30);
        let target = "127.0.0.1:80".parse().unwrap();
        write_request(&mut request, peer, &judge, Reuse::Never, target);
        let HeadStatus::Complete(head) = parse_head(&request, 16_384) else {
            panic!("not a whole head");
        };
        assert!(!head.keep_alive);
        assert_eq!(head.len, request.len());
        let query = head.target.split(|&byte| byte == b'?').nth(1).unwrap();
        let read = parse_announce(query, QueryOptions::default()).unwrap();
        assert_eq!(read.announce.info_hash.0, info_hash(3));
        assert_eq!(read.announce.peer_id.0, peer_id(peer));
        assert_eq!(read.announce.port, sources.port(peer));
        assert_eq!(read.announce.num_want, NumWant::Count(30));
    }
}
