//! What a tracker goes through without harm: readers that stall, files that block, bugs, signals at
//! a bad time, and operators who mistype.
//!
//! Clients and what they may do are tested elsewhere.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use skep::config::{Log, LogFormat, LogLevel};
use skep::runtime::panic;
use skep::telemetry::log;
use skep_engine::testing::wire;
use tempfile::TempDir;

use crate::support::{self, HttpClient, Process, announce, load, torrent, wait_until};

/// Runs the program to its end with nothing in its environment but what is given.
fn skep(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command
}

/// Exit code, and what was said on stderr.
fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn make_pipe(folder: &TempDir) -> String {
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

/// A list that takes its time.
fn long_list(folder: &TempDir) -> String {
    let path = folder.path().join("long.txt");
    let text: String = (0..400_000).map(|number| format!("{number:040x}\n")).collect();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn has_open(pid: u32, path: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == Path::new(path)))
}

#[test]
fn stalled_reader_of_the_log_holds_up_neither_answers_nor_signals() {
    let folder = support::folder();
    let list = folder.path().join("denied.txt");
    fs::write(&list, "no hash\n").unwrap();
    let (mut reader, said) = UnixStream::pair().unwrap();
    let mut filler = said.try_clone().unwrap();
    let mut child = skep(&["--listen.port=0", "--listen.admin=off", "--listen.workers=1"], &[])
        .arg(format!("--access.torrents_deny_file={}", list.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(OwnedFd::from(said))
        .spawn()
        .unwrap();
    let mut banner = String::new();
    while !banner.contains("home page:") {
        let mut chunk = [0; 4096];
        let len = reader.read(&mut chunk).unwrap();
        banner += std::str::from_utf8(&chunk[..len]).unwrap();
    }
    let http = banner.split("http://127.0.0.1:").nth(1).unwrap().split('/').next().unwrap();
    let http = (std::net::Ipv4Addr::LOCALHOST, http.parse::<u16>().unwrap()).into();
    // From here on nobody reads, and not a byte more fits.
    filler.set_nonblocking(true).unwrap();
    let full = loop {
        // Byte by byte, so that none is left over.
        if let Err(error) = filler.write_all(b".") {
            break error.kind();
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    filler.set_nonblocking(false).unwrap();
    let signal = |name: &str| {
        let command = format!("kill -{name} {}", child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    };
    let read_again = |times: u32| {
        for _ in 0..times {
            // Each of them has a warning to tell.
            signal("HUP");
            HttpClient::connect(http).announce(&announce(torrent(1), 6881, 1)).unwrap();
        }
    };
    read_again(5);
    signal("TERM");
    wait_until("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Makes this test a process that has a bug.
const BUG: &str = "SKEP_TEST_HAS_A_BUG";

#[test]
fn panic_of_any_thread_ends_the_process_with_1_and_says_where() {
    if std::env::var_os(BUG).is_some() {
        let log = log::start(&Log { level: LogLevel::Error, format: LogFormat::Json }).unwrap();
        panic::end_process(log);
        let bug = || panic!("two\nlines");
        let thread = thread::Builder::new().name("skep-udp-7".into()).spawn(bug).unwrap();
        let _nobody_comes_here = thread.join();
        return;
    }
    let name = "robustness::panic_of_any_thread_ends_the_process_with_1_and_says_where";
    // Not by its path: a newer build may have taken its place.
    let output = Command::new("/proc/self/exe")
        .args(["--exact", name, "--nocapture"])
        .env(BUG, "1")
        .output()
        .unwrap();
    let (code, said) = ended(&output);
    assert_eq!(code, Some(1), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 1, "{said}");
    let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"a bug: two lines".into()));
    assert_eq!(line["thread"], "skep-udp-7");
    assert!(line["place"].as_str().unwrap().contains("robustness.rs:"), "{line}");
}

#[test]
fn list_that_is_no_file_stops_the_start_with_a_reason() {
    let folder = support::folder();
    for path in [make_pipe(&folder).as_str(), "/dev/zero", "/"] {
        let list = format!("--access.torrents_deny_file={path}");
        let (code, said) = Process::spawn(&["--listen.port=0", "--listen.admin=off", &list]).end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("{path}: it is not a regular file")), "{said}");
    }
}

#[test]
fn list_that_became_a_pipe_leaves_the_old_one_in_force() {
    let folder = support::folder();
    let path = folder.path().join("pipe");
    fs::write(&path, "").unwrap();
    let list = format!("--access.torrents_deny_file={}", path.display());
    let mut tracker = Process::start(&[&list, "--access.poll_secs=1"]);
    fs::remove_file(&path).unwrap();
    make_pipe(&folder);
    tracker.wait_for("the lists are not reloaded");
    tracker.signal("HUP");
    tracker.wait_for("settings and lists are not reloaded");
    let mut client = HttpClient::connect(tracker.http());
    client.announce(&announce(torrent(1), 6881, 1)).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, torrent(1).to_string()).unwrap();
    tracker.wait_for("settings and lists are reloaded");
    client.announce(&announce(torrent(1), 6881, 1)).unwrap_err();
    tracker.signal("TERM");
    let (code, said) = tracker.end();
    assert_eq!(code, Some(0));
    // Told once, however many looks there were.
    assert_eq!(said.matches("ERROR the lists are not reloaded").count(), 1, "{said}");
}

#[test]
fn signals_do_not_wait_for_a_file_that_blocks() {
    let folder = support::folder();
    let pipe = make_pipe(&folder);
    let mut tracker = Process::spawn(&["--config", &pipe]);
    fs::write(&pipe, "listen.port = 0\nlisten.admin = [\"off\"]\n").unwrap();
    tracker.wait_for("home page:");
    let http = tracker.http();
    tracker.signal("HUP");
    // Opened as soon as somebody reads, and then nothing comes.
    let held = File::options().write(true).open(&pipe).unwrap();
    let target = wire::http_announce(&announce(torrent(1), 6881, 1));
    assert_eq!(HttpClient::connect(http).get(&target).status, 200);
    tracker.signal("TERM");
    let (code, said) = tracker.end();
    assert_eq!(code, Some(0), "{said}");
    drop(held);
}

#[test]
fn signals_at_the_start_are_taken() {
    let folder = support::folder();
    let list = long_list(&folder);
    let flag = format!("--access.torrents_deny_file={list}");
    let start = || Process::spawn(&["--listen.port=0", "--listen.admin=off", &flag]);
    let mut hung_up = start();
    wait_until("the list is read", || has_open(hung_up.pid(), &list));
    hung_up.signal("HUP");
    hung_up.wait_for("home page:");
    hung_up.wait_for("settings and lists are reloaded");
    hung_up.signal("TERM");
    assert_eq!(hung_up.end().0, Some(0));

    let stopped = start();
    wait_until("the list is read", || has_open(stopped.pid(), &list));
    stopped.signal("TERM");
    let (code, said) = stopped.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SIGTERM: stopping") && !said.contains("listening on"), "{said}");
}

#[test]
fn output_that_takes_nothing_is_a_failure_and_no_bug() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for command in ["schema", "check", "help", "version"] {
        let output = skep(&[command], &[]).stdout(full()).output().unwrap();
        let (code, said) = ended(&output);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("skep: cannot write the result: "), "{said}");
    }
    for (arguments, code) in [
        (&["--prot=1"][..], 64),
        (&["--listen.port=x"], 78),
        (&["check", "--announce.interval_secs=200"], 0),
        (&["--listen.udp=203.0.113.7:1", "--listen.admin=off"], 1),
    ] {
        let mut command = skep(arguments, &[]);
        let status = command.stdout(Stdio::null()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        let mut command = skep(arguments, &[]);
        let (reader, closed) = UnixStream::pair().unwrap();
        drop(reader);
        let command = command.stdout(Stdio::null()).stderr(OwnedFd::from(closed));
        assert_eq!(command.status().unwrap().code(), Some(code), "{arguments:?}");
    }
}

fn warnings(settings: &[&str]) -> Vec<String> {
    load(settings).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_that_overlap_are_refused_before_they_are_bound() {
    for (key, addresses, told) in [
        ("udp", "0.0.0.0:4060,127.0.0.1:4060", "both 0.0.0.0:4060 and 127.0.0.1:4060"),
        ("http", "[::1]:4060,[::]:4060", "both [::1]:4060 and [::]:4060"),
        ("admin", "127.0.0.1:4060,0.0.0.0:4060", "both 127.0.0.1:4060 and 0.0.0.0:4060"),
    ] {
        // The admin addresses would also meet those of HTTP.
        let flag = format!("--listen.{key}={addresses}");
        let problems = load(&["--port=1", &flag]).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = problems[0].to_string();
        assert!(problem.ends_with(&format!("must not hold {told}: they overlap")), "{problem}");
    }
    let lawful = "--listen.udp=0.0.0.0:4060,127.0.0.1:4061,[::]:4060,127.0.0.1:0,127.0.0.1:0";
    assert_eq!(warnings(&["--port=1", lawful, "--listen.http=off"]).len(), 1);
}

#[test]
fn more_udp_addresses_than_a_worker_can_wait_for_are_refused() {
    let addresses = |count: u32| {
        let list: Vec<_> = (1..=count).map(|last| format!("127.0.0.{last}:0")).collect();
        load(&[&format!("--listen.udp={}", list.join(","))])
    };
    assert!(addresses(32).is_ok());
    let problems = addresses(33).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems[0].to_string();
    assert!(problem.ends_with("must be at most 32 addresses, and 33 are given"), "{problem}");
}

#[test]
fn ranges_of_everybody_are_warned_of() {
    assert_eq!(
        warnings(&["--proxy.trusted=0.0.0.0/0,10.0.0.0/8,::/0"]),
        [
            "proxy.trusted: 0.0.0.0/0 is every address there is: anybody can announce the address of anybody",
            "proxy.trusted: ::/0 is every address there is: anybody can announce the address of anybody",
        ]
    );
    assert_eq!(
        warnings(&["--access.addresses_deny=::/0"]),
        ["access.addresses_deny: ::/0 is every address there is: nobody of that family is served"]
    );
}

#[test]
fn check_tells_of_lists_that_would_stop_the_start() {
    let folder = support::folder();
    let path = folder.path().join("none.txt");
    let list = format!("--access.torrents_deny_file={}", path.display());
    let (code, said) = ended(&skep(&["check", &list], &[]).output().unwrap());
    assert_eq!(code, Some(0));
    let expected = format!("skep: warning: cannot read the list {}: No such file", path.display());
    assert!(said.starts_with(&expected), "{said}");
    let home = ["check", "--access.torrents_deny_file=~/list"];
    let (_, said) = ended(&skep(&home, &[]).output().unwrap());
    assert!(said.ends_with("; write the whole path, only a shell knows what ~ is\n"), "{said}");
    fs::write(&path, "").unwrap();
    let (code, said) = ended(&skep(&["check", &list], &[]).output().unwrap());
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn misspelt_variables_are_told_with_the_right_name() {
    let told = |name: &str| ended(&skep(&["check"], &[(name, "1")]).output().unwrap());
    for name in ["SKEP__PORT", "SKEP__listen__port", "skep__listen__port", "SKEP__LISTEN__PROT"] {
        let (code, said) = told(name);
        assert_eq!(code, Some(78), "{said}");
        let expected = format!(
            "environment {name}: no option has this name; did you mean SKEP__LISTEN__PORT?"
        );
        assert!(said.contains(&expected), "{said}");
    }
    let (code, said) = told("SKEP_LISTEN_PORT");
    assert_eq!(code, Some(0), "{said}");
    let expected =
        "skep: warning: SKEP_LISTEN_PORT: has no effect; did you mean SKEP__LISTEN__PORT?\n";
    assert_eq!(said, expected);
    // Other programs set these.
    for name in ["SKEP_PORT", "SKEP_SERVICE_HOST", "SKEPTIC", "SKEP_"] {
        assert_eq!(told(name), (Some(0), String::new()), "{name}");
    }
}
