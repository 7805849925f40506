//! The program as a process that is killed and started again in the same folder.
//!
//! Knows no account and no client.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a process may take to say something.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running tracker.
pub(crate) struct Tracker {
    child: Child,
    lines: Receiver<String>,
    pub(crate) said: String,
    pub(crate) udp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Tracker {
    /// Starts a private tracker and waits until it answers.
    pub(crate) fn start(folder: &Path, driver: &str, url: &str, more: &[&str]) -> Self {
        match Self::try_start(folder, driver, url, more) {
            Ok(tracker) => tracker,
            Err((_, said)) => panic!("it does not start:\n{said}"),
        }
    }

    /// The same, for one that may end instead.
    pub(crate) fn try_start(
        folder: &Path,
        driver: &str,
        url: &str,
        more: &[&str],
    ) -> Result<Self, (ExitStatus, String)> {
        let folder = folder.display();
        let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["--mode=private", "--listen.udp=127.0.0.1:0", "--listen.http=127.0.0.1:0"])
            .args(["--listen.admin=127.0.0.1:0", "--listen.workers=2"])
            .args([format!("--storage.data_dir={folder}"), format!("--storage.driver={driver}")])
            .args(more)
            .env_clear()
            .env("SKEP__STORAGE__URL", url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut said = String::new();
        let mut addresses = [None; 3];
        let names = ["listening on UDP", "listening on HTTP", "listening on admin"];
        while addresses.contains(&None) {
            let Ok(line) = lines.recv_timeout(DEADLINE) else {
                return Err((child.wait().unwrap(), said));
            };
            for (address, name) in addresses.iter_mut().zip(names) {
                if let Some(list) = line.strip_prefix(name) {
                    *address = Some(list.trim().parse().unwrap());
                }
            }
            said += &format!("{line}\n");
        }
        let [udp, http, admin] = addresses.map(Option::unwrap);
        Ok(Self { child, lines, said, udp, http, admin })
    }

    /// Ends it as a power failure of the process alone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns what it said.
    pub(crate) fn stop(mut self) -> String {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let status = self.child.wait().unwrap();
        self.said.extend(self.lines.iter().map(|line| line + "\n"));
        assert!(status.success(), "{status}:\n{}", self.said);
        std::mem::take(&mut self.said)
    }

    /// Waits until it says something.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => self.said += &(line + "\n"),
                Err(_) => panic!("no {text:?} in:\n{}", self.said),
            }
        }
    }

    /// What the operator's listener answers.
    pub(crate) fn admin(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = super::client::exchange(self.admin, request.as_bytes()).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// The value of a metric, which may have labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.admin("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
