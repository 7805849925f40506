//! That no server outlives whoever started it, however that ends.
//!
//! Nothing is stored here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::servers::{Disk, Kind, Server, wait_for};

/// Tells the other process that it is the other process.
const OTHER: &str = "SKEP_SERVER_TEST";

/// What is killed: the parent starts this test in a process of its own. Without a parent it ends the
/// server itself.
#[test]
fn a_server_ends_with_its_value() {
    let server = Server::start(Kind::Postgres, Disk::Fast, &[]);
    let folder = server.folder().to_owned();
    if std::env::var_os(OTHER).is_some() {
        // In one write, past the test harness.
        let line = format!("\nfolder {}\n", folder.display());
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        loop {
            thread::park();
        }
    }
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_server_ends_with_the_process_that_started_it() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "databases::lifetime::a_server_ends_with_its_value", "--nocapture"])
        .env(OTHER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let folder = lines.find_map(|line| line.unwrap().strip_prefix("folder ").map(PathBuf::from));
    let folder = folder.expect("it tells where its server is");
    let server = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let server = PathBuf::from("/proc").join(server.lines().next().unwrap());
    assert!(server.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the server to end", || (!server.exists()).then_some(()));
    wait_for("its folder to go", || (!folder.exists()).then_some(()));
}
