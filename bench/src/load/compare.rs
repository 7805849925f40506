//! Trackers side by side: the same scenarios in turn, several rounds, one table for each.
//!
//! The runs of a round follow each other (A B A B), so that what disturbs the machine for a while
//! disturbs all. How to load and what to count is known by the modes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::clock::monotonic_coarse_nanos;

use crate::load::figures::Figures;
use crate::load::http::{self, HttpLoad, Reuse};
use crate::load::population::{Population, Sources, Spread};
use crate::load::process::machine_cpu_secs;
use crate::load::server::Server;
use crate::load::udp::{self, Mix, UdpLoad};

/// Use of the machine by others, in cores, that does not keep a run from starting.
const QUIET_CORES_MAX: f64 = 0.05;

/// Use of the machine by others, in cores, that makes a run worthless.
const DISTURBED_CORES_MIN: f64 = 0.1;

/// How the trackers are loaded.
#[derive(Clone, Copy)]
enum Load {
    Udp { window: usize, mix: Mix },
    Http(Reuse),
}

/// One comparison.
struct Scenario {
    title: &'static str,
    torrents: u32,
    peers: u32,
    spread: Spread,
    load: Load,
}

const HALF_CONNECTS: Load =
    Load::Udp { window: 32, mix: Mix { connects: 1, announces: 1, scrapes: 0 } };

const FULL: &[Scenario] = &[
    Scenario {
        title: "UDP, half connects and half announces, peers spread by 1/rank",
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Rank,
        load: HALF_CONNECTS,
    },
    Scenario {
        title: "UDP, half connects and half announces, two peers a torrent",
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Even,
        load: HALF_CONNECTS,
    },
    Scenario {
        title: "UDP, half connects and half announces, every answer full",
        torrents: 10_000,
        peers: 500_000,
        spread: Spread::Even,
        load: HALF_CONNECTS,
    },
    Scenario {
        title: "HTTP, a new connection for each announce",
        torrents: 10_000,
        peers: 200_000,
        spread: Spread::Rank,
        load: Load::Http(Reuse::Never),
    },
    Scenario {
        title: "HTTP, kept connections",
        torrents: 10_000,
        peers: 200_000,
        spread: Spread::Rank,
        load: Load::Http(Reuse::KeepAlive),
    },
];

/// Small enough for every test run; what it shows is that answers are right.
const SMOKE: &[Scenario] = &[
    Scenario {
        title: "UDP, connects, announces and scrapes",
        torrents: 1000,
        peers: 20_000,
        spread: Spread::Rank,
        load: Load::Udp { window: 32, mix: Mix { connects: 2, announces: 4, scrapes: 1 } },
    },
    Scenario {
        title: "HTTP, a new connection for each announce",
        torrents: 100,
        peers: 2000,
        spread: Spread::Rank,
        load: Load::Http(Reuse::Never),
    },
    Scenario {
        title: "HTTP, kept connections",
        torrents: 100,
        peers: 2000,
        spread: Spread::Rank,
        load: Load::Http(Reuse::KeepAlive),
    },
];

/// A tracker to measure.
pub(crate) struct Tracker {
    pub(crate) name: String,
    /// With `{port}` where the port belongs.
    pub(crate) command: String,
    /// Whether it answers HTTP on the port as well.
    pub(crate) http: bool,
}

impl Tracker {
    /// Reads `name=command`.
    pub(crate) fn parse(text: &str, http: bool) -> Result<Self> {
        let (name, command) = text
            .split_once('=')
            .with_context(|| format!("a tracker is name=command, not {text:?}"))?;
        Ok(Self { name: name.to_owned(), command: command.to_owned(), http })
    }
}

/// How to compare.
pub(crate) struct Comparison {
    /// The first one is what the others are held against.
    pub(crate) trackers: Vec<Tracker>,
    pub(crate) smoke: bool,
    pub(crate) port: u16,
    pub(crate) rounds: usize,
    pub(crate) secs: f64,
    /// Seconds to wait in all for other processes to become quiet.
    pub(crate) quiet_secs_max: f64,
}

impl Comparison {
    /// Runs everything and returns the tables in Markdown.
    ///
    /// # Errors
    /// A tracker that does not start or answer, and any wrong answer.
    pub(crate) fn run(mut self) -> Result<String> {
        ensure!(!self.trackers.is_empty(), "no tracker to measure");
        let cores = Server::cores();
        let mut text = String::new();
        let scenarios = if self.smoke { SMOKE } else { FULL };
        for scenario in scenarios {
            let sources = Sources::new(16)?;
            let Scenario { torrents, peers, .. } = *scenario;
            let population = Population::new(torrents, peers, scenario.spread, sources)?;
            eprintln!("{}: {torrents} torrents, {peers} peers", scenario.title);
            let mut rows: Vec<Row> = Vec::new();
            for round in 1..=self.rounds {
                for tracker in 0..self.trackers.len() {
                    let over_http = matches!(scenario.load, Load::Http(_));
                    if over_http && !self.trackers[tracker].http {
                        continue;
                    }
                    let figures = self.undisturbed(tracker, scenario, &population, &cores)?;
                    let name = &self.trackers[tracker].name;
                    eprintln!("\nround {round}, {name}\n{figures}");
                    keep(&mut rows, name, figures);
                }
            }
            table(&mut text, scenario, &rows);
            let wrong: u64 = rows.iter().map(Row::wrong).sum();
            ensure!(wrong == 0, "{}: {wrong} wrong answers", scenario.title);
        }
        Ok(text)
    }

    /// Measures again what other processes disturbed, until the patience is used up.
    fn undisturbed(
        &mut self,
        tracker: usize,
        scenario: &Scenario,
        population: &Population,
        cores: &[usize],
    ) -> Result<Figures> {
        loop {
            self.wait_for_quiet()?;
            let start = monotonic_coarse_nanos();
            let figures = self.measure(tracker, scenario, population, cores)?;
            let foreign_cores = figures.foreign_cores();
            if foreign_cores <= DISTURBED_CORES_MIN
                || self.quiet_secs_max <= 0.0
                || figures.wrong_total() > 0
            {
                return Ok(figures);
            }
            eprintln!("other processes used {foreign_cores:.2} cores: once more");
            self.quiet_secs_max -= secs_since(start);
        }
    }

    fn measure(
        &self,
        tracker: usize,
        scenario: &Scenario,
        population: &Population,
        cores: &[usize],
    ) -> Result<Figures> {
        let tracker = &self.trackers[tracker];
        let server = Server::start(&tracker.command, self.port, cores)?;
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let (num_want, secs) = (30, self.secs);
        let warm_up_secs = if self.smoke { 0.1 } else { 1.0 };
        let pid = Some(server.pid());
        let figures = match scenario.load {
            Load::Udp { window, mix } => {
                let load =
                    UdpLoad { target, window, mix, num_want, warm_up_secs, secs, server: pid };
                udp::run(&load, population)
            }
            Load::Http(reuse) => {
                let load = HttpLoad { target, reuse, num_want, warm_up_secs, secs, server: pid };
                http::run(&load, population)
            }
        };
        let figures = figures.with_context(|| format!("measuring {}", tracker.name))?;
        if figures.counts.announces == 0 {
            bail!("{} answered no announce", tracker.name);
        }
        Ok(figures)
    }

    /// Waits until other processes leave the machine alone, or until the patience is used up.
    fn wait_for_quiet(&mut self) -> Result<()> {
        while self.quiet_secs_max > 0.0 {
            let (before, start) = (machine_cpu_secs()?, monotonic_coarse_nanos());
            sleep(Duration::from_secs(1));
            let secs = secs_since(start);
            let cores = (machine_cpu_secs()? - before) / secs;
            if cores <= QUIET_CORES_MAX {
                return Ok(());
            }
            self.quiet_secs_max -= secs;
        }
        Ok(())
    }
}

fn secs_since(start_nanos: u64) -> f64 {
    (monotonic_coarse_nanos() - start_nanos) as f64 / 1e9
}

/// All rounds of one tracker.
struct Row {
    name: String,
    rounds: Vec<Figures>,
}

impl Row {
    fn wrong(&self) -> u64 {
        self.rounds.iter().map(Figures::wrong_total).sum()
    }

    fn each(&self, figure: impl Fn(&Figures) -> f64) -> Range {
        Range::of(self.rounds.iter().map(figure).collect())
    }
}

fn keep(rows: &mut Vec<Row>, name: &str, figures: Figures) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.rounds.push(figures),
        None => rows.push(Row { name: name.to_owned(), rounds: vec![figures] }),
    }
}

/// Minimum, median and maximum.
struct Range {
    min: f64,
    median: f64,
    max: f64,
}

impl Range {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let below = values[(values.len() - 1) / 2];
        Self {
            min: values[0],
            median: f64::midpoint(below, values[middle]),
            max: values[values.len() - 1],
        }
    }
}

fn table(text: &mut String, scenario: &Scenario, rows: &[Row]) {
    let Some(first) = rows.first() else {
        return;
    };
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!("### {}\n", scenario.title));
    line(format!(
        "Torrents: {}. Peers: {}. Rounds: {}.\n",
        scenario.torrents,
        scenario.peers,
        first.rounds.len()
    ));
    line(format!(
        "| tracker | answers per server CPU second: median (min, max) | {} is x times as fast: \
         median (min, max) | answers per second | server core busy | resident MiB | \
         peers per announce | lost | wrong | other processes, cores |",
        first.name
    ));
    line("|---|---|---|---|---|---|---|---|---|---|".to_owned());
    for row in rows {
        let speed = row.each(Figures::answers_per_server_cpu_sec);
        let pairs = first.rounds.iter().zip(&row.rounds);
        let ratio = Range::of(
            pairs
                .map(|(ours, other)| {
                    ours.answers_per_server_cpu_sec() / other.answers_per_server_cpu_sec()
                })
                .collect(),
        );
        let mut words = format!(
            "| {} | {:.0} ({:.0}, {:.0}) | {:.2} ({:.2}, {:.2}) ",
            row.name, speed.median, speed.min, speed.max, ratio.median, ratio.min, ratio.max
        );
        let rate = row.each(Figures::answers_per_sec).median;
        let busy = row.each(|f| f.server_cpu_secs / f.secs).median;
        let resident = row.each(|f| f.server_resident_bytes as f64 / f64::from(1 << 20));
        let peers = row.each(Figures::peers_per_announce).median;
        let loss = row.each(Figures::loss).max;
        let foreign = row.each(Figures::foreign_cores).max;
        // Writing to a string cannot fail.
        let _ = write!(
            words,
            "| {rate:.0} | {:.0} % | {:.0} | {peers:.2} | {:.3} % | {} | {foreign:.2} |",
            busy * 100.0,
            resident.median,
            loss * 100.0,
            row.wrong()
        );
        line(words);
    }
    line(String::new());
    let runs = rows.iter().flat_map(|row| &row.rounds);
    let foreign = runs.map(Figures::foreign_cores).fold(0.0, f64::max);
    if foreign > DISTURBED_CORES_MIN {
        line(format!(
            "Disturbed: other processes used up to {foreign:.2} of the machine's cores, so \
             differences of some per cent mean nothing here.\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_odd_and_even_numbers_of_rounds() {
        let odd = Range::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        assert_eq!(Range::of(vec![4.0, 1.0]).median, 2.5);
    }

    #[test]
    fn tracker_needs_a_name_and_a_command() {
        let tracker = Tracker::parse("skep=skep --listen.port={port}", true).unwrap();
        assert_eq!(tracker.name, "skep");
        assert_eq!(tracker.command, "skep --listen.port={port}");
        assert!(Tracker::parse("skep", true).is_err());
    }
}
