//! A bug ends the process: a line in the log, and exit status 1.
//!
//! Without it a panic of a task would be caught by its runtime and served on after, and one of a
//! thread would abort the process with the status of a signal.

use std::panic;
use std::process;
use std::thread;

use crate::telemetry::log::LogControl;

/// From here on every panic of any thread ends the process.
pub fn end_process(log: LogControl) {
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("no message").replace('\n', " ");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let this = thread::current();
        let thread = this.name().unwrap_or("without a name");
        tracing::error!(thread, place, "a bug: {message}");
        log.flush();
        process::exit(1);
    }));
}
