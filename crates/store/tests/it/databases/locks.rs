//! Locks that others hold: deadlocks, and locks that do not come.
//!
//! The others are clients of the servers' own, told statement by statement.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

use super::*;
use crate::servers::shared;

/// Somebody else who is connected to a database.
struct Client {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn connect(server: &Server, database: &str) -> Self {
        let mut child = server
            .client(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, orders, answers: BufReader::new(answers) }
    }

    /// Has statements run, and does not wait until they did.
    fn send(&mut self, sql: &str) {
        writeln!(self.orders, "{sql}; SELECT 'that was it';").unwrap();
        self.orders.flush().unwrap();
    }

    /// Waits until what was sent was done.
    fn wait(&mut self) {
        let mut line = String::new();
        while !line.contains("that was it") {
            line.clear();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the client has ended");
        }
    }

    fn ask(&mut self, sql: &str) {
        self.send(sql);
        self.wait();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Waits until so many connections to a database wait for locks.
fn wait_for_waiting(server: &Server, database: &str, count: u32) {
    let sql = match server.kind() {
        Kind::Postgres => format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = '{database}' AND wait_event_type = 'Lock'"
        ),
        // What is asked for again within a tenth of a second is answered as before.
        Kind::Mariadb => format!(
            "DO SLEEP(0.15); SELECT COUNT(*) FROM information_schema.innodb_trx \
             JOIN information_schema.processlist ON id = trx_mysql_thread_id \
             WHERE db = '{database}' AND trx_state = 'LOCK WAIT'"
        ),
    };
    wait_for("connections that wait", || {
        let found = server.administer(&sql);
        (found.trim().parse::<u32>().unwrap() >= count).then_some(())
    });
}

fn a_deadlock_is_tried_again_and_costs_no_sums(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let conn = open(&server, &database);
    let records = |bytes| [record(1, 4, bytes), record(1, 5, bytes)];
    conn.apply(&batch(0, records(1))).unwrap();

    let [mut doorkeeper, mut other] = [(); 2].map(|()| Client::connect(&server, &database));
    let lock_torrent = |id| {
        format!("SELECT torrent_id FROM skep_torrent_totals WHERE torrent_id = {id} FOR UPDATE")
    };
    doorkeeper.ask("BEGIN");
    doorkeeper.ask(&lock_torrent(4));
    match kind {
        // Whoever looks finds itself to blame, and the tracker is to be that one.
        Kind::Postgres => other.ask("SET deadlock_timeout = '1h'; BEGIN"),
        // Whoever has written least is to blame.
        Kind::Mariadb => {
            other.ask("CREATE TABLE filling (id int)");
            other.ask("BEGIN; INSERT INTO filling SELECT seq FROM seq_1_to_5000");
        }
    }
    other.ask(&lock_torrent(5));

    let again = batch(2, records(10));
    let result = thread::scope(|scope| {
        let apply = scope.spawn(|| conn.apply(&again));
        // It has locked the user, and waits for the first torrent.
        wait_for_waiting(&server, &database, 1);
        other.send("SELECT user_id FROM skep_user_totals WHERE user_id = 1 FOR UPDATE");
        wait_for_waiting(&server, &database, 2);
        doorkeeper.ask("ROLLBACK");
        apply.join().unwrap()
    });
    let error = result.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("deadlock"), "{error}");
    other.wait();
    other.ask("ROLLBACK");
    assert_eq!(uploads(&*conn, Totals::User(UserId(1))), 2);
    conn.apply(&again).unwrap();
    assert_eq!(uploads(&*conn, Totals::User(UserId(1))), 22);
    assert_eq!(uploads(&*conn, Totals::Torrent(TorrentId(5))), 11);
}

fn a_lock_that_does_not_come_is_tried_again(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let conn = open(&server, &database);
    conn.apply(&batch(0, [record(1, 5, 1)])).unwrap();
    let mut other = Client::connect(&server, &database);
    other.ask("BEGIN");
    other.ask("SELECT user_id FROM skep_user_totals WHERE user_id = 1 FOR UPDATE");
    let next = batch(1, [record(1, 5, 10)]);
    let error = conn.apply(&next).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("lock"), "{error}");
    other.ask("ROLLBACK");
    assert_eq!(uploads(&*conn, Totals::User(UserId(1))), 1);
    conn.apply(&next).unwrap();
    assert_eq!(uploads(&*conn, Totals::User(UserId(1))), 11);
}

on_both! {
    a_deadlock_is_tried_again_and_costs_no_sums
    a_lock_that_does_not_come_is_tried_again
}
