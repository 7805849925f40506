//! Load over HTTP: one request under way on each of some connections, in a closed loop or at a
//! fixed rate.
//!
//! Every answer is judged. One thread serves all connections and waits for none: in the closed loop
//! it looks away until there are many answers, in the open loop until a request is due.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use crate::load::answer::{Announced, Check, Judge, Wrong};
use crate::load::clock;
use crate::load::connection::{ANSWER_NANOS_MAX, Client, State};
use crate::load::figures::{Counts, Figures, Moment, Timing};
use crate::load::latency::Latencies;
use crate::load::message::{Body, Request, Reuse, Writer};
use crate::load::pace::{Pace, Rest, Schedule};
use crate::load::population::Population;
use crate::load::system::{PreciseSleep, Waiter, look_away};
use crate::load::tls::{Handshake, Tls};

/// How long a tracker may keep a connection that it was asked to close and did not say it would.
const UNANNOUNCED_NANOS_MAX: u64 = 2_000_000;
/// Requests that may fail in a row before the tracker counts as gone.
const FAILURES_MAX: u32 = 100;

/// How to load a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpLoad {
    pub(crate) target: SocketAddr,
    pub(crate) pace: Pace,
    pub(crate) reuse: Reuse,
    /// How often each kind of request comes, relative to the other.
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
    pub(crate) num_want: u32,
    /// Users who announce, each with a passkey; unset for announces without one.
    pub(crate) users: Option<u32>,
    pub(crate) check: Check,
    /// Over TLS, with this kind of handshakes.
    pub(crate) tls: Option<Handshake>,
    /// Load before the window is timed.
    pub(crate) warm_up_secs: f64,
    pub(crate) secs: f64,
    /// Process of the tracker, for its accounts.
    pub(crate) server: Option<u32>,
}

/// Fills a tracker with every peer once, over kept connections, then measures it.
///
/// # Errors
/// What the system reports, and a tracker that does not answer; wrong answers are only counted.
pub(crate) fn run(load: &HttpLoad, population: &Population) -> Result<Figures> {
    let mut generator = Generator::new(load, population)?;
    generator.fill()?;
    generator.measure()
}

/// Announces every peer once, over kept connections, and returns what was counted.
///
/// # Errors
/// As [`run`].
pub(crate) fn fill(load: &HttpLoad, population: &Population) -> Result<Counts> {
    let mut generator = Generator::new(load, population)?;
    generator.fill()?;
    Ok(generator.counts)
}

/// Measures a tracker that was filled before.
///
/// # Errors
/// As [`run`].
pub(crate) fn measure(load: &HttpLoad, population: &Population) -> Result<Figures> {
    Generator::new(load, population)?.measure()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fill,
    Mixed,
}

struct Generator<'a> {
    load: &'a HttpLoad,
    phase: Phase,
    clients: Vec<Client<'a>>,
    writer: Writer,
    judge: Judge,
    counts: Counts,
    /// From when a request was due, or was sent in the closed loop, to its answer.
    latencies: Latencies,
    /// From when a request was due until it was sent.
    lags: Latencies,
    rest: Rest,
    spun_nanos: u64,
    /// Requests that failed since the last answer.
    failures: u32,
}

impl<'a> Generator<'a> {
    fn new(load: &'a HttpLoad, population: &'a Population) -> Result<Self> {
        ensure!(load.announces + load.scrapes > 0, "the mix is empty");
        let mut clients = Vec::new();
        for (source, peers) in population.lists.iter().enumerate() {
            ensure!(!peers.is_empty(), "there are more sources than peers");
            let tls = load.tls.map(Tls::new).transpose()?;
            clients.push(Client::new(source, peers, tls));
        }
        let writer = Writer::new(population.sources, load.num_want, load.target, load.users);
        let mut judge = Judge::new(population.sources, load.num_want, load.check);
        clients[0].wait_for_acceptance(load.target, &writer, &mut judge)?;
        Ok(Self {
            load,
            phase: Phase::Fill,
            clients,
            writer,
            judge,
            counts: Counts::default(),
            latencies: Latencies::new(),
            lags: Latencies::new(),
            rest: Rest::new(),
            spun_nanos: 0,
            failures: 0,
        })
    }

    /// Announces every peer once.
    fn fill(&mut self) -> Result<()> {
        self.phase = Phase::Fill;
        while self.clients.iter().any(Client::is_filling) {
            self.closed_round()?;
        }
        Ok(())
    }

    /// Loads the tracker, first without and then with the watch running.
    fn measure(&mut self) -> Result<Figures> {
        self.mixed(self.load.warm_up_secs)?;
        self.latencies.clear();
        self.lags.clear();
        self.spun_nanos = 0;
        let before = self.counts;
        let begin = Moment::now(self.load.server)?;
        self.mixed(self.load.secs)?;
        let end = Moment::now(self.load.server)?;
        if self.load.pace != Pace::Closed {
            self.settle()?;
        }
        let timing = Timing {
            latency: self.latencies.quantiles(),
            lag: self.lags.quantiles(),
            spun_secs: self.spun_nanos as f64 / 1e9,
        };
        Figures::new((begin, end), (before, self.counts), timing, self.load.server)
    }

    /// Loads the tracker with the mix for a while.
    fn mixed(&mut self, secs: f64) -> Result<()> {
        self.phase = Phase::Mixed;
        let start = clock::nanos();
        let end = start + (secs * 1e9) as u64;
        match self.load.pace {
            Pace::Closed => {
                while self.closed_round()? < end {}
                Ok(())
            }
            Pace::Open { per_sec } => self.open_loop(start, per_sec, end),
        }
    }

    /// Serves every client once, then leaves the tracker time to answer; returns when that began.
    fn closed_round(&mut self) -> Result<u64> {
        let begin = clock::nanos();
        let (mut found, mut under_way) = (0, 0);
        for index in 0..self.clients.len() {
            let answered = self.serve(index)?;
            found += usize::from(answered);
            if self.clients[index].state == State::Idle
                && let Some(request) = self.next_request(index)
            {
                self.begin(index, request, clock::nanos())?;
            }
            under_way += usize::from(self.clients[index].state != State::Idle);
        }
        self.rest.after(found, under_way);
        self.spun_nanos += look_away(self.rest.nanos());
        Ok(begin)
    }

    /// Sends what is due on connections that are free for it.
    fn open_loop(&mut self, start: u64, per_sec: f64, end: u64) -> Result<()> {
        let _precise = PreciseSleep::begin();
        let count = self.clients.len() as u64;
        let mut schedules: Vec<Schedule> =
            (0..count).map(|first| Schedule::share(start, per_sec, first, count)).collect();
        loop {
            let now = clock::nanos();
            if now >= end {
                return Ok(());
            }
            let mut until = end;
            for (index, schedule) in schedules.iter_mut().enumerate() {
                self.serve(index)?;
                if self.clients[index].state != State::Idle {
                    continue;
                }
                if let Some((_, due)) = schedule.take(now)
                    && let Some(request) = self.next_request(index)
                {
                    self.lags.record(now - due);
                    self.begin(index, request, due)?;
                } else {
                    until = until.min(schedule.due_nanos());
                }
            }
            self.wait(until)?;
        }
    }

    /// Sleeps until there is something to receive or until a moment.
    fn wait(&self, until: u64) -> Result<()> {
        let busy = self.clients.iter().filter(|client| client.state != State::Idle);
        let mut waiter = Waiter::new(busy.filter_map(|client| client.socket.as_ref()));
        waiter.wait(until.saturating_sub(clock::nanos())).context("cannot wait")
    }

    /// Waits for the answers to what is under way.
    fn settle(&mut self) -> Result<()> {
        while self.clients.iter().any(|client| client.state != State::Idle) {
            self.wait(clock::nanos() + ANSWER_NANOS_MAX)?;
            for index in 0..self.clients.len() {
                self.serve(index)?;
            }
        }
        Ok(())
    }

    fn next_request(&mut self, index: usize) -> Option<Request> {
        let client = &mut self.clients[index];
        if self.phase == Phase::Fill {
            return (client.announced < client.peers.len())
                .then(|| Request::Announce(client.next_peer()));
        }
        let HttpLoad { announces, scrapes, .. } = *self.load;
        let peer = client.next_peer();
        client.turn = (client.turn + 1) % (announces + scrapes);
        let is_announce = client.turn < announces;
        Some(if is_announce { Request::Announce(peer) } else { Request::Scrape(peer) })
    }

    /// Whether connections are kept in this phase; to fill a tracker they always are.
    fn reuse(&self) -> Reuse {
        if self.phase == Phase::Fill { Reuse::KeepAlive } else { self.load.reuse }
    }

    /// Sends a request over the connection that the client has, or over a new one.
    fn begin(&mut self, index: usize, request: Request, due_nanos: u64) -> Result<()> {
        let reuse = self.reuse();
        let client = &mut self.clients[index];
        self.writer.write(&mut client.request, request, reuse);
        (client.asked, client.due_nanos, client.received) = (request, due_nanos, 0);
        let sent = if reuse == Reuse::KeepAlive && client.socket.is_some() {
            client.send(true)
        } else {
            client.socket = None;
            self.counts.connections += 1;
            client.connect_and_send(self.load.target)
        };
        self.judge_progress(index, sent)
    }

    /// Goes on with what a client has under way; tells whether it was answered.
    fn serve(&mut self, index: usize) -> Result<bool> {
        let client = &mut self.clients[index];
        let progress = match client.state {
            State::Idle => return Ok(false),
            State::Connecting => client.send(false),
            State::Ending { until_nanos } => {
                client.await_end(until_nanos);
                return Ok(false);
            }
            State::Waiting { kept } => match client.receive() {
                Ok(None) => Ok(()),
                Ok(Some(body)) => {
                    self.answered(index, body);
                    return Ok(true);
                }
                // The tracker has closed it without saying so before: not an answer, and no loss.
                Err(_) if kept => {
                    client.socket = None;
                    self.counts.connections += 1;
                    client.connect_and_send(self.load.target)
                }
                Err(cause) => Err(cause),
            },
        };
        self.judge_progress(index, progress)?;
        Ok(false)
    }

    /// Counts a request as lost if its connection failed or it has waited for too long.
    fn judge_progress(&mut self, index: usize, progress: io::Result<()>) -> Result<()> {
        let client = &mut self.clients[index];
        let cause = match progress {
            Err(cause) => cause,
            Ok(()) if clock::nanos() < client.due_nanos + ANSWER_NANOS_MAX => return Ok(()),
            Ok(()) => ErrorKind::TimedOut.into(),
        };
        client.abandon();
        self.counts.lost += 1;
        self.failures += 1;
        ensure!(self.failures < FAILURES_MAX, "{FAILURES_MAX} requests in a row failed: {cause}");
        Ok(())
    }

    /// Counts an answer.
    fn answered(&mut self, index: usize, body: Result<Body, Wrong>) {
        let reuse = self.reuse();
        self.failures = 0;
        let client = &mut self.clients[index];
        let judged = body.and_then(|body| {
            self.latencies.record(clock::nanos().saturating_sub(client.due_nanos));
            let bytes = &client.response[body.start..body.end];
            take(&mut self.judge, &mut self.counts, client.asked, bytes)
        });
        if let Err(wrong) = judged {
            self.counts.note(wrong);
        }
        let client = &mut self.clients[index];
        self.counts.resumed += u64::from(client.is_resumed());
        let Ok(Body { kept, .. }) = body else {
            return client.abandon();
        };
        if kept && reuse == Reuse::KeepAlive {
            client.state = State::Idle;
            return;
        }
        let patience = if kept { UNANNOUNCED_NANOS_MAX } else { ANSWER_NANOS_MAX };
        let until_nanos = clock::nanos() + patience;
        client.state = State::Ending { until_nanos };
        // Most trackers have closed it by now.
        client.await_end(until_nanos);
    }
}

/// Judges the body of an answer.
fn take(judge: &mut Judge, counts: &mut Counts, asked: Request, body: &[u8]) -> Result<(), Wrong> {
    match asked {
        Request::Announce(peer) => {
            let Announced { peers, flaw } = judge.http_announce(peer, body)?;
            counts.announces += 1;
            counts.peers += peers;
            flaw.map_or(Ok(()), Err)
        }
        Request::Scrape(peer) => {
            let flaw = judge.http_scrape(peer, body)?;
            counts.scrapes += 1;
            flaw.map_or(Ok(()), Err)
        }
    }
}
