//! A program that is a tracker: its command line, its configuration, its end, and what it adds.
//!
//! Decides nothing about the command line or the configuration.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use skep_engine::gate::{OWN_GATES_MAX, OwnGate, OwnGates, Refusal};
use skep_net::memory::join_freed_blocks_at_once;
use skep_store::driver::Driver;
use skep_store::driver::registry::DRIVERS;

use crate::accounts::DeltaSink;
use crate::admin;
use crate::cli::{self, Command};
use crate::config::{self, Config, Loaded, Scope, Sources, render};
use crate::db::{self, DbCommand};
use crate::{policy, serve, tls};

/// Bad flags, as `sysexits.h` numbers it.
const EXIT_USAGE: u8 = 64;
/// A program that was put together wrongly, as `sysexits.h` numbers it.
const EXIT_SOFTWARE: u8 = 70;
/// A bad configuration, as `sysexits.h` numbers it.
const EXIT_CONFIG: u8 = 78;

/// A tracker with drivers and gates of one's own, as a whole program:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     skep::Builder::new().boot()
/// }
/// ```
///
/// Such a program has the command line, the configuration, the signals and the exit codes of skep.
#[derive(Default)]
pub struct Builder {
    drivers: Vec<Arc<dyn Driver>>,
    gates: Vec<Box<dyn OwnGate>>,
}

/// What a program brings along besides what every build has.
#[derive(Clone, Default)]
pub struct Extras {
    /// Drivers for `storage.driver`.
    pub drivers: Vec<Arc<dyn Driver>>,
    /// Gates, asked after those of every build.
    pub gates: OwnGates,
    /// Where deltas go, where that is not the journal.
    pub sink: Option<Arc<dyn DeltaSink>>,
}

/// Why a program cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two drivers have one name.
    #[error("two drivers are called {0:?}")]
    DriverTwice(&'static str),
    /// Two gates have one name, or a gate has that of a refusal that is counted already.
    #[error("a gate is called {0:?}, by which other refusals are counted")]
    GateTwice(&'static str),
    /// A name that cannot stand in a configuration or a metric.
    #[error("{0:?} is no name: it takes a small letter, and then small letters, digits, - and _")]
    Name(&'static str),
    /// More gates than there are counters.
    #[error("there are {0} gates, and at most {OWN_GATES_MAX} are allowed")]
    TooManyGates(usize),
}

impl Builder {
    /// Begins with what every build has.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver, for `storage.driver` under its name.
    #[must_use]
    pub fn driver(mut self, driver: impl Driver) -> Self {
        self.drivers.push(Arc::new(driver));
        self
    }

    /// Adds a gate, which is asked when all gates before it have let an announce pass.
    #[must_use]
    pub fn gate(mut self, gate: impl OwnGate) -> Self {
        self.gates.push(Box::new(gate));
        self
    }

    /// Makes what [`crate::start::start_with`] takes, for programs that are more than a tracker.
    ///
    /// # Errors
    /// [`BuildError`]
    pub fn extras(self) -> Result<Extras, BuildError> {
        let Self { drivers, gates } = self;
        if gates.len() > OWN_GATES_MAX {
            return Err(BuildError::TooManyGates(gates.len()));
        }
        let mut names: Vec<_> = DRIVERS.iter().map(|row| row.name).collect();
        for driver in &drivers {
            let name = sound(driver.name())?;
            if names.contains(&name) {
                return Err(BuildError::DriverTwice(name));
            }
            names.push(name);
        }
        let mut names = Refusal::LABELS.to_vec();
        for gate in &gates {
            let name = sound(gate.name())?;
            if names.contains(&name) {
                return Err(BuildError::GateTwice(name));
            }
            names.push(name);
        }
        Ok(Extras { drivers, gates: OwnGates::new(gates), sink: None })
    }

    /// Does what the command line says, and returns the exit code for it.
    ///
    /// To be called by `main` before any thread is started.
    #[must_use = "the exit code is what main returns"]
    pub fn boot(self) -> ExitCode {
        join_freed_blocks_at_once();
        let extras = match self.extras() {
            Ok(extras) => extras,
            Err(error) => {
                complain(&format!("skep: {error}\n"));
                return ExitCode::from(EXIT_SOFTWARE);
            }
        };
        let env: Vec<_> = env::vars_os().collect();
        match cli::parse(env::args_os().skip(1), &env) {
            Ok(Command::Serve(sources)) => {
                with_config(&sources, |loaded| serve::serve(loaded, extras))
            }
            Ok(Command::Check(sources)) => with_config(&sources, |loaded| check(&loaded, &extras)),
            Ok(Command::Schema) => print(&format!("{:#}\n", render::schema())),
            Ok(Command::Db(command, sources)) => {
                with_config(&sources, |loaded| of_storage(command, &loaded, &extras))
            }
            Ok(Command::Token { name, scopes }) => token(&name, &scopes),
            Ok(Command::Help(text)) => print(&(text + &extras.told(""))),
            Ok(Command::Version) => print(&format!("{}\n", cli::version())),
            Err(error) => {
                complain(&error.to_string());
                ExitCode::from(EXIT_USAGE)
            }
        }
    }
}

impl Extras {
    /// Finds a driver of one's own.
    #[must_use]
    pub fn driver(&self, name: &str) -> Option<&Arc<dyn Driver>> {
        self.drivers.iter().find(|driver| driver.name() == name)
    }

    /// Says what the program brings along, in lines that begin with `start`; nothing if it is nothing.
    fn told(&self, start: &str) -> String {
        let mut text = String::new();
        let mut push = |line: &str| writeln!(text, "{start}{line}").expect("a String takes it");
        if !self.drivers.is_empty() {
            push("\nDrivers of this program:");
            self.drivers.iter().for_each(|driver| push(&format!("  {}", driver.name())));
        }
        if self.gates.iter().len() > 0 {
            push("\nGates of this program, asked after all others:");
            let line = |gate: &dyn OwnGate| format!("  {}: {}", gate.name(), gate.doc());
            self.gates.iter().for_each(|gate| push(&line(gate)));
        }
        text
    }
}

/// Lets a name pass that can be written everywhere.
fn sound(name: &'static str) -> Result<&'static str, BuildError> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if starts && name.bytes().all(fits) { Ok(name) } else { Err(BuildError::Name(name)) }
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

fn check(loaded: &Loaded, extras: &Extras) -> ExitCode {
    let warnings = loaded.warnings.iter().map(ToString::to_string);
    for warning in warnings.chain(policy::list_warnings(&loaded.config)) {
        complain(&format!("skep: warning: {warning}\n"));
    }
    print(&(render::effective(loaded) + &extras.told("# ")))
}

fn of_storage(command: DbCommand, loaded: &Loaded, extras: &Extras) -> ExitCode {
    match db::run(command, &loaded.config, extras) {
        Ok(told) if told.is_fine => print(&told.text),
        Ok(told) => {
            print(&told.text);
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&format!("skep: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a new token of the API.
fn token(name: &str, scopes: &[Scope]) -> ExitCode {
    match admin::fresh_token(name, scopes) {
        Ok(text) => print(&text),
        Err(error) => {
            complain(&format!("skep: cannot get random bytes from the system: {error}\n"));
            ExitCode::FAILURE
        }
    }
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
