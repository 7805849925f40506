//! The command line: which command is meant, and which options its flags set.
//!
//! Reads no environment and no file and prints nothing; of the system it asks only whether a stray
//! word names a file. The flags themselves come from the list of options.

mod token;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use crate::config::options::{OPTIONS, position};
use crate::config::{
    Origin, Scope, Sources, Warning, give_text, nearest, nearest_key, printable, read_environment,
    render,
};
use crate::db::DbCommand;

/// What the command line asks for.
#[derive(Debug, Clone)]
#[must_use]
pub enum Command {
    /// Run the tracker.
    Serve(Sources),
    /// Show the effective configuration.
    Check(Sources),
    /// Show the JSON Schema of the configuration.
    Schema,
    /// Ask something of the storage.
    Db(DbCommand, Sources),
    /// Make a token for the API.
    Token {
        /// What the operator calls it.
        name: String,
        /// What it may be used for.
        scopes: Vec<Scope>,
    },
    /// Show this text.
    Help(String),
    /// Show the version.
    Version,
}

/// Why a command line cannot be understood; one line for each mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError {
    /// What is wrong, without any value that was given.
    pub faults: Vec<String>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "skep: {fault}")?;
        }
        writeln!(f, "try skep --help")
    }
}

impl std::error::Error for UsageError {}

/// Reads arguments (without the program's name) and environment.
///
/// Values are only collected here: whether they fit is found by loading them.
///
/// # Errors
/// Unknown flags and commands, and flags without their value, all at once.
pub fn parse(
    args: impl Iterator<Item = OsString>,
    env: &[(OsString, OsString)],
) -> Result<Command, UsageError> {
    let mut reader = Reader { args: args.collect(), next: 0, ..Reader::default() };
    if reader.args.first().is_some_and(|word| word == "token") {
        return token::parse(&reader.args[1..]);
    }
    let mut sources = Sources::default();
    read_environment(env, &mut sources);
    let mut flags_ended = false;
    while let Some(arg) = reader.take() {
        match flag_of(&arg) {
            _ if flags_ended => reader.read_command(&arg),
            None if arg == "--" => flags_ended = true,
            None => reader.read_command(&arg),
            Some((name, value)) => match flag_meaning(&name) {
                Some(Meaning::Help) => return Ok(Command::Help(help())),
                Some(Meaning::Version) => return Ok(Command::Version),
                Some(meaning) => reader.read_flag(&name, meaning, value, &mut sources),
                None => {
                    reader.faults.push(unknown_flag(&name));
                    if value.is_none() {
                        reader.skip_value();
                    }
                }
            },
        }
    }
    if !reader.faults.is_empty() {
        return Err(UsageError { faults: reader.faults });
    }
    Ok(match reader.command {
        None | Some(CommandWord::Serve) => Command::Serve(sources),
        Some(CommandWord::Check) => Command::Check(sources),
        Some(CommandWord::Schema) => Command::Schema,
        Some(CommandWord::Db) => match reader.of_storage {
            Some(command) => Command::Db(command, sources),
            None => {
                let fault = format!("db needs a command of its own: {}", words(DB_COMMANDS));
                return Err(UsageError { faults: vec![fault] });
            }
        },
        Some(CommandWord::Help | CommandWord::Token) => Command::Help(help()),
        Some(CommandWord::Version) => Command::Version,
    })
}

/// Returns the text of `--version`.
pub fn version() -> String {
    format!("skep {}", env!("CARGO_PKG_VERSION"))
}

#[derive(Clone, Copy)]
enum CommandWord {
    Serve,
    Check,
    Db,
    Schema,
    Help,
    Token,
    Version,
}

/// What a flag does; `takes_value` is for those whose value may be the next word.
enum Meaning {
    Help,
    Version,
    Config,
    /// Options by their place, each with the value that the name implies.
    Options(Vec<(usize, Option<&'static str>)>),
    Ignored {
        takes_value: bool,
    },
}

#[derive(Default)]
struct Reader {
    args: Vec<OsString>,
    next: usize,
    command: Option<CommandWord>,
    of_storage: Option<DbCommand>,
    faults: Vec<String>,
}

impl Reader {
    fn take(&mut self) -> Option<OsString> {
        let arg = self.args.get(self.next).cloned();
        self.next += 1;
        arg
    }

    fn read_command(&mut self, arg: &OsStr) {
        if let (Some(CommandWord::Db), None) = (self.command, self.of_storage) {
            return self.read_db_command(arg);
        }
        let found = COMMANDS.iter().find(|(word, _)| arg == *word);
        match (found, self.command) {
            (Some((_, CommandWord::Token)), _) => {
                self.faults.push("token must be the first word".to_owned());
            }
            (Some((_, command)), None) => self.command = Some(*command),
            (Some((word, _)), Some(_)) => {
                self.faults.push(format!("{word} is a second command; one is allowed"));
            }
            (None, _) if Path::new(arg).is_file() => {
                let path = printable(&arg.to_string_lossy());
                self.faults.push(format!("{path} is a file; a configuration is --config {path}"));
            }
            (None, _) => {
                let word = arg.to_string_lossy();
                let hint = hint(nearest(&word, COMMANDS.iter().map(|(word, _)| *word)), "");
                // A stray word may be a part of a secret that was not quoted.
                let shown = if hint.is_empty() { "a stray word".into() } else { printable(&word) };
                let fault = format!("{shown} is neither a command nor the value of a flag{hint}");
                self.faults.push(fault);
            }
        }
    }

    fn read_db_command(&mut self, arg: &OsStr) {
        let found = DB_COMMANDS.iter().find(|(word, _)| arg == *word);
        self.of_storage = found.map(|(_, command)| *command);
        if self.of_storage.is_none() {
            let word = arg.to_string_lossy();
            let hint = hint(nearest(&word, DB_COMMANDS.iter().map(|(word, _)| *word)), "");
            let shown = if hint.is_empty() { "a stray word".into() } else { printable(&word) };
            let all = words(DB_COMMANDS);
            self.faults.push(format!("{shown} is no command of db, which has {all}{hint}"));
        }
    }

    fn read_flag(
        &mut self,
        name: &str,
        meaning: Meaning,
        attached: Option<OsString>,
        sources: &mut Sources,
    ) {
        let shown = dashed(name);
        match meaning {
            Meaning::Help | Meaning::Version => {}
            Meaning::Config => {
                if let Some(path) = self.value(&shown, attached) {
                    sources.file = (!path.is_empty()).then(|| path.into());
                }
            }
            Meaning::Ignored { takes_value } => {
                if takes_value {
                    self.value(&shown, attached);
                }
                sources.warnings.push(Warning::new(shown, "has no effect"));
            }
            Meaning::Options(options) => self.read_options(shown, &options, attached, sources),
        }
    }

    fn read_options(
        &mut self,
        shown: String,
        options: &[(usize, Option<&'static str>)],
        attached: Option<OsString>,
        sources: &mut Sources,
    ) {
        let is_switch = options.iter().all(|(_, implied)| implied.is_some());
        let is_bool = options.iter().any(|(option, _)| OPTIONS[*option].kind.is_bool());
        let value = if is_switch {
            match attached.as_ref().map(|value| value.to_str()) {
                None | Some(Some("true" | "1")) => OsString::new(),
                Some(Some("false" | "0")) => return,
                Some(_) => return self.faults.push(format!("{shown} takes true or false")),
            }
        } else if is_bool && attached.is_none() {
            self.take_bool_word()
        } else {
            let Some(value) = self.value(&shown, attached) else {
                return;
            };
            value
        };
        for (option, implied) in options {
            let value = implied.map_or(value.as_os_str(), OsStr::new);
            give_text(*option, Origin::Flag(shown.clone()), value, sources);
        }
    }

    /// Leaves out the word after an unknown flag, which is most likely its value.
    fn skip_value(&mut self) {
        let is_value = |arg: &&OsString| {
            flag_of(arg).is_none() && *arg != "--" && COMMANDS.iter().all(|(word, _)| arg != word)
        };
        if self.args.get(self.next).as_ref().is_some_and(is_value) {
            self.next += 1;
        }
    }

    /// Returns the value of a flag, or notes that there is none.
    fn value(&mut self, shown: &str, attached: Option<OsString>) -> Option<OsString> {
        if attached.is_some() {
            return attached;
        }
        // A value may begin with a dash, but not be a flag: that is a value forgotten.
        let is_flag =
            |arg: &OsString| flag_of(arg).is_some_and(|(name, _)| flag_meaning(&name).is_some());
        match self.args.get(self.next) {
            Some(arg) if !is_flag(arg) => self.take(),
            _ => {
                self.faults.push(format!("{shown} needs a value"));
                None
            }
        }
    }

    /// Takes the next word where it can only be the value of the switch before it.
    fn take_bool_word(&mut self) -> OsString {
        match self.args.get(self.next) {
            Some(word) if word == "true" || word == "false" => self.take().unwrap_or_default(),
            _ => "true".into(),
        }
    }
}

/// Splits a flag into its name, without dashes, and the value after an equals sign.
fn flag_of(arg: &OsStr) -> Option<(String, Option<OsString>)> {
    let bytes = arg.as_encoded_bytes();
    let body = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-"))?;
    if body.is_empty() || body[0] == b'-' || body[0] == b'=' {
        return None;
    }
    let end = body.iter().position(|byte| *byte == b'=').unwrap_or(body.len());
    let dashes = bytes.len() - body.len();
    let value = (end < body.len()).then(|| split_off(arg, dashes + end + 1));
    Some((String::from_utf8_lossy(&body[..end]).into_owned(), value))
}

/// Returns what follows the first `start` bytes, which end with an ASCII character.
#[cfg(unix)]
fn split_off(arg: &OsStr, start: usize) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(&arg.as_bytes()[start..]).into()
}

/// Returns what follows the first `start` bytes; text that is not Unicode is refused later.
#[cfg(not(unix))]
fn split_off(arg: &OsStr, start: usize) -> OsString {
    match arg.to_str() {
        Some(text) => text[start..].into(),
        None => arg.into(),
    }
}

fn flag_meaning(name: &str) -> Option<Meaning> {
    match name {
        "help" | "h" => return Some(Meaning::Help),
        "version" | "v" => return Some(Meaning::Version),
        "config" | "c" => return Some(Meaning::Config),
        _ => {}
    }
    if let Some(option) = position(name) {
        return Some(Meaning::Options(vec![(option, None)]));
    }
    if let Some((_, takes_value)) = IGNORED.iter().find(|(ignored, _)| *ignored == name) {
        return Some(Meaning::Ignored { takes_value: *takes_value });
    }
    let mut options = Vec::new();
    for (option, row) in OPTIONS.iter().enumerate() {
        for alias in row.aliases.iter().filter(|alias| alias.flags.contains(&name)) {
            options.push((option, alias.implies));
        }
    }
    (!options.is_empty()).then_some(Meaning::Options(options))
}

fn unknown_flag(name: &str) -> String {
    let aliases = OPTIONS.iter().flat_map(|row| row.aliases).flat_map(|alias| alias.flags);
    let long = aliases.copied().chain(["help", "version", "config"]).filter(|name| name.len() > 1);
    let nearest = nearest(name, long).or_else(|| nearest_key(name));
    format!("unknown flag {}{}", dashed(&printable(name)), hint(nearest, "--"))
}

fn hint(nearest: Option<&str>, dashes: &str) -> String {
    nearest.map(|name| format!("; did you mean {dashes}{name}?")).unwrap_or_default()
}

fn dashed(name: &str) -> String {
    if name.chars().count() == 1 { format!("-{name}") } else { format!("--{name}") }
}

fn help() -> String {
    format!("{}: a BitTorrent tracker\n\n{HELP_HEAD}{}", version(), render::help())
}

const COMMANDS: &[(&str, CommandWord)] = &[
    ("check", CommandWord::Check),
    ("db", CommandWord::Db),
    ("help", CommandWord::Help),
    ("schema", CommandWord::Schema),
    ("serve", CommandWord::Serve),
    ("token", CommandWord::Token),
    ("version", CommandWord::Version),
];

const DB_COMMANDS: &[(&str, DbCommand)] = &[
    ("migrate", DbCommand::Migrate),
    ("schema", DbCommand::Schema),
    ("status", DbCommand::Status),
];

fn words<T>(commands: &[(&str, T)]) -> String {
    commands.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

/// Flags of Chihaya and of its log library, and whether they take a value.
const IGNORED: &[(&str, bool)] = &[
    ("alsologtostderr", false),
    ("log_backtrace_at", true),
    ("log_dir", true),
    ("logtostderr", false),
    ("profile", true),
    ("stderrthreshold", true),
    ("vmodule", true),
];

const HELP_HEAD: &str = "\
Usage: skep [serve] [flags]   run the tracker; without any flag on port 1337, UDP and HTTP
       skep check [flags]     check the configuration and print what takes effect
       skep schema            print the JSON Schema of the configuration
       skep db status         tell where records and sums are kept, and how far they are
       skep db migrate        bring the tables of the storage up to date
       skep db schema         print their SQL, of another driver with --driver NAME
       skep token             make a token for the API: see skep token --help

Common flags:
  -c, --config FILE      configuration file (TOML, JSON or YAML), also SKEP_CONFIG
  -p, --port PORT        port of UDP and HTTP, also PICO_TRACKER__PORT
  -s, --secret TEXT      key of UDP connection ids, also PICO_TRACKER__SECRET
  -w, --whitelist FILE   serve only the torrents listed there, also PICO_TRACKER__WHITELIST
  -d, --debug            log more of what the tracker does, also DEBUG=1
  -v, --version          print the version
  -h, --help             print this text

Flags take one dash or two, and a value as --flag=VALUE or --flag VALUE.
Each option below is also an environment variable: SKEP__LISTEN__PORT sets listen.port.
Lists are separated by commas. Flags beat the environment, which beats the file.

Options and their defaults:
";

#[cfg(test)]
mod tests;
