//! What is to be reached, and whether it was: the table at the head of a report.
//!
//! Every figure comes from the results of the run.

use crate::load::scenario::{FEW, LARGE, MANY, ONE_WORKER, SCALING, SHAPES};
use crate::load::table::{Range, Row, Sweep, head, line, mean};
use crate::load::websocket::Idle;

/// Names of the trackers in goals, as the command line gives them.
const AQUATIC: &str = "aquatic_udp, io_uring";
const OPENTRACKER: &str = "opentracker";
const NULL: &str = "null responder";
const WITH_IDS: &str = "skep";
const WITHOUT_IDS: &str = "skep, without peer ids";

/// All that a run found.
#[derive(Default)]
pub(crate) struct Results {
    /// The tables, in Markdown.
    pub(crate) tables: String,
    /// Rows of every case, the first one being that which others are held against.
    pub(crate) cases: Vec<(&'static str, Vec<Row>)>,
    /// Bytes a peer for each tracker: all fills of every shape.
    pub(crate) memory: Vec<(String, Vec<Vec<f64>>)>,
    pub(crate) sweeps: Vec<Sweep>,
    /// Memory of idle WebSocket connections for each tracker.
    pub(crate) idle: Vec<(String, Idle)>,
}

impl Results {
    fn row(&self, case: &str, name: &str) -> Option<&Row> {
        let (_, rows) = self.cases.iter().find(|(found, _)| *found == case)?;
        rows.iter().find(|row| row.name == name)
    }

    fn first(&self, case: &str) -> Option<&Row> {
        let (_, rows) = self.cases.iter().find(|(found, _)| *found == case)?;
        rows.first()
    }
}

/// Where the figure of a goal comes from.
enum Source {
    /// Answers per processor second of the first tracker in one case, against one in another.
    Ratio { case: &'static str, other_case: &'static str, other: &'static str },
    /// Bytes a peer in one of the shapes, by its place.
    Memory { tracker: &'static str, shape: usize },
    /// Milliseconds to the 99.99th percentile of answers during a sweep.
    Pause,
    /// Bytes of an idle WebSocket connection.
    Idle { tracker: &'static str },
}

enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

struct Goal {
    what: &'static str,
    against: &'static str,
    limit: Limit,
    source: Source,
}

const fn ratio(
    what: &'static str,
    (case, other_case): (&'static str, &'static str),
    other: &'static str,
    limit: Limit,
) -> Goal {
    Goal { what, against: other, limit, source: Source::Ratio { case, other_case, other } }
}

const fn memory(tracker: &'static str, shape: usize, bytes_max: f64) -> Goal {
    Goal {
        what: "bytes a peer, ",
        against: tracker,
        limit: Limit::AtMost(bytes_max),
        source: Source::Memory { tracker, shape },
    }
}

const UDP: &str = "UDP answers per server CPU second";
const RANK: (&str, &str) = ("udp-rank", "udp-rank");
const RELAYED: &str = "WebSocket messages relayed per server CPU second";
const RELAY: (&str, &str) = ("ws-relay", "ws-relay");

const GOALS: &[Goal] = &[
    ratio(UDP, RANK, AQUATIC, Limit::AtLeast(1.15)),
    ratio(UDP, RANK, OPENTRACKER, Limit::AtLeast(1.1)),
    ratio(UDP, RANK, NULL, Limit::AtLeast(0.93)),
    memory(WITHOUT_IDS, 0, 10.0),
    memory(WITHOUT_IDS, 1, 64.0),
    memory(WITHOUT_IDS, 2, 22.0),
    memory(WITH_IDS, 0, 34.0),
    memory(WITH_IDS, 1, 88.0),
    memory(WITH_IDS, 2, 46.0),
    ratio(
        "HTTP announces per server CPU second, a new connection each",
        ("http-new", "http-new"),
        OPENTRACKER,
        Limit::AtLeast(1.3),
    ),
    ratio(
        "HTTP announces per server CPU second, kept connections against new ones",
        ("http-kept", "http-new"),
        OPENTRACKER,
        Limit::AtLeast(3.0),
    ),
    Goal {
        what: "CPU an announce at 10 M torrents and 30 M peers, against",
        against: FEW,
        limit: Limit::AtMost(1.5),
        // The fewer answers a second of the processor, the more of it an answer takes.
        source: Source::Ratio { case: LARGE.name, other_case: LARGE.name, other: MANY },
    },
    Goal {
        what: "99.99 % of answers while 10 M peers are swept, ms",
        against: "itself",
        limit: Limit::AtMost(5.0),
        source: Source::Pause,
    },
    ratio(RELAYED, RELAY, "aquatic_ws", Limit::AtLeast(1.5)),
    ratio(RELAYED, RELAY, "bittorrent-tracker", Limit::AtLeast(5.0)),
    Goal {
        what: "bytes of an idle WebSocket connection",
        against: WITH_IDS,
        limit: Limit::AtMost(4096.0),
        source: Source::Idle { tracker: WITH_IDS },
    },
    ratio(
        "UDP answers per server CPU second with 2 workers",
        (SCALING.name, SCALING.name),
        ONE_WORKER,
        Limit::AtLeast(0.95),
    ),
];

impl Goal {
    fn what(&self) -> String {
        match self.source {
            Source::Memory { shape, .. } => format!("{}{}", self.what, SHAPES[shape].title),
            _ => self.what.to_owned(),
        }
    }

    fn measured(&self, results: &Results) -> Option<Range> {
        match self.source {
            Source::Ratio { case, other_case, other } => {
                Some(results.first(case)?.ratios_to(results.row(other_case, other)?))
            }
            Source::Memory { tracker, shape } => {
                let (_, fills) = results.memory.iter().find(|(name, _)| name == tracker)?;
                Some(Range::of(vec![mean(fills.get(shape)?)]))
            }
            Source::Idle { tracker } => {
                let (_, idle) = results.idle.iter().find(|(name, _)| name == tracker)?;
                Some(Range::of(vec![idle.bytes()]))
            }
            Source::Pause if results.sweeps.is_empty() => None,
            Source::Pause => {
                let pauses = results.sweeps.iter().map(Sweep::pause_ms);
                Some(Range::of(pauses.collect()))
            }
        }
    }

    /// The line of the goal: what was measured and whether that is enough, by the median.
    fn line(&self, results: &Results) -> String {
        let decimals = match self.source {
            Source::Memory { .. } => 1,
            Source::Idle { .. } => 0,
            _ => 2,
        };
        let (goal, is_reached): (String, fn(f64, f64) -> bool) = match self.limit {
            Limit::AtLeast(least) => (format!("at least {least}"), |value, least| value >= least),
            Limit::AtMost(most) => (format!("at most {most}"), |value, most| value <= most),
        };
        let (Limit::AtLeast(bound) | Limit::AtMost(bound)) = self.limit;
        let (measured, reached) = match self.measured(results) {
            None => ("not measured".to_owned(), ""),
            Some(range) if is_reached(range.median, bound) => (range.show(decimals), "yes"),
            Some(range) => (range.show(decimals), "no"),
        };
        line(self.what(), vec![self.against.to_owned(), goal, measured, reached.to_owned()])
    }
}

/// The table of all goals.
pub(crate) fn summary(results: &Results) -> String {
    let heads = ["against, or of", "goal", "measured: median (min, max)", "reached"];
    let mut lines = head("what".to_owned(), heads.map(str::to_owned).to_vec());
    lines.extend(GOALS.iter().map(|goal| goal.line(results)));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::scenario::names;

    #[test]
    fn every_goal_of_a_case_names_one_that_is_run() {
        for goal in GOALS {
            if let Source::Ratio { case, other_case, .. } = goal.source {
                assert!(names().contains(&case) && names().contains(&other_case), "{case}");
            }
        }
    }

    #[test]
    fn goal_is_judged_by_what_was_measured() {
        let goal = memory(WITH_IDS, 1, 88.0);
        let with = |bytes: f64| Results {
            memory: vec![(WITH_IDS.to_owned(), vec![vec![1.0], vec![bytes - 1.0, bytes + 1.0]])],
            ..Results::default()
        };
        assert!(goal.line(&with(88.0)).ends_with("| at most 88 | 88.0 | yes |"));
        assert!(goal.line(&with(88.1)).ends_with("| 88.1 | no |"));
        assert!(goal.line(&Results::default()).ends_with("| not measured |  |"));
    }
}
