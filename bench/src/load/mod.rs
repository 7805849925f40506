//! The modes of the program and their command line.
//!
//! How a tracker is loaded and compared is in the modules.

mod answer;
mod arguments;
mod compare;
mod figures;
mod http;
mod mmsg;
mod population;
mod process;
mod server;
mod udp;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, bail, ensure};

use crate::load::arguments::Arguments;
use crate::load::compare::{Comparison, Tracker};
use crate::load::figures::Figures;
use crate::load::http::{HttpLoad, Reuse};
use crate::load::population::{Population, Sources, Spread};
use crate::load::udp::{Mix, UdpLoad};

const USAGE: &str = "\
usage: skep-bench udp|http|compare [--flag=value ...]

udp, http: load a running tracker
  --target=127.0.0.1:1337   where it listens
  --server-pid=N            its process, to account for what it uses
  --torrents=1000 --peers=20000 --spread=rank|even --sources=16
  --num-want=30 --warm-up-secs=1 --secs=5
udp only
  --window=32               requests under way for each source
  --connects=1 --announces=1 --scrapes=0
                            how often each kind comes, relative to the others
http only
  --keep-alive=true|false   one connection for each source, or a new one for each announce

compare: start trackers in turn, each on a core of its own
  --tracker='name=command'  command with {port}; the first is held against the others
  --udp-tracker='name=command'
                            the same for one that does not answer HTTP
  --port=7969 --rounds=3 --secs=5 --smoke=true|false
  --quiet-secs-max=0        how long to wait for other processes and repeat in all
";

/// Does what the words of the command line say.
///
/// # Errors
/// What keeps it from being done, and any wrong answer.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Result<()> {
    let mode = words.next();
    let mut arguments = match mode.as_deref() {
        Some("udp" | "http" | "compare") => Arguments::new(words)?,
        Some("help" | "--help" | "-h") | None => {
            eprint!("{USAGE}");
            return Ok(());
        }
        Some(other) => bail!("unknown mode {other:?}\n\n{USAGE}"),
    };
    match mode.as_deref() {
        Some("udp") => load(udp(&mut arguments)?),
        Some("http") => load(http(&mut arguments)?),
        _ => compare(arguments),
    }
}

/// Ends in failure when an answer was wrong.
fn load(figures: Figures) -> Result<()> {
    writeln!(std::io::stdout(), "{figures}")?;
    let wrong = figures.wrong_total();
    ensure!(wrong == 0, "{wrong} wrong answers");
    Ok(())
}

fn udp(arguments: &mut Arguments) -> Result<Figures> {
    let population = population(arguments)?;
    let load = UdpLoad {
        target: arguments.or("target", default_target())?,
        window: arguments.or("window", 32)?,
        mix: Mix {
            connects: arguments.or("connects", 1)?,
            announces: arguments.or("announces", 1)?,
            scrapes: arguments.or("scrapes", 0)?,
        },
        num_want: arguments.or("num-want", 30)?,
        warm_up_secs: arguments.or("warm-up-secs", 1.0)?,
        secs: arguments.or("secs", 5.0)?,
        server: arguments.optional("server-pid")?,
    };
    arguments.finish()?;
    udp::run(&load, &population)
}

fn http(arguments: &mut Arguments) -> Result<Figures> {
    let population = population(arguments)?;
    let keep_alive = arguments.or("keep-alive", false)?;
    let load = HttpLoad {
        target: arguments.or("target", default_target())?,
        reuse: if keep_alive { Reuse::KeepAlive } else { Reuse::Never },
        num_want: arguments.or("num-want", 30)?,
        warm_up_secs: arguments.or("warm-up-secs", 1.0)?,
        secs: arguments.or("secs", 5.0)?,
        server: arguments.optional("server-pid")?,
    };
    arguments.finish()?;
    http::run(&load, &population)
}

fn compare(mut arguments: Arguments) -> Result<()> {
    let mut trackers = Vec::new();
    for text in arguments.all("tracker") {
        trackers.push(Tracker::parse(&text, true)?);
    }
    for text in arguments.all("udp-tracker") {
        trackers.push(Tracker::parse(&text, false)?);
    }
    let comparison = Comparison {
        trackers,
        smoke: arguments.or("smoke", false)?,
        port: arguments.or("port", 7969)?,
        rounds: arguments.or("rounds", 3)?,
        secs: arguments.or("secs", 5.0)?,
        quiet_secs_max: arguments.or("quiet-secs-max", 0.0)?,
    };
    arguments.finish()?;
    let tables = comparison.run()?;
    Ok(std::io::stdout().write_all(tables.as_bytes())?)
}

fn population(arguments: &mut Arguments) -> Result<Population> {
    let sources = Sources::new(arguments.or("sources", 16)?)?;
    let torrents = arguments.or("torrents", 1000)?;
    let peers = arguments.or("peers", 20_000)?;
    let spread = arguments.or("spread", Spread::Rank)?;
    Population::new(torrents, peers, spread, sources)
}

fn default_target() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 1337).into()
}
