//! Load over WebSocket: peers that announce with offers and answer the offers that reach them.
//!
//! A closed loop with so many announces under way, each of which is over when its reply, its offers
//! at other peers and their answers have come. One thread serves all connections. What a message
//! looks like is known by the modules.

mod client;
mod exchange;
mod frame;
mod idle;
mod json;
mod message;
mod null;
mod open;

pub(crate) use idle::{Idle, idle};
pub(crate) use null::null;

use std::mem;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use crate::load::answer::Wrong;
use crate::load::clock;
use crate::load::figures::{Counts, Figures, Moment, Timing};
use crate::load::latency::Latencies;
use crate::load::pace::Rest;
use crate::load::system::{Poller, look_away};
use crate::load::websocket::client::Client;
use crate::load::websocket::exchange::Exchange;
use crate::load::websocket::frame::{Frame, split, write_pong};
use crate::load::websocket::json::Message;
use crate::load::websocket::message::{
    CONNECTIONS_MAX, Hash, Messages, OFFERS_MAX, Offer, ws_peer_id,
};

/// After how long an announce counts as lost that has not brought about all it should.
const EXCHANGE_NANOS_MAX: u64 = 5_000_000_000;
/// How often it is looked for such ones.
const EXPIRY_NANOS: u64 = 250_000_000;
/// Announces that may be lost in a row before the tracker counts as gone.
const LOST_MAX: u64 = 1000;
/// Room for what a socket has received.
const ROOM_BYTES: usize = 1 << 21;

/// How to load a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WsLoad {
    pub(crate) target: SocketAddr,
    /// Each with one peer, spread evenly over torrents and addresses.
    pub(crate) connections: u32,
    pub(crate) torrents: u32,
    pub(crate) sources: u32,
    /// Announces and scrapes under way.
    pub(crate) window: u32,
    /// Offers in each announce.
    pub(crate) offers: u32,
    /// How often each kind of request comes, relative to the other.
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
    /// Load before the window is timed.
    pub(crate) warm_up_secs: f64,
    pub(crate) secs: f64,
    /// Process of the tracker, for its accounts.
    pub(crate) server: Option<u32>,
}

impl WsLoad {
    fn validate(&self) -> Result<()> {
        ensure!(self.announces > 0, "the mix has no announce");
        ensure!(self.offers <= OFFERS_MAX, "an announce has at most {OFFERS_MAX} offers");
        ensure!(
            self.connections < CONNECTIONS_MAX,
            "there are at most {CONNECTIONS_MAX} connections"
        );
        ensure!(
            0 < self.torrents && self.torrents <= self.connections,
            "each torrent needs a connection"
        );
        ensure!(
            (1..=self.connections).contains(&self.window),
            "the window needs as many connections"
        );
        Ok(())
    }

    fn torrent(&self, connection: u32) -> u32 {
        connection % self.torrents
    }

    /// Peers of a torrent.
    fn size(&self, torrent: u32) -> u32 {
        (self.connections - torrent).div_ceil(self.torrents)
    }
}

/// Opens all connections, announces each peer once, then measures the tracker.
///
/// # Errors
/// What the system reports, and a tracker that does not answer or ends a connection; wrong messages
/// are only counted.
pub(crate) fn run(load: &WsLoad) -> Result<Figures> {
    load.validate()?;
    Generator::new(load)?.measure()
}

struct Generator<'a> {
    load: &'a WsLoad,
    /// Tells the peers from those of other runs.
    run: u16,
    clients: Vec<Client>,
    /// By torrent.
    hashes: Vec<Hash>,
    messages: Messages,
    poller: Poller,
    counts: Counts,
    /// From an announce or scrape to its reply.
    latencies: Latencies,
    rest: Rest,
    spun_nanos: u64,
    under_way: u32,
    /// Messages that the tracker has to send for what it was sent.
    owed: usize,
    /// Lost since something came whole.
    lost: u64,
    /// The connection to ask with next.
    next: u32,
    /// Requests of the mix made so far.
    mixed: u32,
    /// Connections that had no room for all that was to be sent.
    blocked: Vec<u32>,
    expired_nanos: u64,
    /// What was received, and what is to be sent because of it.
    room: Box<[u8]>,
    out: Vec<u8>,
}

impl<'a> Generator<'a> {
    fn new(load: &'a WsLoad) -> Result<Self> {
        let run = (clock::nanos() >> 10) as u16 ^ std::process::id() as u16;
        let hashes: Vec<Hash> = (0..load.torrents).map(Hash::of).collect();
        let mut messages = Messages::new(load.offers);
        let mut clients = open::open(load, load.connections, run, &hashes, &mut messages)?;
        open::settle(load, run, &hashes, &mut messages, &mut clients)?;
        let poller = Poller::new()?;
        for (name, client) in (0..).zip(&mut clients) {
            client.stop_waiting()?;
            poller.add(client, name)?;
        }
        Ok(Self {
            load,
            run,
            clients,
            hashes,
            messages,
            poller,
            counts: Counts::default(),
            latencies: Latencies::new(),
            rest: Rest::new(),
            spun_nanos: 0,
            under_way: 0,
            owed: 0,
            lost: 0,
            next: 0,
            mixed: 0,
            blocked: Vec::new(),
            expired_nanos: 0,
            room: vec![0; ROOM_BYTES].into(),
            out: Vec::new(),
        })
    }

    /// Loads the tracker, first without and then with the watch running.
    fn measure(&mut self) -> Result<Figures> {
        self.mixed(self.load.warm_up_secs)?;
        self.latencies.clear();
        self.spun_nanos = 0;
        let before = self.counts;
        let begin = Moment::now(self.load.server)?;
        self.mixed(self.load.secs)?;
        let end = Moment::now(self.load.server)?;
        let timing = Timing {
            latency: self.latencies.quantiles(),
            spun_secs: self.spun_nanos as f64 / 1e9,
            ..Timing::default()
        };
        Figures::new((begin, end), (before, self.counts), timing, self.load.server)
    }

    fn mixed(&mut self, secs: f64) -> Result<()> {
        let end = clock::nanos() + (secs * 1e9) as u64;
        while self.round()? < end {}
        Ok(())
    }

    /// Asks as often as there is room, takes what is there, then leaves the tracker time; returns
    /// when that began.
    fn round(&mut self) -> Result<u64> {
        let begin = clock::nanos();
        for connection in mem::take(&mut self.blocked) {
            let blocked = self.clients[connection as usize].flush();
            self.sent(connection, blocked)?;
        }
        while self.under_way < self.load.window {
            self.begin()?;
        }
        let (owed, ready) = (self.owed, self.poller.poll().context("cannot wait")?);
        let mut found = 0;
        for index in 0..ready {
            found += self.serve(self.poller.ready(index) as u32)?;
        }
        if begin > self.expired_nanos + EXPIRY_NANOS {
            self.expired_nanos = begin;
            self.expire(begin)?;
        }
        self.rest.after(found, owed);
        self.spun_nanos += look_away(self.rest.nanos());
        Ok(begin)
    }

    /// Announces or scrapes with the next connection that has nothing under way.
    fn begin(&mut self) -> Result<()> {
        let load = self.load;
        let connection = loop {
            let connection = self.next;
            self.next = (self.next + 1) % load.connections;
            if self.clients[connection as usize].exchange.is_none() {
                break connection;
            }
        };
        let client = &mut self.clients[connection as usize];
        let torrent = load.torrent(connection);
        let hash = &self.hashes[torrent as usize];
        self.mixed = (self.mixed + 1) % (load.announces + load.scrapes);
        client.turn = client.turn.wrapping_add(1);
        let (wanted, message) = if self.mixed < load.announces {
            let first = Offer { connection, turn: client.turn, index: 0 };
            let peer_id = ws_peer_id(self.run, connection);
            let wanted = load.offers.min(load.size(torrent) - 1);
            (wanted, self.messages.announce(hash, &peer_id, first))
        } else {
            (0, self.messages.scrape(hash))
        };
        let exchange = Exchange::new(client.turn, wanted, clock::nanos());
        self.owed += exchange.owed();
        client.exchange = Some(exchange);
        self.under_way += 1;
        let blocked = client.send(message);
        self.sent(connection, blocked)
    }

    fn sent(&mut self, connection: u32, blocked: std::io::Result<bool>) -> Result<()> {
        if blocked.context("the tracker ended a connection")? && !self.blocked.contains(&connection)
        {
            self.blocked.push(connection);
        }
        Ok(())
    }

    /// Takes what came over a connection and sends the answers; returns how many messages came.
    fn serve(&mut self, connection: u32) -> Result<usize> {
        let (mut room, mut out) = (mem::take(&mut self.room), mem::take(&mut self.out));
        let client = &mut self.clients[connection as usize];
        let length = client.receive(&mut room).context("the tracker ended a connection")?;
        let (mut rest, mut found) = (&room[..length], 0);
        loop {
            match split(rest) {
                Ok(Some((frame, behind))) => {
                    rest = behind;
                    match frame {
                        Frame::Text(text) => {
                            found += 1;
                            if let Err(wrong) = self.take(connection, text, &mut out) {
                                self.counts.note(wrong);
                            }
                        }
                        Frame::Ping(payload) => write_pong(&mut out, payload),
                        Frame::Pong => {}
                        Frame::Close => anyhow::bail!("the tracker closed a connection"),
                    }
                }
                Ok(None) => break,
                Err(wrong) => anyhow::bail!("{wrong}"),
            }
        }
        let client = &mut self.clients[connection as usize];
        client.keep(rest);
        if !out.is_empty() {
            let blocked = client.send(&out);
            self.sent(connection, blocked)?;
        }
        out.clear();
        (self.room, self.out) = (room, out);
        Ok(found)
    }

    /// Judges a message and appends what is to be answered.
    fn take(&mut self, connection: u32, text: &[u8], out: &mut Vec<u8>) -> Result<(), Wrong> {
        // Both kinds of descriptions begin alike.
        let message = json::read(text, self.messages.common_sdp())?;
        if message.is_failure {
            return Err(Wrong::Refused);
        }
        if message.action == b"scrape" {
            return self.scraped(connection, &message);
        }
        if message.action != b"announce" {
            return Err(Wrong::Action);
        }
        let torrent = self.load.torrent(connection);
        if !self.hashes[torrent as usize].is(message.info_hash) {
            return Err(Wrong::Stranger);
        }
        if message.offer.is_some() {
            self.offered(connection, &message, out)
        } else if message.answer.is_some() {
            self.answered(connection, &message)
        } else {
            self.replied(connection, &message)
        }
    }

    fn replied(&mut self, connection: u32, message: &Message<'_>) -> Result<(), Wrong> {
        let peers = message.counts.peers().ok_or(Wrong::Json)?;
        let size = self.load.size(self.load.torrent(connection));
        if message.interval == 0 || peers > u64::from(size) {
            return Err(Wrong::Numbers);
        }
        self.reply(connection)
    }

    fn scraped(&mut self, connection: u32, message: &Message<'_>) -> Result<(), Wrong> {
        let torrent = self.load.torrent(connection);
        let (hash, counts) = message.file.ok_or(Wrong::Json)?;
        if message.files != 1 || !self.hashes[torrent as usize].is(hash) {
            return Err(Wrong::Stranger);
        }
        if counts.peers().ok_or(Wrong::Json)? > u64::from(self.load.size(torrent)) {
            return Err(Wrong::Numbers);
        }
        self.reply(connection)
    }

    fn reply(&mut self, connection: u32) -> Result<(), Wrong> {
        self.counts.replies += 1;
        let exchange = self.clients[connection as usize].exchange.as_mut();
        let Some(exchange) = exchange.filter(|exchange| exchange.awaits_reply()) else {
            return Err(Wrong::Unasked);
        };
        exchange.reply();
        self.latencies.record(clock::nanos().saturating_sub(exchange.begun_nanos));
        self.settle_one(connection);
        Ok(())
    }

    /// Takes an offer and answers it.
    fn offered(
        &mut self,
        connection: u32,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Wrong> {
        let offer = offer_of(message)?;
        let described = message.offer.unwrap_or_default();
        if described.kind != b"offer" || !is_sdp(described.sdp, &self.messages.offer_sdp) {
            return Err(Wrong::Description);
        }
        if offer.connection == connection {
            return Err(Wrong::Own);
        }
        let sender = ws_peer_id(self.run, offer.connection);
        if !json::means(message.peer_id, &sender) {
            return Err(Wrong::Relayed);
        }
        let Some(exchange) = self.exchange(offer)? else {
            self.counts.late += 1;
            return Ok(());
        };
        exchange.deliver(offer.index, connection)?;
        self.counts.offers += 1;
        let hash = &self.hashes[self.load.torrent(connection) as usize];
        let own = ws_peer_id(self.run, connection);
        out.extend(self.messages.answer(hash, &own, &sender, offer));
        Ok(())
    }

    /// Takes the answer to an offer of this connection.
    fn answered(&mut self, connection: u32, message: &Message<'_>) -> Result<(), Wrong> {
        let offer = offer_of(message)?;
        let described = message.answer.unwrap_or_default();
        if described.kind != b"answer" || !is_sdp(described.sdp, &self.messages.answer_sdp) {
            return Err(Wrong::Description);
        }
        if offer.connection != connection || message.has_to_peer_id {
            return Err(Wrong::Relayed);
        }
        let run = self.run;
        let Some(exchange) = self.exchange(offer)? else {
            self.counts.late += 1;
            return Ok(());
        };
        let receiver = exchange.receiver(offer.index).ok_or(Wrong::Relayed)?;
        if !json::means(message.peer_id, &ws_peer_id(run, receiver)) {
            return Err(Wrong::Relayed);
        }
        exchange.answer(offer.index)?;
        self.counts.answers_to_offers += 1;
        self.settle_one(connection);
        Ok(())
    }

    /// The exchange that an offer belongs to; none if it was given up.
    fn exchange(&mut self, offer: Offer) -> Result<Option<&mut Exchange>, Wrong> {
        let client = self.clients.get_mut(offer.connection as usize).ok_or(Wrong::Relayed)?;
        match &mut client.exchange {
            Some(exchange) if exchange.turn == offer.turn => Ok(Some(exchange)),
            _ => Ok(None),
        }
    }

    /// Counts a message that was owed, and ends the exchange if it was the last one.
    fn settle_one(&mut self, connection: u32) {
        self.owed -= 1;
        let exchange = &mut self.clients[connection as usize].exchange;
        if exchange.is_some_and(|exchange| exchange.owed() == 0) {
            *exchange = None;
            self.under_way -= 1;
            self.lost = 0;
        }
    }

    /// Gives up what takes too long.
    fn expire(&mut self, now_nanos: u64) -> Result<()> {
        for client in &mut self.clients {
            if let Some(exchange) = &client.exchange
                && now_nanos > exchange.begun_nanos + EXCHANGE_NANOS_MAX
            {
                self.owed -= exchange.owed();
                self.under_way -= 1;
                self.counts.lost += 1;
                self.lost += 1;
                client.exchange = None;
            }
        }
        ensure!(self.lost < LOST_MAX, "{LOST_MAX} announces in a row brought not all they should");
        Ok(())
    }
}

fn offer_of(message: &Message<'_>) -> Result<Offer, Wrong> {
    json::bytes(message.offer_id).and_then(Offer::from_id).ok_or(Wrong::Relayed)
}

/// Whether this is the description that was sent, however it was escaped.
fn is_sdp(text: &[u8], sent: &str) -> bool {
    text == sent.as_bytes() || json::mean_the_same(text, sent.as_bytes())
}
