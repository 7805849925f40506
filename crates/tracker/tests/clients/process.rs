//! Programs under observation: what they say is kept, and shown when a test fails.
//!
//! Waiting is for conditions, with one deadline for all; a program that says something or ends
//! wakes whoever waits.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take. Transfers take seconds; this is for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(120);

/// How often a condition is looked at when no program says anything.
const LOOK: Duration = Duration::from_millis(50);

/// How much of a log is shown.
const LINES_SHOWN: usize = 60;

/// Counts lines and ends of all programs; one test runs in a process, so one is enough.
static NEWS: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());

/// A running program; ends with this value, which prints its log if the test is failing.
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a program that sees neither our environment nor our input.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut child = command
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}; `cargo xtask install` installs what is missing")
            });
        let log = Arc::default();
        collect(child.stdout.take().expect("piped above"), &log);
        collect(child.stderr.take().expect("piped above"), &log);
        Self { name: format!("{name} ({program})"), child: Mutex::new(child), log }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many lines hold these words.
    pub(crate) fn said(&self, words: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }

    /// The last line that holds these words.
    pub(crate) fn last(&self, words: &str) -> Option<String> {
        self.log.lock().unwrap().iter().rfind(|line| line.contains(words)).cloned()
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(kill.expect("kill starts").success(), "{} cannot be signalled", self.name);
    }

    /// Interrupts the program and waits until it ends; it may say that its work was not done.
    pub(crate) fn stop(&self) {
        self.signal("INT");
        wait_until(&format!("{} ends", self.name), || self.status().is_some());
    }

    /// Fails if the program has ended.
    pub(crate) fn expect_running(&self) {
        if let Some(status) = self.status() {
            panic!("{} ended early: {status}", self.name);
        }
    }

    /// Fails if the program has ended badly.
    pub(crate) fn expect_no_failure(&self) {
        if let Some(status) = self.status().filter(|status| !status.success()) {
            panic!("{} failed: {status}", self.name);
        }
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ended = child.kill();
        let _status = child.wait();
        if thread::panicking() {
            let log = self.log.lock().unwrap();
            eprintln!("--- {}, last of {} lines", self.name, log.len());
            for line in log.iter().skip(log.len().saturating_sub(LINES_SHOWN)) {
                eprintln!("{line}");
            }
        }
    }
}

/// Keeps what comes out of a pipe, by line; a progress line that repeats is kept once.
fn collect(pipe: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let pieces = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
        for piece in pieces {
            let text = String::from_utf8_lossy(&piece);
            let line = text.trim_end().rsplit('\r').next().unwrap_or_default().trim_end();
            let mut log = log.lock().unwrap();
            if log.last().is_none_or(|last| last != line) {
                log.push(line.to_owned());
            }
            drop(log);
            tell();
        }
        tell();
    });
}

fn tell() {
    *NEWS.0.lock().unwrap() += 1;
    NEWS.1.notify_all();
}

/// Returns when `condition` holds; fails when it does not in time.
#[expect(clippy::disallowed_methods, reason = "a deadline for programs that keep their own time")]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = *NEWS.0.lock().unwrap();
        if condition() {
            return;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        let news = NEWS.0.lock().unwrap();
        let unchanged = |now: &mut u64| *now == seen;
        drop(NEWS.1.wait_timeout_while(news, LOOK, unchanged).unwrap());
    }
}
