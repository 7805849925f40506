//! The long simulation: the engine's own test, in release, over many seeds.
//!
//! The simulation itself lives with the engine; this only says how long and how often.

use anyhow::{Result, bail};

use crate::{number, shell};

const TEST: &str = "simulation_long";

/// Runs the simulation with the bounds given on the command line.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let mut bounds = Vec::new();
    let mut words = arguments.iter();
    while let Some(&word) = words.next() {
        let variable = match word {
            "--seeds" => "SKEP_SIM_SEEDS",
            "--seconds" => "SKEP_SIM_SECONDS",
            other => bail!("simulate takes --seeds N and --seconds N, not {other:?}"),
        };
        bounds.push((variable, number(word, words.next())?.to_string()));
    }
    // A filter that matches nothing passes; the list tells the difference.
    let listed = shell::output(test().args(["--ignored", "--list", TEST]))?;
    if !listed.lines().any(|line| line.ends_with(": test")) {
        bail!("skep-engine has no ignored test named {TEST}");
    }
    shell::run(test().args(["--ignored", "--nocapture", TEST]).envs(bounds))
}

fn test() -> std::process::Command {
    let mut command = shell::cargo();
    command.args(["test", "--locked", "--release", "--package", "skep-engine", "--test", "it"]);
    command.arg("--");
    command
}
