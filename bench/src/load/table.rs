//! The tables of a comparison, in Markdown.
//!
//! Shows what was measured; measures nothing.

use crate::load::figures::Figures;
use crate::load::scenario::{Scenario, Shape};

/// Use of the machine by others, in cores, that makes a run worthless.
pub(crate) const DISTURBED_CORES_MIN: f64 = 0.1;

/// All rounds of one tracker.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Figures>,
}

impl Row {
    pub(crate) fn wrong(&self) -> u64 {
        self.rounds.iter().map(Figures::wrong_total).sum()
    }

    fn each(&self, figure: impl Fn(&Figures) -> f64) -> Range {
        Range::of(self.rounds.iter().map(figure).collect())
    }

    fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        self.each(figure).median
    }
}

/// Minimum, median and maximum.
struct Range {
    min: f64,
    median: f64,
    max: f64,
}

impl Range {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let below = values[(values.len() - 1) / 2];
        Self {
            min: values[0],
            median: f64::midpoint(below, values[middle]),
            max: values[values.len() - 1],
        }
    }

    fn show(&self, decimals: usize) -> String {
        let Self { min, median, max } = self;
        format!("{median:.decimals$} ({min:.decimals$}, {max:.decimals$})")
    }
}

/// A column: its head and what it says of a row, given the first row.
type Column = (&'static str, fn(&Row, &Row) -> String);

const SPEED: &[Column] = &[
    ("answers per server CPU second: median (min, max)", |row, _| {
        row.each(Figures::answers_per_server_cpu_sec).show(0)
    }),
    ("the first is x times as fast: median (min, max)", |row, first| {
        let pairs = first.rounds.iter().zip(&row.rounds);
        let ratios = pairs.map(|(ours, other)| {
            ours.answers_per_server_cpu_sec() / other.answers_per_server_cpu_sec()
        });
        Range::of(ratios.collect()).show(2)
    }),
    ("answers per second", |row, _| format!("{:.0}", row.median(Figures::answers_per_sec))),
    ("server core busy", |row, _| {
        format!("{:.0} %", row.median(|figures| figures.server_cpu_secs / figures.secs) * 100.0)
    }),
];

/// Only of an open loop: in a closed one a slow tracker is asked less often.
const LATENCY: &[Column] = &[
    ("p50, us", |row, _| format!("{:.0}", row.median(|figures| figures.timing.latency.p50_us))),
    ("p99", |row, _| format!("{:.0}", row.median(|figures| figures.timing.latency.p99_us))),
    ("p99.9", |row, _| format!("{:.0}", row.median(|figures| figures.timing.latency.p999_us))),
    ("p99.99", |row, _| format!("{:.0}", row.median(|figures| figures.timing.latency.p9999_us))),
    ("of these sent late, p99.99", |row, _| {
        format!("{:.0}", row.median(|figures| figures.timing.lag.p9999_us))
    }),
];

const HTTP: &[Column] = &[("requests per connection", |row, _| {
    format!(
        "{:.0}",
        row.median(|figures| {
            figures.counts.answers() as f64 / figures.counts.connections.max(1) as f64
        })
    )
})];

const REST: &[Column] = &[
    ("resident MiB", |row, _| {
        format!("{:.0}", row.median(|figures| figures.server_resident_bytes as f64 / 1_048_576.0))
    }),
    ("peers per announce", |row, _| format!("{:.2}", row.median(Figures::peers_per_announce))),
    ("lost", |row, _| format!("{:.3} %", row.each(Figures::loss).max * 100.0)),
    ("wrong", |row, _| row.wrong().to_string()),
    ("generator CPU, us per answer", |row, _| format!("{:.2}", row.median(Figures::own_cpu_us))),
    ("other processes, cores", |row, _| format!("{:.2}", row.each(Figures::foreign_cores).max)),
];

/// The table of a scenario; the first row is what the others are held against.
pub(crate) fn speed(scenario: &Scenario, rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let mut columns = SPEED.to_vec();
    if scenario.is_open() {
        columns.extend(LATENCY);
    }
    if scenario.is_http() {
        columns.extend(HTTP);
    }
    columns.extend(REST);
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let mut lines = head("tracker".to_owned(), heads);
    for row in rows {
        let cells = columns.iter().map(|(_, cell)| cell(row, first)).collect();
        lines.push(line(row.name.clone(), cells));
    }
    lines.push(String::new());
    for row in rows.iter().filter(|row| row.wrong() > 0) {
        let kinds: Vec<String> = row.rounds.iter().map(Figures::complaints).collect();
        lines.push(format!("Wrong answers of {}: {}.\n", row.name, kinds.join("; ")));
    }
    let runs = rows.iter().flat_map(|row| &row.rounds);
    let foreign = runs.map(Figures::foreign_cores).fold(0.0, f64::max);
    if foreign > DISTURBED_CORES_MIN {
        lines.push(format!(
            "Disturbed: other processes used up to {foreign:.2} of the machine's cores, so \
             differences of some per cent mean nothing here.\n"
        ));
    }
    lines.join("\n") + "\n"
}

/// The table of memory: for each tracker the bytes a peer of every fill, shape by shape.
pub(crate) fn memory(shapes: &[Shape], rows: &[(String, Vec<Vec<f64>>)]) -> String {
    let heads = shapes.iter().map(|shape| shape.title.to_owned()).collect();
    let mut lines = head("tracker".to_owned(), heads);
    for (name, fills) in rows {
        lines.push(line(name.clone(), fills.iter().map(|bytes| mean(bytes)).collect()));
    }
    lines.join("\n") + "\n\n"
}

/// The mean, and what it is the mean of.
fn mean(bytes: &[f64]) -> String {
    let mean = bytes.iter().sum::<f64>() / bytes.len() as f64;
    if bytes.len() == 1 {
        return format!("{mean:.1}");
    }
    let each: Vec<String> = bytes.iter().map(|bytes| format!("{bytes:.0}")).collect();
    format!("{mean:.1} ({})", each.join(", "))
}

fn head(first: String, heads: Vec<String>) -> Vec<String> {
    let rule = "|---".repeat(heads.len() + 1) + "|";
    vec![line(first, heads), rule]
}

fn line(first: String, cells: Vec<String>) -> String {
    let cells = [vec![first], cells].concat();
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_odd_and_even_numbers_of_rounds() {
        let odd = Range::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        assert_eq!(Range::of(vec![4.0, 1.0]).median, 2.5);
        assert_eq!(odd.show(1), "2.0 (1.0, 3.0)");
    }

    #[test]
    fn mean_tells_what_it_is_the_mean_of() {
        assert_eq!(mean(&[8.25]), "8.2");
        assert_eq!(mean(&[60.0, 70.0]), "65.0 (60, 70)");
    }
}
