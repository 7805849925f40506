//! Instructions of the hot functions, counted by callgrind and kept in a file.
//!
//! What is counted, and how often, is told by the example `instructions` of the product; here it is
//! built, run and compared. No time is measured.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::shell;

const EXAMPLE: &str = "instructions";
const FILE: &str = "docs/internals/instructions.md";

/// Callgrind collects inside the one and writes a file of its own before each call of the other.
const COUNTED: &str = "--toggle-collect=instructions::counted";
const END_OF_ROW: &str = "--dump-before=instructions::end_of_row";

/// What a count may move by without a word: this part of it, and so many instructions at least.
const TOLERANCE_PERCENT: u64 = 3;
const TOLERANCE_MIN: u64 = 4;

const BUILT_WITH: &str = "Built with ";

/// The table, as counted or as read from the file.
#[derive(Debug, PartialEq)]
struct Table {
    /// Compiler, target and C library: with others, other counts are no news.
    built_with: String,
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    instructions: u64,
}

/// Counts and writes the file, or compares with it.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        [] => {
            fs::write(shell::root().join(FILE), render(&count()?))
                .with_context(|| format!("cannot write {FILE}"))?;
            eprintln!("written: {FILE}");
            Ok(())
        }
        ["--check"] => check(),
        other => bail!("instructions takes --check or nothing, not {:?}", other.join(" ")),
    }
}

/// Counts and fails if the file tells something else.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(shell::root().join(FILE))
        .with_context(|| format!("cannot read {FILE}"))?;
    let kept = parse(&text).with_context(|| format!("{FILE} is not as it was written"))?;
    let now = count()?;
    if kept.built_with != now.built_with {
        eprintln!("counts are not compared: {FILE} is of a build with {}", kept.built_with);
        eprintln!("this one is with {}", now.built_with);
    }
    let changes = changes(&kept, &now);
    if changes.is_empty() {
        return Ok(());
    }
    let changes = changes.join("\n  ");
    bail!("{FILE} is out of date; `cargo xtask instructions` renews it:\n  {changes}")
}

/// Builds the example and runs it under callgrind.
fn count() -> Result<Table> {
    let example = ["build", "--locked", "--release", "--package", "skep", "--example", EXAMPLE];
    // Whatever else changes the code would change the counts.
    let mut build = shell::cargo();
    shell::run(build.args(example).env_remove("RUSTFLAGS").env("CARGO_INCREMENTAL", "0"))?;
    let folder = output_folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove the files of an earlier run")?;
    }
    fs::create_dir_all(&folder).context("cannot make a folder for callgrind")?;
    let out = format!("--callgrind-out-file={}", folder.join("callgrind.out").display());
    let binary = shell::target().join("release").join("examples").join(EXAMPLE);
    let binary = binary.strip_prefix(shell::root()).unwrap_or(&binary);
    let callgrind = ["--quiet", "--tool=callgrind", COUNTED, END_OF_ROW];
    let mut valgrind = shell::program("valgrind");
    // Paths and variables lie on the stack, and how it is aligned shows in the C library's counts.
    valgrind.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let told = shell::output(valgrind.args(callgrind).arg(out).arg(binary))?;
    let rows = told.lines().zip(1..).map(|(line, number)| {
        row(line, number).with_context(|| format!("row {number} was not counted: {line}"))
    });
    Ok(Table { built_with: built_with()?, rows: rows.collect::<Result<_>>()? })
}

fn output_folder() -> PathBuf {
    shell::target().join("instructions")
}

/// Joins what the example said about a row, calls and name, with the file that callgrind wrote.
fn row(line: &str, number: usize) -> Result<Row> {
    let (calls, name) = line.split_once('\t').context("neither calls nor name")?;
    let calls: u64 = calls.parse().context("no number of calls")?;
    let file = output_folder().join(format!("callgrind.out.{number}"));
    let profile = fs::read_to_string(file).context("callgrind wrote no file for it")?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.context("callgrind tells no total")?.trim().parse()?;
    if total < calls {
        bail!("callgrind collected nothing; was {COUNTED} inlined or renamed?");
    }
    Ok(Row { name: name.to_owned(), instructions: (total + calls / 2) / calls })
}

fn built_with() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let verbose = shell::output(shell::program(rustc).arg("-vV"))?;
    let version = verbose.lines().next().unwrap_or_default();
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let libc = shell::output(shell::program("getconf").arg("GNU_LIBC_VERSION"))?;
    Ok(format!("{version} for {host}, {}", libc.trim()))
}

fn render(table: &Table) -> String {
    let mut text = format!(
        "# Instructions\n\n\
         Instructions of one call, counted by callgrind. Written by `cargo xtask instructions`; \
         [bench.md](bench.md#instructions) tells how to read it.\n\n\
         {BUILT_WITH}{}.\n\n\
         | function | instructions |\n|---|---:|\n",
        table.built_with
    );
    for Row { name, instructions } in &table.rows {
        text.push_str(&format!("| {name} | {instructions} |\n"));
    }
    text
}

fn parse(text: &str) -> Result<Table> {
    let built_with = text.lines().find_map(|line| line.strip_prefix(BUILT_WITH)?.strip_suffix('.'));
    let built_with = built_with.context("it does not say what it was built with")?.to_owned();
    let lines = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = lines.map(|line| {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        let (name, instructions) = cells
            .and_then(|cells| cells.rsplit_once(" | "))
            .with_context(|| format!("not a row: {line}"))?;
        let instructions =
            instructions.parse().with_context(|| format!("not a count: {instructions}"))?;
        Ok(Row { name: name.to_owned(), instructions })
    });
    Ok(Table { built_with, rows: rows.collect::<Result<_>>()? })
}

/// What the file must be renewed for.
fn changes(kept: &Table, now: &Table) -> Vec<String> {
    let find = |table: &Table, name: &str| {
        table.rows.iter().find(|row| row.name == name).map(|row| row.instructions)
    };
    let mut changes = Vec::new();
    for Row { name, instructions: old } in &kept.rows {
        match find(now, name) {
            None => changes.push(format!("{name}: no longer counted")),
            Some(new) if kept.built_with == now.built_with && is_news(*old, new) => {
                let percent = (new as f64 / *old as f64 - 1.0) * 100.0;
                changes.push(format!("{name}: {old} before, {new} now ({percent:+.1} %)"));
            }
            Some(_) => {}
        }
    }
    let added = now.rows.iter().filter(|row| find(kept, &row.name).is_none());
    changes.extend(added.map(|row| format!("{}: not in the file", row.name)));
    changes
}

fn is_news(old: u64, new: u64) -> bool {
    let moved = old.abs_diff(new);
    moved > TOLERANCE_MIN && moved * 100 > old * TOLERANCE_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(built_with: &str, rows: &[(&str, u64)]) -> Table {
        let row = |&(name, instructions): &(&str, u64)| Row { name: name.to_owned(), instructions };
        Table { built_with: built_with.to_owned(), rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let table = table("rustc 1.95.0 for x86_64", &[("announce: 1,000", 2481), ("scrape", 9)]);
        assert_eq!(parse(&render(&table)).unwrap(), table);
    }

    #[test]
    fn count_that_moved_is_named_with_both_numbers() {
        let kept = table("a", &[("slower", 1000), ("faster", 1000), ("same", 1000), ("tiny", 10)]);
        let now = table("a", &[("slower", 1031), ("faster", 969), ("same", 1030), ("tiny", 14)]);
        let expected =
            ["slower: 1000 before, 1031 now (+3.1 %)", "faster: 1000 before, 969 now (-3.1 %)"];
        assert_eq!(changes(&kept, &now), expected);
    }

    #[test]
    fn other_compiler_is_held_to_the_set_of_functions_only() {
        let kept = table("a", &[("both", 1000), ("gone", 1)]);
        let now = table("b", &[("both", 2000), ("new", 1)]);
        assert_eq!(changes(&kept, &now), ["gone: no longer counted", "new: not in the file"]);
    }

    #[test]
    fn damaged_file_is_refused() {
        for text in ["", "Built with a.\n|---|\n| x | y |\n", "Built with a.\n|---|\nx\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
