//! Clients that announce growing counters over HTTP and UDP and remember what they were promised.
//!
//! A client that gets no answer says the same again, as real ones do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::site::{info_hash, passkey, torrent_of, worth};
use skep::driver::{Sums, Traffic};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a tracker is now.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) udp: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// One user's client.
pub(crate) struct Client {
    user: u32,
    over_udp: bool,
    rng: fastrand::Rng,
    peer_id: [u8; 20],
    up: u64,
    down: u64,
    event: Event,
    /// Whether it has the whole torrent, and whether it has said so.
    seeds: bool,
    completions: u64,
    /// What sessions that ended moved.
    promised: Traffic,
    pub(crate) answers: u64,
    /// Announces that the tracker said it could not count.
    pub(crate) refusals: u64,
    /// Whether it begins and ends nothing.
    pub(crate) is_steady: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    None = 0,
    Completed = 1,
    Started = 2,
    Stopped = 3,
}

impl Client {
    pub(crate) fn new(user: u32, mut rng: fastrand::Rng) -> Self {
        let peer_id = std::array::from_fn(|_| rng.alphanumeric() as u8);
        Self {
            user,
            over_udp: user.is_multiple_of(2),
            rng,
            peer_id,
            up: 0,
            down: 0,
            event: Event::Started,
            seeds: false,
            completions: 0,
            promised: Traffic::default(),
            answers: 0,
            refusals: 0,
            is_steady: false,
        }
    }

    /// Announces once, and goes on with its life if it is answered. Returns whether it was.
    pub(crate) fn announce(&mut self, place: Place) -> bool {
        let answered = match self.over_udp {
            true => self.announce_udp(place.udp),
            false => self.announce_http(place.http),
        };
        match answered {
            Ok(None) => {
                self.answers += 1;
                self.go_on();
                true
            }
            // The tracker could not promise it.
            Ok(Some(text)) => {
                let again = text.contains("try again");
                assert!(again, "user {} is refused: {text}", self.user);
                self.refusals += 1;
                false
            }
            Err(_) => false,
        }
    }

    /// Announces until its session has ended.
    pub(crate) fn finish(&mut self, place: Place) {
        loop {
            if self.event == Event::None {
                self.event = Event::Stopped;
            }
            let ends = self.event == Event::Stopped;
            if self.announce(place) && ends {
                return;
            }
        }
    }

    /// What the database must hold now that all sessions have ended.
    pub(crate) fn check(&self, found: &Sums) {
        let (upload, download) = worth(self.user);
        let Traffic { uploaded_bytes, downloaded_bytes } = self.promised;
        let credited = Traffic {
            uploaded_bytes: uploaded_bytes * upload,
            downloaded_bytes: downloaded_bytes * download,
        };
        let user = self.user;
        assert_eq!((found.raw, found.credited), (self.promised, credited), "user {user}");
        assert_eq!(found.completions, self.completions, "user {user}");
    }

    fn go_on(&mut self) {
        match self.event {
            Event::Stopped => {
                self.promised = self
                    .promised
                    .plus(Traffic { uploaded_bytes: self.up, downloaded_bytes: self.down });
                self.peer_id = std::array::from_fn(|_| self.rng.alphanumeric() as u8);
                (self.up, self.down, self.event) = (0, 0, Event::Started);
                return;
            }
            Event::Completed => self.completions += 1,
            Event::Started | Event::None => {}
        }
        self.up += self.rng.u64(0..1 << 30);
        self.down += if self.seeds { 0 } else { self.rng.u64(0..1 << 30) };
        self.event = match self.rng.u32(0..30) {
            _ if self.is_steady => Event::None,
            0 => Event::Stopped,
            1 if !self.seeds => {
                self.seeds = true;
                Event::Completed
            }
            _ => Event::None,
        };
    }

    fn left(&self) -> u64 {
        if self.seeds { 0 } else { 1 << 40 }
    }

    /// The text of a refusal; nothing if there is none.
    pub(crate) fn announce_http(&self, to: SocketAddr) -> io::Result<Option<String>> {
        let escaped =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("%{byte:02x}")).collect() };
        let event = match self.event {
            Event::None => "",
            Event::Completed => "&event=completed",
            Event::Started => "&event=started",
            Event::Stopped => "&event=stopped",
        };
        let request = format!(
            "GET /{}/announce?info_hash={}&peer_id={}&port=6881&uploaded={}&downloaded={}&left={}\
             &compact=1{event} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            passkey(self.user),
            escaped(info_hash(torrent_of(self.user)).as_bytes()),
            escaped(&self.peer_id),
            self.up,
            self.down,
            self.left(),
        );
        let answer = exchange(to, request.as_bytes())?;
        let text = String::from_utf8_lossy(&answer);
        match (text.contains("failure reason"), text.ends_with('e')) {
            (true, _) => Ok(Some(text.into_owned())),
            (false, true) => Ok(None),
            (false, false) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn announce_udp(&mut self, to: SocketAddr) -> io::Result<Option<String>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // A tracker that was killed tells nobody.
        socket.set_read_timeout(Some(PATIENCE / 10))?;
        socket.connect(to)?;
        let number = self.rng.u32(..).to_be_bytes();
        let mut buffer = [0; 2048];
        let connect = [&0x0417_2710_1980_u64.to_be_bytes()[..], &[0; 4], &number].concat();
        socket.send(&connect)?;
        let length = socket.recv(&mut buffer)?;
        assert_eq!((length, &buffer[..4]), (16, &[0; 4][..]));
        let connection = buffer[8..16].to_vec();
        let path = format!("/{}/announce", passkey(self.user));
        let info_hash = info_hash(torrent_of(self.user));
        let request = [
            &connection[..],
            &1_u32.to_be_bytes(),
            &number,
            info_hash.as_bytes(),
            &self.peer_id,
            &self.down.to_be_bytes(),
            &self.left().to_be_bytes(),
            &self.up.to_be_bytes(),
            &(self.event as u32).to_be_bytes(),
            &[0; 8],
            &(-1_i32).to_be_bytes(),
            &6881_u16.to_be_bytes(),
            &[2, path.len() as u8],
            path.as_bytes(),
        ];
        socket.send(&request.concat())?;
        let length = socket.recv(&mut buffer)?;
        match buffer[3] {
            1 => Ok(None),
            3 => Ok(Some(String::from_utf8_lossy(&buffer[8..length]).into_owned())),
            other => panic!("an answer of kind {other}"),
        }
    }
}

/// Sends a request and returns all that comes back until the other end closes.
pub(crate) fn exchange(to: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
