//! Configuration as it was written: files, environment and flags, brought to one value model.
//!
//! Knows where a value came from and which option it is for. Whether the value fits is for
//! `value.rs`, and whether it fits the others is for `resolve.rs`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::chihaya;
use super::options::{OPTIONS, OptionRow, VARIABLE_START, position, sections};
use super::problem::{Origin, Problem, Warning, nearest, printable};

/// Any value that TOML, JSON and YAML can write.
#[derive(Clone, PartialEq)]
pub(crate) enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    /// Keys in the order of the file; a key may stand twice.
    Table(Vec<(String, Self)>),
}

/// A value that somebody gave to an option.
#[derive(Clone)]
pub(crate) struct Given {
    /// The place of the option in [`OPTIONS`].
    pub(crate) option: usize,
    pub(crate) origin: Origin,
    pub(crate) raw: Raw,
}

/// Everything a configuration is made from; made once from the command line and the environment.
///
/// Loading it again reads the configuration file again, and nothing else can change.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// Values of the environment and then of the flags: of two values the later one counts.
    pub(crate) given: Vec<Given>,
    /// What was wrong with the environment and the flags already.
    pub(crate) problems: Vec<Problem>,
    /// What has no effect on the command line.
    pub(crate) warnings: Vec<Warning>,
}

impl Sources {
    /// Returns the configuration file that is read, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// What a configuration file says.
#[derive(Default)]
pub(crate) struct FileLayer {
    pub(crate) given: Vec<Given>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Warning>,
}

impl Given {
    /// Takes a value written as text for the option at `option`.
    pub(crate) fn from_text(option: usize, origin: Origin, text: &str) -> Self {
        Self { option, origin, raw: OPTIONS[option].kind.raw_from_text(text) }
    }
}

// The value may be a secret.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", OPTIONS[self.option].key, self.origin)
    }
}

/// Collects what the environment sets.
///
/// The names of other trackers come first, so that a `SKEP__` name beats them.
pub(crate) fn read_environment(env: &[(OsString, OsString)], sources: &mut Sources) {
    for (name, value) in env {
        let Some(name) = name.to_str() else { continue };
        for (option, row) in OPTIONS.iter().enumerate() {
            for alias in row.aliases.iter().filter(|alias| alias.variable == Some(name)) {
                read_alias_variable(option, name, alias.implies, value, sources);
            }
        }
    }
    for (name, value) in env {
        let name = name.to_string_lossy();
        match name.get(..VARIABLE_START.len()) {
            Some(start) if start.eq_ignore_ascii_case(VARIABLE_START) => {}
            _ => {
                sources.warnings.extend(warning_of_likeness(&name));
                continue;
            }
        }
        let origin = Origin::Environment(printable(&name));
        match OPTIONS.iter().position(|option| option.variable() == name) {
            Some(option) => give_text(option, origin, value, sources),
            None => {
                let key = name[VARIABLE_START.len()..].replace("__", ".").to_ascii_lowercase();
                let nearest = nearest_key(&key).and_then(position);
                let nearest = nearest.map(|option| OPTIONS[option].variable());
                sources.problems.push(
                    Problem::of_source(origin, "no option has this name").with_nearest(nearest),
                );
            }
        }
    }
    if sources.file.is_none()
        && let Some((_, path)) =
            env.iter().find(|(name, path)| name == FILE_VARIABLE && !path.is_empty())
    {
        sources.file = Some(path.into());
    }
}

/// Names the variable that was meant, for one that differs in the number of underscores alone.
///
/// Others that begin so may belong to other programs: a container platform makes `SKEP_PORT` for a
/// service of our name.
fn warning_of_likeness(name: &str) -> Option<Warning> {
    let meant = OPTIONS.iter().map(OptionRow::variable).find(|variable| {
        variable.replace("__", "_").eq_ignore_ascii_case(&name.replace("__", "_"))
    })?;
    Some(Warning::new(printable(name), format!("has no effect; did you mean {meant}?")))
}

/// Adds a value for an option, or a problem when it is not text.
pub(crate) fn give_text(option: usize, origin: Origin, value: &OsStr, sources: &mut Sources) {
    match value.to_str() {
        Some(text) => sources.given.push(Given::from_text(option, origin, text)),
        None => {
            sources.problems.push(Problem::of_key(
                OPTIONS[option].key,
                origin,
                "must be UTF-8 text",
            ));
        }
    }
}

fn read_alias_variable(
    option: usize,
    name: &str,
    implies: Option<&str>,
    value: &OsStr,
    sources: &mut Sources,
) {
    // Unlike our own names these count as unset when empty, as their first owners have it.
    if value.is_empty() {
        return;
    }
    let origin = Origin::Environment(name.into());
    // A name that always implies is a switch; beside a name that takes the value it is not.
    let is_switch = OPTIONS
        .iter()
        .flat_map(|row| row.aliases)
        .all(|alias| alias.variable != Some(name) || alias.implies.is_some());
    match implies {
        // Other programs read DEBUG too and put words of their own there.
        Some(_) if is_switch && !is_truthy(value) => {}
        Some(implied) => sources.given.push(Given::from_text(option, origin, implied)),
        None => give_text(option, origin, value, sources),
    }
}

fn is_truthy(value: &OsStr) -> bool {
    ["1", "t", "true", "yes", "on"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Reads a configuration file into values for options.
pub(crate) fn read_file(path: &Path) -> FileLayer {
    let mut layer = FileLayer::default();
    match read_text(path).and_then(|text| parse(path, &text)) {
        Ok(root) if chihaya::is_chihaya(&root) => chihaya::translate(path, &root, &mut layer),
        Ok(root) => collect_table("", root, &Origin::file(path), &mut layer),
        Err(message) => layer.problems.push(Problem::of_source(Origin::file(path), message)),
    }
    layer
}

fn read_text(path: &Path) -> Result<String, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("must be at most {FILE_BYTES_MAX} bytes long"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "must be UTF-8 text")?;
    // Editors of Windows begin a file with a byte order mark, which JSON does not know.
    Ok(text.strip_prefix('\u{feff}').map(Into::into).unwrap_or(text))
}

/// Parses by the ending of the file's name, else by trying.
fn parse(path: &Path, text: &str) -> Result<Raw, String> {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    let root = match ending.as_str() {
        "toml" => parse_toml(text).map_err(|fault| fault.in_format("TOML")),
        "json" => parse_json(text).map_err(|fault| fault.in_format("JSON")),
        "yaml" | "yml" => parse_yaml(text).map_err(|fault| fault.in_format("YAML")),
        _ => parse_any(text),
    }?;
    match root {
        // YAML reads an empty document as null.
        Raw::Null => Ok(Raw::Table(Vec::new())),
        Raw::Table(_) => Ok(root),
        _ => Err("must hold a table of options".into()),
    }
}

/// Tries all formats; of their complaints the one that came furthest is told.
fn parse_any(text: &str) -> Result<Raw, String> {
    let mut furthest = ((0, 0), String::new());
    let formats: [(&str, Parser); 3] =
        [("JSON", parse_json), ("TOML", parse_toml), ("YAML", parse_yaml)];
    for (format, parser) in formats {
        match parser(text) {
            // YAML takes any line of text for a value.
            Ok(root @ (Raw::Table(_) | Raw::Null)) => return Ok(root),
            Ok(_) => {}
            Err(fault) if fault.place() > furthest.0 => {
                furthest = (fault.place(), fault.in_format(format));
            }
            Err(_) => {}
        }
    }
    Err(furthest.1)
}

type Parser = fn(&str) -> Result<Raw, SyntaxFault>;

/// Where and why a file is not in its format; never quotes the file, which may hold a secret.
struct SyntaxFault {
    line: usize,
    column: usize,
    message: String,
}

impl SyntaxFault {
    fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    fn in_format(&self, format: &str) -> String {
        let Self { line, column, message } = self;
        format!("line {line}, column {column}: {message} ({format})")
    }
}

fn parse_json(text: &str) -> Result<Raw, SyntaxFault> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        SyntaxFault { line, column, message: message.trim_end_matches(&place).into() }
    })
}

fn parse_toml(text: &str) -> Result<Raw, SyntaxFault> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[line_start..].chars().count() + 1;
        SyntaxFault { line, column, message: printable(error.message()) }
    })
}

fn parse_yaml(text: &str) -> Result<Raw, SyntaxFault> {
    let options = serde_saphyr::options! {
        // The word off, without quotes, is not false to us.
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|place| (place.line(), place.column()));
        let (line, column) = place.unwrap_or((1, 1));
        let number = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        let message = message.split(" at line ").next().unwrap_or_default();
        SyntaxFault { line: number(line), column: number(column), message: printable(message) }
    })
}

/// Sorts the values of a table to their options.
fn collect_table(prefix: &str, table: Raw, origin: &Origin, layer: &mut FileLayer) {
    let Raw::Table(entries) = table else { return };
    for (name, raw) in entries {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let fault = |message: &str| Problem::of_key(printable(&key), origin.clone(), message);
        if let Some(option) = position(&key) {
            if layer.given.iter().any(|given| given.option == option) {
                layer.problems.push(fault("is given twice"));
            }
            layer.given.push(Given { option, origin: origin.clone(), raw });
        } else if sections().contains(&key.as_str()) {
            match raw {
                // YAML reads a section without entries as null.
                Raw::Null => {}
                Raw::Table(_) => collect_table(&key, raw, origin, layer),
                _ => layer.problems.push(fault("must be a table of options")),
            }
        } else if key != SCHEMA_KEY {
            // The value may be a secret under a misspelt name, so it is not shown.
            let (message, nearest) = match raw {
                Raw::Table(_) => ("no section has this name", nearest_section(&key)),
                _ => ("no option has this name", nearest_key(&key)),
            };
            layer.problems.push(fault(message).with_nearest(nearest.map(Into::into)));
        }
    }
}

fn nearest_section(name: &str) -> Option<&'static str> {
    nearest(name, sections().into_iter().filter(|section| !section.is_empty()))
}

/// Returns the key that `name` was probably meant to be.
pub(crate) fn nearest_key(name: &str) -> Option<&'static str> {
    nearest(name, OPTIONS.iter().map(|option| option.key))
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a configuration file")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Raw::Table(table))
    }
}

/// Names the configuration file where no flag does.
const FILE_VARIABLE: &str = "SKEP_CONFIG";
/// Names the schema for editors in JSON files.
pub(crate) const SCHEMA_KEY: &str = "$schema";
/// No configuration is this long; a device or a data file given by mistake may be.
const FILE_BYTES_MAX: u64 = 1 << 20;
