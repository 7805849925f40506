//! Load over UDP: a closed loop with a window of requests on each socket, or an open loop.
//!
//! Every answer is judged. The closed loop never sleeps, because waking it would be charged to the
//! tracker: it looks away until there are many answers, and the time that takes is not counted as
//! the cost of requests. The open loop sleeps until the next request is due or an answer is there.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};

use skep_proto::peer_addr::IPV4_BYTES;
use skep_proto::udp::ANNOUNCE_HEADER_BYTES;

use crate::load::answer::{Announced, Check, Judge, Wrong, udp_connect, udp_scrape};
use crate::load::clock;
use crate::load::figures::{Counts, Figures, Moment, Timing};
use crate::load::latency::Latencies;
use crate::load::mmsg::{Inbox, Outbox, SEGMENTS_MAX, cuts_messages};
use crate::load::pace::{Pace, Rest, Schedule};
use crate::load::packet::{Request, Writer};
use crate::load::population::Population;
use crate::load::process;
use crate::load::source::{ANSWER_NANOS_MAX, SLOTS_MAX, Source};
use crate::load::system::{PreciseSleep, Waiter, look_away};

/// How long filling may take without any progress.
const STALL_NANOS_MAX: u64 = 5_000_000_000;
/// How often lost requests are looked for.
const GIVE_UP_NANOS: u64 = 50_000_000;
/// After how long a fill asks for new connection ids; a second later than this is promised nowhere.
const CONNECTION_NANOS: u64 = 50_000_000_000;
/// Answers that nobody waits for any more, taken together with the others.
const STRAYS: usize = 8;
/// Requests of an open loop that follow each other from the same source, at any rate.
const RUN_MIN: u64 = 8;
const RUN_MAX: u64 = 64;
/// So much of an open loop comes from the same source, so that high rates have large batches too.
const RUN_SECS: f64 = 2e-4;
/// Connects that let a tracker touch its buffers before its memory is measured.
const FIRST_CONNECTS_SECS: f64 = 0.2;

/// How often each kind of request comes, relative to the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) connects: u32,
    pub(crate) announces: u32,
    pub(crate) scrapes: u32,
}

/// How to load a tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UdpLoad {
    pub(crate) target: SocketAddr,
    pub(crate) pace: Pace,
    /// Requests under way on each socket in the closed loop, which also fills the tracker.
    pub(crate) window: usize,
    pub(crate) mix: Mix,
    pub(crate) num_want: u32,
    /// Users who announce, each with a passkey; unset for announces without one.
    pub(crate) users: Option<u32>,
    pub(crate) check: Check,
    /// Requests of one kind that are handed to the kernel as one message.
    pub(crate) segments_max: usize,
    /// Load before the window is timed.
    pub(crate) warm_up_secs: f64,
    pub(crate) secs: f64,
    /// Whether a latency counts from when a request was sent instead of when it was due: what the
    /// tracker took, whatever kept the generator from sending in time.
    pub(crate) from_sent: bool,
    /// Process of the tracker, for its accounts.
    pub(crate) server: Option<u32>,
}

/// Fills a tracker with every peer once, then measures it under the mix.
///
/// # Errors
/// What the system reports, and a tracker that does not answer; wrong answers are only counted.
pub(crate) fn run(load: &UdpLoad, population: &Population) -> Result<Figures> {
    let mut generator = Generator::new(load, population)?;
    generator.fill()?;
    generator.measure(load)
}

/// Announces every peer once and returns what was counted.
///
/// # Errors
/// As [`run`].
pub(crate) fn fill(load: &UdpLoad, population: &Population) -> Result<Counts> {
    let mut generator = Generator::new(load, population)?;
    generator.fill()?;
    Ok(generator.counts)
}

/// Measures a tracker that was filled before.
///
/// # Errors
/// As [`run`].
pub(crate) fn measure(load: &UdpLoad, population: &Population) -> Result<Figures> {
    Generator::new(load, population)?.measure(load)
}

/// Fills a tracker with every peer once and tells by how many bytes its resident memory grew.
///
/// # Errors
/// As [`run`], and any wrong answer that is no flaw of its peers only.
pub(crate) fn growth_bytes(load: &UdpLoad, population: &Population, server: u32) -> Result<u64> {
    let mut generator = Generator::new(load, population)?;
    let mix = std::mem::replace(&mut generator.mix, Mix { connects: 1, announces: 0, scrapes: 0 });
    generator.mixed(Pace::Closed, FIRST_CONNECTS_SECS)?;
    generator.settle()?;
    generator.mix = mix;
    let before = process::resident_bytes(server)?;
    generator.fill()?;
    let after = process::resident_bytes(server)?;
    let (announces, peers) = (generator.counts.announces, population.peers());
    ensure!(
        announces >= peers,
        "{announces} of {peers} announces were answered well: {}",
        generator.counts.complaints()
    );
    Ok(after.saturating_sub(before))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fill,
    Mixed,
}

struct Generator<'a> {
    mix: Mix,
    window: usize,
    run: u64,
    from_sent: bool,
    phase: Phase,
    /// Requests of the mix made so far.
    turn: u32,
    writer: Writer,
    sources: Vec<Source<'a>>,
    judge: Judge,
    counts: Counts,
    /// From when a request was due, or was sent in the closed loop, to its answer.
    latencies: Latencies,
    /// From when a request was due until it was sent.
    lags: Latencies,
    spun_nanos: u64,
    gave_up_nanos: u64,
    /// Which sources are to ask for a new connection id while filling.
    connects_due: Vec<bool>,
    rest: Rest,
    inbox: Inbox,
    outbox: Outbox,
}

impl<'a> Generator<'a> {
    fn new(load: &UdpLoad, population: &'a Population) -> Result<Self> {
        let Mix { connects, announces, scrapes } = load.mix;
        ensure!(connects + announces + scrapes > 0, "the mix is empty");
        let slots = slots(load, population.lists.len())?;
        let mut sources = Vec::new();
        for (index, peers) in population.lists.iter().enumerate() {
            sources.push(Source::open(index, peers, load.target, slots)?);
        }
        let writer = Writer::new(population.sources, load.num_want, load.users);
        let is_cut = cuts_messages(&sources[0].socket);
        let segments_max = if is_cut { load.segments_max.clamp(1, SEGMENTS_MAX) } else { 1 };
        let outbox = Outbox::new(&writer.templates(), segments_max);
        let mut judge = Judge::new(population.sources, load.num_want, load.check);
        sources[0].wait_for_acceptance(&writer, &mut judge).context("every announce is refused")?;
        Ok(Self {
            mix: load.mix,
            window: load.window,
            run: match load.pace {
                Pace::Open { per_sec } => ((per_sec * RUN_SECS) as u64).clamp(RUN_MIN, RUN_MAX),
                Pace::Closed => RUN_MIN,
            },
            from_sent: load.from_sent,
            phase: Phase::Fill,
            turn: 0,
            writer,
            sources,
            judge,
            counts: Counts::default(),
            latencies: Latencies::new(),
            lags: Latencies::new(),
            spun_nanos: 0,
            gave_up_nanos: 0,
            connects_due: vec![false; population.lists.len()],
            rest: Rest::new(),
            inbox: Inbox::new(answer_bytes_max(load.num_want)),
            outbox,
        })
    }

    /// Loads the tracker, first without and then with the watch running.
    fn measure(&mut self, load: &UdpLoad) -> Result<Figures> {
        self.mixed(load.pace, load.warm_up_secs)?;
        self.forget_times();
        let before = self.counts;
        let begin = Moment::now(load.server)?;
        self.mixed(load.pace, load.secs)?;
        let end = Moment::now(load.server)?;
        if load.pace != Pace::Closed {
            self.settle()?;
        }
        let timing = Timing {
            latency: self.latencies.quantiles(),
            lag: self.lags.quantiles(),
            spun_secs: self.spun_nanos as f64 / 1e9,
        };
        Figures::new((begin, end), (before, self.counts), timing, load.server)
    }

    /// Announces every peer once.
    fn fill(&mut self) -> Result<()> {
        self.phase = Phase::Fill;
        let mut progress = (0, clock::nanos());
        let mut connected_nanos = clock::nanos();
        while self.sources.iter().any(Source::is_filling) {
            let now = self.closed_round()?;
            if now > connected_nanos + CONNECTION_NANOS {
                connected_nanos = now;
                self.connects_due.fill(true);
            }
            let (announces, since) = progress;
            if self.counts.announces > announces {
                progress = (self.counts.announces, now);
            } else if now > since + STALL_NANOS_MAX {
                let complaints = self.counts.complaints();
                bail!(
                    "no announce was answered for {} s; wrong answers: {complaints}",
                    STALL_NANOS_MAX / 1_000_000_000
                );
            }
        }
        Ok(())
    }

    /// Loads the tracker with the mix for a while.
    fn mixed(&mut self, pace: Pace, secs: f64) -> Result<()> {
        self.phase = Phase::Mixed;
        let start = clock::nanos();
        let end = start + (secs * 1e9) as u64;
        match pace {
            Pace::Closed => {
                while self.closed_round()? < end {}
                Ok(())
            }
            Pace::Open { per_sec } => self.open_loop(Schedule::new(start, per_sec), end),
        }
    }

    /// Serves every socket once, then leaves the tracker time to answer; returns when that began.
    fn closed_round(&mut self) -> Result<u64> {
        let begin = clock::nanos();
        let (mut received, mut under_way) = (0, 0);
        for index in 0..self.sources.len() {
            received += self.receive(index)?;
            let now = clock::nanos();
            while self.sources[index].under_way() < self.window {
                let Some(request) = self.next_request(index) else {
                    break;
                };
                self.push(index, request, now)?;
            }
            self.flush(index)?;
            under_way += self.sources[index].under_way();
        }
        self.give_up(begin);
        self.rest.after(received, under_way);
        self.spun_nanos += look_away(self.rest.nanos());
        Ok(begin)
    }

    fn open_loop(&mut self, mut schedule: Schedule, end: u64) -> Result<()> {
        let _precise = PreciseSleep::begin();
        let mut waiter = self.waiter();
        loop {
            let now = clock::nanos();
            if now >= end {
                return Ok(());
            }
            self.send_due(&mut schedule, now)?;
            let until = schedule.due_nanos().min(end);
            self.wait(&mut waiter, until)?;
            self.give_up(now);
        }
    }

    /// Sends what is due, one batch for each source.
    fn send_due(&mut self, schedule: &mut Schedule, now: u64) -> Result<()> {
        let sources = self.sources.len() as u64;
        let mut last = None;
        while let Some((number, due)) = schedule.take(now) {
            let index = (number / self.run % sources) as usize;
            if let Some(before) = last.replace(index)
                && before != index
            {
                self.flush(before)?;
            }
            if let Some(request) = self.next_request(index) {
                self.lags.record(now - due);
                self.push(index, request, if self.from_sent { now } else { due })?;
            }
        }
        last.map_or(Ok(()), |index| self.flush(index))
    }

    /// Sleeps until there are answers, or until a moment, and takes the answers.
    fn wait(&mut self, waiter: &mut Waiter, until: u64) -> Result<()> {
        waiter.wait(until.saturating_sub(clock::nanos())).context("cannot wait")?;
        for index in 0..self.sources.len() {
            if waiter.is_ready(index) {
                self.receive(index)?;
            }
        }
        Ok(())
    }

    fn waiter(&self) -> Waiter {
        Waiter::new(self.sources.iter().map(|source| &source.socket))
    }

    /// Waits for the answers to what is under way and gives up what has none in time.
    fn settle(&mut self) -> Result<()> {
        let mut waiter = self.waiter();
        let end = clock::nanos() + ANSWER_NANOS_MAX;
        while clock::nanos() < end && self.sources.iter().any(|source| source.under_way() > 0) {
            self.wait(&mut waiter, end)?;
        }
        self.gave_up_nanos = 0;
        self.give_up(end);
        Ok(())
    }

    /// Judges the answers that wait at a socket and returns how many there were.
    fn receive(&mut self, index: usize) -> Result<usize> {
        let source = &self.sources[index];
        let count_max = source.under_way() + STRAYS;
        self.inbox.receive(&source.socket, count_max).context("cannot receive")?;
        let received = self.inbox.len();
        if received > 0 {
            let now = clock::nanos();
            for at in 0..received {
                if let Err(wrong) = self.take(index, at, now) {
                    self.counts.note(wrong);
                }
            }
        }
        Ok(received)
    }

    fn take(&mut self, index: usize, at: usize, now: u64) -> Result<(), Wrong> {
        let Self { sources, judge, counts, inbox, latencies, .. } = self;
        let source = &mut sources[index];
        let answer = inbox.datagram(at);
        let Some((request, due)) = source.end(answer, counts)? else {
            return Ok(());
        };
        latencies.record(now.saturating_sub(due));
        match request {
            Request::Connect => {
                source.connection_id = udp_connect(answer)?;
                counts.connects += 1;
            }
            Request::Announce(peer) => {
                let Announced { peers, flaw } = judge.udp_announce(peer, answer)?;
                counts.peers += peers;
                counts.announces += 1;
                return flaw.map_or(Ok(()), Err);
            }
            Request::Scrape(peer) => {
                udp_scrape(peer, answer, judge.check)?;
                counts.scrapes += 1;
            }
        }
        Ok(())
    }

    /// Puts a request among those to be sent to a source's socket.
    fn push(&mut self, index: usize, request: Request, due: u64) -> Result<()> {
        let kind = request.kind();
        if self.outbox.is_full(kind) {
            self.flush(index)?;
        }
        let source = &mut self.sources[index];
        let Some(transaction_id) = source.begin(request, due) else {
            // More are under way than the rate brings in the time that an answer may take.
            self.counts.lost += 1;
            return Ok(());
        };
        let room = self.outbox.push(kind);
        self.writer.write(room, request, source.connection_id, transaction_id);
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Result<()> {
        self.outbox.send(&self.sources[index].socket).context("cannot send")
    }

    fn next_request(&mut self, index: usize) -> Option<Request> {
        let source = &mut self.sources[index];
        if self.phase == Phase::Fill {
            if std::mem::take(&mut self.connects_due[index]) {
                return Some(Request::Connect);
            }
            return source.next_unannounced().map(Request::Announce);
        }
        let Mix { connects, announces, scrapes } = self.mix;
        self.turn = (self.turn + 1) % (connects + announces + scrapes);
        Some(if self.turn < connects {
            Request::Connect
        } else if self.turn < connects + announces {
            Request::Announce(source.next_peer())
        } else {
            Request::Scrape(source.next_peer())
        })
    }

    /// Looks now and then for requests that had no answer in time.
    fn give_up(&mut self, now: u64) {
        if now < self.gave_up_nanos + GIVE_UP_NANOS {
            return;
        }
        self.gave_up_nanos = now;
        for source in &mut self.sources {
            self.counts.lost += source.give_up(now, self.phase == Phase::Fill);
        }
    }

    fn forget_times(&mut self) {
        self.latencies.clear();
        self.lags.clear();
        self.spun_nanos = 0;
    }
}

/// The longest answer to look at, one peer more than is right; no datagram has more than 64 KiB.
fn answer_bytes_max(num_want: u32) -> usize {
    let peers = (num_want as usize).min(usize::from(u16::MAX) / IPV4_BYTES) + 1;
    ANNOUNCE_HEADER_BYTES + peers * IPV4_BYTES
}

/// How many requests each source may have under way at the most.
fn slots(load: &UdpLoad, sources: usize) -> Result<usize> {
    ensure!((1..=SLOTS_MAX).contains(&load.window), "the window must be between 1 and {SLOTS_MAX}");
    let Pace::Open { per_sec } = load.pace else {
        return Ok(load.window);
    };
    ensure!(per_sec > 0.0, "the rate must be above 0");
    // All requests of the time after which they are given up, and of the time until that is seen.
    let secs = (ANSWER_NANOS_MAX + 2 * GIVE_UP_NANOS) as f64 / 1e9;
    let slots = (per_sec * secs) as usize / sources + 2 * RUN_MAX as usize;
    ensure!(slots <= SLOTS_MAX, "that rate needs more sources");
    Ok(slots.max(load.window))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use skep_proto::peer_addr::pack_ipv4;
    use skep_proto::udp::{ACTION_SCRAPE, Header, read_announce, read_scrape};

    use super::*;
    use crate::load::population::{Sources, Spread};

    /// What a tracker of the tests does to a good answer.
    type Fault = fn(&mut Vec<u8>, SocketAddr, u16);

    /// Loads a tracker that knows no peers and answers with a fault.
    fn figures(pace: Pace, fault: Fault) -> Figures {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let sources = Sources::new(2).unwrap();
        let population = Population::new(4, 100, Spread::Even, sources).unwrap();
        let load = UdpLoad {
            target,
            pace,
            window: 8,
            mix: Mix { connects: 1, announces: 1, scrapes: 1 },
            num_want: 30,
            users: None,
            check: Check::Full,
            segments_max: SEGMENTS_MAX,
            warm_up_secs: 0.0,
            secs: 0.1,
            from_sent: false,
            server: None,
        };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    answer(&socket, fault);
                }
            });
            let figures = run(&load, &population);
            done.store(true, Ordering::Relaxed);
            figures.unwrap()
        })
    }

    /// Answers one request, if there is one soon.
    fn answer(socket: &UdpSocket, fault: Fault) {
        let mut request = [0; 256];
        let Ok((length, from)) = socket.recv_from(&mut request) else {
            return;
        };
        let request = &request[..length];
        let header = Header::read(request).unwrap();
        let mut answer = header.action.to_be_bytes().to_vec();
        answer.extend(header.transaction_id.0);
        if header.is_connect() {
            answer.extend([7; 8]);
        } else {
            assert_eq!(header.connection_id.0.to_be_bytes(), [7; 8]);
            if header.action == ACTION_SCRAPE {
                assert_eq!(read_scrape(request).unwrap().len(), 1);
                answer.extend([0; 12]);
            } else {
                let port = read_announce(request).unwrap().announce.port;
                answer.extend([0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 0]);
                fault(&mut answer, from, port);
            }
        }
        socket.send_to(&answer, from).unwrap();
    }

    #[test]
    fn honest_answers_are_all_counted_and_none_is_wrong() {
        let figures = figures(Pace::Closed, |_, _, _| {});
        assert_eq!((figures.wrong_total(), figures.fill.announces), (0, 100));
        let counts = figures.counts;
        assert!(counts.connects > 0 && counts.announces > 0 && counts.scrapes > 0);
        assert!(figures.timing.latency.p50_us > 0.0);
    }

    #[test]
    fn open_loop_sends_what_is_due_and_waits_for_every_answer() {
        let figures = figures(Pace::Open { per_sec: 2000.0 }, |_, _, _| {});
        assert_eq!((figures.wrong_total(), figures.fill.announces), (0, 100));
        let counts = figures.counts;
        // 2000 a second for 0.1 s, but for what was due while the window's end was noticed.
        let requests = counts.answers() + counts.lost;
        assert!((1..=200).contains(&requests), "{requests}");
        assert!(figures.timing.latency.max_us > 0.0);
    }

    #[test]
    fn wrong_answers_are_counted_by_kind() {
        let faults: [(Wrong, Fault); 3] = [
            (Wrong::Own, |answer, from, port| {
                let SocketAddr::V4(from) = from else {
                    unreachable!("the tests use IPv4");
                };
                answer.extend(pack_ipv4(*from.ip(), port));
            }),
            (Wrong::Stranger, |answer, _, _| answer.extend([9; 6])),
            (Wrong::Length, |answer, _, _| answer.push(0)),
        ];
        for (wrong, fault) in faults {
            let figures = figures(Pace::Closed, fault);
            assert_eq!(figures.fill.wrong[wrong as usize], 100, "{wrong}");
            // Who answers with the asker among the peers has answered all the same.
            assert_eq!(figures.counts.announces > 0, wrong == Wrong::Own, "{wrong}");
        }
    }
}
