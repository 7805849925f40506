//! The benchmark: skep beside other trackers, measured in one run and written down.
//!
//! Builds and installs what is measured, starts `skep-bench` and writes its tables into a report.
//! How trackers are loaded and counted is known by `skep-bench`.

mod peers;
mod report;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use self::peers::Peer;
use self::report::{Machine, Run};
use crate::{number, shell};

/// No limits that the others do not have; as many workers as a measurement asks for, mostly one.
const SKEP_FLAGS: &str = "--listen.port={port} --listen.admin=off --listen.workers={workers} \
    --swarm.ports_per_address_max=0 --swarm.new_torrents_per_minute_max=0 \
    --announce.peers_default=30";

/// Added where only the memory is measured: most trackers keep no peer ids.
const WITHOUT_PEER_IDS: &str = "--swarm.peer_ids=false";

/// Added for the sweep: all that is silent goes within ten seconds instead of a minute.
const SWEEPING: &str = "--swarm.sweep_interval_secs=10";

/// Added for WebSocket: all connections come from few addresses.
const WS_FLAGS: &str = "--http.connections_per_address_max=0 --websocket.messages_per_sec_max=0";

/// Added for a private tracker with the embedded storage.
const PRIVATE: &str = "--mode=private --storage.data_dir={data}";

/// Instead of a port for both protocols where only TLS is measured.
const HTTPS_FLAGS: &str = "--listen.udp=off --listen.http=off --listen.https=127.0.0.1:{port}";

/// Where `skep-bench` begins its search for free ports.
const PORT: u16 = 17_969;

/// Where the search begins for trackers whose port is in a file.
const FILE_PORT: u16 = 17_900;

/// The first port that Linux hands out by itself.
const CLIENT_PORT_MIN: u16 = 32_768;

struct Bounds {
    rounds: u64,
    seconds: u64,
    /// Divides torrents and peers; above 1 the report is only for a look.
    shrink: u64,
    /// Seconds to spend in all on waiting for other processes and on runs that they disturbed.
    patience: u64,
    /// Names of some measurements, with commas; all if there are none.
    only: String,
    peers: Vec<Peer>,
}

impl Bounds {
    /// Whether the report is only for a look.
    fn is_partial(&self) -> bool {
        self.shrink > 1 || !self.only.is_empty()
    }
}

/// Runs the comparison and writes the report, or checks answers for some seconds.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    if arguments == ["--smoke"] {
        return smoke();
    }
    let mut bounds = Bounds {
        rounds: 5,
        seconds: 3,
        shrink: 1,
        patience: 300,
        only: String::new(),
        peers: Vec::new(),
    };
    let mut words = arguments.iter();
    while let Some(&word) = words.next() {
        match word {
            "--rounds" => bounds.rounds = number(word, words.next())?,
            "--seconds" => bounds.seconds = number(word, words.next())?,
            "--shrink" => bounds.shrink = number(word, words.next())?,
            "--patience" => bounds.patience = number(word, words.next())?,
            "--only" => {
                let names = words.next().context("--only needs names")?;
                bounds.only = (*names).to_owned();
            }
            "--peer" => {
                bounds.peers.push(Peer::parse(words.next().copied().unwrap_or_default())?);
            }
            other => bail!(
                "bench takes --rounds N, --seconds N, --shrink N, --patience N, --only NAME[,NAME], \
                 --peer NAME=COMMAND or --smoke, not {other:?}"
            ),
        }
    }
    full(bounds)
}

/// A few seconds of load on skep alone: every answer must be right, however slow.
pub(crate) fn smoke() -> Result<()> {
    build()?;
    let skep = skep_command();
    let arguments = [
        format!("--port={PORT}"),
        format!("--tracker=skep={skep}"),
        format!("--private-tracker=skep, private={skep} {PRIVATE}"),
        format!("--ws-tracker=skep={skep} {WS_FLAGS}"),
        format!("--https-tracker=skep={skep} {}", https_flags()?),
    ];
    let rest = ["--smoke=true", "--rounds=1", "--secs=1"];
    shell::run(skep_bench("compare").args(arguments).args(rest))
}

fn full(bounds: Bounds) -> Result<()> {
    build()?;
    let (mut peers, missing) = peers::install();
    peers.extend(bounds.peers.iter().cloned());
    let skep = skep_command();
    let bench = relative(&shell::target().join("release/skep-bench"));
    let Bounds { rounds, seconds, shrink, patience, only, .. } = &bounds;
    let mut arguments = vec![
        format!("--port={PORT}"),
        format!("--rounds={rounds}"),
        format!("--secs={seconds}"),
        format!("--shrink={shrink}"),
        format!("--quiet-secs-max={patience}"),
        format!("--only={only}"),
        format!("--tracker=skep={skep}"),
        format!("--memory-tracker=skep, without peer ids={skep} {WITHOUT_PEER_IDS}"),
        format!("--private-tracker=skep, private={skep} {PRIVATE}"),
        format!("--aging-tracker=skep={bench} skep {SKEP_FLAGS} {SWEEPING}"),
        format!("--ws-tracker=skep={skep} {WS_FLAGS}"),
        format!("--https-tracker=skep={skep} {}", https_flags()?),
    ];
    arguments.extend(peers.iter().map(Peer::argument));
    let tables = shell::output(skep_bench("compare").args(&arguments))?;
    let date = shell::output(shell::program("date").arg("+%F"))?;
    let date = date.trim();
    let machine = Machine::read()?;
    let path = if bounds.is_partial() {
        shell::target().join("bench.md")
    } else {
        shell::root().join(format!("docs/reports/{date}-{}.md", machine.class()))
    };
    let run = Run { date, bounds: &bounds, peers: &peers, missing: &missing };
    let text = report::write(&run, &machine, &tables)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote {}", relative(&path));
    Ok(())
}

fn build() -> Result<()> {
    let packages = ["--package", "skep", "--package", "skep-bench"];
    shell::run(shell::cargo().args(["build", "--locked", "--release"]).args(packages))
}

fn skep_bench(mode: &str) -> Command {
    let mut command = shell::program(shell::target().join("release/skep-bench"));
    command.arg(mode);
    command
}

fn skep_command() -> String {
    let skep = relative(&shell::target().join("release/skep"));
    format!("{skep} {SKEP_FLAGS}")
}

/// The flags for TLS, with the certificate that the others show too.
fn https_flags() -> Result<String> {
    let (certificate, key) = peers::certificate()?;
    Ok(format!("{HTTPS_FLAGS} --tls.certificate={certificate} --tls.key={key}"))
}

/// A path as seen from the workspace, where all programs are started.
fn relative(path: &Path) -> String {
    let shown = path.strip_prefix(shell::root()).unwrap_or(path);
    shown.display().to_string()
}

/// The first port from the given one on that nobody uses right now.
///
/// Below those that the system hands out to clients: connections of the generator that just ended
/// would keep some trackers from binding one of them.
fn free_port(from: u16) -> Result<u16> {
    (from..CLIENT_PORT_MIN)
        .find(|&port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok())
        .with_context(|| format!("no free port between {from} and {CLIENT_PORT_MIN}"))
}
