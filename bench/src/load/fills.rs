//! Memory: every tracker filled in every shape or left alone by many connections, and by how much
//! each one grew.
//!
//! The shapes are in `scenario`.

use anyhow::{Context as _, Result};
use skep_net::clock::monotonic_coarse_nanos;

use crate::load::compare::{Comparison, Part, Tracker, not_measured, secs_since};
use crate::load::goals::Results;
use crate::load::pace::Pace;
use crate::load::population::{SOURCES_MAX, Spread};
use crate::load::scenario::{
    MEMORY, SHAPES, WS_IDLE, WS_IDLE_CONNECTIONS, WS_PEERS_A_TORRENT, WS_QUIET_SECS,
};
use crate::load::server::on_core;
use crate::load::table;
use crate::load::udp::{self, Mix, UdpLoad};
use crate::load::websocket::{self, WsLoad};

impl Comparison {
    /// Fills every tracker in every shape once.
    pub(super) fn memory(&self, results: &mut Results) -> Result<()> {
        if !self.wants(MEMORY) {
            return Ok(());
        }
        let mut failures = String::new();
        for tracker in self.trackers.iter().filter(|tracker| tracker.is_measured_for_memory()) {
            match self.memory_of(tracker) {
                Ok(shapes) => results.memory.push((tracker.name.clone(), shapes)),
                Err(error) if results.memory.is_empty() => return Err(error),
                Err(error) => failures.push_str(&not_measured(&tracker.name, &error)),
            }
        }
        let table = table::memory(SHAPES, &results.memory);
        results.tables.push_str(&format!("### Memory, bytes a peer\n\n{table}{failures}"));
        Ok(())
    }

    /// Opens connections to every tracker that speaks WebSocket and leaves them alone.
    pub(super) fn ws_idle(&self, results: &mut Results) -> Result<()> {
        let mut trackers =
            self.trackers.iter().filter(|tracker| tracker.part == Part::Ws).peekable();
        if !self.wants(WS_IDLE) || trackers.peek().is_none() {
            return Ok(());
        }
        let peers = WS_IDLE_CONNECTIONS;
        let population = self.population(peers / WS_PEERS_A_TORRENT, peers, Spread::Even)?;
        let mut failures = String::new();
        for tracker in trackers {
            let idle = self.start(tracker, 0, &population).and_then(|runner| {
                // More addresses than for a load, for trackers with a limit for each.
                let sources = SOURCES_MAX as u32;
                let load = WsLoad { sources, ..self.ws(&runner, (1, 0)) };
                on_core(runner.generators.last().copied(), || websocket::idle(&load, WS_QUIET_SECS))
            });
            match idle {
                Ok(idle) => results.idle.push((tracker.name.clone(), idle)),
                Err(error) if results.idle.is_empty() => return Err(error),
                Err(error) => failures.push_str(&not_measured(&tracker.name, &error)),
            }
        }
        let table = table::idle(&results.idle);
        results.tables.push_str(&format!("### Idle WebSocket connections\n\n{table}{failures}"));
        Ok(())
    }

    fn memory_of(&self, tracker: &Tracker) -> Result<Vec<Vec<f64>>> {
        let mut shapes = Vec::new();
        for shape in SHAPES {
            let mut bytes = Vec::new();
            let start = monotonic_coarse_nanos();
            for &(torrents, peers) in shape.fills {
                let population = self.population(torrents, peers, shape.spread)?;
                let runner = self.start(tracker, 0, &population)?;
                let mix = Mix { connects: 0, announces: 1, scrapes: 0 };
                let load = UdpLoad { num_want: 1, ..self.udp(&runner, mix, Pace::Closed) };
                let (core, pid) = (runner.generators.last().copied(), runner.server.pid());
                let grown = on_core(core, || udp::growth_bytes(&load, &population, pid))
                    .with_context(|| format!("filling {}", tracker.name))?;
                bytes.push(grown as f64 / population.peers() as f64);
            }
            let (name, secs) = (&tracker.name, secs_since(start));
            eprintln!("{name}: {}: {bytes:.1?} bytes a peer, {secs:.0} s", shape.title);
            shapes.push(bytes);
        }
        Ok(shapes)
    }
}
