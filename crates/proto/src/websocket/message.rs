//! What a client says in one message: an announce, an answer to an offer, or a scrape.
//!
//! Nothing is decided here. Which offers go to whom, and whether an answer was asked for, is not
//! known; session descriptions are not looked into.

use core::fmt;

use super::close_code;
use super::json::{Malformed, Scanner, Text, Value, WORD_BYTES_MAX};
use crate::announce::uncounted;
use crate::{
    AnnounceEvent, AnnounceRequest, DecodeError, InfoHash, NumWant, OfferId, PeerId, PeerKey,
    left_from_wire,
};

/// Most offers of one announce that are looked at, whatever the limits allow.
pub const OFFERS_MAX: usize = 20;

/// How much of a message counts; what is beyond is passed over in silence.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Offers of one announce, at most [`OFFERS_MAX`].
    pub offers_max: usize,
    /// Torrents of one scrape.
    pub scrape_info_hashes_max: usize,
}

/// What a client may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Announces and answers.
    Announce,
    /// Counts of torrents.
    Scrape,
}

impl Action {
    /// The word on the wire.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Scrape => "scrape",
        }
    }
}

/// One message.
#[expect(clippy::large_enum_variant, reason = "made once for each message, and never kept")]
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// A client tells of itself and offers connections.
    Announce(Announce<'a>),
    /// A client answers the offer of another.
    Answer(Answer<'a>),
    /// A client asks for counts.
    Scrape(Scrape<'a>),
}

/// An announce.
#[derive(Clone, Copy, Debug)]
pub struct Announce<'a> {
    /// What it says of the client; the port is always 0.
    pub request: AnnounceRequest,
    /// What is wrong with it where traffic is counted: the first of `left`, `uploaded` and
    /// `downloaded` that it does not tell. A `left` of null is told: browsers do not know it before
    /// they have the metadata.
    pub uncounted: Option<DecodeError>,
    /// The connections that it offers to others.
    pub offers: Offers<'a>,
}

/// The good offers of an announce, in order.
#[derive(Clone, Copy)]
pub struct Offers<'a> {
    list: [Offer<'a>; OFFERS_MAX],
    count: usize,
}

/// A session description that another client may answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer<'a> {
    /// What the client calls it.
    pub offer_id: OfferId,
    /// The text between the quotes of the JSON string, escapes and all.
    pub sdp: &'a str,
}

/// The answer to an offer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who answers.
    pub peer_id: PeerId,
    /// Who made the offer.
    pub to_peer_id: PeerId,
    /// The offer.
    pub offer_id: OfferId,
    /// The text between the quotes of the JSON string, escapes and all.
    pub sdp: &'a str,
}

/// The torrents that a scrape asks for.
#[derive(Clone, Debug)]
pub enum Scrape<'a> {
    /// None is named: all of them.
    All,
    /// These, perhaps none and perhaps some twice.
    Torrents(InfoHashes<'a>),
}

/// A message that gets no answer but a failure or a close frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageError {
    /// What the client wanted, if that much was understood.
    pub action: Option<Action>,
    /// The torrent, if that much was understood.
    pub info_hash: Option<InfoHash>,
    /// What is wrong.
    pub kind: DecodeError,
}

impl MessageError {
    /// The action of the failure to send, or nothing when clients could not tell what failed.
    #[must_use]
    pub const fn sendable(self) -> Option<Action> {
        match (self.action, self.info_hash) {
            // Clients close the connection themselves on an announce without `info_hash`.
            (Some(Action::Announce), None) => None,
            (action, _) => action,
        }
    }

    /// The code for the close frame when no failure can be sent.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self.kind {
            DecodeError::InvalidJson => close_code::UNSUPPORTED_DATA,
            _ => close_code::POLICY_VIOLATION,
        }
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl core::error::Error for MessageError {}

impl<'a> Offers<'a> {
    const NONE: Self =
        Self { list: [Offer { offer_id: OfferId([0; 20]), sdp: "" }; OFFERS_MAX], count: 0 };

    /// Reads `offers` instead of those that are there.
    fn read(&mut self, scanner: &mut Scanner<'a>, max: usize) -> Result<(), Malformed> {
        self.count = 0;
        if scanner.peek() != Some(b'[') {
            return scanner.value().map(drop);
        }
        scanner.array(|scanner| {
            if let Some(offer) = read_offer(scanner)?
                && self.count < max
            {
                self.list[self.count] = offer;
                self.count += 1;
            }
            Ok(())
        })
    }

    /// The offers.
    #[must_use]
    pub fn as_slice(&self) -> &[Offer<'a>] {
        &self.list[..self.count]
    }
}

impl fmt::Debug for Offers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// The torrents of a scrape, each decoded when it is asked for.
#[derive(Clone, Debug)]
pub struct InfoHashes<'a> {
    /// The only one, when it does not stand in an array.
    alone: Option<InfoHash>,
    array: Scanner<'a>,
    left: usize,
}

impl Iterator for InfoHashes<'_> {
    type Item = InfoHash;

    fn next(&mut self) -> Option<InfoHash> {
        if let Some(alone) = self.alone.take() {
            return Some(alone);
        }
        self.left = self.left.checked_sub(1)?;
        twenty_bytes(self.array.next_element()).good().map(InfoHash)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.left + usize::from(self.alone.is_some());
        (len, Some(len))
    }
}

impl ExactSizeIterator for InfoHashes<'_> {}

/// Reads a message.
///
/// # Cost
/// No allocation; one pass over the text.
/// # Errors
/// The first thing that is wrong; [`MessageError::sendable`] says what can be done about it.
/// # Source
/// The WebTorrent tracker protocol; JSON of RFC 8259, nested at most 16 deep. The last of two members
/// with the same key counts, unknown ones mean nothing.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Result<Request<'a>, MessageError> {
    let mut fields = Fields::NONE;
    if fields.read(text, limits.offers_max.min(OFFERS_MAX)) == Err(Malformed) {
        let kind = DecodeError::InvalidJson;
        return Err(MessageError { action: None, info_hash: None, kind });
    }
    let info_hash = twenty_bytes(fields.info_hash);
    let fail = |kind| MessageError {
        action: fields.action,
        info_hash: info_hash.good().map(InfoHash),
        kind,
    };
    match fields.action {
        None => Err(fail(DecodeError::UnknownAction)),
        Some(Action::Scrape) => {
            fields.scrape(limits.scrape_info_hashes_max).map(Request::Scrape).map_err(fail)
        }
        Some(Action::Announce) if fields.answer.is_some() => {
            fields.answer().map(Request::Answer).map_err(fail)
        }
        Some(Action::Announce) => fields.announce().map(Request::Announce).map_err(fail),
    }
}

/// A binary string of 20 bytes, which may be missing or wrong.
#[derive(Clone, Copy)]
enum Twenty {
    Missing,
    Wrong,
    Good([u8; 20]),
}

impl Twenty {
    const fn good(self) -> Option<[u8; 20]> {
        match self {
            Self::Good(bytes) => Some(bytes),
            Self::Missing | Self::Wrong => None,
        }
    }

    const fn require(
        self,
        missing: DecodeError,
        wrong: DecodeError,
    ) -> Result<[u8; 20], DecodeError> {
        match self {
            Self::Good(bytes) => Ok(bytes),
            Self::Wrong => Err(wrong),
            Self::Missing => Err(missing),
        }
    }
}

fn twenty_bytes(value: Option<Value<'_>>) -> Twenty {
    match value {
        None | Some(Value::Null) => Twenty::Missing,
        Some(Value::Text(text)) => text.twenty_bytes().map_or(Twenty::Wrong, Twenty::Good),
        Some(_) => Twenty::Wrong,
    }
}

/// The members of a message, whatever kind it is.
struct Fields<'a> {
    action: Option<Action>,
    info_hash: Option<Value<'a>>,
    peer_id: Option<Value<'a>>,
    to_peer_id: Option<Value<'a>>,
    offer_id: Option<Value<'a>>,
    uploaded_bytes: Option<u64>,
    downloaded_bytes: Option<u64>,
    has_left: bool,
    left_bytes: Option<u64>,
    event: AnnounceEvent,
    num_want: NumWant,
    /// Present when the message is an answer, with its session description if it has a good one.
    answer: Option<Option<&'a str>>,
    offers: Offers<'a>,
}

impl<'a> Fields<'a> {
    const NONE: Self = Self {
        action: None,
        info_hash: None,
        peer_id: None,
        to_peer_id: None,
        offer_id: None,
        uploaded_bytes: None,
        downloaded_bytes: None,
        has_left: false,
        left_bytes: None,
        event: AnnounceEvent::None,
        num_want: NumWant::Default,
        answer: None,
        offers: Offers::NONE,
    };

    fn read(&mut self, text: &'a str, offers_max: usize) -> Result<(), Malformed> {
        let mut scanner = Scanner::new(text);
        scanner.object(|scanner, key| self.member(scanner, key, offers_max))?;
        scanner.end()
    }

    fn member(
        &mut self,
        scanner: &mut Scanner<'a>,
        key: Text<'a>,
        offers_max: usize,
    ) -> Result<(), Malformed> {
        match key.word(&mut [0; WORD_BYTES_MAX]) {
            b"action" => self.action = read_action(scanner.value()?),
            b"info_hash" => self.info_hash = Some(scanner.value()?),
            b"peer_id" => self.peer_id = Some(scanner.value()?),
            b"to_peer_id" => self.to_peer_id = Some(scanner.value()?),
            b"offer_id" => self.offer_id = Some(scanner.value()?),
            b"uploaded" => self.uploaded_bytes = read_uint(scanner.value()?),
            b"downloaded" => self.downloaded_bytes = read_uint(scanner.value()?),
            b"left" => {
                let left = read_uint(scanner.value()?).and_then(left_from_wire);
                (self.has_left, self.left_bytes) = (true, left);
            }
            b"event" => self.event = read_event(scanner.value()?),
            b"numwant" => self.num_want = read_num_want(scanner.value()?),
            b"answer" => self.answer = read_answer(scanner)?,
            b"offers" => self.offers.read(scanner, offers_max)?,
            _ => drop(scanner.value()?),
        }
        Ok(())
    }

    fn torrent(&self) -> Result<InfoHash, DecodeError> {
        twenty_bytes(self.info_hash)
            .require(DecodeError::MissingInfoHash, DecodeError::InvalidInfoHash)
            .map(InfoHash)
    }

    fn sender(&self) -> Result<PeerId, DecodeError> {
        twenty_bytes(self.peer_id)
            .require(DecodeError::MissingPeerId, DecodeError::InvalidPeerId)
            .map(PeerId)
    }

    fn announce(&self) -> Result<Announce<'a>, DecodeError> {
        let request = AnnounceRequest {
            info_hash: self.torrent()?,
            peer_id: self.sender()?,
            port: 0,
            uploaded_bytes: self.uploaded_bytes.unwrap_or(0),
            downloaded_bytes: self.downloaded_bytes.unwrap_or(0),
            left_bytes: self.left_bytes,
            event: self.event,
            num_want: self.num_want,
            peer_key: PeerKey::default(),
        };
        let uncounted = uncounted(self.has_left, self.uploaded_bytes, self.downloaded_bytes);
        Ok(Announce { request, uncounted, offers: self.offers })
    }

    fn answer(&self) -> Result<Answer<'a>, DecodeError> {
        let info_hash = self.torrent()?;
        let peer_id = self.sender()?;
        let to_peer_id = twenty_bytes(self.to_peer_id).good();
        let offer_id = twenty_bytes(self.offer_id).good();
        Ok(Answer {
            info_hash,
            peer_id,
            to_peer_id: to_peer_id.map(PeerId).ok_or(DecodeError::InvalidToPeerId)?,
            offer_id: offer_id.map(OfferId).ok_or(DecodeError::InvalidOfferId)?,
            sdp: self.answer.flatten().ok_or(DecodeError::InvalidAnswer)?,
        })
    }

    fn scrape(&self, max: usize) -> Result<Scrape<'a>, DecodeError> {
        let Some(Value::Array(text)) = self.info_hash else {
            return match twenty_bytes(self.info_hash) {
                Twenty::Missing => Ok(Scrape::All),
                Twenty::Wrong => Err(DecodeError::InvalidInfoHash),
                Twenty::Good(bytes) => Ok(Scrape::Torrents(InfoHashes {
                    alone: Some(InfoHash(bytes)).filter(|_| max > 0),
                    array: Scanner::new(""),
                    left: 0,
                })),
            };
        };
        let array = Scanner::new(text);
        let mut left = 0;
        let mut elements = array.clone();
        while let Some(element) = elements.next_element() {
            twenty_bytes(Some(element)).good().ok_or(DecodeError::InvalidInfoHash)?;
            left += 1;
        }
        Ok(Scrape::Torrents(InfoHashes { alone: None, array, left: left.min(max) }))
    }
}

fn read_action(value: Value<'_>) -> Option<Action> {
    let Value::Text(text) = value else {
        return None;
    };
    match text.word(&mut [0; WORD_BYTES_MAX]) {
        b"announce" => Some(Action::Announce),
        b"scrape" => Some(Action::Scrape),
        _ => None,
    }
}

fn read_event(value: Value<'_>) -> AnnounceEvent {
    let Value::Text(text) = value else {
        return AnnounceEvent::None;
    };
    match text.word(&mut [0; WORD_BYTES_MAX]) {
        b"started" => AnnounceEvent::Started,
        b"completed" => AnnounceEvent::Completed,
        b"stopped" => AnnounceEvent::Stopped,
        b"paused" => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

/// Reads a whole number that is not negative and fits; any other value is as good as none.
fn read_uint(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}

fn read_num_want(value: Value<'_>) -> NumWant {
    let Value::Number(text) = value else {
        return NumWant::Default;
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true if digits.len() < text.len() => NumWant::Count(0),
        true => NumWant::Count(text.parse().unwrap_or(u32::MAX)),
        false => NumWant::Default,
    }
}

/// Reads `answer`, which makes the message an answer if JavaScript takes it for true.
fn read_answer<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Option<&'a str>>, Malformed> {
    if scanner.peek() == Some(b'{') {
        return read_description(scanner, b"answer").map(Some);
    }
    let is_true = match scanner.value()? {
        Value::Null | Value::False => false,
        Value::Number(text) => {
            let digits = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
            !{ digits }.all(|byte| matches!(byte, b'-' | b'0' | b'.'))
        }
        Value::Text(text) => !text.raw.is_empty(),
        Value::True | Value::Array(_) | Value::Object => true,
    };
    Ok(is_true.then_some(None))
}

/// Reads one element of `offers`, or nothing if it is no offer.
fn read_offer<'a>(scanner: &mut Scanner<'a>) -> Result<Option<Offer<'a>>, Malformed> {
    if scanner.peek() != Some(b'{') {
        return scanner.value().map(|_| None);
    }
    let (mut offer_id, mut sdp) = (None, None);
    scanner.object(|scanner, key| {
        match key.word(&mut [0; WORD_BYTES_MAX]) {
            b"offer_id" => offer_id = twenty_bytes(Some(scanner.value()?)).good(),
            b"offer" => sdp = read_description(scanner, b"offer")?,
            _ => drop(scanner.value()?),
        }
        Ok(())
    })?;
    Ok(offer_id.zip(sdp).map(|(id, sdp)| Offer { offer_id: OfferId(id), sdp }))
}

/// Reads a session description of this kind, or nothing if it is none.
fn read_description<'a>(
    scanner: &mut Scanner<'a>,
    kind: &[u8],
) -> Result<Option<&'a str>, Malformed> {
    if scanner.peek() != Some(b'{') {
        return scanner.value().map(|_| None);
    }
    let (mut sdp, mut is_kind) = (None, false);
    scanner.object(|scanner, key| {
        match key.word(&mut [0; WORD_BYTES_MAX]) {
            b"sdp" => {
                sdp = match scanner.value()? {
                    Value::Text(text) => Some(text.raw),
                    _ => None,
                };
            }
            b"type" => {
                is_kind = match scanner.value()? {
                    Value::Text(text) => text.word(&mut [0; WORD_BYTES_MAX]) == kind,
                    _ => false,
                };
            }
            _ => drop(scanner.value()?),
        }
        Ok(())
    })?;
    Ok(sdp.filter(|_| is_kind))
}
