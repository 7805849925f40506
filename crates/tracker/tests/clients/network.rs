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
    let run = format!("{test}-{}", std::process::id());
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
        let (version, length, option): (_, _, &[&str]) = match family {
            Family::Ipv4 => ("-4", 24, &[]),
            Family::Ipv6 => ("-6", 64, &["nodad"]),
        };
        for host in [network.tracker(), network.seeder(), network.leecher()] {
            let address = format!("{host}/{length}");
            ip(&[&["address", "add", &address, "dev", INTERFACE], option].concat());
        }
        // Leads nowhere, but Transmission uses IPv6 only where the world seems reachable.
        ip(&[version, "route", "add", "default", "dev", INTERFACE]);
        let hosts = network.folder.join("hosts");
        fs::write(&hosts, format!("{} {NAME}\n", network.tracker())).unwrap();
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

    pub(crate) fn tracker(&self) -> IpAddr {
        self.host(1)
    }

    pub(crate) fn seeder(&self) -> IpAddr {
        self.host(2)
    }

    pub(crate) fn leecher(&self) -> IpAddr {
        self.host(3)
    }

    fn host(&self, number: u8) -> IpAddr {
        match self.family {
            Family::Ipv4 => Ipv4Addr::new(10, 77, 0, number).into(),
            // Not a unique local address: Transmission 3.00 takes only global ones for IPv6.
            Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, number.into()).into(),
        }
    }

    /// Where the tracker listens, over UDP and TCP alike.
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.tracker(), PORT)
    }

    /// What stands in a torrent file.
    pub(crate) fn announce_url(&self, transport: Transport) -> String {
        match transport {
            Transport::Udp => format!("udp://{NAME}:{PORT}/announce"),
            Transport::Http => format!("http://{NAME}:{PORT}/announce"),
            Transport::WebSocket => format!("ws://{NAME}:{PORT}/announce"),
        }
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
