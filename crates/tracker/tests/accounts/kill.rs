//! The program is killed at random moments under load, over and over, in one folder and one database.
//!
//! In the end every client stops, and what the database has added up for each user is exactly what the
//! client was promised.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use skep::driver::Conn;

use super::client::{Client, Place};
use super::site::{Storage, found, totals};
use super::tracker::Tracker;

/// Clients, one for each user.
pub(crate) const CLIENTS: u32 = 12;

/// Settings that make rare things happen often: segments end, batches are small.
pub(crate) const OFTEN: [&str; 2] =
    ["--journal.segment_bytes=1048576", "--journal.batch_records_max=50"];

pub(crate) fn clients() -> Vec<Client> {
    let client = |user| Client::new(user, fastrand::Rng::with_seed(fastrand::u64(..)));
    (1..=CLIENTS).map(client).collect()
}

/// Lets all clients announce until as many announces were answered, then calls `end`; returns when
/// every client has seen it.
pub(crate) fn run(clients: &mut [Client], place: Place, answers: u64, end: impl FnOnce()) {
    let (answered, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let end = Mutex::new(Some(end));
    std::thread::scope(|scope| {
        for client in clients {
            let (answered, over) = (&answered, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    answered.fetch_add(client.announce(place).into(), Ordering::Relaxed);
                }
            });
        }
        while answered.load(Ordering::Relaxed) < answers {
            std::thread::yield_now();
        }
        let end = end.lock().unwrap().take().unwrap();
        end();
        over.store(true, Ordering::Relaxed);
    });
}

/// Lets every client end its session, stops the tracker, and compares.
pub(crate) fn settle(clients: &mut [Client], tracker: Tracker, conn: &dyn Conn) {
    let place = Place { udp: tracker.udp, http: tracker.http };
    std::thread::scope(|scope| {
        for client in &mut *clients {
            scope.spawn(move || client.finish(place));
        }
    });
    let said = tracker.stop();
    assert!(!said.contains("not all records are applied"), "{said}");
    for (user, client) in (1..).zip(clients) {
        client.check(&totals(conn, user));
    }
}

/// Kills the tracker so many times, and compares what the storage has then.
pub(crate) fn kill_over_and_over(storage: &Storage, folder: &Path, rounds: u32) {
    let conn = storage.open(folder);
    found(&*conn, CLIENTS);
    let mut clients = clients();
    for round in 0..rounds {
        let tracker = Tracker::start(folder, storage.driver, &storage.url, &OFTEN);
        let place = Place { udp: tracker.udp, http: tracker.http };
        let answers = 1 << fastrand::u32(2..11);
        eprintln!("round {round}: killed after {answers} answers");
        run(&mut clients, place, answers, || tracker.kill());
    }
    let tracker = Tracker::start(folder, storage.driver, &storage.url, &OFTEN);
    settle(&mut clients, tracker, &*conn);
    let answers: u64 = clients.iter().map(|client| client.answers).sum();
    eprintln!("{rounds} rounds, {answers} announces answered: all sums are as promised");
}

fn on_sqlite(rounds: u32) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage { driver: "sqlite", url: String::new() };
    kill_over_and_over(&storage, folder.path(), rounds);
}

#[test]
fn killed_tracker_keeps_what_it_promised() {
    on_sqlite(10);
}

#[test]
#[ignore = "takes long"]
fn tracker_killed_two_hundred_times_keeps_what_it_promised() {
    on_sqlite(200);
}
