//! skep in this very program, with a clock that can be moved ahead.
//!
//! Its time to live is at least as long as clients need to come back, which no measurement can wait
//! for. Everything but the clock is what the product has.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};

use anyhow::{Context as _, Result, anyhow, bail};
use skep::cli::{self, Command};
use skep::config::{self, Config};

/// Runs skep until standard input ends, with the flags of its command line.
///
/// Every line is a number of seconds by which the clock moves ahead; the answer is the number of
/// peers just then.
///
/// # Errors
/// What keeps skep from starting or stops it.
pub(crate) fn run(flags: impl Iterator<Item = String>) -> Result<()> {
    let command = cli::parse(flags.map(OsString::from), &[]).map_err(|error| anyhow!("{error}"))?;
    let Command::Serve(sources) = command else {
        bail!("only flags of a tracker that runs can be given");
    };
    let loaded = Config::load(&sources).map_err(|problems| anyhow!(config::report(&problems)))?;
    let tracker = skep::start::start(loaded, None)?;
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let secs = line.parse().with_context(|| format!("{line:?} is no number of seconds"))?;
        let peers = tracker.store().tally().peers_total();
        tracker.clock().advance(secs);
        writeln!(out, "{peers}")?;
        out.flush()?;
    }
    Ok(tracker.stop()?)
}
