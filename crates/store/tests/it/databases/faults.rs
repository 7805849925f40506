//! Servers that are killed, silent or closed to the tracker, and what is said about it.
//!
//! Locks are tested elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use skep_engine::ledger::Traffic;

use super::*;
use crate::servers::{Disk, shared};

/// Users, torrents and records of each batch under load.
const USERS: u32 = 40;
const TORRENTS: u32 = 25;
const RECORDS: u32 = 200;

/// Records of a batch of which every number is another one.
fn load(number: u64) -> Batch {
    let one = |at: u32| record(at * 7 % USERS, at % TORRENTS, u64::from(at) + number);
    batch(number * u64::from(RECORDS), (0..RECORDS).map(one).collect::<Vec<_>>())
}

/// Applies batches while something happens to the server, and compares the sums with what was applied.
fn exact_under(server: &Server, database: &str, mut trouble: impl FnMut(usize), rounds: usize) {
    let conn = open(server, database);
    let (applied, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                insist(&*conn, &load(applied.load(Ordering::Relaxed)));
                applied.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..rounds {
            let before = applied.load(Ordering::Relaxed);
            wait_for("batches between troubles", || {
                (applied.load(Ordering::Relaxed) > before + 3).then_some(())
            });
            trouble(round);
        }
        done.store(true, Ordering::Relaxed);
    });
    let batches = applied.into_inner();
    let mut expected = vec![Traffic::default(); USERS as usize];
    for number in 0..batches {
        for (user, sums) in load(number).users() {
            expected[user.0 as usize] = expected[user.0 as usize].plus(sums.credited);
        }
    }
    assert_eq!(conn.applied(JOURNAL).unwrap(), Some(batches * u64::from(RECORDS)));
    for (user, expected) in (0..).zip(expected) {
        let found = conn.totals(Totals::User(UserId(user))).unwrap();
        assert_eq!(found.credited, expected, "user {user} after {batches} batches");
    }
}

fn sums_are_exact_when_the_server_is_killed_over_and_over(kind: Kind) {
    let server = Server::start(kind, Disk::Fast, &[]);
    let database = server.create_database();
    let kill = |_| {
        server.kill();
        server.resume();
    };
    exact_under(&server, &database, kill, 4);
}

fn sums_are_exact_when_connections_are_killed_over_and_over(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let kill = |_| server.kill_connections(&database);
    exact_under(&server, &database, kill, 10);
}

fn a_server_that_is_away_is_unavailable_and_works_again_when_it_is_back(kind: Kind) {
    let server = Server::start(kind, Disk::Fast, &[]);
    let database = server.create_database();
    let conn = open(&server, &database);
    conn.apply(&batch(0, [record(1, 5, 10)])).unwrap();
    server.kill();
    let place = server.folder().display().to_string();
    for error in [
        conn.ping().unwrap_err(),
        conn.apply(&batch(1, [record(1, 5, 10)])).unwrap_err(),
        conn.totals(Totals::User(UserId(1))).unwrap_err(),
        driver(kind).open(&settings(server.url(&database), &[])).err().unwrap(),
    ] {
        assert!(error.is_transient() && error.to_string().contains(&place), "{error}");
    }
    server.resume();
    conn.ping().unwrap();
    conn.apply(&batch(1, [record(1, 5, 10)])).unwrap();
    assert_eq!(uploads(&*conn, Totals::User(UserId(1))), 20);
}

fn a_server_that_is_silent_is_not_waited_for_without_end(kind: Kind) {
    let server = Server::start(kind, Disk::Fast, &[]);
    let database = server.create_database();
    let conn = open(&server, &database);
    server.freeze();
    let error = conn.ping().unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("no answer in"), "{error}");
    server.thaw();
    conn.ping().unwrap();
}

/// Makes a user with a password who may do nothing yet.
fn create_user(server: &Server, name: &str, password: &str) {
    match server.kind() {
        Kind::Postgres => {
            server.administer(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"))
        }
        Kind::Mariadb => {
            let sql = format!("CREATE USER {name}@localhost IDENTIFIED BY '{password}'");
            server.administer(&sql)
        }
    };
}

fn who(kind: Kind, user: &str) -> String {
    match kind {
        Kind::Postgres => user.to_owned(),
        Kind::Mariadb => format!("{user}@localhost"),
    }
}

fn a_wrong_password_is_named_but_not_told(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    create_user(&server, "careless", "correct-horse");
    let open = |login: &str| {
        driver(kind).open(&settings(server.url_of(login, &database), &[])).err().unwrap()
    };
    let error = open("careless:battery-staple");
    assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("careless") && !text.contains("battery"), "{text}");
    let error = driver(kind).open(&settings("http://u:hunter2@h:x1/d".into(), &[])).err().unwrap();
    assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

fn a_database_that_is_not_there_is_named(kind: Kind) {
    let server = shared(kind);
    let error = driver(kind).open(&settings(server.url("nowhere"), &[])).err().unwrap();
    assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

fn rights_that_are_missing_are_named_by_their_table(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let own = open(&server, &database);
    create_user(&server, "reader", "r");
    let user = who(kind, "reader");
    let tables = [
        "skep_meta",
        "skep_groups",
        "skep_users",
        "skep_torrents",
        "skep_factors",
        "skep_clients",
        "skep_sessions",
        "skep_applied",
    ];
    for table in tables {
        server.sql(&database, &format!("GRANT SELECT ON {table} TO {user}"));
    }
    let mut limited = settings(server.url_of("reader:r", &database), &[]);
    limited.migrate = false;
    let error = driver(kind).open(&limited).err().unwrap();
    assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("skep_bans"), "{error}");
    server.sql(&database, &format!("GRANT SELECT ON skep_bans TO {user}"));
    let conn = driver(kind).open(&limited).unwrap();
    conn.load(&mut |_| {}).unwrap();
    let error = conn.apply(&batch(0, [record(1, 5, 10)])).unwrap_err();
    assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("skep_applied"), "{error}");
    assert_eq!(own.applied(JOURNAL).unwrap(), None);
}

fn a_table_or_column_that_is_gone_is_named(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let conn = open(&server, &database);
    server.sql(&database, "ALTER TABLE skep_user_totals DROP COLUMN active_secs");
    let error = conn.apply(&batch(0, [record(1, 5, 10)])).unwrap_err();
    assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
    assert!(error.to_string().contains("active_secs"), "{error}");
    server.sql(&database, "DROP TABLE skep_clients");
    let reopened = || driver(kind).open(&settings(server.url(&database), &[])).err().unwrap();
    for error in [conn.load(&mut |_| {}).unwrap_err(), reopened()] {
        assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
        assert!(error.to_string().contains("skep_clients"), "{error}");
    }
    server.sql(&database, "ALTER TABLE skep_users RENAME COLUMN hidden TO covert");
    let error = reopened().to_string();
    assert!(error.contains("skep_users") && error.contains("hidden"), "{error}");
}

fn without_tables_it_is_said_what_to_do(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let mut settings = settings(server.url(&database), &[]);
    settings.migrate = false;
    let error = driver(kind).open(&settings).err().unwrap();
    assert!(error.to_string().contains("skep db migrate"), "{error}");
    let status = driver(kind).status(&settings).unwrap();
    assert_eq!((status.schema_found, status.rows.len()), (0, 0));
    let conn = open(&server, &database);
    conn.apply(&batch(0, [record(1, 5, 10), record(2, 5, 10)])).unwrap();
    let status = driver(kind).status(&settings).unwrap();
    assert_eq!((status.schema_found, status.applied), (1, vec![(JOURNAL, 2)]));
    assert!(status.rows.contains(&("skep_user_totals".to_owned(), 2)), "{:?}", status.rows);
}

fn a_server_that_is_only_read_from_is_tried_again(kind: Kind) {
    let server = Server::start(kind, Disk::Fast, &[]);
    let database = server.create_database();
    let own = open(&server, &database);
    create_user(&server, "writer", "w");
    let user = who(kind, "writer");
    let all = match kind {
        Kind::Postgres => format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}"),
        Kind::Mariadb => format!("GRANT ALL ON {database}.* TO {user}"),
    };
    server.sql(&database, &all);
    let mut settings = settings(server.url_of("writer:w", &database), &[]);
    settings.migrate = false;
    let only_read = |on: bool| match kind {
        Kind::Postgres => {
            let on = if on { "on" } else { "off" };
            let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {on}");
            server.administer(&sql);
            server.administer("SELECT pg_reload_conf()");
        }
        Kind::Mariadb => {
            server.administer(&format!("SET GLOBAL read_only = {}", u8::from(on)));
        }
    };
    only_read(true);
    let variable = match kind {
        Kind::Postgres => "SHOW default_transaction_read_only",
        Kind::Mariadb => "SELECT @@global.read_only",
    };
    wait_for("the setting", || {
        let value = server.administer(variable);
        ["on\n", "1\n"].contains(&value.as_str()).then_some(())
    });
    let next = batch(0, [record(1, 5, 10)]);
    let error = driver(kind).open(&settings).unwrap().apply(&next).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("read"), "{error}");
    only_read(false);
    insist(&*driver(kind).open(&settings).unwrap(), &next);
    assert_eq!(uploads(&*own, Totals::User(UserId(1))), 10);
}

on_both! {
    sums_are_exact_when_the_server_is_killed_over_and_over
    sums_are_exact_when_connections_are_killed_over_and_over
    a_server_that_is_away_is_unavailable_and_works_again_when_it_is_back
    a_server_that_is_silent_is_not_waited_for_without_end
    a_wrong_password_is_named_but_not_told
    a_database_that_is_not_there_is_named
    rights_that_are_missing_are_named_by_their_table
    a_table_or_column_that_is_gone_is_named
    without_tables_it_is_said_what_to_do
    a_server_that_is_only_read_from_is_tried_again
}
