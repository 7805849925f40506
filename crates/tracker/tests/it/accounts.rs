//! Accounts of members, from announces to what a sink is handed.
//!
//! How a ledger counts is tested in the engine, how records are kept in the store.

mod gone;
mod own_peers;
mod replies;
mod sockets;
mod storage;
mod store;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fastrand::Rng;
use parking_lot::{Condvar, Mutex};
use skep::accounts::{DeltaSink, Ledgers};
use skep::runtime::clock::Clock;
use skep::shards::{Answer, Batch, MemoryStore, PeerStore, Request};
use skep::site::Site;
use skep_engine::gate::RateTable;
use skep_engine::ledger::{Delta, LedgerSettings, Permille, TorrentId, UserId};
use skep_engine::site::{GroupId, Member, TorrentGroupId};
use skep_engine::swarm::{Announce, Moment, PeerIds, PeerRoom, SwarmSettings};
use skep_engine::{Seed, Tick};
use skep_proto::AnnounceRequest;

/// Keeps what it is handed.
#[derive(Default)]
pub(crate) struct Collector {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    deltas: Vec<(Delta, Option<SocketAddr>)>,
    is_full: bool,
    is_short: bool,
    durable: bool,
    /// Whether the disk takes nothing, and whether those who wait for it give up.
    hangs: bool,
    gives_up: bool,
    waiting: usize,
}

impl Collector {
    /// What it was handed since it was last asked.
    pub(crate) fn taken(&self) -> Vec<(Delta, Option<SocketAddr>)> {
        std::mem::take(&mut self.state.lock().deltas)
    }

    /// Takes nothing any more, or again.
    pub(crate) fn fill(&self, is_full: bool) {
        self.state.lock().is_full = is_full;
    }

    /// Says that there is hardly room, or that there is.
    pub(crate) fn shorten(&self, is_short: bool) {
        self.state.lock().is_short = is_short;
    }

    /// Lets replies to ends and completions wait for the disk.
    pub(crate) fn want_durable(&self) {
        self.state.lock().durable = true;
    }

    /// Lets the disk take nothing from now on.
    fn hang(&self) {
        self.state.lock().hangs = true;
    }

    /// Lets the disk take everything, or lets those who wait for it give up.
    fn end_hanging(&self, gives_up: bool) {
        let mut state = self.state.lock();
        (state.hangs, state.gives_up) = (false, gives_up);
        self.changed.notify_all();
    }

    /// Whether somebody waits for the disk.
    fn is_waited_for(&self) -> bool {
        self.state.lock().waiting > 0
    }
}

impl DeltaSink for Collector {
    fn take(&self, delta: &Delta, endpoint: Option<SocketAddr>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.is_full {
            return None;
        }
        state.deltas.push((*delta, endpoint));
        Some(state.deltas.len() as u64)
    }

    fn is_short(&self) -> bool {
        self.state.lock().is_short
    }

    fn refuses_begins(&self) -> bool {
        let state = self.state.lock();
        state.durable && state.is_short
    }

    fn wants_durable(&self, delta: &Delta) -> bool {
        self.state.lock().durable && (delta.ended || delta.completed)
    }

    fn wait_durable(&self, _position: u64) -> bool {
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.hangs {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
        !state.gives_up
    }
}

/// A member without limits.
pub(crate) const fn member(user: u32, torrent: u32) -> Member {
    const ONE: (Permille, Permille) = (Permille::ONE, Permille::ONE);
    Member {
        user: UserId(user),
        torrent: TorrentId(torrent),
        group: GroupId(0),
        torrent_group: TorrentGroupId(0),
        of_user: ONE,
        of_group: ONE,
        of_torrent: ONE,
        slots: u32::MAX,
        peers_max: u32::MAX,
        hidden: false,
    }
}

pub(crate) fn ledgers(sink: Arc<Collector>, settings: LedgerSettings) -> Ledgers {
    let site = Arc::new(Site::new(&Seed::new(1), &Clock::start()));
    Ledgers { site, sink, settings }
}

/// One announce of a member, and room for its answer.
struct One {
    request: [Request; 1],
    member: Member,
    ipv4: Vec<u8>,
    ipv6: Vec<u8>,
    peer_ids: PeerIds,
    answer: Option<Answer>,
}

impl Batch for One {
    fn requests(&self) -> &[Request] {
        &self.request
    }

    fn member(&self, _number: usize) -> Option<Member> {
        Some(self.member)
    }

    fn room(&mut self, _number: usize) -> PeerRoom<'_> {
        let Self { ipv4, ipv6, peer_ids, .. } = self;
        PeerRoom { ipv4, ipv6, peer_ids: Some(peer_ids), ..PeerRoom::default() }
    }

    fn complete(&mut self, _number: usize, answer: Answer) {
        self.answer = Some(answer);
    }
}

/// A store that keeps accounts, without sockets and with a time of its own.
struct Kept {
    store: MemoryStore,
    sink: Arc<Collector>,
    now: Tick,
    rng: Rng,
    new_torrents: RateTable,
}

/// An answer and the peers in it.
struct Answered {
    answer: Answer,
    peers: Vec<SocketAddr>,
    peer_ids: PeerIds,
}

impl Kept {
    fn new(settings: LedgerSettings) -> Self {
        let sink = Arc::<Collector>::default();
        let ledgers = ledgers(sink.clone(), settings);
        let swarms = SwarmSettings { ports_per_address_max: 0, ..SwarmSettings::default() };
        Self {
            store: MemoryStore::with_ledgers(&swarms, Seed::new(5), Some(ledgers)),
            sink,
            now: Tick(100),
            rng: Rng::with_seed(7),
            new_torrents: RateTable::new(Seed::new(1), 0, 32, 64),
        }
    }

    fn announce(&mut self, member: Member, ip: IpAddr, request: AnnounceRequest) -> Answer {
        self.ask(member, ip, request, (0, 0)).answer
    }

    /// Announces and asks for so many peers of either family.
    fn ask(
        &mut self,
        member: Member,
        ip: IpAddr,
        request: AnnounceRequest,
        wanted: (usize, usize),
    ) -> Answered {
        let announce = Announce { request, ip, connection: None, listed: true };
        let mut one = One {
            request: [Request::Announce(announce)],
            member,
            ipv4: vec![0; wanted.0 * 6],
            ipv6: vec![0; wanted.1 * 18],
            peer_ids: PeerIds::default(),
            answer: None,
        };
        let Self { store, now, rng, new_torrents, .. } = self;
        store.submit(&mut Moment { now: *now, rng, new_torrents }, &mut one);
        let answer = one.answer.expect("every request is answered");
        let mut peers = Vec::new();
        if let Answer::Announced(said) = answer {
            for peer in one.ipv4[..said.ipv4_bytes].as_chunks::<6>().0 {
                let [ip @ .., high, low] = *peer;
                peers.push(SocketAddr::new(ip.into(), u16::from_be_bytes([high, low])));
            }
            for peer in one.ipv6[..said.ipv6_bytes].as_chunks::<18>().0 {
                let (ip, port) = peer.split_first_chunk::<16>().unwrap();
                let port = u16::from_be_bytes(port.try_into().unwrap());
                peers.push(SocketAddr::new((*ip).into(), port));
            }
        }
        Answered { answer, peers, peer_ids: one.peer_ids }
    }

    fn sweep(&self) {
        for piece in 0..self.store.sweep_pieces() {
            self.store.sweep_piece(piece, self.now);
        }
    }
}
