//! The lists of metrics and gates as Markdown, for `docs/generated`.
//!
//! Adds no fact of its own; what is wrong here is wrong in the lists.

use std::fmt::Write as _;

use skep_engine::gate::GATES;

use super::names::METRICS;

/// Returns the reference of metrics.
#[must_use]
pub fn metrics_reference() -> String {
    let mut text = String::from(METRICS_HEAD);
    for row in METRICS {
        let labels: Vec<_> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let unit = row.unit.map_or("", |unit| unit.word());
        push(
            &mut text,
            format_args!(
                "| `{}` | {} | {unit} | {} | {} |\n",
                row.name,
                row.kind.word(),
                labels.join(", "),
                row.help
            ),
        );
    }
    text
}

/// Returns the reference of gates.
#[must_use]
pub fn gates_reference() -> String {
    let mut text = String::from(GATES_HEAD);
    for (number, gate) in (1..).zip(GATES) {
        let refusals: Vec<_> = gate.refusals.iter().map(|label| format!("`{label}`")).collect();
        let (name, doc) = (gate.name, gate.doc);
        push(&mut text, format_args!("| {number} | {name} | {doc} | {} |\n", refusals.join(", ")));
    }
    text
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("a String takes everything");
}

const METRICS_HEAD: &str = "\
# Metrics reference

Generated from `crates/tracker/src/telemetry/names.rs` by a test; do not edit.

`GET /metrics` on the admin listener answers in the OpenMetrics text format.
`transport` is `udp` or `http`, `family` is `ipv4` or `ipv6`.
`action` is `connect` (UDP), `announce`, `scrape` or `page` (HTTP).
`kind` is a violation of the protocol or one of the refusals in [gates.md](gates.md).
`scope` is `global`, or `local` for private, loopback and link-local addresses; `class` is `leecher`, `partial_seed` or `seeder`.

| Name | Kind | Unit | Labels | Meaning |
|---|---|---|---|---|
";

const GATES_HEAD: &str = "\
# Gates reference

Generated from `crates/engine/src/gate/mod.rs` by a test; do not edit.

An announce passes every gate in this order before a swarm hears of it; the first refusal is the answer.
Gates of a program of one's own (see [own-driver.md](../guide/own-driver.md)) are asked after these; `--help` of that program tells them.
Refusals are counted in `skep_traffic_errors_total` under the label `kind`.

| Order | Gate | What it does | Refusals |
|---|---|---|---|
";
