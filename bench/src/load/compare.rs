//! Trackers side by side: the same scenarios in turn, several rounds, one table for each.
//!
//! The runs of a round follow each other (A B A B), so that what disturbs the machine for a while
//! disturbs all. How to load and what to count is known by the modes.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::clock::monotonic_coarse_nanos;

use crate::load::answer::Check;
use crate::load::figures::Figures;
use crate::load::http::{self, HttpLoad};
use crate::load::mmsg::SEGMENTS_MAX;
use crate::load::pace::Pace;
use crate::load::population::{Population, Sources, Spread};
use crate::load::process::machine_cpu_secs;
use crate::load::scenario::{FULL, Load, SHAPES, SMOKE, Scenario, WINDOW};
use crate::load::server::Server;
use crate::load::table::{self, DISTURBED_CORES_MIN, Row};
use crate::load::udp::{self, Mix, UdpLoad};

/// Use of the machine by others, in cores, that does not keep a run from starting.
const QUIET_CORES_MAX: f64 = 0.05;

/// Addresses that requests come from.
const SOURCES: usize = 16;

const NUM_WANT: u32 = 30;

/// More torrents than this are not asked of trackers that are there for small figures.
const SMALL_TORRENTS_MAX: u32 = 10_000;

/// What a tracker takes part in.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Both protocols and memory.
    All,
    Udp,
    Http,
    /// Both protocols, with few torrents only, and no memory.
    Small,
    Memory,
    /// UDP or HTTP without swarms.
    UdpFloor,
    HttpFloor,
}

/// A tracker to measure.
pub(crate) struct Tracker {
    pub(crate) name: String,
    /// With `{port}` where the port belongs, and `{peers}` for the number of peers in an answer.
    pub(crate) command: String,
    /// A port that no other tracker has had, if it needs one.
    pub(crate) port: Option<u16>,
    pub(crate) part: Part,
}

impl Tracker {
    /// Reads `name=command` or `name@port=command`.
    pub(crate) fn parse(text: &str, part: Part) -> Result<Self> {
        let (name, command) = text
            .split_once('=')
            .with_context(|| format!("a tracker is name=command, not {text:?}"))?;
        let (name, port) = match name.rsplit_once('@') {
            Some((name, port)) => {
                let port = port.parse().with_context(|| format!("{port:?} is not a port"))?;
                (name, Some(port))
            }
            None => (name, None),
        };
        Ok(Self { name: name.to_owned(), command: command.to_owned(), port, part })
    }

    fn takes_part(&self, scenario: &Scenario) -> bool {
        match self.part {
            Part::All => true,
            Part::Udp | Part::UdpFloor => !scenario.is_http(),
            Part::Http | Part::HttpFloor => scenario.is_http(),
            Part::Small => scenario.torrents <= SMALL_TORRENTS_MAX,
            Part::Memory => false,
        }
    }

    fn fills(&self) -> bool {
        matches!(self.part, Part::All | Part::Udp | Part::Memory)
    }

    fn check(&self) -> Check {
        match self.part {
            Part::UdpFloor | Part::HttpFloor => Check::Shape,
            _ => Check::Full,
        }
    }

    fn start(&self, port: u16, peers: u32, cores: &[usize]) -> Result<Server> {
        let command = self.command.replace("{peers}", &peers.to_string());
        Server::start(&command, self.port.unwrap_or(port), cores)
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
    /// Divides torrents and peers, for a short look.
    pub(crate) shrink: u32,
    /// Seconds to wait in all for other processes to become quiet.
    pub(crate) quiet_secs_max: f64,
}

impl Comparison {
    /// Runs everything and returns the tables in Markdown.
    ///
    /// # Errors
    /// If the first tracker does not start or answer or gives any wrong answer; what is wrong with
    /// the others is told beside the tables.
    pub(crate) fn run(mut self) -> Result<String> {
        ensure!(!self.trackers.is_empty(), "no tracker to measure");
        ensure!(self.rounds > 0 && self.shrink > 0, "rounds and shrink must be above 0");
        let cores = Server::cores();
        let mut text = String::new();
        for scenario in if self.smoke { SMOKE } else { FULL } {
            text.push_str(&self.scenario(scenario, &cores)?);
        }
        if !self.smoke {
            text.push_str(&self.memory(&cores)?);
        }
        Ok(text)
    }

    fn population(&self, torrents: u32, peers: u32, spread: Spread) -> Result<Population> {
        let torrents = (torrents / self.shrink).max(1);
        let peers = (peers / self.shrink).max(torrents).max(SOURCES as u32);
        Population::new(torrents, peers, spread, Sources::new(SOURCES)?)
    }

    /// Runs all rounds of a scenario and returns its table.
    fn scenario(&mut self, scenario: &Scenario, cores: &[usize]) -> Result<String> {
        let population = self.population(scenario.torrents, scenario.peers, scenario.spread)?;
        let (torrents, peers) = (scenario.torrents / self.shrink, population.peers());
        eprintln!("{}: {torrents} torrents, {peers} peers", scenario.title);
        let mut rows: Vec<Row> = Vec::new();
        let mut failures: Vec<(usize, String)> = Vec::new();
        for round in 1..=self.rounds {
            for tracker in 0..self.trackers.len() {
                let failed = failures.iter().any(|(failed, _)| *failed == tracker);
                if failed || !self.trackers[tracker].takes_part(scenario) {
                    continue;
                }
                let result = self.undisturbed(tracker, scenario, &population, cores);
                let name = &self.trackers[tracker].name;
                match result {
                    Ok(figures) => {
                        eprintln!("\nround {round}, {name}\n{figures}");
                        keep(&mut rows, name, figures);
                    }
                    Err(error) if tracker == 0 => return Err(error),
                    Err(error) => {
                        eprintln!("\nround {round}, {name}: {error:#}");
                        failures.push((tracker, format!("{error:#}")));
                    }
                }
            }
        }
        rows.retain(|row| row.rounds.len() == self.rounds);
        let rounds = self.rounds;
        let mut text = format!(
            "### {}\n\nTorrents: {torrents}. Peers: {peers}. Rounds: {rounds}.\n\n{}",
            scenario.title,
            table::speed(scenario, &rows)
        );
        for (tracker, error) in failures {
            text.push_str(&format!("Not measured: {}: {error}.\n\n", self.trackers[tracker].name));
        }
        let wrong = rows.first().map_or(0, Row::wrong);
        ensure!(wrong == 0, "{}: {wrong} wrong answers", scenario.title);
        Ok(text)
    }

    /// Fills every tracker in every shape once and returns the table of bytes a peer.
    fn memory(&self, cores: &[usize]) -> Result<String> {
        let mut rows: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
        let mut failures = String::new();
        for tracker in self.trackers.iter().filter(|tracker| tracker.fills()) {
            match self.memory_of(tracker, cores) {
                Ok(shapes) => rows.push((tracker.name.clone(), shapes)),
                Err(error) if rows.is_empty() => return Err(error),
                Err(error) => {
                    let line = format!("Not measured: {}: {error:#}.\n\n", tracker.name);
                    failures.push_str(&line);
                }
            }
        }
        let table = table::memory(SHAPES, &rows);
        Ok(format!("### Memory, bytes a peer\n\n{table}{failures}"))
    }

    fn memory_of(&self, tracker: &Tracker, cores: &[usize]) -> Result<Vec<Vec<f64>>> {
        let mut shapes = Vec::new();
        for shape in SHAPES {
            let mut bytes = Vec::new();
            for &(torrents, peers) in shape.fills {
                let population = self.population(torrents, peers, shape.spread)?;
                let server = tracker.start(self.port, NUM_WANT, cores)?;
                let mix = Mix { connects: 0, announces: 1, scrapes: 0 };
                let load = self.udp(tracker, mix, Pace::Closed, &server);
                let grown = udp::growth_bytes(&load, &population, server.pid())
                    .with_context(|| format!("filling {}", tracker.name))?;
                bytes.push(grown as f64 / population.peers() as f64);
            }
            eprintln!("{}: {}: {bytes:.1?} bytes a peer", tracker.name, shape.title);
            shapes.push(bytes);
        }
        Ok(shapes)
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
        let server = tracker.start(self.port, scenario.answered_peers, cores)?;
        let figures = match scenario.load {
            Load::Udp(mix) => udp::run(&self.udp(tracker, mix, scenario.pace, &server), population),
            Load::Http { reuse, announces, scrapes } => {
                let load = HttpLoad {
                    target: self.target(tracker),
                    pace: scenario.pace,
                    reuse,
                    announces,
                    scrapes,
                    num_want: NUM_WANT,
                    check: tracker.check(),
                    warm_up_secs: self.warm_up_secs(),
                    secs: self.secs,
                    server: Some(server.pid()),
                };
                http::run(&load, population)
            }
        };
        let figures = figures.with_context(|| format!("measuring {}", tracker.name))?;
        if figures.counts.announces == 0 {
            bail!("{} answered no announce well: {}", tracker.name, figures.complaints());
        }
        Ok(figures)
    }

    fn udp(&self, tracker: &Tracker, mix: Mix, pace: Pace, server: &Server) -> UdpLoad {
        UdpLoad {
            target: self.target(tracker),
            pace,
            window: WINDOW,
            mix,
            num_want: NUM_WANT,
            check: tracker.check(),
            segments_max: SEGMENTS_MAX,
            warm_up_secs: self.warm_up_secs(),
            secs: self.secs,
            server: Some(server.pid()),
        }
    }

    fn target(&self, tracker: &Tracker) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, tracker.port.unwrap_or(self.port)).into()
    }

    fn warm_up_secs(&self) -> f64 {
        if self.smoke { 0.1 } else { 1.0 }
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

fn keep(rows: &mut Vec<Row>, name: &str, figures: Figures) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.rounds.push(figures),
        None => rows.push(Row { name: name.to_owned(), rounds: vec![figures] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracker_needs_a_name_and_a_command() {
        let tracker = Tracker::parse("skep=skep --listen.port={port}", Part::All).unwrap();
        assert_eq!(tracker.name, "skep");
        assert_eq!(tracker.command, "skep --listen.port={port}");
        assert_eq!(Tracker::parse("a@17=b", Part::Http).unwrap().port, Some(17));
        assert!(Tracker::parse("skep", Part::All).is_err());
        assert!(Tracker::parse("a@b=c", Part::All).is_err());
    }

    #[test]
    fn every_kind_of_tracker_has_a_scenario_or_a_fill() {
        for part in [Part::All, Part::Udp, Part::Http, Part::Small, Part::Memory] {
            let tracker = Tracker::parse("a=b", part).unwrap();
            let measured = FULL.iter().any(|scenario| tracker.takes_part(scenario));
            assert!(measured || tracker.fills());
        }
    }
}
