//! The project's scripts: every one is a subcommand of `cargo xtask`.
//!
//! Nothing here is part of the product and nothing here imports it: the scripts start other
//! programs and read files.
#![forbid(unsafe_code)]

mod bench;
mod fuzz;
mod install;
mod instructions;
mod shell;
mod simulate;
mod suite;
mod tidy;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  install                         install what the tests need
  test                            the same, then run every gate
  tidy                            check what compilers and linters do not
  fuzz [target] [--seconds N]     fuzz every target, or one (60 s each)
  fuzz --smoke                    10 s each, without touching the committed corpus
  simulate [--seeds N] [--seconds N]
                                  the long simulation of the engine
  long                            the tests that take long: everything marked as ignored
  bench [--rounds N] [--seconds N] [--shrink N] [--patience N] [--only NAME[,NAME]]
        [--peer NAME=COMMAND]...  skep beside other trackers, into docs/reports
                                  --only: some measurements, written below target; an unknown name
                                  tells which there are
                                  --shrink: torrents and peers divided, for a short look that is
                                  written below target
                                  --patience: seconds to wait for other processes, in all
                                  --peer: any tracker, with {port} in its command
  bench --smoke                   some seconds of load; every answer must be right
  instructions                    count the instructions of the hot functions, into
                                  docs/internals/instructions.md
  instructions --check            compare with that file instead
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["install"] => install::run(),
        ["test"] => suite::run(),
        ["tidy"] => tidy::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["instructions", rest @ ..] => instructions::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["long"] => suite::long(),
        ["simulate", rest @ ..] => simulate::run(rest),
        [] | ["help" | "-h" | "--help"] => {
            eprint!("{USAGE}");
            Ok(())
        }
        unknown => bail!("unknown command: {}\n\n{USAGE}", unknown.join(" ")),
    }
}

/// Reads the number that follows a flag.
fn number(flag: &str, value: Option<&&str>) -> Result<u64> {
    let value = value.with_context(|| format!("{flag} needs a number"))?;
    value.parse().with_context(|| format!("{flag} needs a number, not {value:?}"))
}
