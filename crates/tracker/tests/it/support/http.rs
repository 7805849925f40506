//! An HTTP client that sends exactly the bytes it is given and keeps its connection.
//!
//! Answers are cut apart by their `Content-Length`; what they say is the caller's business.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use skep_engine::testing::wire::{self, Answer, Seen};
use skep_proto::{AnnounceRequest, InfoHash};
use socket2::{Domain, Socket, Type};

use super::{DEADLINE, shown};

pub(crate) struct HttpClient {
    stream: TcpStream,
    input: Vec<u8>,
}

/// An answer, cut apart.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header, whose name is given as it is sent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("\r\n{}: ", name.to_ascii_lowercase());
        let at = self.head.to_ascii_lowercase().find(&start)? + start.len();
        self.head[at..].lines().next()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body of an answer that is 200, as every answer to a tracker request is.
    pub(crate) fn ok(&self) -> &[u8] {
        assert_eq!(self.status, 200, "{}", self.head);
        &self.body
    }
}

impl HttpClient {
    pub(crate) fn connect(tracker: SocketAddr) -> Self {
        Self::of(TcpStream::connect(tracker).unwrap())
    }

    /// Connects from an address of this host.
    pub(crate) fn connect_from(ip: IpAddr, tracker: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(tracker), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
        socket.connect(&tracker.into()).unwrap();
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, input: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends to a tracker that may have closed the connection already.
    pub(crate) fn send_if_open(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes until the other side takes no more for now or for ever, and tells how many bytes it
    /// took.
    pub(crate) fn stuff(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let mut taken = 0;
        let error = loop {
            match self.stream.write(bytes) {
                Ok(len) => taken += len,
                Err(error) => break error,
            }
        };
        let expected = [ErrorKind::WouldBlock, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(expected.contains(&error.kind()), "{error}");
        self.stream.set_nonblocking(false).unwrap();
        taken
    }

    /// Sends what a client that ends a request sends last.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Whether nothing came and nothing ended so far.
    pub(crate) fn is_quiet(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0; 1]);
        self.stream.set_nonblocking(false).unwrap();
        self.input.is_empty()
            && matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Exactly so many bytes of what comes.
    pub(crate) fn exactly(&mut self, len: usize) -> Vec<u8> {
        while self.input.len() < len {
            self.read_more();
        }
        self.input.drain(..len).collect()
    }

    /// Everything up to the end of the connection, reset or closed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.input);
        let mut chunk = [0; 65_536];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return bytes,
                Ok(len) => bytes.extend(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("{error} after {}", shown(&bytes)),
            }
        }
    }

    fn read_more(&mut self) {
        let mut chunk = [0; 16_384];
        let len = self.stream.read(&mut chunk).expect("more comes");
        assert!(len > 0, "the connection ended after {}", shown(&self.input));
        self.input.extend(&chunk[..len]);
    }

    /// The next answer, with a body as long as it says.
    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.response_head();
        let len = response.header("Content-Length").expect("a length").parse().unwrap();
        response.body = self.exactly(len);
        response
    }

    /// The next answer to a request that wants no body.
    pub(crate) fn response_head(&mut self) -> Response {
        let end = loop {
            let end = self.input.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.read_more(),
            }
        };
        let head = String::from_utf8(self.exactly(end)).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        Response { status: status.parse().unwrap(), head, body: Vec::new() }
    }

    /// Asks for a target as any client does.
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.get_with(target, &[])
    }

    /// Asks for a target with more headers.
    pub(crate) fn get_with(&mut self, target: &str, headers: &[(&str, &str)]) -> Response {
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.send(format!("GET {target} HTTP/1.1\r\nHost: t.example\r\n{headers}\r\n").as_bytes());
        self.response()
    }

    pub(crate) fn announce(&mut self, request: &AnnounceRequest) -> Result<Answer, String> {
        wire::read_http_announce(self.get(&wire::http_announce(request)).ok())
    }

    pub(crate) fn scrape(&mut self, info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String> {
        wire::read_http_scrape(self.get(&wire::http_scrape(info_hashes)).ok(), info_hashes)
    }
}
