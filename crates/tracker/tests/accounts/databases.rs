//! PostgreSQL and MariaDB under the whole program: it is killed, they are, and its connections are.
//!
//! What a driver does then is tested beside it.

use super::client::Place;
use super::kill::{CLIENTS, OFTEN, clients, kill_over_and_over, run, settle};
use super::servers::{Disk, Kind, Server, shared, wait_for};
use super::site::{Storage, found};
use super::tracker::Tracker;

const DURABLE: &str = "skep_journal_position{stage=\"durable\"}";
const APPLIED: &str = "skep_journal_position{stage=\"applied\"}";
const FAILURES: &str = "skep_accounts_apply_failures_total";
const OLDEST: &str = "skep_accounts_oldest_unapplied_seconds";

/// Makes a test for each kind of server.
macro_rules! on_both {
    ($($(#[$mark:meta])* $name:ident: $test:ident($number:expr);)*) => {
        mod postgres {
            $(#[test] $(#[$mark])* fn $name() {
                super::$test(crate::servers::Kind::Postgres, $number);
            })*
        }
        mod mariadb {
            $(#[test] $(#[$mark])* fn $name() {
                super::$test(crate::servers::Kind::Mariadb, $number);
            })*
        }
    };
}

fn storage(server: &Server, database: &str) -> Storage {
    let driver = match server.kind() {
        Kind::Postgres => "postgres",
        Kind::Mariadb => "mysql",
    };
    Storage { driver, url: server.url(database) }
}

fn keeps_what_it_promised(kind: Kind, rounds: u32) {
    let (folder, server) = (tempfile::tempdir().unwrap(), shared(kind));
    kill_over_and_over(&storage(&server, &server.create_database()), folder.path(), rounds);
}

/// Lets clients announce while something happens to the server, and compares what it has in the end.
fn exact_under(server: &Server, settings: &[&str], trouble: impl FnOnce(&mut Tracker, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let database = server.create_database();
    let storage = storage(server, &database);
    let conn = storage.open(folder.path());
    found(&*conn, CLIENTS);
    let mut clients = clients();
    let mut tracker = Tracker::start(folder.path(), storage.driver, &storage.url, settings);
    let place = Place { udp: tracker.udp, http: tracker.http };
    run(&mut clients, place, 500, || trouble(&mut tracker, &database));
    let refusals: u64 = clients.iter().map(|client| client.refusals).sum();
    assert_eq!(refusals, 0, "the journal has room");
    wait_for("the storage to catch up", || {
        (tracker.metric(APPLIED) == tracker.metric(DURABLE)).then_some(())
    });
    settle(&mut clients, tracker, &*conn);
}

fn goes_on_without_a_server(kind: Kind, secs: u64) {
    let server = Server::start(kind, Disk::Fast, &[]);
    exact_under(&server, &[], |tracker, _| {
        server.kill();
        tracker.wait_for("nothing is applied to the storage");
        assert!(tracker.admin("/health").contains("degraded: nothing is applied to the storage"));
        let before = tracker.metric(DURABLE);
        wait_for("records that are old enough", || {
            (tracker.metric(OLDEST) >= secs && tracker.metric(DURABLE) > before + 1000)
                .then_some(())
        });
        server.resume();
        tracker.wait_for("records are applied to the storage again");
        assert!(tracker.admin("/health").ends_with("\r\n\r\nok"));
    });
}

fn is_exact_without_its_connections(kind: Kind, failures: u64) {
    let server = shared(kind);
    exact_under(&server, &OFTEN, |tracker, database| {
        wait_for("batches that fail in the middle", || {
            let applied = tracker.metric(APPLIED);
            wait_for("batches between troubles", || {
                (tracker.metric(APPLIED) > applied).then_some(())
            });
            server.kill_connections(database);
            (tracker.metric(FAILURES) >= failures).then_some(())
        });
    });
}

on_both! {
    killed_tracker_keeps_what_it_promised: keeps_what_it_promised(10);
    #[ignore = "takes long"]
    tracker_killed_two_hundred_times_keeps_what_it_promised: keeps_what_it_promised(200);
    clients_are_answered_and_counted_while_the_server_is_away: goes_on_without_a_server(3);
    #[ignore = "takes long"]
    clients_are_answered_and_counted_without_a_server_for_a_minute: goes_on_without_a_server(60);
    sums_are_exact_when_connections_are_killed_over_and_over: is_exact_without_its_connections(5);
    #[ignore = "takes long"]
    sums_are_exact_after_a_hundred_lost_connections: is_exact_without_its_connections(100);
}
