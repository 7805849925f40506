//! The tables of a comparison, in Markdown.
//!
//! Shows what was measured; measures nothing.

use crate::load::figures::Figures;
use crate::load::scenario::{Case, Shape};
use crate::load::websocket::Idle;

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

    /// How many times as fast this one is, taken between runs of the same round.
    pub(crate) fn ratios_to(&self, other: &Self) -> Range {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios = pairs.map(|(ours, other)| {
            ours.answers_per_server_cpu_sec() / other.answers_per_server_cpu_sec()
        });
        Range::of(ratios.collect())
    }

    fn each(&self, figure: impl Fn(&Figures) -> f64) -> Range {
        Range::of(self.rounds.iter().map(figure).collect())
    }

    fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        self.each(figure).median
    }
}

/// Minimum, median and maximum.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Range {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let below = values[(values.len() - 1) / 2];
        Self {
            min: values[0],
            median: f64::midpoint(below, values[middle]),
            max: values[values.len() - 1],
        }
    }

    pub(crate) fn show(&self, decimals: usize) -> String {
        let Self { min, median, max } = self;
        if min == max {
            return format!("{median:.decimals$}");
        }
        format!("{median:.decimals$} ({min:.decimals$}, {max:.decimals$})")
    }
}

/// A column: its head and what it says of a row, given the first row.
type Column = (&'static str, fn(&Row, &Row) -> String);

const ANSWERS: Column = ("answers per server CPU second: median (min, max)", |row, _| {
    row.each(Figures::answers_per_server_cpu_sec).show(0)
});

/// The same of what only passes through a tracker.
const RELAYED: Column =
    ("offers and answers relayed per server CPU second: median (min, max)", ANSWERS.1);

const SPEED: &[Column] = &[
    ("the first is x times as fast: median (min, max)", |row, first| first.ratios_to(row).show(2)),
    ("the same per second", |row, _| format!("{:.0}", row.median(Figures::answers_per_sec))),
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
    ("max", |row, _| format!("{:.0}", row.each(|figures| figures.timing.latency.max_us).max)),
    ("of these sent late, p99.99", |row, _| {
        format!("{:.0}", row.median(|figures| figures.timing.lag.p9999_us))
    }),
    ("sent late, max", |row, _| {
        format!("{:.0}", row.each(|figures| figures.timing.lag.max_us).max)
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

const HTTPS: &[Column] = &[("sessions resumed", |row, _| {
    let share = |figures: &Figures| {
        figures.counts.resumed as f64 / figures.counts.connections.max(1) as f64
    };
    format!("{:.0} %", row.median(share) * 100.0)
})];

const WS: &[Column] = &[("replies for each message relayed", |row, _| {
    let share =
        |figures: &Figures| figures.counts.replies as f64 / figures.counts.relayed().max(1) as f64;
    format!("{:.2}", row.median(share))
})];

const PEERS: &[Column] =
    &[("peers per announce", |row, _| format!("{:.2}", row.median(Figures::peers_per_announce)))];

const REST: &[Column] = &[
    ("resident MiB", |row, _| {
        format!("{:.0}", row.median(|figures| figures.server_resident_bytes as f64 / 1_048_576.0))
    }),
    ("lost", |row, _| format!("{:.3} %", row.each(Figures::loss).max * 100.0)),
    ("wrong", |row, _| row.wrong().to_string()),
    ("generator CPU, us per answer", |row, _| format!("{:.2}", row.median(Figures::own_cpu_us))),
    ("other processes, cores", |row, _| format!("{:.2}", row.each(Figures::foreign_cores).max)),
];

/// The table of a load; the first row is what the others are held against.
pub(crate) fn speed(case: &Case, rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let mut columns = vec![if case.is_ws() { RELAYED } else { ANSWERS }];
    columns.extend(SPEED);
    if case.is_open() {
        columns.extend(LATENCY);
    }
    if case.is_http() {
        columns.extend(HTTP);
    }
    if case.is_https() {
        columns.extend(HTTPS);
    }
    columns.extend(if case.is_ws() { WS } else { PEERS });
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
    lines.extend(disturbance(rows.iter().flat_map(|row| &row.rounds)));
    lines.join("\n") + "\n"
}

/// A warning when other processes used too much of the machine.
fn disturbance<'a>(runs: impl Iterator<Item = &'a Figures>) -> Option<String> {
    let foreign = runs.map(Figures::foreign_cores).fold(0.0, f64::max);
    (foreign > DISTURBED_CORES_MIN).then(|| {
        format!(
            "Disturbed: other processes used up to {foreign:.2} of the machine's cores, so \
             differences of some per cent mean nothing here.\n"
        )
    })
}

/// All peers fell silent and were swept while an open loop went on.
pub(crate) struct Sweep {
    /// The same load just before, when nobody fell silent.
    pub(crate) calm: Figures,
    pub(crate) swept: Figures,
    /// Peers held before the sweep and after it.
    pub(crate) peers: [u64; 2],
    /// Silent peers that the sweep had not come to at the end, at the least.
    pub(crate) left: u64,
}

impl Sweep {
    /// How long 99.99 % of the answers kept nobody waiting at most, in milliseconds.
    pub(crate) fn pause_ms(&self) -> f64 {
        self.swept.timing.latency.p9999_us / 1e3
    }
}

/// The table of the sweeps, two rows for each.
pub(crate) fn sweeps(sweeps: &[Sweep]) -> String {
    let heads = [
        "answers per second",
        "latency: p50, us",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "sent late: p99.99",
        "max",
        "lost",
        "wrong",
        "peers before",
        "peers after",
        "silent ones of them",
    ];
    let mut lines = head("window".to_owned(), heads.map(str::to_owned).to_vec());
    for (round, Sweep { calm, swept, peers: [before, after], left }) in (1..).zip(sweeps) {
        lines.push(sweep_line(
            format!("{round}, nobody falls silent"),
            calm,
            [*before, *before, 0],
        ));
        lines.push(sweep_line(format!("{round}, all are swept"), swept, [*before, *after, *left]));
    }
    lines.push(String::new());
    lines.extend(disturbance(sweeps.iter().flat_map(|sweep| [&sweep.calm, &sweep.swept])));
    lines.join("\n") + "\n"
}

fn sweep_line(name: String, figures: &Figures, peers: [u64; 3]) -> String {
    let (latency, lag) = (figures.timing.latency, figures.timing.lag);
    let times = [
        figures.answers_per_sec(),
        latency.p50_us,
        latency.p99_us,
        latency.p999_us,
        latency.p9999_us,
        latency.max_us,
        lag.p9999_us,
        lag.max_us,
    ];
    let mut cells = times.map(|time| format!("{time:.0}")).to_vec();
    cells.push(format!("{:.3} %", figures.loss() * 100.0));
    cells.push(figures.wrong_total().to_string());
    cells.extend(peers.map(|peers| peers.to_string()));
    line(name, cells)
}

/// The table of idle WebSocket connections.
pub(crate) fn idle(rows: &[(String, Idle)]) -> String {
    let heads = ["connections", "bytes a connection", "resident MiB"];
    let mut lines = head("tracker".to_owned(), heads.map(str::to_owned).to_vec());
    for (name, idle) in rows {
        let cells = vec![
            idle.connections.to_string(),
            format!("{:.0}", idle.bytes()),
            format!("{:.0}", idle.resident_bytes as f64 / 1_048_576.0),
        ];
        lines.push(line(name.clone(), cells));
    }
    lines.join("\n") + "\n\n"
}

/// The table of memory: for each tracker the bytes a peer of every fill, shape by shape.
pub(crate) fn memory(shapes: &[Shape], rows: &[(String, Vec<Vec<f64>>)]) -> String {
    let heads = shapes.iter().map(|shape| shape.title.to_owned()).collect();
    let mut lines = head("tracker".to_owned(), heads);
    for (name, fills) in rows {
        lines.push(line(name.clone(), fills.iter().map(|bytes| mean_text(bytes)).collect()));
    }
    lines.join("\n") + "\n\n"
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean, and what it is the mean of.
fn mean_text(bytes: &[f64]) -> String {
    let mean = mean(bytes);
    if bytes.len() == 1 {
        return format!("{mean:.1}");
    }
    let each: Vec<String> = bytes.iter().map(|bytes| format!("{bytes:.0}")).collect();
    format!("{mean:.1} ({})", each.join(", "))
}

pub(crate) fn head(first: String, heads: Vec<String>) -> Vec<String> {
    let rule = "|---".repeat(heads.len() + 1) + "|";
    vec![line(first, heads), rule]
}

pub(crate) fn line(first: String, cells: Vec<String>) -> String {
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
        assert_eq!(mean_text(&[8.25]), "8.2");
        assert_eq!(mean_text(&[60.0, 70.0]), "65.0 (60, 70)");
    }
}
