//! What skep is held against itself for: many torrents, several workers, and the sweep.
//!
//! How trackers are started, filled and measured is known by `compare`.

use anyhow::{Context as _, Result, ensure};

use crate::load::compare::{Comparison, Lineup, Part, Runner, Tracker};
use crate::load::goals::Results;
use crate::load::pace::Pace;
use crate::load::population::{Population, Spread};
use crate::load::scenario::{
    CALM_SECS, Case, FLOOR_SCALING, HALF, LARGE, LARGE_PEERS_A_TORRENT, LARGE_TORRENTS, ONE_WORKER,
    Protocol, SCALING, SCALING_ANSWERED_PEERS, SCALING_PEERS, SWEEP, SWEEP_SECS, SWEEPS_MAX, SWEPT,
    SWEPT_AFTER_SECS, TWO_WORKERS, WINDOW,
};
use crate::load::server::{Server, on_core};
use crate::load::table::{self, Sweep};
use crate::load::udp::{self, UdpLoad};

impl Comparison {
    /// Few torrents against many.
    pub(super) fn large(&self, results: &mut Results) -> Result<()> {
        if !self.wants(LARGE.name) {
            return Ok(());
        }
        let tracker = self.trackers.first().context("no tracker to measure")?;
        let populations: Result<Vec<Population>> = LARGE_TORRENTS
            .iter()
            .map(|(_, torrents)| {
                self.population(*torrents, torrents * LARGE_PEERS_A_TORRENT, Spread::Even)
            })
            .collect();
        let populations = populations?;
        let about =
            format!("Both are {}, with {LARGE_PEERS_A_TORRENT} peers a torrent.", tracker.name);
        let mut lineup = Lineup { about, runners: Vec::new(), failures: String::new() };
        for ((name, _), population) in LARGE_TORRENTS.iter().zip(&populations) {
            let runner = self.start(tracker, 0, population)?;
            let mut runner = Runner { name: (*name).to_owned(), ..runner };
            self.fill(&mut runner, Protocol::Udp)?;
            lineup.runners.push(runner);
        }
        self.case(&LARGE, &mut lineup, results)
    }

    /// Two workers against one, then the same for the floor.
    pub(super) fn scaling(&self, results: &mut Results) -> Result<()> {
        let floor = self.trackers.iter().find(|tracker| tracker.part == Part::UdpFloor);
        for (case, tracker) in [(SCALING, self.trackers.first()), (FLOOR_SCALING, floor)] {
            if let Some(tracker) = tracker
                && self.wants(case.name)
            {
                self.scaling_of(&case, tracker, results)?;
            }
        }
        Ok(())
    }

    fn scaling_of(&self, case: &Case, tracker: &Tracker, results: &mut Results) -> Result<()> {
        let (Some(&first), Some(&last)) = (self.cores.first(), self.cores.last()) else {
            return Ok(());
        };
        if first == last {
            let title = case.title;
            results.tables.push_str(&format!("### {title}\n\nThis machine has one core.\n\n"));
            return Ok(());
        }
        let (torrents, peers, spread) = SCALING_PEERS;
        let population = self.population(torrents, peers, spread)?;
        let about = format!("Both are {}, loaded from both cores.", tracker.name);
        let mut lineup = Lineup { about, runners: Vec::new(), failures: String::new() };
        let both = format!("{first},{last}");
        for (name, cores, workers) in [(TWO_WORKERS, both, 2), (ONE_WORKER, first.to_string(), 1)] {
            let port = self.port_for(tracker)?;
            let line = tracker.line(port, workers, SCALING_ANSWERED_PEERS);
            let server = Server::start(&format!("taskset -c {cores} {line}"), None)?;
            let mut runner = Runner {
                name: name.to_owned(),
                generators: vec![first, last],
                // With two generators as many requests for each worker as elsewhere for one.
                window: WINDOW * workers / 2,
                ..self.runner(tracker, server, port, &population)
            };
            self.fill(&mut runner, Protocol::Udp)?;
            lineup.runners.push(runner);
        }
        self.case(case, &mut lineup, results)
    }

    /// All peers fall silent at once and are swept while an open loop goes on.
    pub(super) fn sweep(&self, results: &mut Results) -> Result<()> {
        let Some(tracker) = self.trackers.iter().find(|tracker| tracker.part == Part::Aging) else {
            return Ok(());
        };
        if !self.wants(SWEEP) {
            return Ok(());
        }
        let (torrents, peers, spread) = SWEPT;
        let population = self.population(torrents, peers, spread)?;
        let port = self.port_for(tracker)?;
        let core = self.cores.first().copied();
        let server = Server::start_talking(&tracker.line(port, 1, 0), core)?;
        let mut runner = self.runner(tracker, server, port, &population);
        let mut pace = None;
        for _ in 0..self.rounds.min(SWEEPS_MAX) {
            self.fill(&mut runner, Protocol::Udp)?;
            self.wait_for_quiet()?;
            let pace = match pace {
                Some(pace) => pace,
                None => *pace.insert(self.half_load(&runner)?),
            };
            let sweep = self.swept(&runner, pace)?;
            eprintln!("\ncalm\n{}\nswept\n{}", sweep.calm, sweep.swept);
            results.sweeps.push(sweep);
        }
        let wrong: u64 = results.sweeps.iter().map(|sweep| sweep.swept.wrong_total()).sum();
        ensure!(wrong == 0, "{wrong} wrong answers while peers were swept");
        let table = table::sweeps(&results.sweeps);
        results.tables.push_str(&format!("### Sweep of {} peers\n\n{table}", population.peers()));
        Ok(())
    }

    /// Half as many requests a second as a closed loop reaches.
    fn half_load(&self, runner: &Runner<'_>) -> Result<Pace> {
        let (core, population) = (runner.generators.last().copied(), runner.population);
        let load = self.udp(runner, HALF, Pace::Closed);
        let figures = on_core(core, || udp::measure(&load, population))?;
        Ok(Pace::Open { per_sec: (figures.answers_per_sec() / 2.0).round() })
    }

    /// The open loop without and with a sweep.
    fn swept(&self, runner: &Runner<'_>, pace: Pace) -> Result<Sweep> {
        let load = UdpLoad {
            warm_up_secs: 0.0,
            secs: SWEEP_SECS,
            from_sent: true,
            ..self.udp(runner, HALF, pace)
        };
        let (core, population) = (runner.generators.last().copied(), runner.population);
        let calm = UdpLoad { secs: CALM_SECS, ..load };
        let calm = on_core(core, || udp::measure(&calm, population))?;
        let before = peers_then_move(runner, SWEPT_AFTER_SECS)?;
        let swept = on_core(core, || udp::measure(&load, population))?;
        let after = peers_then_move(runner, 0)?;
        // Those that remain have announced themselves since.
        let announced = swept.counts.announces + swept.counts.lost + 1;
        let left = after.saturating_sub(announced);
        Ok(Sweep { calm, swept, peers: [before, after], left })
    }
}

/// How many peers a tracker holds; then its clock moves.
fn peers_then_move(runner: &Runner<'_>, secs: u32) -> Result<u64> {
    let answer = runner.server.ask(&secs.to_string())?;
    answer.parse().with_context(|| format!("{answer:?} is no number of peers"))
}
