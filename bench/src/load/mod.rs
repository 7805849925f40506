//! The modes of the program and their command line.
//!
//! How a tracker is loaded and compared is in the modules.

mod aging;
mod answer;
mod arguments;
mod clock;
mod compare;
mod connection;
mod figures;
mod fills;
mod goals;
mod http;
mod itself;
mod latency;
mod message;
mod mmsg;
mod null;
mod pace;
mod packet;
mod population;
mod process;
mod scenario;
mod server;
mod site;
mod source;
mod system;
mod table;
mod tls;
mod udp;
mod websocket;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use skep_net::affinity::available_cores;

use crate::load::answer::Check;
use crate::load::arguments::Arguments;
use crate::load::compare::{Comparison, Part, Tracker};
use crate::load::figures::Figures;
use crate::load::http::HttpLoad;
use crate::load::message::Reuse;
use crate::load::mmsg::SEGMENTS_MAX;
use crate::load::pace::Pace;
use crate::load::population::{Population, Sources, Spread, info_hash};
use crate::load::scenario::{WINDOW, WS_OFFERS, WS_WINDOW};
use crate::load::server::Server;
use crate::load::udp::{Mix, UdpLoad};
use crate::load::websocket::WsLoad;

const USAGE: &str = "\
usage: skep-bench udp|http|ws|null|hashes|skep|compare [--flag=value ...]

udp, http, ws: load a running tracker
  --target=127.0.0.1:1337   where it listens
  --server-pid=N            its process, to account for what it uses
  --torrents=1000 --peers=20000 --spread=rank|even --sources=16
  --rate=N                  an open loop of so many requests a second; without it a closed loop
  --announces=1 --scrapes=0 how often each kind comes, relative to the others
  --num-want=30 --warm-up-secs=1 --secs=5
  --users=N                 each announce with the passkey of one of so many users
  --check=full|shape        shape for a responder that knows no swarms
udp only
  --connects=1
  --window=32               requests under way for each source in a closed loop
  --segments=64             requests that the kernel gets as one message to cut up; 1 for none
http only
  --keep-alive=true|false   one connection for each source, or a new one for each request
  --tls=full|resumed        over TLS, each connection with a whole handshake or by the last session
ws only, in a closed loop, with neither of --peers, --spread and --num-want
  --connections=8192        each with one peer
  --torrents=256 --window=256
                            announces under way
  --offers=5                in each announce
  --idle=N                  measure the memory of so many connections that do nothing, instead
  --quiet-secs=1            how long they do that before

null udp, null http, null ws: answer with constants, by the system calls of skep
  --port=1337 --peers=30    peers in the answer to an announce
  --workers=1               threads, over UDP

hashes: print the info hashes of the torrents in hexadecimal, for trackers that want a list
  --torrents=1000

skep: run the tracker itself, with its own flags, and move its clock ahead by the seconds in each
line of standard input, answered by the number of its peers just before

compare: trackers in turn, server and generator each on a core of its own
  --tracker='name=command'  command with {port}, and {workers} where the number of threads belongs;
                            the first is held against the others
  --udp-tracker=, --http-tracker=
                            the same for one that answers only one of them
  --private-tracker=        the same for one that knows its users, with {data} for a folder with a
                            storage that knows them
  --small-tracker=          the same for one that cannot hold a million torrents
  --memory-tracker=         the same for one of which only the memory is measured
  --https-tracker=, --ws-tracker=
                            the same for one that is asked over TLS or WebSocket only
  --aging-tracker=          the same for one as started by skep-bench skep, for the sweep
  --only=NAME[,NAME]        some measurements instead of all
  --port=7969 --rounds=5 --secs=3 --smoke=true|false
  --shrink=1                divides torrents and peers
  --quiet-secs-max=0        how long to wait for other processes and repeat in all
";

/// Does what the words of the command line say.
///
/// # Errors
/// What keeps it from being done, and any wrong answer.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> Result<()> {
    let mode = words.next();
    match mode.as_deref() {
        Some("udp") => load(udp(Arguments::new(words)?)?),
        Some("http") => load(http(Arguments::new(words)?)?),
        Some("ws") => ws(Arguments::new(words)?),
        Some("null") => {
            let protocol = words.next();
            null(protocol.as_deref(), Arguments::new(words)?)
        }
        Some("hashes") => hashes(Arguments::new(words)?),
        Some("skep") => aging::run(words),
        Some("compare") => compare(Arguments::new(words)?),
        Some("help" | "--help" | "-h") | None => {
            eprint!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("unknown mode {other:?}\n\n{USAGE}"),
    }
}

/// Ends in failure when an answer was wrong.
fn load(figures: Figures) -> Result<()> {
    writeln!(std::io::stdout(), "{figures}")?;
    let wrong = figures.wrong_total();
    ensure!(wrong == 0, "{wrong} wrong answers");
    Ok(())
}

fn udp(mut arguments: Arguments) -> Result<Figures> {
    let population = population(&mut arguments)?;
    let load = UdpLoad {
        target: arguments.or("target", default_target())?,
        pace: pace(&mut arguments)?,
        window: arguments.or("window", WINDOW)?,
        mix: Mix {
            connects: arguments.or("connects", 1)?,
            announces: arguments.or("announces", 1)?,
            scrapes: arguments.or("scrapes", 0)?,
        },
        num_want: arguments.or("num-want", 30)?,
        users: arguments.optional("users")?,
        check: arguments.or("check", Check::Full)?,
        segments_max: arguments.or("segments", SEGMENTS_MAX)?,
        warm_up_secs: arguments.or("warm-up-secs", 1.0)?,
        secs: arguments.or("secs", 5.0)?,
        from_sent: false,
        server: arguments.optional("server-pid")?,
    };
    arguments.finish()?;
    udp::run(&load, &population)
}

fn http(mut arguments: Arguments) -> Result<Figures> {
    let population = population(&mut arguments)?;
    let keep_alive = arguments.or("keep-alive", false)?;
    let load = HttpLoad {
        target: arguments.or("target", default_target())?,
        pace: pace(&mut arguments)?,
        reuse: if keep_alive { Reuse::KeepAlive } else { Reuse::Never },
        announces: arguments.or("announces", 1)?,
        scrapes: arguments.or("scrapes", 0)?,
        num_want: arguments.or("num-want", 30)?,
        users: arguments.optional("users")?,
        check: arguments.or("check", Check::Full)?,
        tls: arguments.optional("tls")?,
        warm_up_secs: arguments.or("warm-up-secs", 1.0)?,
        secs: arguments.or("secs", 5.0)?,
        server: arguments.optional("server-pid")?,
    };
    arguments.finish()?;
    http::run(&load, &population)
}

fn ws(mut arguments: Arguments) -> Result<()> {
    let idle: Option<u32> = arguments.optional("idle")?;
    let quiet_secs = arguments.or("quiet-secs", 1.0)?;
    let load = WsLoad {
        target: arguments.or("target", default_target())?,
        connections: idle.map_or_else(|| arguments.or("connections", 8192), Ok)?,
        torrents: arguments.or("torrents", 256)?,
        sources: arguments.or("sources", 16)?,
        window: arguments.or("window", WS_WINDOW)?,
        offers: arguments.or("offers", WS_OFFERS)?,
        announces: arguments.or("announces", 1)?,
        scrapes: arguments.or("scrapes", 0)?,
        warm_up_secs: arguments.or("warm-up-secs", 1.0)?,
        secs: arguments.or("secs", 5.0)?,
        server: arguments.optional("server-pid")?,
    };
    arguments.finish()?;
    if idle.is_none() {
        return self::load(websocket::run(&load)?);
    }
    Ok(writeln!(std::io::stdout(), "{}", websocket::idle(&load, quiet_secs)?)?)
}

fn pace(arguments: &mut Arguments) -> Result<Pace> {
    let rate: Option<f64> = arguments.optional("rate")?;
    let Some(per_sec) = rate else {
        return Ok(Pace::Closed);
    };
    ensure!(per_sec > 0.0, "--rate must be above 0");
    Ok(Pace::Open { per_sec })
}

fn null(protocol: Option<&str>, mut arguments: Arguments) -> Result<()> {
    let port = arguments.or("port", default_target().port())?;
    let peers = arguments.or("peers", 30)?;
    let workers = arguments.or("workers", 1)?;
    arguments.finish()?;
    match protocol {
        Some("udp") => null::udp(port, peers, workers),
        Some("http") => null::http(port, peers),
        Some("ws") => websocket::null(port, WS_OFFERS),
        _ => bail!("null must be null udp, null http or null ws"),
    }
}

fn hashes(mut arguments: Arguments) -> Result<()> {
    let torrents = arguments.or("torrents", 1000)?;
    arguments.finish()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for torrent in 0..torrents {
        for byte in info_hash(torrent) {
            write!(out, "{byte:02x}")?;
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

fn compare(mut arguments: Arguments) -> Result<()> {
    let smoke = arguments.or("smoke", false)?;
    let kinds = [
        ("tracker", Part::All),
        ("udp-tracker", Part::Udp),
        ("http-tracker", Part::Http),
        ("small-tracker", Part::Small),
        ("private-tracker", Part::Private),
        ("memory-tracker", Part::Memory),
        ("https-tracker", Part::Https),
        ("ws-tracker", Part::Ws),
        ("aging-tracker", Part::Aging),
    ];
    let mut trackers = Vec::new();
    for (flag, part) in kinds {
        for text in arguments.all(flag) {
            trackers.push(Tracker::parse(&text, part)?);
        }
    }
    if !smoke && !trackers.is_empty() {
        trackers.splice(1..1, floors()?);
    }
    let only: String = arguments.or("only", String::new())?;
    let comparison = Comparison {
        trackers,
        smoke,
        only: only.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        port: arguments.or("port", 7969)?.into(),
        rounds: arguments.or("rounds", 5)?,
        secs: arguments.or("secs", 3.0)?,
        shrink: arguments.or("shrink", 1)?,
        quiet_secs_max: arguments.or("quiet-secs-max", 0.0)?.into(),
        cores: available_cores(),
    };
    arguments.finish()?;
    Server::end_with_process()?;
    let tables = comparison.run()?;
    Ok(std::io::stdout().write_all(tables.as_bytes())?)
}

const FLOOR_FLAGS: &str = "--port={port} --peers={peers} --workers={workers}";

/// This very program as responders, to hold trackers against.
fn floors() -> Result<[Tracker; 3]> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let tracker = |protocol: &str, part| Tracker {
        name: "null responder".to_owned(),
        command: format!("{} null {protocol} {FLOOR_FLAGS}", program.display()),
        port: None,
        part,
    };
    Ok([
        tracker("udp", Part::UdpFloor),
        tracker("http", Part::HttpFloor),
        tracker("ws", Part::WsFloor),
    ])
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
