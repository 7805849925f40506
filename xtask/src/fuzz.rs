//! Builds the fuzz targets with coverage counters and runs them under libFuzzer.
//!
//! Needs neither a nightly compiler nor another cargo command: the counters are an LLVM pass that
//! the stable compiler can be asked for. No sanitizer, hence: unsafe code is not what this is for.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::{number, shell};

/// What makes code tell libFuzzer where it went, plus the checks a debug build has.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Keeps comparisons of byte strings as calls, which libFuzzer intercepts and learns from.
    "-Cllvm-args=-max-loads-per-memcmp=0",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

const SECONDS_DEFAULT: u64 = 60;
const SECONDS_SMOKE: u64 = 10;

/// Longest time one input may take, and the memory a target may hold.
const INPUT_SECONDS_MAX: u64 = 10;
const RSS_MB_MAX: u64 = 2048;

/// What to run and where to keep what was found.
struct Plan {
    target: Option<String>,
    seconds: u64,
    smoke: bool,
}

/// Runs what the command line asks for.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    execute(&parse(arguments)?)
}

/// Runs every target for a moment.
pub(crate) fn smoke() -> Result<()> {
    execute(&Plan { target: None, seconds: SECONDS_SMOKE, smoke: true })
}

fn parse(arguments: &[&str]) -> Result<Plan> {
    let mut plan = Plan { target: None, seconds: SECONDS_DEFAULT, smoke: false };
    let mut words = arguments.iter();
    while let Some(&word) = words.next() {
        match word {
            "--smoke" => {
                plan.smoke = true;
                plan.seconds = SECONDS_SMOKE;
            }
            "--seconds" => plan.seconds = number(word, words.next())?,
            flag if flag.starts_with('-') => bail!("fuzz does not know {flag}"),
            target if plan.target.is_none() => plan.target = Some(target.to_owned()),
            more => bail!("fuzz takes one target, or none for all; {more} is one too many"),
        }
    }
    Ok(plan)
}

fn execute(plan: &Plan) -> Result<()> {
    let known = targets()?;
    let chosen: Vec<String> = match &plan.target {
        None => known,
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!("no target {target}; there are: {}", known.join(", ")),
    };
    let built = build()?;
    let mut failures = Vec::new();
    for target in &chosen {
        eprintln!("fuzz target {target}, {} s", plan.seconds);
        if let Err(error) = run_one(&built.join(target), target, plan) {
            eprintln!("{error:#}");
            failures.push(target.as_str());
        }
    }
    if !failures.is_empty() {
        bail!("fuzz targets failed: {}; inputs are in fuzz/artifacts", failures.join(", "));
    }
    Ok(())
}

/// The names of the files in `fuzz/fuzz_targets`, sorted.
fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let stem = path.file_stem().expect("a file with an extension has a stem");
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds every target and returns the folder that holds them.
fn build() -> Result<PathBuf> {
    let target = shell::root().join("fuzz/target");
    // Named even though it is the host: the flags then stay away from build scripts.
    let host = host()?;
    let mut command = shell::cargo();
    command.args(["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    command.args(["--target", &host, "--target-dir"]).arg(&target);
    command.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    shell::run(&mut command)?;
    Ok(target.join(host).join("release"))
}

/// The machine's own target triple.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = shell::output(shell::program(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

fn run_one(binary: &std::path::Path, target: &str, plan: &Plan) -> Result<()> {
    let fuzz = shell::root().join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let scratch = fuzz.join("target/corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for folder in [&corpus, &scratch, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let mut command = shell::program(binary);
    command
        .arg(format!("-max_total_time={}", plan.seconds))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={RSS_MB_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-verbosity=0"]);
    // libFuzzer writes what is new into the first folder it is given.
    if plan.smoke {
        command.arg(&scratch);
    }
    shell::run(command.arg(&corpus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoke_is_short_and_covers_every_target() {
        let plan = parse(&["--smoke"]).unwrap();
        assert!(plan.smoke);
        assert_eq!((plan.target, plan.seconds), (None, SECONDS_SMOKE));
    }

    #[test]
    fn one_target_with_its_seconds() {
        let plan = parse(&["udp", "--seconds", "7"]).unwrap();
        assert_eq!((plan.target.as_deref(), plan.seconds), (Some("udp"), 7));
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(parse(&["--fast"]).is_err());
        assert!(parse(&["udp", "http"]).is_err());
        assert!(parse(&["--seconds", "soon"]).is_err());
        assert!(parse(&["--seconds"]).is_err());
    }

    #[test]
    fn targets_are_found_in_their_folder() {
        assert!(targets().unwrap().contains(&"udp".to_owned()));
    }
}
