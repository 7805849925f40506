//! What is right and what is wrong in an answer of a tracker.
//!
//! Judges bytes that were received; knows neither sockets nor time.

use std::fmt;
use std::str::FromStr;

use skep_proto::bencode::{self, Value};
use skep_proto::peer_addr::IPV4_BYTES;
use skep_proto::udp::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_ERROR, ACTION_SCRAPE, ANNOUNCE_HEADER_BYTES,
    CONNECT_BYTES, SCRAPE_ENTRY_BYTES, SCRAPE_HEADER_BYTES,
};

use crate::load::population::{Peer, Sources, info_hash};

/// Why an answer is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// Nobody asked with this transaction id, or the answer came twice.
    Transaction,
    /// An answer to something else than what was asked.
    Action,
    /// The tracker refused or reported an error.
    Refused,
    /// A status other than 200, or a head that cannot be read.
    Head,
    /// Not one canonical bencoded dictionary with what belongs in it.
    Bencode,
    /// Too short, or not a whole number of peers.
    Length,
    /// More peers than were wanted.
    TooMany,
    /// The asker itself among the peers.
    Own,
    /// A peer that never announced this torrent.
    Stranger,
    /// A peer twice.
    Duplicate,
    /// More peers counted than ever announced, or no interval.
    Numbers,
    /// A WebSocket frame that no tracker sends.
    Frame,
    /// Not the JSON object that belongs there.
    Json,
    /// An offer or an answer that nobody sent, that came twice, or that was meant for another one.
    Relayed,
    /// Not the description that was sent.
    Description,
    /// A reply to what asks for none.
    Unasked,
}

impl Wrong {
    /// All kinds, in the order in which they are counted.
    pub(crate) const ALL: [Self; 16] = [
        Self::Transaction,
        Self::Action,
        Self::Refused,
        Self::Head,
        Self::Bencode,
        Self::Length,
        Self::TooMany,
        Self::Own,
        Self::Stranger,
        Self::Duplicate,
        Self::Numbers,
        Self::Frame,
        Self::Json,
        Self::Relayed,
        Self::Description,
        Self::Unasked,
    ];
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transaction => "unknown transaction id",
            Self::Action => "wrong action",
            Self::Refused => "refused",
            Self::Head => "bad HTTP head",
            Self::Bencode => "bad bencode",
            Self::Length => "wrong length",
            Self::TooMany => "more peers than wanted",
            Self::Own => "own endpoint among the peers",
            Self::Stranger => "a peer of no such torrent",
            Self::Duplicate => "a peer twice",
            Self::Numbers => "impossible numbers",
            Self::Frame => "bad WebSocket frame",
            Self::Json => "bad JSON",
            Self::Relayed => "an offer or answer that was not sent to this peer",
            Self::Description => "another description than was sent",
            Self::Unasked => "a reply to an answer",
        })
    }
}

/// How closely answers are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// Everything that is known of a right answer.
    Full,
    /// Lengths and kinds only, for a responder that knows no swarms.
    Shape,
}

impl FromStr for Check {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "full" => Ok(Self::Full),
            "shape" => Ok(Self::Shape),
            _ => Err(()),
        }
    }
}

/// A whole answer to an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Announced {
    pub(crate) peers: u64,
    /// What is wrong with its peers although it was as much work as a right answer.
    pub(crate) flaw: Option<Wrong>,
}

/// Judges answers; keeps room to find repeated peers in.
pub(crate) struct Judge {
    pub(crate) check: Check,
    pub(crate) sources: Sources,
    pub(crate) num_want: u32,
    /// Round above, peer below; what is of another round counts as free.
    seen: Box<[u64]>,
    round: u64,
}

/// More peers than any answer has.
const PEERS_MAX: u32 = 16_384;

impl Judge {
    pub(crate) fn new(sources: Sources, num_want: u32, check: Check) -> Self {
        // At most half of it is ever taken, and a power of two divides without dividing.
        let places = (num_want.clamp(32, PEERS_MAX) as usize * 2).next_power_of_two();
        Self { check, sources, num_want, seen: vec![0; places].into(), round: 0 }
    }

    /// Judges packed IPv4 peers.
    fn peers(&mut self, asker: Peer, packed: &[u8]) -> Result<Announced, Wrong> {
        let (peers, rest) = packed.as_chunks::<IPV4_BYTES>();
        if !rest.is_empty() {
            return Err(Wrong::Length);
        }
        if peers.len() > self.num_want.min(PEERS_MAX) as usize {
            return Err(Wrong::TooMany);
        }
        let mut announced = Announced { peers: peers.len() as u64, flaw: None };
        if self.check == Check::Shape {
            return Ok(announced);
        }
        self.round += 1;
        for &endpoint in peers {
            let Some(index) = self.sources.peer_at(asker, endpoint) else {
                return Err(Wrong::Stranger);
            };
            if index == asker.index {
                announced.flaw = Some(Wrong::Own);
            } else if !self.is_new(index) {
                announced.flaw = Some(Wrong::Duplicate);
            }
        }
        Ok(announced)
    }

    fn is_new(&mut self, index: u32) -> bool {
        let mark = self.round << 32 | u64::from(index);
        let last = self.seen.len() - 1;
        let mut at = index as usize & last;
        while self.seen[at] >> 32 == self.round {
            if self.seen[at] == mark {
                return false;
            }
            at = (at + 1) & last;
        }
        self.seen[at] = mark;
        true
    }

    /// Judges a UDP answer to an announce.
    pub(crate) fn udp_announce(&mut self, asker: Peer, answer: &[u8]) -> Result<Announced, Wrong> {
        action(answer, ACTION_ANNOUNCE)?;
        let (head, packed) =
            answer.split_first_chunk::<ANNOUNCE_HEADER_BYTES>().ok_or(Wrong::Length)?;
        let counted = u64::from(word(head, 12)) + u64::from(word(head, 16));
        if word(head, 8) == 0 || !self.is_possible(asker, counted) {
            return Err(Wrong::Numbers);
        }
        self.peers(asker, packed)
    }

    fn is_possible(&self, asker: Peer, counted: u64) -> bool {
        self.check == Check::Shape || counted <= u64::from(asker.size)
    }

    /// Judges the body of an HTTP answer to an announce.
    pub(crate) fn http_announce(&mut self, asker: Peer, body: &[u8]) -> Result<Announced, Wrong> {
        let (body, flaw) = read_body(body)?;
        let number = |key: &[u8]| body.get(key).and_then(Value::as_integer);
        let keys = [&b"interval"[..], b"complete", b"incomplete"];
        let [Some(interval), Some(seeders), Some(leechers)] = keys.map(number) else {
            return Err(Wrong::Bencode);
        };
        let counted = u64::try_from(seeders.saturating_add(leechers));
        if interval <= 0 || !counted.is_ok_and(|counted| self.is_possible(asker, counted)) {
            return Err(Wrong::Numbers);
        }
        let peers = body.get(b"peers").and_then(Value::as_bytes);
        let announced = self.peers(asker, peers.ok_or(Wrong::Bencode)?)?;
        Ok(Announced { flaw: announced.flaw.or(flaw), ..announced })
    }

    /// Judges the body of an HTTP answer to a scrape of one torrent and returns its flaw, if any.
    pub(crate) fn http_scrape(&self, asker: Peer, body: &[u8]) -> Result<Option<Wrong>, Wrong> {
        let (body, flaw) = read_body(body)?;
        let files = body.get(b"files").ok_or(Wrong::Bencode)?;
        if self.check == Check::Shape {
            return Ok(flaw);
        }
        let entry = files.get(&info_hash(asker.torrent)).ok_or(Wrong::Bencode)?;
        let number = |key: &[u8]| entry.get(key).and_then(Value::as_integer);
        let keys = [&b"complete"[..], b"downloaded", b"incomplete"];
        let [Some(seeders), Some(_), Some(leechers)] = keys.map(number) else {
            return Err(Wrong::Bencode);
        };
        match u64::try_from(seeders.saturating_add(leechers)) {
            Ok(counted) if self.is_possible(asker, counted) => Ok(flaw),
            _ => Err(Wrong::Numbers),
        }
    }
}

/// Reads a body that is no refusal; a line end behind the dictionary is only a flaw.
fn read_body(body: &[u8]) -> Result<(Value<'_>, Option<Wrong>), Wrong> {
    let (dictionary, flaw) = match body.strip_suffix(b"\r\n") {
        Some(dictionary) => (dictionary, Some(Wrong::Bencode)),
        None => (body, None),
    };
    let body = bencode::read(dictionary).map_err(|_| Wrong::Bencode)?;
    if body.get(b"failure reason").is_some() {
        return Err(Wrong::Refused);
    }
    Ok((body, flaw))
}

/// Judges a UDP answer to a connect and returns the connection id.
pub(crate) fn udp_connect(answer: &[u8]) -> Result<[u8; 8], Wrong> {
    action(answer, ACTION_CONNECT)?;
    match answer.as_array::<CONNECT_BYTES>() {
        Some([_, _, _, _, _, _, _, _, id @ ..]) => Ok(*id),
        None => Err(Wrong::Length),
    }
}

/// Judges a UDP answer to a scrape of one torrent.
pub(crate) fn udp_scrape(asker: Peer, answer: &[u8], check: Check) -> Result<(), Wrong> {
    action(answer, ACTION_SCRAPE)?;
    if answer.len() != SCRAPE_HEADER_BYTES + SCRAPE_ENTRY_BYTES {
        return Err(Wrong::Length);
    }
    let counted = u64::from(word(answer, 8)) + u64::from(word(answer, 16));
    if check == Check::Full && counted > u64::from(asker.size) {
        return Err(Wrong::Numbers);
    }
    Ok(())
}

fn action(answer: &[u8], expected: u32) -> Result<(), Wrong> {
    match word(answer, 0) {
        found if found == expected => Ok(()),
        ACTION_ERROR => Err(Wrong::Refused),
        _ => Err(Wrong::Action),
    }
}

/// The big-endian word at a place that must be there.
fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use skep_proto::TransactionId;
    use skep_proto::peer_addr::pack_ipv4;
    use skep_proto::udp::{write_announce_header, write_error};

    use super::*;

    const ASKER: Peer = Peer { torrent: 5, index: 1, size: 4 };

    fn judge() -> Judge {
        Judge::new(Sources::new(2).unwrap(), 3, Check::Full)
    }

    fn good(peers: u64) -> Result<Announced, Wrong> {
        Ok(Announced { peers, flaw: None })
    }

    fn flawed(peers: u64, flaw: Wrong) -> Result<Announced, Wrong> {
        Ok(Announced { peers, flaw: Some(flaw) })
    }

    fn endpoint(index: u32) -> [u8; 6] {
        let sources = Sources::new(2).unwrap();
        let peer = Peer { index, ..ASKER };
        pack_ipv4(Sources::address(sources.of(peer)), sources.port(peer))
    }

    fn announce(peers: &[[u8; 6]]) -> Vec<u8> {
        let mut answer = vec![0; ANNOUNCE_HEADER_BYTES];
        let _ = write_announce_header(&mut answer, TransactionId([0; 4]), 1800, 3, 1);
        answer.extend(peers.as_flattened());
        answer
    }

    #[test]
    fn good_announce_counts_its_peers() {
        let answer = announce(&[endpoint(0), endpoint(2), endpoint(3)]);
        let mut judge = judge();
        for _ in 0..3 {
            assert_eq!(judge.udp_announce(ASKER, &answer), good(3));
        }
    }

    #[test]
    fn each_fault_of_an_announce_is_named() {
        let mut judge = judge();
        let mut of = |peers: &[[u8; 6]]| judge.udp_announce(ASKER, &announce(peers));
        assert_eq!(of(&[endpoint(0), endpoint(1)]), flawed(2, Wrong::Own));
        assert_eq!(of(&[endpoint(4)]), Err(Wrong::Stranger));
        assert_eq!(of(&[endpoint(2), endpoint(2)]), flawed(2, Wrong::Duplicate));
        assert_eq!(of(&[endpoint(0); 4]), Err(Wrong::TooMany));
        let mut answer = announce(&[endpoint(0)]);
        answer.pop();
        assert_eq!(judge.udp_announce(ASKER, &answer), Err(Wrong::Length));
        let few = Peer { size: 3, ..ASKER };
        assert_eq!(judge.udp_announce(few, &announce(&[])), Err(Wrong::Numbers));
        let mut refusal = [0; 64];
        let length = write_error(&mut refusal, TransactionId([0; 4]), "no");
        let refused = judge.udp_announce(ASKER, &refusal[..length]);
        assert_eq!(refused, Err(Wrong::Refused));
        assert_eq!(judge.udp_announce(ASKER, &[0; 16]), Err(Wrong::Action));
    }

    #[test]
    fn http_body_must_be_canonical_and_possible() {
        let mut judge = judge();
        let mut of = |interval: &str, peers: &[u8]| {
            let head = format!("d8:completei1e10:incompletei2e8:intervali{interval}e5:peers");
            let length = format!("{}:", peers.len());
            let body = [head.as_bytes(), length.as_bytes(), peers, b"e"].concat();
            judge.http_announce(ASKER, &body)
        };
        assert_eq!(of("1800", &endpoint(0)), good(1));
        assert_eq!(of("0", &endpoint(0)), Err(Wrong::Numbers));
        assert_eq!(of("01", &endpoint(0)), Err(Wrong::Bencode));
        assert_eq!(of("1800", &endpoint(0)[1..]), Err(Wrong::Length));
        assert_eq!(of("1800", &endpoint(1)), flawed(1, Wrong::Own));
        let refusal = b"d14:failure reason2:noe";
        assert_eq!(judge.http_announce(ASKER, refusal), Err(Wrong::Refused));
    }

    #[test]
    fn connect_and_scrape_must_have_their_lengths() {
        assert_eq!(udp_connect(&[0; 16]), Ok([0; 8]));
        assert_eq!(udp_connect(&[0; 17]), Err(Wrong::Length));
        let mut scrape = [0; 20];
        scrape[3] = 2;
        assert_eq!(udp_scrape(ASKER, &scrape, Check::Full), Ok(()));
        assert_eq!(udp_scrape(ASKER, &scrape[..19], Check::Full), Err(Wrong::Length));
        scrape[19] = 9;
        assert_eq!(udp_scrape(ASKER, &scrape, Check::Full), Err(Wrong::Numbers));
        assert_eq!(udp_scrape(ASKER, &scrape, Check::Shape), Ok(()));
    }

    #[test]
    fn responder_without_swarms_is_held_to_lengths_only() {
        let mut judge = Judge::new(Sources::new(2).unwrap(), 3, Check::Shape);
        assert_eq!(judge.udp_announce(ASKER, &announce(&[[9; 6], [9; 6]])), good(2));
        let too_many = judge.udp_announce(ASKER, &announce(&[[9; 6]; 4]));
        assert_eq!(too_many, Err(Wrong::TooMany));
    }

    #[test]
    fn http_scrape_must_tell_of_the_torrent_that_was_asked_for() {
        let body = |torrent: u32, leechers: u32| {
            let mut body = b"d5:filesd20:".to_vec();
            body.extend(info_hash(torrent));
            let counts = format!("d8:completei0e10:downloadedi0e10:incompletei{leechers}eeee");
            body.extend(counts.as_bytes());
            body
        };
        let judge = judge();
        assert_eq!(judge.http_scrape(ASKER, &body(5, 4)), Ok(None));
        let line = [body(5, 4), b"\r\n".to_vec()].concat();
        assert_eq!(judge.http_scrape(ASKER, &line), Ok(Some(Wrong::Bencode)));
        assert_eq!(judge.http_scrape(ASKER, &body(5, 5)), Err(Wrong::Numbers));
        assert_eq!(judge.http_scrape(ASKER, &body(6, 4)), Err(Wrong::Bencode));
    }
}
