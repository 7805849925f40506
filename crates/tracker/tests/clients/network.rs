//! A network that leads nowhere: own interfaces, own addresses, own names, own processes.
//!
//! The test program starts itself again inside; no tracker and no client is known here. Needs the
//! right to make namespaces, which root has, and on most systems everybody.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::Transport;

/// Tells the program that runs inside where its files go.
const INSIDE: &str = "SKEP_TEST_NETWORK";

/// What the tracker is called by clients; in no other network does the name exist.
const NAME: &str = "tracker.test";
const PORT: u16 = 6969;

/// Has every address.
const INTERFACE: &str = "network";

/// How the line begins by which a test says what it saw.
const SEEN: [&str; 2] = ["announced ", "moved "];

/// Which addresses the network has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
    Both,
}

/// The network of one test, as seen from inside.
pub(crate) struct Network {
    family: Family,
    folder: PathBuf,
}

/// Runs `body` in a network of its own and fails if it failed there.
pub(crate) fn inside(test: &str, family: Family, body: impl FnOnce(&Network)) {
    if let Some(folder) = env::var_os(INSIDE) {
        return body(&Network::prepare(folder.into(), family));
    }
    // Of this run alone: somebody may be running the same tests beside us.
    let run = format!("{}-{}", test.replace("::", "-"), std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(run);
    fs::create_dir_all(&folder).unwrap();
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.arg("--map-root-user");
    }
    // The first process of a process namespace takes all others with it.
    let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child"];
    let output = unshare
        .args(namespaces)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, &folder)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("unshare, of the Debian package util-linux, starts");
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        panic!("in a network of its own ({}):\n{told}", output.status);
    }
    let seen: Vec<&str> =
        told.lines().filter(|line| SEEN.iter().any(|word| line.starts_with(word))).collect();
    assert!(!seen.is_empty(), "the test did not run inside:\n{told}");
    fs::remove_dir_all(&folder).unwrap();
    // Past the capture of output, so that it is seen when all is well: this is what the test is for.
    let seen = format!("{}\n", seen.join("\n"));
    io::stderr().write_all(seen.as_bytes()).unwrap();
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id starts");
    id.stdout == b"0\n"
}

impl Network {
    /// Gives the fresh network its addresses and its one name.
    fn prepare(folder: PathBuf, family: Family) -> Self {
        let network = Self { family, folder };
        ip(&["link", "set", "lo", "up"]);
        // Transmission takes no loopback peers, and nothing should fall back to them.
        ip(&["address", "flush", "dev", "lo"]);
        // WebRTC does not even look at the loopback interface. This one ends in nothing.
        ip(&["link", "add", INTERFACE, "type", "veth", "peer", "name", "nowhere"]);
        ip(&["link", "set", "nowhere", "up"]);
        ip(&["link", "set", INTERFACE, "up"]);
        for address in (1..=3).flat_map(|number| network.host(number)) {
            let (length, option): (_, &[&str]) = match address {
                IpAddr::V4(_) => (24, &[]),
                IpAddr::V6(_) => (64, &["nodad"]),
            };
            let address = format!("{address}/{length}");
            ip(&[&["address", "add", &address, "dev", INTERFACE], option].concat());
        }
        // Leads nowhere, but Transmission uses IPv6 only where the world seems reachable.
        for address in network.host(1) {
            let version = if address.is_ipv4() { "-4" } else { "-6" };
            ip(&[version, "route", "add", "default", "dev", INTERFACE]);
        }
        let hosts = network.folder.join("hosts");
        let lines = network.host(1).into_iter().map(|address| format!("{address} {NAME}\n"));
        fs::write(&hosts, lines.collect::<String>()).unwrap();
        run(Command::new("mount").arg("--bind").arg(&hosts).arg("/etc/hosts"));
        // What a browser leaves there goes with it.
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/dev/shm"]));
        network
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// A folder for one participant, made if need be.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub(crate) fn seeder(&self) -> Vec<IpAddr> {
        self.host(2)
    }

    pub(crate) fn leecher(&self) -> Vec<IpAddr> {
        self.host(3)
    }

    /// The addresses of one host, one of each family that the network has.
    fn host(&self, number: u8) -> Vec<IpAddr> {
        let ipv4 = Ipv4Addr::new(10, 77, 0, number).into();
        // Not a unique local address: Transmission 3.00 takes only global ones for IPv6.
        let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, number.into()).into();
        match self.family {
            Family::Ipv4 => vec![ipv4],
            Family::Ipv6 => vec![ipv6],
            Family::Both => vec![ipv4, ipv6],
        }
    }

    /// Where the tracker listens, over UDP and TCP alike.
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.host(1)[0], PORT)
    }

    /// What stands in a torrent file; a private tracker wants a passkey in it.
    pub(crate) fn announce_url(&self, transport: Transport, passkey: Option<&str>) -> String {
        let scheme = match transport {
            Transport::Udp => "udp",
            Transport::Http => "http",
            Transport::WebSocket => "ws",
        };
        let folder = passkey.map(|passkey| format!("/{passkey}")).unwrap_or_default();
        format!("{scheme}://{NAME}:{PORT}{folder}/announce")
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

fn run(command: &mut Command) {
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}: {told}", output.status);
}
