//! The list of options as text: effective configuration, sample file, manual, help and schema.
//!
//! Adds no fact of its own about an option; what is wrong here is wrong in the list.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::options::{Initial, Kind, OPTIONS, OptionRow, Reload, sections};
use super::problem::Origin;
use super::raw::SCHEMA_KEY;
use super::resolve::Loaded;
use super::value::Value;

/// Returns the effective configuration as TOML, with the origin of what is not a default.
///
/// A secret is a comment, so that the text can be used as a file without setting it.
pub fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut slots = loaded.slots().iter();
    for section in sections() {
        if !section.is_empty() {
            push(&mut text, format_args!("\n[{section}]\n"));
        }
        for (option, slot) in rows_of(section).zip(&mut slots) {
            let hidden = if matches!(slot.value, Value::Secret(_)) { "# " } else { "" };
            let name = option.section_and_name().1;
            push(&mut text, format_args!("{hidden}{name} = {}", slot.value.to_toml()));
            if slot.origin != Origin::Default {
                push(&mut text, format_args!("  # {}", slot.origin));
            }
            text.push('\n');
        }
    }
    text
}

/// Returns the sample file: every option with its default and its documentation.
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of skep: every option with its default. All of it may be left out.\n\
         # Generated from crates/tracker/src/config/options.rs by a test; do not edit.\n",
    );
    for section in sections() {
        if !section.is_empty() {
            push(&mut text, format_args!("\n[{section}]\n"));
        }
        for option in rows_of(section) {
            text.push('\n');
            for sentence in option.doc {
                push(&mut text, format_args!("# {sentence}\n"));
            }
            let name = option.section_and_name().1;
            push(
                &mut text,
                format_args!("# Value: {}. {}.\n", option.kind.allowed(), reload(option)),
            );
            push(&mut text, format_args!("{name} = {}\n", default(option)));
        }
    }
    text
}

/// Returns the reference manual in Markdown.
pub fn manual() -> String {
    let mut text = String::from(MANUAL_HEAD);
    for section in sections() {
        if !section.is_empty() {
            push(&mut text, format_args!("\n## {section}\n"));
        }
        for option in rows_of(section) {
            push(&mut text, format_args!("\n### `{}`\n\n", option.key));
            for sentence in option.doc {
                push(&mut text, format_args!("{sentence}\n"));
            }
            push(&mut text, format_args!("\n- Value: {}\n", option.kind.allowed()));
            push(&mut text, format_args!("- Default: `{}`\n", default(option)));
            push(&mut text, format_args!("- {}\n", reload(option)));
            push(
                &mut text,
                format_args!(
                    "- Names: `--{}`, `{}`{}\n",
                    option.key,
                    option.variable(),
                    aliases(option)
                ),
            );
        }
    }
    text
}

/// Returns the list of options as the help text shows it.
pub fn help() -> String {
    let mut text = String::new();
    for section in sections() {
        if !section.is_empty() {
            push(&mut text, format_args!("\n[{section}]\n"));
        }
        for option in rows_of(section) {
            let value = default(option);
            push(&mut text, format_args!("  --{}={}\n", option.key, value.replace('"', "")));
            push(&mut text, format_args!("      {}", option.doc[0]));
            match option.kind {
                Kind::Choice(words) => {
                    push(&mut text, format_args!(" One of {}.", words.join(", ")));
                }
                Kind::Integer { min, max } => push(&mut text, format_args!(" {min} to {max}.")),
                _ => {}
            }
            text.push('\n');
        }
    }
    text
}

/// Returns the JSON Schema of a configuration file.
pub fn schema() -> Json {
    let mut root = properties("");
    root.insert(SCHEMA_KEY.into(), json!({ "type": "string" }));
    for section in sections().into_iter().filter(|section| !section.is_empty()) {
        root.insert(
            section.into(),
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": properties(section),
            }),
        );
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of skep",
        "type": "object",
        "additionalProperties": false,
        "properties": root,
    })
}

fn properties(section: &str) -> Map<String, Json> {
    rows_of(section).map(|option| (option.section_and_name().1.into(), property(option))).collect()
}

fn property(option: &OptionRow) -> Json {
    let mut property = match option.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Text | Kind::Path => json!({ "type": "string" }),
        Kind::Secret => json!({ "type": "string", "writeOnly": true }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string", "minLength": 1 } }),
        Kind::Sockets | Kind::Networks => json!({
            "type": "array",
            "items": { "type": "string", "minLength": 1 },
            "uniqueItems": true,
        }),
    };
    property["description"] = format!("{} {}.", option.doc.join(" "), reload(option)).into();
    property["default"] = match option.initial {
        Initial::Bool(value) => value.into(),
        Initial::Integer(value) => value.into(),
        Initial::Text(text) => text.into(),
        Initial::List(items) => items.into(),
    };
    property
}

fn rows_of(section: &str) -> impl Iterator<Item = &'static OptionRow> {
    OPTIONS.iter().filter(move |option| option.section_and_name().0 == section)
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("a String takes everything");
}

/// Returns the default as a file says it; an empty secret is not yet a secret.
fn default(option: &OptionRow) -> String {
    match option.initial {
        Initial::Bool(value) => value.to_string(),
        Initial::Integer(value) => value.to_string(),
        Initial::Text(text) => Value::Text(text.into()).to_toml(),
        Initial::List(items) => {
            Value::Texts(items.iter().map(ToString::to_string).collect()).to_toml()
        }
    }
}

fn reload(option: &OptionRow) -> &'static str {
    match option.reload {
        Reload::Live => "Reload: live",
        Reload::Restart => "Reload: restart",
    }
}

fn aliases(option: &OptionRow) -> String {
    let mut text = String::new();
    for alias in option.aliases {
        let meaning = alias.implies.map(|value| format!(" (means `{value}`)")).unwrap_or_default();
        for flag in alias.flags {
            push(&mut text, format_args!(", `-{flag}`{meaning}"));
        }
        if let Some(variable) = alias.variable {
            push(&mut text, format_args!(", `{variable}`{meaning}"));
        }
    }
    text
}

const MANUAL_HEAD: &str = "\
# Configuration reference

Generated from `crates/tracker/src/config/options.rs` by a test; do not edit.

Every option has a default, so no file is needed.
Flags beat the environment, which beats the file, which beats the defaults.
A file is named by `--config FILE` or `SKEP_CONFIG` and is TOML, JSON or YAML, told by its ending, else by trying.
In a file `announce.interval_secs` is the key `interval_secs` of the table `announce`.
Paths of files are taken from the directory in which skep was started.
Flags take one dash or two, and their value after `=` or as the next word; a switch takes none, or `=false`.
Flags and environment variables write a list with commas.
The names `PICO_TRACKER__*` and `DEBUG` count as not set when empty.
An unknown key, a value that does not fit or a contradiction stops the start with all problems at once and exit status 78; unknown flags give 64.
`Reload: live` options are taken over by SIGHUP, `Reload: restart` options need a new start.
`skep check` shows the effective configuration, `skep schema` prints a JSON Schema for editors.
";
