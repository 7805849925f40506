//! One WebSocket connection: which peers it owns, which offers it was handed, how much it may send.
//!
//! Messages are read and written elsewhere, and swarms are asked elsewhere. An answer passes only
//! where an offer went before, and only once: otherwise anybody could send session descriptions to
//! anybody whose peer id is known.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use skep_proto::http::Passkey;
use skep_proto::{AnnounceEvent, AnnounceRequest, DecodeError, InfoHash, NumWant, OfferId, PeerId};

use super::Policy;
use crate::counters::TrafficCounters;
use crate::gate::{Reason, Refusal};
use crate::ledger::{TorrentId, UserId};
use crate::site::Member;
use crate::swarm::{Announce, Announced, Connection};
use crate::time::Tick;

/// Seconds for which an offer may be answered. Browsers give their own offers up after 50.
const OFFER_TTL_SECS: u32 = 120;

/// Offers that wait for an answer of one connection; when there are so many, the oldest of the same
/// peer makes room, or else the oldest of all.
const OFFERS_WAITING_MAX: usize = 256;

/// Seconds without a message after which a connection is closed, at the least.
const IDLE_SECS_MIN: u32 = 180;

/// How many seconds' worth of messages may come at once.
const BURST_SECS: u32 = 4;

/// What browsers may do.
#[derive(Clone, Debug)]
pub struct WebsocketSettings {
    /// Whether they are served.
    pub enabled: bool,
    /// Seconds between two announces.
    pub interval_secs: u32,
    /// Offers of one announce that are passed on.
    pub offers_max: u32,
    /// Longest message in bytes.
    pub message_bytes_max: usize,
    /// Messages a second of one connection in the long run; 0 for no limit.
    pub messages_per_sec_max: u32,
    /// Torrents of one connection.
    pub torrents_max: usize,
    /// Seconds of silence after which a browser is asked whether it is there.
    pub ping_interval_secs: u32,
    /// Bytes that may wait for one connection.
    pub send_queue_bytes_max: usize,
}

impl Default for WebsocketSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_secs: 120,
            offers_max: 20,
            message_bytes_max: 128 * 1024,
            messages_per_sec_max: 50,
            torrents_max: 2000,
            ping_interval_secs: 30,
            send_queue_bytes_max: 1 << 20,
        }
    }
}

/// Why a message of a browser is not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WebsocketRefusal<'a> {
    /// It does not tell what a user's traffic cannot be counted without.
    Broken(DecodeError),
    /// A rule says no.
    Refused(Refusal<'a>),
    /// The connection announced this torrent under another peer id and did not stop that one.
    SecondPeerId,
    /// Another connection, from another address, is this peer.
    PeerIdInUse,
    /// The connection has as many torrents as it may.
    TooManyTorrents,
}

impl<'a> WebsocketRefusal<'a> {
    /// Names for a metric label of those that are neither errors of decoding nor refusals of gates.
    pub const LABELS: [&'static str; 3] = ["second_peer_id", "peer_id_in_use", "too_many_torrents"];

    /// The text that the client gets.
    #[must_use]
    pub const fn text(self) -> &'a str {
        match self {
            Self::Broken(error) => error.text(),
            Self::Refused(refusal) => refusal.text(),
            Self::SecondPeerId => "only one peer_id per torrent",
            Self::PeerIdInUse => "peer_id already in use",
            Self::TooManyTorrents => "too many torrents on one connection",
        }
    }

    /// Counts the refusal where it belongs.
    pub fn count(&self, counters: &TrafficCounters) {
        match self {
            Self::Broken(error) => counters.decode_errors[error.index()].add(1),
            Self::Refused(refusal) => counters.refusals[refusal.index()].add(1),
            Self::SecondPeerId => counters.websocket_refusals[0].add(1),
            Self::PeerIdInUse => counters.websocket_refusals[1].add(1),
            Self::TooManyTorrents => counters.websocket_refusals[2].add(1),
        }
    }
}

/// An announce to carry out.
#[derive(Clone, Copy, Debug)]
pub struct WebsocketAnnounce {
    /// For the swarm.
    pub announce: Announce,
    /// For the accounts, where users are known.
    pub member: Option<Member>,
    /// For how many offers a receiver is wanted.
    pub offers: usize,
}

/// A peer that a connection announced and did not stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owned {
    /// The torrent.
    pub info_hash: InfoHash,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// Whose it is by the site's books, where users are known.
    pub account: Option<(TorrentId, UserId)>,
}

/// An offer on its way: who made it, for which torrent, and how it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offered {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who made the offer and waits for an answer.
    pub peer_id: PeerId,
    /// What the offering client calls it.
    pub offer_id: OfferId,
}

/// What a connection proves itself with, if it does: the passkey of its URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credential(Option<Box<[u8]>>);

impl Credential {
    /// Keeps a passkey.
    #[must_use]
    pub fn new(passkey: Option<Passkey<'_>>) -> Self {
        Self(passkey.map(|passkey| passkey.as_bytes().into()))
    }

    fn passkey(&self) -> Option<Passkey<'_>> {
        Passkey::new(self.0.as_deref()?)
    }
}

impl fmt::Debug for Credential {
    /// Shows nothing, since passkeys must reach no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// What the tracker remembers of one WebSocket connection.
#[derive(Debug)]
pub struct WebsocketSession {
    source: IpAddr,
    credential: Credential,
    connection: Connection,
    /// Sorted by info hash.
    torrents: Vec<Owned>,
    /// Oldest first.
    offers: Vec<(Tick, Offered)>,
    /// Messages that may still come at once.
    messages_left: u32,
    filled: Tick,
    /// When the last message came that made sense.
    heard: Tick,
    /// The longest interval that the client was told.
    interval_secs: u32,
}

impl WebsocketSession {
    /// Begins with a client at `source`, which other parts know as `connection`.
    #[must_use]
    pub const fn new(
        source: IpAddr,
        credential: Credential,
        connection: Connection,
        now: Tick,
    ) -> Self {
        Self {
            source,
            credential,
            connection,
            torrents: Vec::new(),
            offers: Vec::new(),
            messages_left: u32::MAX,
            filled: now,
            heard: now,
            interval_secs: 0,
        }
    }

    /// Where the client is.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// How other parts know the connection.
    #[must_use]
    pub const fn connection(&self) -> Connection {
        self.connection
    }

    /// Takes notice of a message; `false` if it is one too many.
    pub fn takes_message(&mut self, settings: &WebsocketSettings, now: Tick) -> bool {
        let rate = settings.messages_per_sec_max;
        if rate == 0 {
            return true;
        }
        let elapsed = now.0.saturating_sub(self.filled.0);
        let filled = self.messages_left.saturating_add(rate.saturating_mul(elapsed));
        self.messages_left = filled.min(rate.saturating_mul(BURST_SECS));
        self.filled = now;
        let takes = self.messages_left > 0;
        self.messages_left -= u32::from(takes);
        takes
    }

    /// Takes notice of a message that made sense.
    pub const fn heard(&mut self, now: Tick) {
        self.heard = now;
    }

    /// Whether nothing that makes sense was heard for so long that the client must be gone.
    #[must_use]
    pub fn is_idle(&self, settings: &WebsocketSettings, now: Tick) -> bool {
        let interval = self.interval_secs.max(settings.interval_secs);
        now.0.saturating_sub(self.heard.0) > interval.saturating_mul(2).max(IDLE_SECS_MIN)
    }

    /// Decides about an announce that brings so many offers. `uncounted` is what is wrong with it if
    /// traffic is counted, and `reason` is room for what a refusal says.
    ///
    /// # Errors
    /// The first rule that says no.
    pub fn announce<'p>(
        &self,
        policy: &'p Policy,
        request: AnnounceRequest,
        uncounted: Option<DecodeError>,
        offers: usize,
        reason: &'p mut Reason,
    ) -> Result<WebsocketAnnounce, WebsocketRefusal<'p>> {
        let mut announce = policy.answers.announce(request, self.source, None);
        announce.listed = true;
        announce.connection = Some(self.connection);
        let passkey = self.credential.passkey();
        let member =
            policy.rules.admit(&announce, passkey, reason).map_err(WebsocketRefusal::Refused)?;
        if let (Some(_), Some(error)) = (member, uncounted) {
            return Err(WebsocketRefusal::Broken(error));
        }
        let own_gates = &policy.own_gates;
        own_gates.admit(&announce, member.as_ref()).map_err(WebsocketRefusal::Refused)?;
        let stopped = request.event == AnnounceEvent::Stopped;
        match self.place(&request.info_hash) {
            Ok(place) if self.torrents[place].peer_id != request.peer_id => {
                return Err(WebsocketRefusal::SecondPeerId);
            }
            Err(_) if !stopped && self.torrents.len() >= policy.websocket.torrents_max => {
                return Err(WebsocketRefusal::TooManyTorrents);
            }
            _ => {}
        }
        let wanted = match request.num_want {
            _ if stopped => 0,
            NumWant::Default => offers,
            NumWant::Count(count) => offers.min(count as usize),
        };
        let offers = wanted.min(policy.websocket.offers_max as usize);
        Ok(WebsocketAnnounce { announce, member, offers })
    }

    /// Whether the connection may scrape; leaves out the torrents that its passkey does not hold for.
    ///
    /// # Errors
    /// If users are known and this is none.
    pub fn admit_scrape(
        &self,
        policy: &Policy,
        info_hashes: &mut Vec<InfoHash>,
    ) -> Result<(), WebsocketRefusal<'static>> {
        let (rules, passkey) = (&policy.rules, self.credential.passkey());
        rules.admit_scrape(passkey, info_hashes.first()).map_err(WebsocketRefusal::Refused)?;
        rules.retain_admitted(passkey, info_hashes);
        Ok(())
    }

    /// Takes notice of what the swarm said to an announce, and of the interval that is told.
    ///
    /// # Errors
    /// If the peer belongs to somebody else.
    pub fn announced(
        &mut self,
        WebsocketAnnounce { announce, member, .. }: &WebsocketAnnounce,
        announced: &Announced,
        interval_secs: u32,
    ) -> Result<(), WebsocketRefusal<'static>> {
        let AnnounceRequest { info_hash, peer_id, event, .. } = announce.request;
        let account = member.map(|member| (member.torrent, member.user));
        if announced.peer_id_in_use {
            // It may have been this connection's before it fell silent.
            if let Ok(place) = self.place(&info_hash) {
                self.torrents.remove(place);
            }
            return Err(WebsocketRefusal::PeerIdInUse);
        }
        self.interval_secs = self.interval_secs.max(interval_secs);
        let gone = event == AnnounceEvent::Stopped || announced.not_stored;
        match (self.place(&info_hash), gone) {
            (Ok(place), true) => {
                self.torrents.remove(place);
            }
            (Ok(place), false) => self.torrents[place].account = account,
            (Err(place), false) => {
                self.torrents.insert(place, Owned { info_hash, peer_id, account });
            }
            (Err(_), true) => {}
        }
        Ok(())
    }

    /// Notes an offer that is sent to this connection, so that it may answer.
    pub fn offer(&mut self, offered: Offered, now: Tick) {
        self.forget_old_offers(now);
        if self.offers.len() == OFFERS_WAITING_MAX {
            // Who makes many pushes out his own.
            let own = |(_, waiting): &(Tick, Offered)| waiting.peer_id == offered.peer_id;
            let oldest = self.offers.iter().position(own).unwrap_or(0);
            self.offers.remove(oldest);
        }
        self.offers.push((now, offered));
    }

    /// Whether this connection was handed the offer that it answers, and announced the torrent as
    /// this peer. The next answer to the same offer does not pass.
    pub fn answers(&mut self, offered: &Offered, peer_id: &PeerId, now: Tick) -> bool {
        self.forget_old_offers(now);
        let place = self.offers.iter().position(|(_, waiting)| waiting == offered);
        let owned =
            self.place(&offered.info_hash).is_ok_and(|at| self.torrents[at].peer_id == *peer_id);
        match place {
            Some(place) if owned => {
                self.offers.remove(place);
                true
            }
            _ => false,
        }
    }

    /// Forgets offers that are too old to be answered and gives their memory back.
    pub fn forget_old_offers(&mut self, now: Tick) {
        let old = |at: Tick| now.0.saturating_sub(at.0) > OFFER_TTL_SECS;
        let count = self.offers.iter().take_while(|(at, _)| old(*at)).count();
        if count > 0 {
            self.offers.drain(..count);
            self.offers.shrink_to(self.offers.len() * 2);
        }
    }

    /// What this connection announced and did not stop.
    #[must_use]
    pub fn torrents(&self) -> &[Owned] {
        &self.torrents
    }

    /// Calls `fetch` with what a message is likely to read, so that a caller with many sessions can
    /// have it in the processor's cache by then.
    pub fn ahead(&self, mut fetch: impl FnMut(*const u8)) {
        fetch(self.torrents.as_ptr().cast());
        // A browser with one torrent answers each offer soon: there are one or two.
        let first = self.offers.as_ptr().cast::<u8>();
        fetch(first);
        fetch(first.wrapping_add(size_of::<(Tick, Offered)>()));
    }

    fn place(&self, info_hash: &InfoHash) -> Result<usize, usize> {
        self.torrents.binary_search_by_key(info_hash, |owned| owned.info_hash)
    }
}

#[cfg(test)]
mod tests;
