//! Log lines: where they go, in what form, and how severe they must be.
//!
//! Says nothing of its own. Nothing above debug is ever logged for a single request.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// The way to change the level of a running log.
#[derive(Debug, Clone)]
pub struct LogControl(reload::Handle<LevelFilter, Registry>);

impl LogControl {
    /// Sets the least severe messages that are logged from now on.
    pub fn set_level(&self, level: LogLevel) {
        // This fails only when the log is gone, and then nobody reads its lines.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging to stderr for the whole process; a log that runs already goes on as it is.
#[must_use]
pub fn start(config: &Log) -> LogControl {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (subscriber, control) = subscriber(config, colours, std::io::stderr);
    // A process that runs several trackers, as tests do, keeps its first log.
    let _ = tracing::subscriber::set_global_default(subscriber);
    control
}

/// Makes a log that writes to `writer`.
fn subscriber<W>(config: &Log, colours: bool, writer: W) -> (impl Subscriber, LogControl)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(config.level));
    let lines = fmt::layer()
        .with_writer(writer)
        // A closed stderr must not end the tracker.
        .log_internal_errors(false);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let subscriber = Registry::default().with(level).with(lines);
    (subscriber, LogControl(handle))
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, run: impl FnOnce(&LogControl)) -> String {
        let lines = Lines::default();
        let config = Log { level: LogLevel::Warn, format };
        let to = lines.clone();
        let (subscriber, control) = subscriber(&config, false, move || to.clone());
        tracing::subscriber::with_default(subscriber, || run(&control));
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
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
