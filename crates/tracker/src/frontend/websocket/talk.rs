//! What a message of a browser sets off: an answer to it, and offers and answers for others.
//!
//! Sockets are not known here, and no rule is decided here.

use skep_engine::Tick;
use skep_engine::counters::{Action, Cut, TrafficCounters};
use skep_engine::gate::{Reason, Refusal};
use skep_engine::session::{Offered, Owned, Policy, WebsocketRefusal, WebsocketSession};
use skep_engine::site::Member;
use skep_engine::swarm::{
    Announced, Connection, Counts, Moment, PeerRoom, WEBRTC_BYTES, WebrtcPeer, webrtc_peers,
};
use skep_proto::websocket::{
    self as wire, Action as Wanted, Announce, Answer as Accepted, Limits, MessageError, OFFERS_MAX,
    Offer, Request as Message, Scrape, ScrapeEntry, begin_text, close_code, end_text,
};
use skep_proto::{DecodeError, InfoHash, PeerId};

use super::hub::Outgoing;
use crate::frontend::Worker;
use crate::frontend::http::Door;
use crate::shards::{Answer, Batch, Request};

/// Room that is used again for every message of every browser of a worker.
pub(in crate::frontend) struct Scratch {
    peers: [u8; OFFERS_MAX * WEBRTC_BYTES],
    info_hashes: Vec<InfoHash>,
    requests: Vec<Request>,
    counts: Vec<Counts>,
    reason: Reason,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            peers: [0; OFFERS_MAX * WEBRTC_BYTES],
            info_hashes: Vec::new(),
            requests: Vec::new(),
            counts: Vec::new(),
            reason: Reason::default(),
        }
    }
}

/// Why a connection ends with a message.
pub(super) struct End {
    /// The code for the browser (RFC 6455, section 7.4.1).
    pub(super) code: u16,
    pub(super) cut: Cut,
}

/// One browser that is heard.
pub(super) struct Speaking<'a> {
    pub(super) door: &'a Door,
    pub(super) policy: &'a Policy,
    pub(super) now: Tick,
    pub(super) session: &'a mut WebsocketSession,
    /// Where answers to it go.
    pub(super) output: &'a mut Vec<u8>,
}

impl<'a> Speaking<'a> {
    /// Carries out one message.
    ///
    /// # Errors
    /// If the connection must end.
    pub(super) fn hear(mut self, text: &str) -> Result<(), End> {
        let Self { policy, now, .. } = self;
        if !self.session.takes_message(&policy.websocket, now) {
            return Err(End { code: close_code::POLICY_VIOLATION, cut: Cut::TooManyMessages });
        }
        let limits = Limits {
            offers_max: policy.websocket.offers_max as usize,
            scrape_info_hashes_max: policy.scrapes.hashes_max as usize,
        };
        match wire::parse(text, &limits) {
            Ok(message) => {
                self.session.heard(now);
                match message {
                    Message::Announce(announce) => self.announce(&announce),
                    Message::Answer(answer) => self.answer(&answer),
                    Message::Scrape(scrape) => self.scrape(scrape),
                }
                Ok(())
            }
            Err(error) => self.broken(&error),
        }
    }

    fn counters(&self) -> &TrafficCounters {
        self.door.websocket_counters(self.session.source())
    }

    /// Tells a browser what is wrong, if it would understand.
    fn broken(&mut self, error: &MessageError) -> Result<(), End> {
        self.counters().decode_errors[error.kind.index()].add(1);
        let Some(action) = error.sendable() else {
            return Err(End { code: error.close_code(), cut: Cut::Protocol });
        };
        self.fail(action, error.info_hash.as_ref(), error.kind.text());
        Ok(())
    }

    fn fail(&mut self, action: Wanted, info_hash: Option<&InfoHash>, reason: &str) {
        framed(self.output, |out| wire::write_failure(out, action, info_hash, reason));
    }

    fn announce(&mut self, announce: &Announce<'_>) {
        self.counters().request(Action::Announce);
        let scratch = &mut *self.door.talk_room.borrow_mut();
        let Scratch { peers, reason, .. } = scratch;
        if let Err(refusal) = self.announced(announce, peers, reason) {
            refusal.count(self.counters());
            self.fail(Wanted::Announce, Some(&announce.request.info_hash), refusal.text());
        }
    }

    fn announced<'r>(
        &mut self,
        announce: &Announce<'_>,
        peers: &mut [u8],
        reason: &'r mut Reason,
    ) -> Result<(), WebsocketRefusal<'r>>
    where
        'a: 'r,
    {
        let Self { door, policy, now, .. } = *self;
        let Announce { request, uncounted, .. } = announce;
        let offers = announce.offers.as_slice();
        let asked = self.session.announce(policy, *request, *uncounted, offers.len(), reason)?;
        let mut batch = One {
            request: [Request::Announce(asked.announce)],
            member: asked.member,
            peers: &mut peers[..asked.offers * WEBRTC_BYTES],
            answer: None,
        };
        door.submit(now, &mut batch);
        let (said, position) = match batch.answer {
            Some(Answer::Announced(said)) => (said, None),
            Some(Answer::Promised(said, position)) => (said, Some(position)),
            Some(Answer::Refused(refusal)) => return Err(WebsocketRefusal::Refused(refusal)),
            _ => return Ok(()),
        };
        let delay_secs = door.shared.delay.secs();
        let interval_secs = policy.websocket_interval_secs(&said, delay_secs);
        self.session.announced(&asked, &said, interval_secs)?;
        self.tell(&said, announce.request.info_hash, interval_secs, position)?;
        let peers = &peers[..said.webrtc_bytes];
        webrtc_peers(peers).for_each(|peer| door.hub.fetch_place(peer.connection));
        webrtc_peers(peers).for_each(|peer| door.hub.fetch_socket(peer.connection));
        webrtc_peers(peers).for_each(|peer| door.hub.fetch_session(peer.connection));
        for (peer, offer) in webrtc_peers(peers).zip(offers) {
            self.offer(&announce.request.info_hash, &announce.request.peer_id, offer, &peer);
        }
        Ok(())
    }

    /// Answers the announce of a browser, once a record is on the disk if there is one to wait for.
    fn tell(
        &mut self,
        said: &Announced,
        info_hash: InfoHash,
        interval_secs: u32,
        position: Option<u64>,
    ) -> Result<(), WebsocketRefusal<'static>> {
        let counts = &said.counts;
        let reply = wire::Announced {
            info_hash,
            seeders: counts.seeders,
            leechers: counts.incomplete(),
            interval_secs,
        };
        match position {
            None => framed(self.output, |out| wire::write_announced(out, &reply)),
            Some(position) => self.tell_late(position, &reply)?,
        }
        let counters = self.counters();
        counters.answer(Action::Announce);
        counters.peers_sent.add((said.webrtc_bytes / WEBRTC_BYTES) as u64);
        counters.not_stored.add(u64::from(said.not_stored));
        counters.stretched.add(u64::from(interval_secs > self.policy.websocket.interval_secs));
        Ok(())
    }

    /// Answers once a record is on the disk, or that it is not.
    #[cold]
    fn tell_late(
        &self,
        position: u64,
        reply: &wire::Announced,
    ) -> Result<(), WebsocketRefusal<'static>> {
        let refusal = WebsocketRefusal::Refused(Refusal::NotRecorded);
        let (mut kept, mut broken) = (Vec::new(), Vec::new());
        framed(&mut kept, |out| wire::write_announced(out, reply));
        framed(&mut broken, |out| {
            wire::write_failure(out, Wanted::Announce, Some(&reply.info_hash), refusal.text());
        });
        let send = self.door.hub.later(self.session.connection());
        let late = self.door.shared.late.as_ref().ok_or(refusal)?;
        late.tell(position, move |is_kept| send(if is_kept { kept } else { broken }))
            .map_err(|_| refusal)
    }

    /// Passes an offer on to one other browser.
    fn offer(&self, info_hash: &InfoHash, from: &PeerId, offer: &Offer<'_>, to: &WebrtcPeer) {
        let offered = Offered { info_hash: *info_hash, peer_id: *from, offer_id: offer.offer_id };
        let sent = self.send(to.connection, Some(offered), |out| {
            wire::write_offer(out, info_hash, from, &offer.offer_id, offer.sdp);
        });
        let counters = self.door.hub.counters();
        if sent { &counters.offers_passed } else { &counters.messages_lost }.add(1);
    }

    /// Passes an answer on to the browser that made the offer; one that nobody asked for is ignored.
    fn answer(&mut self, answer: &Accepted<'_>) {
        let Self { door, now, .. } = *self;
        let Accepted { info_hash, peer_id, to_peer_id, offer_id, .. } = *answer;
        let offered = Offered { info_hash, peer_id: to_peer_id, offer_id };
        let counters = door.hub.counters();
        if !self.session.answers(&offered, &peer_id, now) {
            counters.answers_unasked.add(1);
            return;
        }
        let connection = self.session.connection();
        let request = Request::Relay { info_hash, from: peer_id, connection, to: to_peer_id };
        let mut batch = One { request: [request], member: None, peers: &mut [], answer: None };
        door.submit(now, &mut batch);
        let sent = match batch.answer {
            Some(Answer::Relayed(Some(to))) => self.send(to, None, |out| {
                wire::write_answer(out, &info_hash, &peer_id, &offer_id, answer.sdp);
            }),
            _ => false,
        };
        if sent { &counters.answers_passed } else { &counters.messages_lost }.add(1);
    }

    fn send(
        &self,
        to: Connection,
        offered: Option<Offered>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let outgoing = Outgoing { to, offered, now: self.now, settings: &self.policy.websocket };
        self.door.hub.send(&outgoing, |out| framed(out, write))
    }

    fn scrape(&mut self, scrape: Scrape<'_>) {
        let Self { door, policy, now, .. } = *self;
        self.counters().request(Action::Scrape);
        let Scrape::Torrents(info_hashes) = scrape else {
            let error = DecodeError::FullScrape;
            self.counters().decode_errors[error.index()].add(1);
            return self.fail(Wanted::Scrape, None, error.text());
        };
        let scratch = &mut *door.talk_room.borrow_mut();
        let Scratch { info_hashes: asked, requests, counts, .. } = scratch;
        asked.clear();
        asked.extend(info_hashes);
        if let Err(refusal) = self.session.admit_scrape(policy, asked) {
            refusal.count(self.counters());
            return self.fail(Wanted::Scrape, None, refusal.text());
        }
        requests.clear();
        requests.extend(asked.iter().map(|info_hash| Request::WebrtcScrape(*info_hash)));
        counts.clear();
        counts.resize(requests.len(), Counts::default());
        door.submit(now, &mut Many { requests, counts });
        let entries = asked.iter().zip(counts).map(|(info_hash, counts)| {
            let served = policy.rules.serves(info_hash);
            let counts = if served { *counts } else { Counts::default() };
            ScrapeEntry {
                info_hash: *info_hash,
                seeders: counts.seeders,
                leechers: counts.incomplete(),
                completions: counts.completions,
            }
        });
        let min_secs = policy.scrapes.flags.then_some(policy.websocket.interval_secs);
        framed(self.output, |out| wire::write_scrape(out, entries, min_secs));
        self.counters().answer(Action::Scrape);
    }
}

/// Puts a message into a frame.
fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mark = begin_text(out);
    write(out);
    end_text(out, mark);
}

impl Door {
    /// Takes the peers of a connection that is over out of their swarms, and ends their sessions.
    pub(super) fn say_farewell(&self, session: &WebsocketSession) {
        let now = self.shared.clock.now();
        for &Owned { info_hash, peer_id, account } in session.torrents() {
            let connection = session.connection();
            let request = [Request::Leave { info_hash, peer_id, connection, account }];
            self.submit(now, &mut One { request, member: None, peers: &mut [], answer: None });
        }
    }

    fn submit(&self, now: Tick, batch: &mut dyn Batch) {
        let worker: &mut Worker = &mut self.answerer.borrow_mut().worker;
        let Worker { shared, new_torrents, rng, .. } = worker;
        shared.store.submit(&mut Moment { now, rng, new_torrents }, batch);
    }
}

/// One request.
struct One<'a> {
    request: [Request; 1],
    member: Option<Member>,
    peers: &'a mut [u8],
    answer: Option<Answer>,
}

impl Batch for One<'_> {
    fn requests(&self) -> &[Request] {
        &self.request
    }

    fn member(&self, _number: usize) -> Option<Member> {
        self.member
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom { webrtc: self.peers, ..PeerRoom::default() }
    }

    fn complete(&mut self, _number: usize, answer: Answer) {
        self.answer = Some(answer);
    }
}

/// The torrents of one scrape.
struct Many<'a> {
    requests: &'a [Request],
    counts: &'a mut [Counts],
}

impl Batch for Many<'_> {
    fn requests(&self) -> &[Request] {
        self.requests
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        PeerRoom::default()
    }

    fn complete(&mut self, number: usize, answer: Answer) {
        if let Answer::Scraped(Some(counts)) = answer {
            self.counts[number] = counts;
        }
    }
}
