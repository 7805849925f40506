//! The program itself as a process, with everything that it says on stderr.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use super::DEADLINE;
use super::tracker::reachable;

/// A process that does not outlive its test.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// What it said so far.
    pub(crate) said: String,
}

impl Process {
    /// Starts the program without waiting for anything. It sees no environment but what is given.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        Self::spawn_with(arguments, &[])
    }

    pub(crate) fn spawn_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, said: String::new() }
    }

    /// Starts a tracker on any port and waits for the end of its banner.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let defaults = ["--listen.port=0", "--listen.admin=127.0.0.1:0", "--listen.workers=2"];
        let arguments = [&defaults[..], arguments].concat();
        let mut process = Self::spawn_with(&arguments, environment);
        // The URL of the metrics is its last line.
        let last = if process.banner("listening on admin").is_empty() {
            "tracker URLs:"
        } else {
            "/metrics"
        };
        process.wait_for(last);
        process
    }

    /// Waits for a line that holds a text, among those that were not waited for yet.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => {
                    self.said += &format!("{line}\n");
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no {text:?} in what it said:\n{}", self.said),
            }
        }
    }

    /// The addresses in a line of the banner, waited for if it is not there yet.
    pub(crate) fn banner(&mut self, what: &str) -> Vec<SocketAddr> {
        let known = self.said.lines().find(|line| line.starts_with(what)).map(str::to_owned);
        let line = known.unwrap_or_else(|| self.wait_for(what));
        let list = line.strip_prefix(what).unwrap().trim();
        if list.starts_with("nothing") {
            return Vec::new();
        }
        list.split(", ").map(|address| address.parse().unwrap()).collect()
    }

    pub(crate) fn udp(&mut self) -> SocketAddr {
        reachable(&self.banner("listening on UDP"), false)
    }

    pub(crate) fn http(&mut self) -> SocketAddr {
        reachable(&self.banner("listening on HTTP"), false)
    }

    pub(crate) fn admin(&mut self) -> SocketAddr {
        reachable(&self.banner("listening on admin"), false)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(sent.success(), "{command}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end and returns the exit code and everything it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => self.said += &format!("{line}\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on; it said\n{}", self.said),
            }
        }
        let status: ExitStatus = self.child.wait().unwrap();
        (status.code(), std::mem::take(&mut self.said))
    }

    /// Memory that the process occupies.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The same without the program itself, which the system may drop and read again.
    pub(crate) fn resident_data_bytes(&self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kib: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or its test has failed or needs it no longer.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
