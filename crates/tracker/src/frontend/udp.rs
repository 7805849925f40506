//! The UDP front end: one thread, its sockets, and batches from one to the other.
//!
//! Nothing is allocated, logged or formatted for a datagram, and the clock is read once for a batch.

use std::io;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use skep_engine::Tick;
use skep_engine::counters::{Action, DropReason, TrafficCounters};
use skep_engine::gate::Refusal;
use skep_engine::session::{Policy, Proxies, Sender, UdpSession, UdpStep, finish_announce};
use skep_engine::site::Member;
use skep_engine::swarm::{Announced, Counts, Moment, PeerRoom};
use skep_net::udp::{Batch as Datagrams, Readiness, SOCKETS_MAX, UdpSocket, Waiter};
use skep_proto::TransactionId;
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};
use skep_proto::udp::{
    ANNOUNCE_HEADER_BYTES, HEADER_BYTES, SCRAPE_ENTRY_BYTES, SCRAPE_HEADER_BYTES,
    SCRAPE_INFO_HASHES_MAX, write_error, write_scrape_entry, write_scrape_header,
};

use super::Worker;
use crate::accounts::{Late, LateDatagram};
use crate::shards::{Answer, Batch, Request};

/// How long a quiet worker sleeps before it looks whether it is to stop.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// Turns of a busy worker after which it asks the kernel again what it dropped.
const TURNS_PER_DROP_COUNT: u32 = 256;

/// Batches taken from one socket while others may be waiting.
const BATCHES_IN_TURN_MAX: u32 = 4;

/// The UDP sockets of one worker.
pub struct UdpFrontend {
    worker: Worker,
    session: UdpSession,
    sockets: Vec<UdpSocket>,
    datagrams: Datagrams,
    jobs: Jobs,
    /// The numbers of the sockets where late replies go out, where there are any.
    late_sockets: Vec<Option<usize>>,
}

/// Requests of a batch that need a swarm, and what their answers need.
struct Jobs {
    requests: Vec<Request>,
    /// Who made the requests, as far as the last one of a user.
    members: Vec<Option<Member>>,
    origins: Vec<Origin>,
}

/// Which datagram a request came from, and what its reply holds so far.
#[derive(Clone, Copy)]
enum Origin {
    Announce { datagram: usize, transaction_id: TransactionId, peers: usize, ipv4: bool },
    Scrape { datagram: usize, position: usize },
}

impl UdpFrontend {
    /// Takes over bound sockets. `batch` is how many datagrams are received together.
    #[must_use]
    pub fn new(worker: Worker, session: UdpSession, sockets: Vec<UdpSocket>, batch: usize) -> Self {
        let late = worker.shared.late.as_deref();
        let late_socket = |socket| late.and_then(|late| late.add_socket(socket).ok());
        let late_sockets = sockets.iter().map(late_socket).collect();
        // A datagram is one announce or a scrape of many torrents.
        let requests = batch * SCRAPE_INFO_HASHES_MAX;
        Self {
            worker,
            session,
            sockets,
            datagrams: Datagrams::new(batch),
            jobs: Jobs {
                requests: Vec::with_capacity(requests),
                members: Vec::new(),
                origins: Vec::with_capacity(requests),
            },
            late_sockets,
        }
    }

    /// Answers until the tracker stops.
    ///
    /// # Errors
    /// If a socket cannot be received from at all.
    pub fn run(mut self) -> io::Result<()> {
        let waiter = Waiter::new(&self.sockets.iter().collect::<Vec<_>>())?;
        let mut turn = 0_u32;
        while !self.worker.shared.shutdown.requested() {
            turn = turn.wrapping_add(1);
            let ready = self.wait(&waiter)?;
            if !ready.any() || turn.is_multiple_of(TURNS_PER_DROP_COUNT) {
                let drops = self.sockets.iter_mut().map(UdpSocket::kernel_drops).sum();
                self.worker.counters.kernel_drops.set(drops);
            }
            for socket in (0..self.sockets.len()).filter(|&socket| ready.is_ready(socket)) {
                // A full batch means that more is waiting; others get their turn all the same.
                for _ in 0..BATCHES_IN_TURN_MAX {
                    if self.serve_batch(socket)? < self.datagrams.capacity() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until a socket has something, or it is time to look whether to stop.
    fn wait(&self, waiter: &Waiter) -> io::Result<Readiness> {
        let mut sockets = [&self.sockets[0]; SOCKETS_MAX];
        for (place, socket) in sockets.iter_mut().zip(&self.sockets) {
            *place = socket;
        }
        waiter.wait(&sockets[..self.sockets.len()], WAIT_MAX)
    }

    /// Receives what is waiting at one socket, answers it and returns how many datagrams it were.
    ///
    /// # Errors
    /// If the socket cannot be received from.
    /// # Panics
    /// If there is no socket of this number.
    pub fn serve_batch(&mut self, socket: usize) -> io::Result<usize> {
        let Self { worker, session, sockets, datagrams, jobs, late_sockets } = self;
        let (socket, late_socket) = (&mut sockets[socket], late_sockets[socket]);
        let received = socket.receive(datagrams, Duration::ZERO)?;
        if received == 0 {
            return Ok(0);
        }
        let counters = &worker.counters.udp[usize::from(socket.local_addr().is_ipv6())];
        let now = worker.shared.clock.now();
        let policy = worker.shared.policy.load();
        jobs.requests.clear();
        jobs.members.clear();
        jobs.origins.clear();
        for number in 0..received {
            jobs.take(session, &policy, counters, now, datagrams, number);
        }
        let Worker { shared, new_torrents, rng, .. } = worker;
        let intervals = rng.fork();
        let mut moment = Moment { now, rng, new_torrents };
        let delay_secs = shared.delay.secs();
        let late = shared.late.as_deref().zip(late_socket);
        let mut batch =
            Answers { jobs, datagrams, counters, policy: &policy, delay_secs, intervals, late };
        shared.store.submit(&mut moment, &mut batch);
        let report = socket.send(datagrams);
        counters.drops[DropReason::SendFailed as usize]
            .add((report.failed + report.would_block) as u64);
        Ok(received)
    }
}

impl Jobs {
    /// Decides about one datagram and queues what needs a swarm.
    fn take(
        &mut self,
        session: &mut UdpSession,
        policy: &Policy,
        counters: &TrafficCounters,
        now: Tick,
        datagrams: &mut Datagrams,
        number: usize,
    ) {
        let cut_short = datagrams.truncated(number);
        let (mut datagram, source, reply) = datagrams.exchange(number);
        let mut sender = Sender::from(source);
        counters.received_bytes.add(datagram.len() as u64);
        if policy.proxies.speaks_protocol_over_udp(source.ip()) {
            match Proxies::open_datagram(source, datagram) {
                Some(opened) => (sender, datagram) = opened,
                None => return counters.drop(DropReason::BadProxyHeader),
            }
        }
        if cut_short {
            // Longer than any datagram that makes sense, but for a scrape: whole hashes are left.
            datagram =
                &datagram[..datagram.len() - datagram.len().saturating_sub(HEADER_BYTES) % 20];
        }
        let reply_bytes = match session.receive(policy, counters, now, sender, datagram, reply) {
            UdpStep::Drop => 0,
            UdpStep::Reply(bytes) => bytes,
            UdpStep::Announce { transaction_id, announce, peers, ipv4 } => {
                if policy.rules.wants_passkey() {
                    self.members.resize(self.requests.len(), None);
                    self.members.push(session.member());
                }
                self.requests.push(Request::Announce(announce));
                self.origins.push(Origin::Announce {
                    datagram: number,
                    transaction_id,
                    peers,
                    ipv4,
                });
                0
            }
            UdpStep::Scrape { transaction_id, info_hashes } => {
                let max = (policy.scrapes.hashes_max as usize).min(SCRAPE_INFO_HASHES_MAX);
                let answered = info_hashes.len().min(max);
                for (position, info_hash) in info_hashes.take(answered).enumerate() {
                    if policy.rules.serves(&info_hash) {
                        self.requests.push(Request::Scrape(info_hash));
                        self.origins.push(Origin::Scrape { datagram: number, position });
                    } else {
                        write_counts(reply, position, Counts::default());
                    }
                }
                counters.answer(Action::Scrape);
                write_scrape_header(reply, transaction_id) + answered * SCRAPE_ENTRY_BYTES
            }
        };
        counters.sent_bytes.add(reply_bytes as u64);
        datagrams.set_reply_len(number, reply_bytes);
    }
}

/// A batch on its way through the swarms: answers go straight into the reply buffers.
struct Answers<'a> {
    jobs: &'a Jobs,
    datagrams: &'a mut Datagrams,
    counters: &'a TrafficCounters,
    policy: &'a Policy,
    /// What load adds to intervals.
    delay_secs: u32,
    /// Randomness for intervals, while the swarms use the worker's.
    intervals: Rng,
    /// Where replies wait, and the number of the socket.
    late: Option<(&'a Late, usize)>,
}

impl Batch for Answers<'_> {
    fn requests(&self) -> &[Request] {
        &self.jobs.requests
    }

    fn member(&self, number: usize) -> Option<Member> {
        self.jobs.members.get(number).copied().flatten()
    }

    fn room(&mut self, number: usize) -> PeerRoom<'_> {
        let Origin::Announce { datagram, peers, ipv4, .. } = self.jobs.origins[number] else {
            return PeerRoom::default();
        };
        let stride = if ipv4 { IPV4_BYTES } else { IPV6_BYTES };
        let peers = behind_header(peers * stride);
        let room = &mut self.datagrams.reply_buffer(datagram)[peers];
        if ipv4 {
            PeerRoom { ipv4: room, ..PeerRoom::default() }
        } else {
            PeerRoom { ipv6: room, ..PeerRoom::default() }
        }
    }

    fn complete(&mut self, number: usize, answer: Answer) {
        match (self.jobs.origins[number], answer) {
            (Origin::Announce { datagram, transaction_id, .. }, Answer::Announced(announced)) => {
                self.announced(datagram, transaction_id, &announced);
            }
            (
                Origin::Announce { datagram, transaction_id, .. },
                Answer::Promised(announced, position),
            ) => {
                self.announced(datagram, transaction_id, &announced);
                self.put_off(datagram, transaction_id, position);
            }
            (Origin::Announce { datagram, transaction_id, .. }, Answer::Refused(refusal)) => {
                self.refused(datagram, transaction_id, refusal);
            }
            (Origin::Scrape { datagram, position }, Answer::Scraped(counts)) => {
                let reply = self.datagrams.reply_buffer(datagram);
                write_counts(reply, position, counts.unwrap_or_default());
            }
            _ => debug_assert!(false, "an answer is of the kind of its request"),
        }
    }
}

impl Answers<'_> {
    fn announced(&mut self, datagram: usize, transaction_id: TransactionId, announced: &Announced) {
        let answers = &self.policy.answers;
        let interval = answers.interval_after(announced, self.delay_secs, &mut self.intervals);
        let reply = self.datagrams.reply_buffer(datagram);
        let bytes = finish_announce(reply, transaction_id, interval.secs, announced);
        self.datagrams.set_reply_len(datagram, bytes);
        self.counters.announced(announced, interval);
        self.counters.sent_bytes.add(bytes as u64);
    }

    fn refused(&mut self, datagram: usize, transaction_id: TransactionId, refusal: Refusal<'_>) {
        let reply = self.datagrams.reply_buffer(datagram);
        let bytes = write_error(reply, transaction_id, refusal.text());
        self.datagrams.set_reply_len(datagram, bytes);
        self.counters.refusals[refusal.index()].add(1);
        self.counters.sent_bytes.add(bytes as u64);
    }

    /// Takes a reply out of the batch, to be sent once a record is on the disk.
    #[cold]
    fn put_off(&mut self, datagram: usize, transaction_id: TransactionId, position: u64) {
        let (to, bytes) =
            (self.datagrams.reply_to(datagram), self.datagrams.reply(datagram).into());
        self.datagrams.set_reply_len(datagram, 0);
        let waits = self.late.is_some_and(|(late, socket)| {
            late.send(position, LateDatagram { socket, to, bytes, transaction_id }).is_ok()
        });
        if !waits {
            self.refused(datagram, transaction_id, Refusal::NotRecorded);
        }
    }
}

fn write_counts(reply: &mut [u8], position: usize, counts: Counts) {
    let at = SCRAPE_HEADER_BYTES + position * SCRAPE_ENTRY_BYTES;
    let leechers = counts.incomplete();
    let _ = write_scrape_entry(&mut reply[at..], counts.seeders, counts.completions, leechers);
}

fn behind_header(bytes: usize) -> Range<usize> {
    ANNOUNCE_HEADER_BYTES..ANNOUNCE_HEADER_BYTES + bytes
}
