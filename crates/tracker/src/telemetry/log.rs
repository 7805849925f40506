//! Log lines: where they go, in what form, and how severe they must be.
//!
//! Says nothing of its own, but for the lines that nobody took. Nothing is logged for a single
//! request, and nobody waits for a log: a thread writes the lines, and what it cannot write in time
//! is counted and dropped.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt, reload};

use super::lines::Lines;
use crate::config::{Log, LogFormat, LogLevel};

/// How long the end of the process waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The way to a running log: its level, and its last lines.
#[derive(Debug, Clone)]
pub struct LogControl {
    level: reload::Handle<LevelFilter, Registry>,
    lines: Arc<Lines>,
}

impl LogControl {
    /// Sets the least severe messages that are logged from now on.
    pub fn set_level(&self, level: LogLevel) {
        // This fails only when the log is gone, and then nobody reads its lines.
        let _ = self.level.reload(filter(level));
    }

    /// Writes a text as it is, whatever the level; like a log line it may be lost.
    pub fn say(&self, text: &str) {
        self.lines.push(text.as_bytes());
    }

    /// Waits until everything is written, for a second at most.
    pub fn flush(&self) {
        self.lines.flush(FLUSH_MAX);
    }
}

/// Starts logging to stderr for the whole process; a log that runs already goes on as it is.
///
/// # Errors
/// If the system has no room for the thread that writes.
pub fn start(config: &Log) -> io::Result<LogControl> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = Arc::new(Lines::default());
    let to = lines.clone();
    let (subscriber, level) = subscriber(config, colours, move || Line(to.clone()));
    // A process that runs several trackers, as tests do, keeps its first log.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let from = lines.clone();
    Builder::new().name("skep-log".to_owned()).spawn(move || {
        from.write_to(&mut io::stderr(), |lost| {
            tracing::error!(lost, "log lines were lost: nobody took them in time");
        });
    })?;
    Ok(LogControl { level, lines })
}

/// Takes one line: the formatter writes each with one call.
struct Line(Arc<Lines>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a log that writes to `writer`.
fn subscriber<W>(
    config: &Log,
    colours: bool,
    writer: W,
) -> (impl Subscriber, reload::Handle<LevelFilter, Registry>)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(config.level));
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let subscriber = Registry::default().with(level).with(lines);
    (subscriber, handle)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use tracing::{info, warn};

    use super::*;

    fn logged(format: LogFormat, run: impl FnOnce(&LogControl)) -> String {
        let lines = Arc::new(Lines::default());
        let config = Log { level: LogLevel::Warn, format };
        let to = lines.clone();
        let (subscriber, level) = subscriber(&config, false, move || Line(to.clone()));
        let control = LogControl { level, lines };
        tracing::subscriber::with_default(subscriber, || run(&control));
        control.lines.taken()
    }

    #[test]
    fn level_holds_until_it_is_changed() {
        let text = logged(LogFormat::Text, |control| {
            info!("one");
            warn!(lists = 2, "two");
            control.set_level(LogLevel::Info);
            info!("three");
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("Z  WARN two lists=2"), "{text}");
        assert!(lines[1].ends_with("Z  INFO three"), "{text}");
    }

    #[test]
    fn json_lines_are_flat_objects() {
        let text = logged(LogFormat::Json, |_| warn!(path = "a\"b", "gone"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "gone");
        assert_eq!(line["path"], "a\"b");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        let text = logged(LogFormat::Text, |_| warn!("{}", "\u{1b}[2Jgone"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
