//! Load over UDP: a closed loop with a window of requests on each socket.
//!
//! Every answer is judged, and each makes room for the next request. Nothing waits: the loop has a
//! core of its own, and a sleeping client would charge the tracker with waking it up.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::clock::monotonic_coarse_nanos;
use skep_proto::udp::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, ANNOUNCE_REQUEST_BYTES, CONNECT_MAGIC,
    HEADER_BYTES,
};

use crate::load::answer::{Judge, Wrong, udp_connect, udp_scrape};
use crate::load::figures::{Counts, Figures, Moment};
use crate::load::mmsg::Datagrams;
use crate::load::population::{Peer, Population, Sources, info_hash, peer_id};

/// After how long a request counts as lost.
const ANSWER_MS_MAX: u64 = 1000;
/// The transaction id of first connects, which no slot has.
const FIRST: u32 = u32::MAX;
/// How long the tracker may take to begin to answer.
const START_SECS_MAX: u64 = 15;
/// How long filling may take without any progress.
const STALL_MS_MAX: u64 = 5000;

/// How often each kind of request comes, relative to the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) connects: u32,
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
}

/// How to load a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UdpLoad {
    pub(crate) target: SocketAddr,
    /// Requests under way on each socket.
    pub(crate) window: usize,
    pub(crate) mix: Mix,
    pub(crate) num_want: u32,
    /// Load before the window is timed.
    pub(crate) warm_up_secs: f64,
    pub(crate) secs: f64,
    /// Process of the tracker, for its accounts.
    pub(crate) server: Option<u32>,
}

/// Fills a tracker with every peer once, then measures it under the mix.
///
/// # Errors
/// What the system reports, and a tracker that does not answer; wrong answers are only counted.
pub(crate) fn run(load: &UdpLoad, population: &Population) -> Result<Figures> {
    ensure!((1..=1 << 15).contains(&load.window), "the window must be between 1 and 32768");
    let mut generator = Generator::new(load, population)?;
    generator.fill()?;
    generator.mixed(load.warm_up_secs)?;
    let before = generator.counts;
    let begin = Moment::now(load.server)?;
    generator.mixed(load.secs)?;
    let end = Moment::now(load.server)?;
    Figures::new((begin, end), (before, generator.counts), load.server)
}

#[derive(Clone, Copy)]
enum Request {
    Connect,
    Announce(Peer),
    Scrape(Peer),
}

/// One request under way, found again by its transaction id.
#[derive(Clone, Copy)]
struct Slot {
    generation: u16,
    request: Option<Request>,
    sent_ms: u64,
    /// The last request that was given up and is not answered since.
    lost: Option<u16>,
}

/// One address with its socket and the peers that announce from there.
struct Source<'a> {
    socket: UdpSocket,
    peers: &'a [Peer],
    /// Announces sent so far; peers come round and round.
    announced: usize,
    /// Announces lost while filling, to be sent again.
    again: Vec<Peer>,
    connection_id: [u8; 8],
    slots: Vec<Slot>,
    free: Vec<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fill,
    Mixed,
}

struct Generator<'a> {
    mix: Mix,
    phase: Phase,
    /// Requests of the mix made so far.
    turn: u32,
    template: [u8; ANNOUNCE_REQUEST_BYTES],
    sources: Vec<Source<'a>>,
    judge: Judge,
    counts: Counts,
    inbox: Datagrams,
    outbox: Datagrams,
}

impl<'a> Generator<'a> {
    fn new(load: &UdpLoad, population: &'a Population) -> Result<Self> {
        let mut sources = Vec::new();
        for (index, peers) in population.lists.iter().enumerate() {
            sources.push(Source::open(index, peers, load)?);
        }
        Ok(Self {
            mix: load.mix,
            phase: Phase::Fill,
            turn: 0,
            template: template(load.num_want),
            sources,
            judge: Judge::new(population.sources, load.num_want),
            counts: Counts::default(),
            inbox: Datagrams::new(),
            outbox: Datagrams::new(),
        })
    }

    /// Announces every peer once.
    fn fill(&mut self) -> Result<()> {
        self.phase = Phase::Fill;
        let mut progress = (0, now_ms());
        while self.sources.iter().any(Source::is_filling) {
            self.round()?;
            let (announces, since) = progress;
            if self.counts.announces > announces {
                progress = (self.counts.announces, now_ms());
            } else if now_ms() > since + STALL_MS_MAX {
                let complaints = self.counts.complaints();
                bail!(
                    "no announce was answered for {STALL_MS_MAX} ms; wrong answers: {complaints}"
                );
            }
        }
        Ok(())
    }

    fn mixed(&mut self, secs: f64) -> Result<()> {
        self.phase = Phase::Mixed;
        let end = now_ms() + (secs * 1e3) as u64;
        while now_ms() < end {
            self.round()?;
        }
        Ok(())
    }

    /// Serves every socket once.
    fn round(&mut self) -> Result<()> {
        let now = now_ms();
        for index in 0..self.sources.len() {
            self.receive(index, now)?;
            self.send(index, now)?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, now: u64) -> Result<()> {
        let source = &mut self.sources[index];
        self.inbox.receive(&source.socket).context("cannot receive")?;
        for at in 0..self.inbox.len() {
            let answer = self.inbox.datagram(at);
            if let Err(wrong) = source.take(answer, &mut self.judge, &mut self.counts) {
                self.counts.note(wrong);
            }
        }
        if self.inbox.len() == 0 {
            source.give_up(now, self.phase, &mut self.counts);
        }
        Ok(())
    }

    fn send(&mut self, index: usize, now: u64) -> Result<()> {
        while let Some(slot) = self.sources[index].free.pop() {
            let Some(request) = self.next_request(index) else {
                self.sources[index].free.push(slot);
                break;
            };
            if self.outbox.is_full() {
                let socket = &self.sources[index].socket;
                self.outbox.send(socket).context("cannot send")?;
            }
            let source = &mut self.sources[index];
            let under_way = &mut source.slots[usize::from(slot)];
            under_way.generation = under_way.generation.wrapping_add(1);
            under_way.request = Some(request);
            under_way.sent_ms = now;
            let transaction_id = u32::from(under_way.generation) << 16 | u32::from(slot);
            let head = (source.connection_id, transaction_id);
            let (template, sources) = (&self.template, self.judge.sources);
            self.outbox.push(|room| write(room, request, head, template, sources));
        }
        let socket = &self.sources[index].socket;
        self.outbox.send(socket).context("cannot send")
    }

    fn next_request(&mut self, index: usize) -> Option<Request> {
        let source = &mut self.sources[index];
        if self.phase == Phase::Fill {
            return source.next_unannounced().map(Request::Announce);
        }
        let Mix { connects, announces, scrapes } = self.mix;
        self.turn = (self.turn + 1) % (connects + announces + scrapes);
        Some(if self.turn < connects {
            Request::Connect
        } else if self.turn < connects + announces {
            Request::Announce(source.next_peer())
        } else {
            Request::Scrape(source.next_peer())
        })
    }
}

impl<'a> Source<'a> {
    /// Opens the socket and gets a first connection id, waiting for a tracker that just starts.
    fn open(index: usize, peers: &'a [Peer], load: &UdpLoad) -> Result<Self> {
        ensure!(!peers.is_empty(), "there are more sources than peers");
        let address = Sources::address(index);
        let socket = UdpSocket::bind((address, 0))
            .with_context(|| format!("cannot bind a socket to {address}"))?;
        socket.connect(load.target)?;
        Ok(Self {
            connection_id: first_connection_id(&socket)
                .with_context(|| format!("no tracker answers at {}", load.target))?,
            socket,
            peers,
            announced: 0,
            again: Vec::new(),
            slots: vec![Slot { generation: 0, request: None, sent_ms: 0, lost: None }; load.window],
            free: (0..load.window as u16).collect(),
        })
    }

    fn is_filling(&self) -> bool {
        self.announced < self.peers.len()
            || !self.again.is_empty()
            || self.free.len() < self.slots.len()
    }

    fn next_unannounced(&mut self) -> Option<Peer> {
        if self.announced < self.peers.len() {
            return Some(self.next_peer());
        }
        self.again.pop()
    }

    fn next_peer(&mut self) -> Peer {
        let peer = self.peers[self.announced % self.peers.len()];
        self.announced += 1;
        peer
    }

    /// Judges an answer and frees the slot of its request.
    fn take(&mut self, answer: &[u8], judge: &mut Judge, counts: &mut Counts) -> Result<(), Wrong> {
        let Some([_, _, _, _, id @ ..]) = answer.first_chunk::<8>() else {
            return Err(Wrong::Length);
        };
        let id = u32::from_be_bytes(*id);
        if id == FIRST {
            return Ok(());
        }
        let (generation, at) = ((id >> 16) as u16, id as u16);
        let slot = self.slots.get_mut(usize::from(at)).ok_or(Wrong::Transaction)?;
        if slot.lost == Some(generation) {
            slot.lost = None;
            counts.late += 1;
            return Ok(());
        }
        if slot.generation != generation {
            return Err(Wrong::Transaction);
        }
        let request = slot.request.take().ok_or(Wrong::Transaction)?;
        self.free.push(at);
        match request {
            Request::Connect => {
                self.connection_id = udp_connect(answer)?;
                counts.connects += 1;
            }
            Request::Announce(peer) => {
                counts.peers += judge.udp_announce(peer, answer)?;
                counts.announces += 1;
            }
            Request::Scrape(peer) => {
                udp_scrape(peer, answer)?;
                counts.scrapes += 1;
            }
        }
        Ok(())
    }

    /// Frees the slots of requests that had no answer in time.
    fn give_up(&mut self, now: u64, phase: Phase, counts: &mut Counts) {
        for (at, slot) in (0u16..).zip(&mut self.slots) {
            if slot.request.is_none() || now < slot.sent_ms + ANSWER_MS_MAX {
                continue;
            }
            counts.lost += 1;
            if let (Phase::Fill, Some(Request::Announce(peer))) = (phase, slot.request.take()) {
                self.again.push(peer);
            }
            slot.request = None;
            slot.lost = Some(slot.generation);
            self.free.push(at);
        }
    }
}

/// Asks for a connection id until there is an answer.
fn first_connection_id(socket: &UdpSocket) -> Result<[u8; 8]> {
    let end = now_ms() + START_SECS_MAX * 1000;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut request = [0; HEADER_BYTES];
    request[..8].copy_from_slice(&CONNECT_MAGIC.to_be_bytes());
    request[12..].copy_from_slice(&FIRST.to_be_bytes());
    let mut answer = [0; 64];
    loop {
        // Both fail at once while nobody listens on the port yet.
        let result = socket.send(&request).and_then(|_| socket.recv(&mut answer));
        match result {
            Ok(length) if length >= 8 && answer[4..8] == request[12..] => {
                return udp_connect(&answer[..length])
                    .map_err(|wrong| anyhow::anyhow!("the first connect failed: {wrong}"));
            }
            Ok(_) => {}
            Err(cause) => match cause.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused => {}
                _ => return Err(cause.into()),
            },
        }
        ensure!(now_ms() < end, "waited {START_SECS_MAX} s");
    }
}

/// An announce with everything that is the same in all.
fn template(num_want: u32) -> [u8; ANNOUNCE_REQUEST_BYTES] {
    let mut bytes = [0; ANNOUNCE_REQUEST_BYTES];
    bytes[8..12].copy_from_slice(&ACTION_ANNOUNCE.to_be_bytes());
    bytes[64..72].copy_from_slice(&(1u64 << 30).to_be_bytes());
    bytes[92..96].copy_from_slice(&num_want.to_be_bytes());
    bytes
}

/// Writes a request and returns its length.
///
/// # Layout
/// BEP 15; what an announce leaves at zero (amounts, event, address, key) stays as in the template.
fn write(
    room: &mut [u8],
    request: Request,
    (connection_id, transaction_id): ([u8; 8], u32),
    template: &[u8; ANNOUNCE_REQUEST_BYTES],
    sources: Sources,
) -> usize {
    let transaction_id = transaction_id.to_be_bytes();
    let length = match request {
        Request::Connect => {
            room[..8].copy_from_slice(&CONNECT_MAGIC.to_be_bytes());
            room[8..12].copy_from_slice(&ACTION_CONNECT.to_be_bytes());
            HEADER_BYTES
        }
        Request::Announce(peer) => {
            room[..ANNOUNCE_REQUEST_BYTES].copy_from_slice(template);
            room[..8].copy_from_slice(&connection_id);
            room[16..36].copy_from_slice(&info_hash(peer.torrent));
            room[36..56].copy_from_slice(&peer_id(peer));
            room[96..98].copy_from_slice(&sources.port(peer).to_be_bytes());
            ANNOUNCE_REQUEST_BYTES
        }
        Request::Scrape(peer) => {
            room[..8].copy_from_slice(&connection_id);
            room[8..12].copy_from_slice(&ACTION_SCRAPE.to_be_bytes());
            room[16..36].copy_from_slice(&info_hash(peer.torrent));
            36
        }
    };
    room[12..16].copy_from_slice(&transaction_id);
    length
}

fn now_ms() -> u64 {
    monotonic_coarse_nanos() / 1_000_000
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use skep_proto::peer_addr::pack_ipv4;
    use skep_proto::udp::{Header, read_announce, read_scrape};

    use super::*;
    use crate::load::population::Spread;

    /// What a tracker of the tests does to a good answer.
    type Fault = fn(&mut Vec<u8>, SocketAddr, u16);

    /// Loads a tracker that knows no peers and answers with a fault.
    fn figures(fault: Fault) -> Figures {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let sources = Sources::new(2).unwrap();
        let population = Population::new(4, 100, Spread::Even, sources).unwrap();
        let load = UdpLoad {
            target,
            window: 8,
            mix: Mix { connects: 1, announces: 1, scrapes: 1 },
            num_want: 30,
            warm_up_secs: 0.0,
            secs: 0.1,
            server: None,
        };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    answer(&socket, fault);
                }
            });
            let figures = run(&load, &population);
            done.store(true, Ordering::Relaxed);
            figures.unwrap()
        })
    }

    /// Answers one request, if there is one soon.
    fn answer(socket: &UdpSocket, fault: Fault) {
        let mut request = [0; 256];
        let Ok((length, from)) = socket.recv_from(&mut request) else {
            return;
        };
        let request = &request[..length];
        let header = Header::read(request).unwrap();
        let mut answer = header.action.to_be_bytes().to_vec();
        answer.extend(header.transaction_id.0);
        if header.is_connect() {
            answer.extend([7; 8]);
        } else {
            assert_eq!(header.connection_id.0.to_be_bytes(), [7; 8]);
            if header.action == ACTION_SCRAPE {
                assert_eq!(read_scrape(request).unwrap().len(), 1);
                answer.extend([0; 12]);
            } else {
                let port = read_announce(request).unwrap().announce.port;
                answer.extend([0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 0]);
                fault(&mut answer, from, port);
            }
        }
        socket.send_to(&answer, from).unwrap();
    }

    #[test]
    fn honest_answers_are_all_counted_and_none_is_wrong() {
        let figures = figures(|_, _, _| {});
        assert_eq!((figures.wrong_total(), figures.fill.announces), (0, 100));
        let counts = figures.counts;
        assert!(counts.connects > 0 && counts.announces > 0 && counts.scrapes > 0);
    }

    #[test]
    fn wrong_answers_are_counted_by_kind() {
        let faults: [(Wrong, Fault); 3] = [
            (Wrong::Own, |answer, from, port| {
                let SocketAddr::V4(from) = from else {
                    unreachable!("the tests use IPv4");
                };
                answer.extend(pack_ipv4(*from.ip(), port));
            }),
            (Wrong::Stranger, |answer, _, _| answer.extend([9; 6])),
            (Wrong::Length, |answer, _, _| answer.push(0)),
        ];
        for (wrong, fault) in faults {
            let figures = figures(fault);
            assert_eq!(figures.fill.wrong[wrong as usize], 100, "{wrong}");
            assert_eq!(figures.counts.announces, 0);
        }
    }
}
