//! PostgreSQL and MariaDB: the drivers against real servers that are killed, locked and misled.
//!
//! How servers are started is in `servers`.

mod battery;
mod faults;
mod lifetime;
mod locks;
mod site;
mod tls;

use skep_engine::ledger::{SessionState, Traffic};
use skep_engine::site::{TorrentId, UserId};
use skep_proto::PeerId;
use skep_store::driver::{Batch, Conn, Driver, DriverError, DriverSettings, Record, Totals};
use skep_store::mysql::Mysql;
use skep_store::postgres::Postgres;

use crate::servers::{Kind, Server, wait_for};

/// Makes a test for each kind of server.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod postgres {
            $(#[test] fn $name() { super::$name(crate::servers::Kind::Postgres); })*
        }
        mod mariadb {
            $(#[test] fn $name() { super::$name(crate::servers::Kind::Mariadb); })*
        }
    };
}
use on_both;

const JOURNAL: u64 = 0xfeed_beef_dead_cafe;

fn driver(kind: Kind) -> &'static dyn Driver {
    match kind {
        Kind::Postgres => &Postgres,
        Kind::Mariadb => &Mysql,
    }
}

fn settings(url: String, names: &[(&str, &str)]) -> DriverSettings {
    let names = names.iter().map(|(key, name)| (key.to_string(), name.to_string())).collect();
    DriverSettings { url, names, migrate: true, ..DriverSettings::default() }
}

/// Opens a database as the server's own user.
fn open(server: &Server, database: &str) -> Box<dyn Conn> {
    driver(server.kind()).open(&settings(server.url(database), &[])).unwrap()
}

/// A record of a user in a torrent who uploaded so many bytes, and downloaded one less.
fn record(user: u32, torrent: u32, bytes: u64) -> Record {
    let mut peer_id = *b"-TS0001-............";
    peer_id[8..12].copy_from_slice(&user.to_be_bytes());
    let state = SessionState {
        torrent: TorrentId(torrent),
        user: UserId(user),
        peer_id: PeerId(peer_id),
        peer_key: 0,
        counters: Traffic::default(),
        corrupt_bytes: 0,
        family: Default::default(),
        seeds: false,
        open: true,
        pass_counted: false,
    };
    let mut record = Record::of_session(state, 1_700_000_000, "192.0.2.1:6881".parse().ok());
    let traffic = Traffic { uploaded_bytes: bytes, downloaded_bytes: bytes.saturating_sub(1) };
    (record.delta.raw, record.delta.credited) = (traffic, traffic);
    record
}

fn batch(from: u64, records: impl Into<Vec<Record>>) -> Batch {
    Batch::new(JOURNAL, from, records.into())
}

fn uploads(conn: &dyn Conn, of: Totals) -> u64 {
    conn.totals(of).unwrap().credited.uploaded_bytes
}

/// Applies a batch however often the storage asks to try again; what was committed while its answer
/// was lost counts as applied.
fn insist(conn: &dyn Conn, batch: &Batch) {
    wait_for("a batch to be applied", || match conn.apply(batch) {
        Ok(()) => Some(()),
        Err(DriverError::OutOfOrder { applied, .. }) if applied == batch.until() => Some(()),
        Err(error) if error.is_transient() => None,
        Err(error) => panic!("{error}"),
    });
}
