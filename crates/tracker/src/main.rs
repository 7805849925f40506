//! The program: reads its arguments, runs the command, and says how it went by its exit status.
//!
//! Decides nothing about the command line or the configuration.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use skep::cli::{self, Command};
use skep::config::{self, Config, Loaded, Sources, render};

/// Bad flags, as `sysexits.h` numbers it.
const EXIT_USAGE: u8 = 64;
/// A bad configuration, as `sysexits.h` numbers it.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let env: Vec<_> = env::vars_os().collect();
    match cli::parse(env::args_os().skip(1), &env) {
        Ok(Command::Serve(sources)) => with_config(&sources, skep::serve::serve),
        Ok(Command::Check(sources)) => {
            with_config(&sources, |loaded| print(&render::effective(&loaded)))
        }
        Ok(Command::Schema) => print(&format!("{:#}\n", render::schema())),
        Ok(Command::Help(text)) => print(&text),
        Ok(Command::Version) => print(&format!("{}\n", cli::version())),
        Err(error) => {
            eprint!("{error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn with_config(sources: &Sources, run: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match Config::load(sources) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("skep: warning: {warning}");
            }
            run(loaded)
        }
        Err(problems) => {
            eprint!("{}", config::report(&problems));
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

/// Prints a result; a reader that went away is no failure of ours.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
