//! Load over HTTP: one request under way from each address, in a closed loop or at a fixed rate.
//!
//! Every answer is judged. A thread for each address is enough: what is measured is the processor
//! time of the tracker, not the rate. Threads sleep while they wait.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::load::answer::{Announced, Check, Judge, Wrong};
use crate::load::clock;
use crate::load::figures::{Counts, Figures, Moment, Timing};
use crate::load::latency::Latencies;
use crate::load::pace::{Pace, Schedule};
use crate::load::population::{Peer, Population, Sources, info_hash, peer_id};
use crate::load::system::PreciseSleep;

/// After how long a request counts as lost.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the tracker may take to begin to listen.
const START_NANOS_MAX: u64 = 20_000_000_000;
/// How long to wait before asking once more whether it does.
const START_PAUSE: Duration = Duration::from_millis(20);
/// Requests that may fail in a row before the tracker counts as gone.
const FAILURES_MAX: u32 = 100;
const RESPONSE_BYTES_MAX: usize = 16 * 1024;

/// How connections are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reuse {
    /// One connection for all requests of an address, as long as the tracker keeps it.
    KeepAlive,
    /// A new connection for each request.
    Never,
}

/// How to load a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpLoad {
    pub(crate) target: SocketAddr,
    pub(crate) pace: Pace,
    pub(crate) reuse: Reuse,
    /// How often each kind of request comes, relative to the other.
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
    pub(crate) num_want: u32,
    pub(crate) check: Check,
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
    let mut clients = clients(load, population)?;
    announce_all(&mut clients)?;
    measured(&mut clients, load)
}

/// Announces every peer once, over kept connections, and returns what was counted.
///
/// # Errors
/// As [`run`].
pub(crate) fn fill(load: &HttpLoad, population: &Population) -> Result<Counts> {
    let mut clients = clients(load, population)?;
    announce_all(&mut clients)?;
    Ok(total(&clients))
}

/// Measures a tracker that was filled before.
///
/// # Errors
/// As [`run`].
pub(crate) fn measure(load: &HttpLoad, population: &Population) -> Result<Figures> {
    measured(&mut clients(load, population)?, load)
}

fn clients<'a>(load: &HttpLoad, population: &'a Population) -> Result<Vec<Client<'a>>> {
    ensure!(load.announces + load.scrapes > 0, "the mix is empty");
    let lists = population.lists.iter().enumerate();
    let mut clients: Vec<Client<'a>> =
        lists.map(|(index, peers)| Client::new(index, peers, load, population.sources)).collect();
    clients[0].wait_for_acceptance()?;
    Ok(clients)
}

fn announce_all(clients: &mut [Client<'_>]) -> Result<()> {
    phase(clients, |client| {
        let peers = client.peers;
        client.reuse = Reuse::KeepAlive;
        peers.iter().try_for_each(|&peer| client.request(Request::Announce(peer), clock::nanos()))
    })
}

/// Loads the tracker, first without and then with the watch running.
fn measured(clients: &mut [Client<'_>], load: &HttpLoad) -> Result<Figures> {
    mixed(clients, load, load.warm_up_secs)?;
    clients.iter_mut().for_each(Client::forget_times);
    let before = total(clients);
    let begin = Moment::now(load.server)?;
    mixed(clients, load, load.secs)?;
    let end = Moment::now(load.server)?;
    let (mut latencies, mut lags) = (Latencies::new(), Latencies::new());
    for client in clients.iter() {
        latencies.add(&client.latencies);
        lags.add(&client.lags);
    }
    let (latency, lag) = (latencies.quantiles(), lags.quantiles());
    let timing = Timing { latency, lag, spun_secs: 0.0 };
    Figures::new((begin, end), (before, total(clients)), timing, load.server)
}

fn mixed(clients: &mut [Client<'_>], load: &HttpLoad, secs: f64) -> Result<()> {
    let start = clock::nanos();
    let end = start + (secs * 1e9) as u64;
    let count = clients.len() as u64;
    phase(clients, |client| {
        client.reuse = load.reuse;
        match load.pace {
            Pace::Closed => loop {
                let now = clock::nanos();
                if now >= end {
                    return Ok(());
                }
                let request = client.next_request(load);
                client.request(request, now)?;
            },
            Pace::Open { per_sec } => {
                let schedule = Schedule::share(start, per_sec, client.index as u64, count);
                client.open_loop(schedule, end, load)
            }
        }
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

#[derive(Clone, Copy)]
enum Request {
    Announce(Peer),
    Scrape(Peer),
}

/// One address that announces.
struct Client<'a> {
    index: usize,
    source: SocketAddr,
    target: SocketAddr,
    peers: &'a [Peer],
    announced: usize,
    /// Requests of the mix made so far.
    turn: u32,
    reuse: Reuse,
    connection: Option<TcpStream>,
    judge: Judge,
    counts: Counts,
    /// From when a request was due, or was sent in the closed loop, to its answer.
    latencies: Latencies,
    /// From when a request was due until it was sent.
    lags: Latencies,
    failures: u32,
    request: Vec<u8>,
    response: Box<[u8; RESPONSE_BYTES_MAX]>,
}

impl<'a> Client<'a> {
    fn new(index: usize, peers: &'a [Peer], load: &HttpLoad, sources: Sources) -> Self {
        Self {
            index,
            source: (Sources::address(index), 0).into(),
            target: load.target,
            peers,
            announced: 0,
            turn: 0,
            reuse: load.reuse,
            connection: None,
            judge: Judge::new(sources, load.num_want, load.check),
            counts: Counts::default(),
            latencies: Latencies::new(),
            lags: Latencies::new(),
            failures: 0,
            request: Vec::new(),
            response: Box::new([0; RESPONSE_BYTES_MAX]),
        }
    }

    /// Announces a peer until that is accepted: some trackers still read their lists after they
    /// began to answer.
    fn wait_for_acceptance(&mut self) -> Result<()> {
        let end = clock::nanos() + START_NANOS_MAX;
        let peer = self.peers[0];
        write_request(
            &mut self.request,
            Request::Announce(peer),
            &self.judge,
            self.reuse,
            self.target,
        );
        loop {
            let cause = match self.exchange() {
                Err(cause) => cause.to_string(),
                Ok(Err(wrong)) => wrong.to_string(),
                Ok(Ok((body, end))) => {
                    match self.judge.http_announce(peer, &self.response[body..end]) {
                        Err(wrong @ Wrong::Refused) => wrong.to_string(),
                        // Whatever else is wrong will be wrong again and count then.
                        _ => break,
                    }
                }
            };
            self.connection = None;
            ensure!(clock::nanos() < end, "no announce was accepted at {}: {cause}", self.target);
            std::thread::sleep(START_PAUSE);
        }
        self.connection = None;
        Ok(())
    }

    fn open_loop(&mut self, mut schedule: Schedule, end: u64, load: &HttpLoad) -> Result<()> {
        let _precise = PreciseSleep::begin();
        while schedule.due_nanos() < end {
            let now = clock::nanos();
            if let Some((_, due)) = schedule.take(now) {
                let request = self.next_request(load);
                self.lags.record(now - due);
                self.request(request, due)?;
            } else {
                std::thread::sleep(Duration::from_nanos(schedule.due_nanos() - now));
            }
        }
        Ok(())
    }

    fn next_request(&mut self, load: &HttpLoad) -> Request {
        let peer = self.peers[self.announced % self.peers.len()];
        self.announced += 1;
        self.turn = (self.turn + 1) % (load.announces + load.scrapes);
        if self.turn < load.announces { Request::Announce(peer) } else { Request::Scrape(peer) }
    }

    /// Sends a request and counts what came of it.
    fn request(&mut self, request: Request, due_nanos: u64) -> Result<()> {
        write_request(&mut self.request, request, &self.judge, self.reuse, self.target);
        match self.exchange() {
            Ok(Ok((body, end))) => {
                self.failures = 0;
                self.latencies.record(clock::nanos() - due_nanos);
                if let Err(wrong) = self.take(request, body, end) {
                    self.counts.note(wrong);
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

    /// Judges the body of an answer, which begins and ends at the given places.
    fn take(&mut self, request: Request, body: usize, end: usize) -> Result<(), Wrong> {
        let body = &self.response[body..end];
        match request {
            Request::Announce(peer) => {
                let Announced { peers, flaw } = self.judge.http_announce(peer, body)?;
                self.counts.announces += 1;
                self.counts.peers += peers;
                flaw.map_or(Ok(()), Err)
            }
            Request::Scrape(peer) => {
                let flaw = self.judge.http_scrape(peer, body)?;
                self.counts.scrapes += 1;
                flaw.map_or(Ok(()), Err)
            }
        }
    }

    fn forget_times(&mut self) {
        self.latencies.clear();
        self.lags.clear();
    }

    /// Sends the request and receives the response; tells where its body is.
    fn exchange(&mut self) -> io::Result<Result<(usize, usize), Wrong>> {
        if let Some(kept) = self.connection.take() {
            match self.exchange_over(kept) {
                // The tracker has closed it without saying so before: not an answer, and no loss.
                Err(cause) if cause.kind() != io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        let connection = connect(self.source, self.target)?;
        self.counts.connections += 1;
        self.exchange_over(connection)
    }

    fn exchange_over(
        &mut self,
        mut connection: TcpStream,
    ) -> io::Result<Result<(usize, usize), Wrong>> {
        connection.write_all(&self.request)?;
        let mut received = 0;
        loop {
            let room = &mut self.response[received..];
            if room.is_empty() {
                return Ok(Err(Wrong::Head));
            }
            match connection.read(room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => received += more,
            }
            match body_of(&self.response[..received]) {
                Err(wrong) => return Ok(Err(wrong)),
                Ok(Some(Body { start, end, kept })) if end == received => {
                    self.connection = kept.then_some(connection);
                    return Ok(Ok((start, end)));
                }
                Ok(Some(Body { end, .. })) if end < received => return Ok(Err(Wrong::Length)),
                Ok(_) => {}
            }
        }
    }
}

/// What the head of a response says of its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Body {
    start: usize,
    end: usize,
    /// Whether the tracker keeps the connection.
    kept: bool,
}

/// Reads the head of a response; nothing while it is not complete.
fn body_of(response: &[u8]) -> Result<Option<Body>, Wrong> {
    let Some(head) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&response[..head]).map_err(|_| Wrong::Head)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut kept = status.starts_with("HTTP/1.1 200 ");
    if !kept && !status.starts_with("HTTP/1.0 200 ") {
        return Err(Wrong::Head);
    }
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            kept = value.trim().eq_ignore_ascii_case("keep-alive");
        }
    }
    let start = head + 4;
    Ok(Some(Body { start, end: start + length.ok_or(Wrong::Head)?, kept }))
}

fn write_request(
    bytes: &mut Vec<u8>,
    request: Request,
    judge: &Judge,
    reuse: Reuse,
    target: SocketAddr,
) {
    bytes.clear();
    match request {
        Request::Announce(peer) => {
            bytes.extend(b"GET /announce?info_hash=");
            write_escaped(bytes, &info_hash(peer.torrent));
            bytes.extend(b"&peer_id=");
            bytes.extend(peer_id(peer));
            let (port, num_want) = (judge.sources.port(peer), judge.num_want);
            let rest = format!(
                "&port={port}&uploaded=0&downloaded=0&left=1073741824&compact=1&numwant={num_want}"
            );
            bytes.extend(rest.as_bytes());
        }
        Request::Scrape(peer) => {
            bytes.extend(b"GET /scrape?info_hash=");
            write_escaped(bytes, &info_hash(peer.torrent));
        }
    }
    let head = format!(" HTTP/1.1\r\nHost: {target}\r\nUser-Agent: skep-bench\r\n");
    bytes.extend(head.as_bytes());
    bytes.extend(match reuse {
        Reuse::KeepAlive => &b"\r\n"[..],
        Reuse::Never => b"Connection: close\r\n\r\n",
    });
}

fn write_escaped(bytes: &mut Vec<u8>, plain: &[u8]) {
    let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
    for &byte in plain {
        if byte.is_ascii_alphanumeric() {
            bytes.push(byte);
        } else {
            bytes.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn connect(source: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
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

#[cfg(test)]
mod tests {
    use skep_proto::NumWant;
    use skep_proto::http::{HeadStatus, QueryOptions, parse_announce, parse_head};

    use super::*;

    #[test]
    fn body_is_found_by_its_stated_length() {
        let response = b"HTTP/1.1 200 OK\r\nContent-length: 3\r\n\r\nd1e";
        let end = response.len();
        let body = Body { start: end - 3, end, kept: true };
        assert_eq!(body_of(response), Ok(Some(body)));
        assert_eq!(body_of(&response[..20]), Ok(None));
        assert_eq!(body_of(&response[..end - 1]), Ok(Some(body)));
    }

    #[test]
    fn connection_is_kept_only_if_the_tracker_keeps_it() {
        let kept = |head: &str| {
            let response = format!("HTTP/{head}Content-Length: 0\r\n\r\n");
            body_of(response.as_bytes()).unwrap().unwrap().kept
        };
        assert!(kept("1.1 200 OK\r\n"));
        assert!(!kept("1.1 200 OK\r\nConnection: close\r\n"));
        assert!(!kept("1.0 200 OK\r\n"));
        assert!(kept("1.0 200 OK\r\nConnection: Keep-Alive\r\n"));
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
        let judge = Judge::new(sources, 30, Check::Full);
        let target = "127.0.0.1:80".parse().unwrap();
        let announce = Request::Announce(peer);
        write_request(&mut request, announce, &judge, Reuse::Never, target);
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
