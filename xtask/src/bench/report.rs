//! The report of a run: what is needed to repeat it, around the tables.
//!
//! Puts text together; the figures come from `skep-bench`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::bench::peers::Peer;
use crate::bench::{Bounds, SKEP_FLAGS, SWEEPING, WITHOUT_PEER_IDS, WS_FLAGS, https_flags};
use crate::shell;

/// What is told of the machine, and nothing that tells machines of a kind apart.
pub(super) struct Machine {
    cpus: String,
    model: String,
    hypervisor: Option<String>,
    kernel: String,
}

impl Machine {
    pub(super) fn read() -> Result<Self> {
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
    pub(super) fn class(&self) -> String {
        let kind = if self.hypervisor.is_some() { "vcpu" } else { "cpu" };
        let hypervisor = self.hypervisor.as_deref().unwrap_or_default();
        let words = format!("{} {kind} {} {hypervisor}", self.cpus, self.model).to_lowercase();
        let letters = words.split(|c: char| !c.is_ascii_alphanumeric());
        let parts: Vec<&str> = letters.filter(|part| !part.is_empty()).collect();
        parts.join("-")
    }
}

/// What was run.
pub(super) struct Run<'a> {
    pub(super) date: &'a str,
    pub(super) bounds: &'a Bounds,
    pub(super) peers: &'a [Peer],
    /// Trackers that this machine could not have, with the reason.
    pub(super) missing: &'a [(&'static str, String)],
}

/// The report around the tables.
pub(super) fn write(run: &Run<'_>, machine: &Machine, tables: &str) -> Result<String> {
    let skep = shell::target().join("release/skep");
    let skep = shell::output(shell::program(skep).arg("--version"))?;
    let commit = shell::output(shell::program("git").args(["describe", "--always", "--dirty"]));
    let commit = commit.unwrap_or_else(|_| "unknown".to_owned());
    let rustc = shell::output(shell::program("rustc").arg("--version"))?;
    let Run { date, bounds, peers, missing } = run;
    let (goals, figures) =
        tables.split_once(FIGURES).context("skep-bench wrote no table of goals")?;
    let hypervisor = machine.hypervisor.as_deref().unwrap_or("none");
    let mut text = format!(
        "# Benchmark of {date}\n\n\
         Written by `{}`; the next run replaces it.\n\n{}{}\n\n## Versions\n\n\
         | what | version |\n|---|---|\n\
         | skep | {}, commit {} |\n",
        command(bounds),
        if bounds.is_partial() { PARTIAL } else { "" },
        goals.trim_end(),
        skep.trim(),
        commit.trim(),
    );
    for peer in *peers {
        writeln!(text, "| {} | {} |", peer.name, peer.origin)?;
    }
    for (name, reason) in *missing {
        writeln!(text, "| {name} | not measured: {} |", reason.replace('|', "/"))?;
    }
    writeln!(text, "| compiler | {} |", rustc.trim())?;
    writeln!(text, "| kernel | {} |", machine.kernel)?;
    writeln!(
        text,
        "| processor | {} x {}, hypervisor {hypervisor} |",
        machine.cpus, machine.model
    )?;
    text.push_str("\n## Commands\n\n```text\n");
    writeln!(text, "skep {SKEP_FLAGS}")?;
    writeln!(text, "skep {SKEP_FLAGS} {WITHOUT_PEER_IDS}")?;
    writeln!(text, "skep-bench skep {SKEP_FLAGS} {SWEEPING}")?;
    writeln!(text, "skep {SKEP_FLAGS} {WS_FLAGS}")?;
    writeln!(text, "skep {SKEP_FLAGS} {}", https_flags()?)?;
    for peer in *peers {
        writeln!(text, "{}", peer.command)?;
    }
    text.push_str("```\n\n");
    text.push_str(METHOD);
    text.push_str(FIGURES);
    text.push_str(figures.trim_end());
    text.push('\n');
    Ok(text)
}

/// What was typed, as far as it decides what was measured.
fn command(bounds: &Bounds) -> String {
    let Bounds { rounds, seconds, shrink, patience, only, .. } = bounds;
    let mut command = format!(
        "cargo xtask bench --rounds {rounds} --seconds {seconds} --shrink {shrink} \
         --patience {patience}"
    );
    if !only.is_empty() {
        command.push_str(&format!(" --only {only}"));
    }
    command
}

/// Above the tables of `skep-bench`, below the goals.
const FIGURES: &str = "## Figures\n\n";

const PARTIAL: &str = "\
This run was partial: some measurements only, or with fewer torrents and peers than the goals name.

";

const METHOD: &str = "\
## Method

Goals are judged by the median.

### Runs

Server and generator each have a core of their own.
A tracker is started and filled once for each population: every peer is announced, and the fill is in no figure but the count of wrong answers.
Then one tracker is loaded while the others have nothing to do, in turn: half a second to warm up, then the measured window.
The runs of a round follow each other, so that what disturbs the machine disturbs all trackers.
No tracker forgets a peer meanwhile: times to live are at least twenty minutes, and a scenario takes less.
A run in which other processes used more than a tenth of a core is measured again, as long as the patience lasts (seconds, in all); after that it counts as it is.
What other processes used at most is in the last column.

### Load

The load comes from 16 addresses: in a closed loop with 32 requests under way for each over UDP and one over HTTP, in an open loop at a fixed rate.
All peers are leechers and every announce asks for 30 peers.
Every answer is checked: transaction id, action or status, length, the peers (of this torrent, not the asker, none twice), the counts.
A single wrong answer of skep fails the run; those of the others are counted.
An answer with the asker or a peer twice among its peers counts as an answer and as a wrong one.
The null responder makes the system calls of skep and gives constant answers, as long as those of the scenario on average, without looking at the requests: the floor.

### Figures

The figure to trust is answers per processor second of the tracker (user and system, from the accounts of its process): it does not follow the speed of the generator.
A ratio is taken between runs of the same round.
Latencies of an open loop count from the moment that a request was due; how late the generator was itself stands beside them.
What the generator spins in a closed loop is not counted as its cost per answer.
Memory is the growth of the resident set from before the fill, after some connects, to right after it; every shape is filled once.

### HTTPS

Each announce has a connection of its own, and a handshake with it: TLS 1.3 with a P-256 certificate, the same for all trackers.
A resumed session is one of a connection that the same client had before; how many were resumed is in the table.
The generator checks no certificate.
Whole handshakes come from 128 addresses; resumed ones from 64, because aquatic_http keeps the last 256 sessions only, two for each connection.

### WebSocket

8,192 connections, each with one peer, 32 peers a torrent, all leechers.
A closed loop keeps 256 announces under way, each with five offers, as WebTorrent sends them, and descriptions of 1 KB, as browsers make them.
Whoever gets an offer answers it at once; answers to what one read brought go out as one write.
An announce is over when its reply, its five offers at five other peers and their five answers have come, each once.
What counts is what was relayed, offers and answers; replies are a part of its cost.
aquatic_ws replies to answers too, which the protocol does not ask for: these replies count as wrong.
An idle connection was upgraded, announced one peer, and said nothing more for two seconds; memory is the growth of the resident set, and what the kernel keeps for a socket is not in it.

### Scaling

On two cores a generator cannot leave two workers alone, so it leaves one worker alone no more: there is a generator on each of two cores.
Two workers run on both cores, or one worker on one of them with half the requests under way.
In both cases every worker shares its core with a generator, has as many requests under way, and gets half of them from its own core and half from the other.
What differs is that a second worker is there.
The null responder, measured in the same way, tells how much of the difference is the kernel's.

### Sweep

skep runs inside `skep-bench`, from the same code, with a clock that can be moved: no measurement can wait for the time to live.
The clock moves at the beginning of a window of an open loop, so that all peers are silent at once, and a sweep of ten seconds removes them.
The rate is half of what a closed loop reached just before.
A latency counts from the moment that a request was sent, here: whatever kept the generator from sending in time was not the sweep, and stands beside it.
The same load on the same peers without a sweep comes first, to show what the machine does by itself.

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
