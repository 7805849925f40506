//! The program as a process: what it leaves behind when it is told to end.
//!
//! What it measures is tested beside the code.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread::yield_now;

use skep_net::clock::monotonic_coarse_secs;

const PATIENCE_SECS: u64 = 20;

/// Asks again and again until there is an answer.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = monotonic_coarse_secs() + PATIENCE_SECS;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(monotonic_coarse_secs() < end, "waited in vain: {what}");
        yield_now();
    }
}

/// The processes that a process has started.
fn children(of: &Child) -> Vec<String> {
    let id = of.id();
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

/// A comparison whose only tracker never answers.
fn comparison() -> Child {
    Command::new(env!("CARGO_BIN_EXE_skep-bench"))
        .args(["compare", "--smoke=true", "--port=9", "--tracker=silent=sleep 600"])
        .stderr(Stdio::null())
        .spawn()
        .expect("the tests are built with the program")
}

#[test]
fn clock_of_the_tracker_inside_moves_and_its_peers_are_told() {
    let mut tracker = Command::new(env!("CARGO_BIN_EXE_skep-bench"))
        .args(["skep", "--listen.port=0", "--listen.admin=off", "--listen.workers=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests are built with the program");
    tracker.stdin.take().unwrap().write_all(b"4000\n0\n").unwrap();
    // The end of its input is the end of the tracker.
    let output = tracker.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"0\n0\n");
}

/// A responder over WebSocket on a port of its own, for announces with five offers.
struct WsResponder {
    child: Child,
    target: String,
}

impl WsResponder {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("loopback has free ports").port();
        let child = Command::new(env!("CARGO_BIN_EXE_skep-bench"))
            .args(["null", "ws", &format!("--port={port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tests are built with the program");
        Self { child, target: format!("--target=127.0.0.1:{port}") }
    }
}

impl Drop for WsResponder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ws_load(target: &str, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skep-bench"))
        .args(["ws", target, "--torrents=3", "--warm-up-secs=0", "--secs=0.1"])
        .args(flags)
        .output()
        .expect("the tests are built with the program")
}

#[test]
fn every_offer_and_every_answer_comes_through_the_null_responder() {
    let responder = WsResponder::start();
    // Torrents of eleven and ten peers, all of whose announces are full, then of four and three.
    for flags in [["--connections=32", "--window=32"], ["--connections=11", "--window=2"]] {
        let load = ws_load(&responder.target, &flags);
        let said = String::from_utf8_lossy(&load.stdout);
        assert!(load.status.success(), "{load:?}");
        let count = said.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok());
        assert!(said.starts_with("relayed ") && count > Some(0), "{said}");
    }
    let process = format!("--server-pid={}", responder.child.id());
    let idle = ws_load(&responder.target, &["--idle=20", "--quiet-secs=0", &process]);
    assert!(idle.status.success() && idle.stdout.starts_with(b"idle "), "{idle:?}");
}

#[test]
fn load_fails_where_connections_are_ended() {
    let responder = WsResponder::start();
    // The responder knows no announces of four offers.
    let load = ws_load(&responder.target, &["--connections=12", "--window=1", "--offers=4"]);
    let said = String::from_utf8_lossy(&load.stderr);
    assert!(!load.status.success() && said.contains("ended a connection"), "{load:?}");
}

#[test]
fn tracker_does_not_outlive_the_comparison() {
    for signal in ["TERM", "INT", "HUP", "KILL"] {
        let mut comparison = comparison();
        let tracker = eventually("a tracker", || children(&comparison).pop());
        // What was started is not the tracker before it has become that program.
        let command = format!("/proc/{tracker}/cmdline");
        eventually("its program", || {
            fs::read(&command).ok().filter(|line| line.starts_with(b"sleep"))
        });
        let id = comparison.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success()
        );
        assert!(!comparison.wait().unwrap().success());
        // Nobody waits for the tracker's end after SIGKILL.
        eventually(&format!("the end of the tracker after SIG{signal}"), || {
            let left = fs::read(&command).unwrap_or_default();
            (!left.starts_with(b"sleep")).then_some(())
        });
    }
}
