//! What a WebTorrent client sends: its upgrade, and messages that are prepared but for their ids.
//!
//! Every id has the same length in JSON, so that it is written over the one before; what a tracker
//! makes of a message is judged elsewhere.

use crate::load::population::info_hash;
use crate::load::websocket::frame::Prepared;
use crate::load::websocket::json;

/// Offers of an announce that can be told apart.
pub(crate) const OFFERS_MAX: u32 = 8;

/// The most connections, by the letters for their number.
pub(crate) const CONNECTIONS_MAX: u32 = 1 << 24;

/// What the tracker must make of the key in [`UPGRADE`]: the example of RFC 6455, section 1.3.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a connection begins with.
pub(crate) const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: tracker.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nOrigin: https://site.example\r\n\r\n";

const HASH_TEXT_BYTES: usize = 40;
const OFFER_ID_TEXT_BYTES: usize = 29;
const OFFER_ID_LETTERS: usize = 11;

/// The end of every offer id: bytes that take two in UTF-8, as most of a random id do.
const OFFER_ID_TAIL: [u8; 9] = [0xe9, 0x81, 0xd7, 0xff, 0xc0, 0xa4, 0xbe, 0x99, 0xf2];

/// The hash of a torrent, in JSON as long as that of any other: ten of its bytes take two in UTF-8,
/// two are escaped.
fn ws_info_hash(torrent: u32) -> [u8; 20] {
    let mut bytes = info_hash(torrent);
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = match at {
            4 | 12 => 0x10 | *byte & 0x0f,
            _ if at % 2 == 1 => 0x80 | *byte,
            _ => b'a' + (*byte & 0x0f),
        };
    }
    bytes
}

/// The id of a connection's peer; `run` tells those of one run from those of another.
pub(crate) fn ws_peer_id(run: u16, connection: u32) -> [u8; 20] {
    let mut bytes = *b"-WW0200-............";
    letters(&mut bytes[8..12], u32::from(run));
    letters(&mut bytes[12..], connection);
    bytes
}

/// Where an offer comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offer {
    pub(crate) connection: u32,
    /// Which announce of the connection it was part of.
    pub(crate) turn: u16,
    pub(crate) index: u32,
}

impl Offer {
    fn id(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        letters(&mut bytes[..6], self.connection);
        letters(&mut bytes[6..10], u32::from(self.turn));
        letters(&mut bytes[10..OFFER_ID_LETTERS], self.index);
        bytes[OFFER_ID_LETTERS..].copy_from_slice(&OFFER_ID_TAIL);
        bytes
    }

    /// Reads an id; nothing if it is none that was ever sent.
    pub(crate) fn from_id(id: [u8; 20]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| {
            id[range].iter().try_fold(0, |number, letter| {
                let digit = letter.wrapping_sub(b'a');
                (digit < 16).then_some(number << 4 | u32::from(digit))
            })
        };
        let offer = Self {
            connection: number(0..6)?,
            turn: number(6..10)? as u16,
            index: number(10..OFFER_ID_LETTERS)?,
        };
        (id[OFFER_ID_LETTERS..] == OFFER_ID_TAIL).then_some(offer)
    }
}

/// Writes a number, four bits a letter.
fn letters(room: &mut [u8], number: u32) {
    let digits = room.len();
    for (at, letter) in room.iter_mut().enumerate() {
        *letter = b'a' + (number >> ((digits - 1 - at) * 4)) as u8 % 16;
    }
}

/// The text of a binary string, as `JSON.stringify` writes it.
fn json_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            0..0x20 => text.push_str(&format!("\\u{byte:04x}")),
            _ => text.push(char::from(byte)),
        }
    }
    text
}

/// A description as a browser makes one for a data channel, after it has found its addresses; as
/// text of JSON.
pub(crate) fn sdp(setup: &str) -> String {
    let mut text = String::from(
        "v=0\\r\\no=- 4611731400430051336 2 IN IP4 127.0.0.1\\r\\ns=-\\r\\nt=0 0\\r\\n\
         a=group:BUNDLE 0\\r\\na=extmap-allow-mixed\\r\\na=msid-semantic: WMS\\r\\n\
         m=application 51472 UDP/DTLS/SCTP webrtc-datachannel\\r\\nc=IN IP4 198.51.100.23\\r\\n",
    );
    let addresses = [
        ("host", "6b9ca9f2-8d2e-4a5f-9a53-5f0f6a1f3a11.local", ""),
        ("host", "f0e1c2a3-17b4-4d55-8c6e-2a7d9b0c4e55.local", ""),
        ("srflx", "198.51.100.23", " raddr 0.0.0.0 rport 0"),
        ("srflx", "2001:db8:85a3::8a2e:370:7334", " raddr :: rport 0"),
    ];
    for (number, (kind, address, related)) in (0..).zip(addresses) {
        let (foundation, port) = (842_163_049u32 + number * 97_531, 51_472 + number);
        text.push_str(&format!(
            "a=candidate:{foundation} 1 udp {} {address} {port} typ {kind}{related} generation 0 \
             network-cost 999\\r\\n",
            2_113_937_151u32 - number * 256,
        ));
    }
    text.push_str(&format!(
        "a=ice-ufrag:q7Xd\\r\\na=ice-pwd:Zk3b0cV9m1sYt5uWnE8rPq2L\\r\\na=fingerprint:sha-256 \
         7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\
         \\r\\na=setup:{setup}\\r\\na=mid:0\\r\\na=sctp-port:5000\\r\\na=max-message-size:262144\\r\\n"
    ));
    text
}

/// The messages of all connections, which differ in their ids only.
pub(crate) struct Messages {
    announce: Prepared,
    /// Where the hash, the peer id and each offer id stand.
    announce_at: (usize, usize, Vec<usize>),
    join: Prepared,
    join_at: (usize, usize),
    answer: Prepared,
    /// Where hash, peer id, the other's peer id and the offer id stand.
    answer_at: [usize; 4],
    scrape: Prepared,
    scrape_at: usize,
    /// What descriptions of offers and answers are, as text of JSON.
    pub(crate) offer_sdp: String,
    pub(crate) answer_sdp: String,
    common_bytes: usize,
}

impl Messages {
    pub(crate) fn new(offers: u32) -> Self {
        let (offer_sdp, answer_sdp) = (sdp("actpass"), sdp("active"));
        let mut text = Text::default();
        text.add("{\"numwant\":").add(&offers.to_string());
        let announce_at = announce_head(&mut text);
        text.add(",\"offers\":[");
        let mut places = Vec::new();
        for index in 0..offers {
            let comma = if index > 0 { "," } else { "" };
            text.add(comma).add("{\"offer\":{\"type\":\"offer\",\"sdp\":\"").add(&offer_sdp);
            text.add("\"},\"offer_id\":");
            places.push(text.room(OFFER_ID_TEXT_BYTES));
            text.add("}");
        }
        text.add("]}");
        let announce = Prepared::new(text.0.as_bytes());
        let (join, join_at) = join();
        let (answer, answer_at) = answer(&answer_sdp);
        let mut text = Text::default();
        text.add("{\"action\":\"scrape\",\"info_hash\":");
        let scrape_at = text.room(HASH_TEXT_BYTES);
        text.add("}");
        Self {
            announce,
            announce_at: (announce_at.0, announce_at.1, places),
            join,
            join_at,
            answer,
            answer_at,
            scrape: Prepared::new(text.0.as_bytes()),
            scrape_at,
            common_bytes: common_bytes(&offer_sdp, &answer_sdp),
            offer_sdp,
            answer_sdp,
        }
    }

    /// What the descriptions of offers and answers begin with.
    pub(crate) fn common_sdp(&self) -> &[u8] {
        &self.offer_sdp.as_bytes()[..self.common_bytes]
    }

    /// An announce with all its offers.
    pub(crate) fn announce(&mut self, hash: &Hash, peer_id: &[u8; 20], first: Offer) -> &[u8] {
        let (hash_at, peer_id_at, places) = &self.announce_at;
        self.announce.put(*hash_at, &hash.text);
        self.announce.put(*peer_id_at, peer_id);
        for (index, &place) in (0..).zip(places) {
            // Their ends are all the same.
            let id = Offer { index, ..first }.id();
            self.announce.put(place, &id[..OFFER_ID_LETTERS]);
        }
        self.announce.bytes()
    }

    /// A first announce, without offers.
    pub(crate) fn join(&mut self, hash: &Hash, peer_id: &[u8; 20]) -> &[u8] {
        self.join.put(self.join_at.0, &hash.text);
        self.join.put(self.join_at.1, peer_id);
        self.join.bytes()
    }

    /// The answer to an offer.
    pub(crate) fn answer(
        &mut self,
        hash: &Hash,
        peer_id: &[u8; 20],
        to_peer_id: &[u8; 20],
        offer: Offer,
    ) -> &[u8] {
        let [hash_at, peer_id_at, to_at, offer_at] = self.answer_at;
        self.answer.put(hash_at, &hash.text);
        self.answer.put(peer_id_at, peer_id);
        self.answer.put(to_at, to_peer_id);
        self.answer.put(offer_at, &offer.id()[..OFFER_ID_LETTERS]);
        self.answer.bytes()
    }

    /// What a responder needs of a frame, which is one of these.
    pub(crate) fn ids(&self, frame: &[u8]) -> Option<Ids> {
        let is = |prepared: &Prepared| frame.len() == prepared.bytes().len();
        if is(&self.join) {
            let (hash, peer_id) = self.join_at;
            return Some(Ids {
                hash: self.join.part(frame, hash),
                peer_id: self.join.part(frame, peer_id),
                sent: Sent::Join,
            });
        }
        if is(&self.announce) {
            let (hash, peer_id, places) = &self.announce_at;
            let offers = places.iter().map(|&place| self.announce.part(frame, place)).collect();
            return Some(Ids {
                hash: self.announce.part(frame, *hash),
                peer_id: self.announce.part(frame, *peer_id),
                sent: Sent::Offers(offers),
            });
        }
        let [hash, peer_id, to_peer_id, offer] = self.answer_at;
        is(&self.answer).then(|| Ids {
            hash: self.answer.part(frame, hash),
            peer_id: self.answer.part(frame, peer_id),
            sent: Sent::Answer(self.answer.part(frame, to_peer_id), self.answer.part(frame, offer)),
        })
    }

    /// Asks for the counts of a torrent.
    pub(crate) fn scrape(&mut self, hash: &Hash) -> &[u8] {
        self.scrape.put(self.scrape_at, &hash.text);
        self.scrape.bytes()
    }
}

/// An offer id in JSON.
pub(crate) type OfferText = [u8; OFFER_ID_TEXT_BYTES];

/// The ids of a message, as text.
pub(crate) struct Ids {
    pub(crate) hash: [u8; HASH_TEXT_BYTES],
    pub(crate) peer_id: [u8; 20],
    pub(crate) sent: Sent,
}

/// What a message is.
pub(crate) enum Sent {
    Join,
    Offers(Vec<OfferText>),
    /// To whom and to which offer.
    Answer([u8; 20], OfferText),
}

/// What a tracker sends, but for the ids.
pub(crate) struct Replies {
    pub(crate) reply: Prepared,
    /// Where the number of peers and the hash stand.
    pub(crate) reply_at: [usize; 2],
    pub(crate) offer: Prepared,
    pub(crate) answer: Prepared,
    /// Where hash, peer id and offer id stand in both.
    pub(crate) relayed_at: [[usize; 3]; 2],
}

/// Digits that a number of peers has room for.
pub(crate) const COUNT_DIGITS: usize = 8;

impl Replies {
    pub(crate) fn new() -> Self {
        let mut text = Text::default();
        text.add("{\"complete\":0,\"incomplete\":");
        let count = text.0.len();
        text.add(&" ".repeat(COUNT_DIGITS));
        text.add(",\"action\":\"announce\",\"interval\":120,\"info_hash\":");
        let hash = text.room(HASH_TEXT_BYTES);
        let reply = Prepared::unmasked(text.add("}").0.as_bytes());
        let relayed = |kind: &str, sdp: &str| {
            let mut text = Text::default();
            text.add("{\"action\":\"announce\",\"").add(kind).add("\":{\"type\":\"").add(kind);
            text.add("\",\"sdp\":\"").add(sdp).add("\"},\"info_hash\":");
            let hash = text.room(HASH_TEXT_BYTES);
            text.add(",\"peer_id\":");
            let peer_id = text.room(20);
            text.add(",\"offer_id\":");
            let offer_id = text.room(OFFER_ID_TEXT_BYTES);
            (Prepared::unmasked(text.add("}").0.as_bytes()), [hash, peer_id, offer_id])
        };
        let (offer, offer_at) = relayed("offer", &sdp("actpass"));
        let (answer, answer_at) = relayed("answer", &sdp("active"));
        Self { reply, reply_at: [count, hash], offer, answer, relayed_at: [offer_at, answer_at] }
    }
}

/// The hash of a torrent, and what it looks like in JSON.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    bytes: [u8; 20],
    text: [u8; HASH_TEXT_BYTES],
}

impl Hash {
    pub(crate) fn of(torrent: u32) -> Self {
        let bytes = ws_info_hash(torrent);
        let mut text = [0; HASH_TEXT_BYTES];
        text.copy_from_slice(json_text(&bytes).as_bytes());
        Self { bytes, text }
    }

    /// Whether the text of a string means this hash.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        text == self.text || json::means(text, &self.bytes)
    }
}

/// How much two texts have in common, up to the end of a line of a description.
fn common_bytes(one: &str, other: &str) -> usize {
    let common = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    one[..common].rfind("\\r\\n").map_or(0, |end| end + 4)
}

fn join() -> (Prepared, (usize, usize)) {
    let mut text = Text::default();
    text.add("{\"numwant\":0");
    let places = announce_head(&mut text);
    text.add(",\"event\":\"started\",\"offers\":[]}");
    (Prepared::new(text.0.as_bytes()), places)
}

fn answer(sdp: &str) -> (Prepared, [usize; 4]) {
    let mut text = Text::default();
    text.add("{\"action\":\"announce\",\"info_hash\":");
    let hash = text.room(HASH_TEXT_BYTES);
    text.add(",\"peer_id\":");
    let peer_id = text.room(20);
    text.add(",\"to_peer_id\":");
    let to_peer_id = text.room(20);
    text.add(",\"answer\":{\"type\":\"answer\",\"sdp\":\"").add(sdp);
    text.add("\"},\"offer_id\":");
    let offer_id = text.room(OFFER_ID_TEXT_BYTES);
    text.add("}");
    (Prepared::new(text.0.as_bytes()), [hash, peer_id, to_peer_id, offer_id])
}

/// The part that all announces have; returns where hash and peer id stand.
fn announce_head(text: &mut Text) -> (usize, usize) {
    text.add(
        ",\"uploaded\":0,\"downloaded\":0,\"left\":1048576,\"action\":\"announce\",\"info_hash\":",
    );
    let hash = text.room(HASH_TEXT_BYTES);
    text.add(",\"peer_id\":");
    (hash, text.room(20))
}

/// Text with room for what differs.
#[derive(Default)]
struct Text(String);

impl Text {
    fn add(&mut self, part: &str) -> &mut Self {
        self.0.push_str(part);
        self
    }

    /// Adds a string of so many bytes and returns where it stands; an offer id has its end already.
    fn room(&mut self, length: usize) -> usize {
        let tail =
            if length == OFFER_ID_TEXT_BYTES { json_text(&OFFER_ID_TAIL) } else { String::new() };
        self.add("\"");
        let at = self.0.len();
        self.add(&"-".repeat(length - tail.len())).add(&tail).add("\"");
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { connection: 0xabc_def, turn: 0x1234, index: 3 };

    /// The text in a prepared frame of less than 64 KiB.
    fn text(frame: &[u8]) -> Vec<u8> {
        let head_bytes = if frame[1] & 0x7f < 126 { 6 } else { 8 };
        let mask = &frame[head_bytes - 4..head_bytes];
        frame[head_bytes..]
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect()
    }

    #[test]
    fn offer_is_found_again_by_its_id() {
        assert_eq!(Offer::from_id(OFFER.id()), Some(OFFER));
        let mut id = OFFER.id();
        id[19] ^= 1;
        assert_eq!(Offer::from_id(id), None);
        id = OFFER.id();
        id[0] = b'q';
        assert_eq!(Offer::from_id(id), None);
    }

    #[test]
    fn no_two_torrents_share_a_hash_and_all_texts_are_as_long() {
        let hashes: std::collections::HashSet<_> = (0..10_000).map(ws_info_hash).collect();
        assert_eq!(hashes.len(), 10_000);
        for torrent in 0..10_000 {
            assert!(Hash::of(torrent).is(json_text(&ws_info_hash(torrent)).as_bytes()));
        }
    }

    #[test]
    fn messages_say_what_was_written_into_them() {
        let mut messages = Messages::new(5);
        let (hash, own, other) = (Hash::of(7), ws_peer_id(1, 2), ws_peer_id(1, 3));
        for (old, torrent) in [(OFFER, 8), (Offer { connection: 5, turn: 6, index: 0 }, 7)] {
            // What was written before leaves no trace.
            messages.announce(&Hash::of(torrent), &other, old);
        }
        let announce = text(messages.announce(&hash, &own, Offer { index: 0, ..OFFER }));
        let read = json::read(&announce, b"-").unwrap();
        assert!(hash.is(read.info_hash) && !Hash::of(8).is(read.info_hash));
        assert_eq!((read.peer_id, read.action), (&own[..], &b"announce"[..]));
        let announce = String::from_utf8(announce).unwrap();
        for index in 0..5 {
            let id = json_text(&Offer { index, ..OFFER }.id());
            assert_eq!(announce.matches(&id).count(), 1);
        }
        let answer = text(messages.answer(&hash, &own, &other, OFFER));
        let read = json::read(&answer, b"-").unwrap();
        assert_eq!(json::bytes(read.offer_id).and_then(Offer::from_id), Some(OFFER));
        assert!(read.has_to_peer_id && hash.is(read.info_hash) && read.peer_id == own);
        assert_eq!(read.answer.unwrap().sdp, messages.answer_sdp.as_bytes());
        let join = text(messages.join(&hash, &own));
        let join = json::read(&join, b"-").unwrap();
        assert!(hash.is(join.info_hash) && join.peer_id == own);
        let scrape = text(messages.scrape(&hash));
        assert!(hash.is(json::read(&scrape, b"-").unwrap().info_hash));
    }
}
