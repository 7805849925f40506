//! The benchmark: skep beside other trackers, measured in one run and written down.
//!
//! Builds and installs what is measured, starts `skep-bench` and frames its tables with what is
//! needed to repeat them. How trackers are loaded and counted is known by `skep-bench`.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::{number, shell};

/// The other tracker, from the registry.
const AQUATIC: &str = "aquatic_udp@0.9.0";

/// Its variants: name, where it is installed, features.
///
/// Without its metrics, which no longer compile and would only cost it time.
const VARIANTS: &[(&str, &str, &str)] = &[
    ("aquatic_udp, io_uring", "aquatic_udp-uring", "mimalloc,io-uring"),
    ("aquatic_udp, mio", "aquatic_udp-mio", "mimalloc"),
];

/// What the registry's packages do not say about their release builds: the same as ours.
const PROFILE: &[(&str, &str)] =
    &[("CARGO_PROFILE_RELEASE_LTO", "thin"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4")];

/// One worker, and no limits that the others do not have.
const SKEP_FLAGS: &str = "--listen.port={port} --listen.admin=off --listen.workers=1 \
    --swarm.ports_per_address_max=0 --swarm.new_torrents_per_minute_max=0 \
    --announce.peers_default=30";

/// Seconds to spend in all on waiting for other processes and on runs that they disturbed.
const QUIET_SECS_MAX: &str = "600";

struct Bounds {
    rounds: u64,
    seconds: u64,
}

/// Runs the comparison and writes the report, or checks answers for some seconds.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    if arguments == ["--smoke"] {
        return smoke();
    }
    let mut bounds = Bounds { rounds: 5, seconds: 5 };
    let mut words = arguments.iter();
    while let Some(&word) = words.next() {
        match word {
            "--rounds" => bounds.rounds = number(word, words.next())?,
            "--seconds" => bounds.seconds = number(word, words.next())?,
            other => bail!("bench takes --rounds N, --seconds N or --smoke, not {other:?}"),
        }
    }
    full(&bounds)
}

/// A few seconds of load on skep alone: every answer must be right, however slow.
pub(crate) fn smoke() -> Result<()> {
    build()?;
    let skep = format!("--tracker=skep={}", skep_command());
    let port = format!("--port={}", free_port()?);
    let rest = ["--smoke=true", "--rounds=1", "--secs=1"];
    shell::run(skep_bench().args([skep, port]).args(rest))
}

fn full(bounds: &Bounds) -> Result<()> {
    build()?;
    for (_, folder, features) in VARIANTS {
        install_aquatic(folder, features)?;
    }
    let port = free_port()?;
    let config = write_aquatic_config(port)?;
    let mut arguments = vec![
        format!("--port={port}"),
        format!("--rounds={}", bounds.rounds),
        format!("--secs={}", bounds.seconds),
        format!("--quiet-secs-max={QUIET_SECS_MAX}"),
        format!("--tracker=skep={}", skep_command()),
    ];
    for (name, folder, _) in VARIANTS {
        let program = peers().join(folder).join("bin/aquatic_udp");
        let (program, config) = (relative(&program), relative(&config));
        arguments.push(format!("--udp-tracker={name}={program} -c {config}"));
    }
    let tables = shell::output(skep_bench().args(&arguments))?;
    let date = shell::output(shell::program("date").arg("+%F"))?;
    let date = date.trim();
    let machine = Machine::read()?;
    let report = report(date, &machine, bounds, &tables)?;
    let name = format!("docs/reports/{date}-{}.md", machine.class());
    fs::write(shell::root().join(&name), report).with_context(|| format!("cannot write {name}"))?;
    eprintln!("wrote {name}");
    Ok(())
}

fn build() -> Result<()> {
    let packages = ["--package", "skep", "--package", "skep-bench"];
    shell::run(shell::cargo().args(["build", "--locked", "--release"]).args(packages))
}

fn skep_bench() -> std::process::Command {
    let mut command = shell::program(shell::target().join("release/skep-bench"));
    command.arg("compare");
    command
}

fn skep_command() -> String {
    let skep = relative(&shell::target().join("release/skep"));
    format!("{skep} {SKEP_FLAGS}")
}

/// Where other trackers are installed.
fn peers() -> PathBuf {
    shell::target().join("peers")
}

/// A path as seen from the workspace, where all programs are started.
fn relative(path: &std::path::Path) -> String {
    let shown = path.strip_prefix(shell::root()).unwrap_or(path);
    shown.display().to_string()
}

fn install_aquatic(folder: &str, features: &str) -> Result<()> {
    let root = peers().join(folder);
    let mut install = shell::cargo();
    install.args(["install", AQUATIC, "--locked", "--no-default-features"]);
    install.args(["--features", features, "--root"]).arg(&root);
    install.arg("--target-dir").arg(peers().join("build"));
    shell::run(install.envs(PROFILE.iter().copied()))
}

/// Everything but the address is its default, one worker and 30 peers included.
fn write_aquatic_config(port: u16) -> Result<PathBuf> {
    let path = peers().join("aquatic_udp.toml");
    let text = format!("socket_workers = 1\n[network]\naddress = \"0.0.0.0:{port}\"\n");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A port that nobody uses right now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// What is told of the machine, and nothing that tells machines of a kind apart.
struct Machine {
    cpus: String,
    model: String,
    hypervisor: Option<String>,
    kernel: String,
}

impl Machine {
    fn read() -> Result<Self> {
        let list = shell::output(shell::program("lscpu").env("LC_ALL", "C"))?;
        let kernel = shell::output(shell::program("uname").args(["-s", "-r"]))?;
        let field = |name: &str| {
            list.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        Ok(Self {
            cpus: field("CPU(s)").context("lscpu tells no number of processors")?,
            model: field("Model name").unwrap_or_else(|| "unknown".to_owned()),
            hypervisor: field("Hypervisor vendor"),
            kernel: kernel.trim().to_owned(),
        })
    }

    /// Names machines of this kind, such as `2-vcpu-amd-epyc-kvm`.
    fn class(&self) -> String {
        let kind = if self.hypervisor.is_some() { "vcpu" } else { "cpu" };
        let hypervisor = self.hypervisor.as_deref().unwrap_or_default();
        let words = format!("{} {kind} {} {hypervisor}", self.cpus, self.model).to_lowercase();
        let letters = words.split(|c: char| !c.is_ascii_alphanumeric());
        let parts: Vec<&str> = letters.filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }
}

fn report(date: &str, machine: &Machine, bounds: &Bounds, tables: &str) -> Result<String> {
    let skep = shell::target().join("release/skep");
    let skep = shell::output(shell::program(skep).arg("--version"))?;
    let commit = shell::output(shell::program("git").args(["describe", "--always", "--dirty"]))?;
    let rustc = shell::output(shell::program("rustc").arg("--version"))?;
    let Bounds { rounds, seconds } = bounds;
    let hypervisor = machine.hypervisor.as_deref().unwrap_or("none");
    let mut text = format!(
        "# Benchmark of {date}\n\n\
         Written by `cargo xtask bench --rounds {rounds} --seconds {seconds}`; the next run \
         replaces it.\n\n\
         | what | version |\n|---|---|\n\
         | skep | {}, commit {} |\n\
         | aquatic_udp | {AQUATIC} from crates.io |\n\
         | compiler | {} |\n\
         | kernel | {} |\n\
         | processor | {} x {}, hypervisor {hypervisor} |\n\n",
        skep.trim(),
        commit.trim(),
        rustc.trim(),
        machine.kernel,
        machine.cpus,
        machine.model,
    );
    let profile: Vec<String> = PROFILE.iter().map(|(k, v)| format!("{k}={v}")).collect();
    text.push_str("## Commands\n\n```text\n");
    writeln!(text, "skep {SKEP_FLAGS}")?;
    for (name, _, features) in VARIANTS {
        writeln!(
            text,
            "{name}: {} cargo install {AQUATIC} --locked --no-default-features --features {features}",
            profile.join(" ")
        )?;
    }
    text.push_str(
        "aquatic_udp -c FILE   (socket_workers = 1, the address; all else as by default)\n```\n\n",
    );
    text.push_str(METHOD);
    text.push_str("## Figures\n\n");
    text.push_str(tables.trim_end());
    text.push('\n');
    Ok(text)
}

const METHOD: &str = "\
## Method

Server and generator each have a core of their own.
Each run starts the tracker anew, announces every peer once, loads it for a second and then for the measured window.
The runs of a round follow each other, so that what disturbs the machine disturbs all trackers.
The load is a closed loop: 16 source addresses, over UDP 32 requests under way for each and over HTTP one.
All peers are leechers and every announce asks for 30 peers.
Every answer is checked: transaction id, action or status, length, the peers (of this torrent, not the asker, none twice), the counts.
A single wrong answer fails the run.
The figure to trust is answers per processor second of the tracker (user and system, from the accounts of its process): it does not follow the speed of the generator.
A ratio is taken between runs of the same round.
A run in which other processes used more than a tenth of a core is measured again, for ten minutes in all; after that it counts as it is.
What other processes used at most is in the last column.

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_class_is_a_file_name() {
        let mut machine = Machine {
            cpus: "2".to_owned(),
            model: "AMD EPYC".to_owned(),
            hypervisor: Some("KVM".to_owned()),
            kernel: String::new(),
        };
        assert_eq!(machine.class(), "2-vcpu-amd-epyc-kvm");
        machine.hypervisor = None;
        machine.model = "Some(R) CPU @ 2.5".to_owned();
        assert_eq!(machine.class(), "2-cpu-some-r-cpu-2-5");
    }
}
