//! What a run counted and what follows from it.
//!
//! Numbers and how they are shown; where they come from is not known here.

use std::fmt;

use anyhow::Result;
use skep_net::clock::monotonic_coarse_nanos;

use crate::load::answer::Wrong;
use crate::load::latency::Quantiles;
use crate::load::process;

/// The least processor time that accounts tell from none.
const TICK_SECS: f64 = 0.01;

/// Counts of answers, added up while a run goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connects: u64,
    pub(crate) announces: u64,
    pub(crate) scrapes: u64,
    /// Offers that arrived at another WebSocket client.
    pub(crate) offers: u64,
    /// Answers that arrived at the WebSocket client that had offered.
    pub(crate) answers_to_offers: u64,
    /// Replies over WebSocket to those who sent something, beside what was relayed.
    pub(crate) replies: u64,
    /// Peers in all answers together.
    pub(crate) peers: u64,
    /// Connections that requests were sent over; UDP has none.
    pub(crate) connections: u64,
    /// Answers over connections that resumed a TLS session.
    pub(crate) resumed: u64,
    /// Requests without an answer in time.
    pub(crate) lost: u64,
    /// Answers to requests that counted as lost.
    pub(crate) late: u64,
    /// By kind, in the order of [`Wrong::ALL`].
    pub(crate) wrong: [u64; Wrong::ALL.len()],
}

impl Counts {
    pub(crate) fn note(&mut self, wrong: Wrong) {
        self.wrong[wrong as usize] += 1;
    }

    /// All answers but the wrong ones; one whose only fault are its peers was as much work.
    ///
    /// Over WebSocket it is what was relayed that counts, and replies are a part of its cost.
    pub(crate) fn answers(&self) -> u64 {
        self.connects + self.announces + self.scrapes + self.relayed()
    }

    /// Messages from one WebSocket client to another.
    pub(crate) fn relayed(&self) -> u64 {
        self.offers + self.answers_to_offers
    }

    pub(crate) fn wrong_total(&self) -> u64 {
        self.wrong.iter().sum()
    }

    /// What was counted since an earlier state of the same counts.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut wrong = self.wrong;
        for (now, before) in wrong.iter_mut().zip(earlier.wrong) {
            *now -= before;
        }
        Self {
            connects: self.connects - earlier.connects,
            announces: self.announces - earlier.announces,
            scrapes: self.scrapes - earlier.scrapes,
            offers: self.offers - earlier.offers,
            answers_to_offers: self.answers_to_offers - earlier.answers_to_offers,
            replies: self.replies - earlier.replies,
            peers: self.peers - earlier.peers,
            connections: self.connections - earlier.connections,
            resumed: self.resumed - earlier.resumed,
            lost: self.lost - earlier.lost,
            late: self.late - earlier.late,
            wrong,
        }
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.connects += other.connects;
        self.announces += other.announces;
        self.scrapes += other.scrapes;
        self.offers += other.offers;
        self.answers_to_offers += other.answers_to_offers;
        self.replies += other.replies;
        self.peers += other.peers;
        self.connections += other.connections;
        self.resumed += other.resumed;
        self.lost += other.lost;
        self.late += other.late;
        for (sum, more) in self.wrong.iter_mut().zip(other.wrong) {
            *sum += more;
        }
    }

    /// The kinds of wrong answers that occurred, with their numbers.
    pub(crate) fn complaints(&self) -> String {
        let kinds = Wrong::ALL.iter().zip(self.wrong);
        let found: Vec<String> = kinds
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} x {kind}"))
            .collect();
        found.join(", ")
    }
}

/// Clocks and accounts at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    secs: f64,
    own_cpu_secs: f64,
    machine_cpu_secs: f64,
    server_cpu_secs: f64,
}

impl Moment {
    /// Reads everything, the server's account only if its process is known.
    pub(crate) fn now(server: Option<u32>) -> Result<Self> {
        Ok(Self {
            secs: monotonic_coarse_nanos() as f64 / 1e9,
            own_cpu_secs: process::cpu_secs(std::process::id())?,
            machine_cpu_secs: process::machine_cpu_secs()?,
            server_cpu_secs: server.map_or(Ok(0.0), process::cpu_secs)?,
        })
    }
}

/// How long answers took in the window, and what the generator itself did with its time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    /// From the moment a request was due, or was sent if that was asked for.
    pub(crate) latency: Quantiles,
    /// How late requests were sent; zero for a closed loop.
    pub(crate) lag: Quantiles,
    /// Spent looking for answers in vain, which is no cost of any request.
    pub(crate) spun_secs: f64,
}

/// What the timed window of a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    /// What was counted before the window, while the tracker was filled.
    pub(crate) fill: Counts,
    pub(crate) secs: f64,
    pub(crate) timing: Timing,
    pub(crate) own_cpu_secs: f64,
    /// Of processes that are neither the tracker nor this one.
    pub(crate) foreign_cpu_secs: f64,
    /// 0 when the process is not known.
    pub(crate) server_cpu_secs: f64,
    /// 0 when the process is not known.
    pub(crate) server_resident_bytes: u64,
}

impl Figures {
    pub(crate) fn new(
        (begin, end): (Moment, Moment),
        (fill, counts): (Counts, Counts),
        timing: Timing,
        server: Option<u32>,
    ) -> Result<Self> {
        let own_cpu_secs = end.own_cpu_secs - begin.own_cpu_secs;
        let server_cpu_secs = end.server_cpu_secs - begin.server_cpu_secs;
        let machine_cpu_secs = end.machine_cpu_secs - begin.machine_cpu_secs;
        Ok(Self {
            counts: counts.since(&fill),
            fill,
            secs: end.secs - begin.secs,
            timing,
            own_cpu_secs,
            foreign_cpu_secs: (machine_cpu_secs - own_cpu_secs - server_cpu_secs).max(0.0),
            server_cpu_secs,
            server_resident_bytes: server.map_or(Ok(0), process::resident_bytes)?,
        })
    }

    /// Two generators that loaded the same tracker at the same time; the watch is that of `self`.
    pub(crate) fn with(mut self, other: &Self) -> Self {
        self.counts.add(&other.counts);
        self.fill.add(&other.fill);
        self.timing.spun_secs += other.timing.spun_secs;
        self
    }

    /// The figure to trust: it does not follow the speed of the generator.
    pub(crate) fn answers_per_server_cpu_sec(&self) -> f64 {
        // Accounts are kept in ticks; less than one shows as none.
        self.counts.answers() as f64 / self.server_cpu_secs.max(TICK_SECS)
    }

    pub(crate) fn answers_per_sec(&self) -> f64 {
        self.counts.answers() as f64 / self.secs
    }

    pub(crate) fn peers_per_announce(&self) -> f64 {
        self.counts.peers as f64 / self.counts.announces.max(1) as f64
    }

    /// What an answer cost this program, in microseconds of processor time.
    pub(crate) fn own_cpu_us(&self) -> f64 {
        let worked_secs = (self.own_cpu_secs - self.timing.spun_secs).max(0.0);
        worked_secs * 1e6 / self.counts.answers().max(1) as f64
    }

    /// How many cores other processes kept busy.
    pub(crate) fn foreign_cores(&self) -> f64 {
        self.foreign_cpu_secs / self.secs
    }

    /// Lost requests of all requests in the window.
    pub(crate) fn loss(&self) -> f64 {
        let lost = self.counts.lost as f64;
        lost / (self.counts.answers() as f64 + lost).max(1.0)
    }

    /// Wrong answers from the first request on.
    pub(crate) fn wrong_total(&self) -> u64 {
        self.counts.wrong_total() + self.fill.wrong_total()
    }

    /// The kinds of wrong answers, before the window and in it.
    pub(crate) fn complaints(&self) -> String {
        let mut all = self.fill;
        all.add(&self.counts);
        all.complaints()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        if counts.relayed() > 0 {
            writeln!(
                f,
                "relayed      {:>12} ({} offers, {} answers) and {} replies in {:.2} s",
                counts.answers(),
                counts.offers,
                counts.answers_to_offers,
                counts.replies,
                self.secs
            )?;
        } else {
            writeln!(
                f,
                "answers      {:>12} ({} connects, {} announces, {} scrapes) in {:.2} s",
                counts.answers(),
                counts.connects,
                counts.announces,
                counts.scrapes,
                self.secs
            )?;
        }
        if counts.resumed > 0 {
            writeln!(f, "resumed      {:>12} TLS sessions", counts.resumed)?;
        }
        writeln!(f, "per second   {:>12.0}", self.answers_per_sec())?;
        if self.server_cpu_secs > 0.0 {
            writeln!(
                f,
                "per server CPU second {:>3.0} ({:.2} s used, {:.1} MiB resident)",
                self.answers_per_server_cpu_sec(),
                self.server_cpu_secs,
                self.server_resident_bytes as f64 / f64::from(1 << 20)
            )?;
        }
        if counts.peers > 0 {
            writeln!(f, "peers        {:>12.2} per announce", self.peers_per_announce())?;
        }
        writeln!(
            f,
            "lost         {:>12} in the window, {} before; {} answers late",
            counts.lost,
            self.fill.lost,
            counts.late + self.fill.late
        )?;
        writeln!(
            f,
            "own CPU      {:>12.2} us per answer, other processes {:.2} s",
            self.own_cpu_us(),
            self.foreign_cpu_secs
        )?;
        writeln!(f, "latency      {}", self.timing.latency)?;
        if self.timing.lag.max_us > 0.0 {
            writeln!(f, "sent late    {}", self.timing.lag)?;
        }
        write!(f, "wrong        {:>12} {}", self.wrong_total(), self.complaints())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_leaves_out_what_was_before_but_not_its_wrong_answers() {
        let mut counts = Counts { announces: 10, peers: 30, ..Counts::default() };
        counts.note(Wrong::Own);
        let fill = counts;
        counts.announces += 4;
        counts.peers += 8;
        counts.lost += 1;
        let window = counts.since(&fill);
        assert_eq!((window.announces, window.peers, window.lost), (4, 8, 1));
        assert_eq!(window.wrong_total(), 0);
        assert_eq!(counts.complaints(), "1 x own endpoint among the peers");
    }
}
