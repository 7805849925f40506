//! What is wrong or doubtful in a configuration, said to the operator.
//!
//! Decides nothing: whoever finds a problem words it, and the binary prints it.

use std::fmt;
use std::path::Path;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A configuration file.
    File {
        /// Its path, as given.
        path: String,
        /// The key it has there, where that is not the key of the option.
        foreign_key: Option<&'static str>,
    },
    /// An environment variable of this name.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl Origin {
    /// Names a file, with control characters escaped.
    pub(crate) fn file(path: &Path) -> Self {
        Self::File { path: printable(&path.to_string_lossy()), foreign_key: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, foreign_key: None } => write!(f, "file {path}"),
            Self::File { path, foreign_key: Some(key) } => write!(f, "file {path}, key {key}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One reason why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key of the option, or what was given instead of one; empty when a whole file is meant.
    pub key: String,
    /// Where it was given.
    pub origin: Origin,
    /// The value, unless it is or may be a secret.
    pub value: Option<String>,
    /// What is wrong and what is allowed.
    pub message: String,
    /// The nearest known name, for a name that is not known.
    pub nearest: Option<String>,
}

impl Problem {
    /// Makes a problem of a whole source, such as a file that cannot be read.
    pub(crate) fn of_source(origin: Origin, message: impl Into<String>) -> Self {
        Self { key: String::new(), origin, value: None, message: message.into(), nearest: None }
    }

    /// Makes a problem of one key.
    pub(crate) fn of_key(
        key: impl Into<String>,
        origin: Origin,
        message: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), origin, value: None, message: message.into(), nearest: None }
    }

    /// Adds the value that was given.
    #[must_use]
    pub(crate) fn with_value(mut self, value: impl Into<Option<String>>) -> Self {
        self.value = value.into();
        self
    }

    /// Adds the name that was probably meant.
    #[must_use]
    pub(crate) fn with_nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.value) {
            ("", _) => write!(f, "{}: {}", self.origin, self.message)?,
            (key, None) => write!(f, "{key} ({}): {}", self.origin, self.message)?,
            (key, Some(value)) => write!(f, "{key} = {value} ({}): {}", self.origin, self.message)?,
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

/// One thing that works, and probably not as the operator expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key or flag it is about; empty when a whole file is meant.
    pub key: String,
    /// What will happen.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Returns the text that tells all problems, one a line under a heading.
pub fn report(problems: &[Problem]) -> String {
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    let mut text = format!("skep: {} {noun} in the configuration\n", problems.len());
    for problem in problems {
        text.push_str(&format!("  {problem}\n"));
    }
    text
}

/// Returns the candidate that `name` was probably meant to be.
///
/// The last part of a dotted candidate counts as its name too, so `port` finds `listen.port`.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let likeness = |candidate: &str| {
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        let whole = strsim::jaro_winkler(name, candidate);
        let part = strsim::jaro_winkler(name, last);
        // A match of the last part alone says less than one of the whole.
        whole.max(part * 0.98)
    };
    candidates
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// Returns `text` with control characters escaped, cut to what fits a line.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for char in text.chars().take(SHOWN_CHARS_MAX) {
        if char.is_control() {
            shown.extend(char.escape_debug());
        } else {
            shown.push(char);
        }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Below this likeness a suggestion confuses more than it helps.
const LIKENESS_MIN: f64 = 0.8;
const SHOWN_CHARS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::super::options::OPTIONS;
    use super::*;

    fn nearest_key(name: &str) -> Option<&'static str> {
        nearest(name, OPTIONS.iter().map(|option| option.key))
    }

    #[test]
    fn nearest_name_is_what_a_person_would_guess() {
        assert_eq!(nearest_key("listen.prot"), Some("listen.port"));
        assert_eq!(nearest_key("port"), Some("listen.port"));
        assert_eq!(nearest_key("anounce.interval_secs"), Some("announce.interval_secs"));
        assert_eq!(nearest_key("announce.interval"), Some("announce.interval_secs"));
        assert_eq!(nearest_key("announce.min_interval_secs"), Some("announce.interval_min_secs"));
        assert_eq!(nearest_key("zzzz"), None);
    }

    #[test]
    fn problem_is_one_line_even_for_a_value_with_line_ends() {
        let problem = Problem::of_key("log.level", Origin::Flag("--log.level".into()), "must be x")
            .with_value(printable("a\nb\u{1b}[31m"));
        assert_eq!(
            problem.to_string(),
            "log.level = a\\nb\\u{1b}[31m (flag --log.level): must be x"
        );
    }
}
