//! The whole gate: what must hold before a change is merged.
//!
//! Every step runs even when an earlier one failed, so that one run tells everything. The tests
//! come last, which leaves their result lines at the end of the output.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{bench, fuzz, install, instructions, shell, tidy};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("tidy", tidy::run),
    ("format", format),
    ("clippy", clippy),
    ("documentation", documentation),
    ("fuzz smoke", fuzz::smoke),
    ("release build", release),
    ("instructions", instructions::check),
    ("bench smoke", bench::smoke),
    ("tests", tests),
];

/// Runs every step, prints what each took and fails if one did.
pub(crate) fn run() -> Result<()> {
    let mut times = Vec::new();
    // Without its tools no step can be trusted, so this one ends the run.
    time("install", install::run, &mut times).context("cannot install what the tests need")?;
    let mut failures = Vec::new();
    for &(name, step) in STEPS {
        if let Err(error) = time(name, step, &mut times) {
            eprintln!("{name}: {error:#}");
            failures.push(name);
        }
    }
    let total: Duration = times.iter().map(|(_, took)| *took).sum();
    times.push(("total", total));
    eprintln!();
    for (name, took) in times {
        let mark = if failures.contains(&name) { "  failed" } else { "" };
        eprintln!("{name:<14} {:>7.1} s{mark}", took.as_secs_f64());
    }
    if !failures.is_empty() {
        bail!("failed: {}", failures.join(", "));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "tells people how long a step took, nothing else")]
fn time(
    name: &'static str,
    step: fn() -> Result<()>,
    times: &mut Vec<(&'static str, Duration)>,
) -> Result<()> {
    eprintln!("\n== {name}");
    let start = std::time::Instant::now();
    let result = step();
    times.push((name, start.elapsed()));
    result
}

fn format() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    shell::run(shell::cargo().args(fuzz))
}

fn clippy() -> Result<()> {
    let all = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    shell::run(shell::cargo().args(all))
}

fn documentation() -> Result<()> {
    let all = ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"];
    shell::run(shell::cargo().args(all).env("RUSTDOCFLAGS", "-D warnings"))
}

fn release() -> Result<()> {
    shell::run(shell::cargo().args(["build", "--locked", "--release", "--package", "skep"]))?;
    let skep = shell::target().join("release").join("skep");
    shell::run(shell::program(&skep).arg("--version"))?;
    shell::run(shell::program(&skep).arg("check"))
}

/// Runs what `cargo xtask test` leaves out because it takes long.
pub(crate) fn long() -> Result<()> {
    install::run().context("cannot install what the tests need")?;
    let all = ["test", "--locked", "--release", "--workspace", "--no-fail-fast"];
    shell::run(shell::cargo().args(all).args(["--", "--ignored", "--nocapture"]))
}

fn tests() -> Result<()> {
    shell::run(shell::cargo().args(["test", "--locked", "--workspace", "--no-fail-fast"]))
}
