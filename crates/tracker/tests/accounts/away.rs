//! Databases that are locked or gone and disks that are full: it is told, and nothing is lost.
//!
//! The process is not killed here.

use std::path::Path;

use rusqlite::Connection;

use super::client::Place;
use super::kill::{CLIENTS, clients, run, settle};
use super::site::{Storage, found};
use super::tracker::Tracker;

const SQLITE: &str = "sqlite";

/// Keeps everybody else from writing to a database until it is dropped.
fn lock(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

#[test]
fn locked_database_is_told_and_gets_everything_later() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage { driver: SQLITE, url: String::new() };
    let conn = storage.open(folder.path());
    found(&*conn, CLIENTS);
    let mut clients = clients();
    let mut tracker = Tracker::start(folder.path(), SQLITE, "", &[]);
    let place = Place { udp: tracker.udp, http: tracker.http };
    assert!(tracker.admin("/health").ends_with("\r\n\r\nok"));
    run(&mut clients, place, 500, || {});
    let locked = lock(&folder.path().join("skep.db"));
    run(&mut clients, place, 3000, || tracker.wait_for("nothing is applied to the storage"));
    let health = tracker.admin("/health");
    assert!(health.contains("degraded: nothing is applied to the storage"), "{health}");
    assert_eq!(tracker.metric("skep_accounts_stuck"), 1);
    let applied = tracker.metric("skep_journal_position{stage=\"applied\"}");
    assert!(tracker.metric("skep_journal_position{stage=\"durable\"}") > applied + 1000);
    drop(locked);
    tracker.wait_for("records are applied to the storage again");
    assert!(tracker.admin("/health").ends_with("\r\n\r\nok"));
    settle(&mut clients, tracker, &*conn);
}

/// A file system of 2 MiB that is unmounted in the end.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"]).arg(dir.path());
        let status = mount.status().expect("mount can be run");
        assert!(status.success(), "cannot mount a tmpfs: this test must run as root");
        Self(dir)
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = std::process::Command::new("umount").arg(self.0.path()).status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()));
    }
}

// Other systems have no file system of a given size that is mounted in a moment.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_told_and_what_clients_say_again_is_counted_once_there_is_room() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), SmallDisk::new());
    let database = folder.path().join("elsewhere.db");
    let url = database.display().to_string();
    let storage = Storage { driver: SQLITE, url: url.clone() };
    let conn = storage.open(folder.path());
    found(&*conn, CLIENTS);
    let mut clients = clients();
    let mut tracker = Tracker::start(disk.0.path(), SQLITE, &url, &[]);
    let place = Place { udp: tracker.udp, http: tracker.http };
    run(&mut clients, place, 200, || {});
    // Sessions that begin while nothing can be written down begin later for the tracker.
    clients.iter_mut().for_each(|client| client.is_steady = true);
    run(&mut clients, place, 100, || {});
    let ballast = disk.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|count| count > 0) {}
    drop(file);
    run(&mut clients, place, 1000, || {
        tracker.wait_for("the disk of the journal takes nothing");
        assert!(tracker.admin("/health").contains("degraded: the disk of the journal"));
        assert_eq!(tracker.metric("skep_journal_failing"), 1);
    });
    std::fs::remove_file(ballast).unwrap();
    tracker.wait_for("the disk of the journal takes records again");
    clients.iter_mut().for_each(|client| client.is_steady = false);
    run(&mut clients, place, 500, || {});
    settle(&mut clients, tracker, &*conn);
}

#[test]
fn tracker_without_its_database_does_not_start_and_tells_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |driver: &str, url: &str| {
        let refused = Tracker::try_start(folder.path(), driver, url, &[]).err();
        let (status, said) = refused.expect("it does not start");
        assert_eq!(status.code(), Some(1), "{said}");
        said
    };
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let said = refusal(SQLITE, &file.join("skep.db").display().to_string());
    assert!(said.contains("cannot open the storage (sqlite)"), "{said}");
    let said = refusal("oracle", "oracle://user:hunter2@127.0.0.1/x");
    assert!(said.contains("there is no such driver") && !said.contains("hunter2"), "{said}");
}
