//! The example of a program of one's own: built, tested and run as the guide says.
//!
//! It is outside of the workspace, so cargo is asked to build it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FILES: &[&str] = &["Cargo.toml", "src/main.rs", "src/sums.rs", "src/parked.rs"];
const DEADLINE: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_millis(20);

fn of_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn guide_shows_the_files_of_the_example() {
    let page = fs::read_to_string(of_project("docs/guide/own-driver.md")).unwrap();
    let blocks = page.split("```").skip(1).step_by(2);
    let shown: Vec<_> = blocks
        .filter_map(|block| block.split_once('\n'))
        .filter(|(language, _)| *language != "sh")
        .map(|(_, shown)| shown)
        .collect();
    assert_eq!(shown.len(), FILES.len());
    for (shown, file) in shown.into_iter().zip(FILES) {
        let kept = fs::read_to_string(of_project("examples/custom-driver").join(file)).unwrap();
        assert!(shown == kept, "docs/guide/own-driver.md does not show {file} as it is");
    }
}

/// Runs cargo on the example, whose artifacts lie beside those of the workspace.
fn cargo(command: &str) {
    let status = Command::new(env!("CARGO"))
        .args([command, "--locked", "--manifest-path"])
        .arg(of_project("examples/custom-driver/Cargo.toml"))
        .arg("--target-dir")
        .arg(target())
        .status()
        .unwrap();
    assert!(status.success(), "cargo {command}");
}

fn target() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap().join("example")
}

/// The program, which ends with its test.
struct Program {
    child: Child,
    http: SocketAddr,
    site: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(target().join("debug/custom-driver"))
            .env_clear()
            .args(["--mode=private", "--storage.driver=sums", "--listen.udp=off"])
            .args(["--listen.http=127.0.0.1:0", "--listen.admin=off", "--listen.workers=1"])
            .args(["--compat.chihaya", "--compat.chihaya_listen=127.0.0.1:0"])
            .arg(format!("--storage.data_dir={}", data.display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |what: &str| -> SocketAddr {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with(what));
            line.unwrap_or_else(|| panic!("no {what}"))[what.len()..].trim().parse().unwrap()
        };
        let (http, site) = (address("listening on HTTP"), address("listening on chihaya"));
        // What else it says must not keep it waiting.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, http, site }
    }

    fn announce(&self, passkey: &str, uploaded_bytes: u64) -> String {
        let target = format!(
            "/{passkey}/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX0001-aaaaaaaaaaaa\
             &port=6881&left=0&downloaded=0&uploaded={uploaded_bytes}"
        );
        ask(self.http, &format!("GET {target}"), "")
    }

    fn put(&self, target: &str, body: &str) {
        let answer = ask(self.site, &format!("PUT {target}"), body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn stop(mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "as skep ends");
    }
}

fn ask(address: SocketAddr, what: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let len = body.len();
    let head =
        format!("{what} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
    let head = if body.is_empty() { head.replace("Content-Length: 0\r\n", "") } else { head };
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Takes turns until a file holds a line.
fn wait_for(path: &Path, line: &str) {
    let quiet = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    quiet.set_read_timeout(Some(TURN)).unwrap();
    let holds = || {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|found| found == line)
    };
    for _ in 0..DEADLINE.as_millis() / TURN.as_millis() {
        if holds() {
            return;
        }
        let _timed_out = quiet.recv(&mut [0; 1]);
    }
    panic!("no {line:?} in {}", fs::read_to_string(path).unwrap_or_default());
}

#[test]
fn program_of_ones_own_is_built_and_counts_in_its_own_file() {
    cargo("build");
    let folder = tempfile::tempdir().unwrap();
    let sums = folder.path().join("sums.txt");
    let program = Program::start(folder.path());
    program.put("/torrents/x", r#"{"id": 2, "infohash": "aaaaaaaaaaaaaaaaaaaa"}"#);
    program.put("/users/x", r#"{"id": 7, "passkey": "secretsecretsecretsecretsecret12"}"#);
    let announce = |program: &Program, uploaded| {
        let told = program.announce("secretsecretsecretsecretsecret12", uploaded);
        assert!(told.contains("8:completei1e"), "{told}");
    };
    announce(&program, 1000);
    announce(&program, 1500);
    wait_for(&sums, "user 7 500 0");
    program.stop();

    // The session goes on after a restart.
    let program = Program::start(folder.path());
    announce(&program, 1600);
    wait_for(&sums, "user 7 600 0");
    program.stop();
}

#[test]
fn program_of_ones_own_tells_what_it_brings() {
    cargo("build");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(target().join("debug/custom-driver"));
        let output = command.env_clear().args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), output.stderr)
    };
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("Drivers of this program:\n  sums\n"), "{help}");
    assert!(help.contains("  parked: Refuses users of group 9, unless they stop.\n"), "{help}");
    let (code, checked, _) = run(&["check", "--mode=private", "--storage.driver=sums"]);
    assert_eq!(code, Some(0));
    assert!(checked.contains("#   sums\n"), "{checked}");
    assert_eq!(run(&["--nonsense"]).0, Some(64));
    assert_eq!(run(&["check", "--listen.workers=x"]).0, Some(78));
}

#[test]
fn driver_of_ones_own_passes_the_battery() {
    cargo("test");
}
