//! The stock clients and how each is told to meet others through the tracker only.
//!
//! Every client gets one address, a folder and a torrent file; whether it seeds or leeches follows
//! from what is in the folder. WebRTC chooses its own addresses.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Process, wait_until};

/// The clients, as their users know them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Client {
    Aria2,
    /// A page that holds webtorrent.
    Chromium,
    Libtorrent,
    Transmission,
    /// The same package in Node, with a WebRTC of its own.
    Webtorrent,
}

/// How a client announces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Transport {
    Http,
    Udp,
    WebSocket,
}

/// What webtorrent says when the tracker knows that it seeds: it announces that it has the whole
/// file, and that it started, which takes five seconds in Node.
pub(crate) const SEEDS: &str = "answer 2 of the tracker";

impl Client {
    /// Starts the client on addresses of which all but libtorrent use the first.
    pub(crate) fn start(
        self,
        role: &str,
        addresses: &[IpAddr],
        folder: &Path,
        torrent: &Path,
    ) -> Process {
        let address = addresses[0];
        let mut command = match self {
            Self::Aria2 => aria2(address, folder),
            Self::Chromium => chromium(address, folder),
            Self::Libtorrent => libtorrent(addresses, folder),
            Self::Transmission => transmission(address, folder),
            Self::Webtorrent => webtorrent(folder),
        };
        Process::start(role, command.arg(torrent).env("HOME", folder))
    }

    /// What the client says when an announce met no tracker, and how often it does before any
    /// other way to find peers would long have found them; aria2 and webtorrent take minutes to
    /// try again.
    pub(crate) fn failed_announces(self) -> (&'static str, usize) {
        match self {
            Self::Aria2 => ("Download aborted. URI=http://tracker.test", 1),
            Self::Chromium | Self::Webtorrent => {
                ("warning: Error connecting to ws://tracker.test", 1)
            }
            Self::Libtorrent => ("tracker_error_alert", 2),
            Self::Transmission => ("Could not connect to tracker", 2),
        }
    }

    /// Ends a client in order, so that the tracker knows its last counters.
    pub(crate) fn stop(self, process: &Process) {
        if self == Self::Transmission {
            // It ends without a word to the tracker, so it is made to announce before.
            let answers = || process.said("Announce response contained scrape info");
            let before = answers();
            wait_until(&format!("{} announces once more", process.name()), || {
                process.signal("HUP");
                answers() > before
            });
        }
        process.stop();
    }

    /// What a client that was stopped says that it has sent and got.
    pub(crate) fn claims(self, process: &Process, folder: &Path) -> Claims {
        match self {
            Self::Aria2 => said(process, "event=stopped", "uploaded=", "downloaded="),
            Self::Transmission => resume_file(&folder.join("settings/resume")),
            Self::Chromium | Self::Libtorrent | Self::Webtorrent => {
                said(process, "claims ", "uploaded=", "downloaded=")
            }
        }
    }
}

/// Counters of a client, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Claims {
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
}

/// Counters in the last line of a log that holds certain words.
fn said(process: &Process, words: &str, uploaded: &str, downloaded: &str) -> Claims {
    wait_until(&format!("{} says what it claims", process.name()), || process.said(words) > 0);
    let line = process.last(words).expect("it was said");
    Claims { uploaded: number(&line, uploaded), downloaded: number(&line, downloaded) }
}

/// Counters in the only file in which Transmission keeps where it was.
fn resume_file(folder: &Path) -> Claims {
    let file = fs::read_dir(folder).unwrap().next().expect("it kept where it was").unwrap();
    let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
    Claims { uploaded: number(&text, "8:uploadedi"), downloaded: number(&text, "10:downloadedi") }
}

/// The number that follows these words.
pub(crate) fn number(text: &str, words: &str) -> u64 {
    let rest = text.split_once(words).unwrap_or_else(|| panic!("no {words} in {text}")).1;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().unwrap()
}

/// aria2 announces by UDP through its DHT socket, so that is open; torrents are private and no
/// other node is known, so it finds nobody.
fn aria2(address: IpAddr, folder: &Path) -> Command {
    let mut command = Command::new("aria2c");
    command
        .args(["--no-conf", "--log=-", "--log-level=info", "--console-log-level=error"])
        .args(["--summary-interval=0", "--show-console-readout=false", "--stop-with-process=1"])
        .args(["--enable-dht=true", "--enable-dht6=false", "--dht-listen-port=6881"])
        .args(["--enable-peer-exchange=false", "--bt-enable-lpd=false", "--listen-port=6881"])
        .args(["--check-integrity=true", "--seed-ratio=0.0", "--file-allocation=none"])
        .arg(format!("--dht-file-path={}", folder.join("dht.dat").display()))
        .arg(format!("--interface={address}"))
        .arg(format!("--dir={}", folder.display()));
    command
}

fn libtorrent(addresses: &[IpAddr], folder: &Path) -> Command {
    let ours = installed("python/bin/python");
    let mut command = Command::new(if ours.exists() { ours.as_path() } else { "python3".as_ref() });
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    command.arg(beside("libtorrent_client.py")).arg(addresses.join(",")).arg(folder);
    command
}

fn transmission(address: IpAddr, folder: &Path) -> Command {
    let settings = folder.join("settings");
    fs::create_dir_all(&settings).unwrap();
    // Only the family in use is bound: over HTTP the IPv4 address would win wherever it is given.
    let bind = match address {
        IpAddr::V4(_) => "bind-address-ipv4",
        IpAddr::V6(_) => "bind-address-ipv6",
    };
    let text = format!(
        r#"{{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false,
"port-forwarding-enabled": false, "utp-enabled": false, "rpc-enabled": false,
"message-level": 3, "peer-port": 51413, "{bind}": "{address}"}}"#
    );
    fs::write(settings.join("settings.json"), text).unwrap();
    let mut command = Command::new("transmission-cli");
    command.arg("--config-dir").arg(settings).arg("--download-dir").arg(folder);
    command
}

fn webtorrent(folder: &Path) -> Command {
    let mut command = node(include_str!("webtorrent.mjs"));
    command.arg(folder);
    command
}

fn chromium(address: IpAddr, folder: &Path) -> Command {
    let mut command = node(include_str!("chromium.mjs"));
    command.arg(beside("page.html")).arg(address.to_string()).arg(folder);
    command
}

/// The announcing part of webtorrent alone, which also speaks UDP and HTTP.
pub(crate) fn announces(url: &str) -> Process {
    Process::start("announces", node(include_str!("announces.mjs")).arg(url))
}

/// A script that sees the packages of npm, as it would if it lay beside them.
fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", script]).current_dir(packages());
    command
}

/// Where the packages of npm are.
pub(crate) fn packages() -> PathBuf {
    let home = installed("npm");
    assert!(home.is_dir(), "no packages of npm; `cargo xtask install` installs them");
    home
}

/// What `cargo xtask install` put into the target directory.
fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("tmp lies in target");
    target.join(path)
}

/// A file in the folder of this one.
fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}
