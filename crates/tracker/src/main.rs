//! The program: reads its arguments, runs the command, and says how it went by its exit status.
//!
//! Decides nothing about the command line or the configuration.
#![warn(clippy::print_stderr)]

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use skep::cli::{self, Command};
use skep::config::{self, Config, Loaded, Sources, render};
use skep::{policy, tls};
use skep_net::memory::{CountingAllocator, join_freed_blocks_at_once};

/// What is taken is counted, so that swarms can be kept within a budget.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bad flags, as `sysexits.h` numbers it.
const EXIT_USAGE: u8 = 64;
/// A bad configuration, as `sysexits.h` numbers it.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    join_freed_blocks_at_once();
    let env: Vec<_> = env::vars_os().collect();
    match cli::parse(env::args_os().skip(1), &env) {
        Ok(Command::Serve(sources)) => with_config(&sources, skep::serve::serve),
        Ok(Command::Check(sources)) => with_config(&sources, |loaded| check(&loaded)),
        Ok(Command::Schema) => print(&format!("{:#}\n", render::schema())),
        Ok(Command::Token { name, scopes }) => match skep::admin::fresh_token(&name, &scopes) {
            Ok(text) => print(&text),
            Err(error) => {
                complain(&format!("skep: cannot get random bytes from the system: {error}\n"));
                ExitCode::FAILURE
            }
        },
        Ok(Command::Help(text)) => print(&text),
        Ok(Command::Version) => print(&format!("{}\n", cli::version())),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn with_config(sources: &Sources, run: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    let loaded = Config::load(sources).and_then(|loaded| match tls::problems(&loaded) {
        none if none.is_empty() => Ok(loaded),
        problems => Err(problems),
    });
    match loaded {
        Ok(loaded) => run(loaded),
        Err(problems) => {
            complain(&config::report(&problems));
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn check(loaded: &Loaded) -> ExitCode {
    let warnings = loaded.warnings.iter().map(ToString::to_string);
    for warning in warnings.chain(policy::list_warnings(&loaded.config)) {
        complain(&format!("skep: warning: {warning}\n"));
    }
    print(&render::effective(loaded))
}

/// Prints a result; a reader that went away is no failure of ours.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("skep: cannot write the result: {error}\n"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Tells what is wrong; the exit status tells it too, to those who do not read this.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
