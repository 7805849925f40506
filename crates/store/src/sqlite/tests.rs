//! What holds of SQLite files and of no other storage.
//!
//! What every storage must do is in the battery.

use skep_engine::ledger::{Family, SessionState, Traffic};
use skep_engine::site::{Change, TorrentId, User, UserId};
use skep_proto::PeerId;

use super::*;
use crate::driver::DriverSettings;

fn settings(folder: &tempfile::TempDir) -> DriverSettings {
    let data_dir = folder.path().to_owned();
    DriverSettings { data_dir, migrate: true, ..DriverSettings::default() }
}

/// Makes writes fail at a table that comes after others.
fn break_off(path: &std::path::Path, on: bool) {
    let connection = Connection::open(path.join("skep.db")).unwrap();
    for table in ["skep_applied", "skep_torrents"] {
        let sql = match on {
            true => format!(
                "CREATE TRIGGER broken_{table} BEFORE INSERT ON {table}
                BEGIN SELECT RAISE(ABORT, 'broken'); END"
            ),
            false => format!("DROP TRIGGER broken_{table}"),
        };
        connection.execute_batch(&sql).unwrap();
    }
}

crate::battery!(breaking: {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let path = folder.path().to_owned();
    Subject::new(move || {
        let _kept = &folder;
        Sqlite.open(&settings).unwrap()
    })
    .breaking(move |on| break_off(&path, on))
});

fn record(user: u32, bytes: u64) -> Record {
    let state = SessionState {
        torrent: TorrentId(7),
        user: UserId(user),
        peer_id: PeerId([3; 20]),
        peer_key: 9,
        counters: Traffic { uploaded_bytes: bytes, downloaded_bytes: 0 },
        corrupt_bytes: 0,
        family: Family::Ipv4,
        seeds: true,
        open: true,
        pass_counted: false,
    };
    let mut record = Record::of_session(state, 1000, "192.0.2.1:1".parse().ok());
    record.delta.raw.uploaded_bytes = bytes;
    record
}

#[test]
fn what_was_written_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let user = User { id: UserId(5), passkey: "key".into(), ..User::default() };
    {
        let conn = Sqlite.open(&settings(&folder)).unwrap();
        conn.change(&[Change::PutUser(user.clone())]).unwrap();
        conn.apply(&Batch::new(1, 0, vec![record(5, 10), record(5, 20)])).unwrap();
    }
    let conn = Sqlite.open(&settings(&folder)).unwrap();
    let mut found = Vec::new();
    conn.load(&mut |change| found.push(change)).unwrap();
    assert_eq!(found, [Change::PutUser(user)]);
    assert_eq!(conn.applied(1).unwrap(), Some(2));
    for of in [
        Totals::User(UserId(5)),
        Totals::Torrent(TorrentId(7)),
        Totals::Passage(UserId(5), TorrentId(7)),
    ] {
        assert_eq!(conn.totals(of).unwrap().raw.uploaded_bytes, 30, "{of:?}");
    }
}
