//! Responders without a tracker: the system calls of skep and constant answers.
//!
//! The floor: what a tracker costs above this is its own work. Nothing of a request is looked at
//! but what an answer must repeat.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::udp::{Batch, DATAGRAM_BYTES_MAX, UdpOptions, UdpSocket, Waiter};
use skep_proto::peer_addr::IPV4_BYTES;
use skep_proto::udp::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_SCRAPE, ANNOUNCE_HEADER_BYTES, CONNECT_BYTES,
    HEADER_BYTES, SCRAPE_ENTRY_BYTES, SCRAPE_HEADER_BYTES,
};

use crate::load::system::Poller;

/// As skep by default.
const BATCH: usize = 64;
const BATCHES_IN_TURN_MAX: u32 = 4;
const WAIT_MAX: Duration = Duration::from_millis(200);
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
const SEND_BUFFER_BYTES: usize = 4 << 20;
const BACKLOG: i32 = 4096;
const HEAD_BYTES: usize = 1024;

/// The most peers that an answer has room for.
const PEERS_MAX: usize = (DATAGRAM_BYTES_MAX - ANNOUNCE_HEADER_BYTES) / IPV4_BYTES;

/// Answers datagrams until the process ends, on one socket for each worker.
///
/// # Errors
/// What the system reports.
pub(crate) fn udp(port: u16, peers: usize, workers: usize) -> Result<()> {
    ensure!(peers <= PEERS_MAX, "an answer has room for {PEERS_MAX} peers");
    // As skep serves each address of the host: without being told which one was asked.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let options = UdpOptions {
        receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
        send_buffer_bytes: SEND_BUFFER_BYTES,
        reuse_port: workers > 1,
        ..UdpOptions::new(address)
    };
    let sockets: io::Result<Vec<UdpSocket>> =
        (0..workers).map(|_| UdpSocket::bind(&options)).collect();
    let sockets = sockets.with_context(|| format!("cannot bind {address}"))?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = sockets
            .into_iter()
            .map(|socket| scope.spawn(move || answer_datagrams(socket, &Answers::new(peers))))
            .collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|end| end.unwrap_or_else(|_| bail!("a worker panicked")))
    })
}

fn answer_datagrams(mut socket: UdpSocket, answers: &Answers) -> Result<()> {
    let waiter = Waiter::new(&[&socket])?;
    let mut batch = Batch::new(BATCH);
    loop {
        let _ = waiter.wait(&[&socket], WAIT_MAX)?;
        for _ in 0..BATCHES_IN_TURN_MAX {
            let received = socket.receive(&mut batch, Duration::ZERO)?;
            for number in 0..received {
                let (datagram, _, room) = batch.exchange(number);
                let length = answers.write(datagram, room);
                batch.set_reply_len(number, length);
            }
            if received > 0 {
                let _ = socket.send(&mut batch);
            }
            if received < BATCH {
                break;
            }
        }
    }
}

/// Whole answers with a transaction id of zeroes.
struct Answers {
    connect: [u8; CONNECT_BYTES],
    announce: Vec<u8>,
    scrape: [u8; SCRAPE_HEADER_BYTES + SCRAPE_ENTRY_BYTES],
}

impl Answers {
    fn new(peers: usize) -> Self {
        let mut announce = vec![0; ANNOUNCE_HEADER_BYTES + peers * IPV4_BYTES];
        announce[..4].copy_from_slice(&ACTION_ANNOUNCE.to_be_bytes());
        announce[8..12].copy_from_slice(&1800u32.to_be_bytes());
        let mut scrape = [0; SCRAPE_HEADER_BYTES + SCRAPE_ENTRY_BYTES];
        scrape[..4].copy_from_slice(&ACTION_SCRAPE.to_be_bytes());
        Self { connect: [0; CONNECT_BYTES], announce, scrape }
    }

    /// Writes the answer to a request and returns its length.
    fn write(&self, datagram: &[u8], room: &mut [u8]) -> usize {
        let Some(header) = datagram.first_chunk::<HEADER_BYTES>() else {
            return 0;
        };
        let [.., a, b, c, d, _, _, _, _] = *header;
        let answer = match u32::from_be_bytes([a, b, c, d]) {
            ACTION_CONNECT => &self.connect[..],
            ACTION_ANNOUNCE => &self.announce,
            ACTION_SCRAPE => &self.scrape,
            _ => return 0,
        };
        room[..answer.len()].copy_from_slice(answer);
        room[4..8].copy_from_slice(&header[12..]);
        answer.len()
    }
}

/// Answers HTTP requests until the process ends.
///
/// # Errors
/// What the system reports.
pub(crate) fn http(port: u16, peers: usize) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = skep_net::tcp::listen(address, false, BACKLOG)
        .with_context(|| format!("cannot listen on {address}"))?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    let answers = HttpAnswers::new(peers);
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut next = LISTENER + 1;
    loop {
        for index in 0..poller.wait()? {
            let name = poller.ready(index);
            if name != LISTENER {
                if let Entry::Occupied(mut entry) = connections.entry(name)
                    && !entry.get_mut().serve(&answers)
                {
                    entry.remove();
                }
                continue;
            }
            while let Ok((stream, _)) = skep_net::tcp::accept(&listener) {
                let mut connection = Connection { stream, head: Vec::with_capacity(HEAD_BYTES) };
                // The request is often there already.
                if connection.serve(&answers) {
                    poller.add(&connection.stream, next)?;
                    connections.insert(next, connection);
                    next += 1;
                }
            }
        }
    }
}

/// What the listener is called among the connections.
const LISTENER: u64 = 0;

struct Connection {
    stream: TcpStream,
    /// What came of a request so far.
    head: Vec<u8>,
}

impl Connection {
    /// Reads once and answers a request that is complete; tells whether the connection goes on.
    fn serve(&mut self, answers: &HttpAnswers) -> bool {
        let mut room = [0; HEAD_BYTES];
        match self.stream.read(&mut room) {
            Ok(0) => return false,
            Ok(length) => self.head.extend(&room[..length]),
            Err(cause) => return cause.kind() == io::ErrorKind::WouldBlock,
        }
        if !self.head.ends_with(b"\r\n\r\n") {
            return true;
        }
        let kept = !self.head.windows(17).any(|word| word == b"Connection: close");
        let scrape = self.head.starts_with(b"GET /scrape");
        self.head.clear();
        let answer = answers.of(scrape, kept);
        if !kept {
            // Who has gone before is no concern of the floor.
            let _ = skep_net::tcp::send_last(&self.stream, answer);
            return false;
        }
        self.stream.write_all(answer).is_ok()
    }
}

/// Whole responses, each once for connections that end and once for those that are kept.
struct HttpAnswers {
    announce: [Vec<u8>; 2],
    scrape: [Vec<u8>; 2],
}

impl HttpAnswers {
    fn new(peers: usize) -> Self {
        let packed = peers * IPV4_BYTES;
        let mut announce = b"d8:completei0e10:incompletei30e8:intervali1800e".to_vec();
        announce.extend(format!("12:min intervali900e5:peers{packed}:").as_bytes());
        announce.resize(announce.len() + packed, 1);
        announce.push(b'e');
        let mut scrape = b"d5:filesd20:".to_vec();
        scrape.resize(scrape.len() + 20, 1);
        scrape.extend(b"d8:completei0e10:downloadedi0e10:incompletei30eeee");
        Self {
            announce: [false, true].map(|kept| response(&announce, kept)),
            scrape: [false, true].map(|kept| response(&scrape, kept)),
        }
    }

    fn of(&self, scrape: bool, kept: bool) -> &[u8] {
        let pair = if scrape { &self.scrape } else { &self.announce };
        &pair[usize::from(kept)]
    }
}

fn response(body: &[u8], kept: bool) -> Vec<u8> {
    let connection = if kept { "keep-alive" } else { "close" };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: {connection}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::answer::{Announced, Check, Judge, udp_connect, udp_scrape};
    use crate::load::packet::{Request, Writer};
    use crate::load::population::{Peer, Sources};

    const PEER: Peer = Peer { torrent: 1, index: 0, size: 1 };

    #[test]
    fn every_request_gets_an_answer_of_the_right_shape() {
        let sources = Sources::new(1).unwrap();
        let mut judge = Judge::new(sources, 30, Check::Shape);
        let (writer, answers) = (Writer::new(sources, 30, None), Answers::new(30));
        let answer = |request| {
            let mut room = [0; DATAGRAM_BYTES_MAX];
            let asked = writer.whole(request, [0; 8], 0x0102_0304);
            let length = answers.write(&asked, &mut room);
            assert_eq!(room[4..8], [1, 2, 3, 4]);
            room[..length].to_vec()
        };
        assert!(udp_connect(&answer(Request::Connect)).is_ok());
        assert!(udp_scrape(PEER, &answer(Request::Scrape(PEER)), Check::Shape).is_ok());
        let announce = answer(Request::Announce(PEER));
        assert_eq!(announce.len(), 20 + 6 * 30);
        let announced = Announced { peers: 30, flaw: None };
        assert_eq!(judge.udp_announce(PEER, &announce), Ok(announced));
        assert_eq!(answers.write(&[0; 15], &mut []), 0);
    }

    #[test]
    fn http_answer_is_one_that_a_tracker_could_give() {
        let mut judge = Judge::new(Sources::new(1).unwrap(), 30, Check::Shape);
        let answers = HttpAnswers::new(30);
        let body = |scrape| {
            let answer = answers.of(scrape, false);
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            &answer[head + 4..]
        };
        let announced = Announced { peers: 30, flaw: None };
        assert_eq!(judge.http_announce(PEER, body(false)), Ok(announced));
        assert_eq!(judge.http_scrape(PEER, body(true)), Ok(None));
    }
}
