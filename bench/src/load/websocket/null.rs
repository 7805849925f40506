//! A responder that passes offers and answers on and reads nothing but the ids in them.
//!
//! The floor: one system call for what a connection has received, and one for all that is sent over
//! it in a turn. It takes the messages of this very program only, which have their ids in the same
//! places.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail};

use crate::load::system::Poller;
use crate::load::websocket::message::{
    ACCEPT, COUNT_DIGITS, Ids, Messages, OfferText, Replies, Sent,
};

const BACKLOG: i32 = 4096;
/// Room for what a socket has received.
const ROOM_BYTES: usize = 1 << 18;
/// What the listener is called among the connections.
const LISTENER: u64 = 0;

struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
    /// What is to be sent at the end of the turn.
    unsent: Vec<u8>,
    is_upgraded: bool,
    hash: Option<[u8; 40]>,
    peer_id: [u8; 20],
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            unsent: Vec::new(),
            is_upgraded: false,
            hash: None,
            peer_id: [0; 20],
        }
    }
}

/// Answers until the process ends.
///
/// # Errors
/// What the system reports.
pub(crate) fn null(port: u16, offers: u32) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = skep_net::tcp::listen(address, false, BACKLOG)
        .with_context(|| format!("cannot listen on {address}"))?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    let mut responder = Responder {
        messages: Messages::new(offers),
        replies: Replies::new(),
        connections: HashMap::new(),
        swarms: HashMap::new(),
        peers: HashMap::new(),
        unsent: Vec::new(),
    };
    let mut room = vec![0; ROOM_BYTES];
    let mut next = LISTENER + 1;
    loop {
        for index in 0..poller.wait()? {
            let name = poller.ready(index);
            if name != LISTENER {
                if responder.serve(name, &mut room).is_err() {
                    responder.forget(name);
                }
                continue;
            }
            while let Ok((stream, _)) = skep_net::tcp::accept(&listener) {
                poller.add(&stream, next)?;
                let connection = Connection::new(stream);
                responder.connections.insert(next, connection);
                next += 1;
            }
        }
        responder.flush();
    }
}

/// Adds to what is to be sent at the end of the turn.
fn add(unsent: &mut Vec<u64>, name: u64, connection: &mut Connection, message: &[u8]) {
    if connection.unsent.is_empty() {
        unsent.push(name);
    }
    connection.unsent.extend(message);
}

struct Responder {
    messages: Messages,
    replies: Replies,
    connections: HashMap<u64, Connection>,
    /// The connections of each torrent.
    swarms: HashMap<[u8; 40], Vec<u64>>,
    peers: HashMap<[u8; 20], u64>,
    /// Connections that something is to be sent over.
    unsent: Vec<u64>,
}

impl Responder {
    /// Reads once and answers what is whole.
    fn serve(&mut self, name: u64, room: &mut [u8]) -> Result<()> {
        let connection = self.connections.get_mut(&name).context("a connection is gone")?;
        let kept = connection.partial.len();
        room[..kept].copy_from_slice(&connection.partial);
        connection.partial.clear();
        let received = match connection.stream.read(&mut room[kept..]) {
            Ok(0) => bail!("the end"),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => 0,
            received => received?,
        };
        let mut rest = &room[..kept + received];
        if !connection.is_upgraded && rest.ends_with(b"\r\n\r\n") {
            connection.is_upgraded = true;
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                        Connection: Upgrade\r\nSec-WebSocket-Accept: ";
            connection.stream.write_all(format!("{head}{ACCEPT}\r\n\r\n").as_bytes())?;
            return Ok(());
        }
        while let Some((frame, behind)) = whole_frame(rest) {
            rest = behind;
            let ids = self.messages.ids(frame).context("no message of this program")?;
            self.answer(name, &ids)?;
        }
        let connection = self.connections.get_mut(&name).context("a connection is gone")?;
        connection.partial.extend(rest);
        Ok(())
    }

    fn answer(&mut self, name: u64, ids: &Ids) -> Result<()> {
        if let Sent::Answer(to, offer) = &ids.sent {
            if let Some(&receiver) = self.peers.get(to) {
                self.relay(receiver, ids, offer, 1)?;
            }
            return Ok(());
        }
        let connection = self.connections.get_mut(&name).context("a connection is gone")?;
        let swarm = self.swarms.entry(ids.hash).or_default();
        if connection.hash.is_none() {
            (connection.hash, connection.peer_id) = (Some(ids.hash), ids.peer_id);
            swarm.push(name);
            self.peers.insert(ids.peer_id, name);
        }
        let [count_at, hash_at] = self.replies.reply_at;
        let count = format!("{:COUNT_DIGITS$}", swarm.len());
        self.replies.reply.put(count_at, count.as_bytes());
        self.replies.reply.put(hash_at, &ids.hash);
        add(&mut self.unsent, name, connection, self.replies.reply.bytes());
        let Sent::Offers(offers) = &ids.sent else {
            return Ok(());
        };
        let own = swarm.iter().position(|other| *other == name).unwrap_or_default();
        let count = offers.len().min(swarm.len() - 1);
        let others = swarm.iter().cycle().skip(own + 1).take(count);
        for (receiver, offer) in others.copied().collect::<Vec<_>>().into_iter().zip(offers) {
            self.relay(receiver, ids, offer, 0)?;
        }
        Ok(())
    }

    /// Sends an offer or an answer.
    fn relay(&mut self, receiver: u64, ids: &Ids, offer: &OfferText, kind: usize) -> Result<()> {
        let [hash_at, peer_id_at, offer_at] = self.replies.relayed_at[kind];
        let Replies { offer: offered, answer, .. } = &mut self.replies;
        let message = if kind == 0 { offered } else { answer };
        message.put(hash_at, &ids.hash);
        message.put(peer_id_at, &ids.peer_id);
        message.put(offer_at, offer);
        if let Some(connection) = self.connections.get_mut(&receiver) {
            add(&mut self.unsent, receiver, connection, message.bytes());
        }
        Ok(())
    }

    /// Sends what the turn has brought.
    fn flush(&mut self) {
        for name in std::mem::take(&mut self.unsent) {
            let Some(connection) = self.connections.get_mut(&name) else {
                continue;
            };
            let sent = connection.stream.write_all(&connection.unsent);
            connection.unsent.clear();
            if sent.is_err() {
                self.forget(name);
            }
        }
    }

    fn forget(&mut self, name: u64) {
        let Some(connection) = self.connections.remove(&name) else {
            return;
        };
        if let Some(swarm) = connection.hash.and_then(|hash| self.swarms.get_mut(&hash)) {
            swarm.retain(|other| *other != name);
        }
        if self.peers.get(&connection.peer_id) == Some(&name) {
            self.peers.remove(&connection.peer_id);
        }
    }
}

/// Takes a masked frame of less than 64 KiB off what was received.
fn whole_frame(received: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = match received.get(1)? & 0x7f {
        126 => 8 + usize::from(u16::from_be_bytes([*received.get(2)?, *received.get(3)?])),
        short => 6 + usize::from(short),
    };
    received.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::websocket::frame::{Frame, split};
    use crate::load::websocket::json;
    use crate::load::websocket::message::{Hash, Offer, ws_peer_id};

    #[test]
    fn ids_are_found_in_every_message_and_written_into_what_is_passed_on() {
        let (mut messages, mut replies) = (Messages::new(5), Replies::new());
        let (hash, own, other) = (Hash::of(3), ws_peer_id(1, 2), ws_peer_id(1, 4));
        let offer = Offer { connection: 2, turn: 9, index: 0 };
        let join = messages.join(&hash, &own).to_vec();
        assert!(matches!(messages.ids(&join).unwrap().sent, Sent::Join));
        let answer = messages.answer(&hash, &own, &other, offer).to_vec();
        let answered = messages.ids(&answer).unwrap();
        let Sent::Answer(to, offered) = answered.sent else { panic!("not an answer") };
        assert_eq!((answered.peer_id, to), (own, other));
        let announce = messages.announce(&hash, &own, offer).to_vec();
        let ids = messages.ids(&announce).unwrap();
        let Sent::Offers(offers) = &ids.sent else { panic!("not an announce") };
        assert_eq!((offers.len(), offers[0]), (5, offered));
        let [hash_at, peer_id_at, offer_at] = replies.relayed_at[0];
        replies.offer.put(hash_at, &ids.hash);
        replies.offer.put(peer_id_at, &ids.peer_id);
        replies.offer.put(offer_at, &offers[4]);
        let (Frame::Text(text), []) = split(replies.offer.bytes()).unwrap().unwrap() else {
            panic!("not one text frame")
        };
        let message = json::read(text, messages.common_sdp()).unwrap();
        assert!(hash.is(message.info_hash) && message.peer_id == own);
        let id = json::bytes(message.offer_id).and_then(Offer::from_id);
        assert_eq!(id, Some(Offer { index: 4, ..offer }));
        assert_eq!(message.offer.unwrap().sdp, messages.offer_sdp.as_bytes());
        assert!(messages.ids(&join[1..]).is_none());
    }

    #[test]
    fn frames_are_taken_off_only_whole() {
        let mut messages = Messages::new(1);
        let announce = messages.join(&Hash::of(0), &ws_peer_id(0, 0)).to_vec();
        let two = [&announce[..], &announce].concat();
        assert_eq!(whole_frame(&two), Some((&announce[..], &announce[..])));
        assert_eq!(whole_frame(b""), None);
        assert_eq!(whole_frame(&announce[..announce.len() - 1]), None);
    }
}
