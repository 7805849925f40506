//! The lists of metrics, gates and drivers as Markdown, for `docs/generated`.
//!
//! Adds no fact of its own; what is wrong here is wrong in the lists.

use std::fmt::Write as _;

use skep_engine::gate::{GATES, Refusal};
use skep_store::driver::registry::DRIVERS;

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
    text.push_str(REFUSALS_HEAD);
    for (label, refusal) in Refusal::LABELS.into_iter().zip(Refusal::KNOWN) {
        let again = match refusal {
            refusal if refusal.is_final() => "never",
            refusal if refusal.is_passing() => "after the interval",
            _ => "as the client likes",
        };
        push(&mut text, format_args!("| `{label}` | `{}` | {again} |\n", refusal.text()));
    }
    text
}

/// Returns the reference of storage drivers.
#[must_use]
pub fn drivers_reference() -> String {
    let mut text = String::from(DRIVERS_HEAD);
    for row in DRIVERS {
        let feature = code(row.feature);
        let (name, doc, url) = (row.name, row.doc, row.url);
        push(&mut text, format_args!("| `{name}` | {feature} | {url} | {doc} |\n"));
    }
    text
}

fn code(word: &str) -> String {
    if word.is_empty() { String::new() } else { format!("`{word}`") }
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

const REFUSALS_HEAD: &str = "
## Texts

What clients are told, and when they are told to come back over HTTP (BEP 31).
These texts stay: clients and scripts look for them.
`REASON` is the one that stands with the torrent; without one the text ends before its colon.

| Refusal | Text | Come back |
|---|---|---|
";

const DRIVERS_HEAD: &str = "\
# Storage drivers

Generated from `crates/store/src/driver/registry.rs` by a test; do not edit.

The name is the value of `storage.driver`.
A driver whose cargo feature is off is not in that build, and the configuration is refused with a text that says so.

| Name | Feature | `storage.url` | What it is |
|---|---|---|---|
";
