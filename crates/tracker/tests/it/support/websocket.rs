//! A client that speaks WebSocket as browsers do, with JSON made and read by a common library.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use serde_json::{Map, Value, json};
use skep_proto::{InfoHash, PeerId};
use socket2::{Domain, Socket, Type};
use tungstenite::client::client;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

use super::DEADLINE;

/// One connection of a browser.
pub(crate) struct Browser<S = TcpStream> {
    pub(crate) socket: WebSocket<S>,
}

/// Twenty bytes as browsers write them: one code point a byte.
pub(crate) fn binary(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// A peer id that ends in a number.
pub(crate) fn peer(number: u32) -> PeerId {
    PeerId::from_slice(format!("-WW0200-{number:012}").as_bytes()).unwrap()
}

impl Browser {
    /// Connects from an address of this host.
    pub(crate) fn connect_from(ip: impl Into<IpAddr>, to: SocketAddr) -> Self {
        Self::connect_to_path(ip, to, "/announce")
    }

    /// The same, to a path of the server.
    pub(crate) fn connect_to_path(ip: impl Into<IpAddr>, to: SocketAddr, path: &str) -> Self {
        let stream = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        stream.bind(&SocketAddr::new(ip.into(), 0).into()).unwrap();
        stream.connect(&to.into()).unwrap();
        let stream = TcpStream::from(stream);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self::over(stream, &format!("ws://{to}{path}"))
    }
}

impl<S: Read + Write> Browser<S> {
    /// Speaks over a connection that is there.
    pub(crate) fn over(stream: S, url: &str) -> Self {
        let Ok((socket, _)) = client(url, stream) else {
            panic!("{url} takes no WebSocket");
        };
        Self { socket }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_text(message.to_string());
    }

    pub(crate) fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).unwrap();
    }

    /// The next message, which must be an object in a text frame.
    pub(crate) fn hear(&mut self) -> Value {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends a message and returns the next one that comes.
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        self.send(message);
        self.hear()
    }

    /// Asserts that nothing has come: the answer to a scrape is the next message.
    pub(crate) fn hears_nothing(&mut self) {
        let answer = self.ask(&json!({"action": "scrape", "info_hash": []}));
        assert_eq!(answer, json!({"action": "scrape", "files": {}}));
    }

    /// The code with which the server closes the connection; what comes before is passed over.
    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(CloseFrame { code, .. }))) => return code.into(),
                Ok(_) => {}
                Err(error) => panic!("closed without a word: {error}"),
            }
        }
    }

    /// Counts of a swarm: complete, incomplete, downloaded.
    pub(crate) fn scrape(&mut self, info_hash: &InfoHash) -> [u64; 3] {
        let name = binary(info_hash.as_bytes());
        let answer = self.ask(&json!({"action": "scrape", "info_hash": name}));
        let counts = &answer["files"][&name];
        ["complete", "incomplete", "downloaded"].map(|key| counts[key].as_u64().unwrap())
    }
}

/// An announce with the fields that every client sends.
pub(crate) fn announce(info_hash: &InfoHash, peer_id: &PeerId, more: Value) -> Value {
    let mut message = json!({
        "action": "announce",
        "info_hash": binary(info_hash.as_bytes()),
        "peer_id": binary(peer_id.as_bytes()),
        "uploaded": 0,
        "downloaded": 0,
    });
    let more: Map<String, Value> = serde_json::from_value(more).unwrap();
    message.as_object_mut().unwrap().extend(more);
    message
}

/// Offers with numbered ids and texts.
pub(crate) fn offers(name: &str, count: usize) -> Value {
    (1..=count)
        .map(|number| {
            json!({
                "offer": {"type": "offer", "sdp": format!("{name}{number}\r\n\u{1F41D}")},
                "offer_id": format!("{name:>18}{number:02}"),
            })
        })
        .collect()
}
