//! Trackers side by side: the same loads in turn, several rounds, one table for each.
//!
//! Every tracker of a scenario is started and filled once; then one is loaded while the others have
//! nothing to do, in turn (A B A B), so that what disturbs the machine for a while disturbs all. How
//! to load and what to count is known by the modes.

use std::cell::Cell;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::clock::monotonic_coarse_nanos;

use crate::load::answer::Check;
use crate::load::figures::{Counts, Figures};
use crate::load::goals::{self, Results};
use crate::load::http::{self, HttpLoad};
use crate::load::message::Reuse;
use crate::load::mmsg::SEGMENTS_MAX;
use crate::load::pace::Pace;
use crate::load::population::{Population, Sources, Spread};
use crate::load::process::machine_cpu_secs;
use crate::load::scenario::{
    Case, FULL, Load, Protocol, SMOKE, SOURCES, Scenario, USERS, WINDOW, WS_OFFERS,
    WS_PEERS_A_TORRENT, WS_WINDOW, names,
};
use crate::load::server::{Server, free_port, on_core};
use crate::load::site::DataDir;
use crate::load::table::{self, DISTURBED_CORES_MIN, Row};
use crate::load::tls::Handshake;
use crate::load::udp::{self, Mix, UdpLoad};
use crate::load::websocket::{self, WsLoad};

/// Use of the machine by others, in cores, that does not keep a run from starting.
const QUIET_CORES_MAX: f64 = 0.05;

const NUM_WANT: u32 = 30;

/// Peers asked for while filling, when nobody looks at how long answers take.
const FILL_NUM_WANT: u32 = 1;

/// More torrents than this are not asked of trackers that are there for small figures.
const SMALL_TORRENTS_MAX: u32 = 10_000;

/// What a tracker takes part in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Both protocols and memory.
    All,
    Udp,
    Http,
    /// Both protocols, with few torrents only, and no memory.
    Small,
    Memory,
    /// Only HTTP over TLS.
    Https,
    /// Only WebSocket.
    Ws,
    /// Where there is no very large number of torrents, with passkeys.
    Private,
    /// Only the sweep: its clock can be moved.
    Aging,
    /// Without swarms.
    UdpFloor,
    HttpFloor,
    WsFloor,
}

/// A tracker to measure.
pub(crate) struct Tracker {
    pub(crate) name: String,
    /// With `{port}` where the port belongs, `{workers}` for the number of threads, and `{peers}` for
    /// the number of peers in an answer.
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
        let protocol = scenario.protocol();
        match self.part {
            Part::All => matches!(protocol, Protocol::Udp | Protocol::Http),
            Part::Udp | Part::UdpFloor => protocol == Protocol::Udp,
            Part::Http | Part::HttpFloor => protocol == Protocol::Http,
            Part::Private => {
                matches!(protocol, Protocol::Udp | Protocol::Http)
                    && scenario.torrents <= SMALL_TORRENTS_MAX
            }
            Part::Https => protocol == Protocol::Https,
            Part::Ws | Part::WsFloor => protocol == Protocol::Ws,
            Part::Small => {
                matches!(protocol, Protocol::Udp | Protocol::Http)
                    && scenario.torrents <= SMALL_TORRENTS_MAX
            }
            Part::Memory | Part::Aging => false,
        }
    }

    pub(crate) fn is_measured_for_memory(&self) -> bool {
        matches!(self.part, Part::All | Part::Udp | Part::Memory)
    }

    fn is_floor(&self) -> bool {
        matches!(self.part, Part::UdpFloor | Part::HttpFloor | Part::WsFloor)
    }

    /// Users that it knows and who announce, if it is private.
    fn users(&self) -> Option<u32> {
        (self.part == Part::Private).then_some(USERS)
    }

    fn check(&self) -> Check {
        if self.is_floor() { Check::Shape } else { Check::Full }
    }

    /// What is typed to start it.
    pub(crate) fn line(&self, port: u16, workers: usize, peers: u32) -> String {
        self.command
            .replace("{port}", &port.to_string())
            .replace("{workers}", &workers.to_string())
            .replace("{peers}", &peers.to_string())
    }
}

/// How to compare.
pub(crate) struct Comparison {
    /// The first one is what the others are held against.
    pub(crate) trackers: Vec<Tracker>,
    pub(crate) smoke: bool,
    /// Names of what is to be run; all if there are none.
    pub(crate) only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) secs: f64,
    /// Divides torrents and peers, for a short look.
    pub(crate) shrink: u32,
    /// Seconds to wait in all for other processes to become quiet.
    pub(crate) quiet_secs_max: Cell<f64>,
    /// Where the search for the next free port begins.
    pub(crate) port: Cell<u16>,
    /// What this process may use: trackers take the first one, the generator the last.
    pub(crate) cores: Vec<usize>,
}

/// A tracker that runs, with or without anything to do.
pub(crate) struct Runner<'a> {
    pub(crate) tracker: &'a Tracker,
    /// The peers that are announced to it.
    pub(crate) population: &'a Population,
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) target: SocketAddr,
    /// Where it is loaded from; on several cores at once if there are several.
    pub(crate) generators: Vec<usize>,
    /// Requests under way from each address in a closed loop over UDP.
    pub(crate) window: usize,
    /// What was counted while filling and is not part of any figures yet.
    pub(crate) fill: Counts,
    /// The folder of a private tracker.
    pub(crate) _data: Option<DataDir>,
}

/// Trackers that are measured in turn.
pub(crate) struct Lineup<'a> {
    /// What is told of them above every table.
    pub(crate) about: String,
    /// Started and filled.
    pub(crate) runners: Vec<Runner<'a>>,
    /// What is told below of those that failed.
    pub(crate) failures: String,
}

impl Comparison {
    /// Runs everything and returns the goals and the tables in Markdown.
    ///
    /// # Errors
    /// If the first tracker does not start or answer or gives any wrong answer; what is wrong with
    /// the others is told beside the tables.
    pub(crate) fn run(&self) -> Result<String> {
        ensure!(!self.trackers.is_empty(), "no tracker to measure");
        ensure!(self.rounds > 0 && self.shrink > 0, "rounds and shrink must be above 0");
        let names = names();
        for name in &self.only {
            ensure!(
                names.contains(&name.as_str()),
                "there is no {name:?}; there are {}",
                names.join(", ")
            );
        }
        let mut results = Results::default();
        for scenario in if self.smoke { SMOKE } else { FULL } {
            self.scenario(scenario, &mut results)?;
        }
        if !self.smoke {
            self.memory(&mut results)?;
            self.large(&mut results)?;
            self.scaling(&mut results)?;
            self.sweep(&mut results)?;
            self.ws_idle(&mut results)?;
        }
        let goals = goals::summary(&results);
        Ok(format!("## Goals\n\n{goals}\n## Figures\n\n{}", results.tables))
    }

    /// Whether something of that name is to be run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    pub(crate) fn population(
        &self,
        torrents: u32,
        peers: u32,
        spread: Spread,
    ) -> Result<Population> {
        self.population_of(torrents, peers, spread, SOURCES)
    }

    fn population_of(
        &self,
        torrents: u32,
        peers: u32,
        spread: Spread,
        sources: usize,
    ) -> Result<Population> {
        let torrents = (torrents / self.shrink).max(1);
        let peers = (peers / self.shrink).max(torrents).max(sources as u32);
        Population::new(torrents, peers, spread, Sources::new(sources)?)
    }

    /// Fills all trackers and runs all rounds of every load.
    fn scenario(&self, scenario: &Scenario, results: &mut Results) -> Result<()> {
        let wanted = |case: &&Case| self.smoke || self.wants(case.name);
        let cases: Vec<&Case> = scenario.cases.iter().filter(wanted).collect();
        let trackers = self.taking_part(scenario);
        if cases.is_empty() || trackers.is_empty() {
            return Ok(());
        }
        let Scenario { torrents, peers, spread, .. } = *scenario;
        let population = self.population_of(torrents, peers, spread, scenario.sources())?;
        let (torrents, peers) = (torrents / self.shrink, population.peers());
        let about = format!("Torrents: {torrents}. Peers: {peers}.");
        let mut lineup = Lineup { about, runners: Vec::new(), failures: String::new() };
        for tracker in trackers {
            match self.filled(tracker, scenario, &population) {
                Ok(runner) => lineup.runners.push(runner),
                Err(error) if lineup.runners.is_empty() => return Err(error),
                Err(error) => lineup.failures.push_str(&not_measured(&tracker.name, &error)),
            }
        }
        cases.iter().try_for_each(|case| self.case(case, &mut lineup, results))
    }

    /// The trackers of a scenario: first the one that the others are held against, which no floor is.
    fn taking_part(&self, scenario: &Scenario) -> Vec<&Tracker> {
        let mut trackers: Vec<_> =
            self.trackers.iter().filter(|tracker| tracker.takes_part(scenario)).collect();
        if let Some(first) = trackers.iter().position(|tracker| !tracker.is_floor()) {
            trackers[..=first].rotate_right(1);
        }
        trackers
    }

    fn filled<'a>(
        &self,
        tracker: &'a Tracker,
        scenario: &Scenario,
        population: &'a Population,
    ) -> Result<Runner<'a>> {
        let mut runner = self.start(tracker, scenario.answered_peers, population)?;
        self.fill(&mut runner, scenario.protocol())?;
        Ok(runner)
    }

    /// Starts a tracker on the first core, to be loaded from the last one.
    pub(crate) fn start<'a>(
        &self,
        tracker: &'a Tracker,
        answered_peers: u32,
        population: &'a Population,
    ) -> Result<Runner<'a>> {
        let port = self.port_for(tracker)?;
        let mut line = tracker.line(port, 1, answered_peers);
        let mut data = None;
        if let Some(users) = tracker.users() {
            let folder = DataDir::filled(&port.to_string(), population.torrents, users)?;
            line = line.replace("{data}", &folder.path().display().to_string());
            data = Some(folder);
        }
        let server = Server::start(&line, self.cores.first().copied())?;
        Ok(Runner { _data: data, ..self.runner(tracker, server, port, population) })
    }

    pub(crate) fn runner<'a>(
        &self,
        tracker: &'a Tracker,
        server: Server,
        port: u16,
        population: &'a Population,
    ) -> Runner<'a> {
        Runner {
            tracker,
            population,
            name: tracker.name.clone(),
            server,
            target: (Ipv4Addr::LOCALHOST, port).into(),
            generators: self.cores.last().copied().into_iter().collect(),
            window: WINDOW,
            fill: Counts::default(),
            _data: None,
        }
    }

    /// The tracker's own port, or the next one that nobody has had in this run.
    pub(crate) fn port_for(&self, tracker: &Tracker) -> Result<u16> {
        if let Some(port) = tracker.port {
            return Ok(port);
        }
        let port = free_port(self.port.get())?;
        self.port.set(port + 1);
        Ok(port)
    }

    /// Announces every peer once, unless nobody would keep them.
    ///
    /// Over WebSocket peers are there as long as their connections, which belong to a load.
    pub(crate) fn fill(&self, runner: &mut Runner<'_>, protocol: Protocol) -> Result<()> {
        if runner.tracker.is_floor() || protocol == Protocol::Ws {
            return Ok(());
        }
        let start = monotonic_coarse_nanos();
        let (core, population) = (runner.generators.last().copied(), runner.population);
        let counts = if protocol != Protocol::Udp {
            let load = HttpLoad {
                num_want: FILL_NUM_WANT,
                tls: (protocol == Protocol::Https).then_some(Handshake::Full),
                ..self.http(runner, Reuse::KeepAlive, (1, 0), Pace::Closed)
            };
            on_core(core, || http::fill(&load, population))
        } else {
            let mix = Mix { connects: 0, announces: 1, scrapes: 0 };
            let load = UdpLoad { num_want: FILL_NUM_WANT, ..self.udp(runner, mix, Pace::Closed) };
            on_core(core, || udp::fill(&load, population))
        };
        let counts = counts.with_context(|| format!("filling {}", runner.name))?;
        runner.fill.add(&counts);
        eprintln!("filled {} in {:.1} s", runner.name, secs_since(start));
        Ok(())
    }

    /// Runs all rounds of a load on trackers that are filled.
    ///
    /// One that fails is not in any later load either.
    pub(crate) fn case(
        &self,
        case: &Case,
        lineup: &mut Lineup<'_>,
        results: &mut Results,
    ) -> Result<()> {
        self.wait_for_quiet()?;
        let mut rows: Vec<Row> = Vec::new();
        let Lineup { about, runners, failures } = lineup;
        for round in 1..=self.rounds {
            let mut at = 0;
            while at < runners.len() {
                let name = runners[at].name.clone();
                match self.undisturbed(|| self.measure(&runners[at], case)) {
                    Ok(mut figures) => {
                        figures.fill.add(&mem::take(&mut runners[at].fill));
                        eprintln!("\n{}, round {round}, {name}\n{figures}", case.name);
                        keep(&mut rows, &name, figures);
                        at += 1;
                    }
                    Err(error) if at == 0 => return Err(error),
                    Err(error) => {
                        failures.push_str(&not_measured(&name, &error));
                        runners.remove(at);
                    }
                }
            }
        }
        rows.retain(|row| row.rounds.len() == self.rounds);
        results.tables.push_str(&format!(
            "### {}\n\n{about} Rounds: {}.\n\n{}{}",
            case.title,
            self.rounds,
            table::speed(case, &rows),
            failures,
        ));
        let wrong = rows.first().map_or(0, Row::wrong);
        ensure!(wrong == 0, "{}: {wrong} wrong answers", case.title);
        results.cases.push((case.name, rows));
        Ok(())
    }

    /// Measures again what other processes disturbed, until the patience is used up.
    fn undisturbed(&self, measure: impl Fn() -> Result<Figures>) -> Result<Figures> {
        loop {
            let start = monotonic_coarse_nanos();
            let figures = measure()?;
            let (foreign_cores, patience) = (figures.foreign_cores(), self.quiet_secs_max.get());
            if foreign_cores <= DISTURBED_CORES_MIN || patience <= 0.0 || figures.wrong_total() > 0
            {
                return Ok(figures);
            }
            eprintln!("other processes used {foreign_cores:.2} cores: once more");
            self.quiet_secs_max.set(patience - secs_since(start));
            self.wait_for_quiet()?;
        }
    }

    /// Loads a tracker once, from all its generators at the same time.
    pub(crate) fn measure(&self, runner: &Runner<'_>, case: &Case) -> Result<Figures> {
        let population = runner.population;
        let figures = match case.load {
            Load::Udp(mix) => {
                let load = self.udp(runner, mix, case.pace);
                on_all(&runner.generators, || udp::measure(&load, population))
            }
            Load::Http { reuse, announces, scrapes } => {
                let load = self.http(runner, reuse, (announces, scrapes), case.pace);
                on_all(&runner.generators, || http::measure(&load, population))
            }
            Load::Https(handshake) => {
                let load = self.http(runner, Reuse::Never, (1, 0), case.pace);
                let load = HttpLoad { tls: Some(handshake), ..load };
                on_all(&runner.generators, || http::measure(&load, population))
            }
            Load::Ws { announces, scrapes } => {
                let load = self.ws(runner, (announces, scrapes));
                on_all(&runner.generators, || websocket::run(&load))
            }
        };
        let figures = figures.with_context(|| format!("measuring {}", runner.name))?;
        if figures.counts.announces + figures.counts.relayed() == 0 {
            bail!("{} answered no announce well: {}", runner.name, figures.complaints());
        }
        Ok(figures)
    }

    pub(crate) fn udp(&self, runner: &Runner<'_>, mix: Mix, pace: Pace) -> UdpLoad {
        UdpLoad {
            target: runner.target,
            pace,
            window: runner.window,
            mix,
            num_want: NUM_WANT,
            users: runner.tracker.users(),
            check: runner.tracker.check(),
            segments_max: SEGMENTS_MAX,
            warm_up_secs: self.warm_up_secs(),
            secs: self.secs,
            from_sent: false,
            server: Some(runner.server.pid()),
        }
    }

    fn http(
        &self,
        runner: &Runner<'_>,
        reuse: Reuse,
        (announces, scrapes): (u32, u32),
        pace: Pace,
    ) -> HttpLoad {
        HttpLoad {
            target: runner.target,
            pace,
            reuse,
            announces,
            scrapes,
            num_want: NUM_WANT,
            users: runner.tracker.users(),
            check: runner.tracker.check(),
            tls: None,
            warm_up_secs: self.warm_up_secs(),
            secs: self.secs,
            server: Some(runner.server.pid()),
        }
    }

    pub(crate) fn ws(&self, runner: &Runner<'_>, (announces, scrapes): (u32, u32)) -> WsLoad {
        // As many as there are peers, and never more than a number of 24 bits.
        let connections = runner.population.peers() as u32;
        WsLoad {
            target: runner.target,
            connections,
            torrents: (connections / WS_PEERS_A_TORRENT).max(1),
            sources: SOURCES as u32,
            window: WS_WINDOW.min(connections),
            offers: WS_OFFERS,
            announces,
            scrapes,
            warm_up_secs: self.warm_up_secs(),
            secs: self.secs,
            server: Some(runner.server.pid()),
        }
    }

    fn warm_up_secs(&self) -> f64 {
        if self.smoke { 0.1 } else { 0.5 }
    }

    /// Waits until other processes leave the machine alone, or until the patience is used up.
    pub(crate) fn wait_for_quiet(&self) -> Result<()> {
        while self.quiet_secs_max.get() > 0.0 {
            let (before, start) = (machine_cpu_secs()?, monotonic_coarse_nanos());
            sleep(Duration::from_secs(1));
            let secs = secs_since(start);
            let cores = (machine_cpu_secs()? - before) / secs;
            if cores <= QUIET_CORES_MAX {
                return Ok(());
            }
            self.quiet_secs_max.set(self.quiet_secs_max.get() - secs);
        }
        Ok(())
    }
}

/// The line that tells why there are no figures of a tracker.
pub(crate) fn not_measured(name: &str, error: &anyhow::Error) -> String {
    eprintln!("{name}: {error:#}");
    format!("Not measured: {name}: {error:#}.\n\n")
}

pub(crate) fn secs_since(start_nanos: u64) -> f64 {
    (monotonic_coarse_nanos() - start_nanos) as f64 / 1e9
}

/// Does the same on several cores at once and adds up what was counted.
fn on_all(cores: &[usize], work: impl Fn() -> Result<Figures> + Sync) -> Result<Figures> {
    let work = &work;
    let all: Result<Vec<Figures>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            cores.iter().map(|&core| scope.spawn(move || on_core(Some(core), work))).collect();
        let done = threads.into_iter().map(|thread| thread.join());
        done.map(|done| done.unwrap_or_else(|_| bail!("a generator panicked"))).collect()
    });
    let added = all?.into_iter().reduce(|sum, more| sum.with(&more));
    added.context("a generator needs a core")
}

fn keep(rows: &mut Vec<Row>, name: &str, figures: Figures) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.rounds.push(figures),
        None => rows.push(Row { name: name.to_owned(), rounds: vec![figures] }),
    }
}

#[cfg(test)]
mod tests;
