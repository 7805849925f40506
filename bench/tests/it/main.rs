//! The program as a process: what it leaves behind when it is told to end.
//!
//! What it measures is tested beside the code.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
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
