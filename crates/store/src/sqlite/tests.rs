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

/// Another process' hold on the file, as SQLite sees it: that of another connection.
fn other(folder: &tempfile::TempDir) -> Connection {
    Connection::open(folder.path().join("skep.db")).unwrap()
}

fn refusal(settings: &DriverSettings) -> DriverError {
    match Sqlite.open(settings) {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn what_is_confirmed_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open::writer(&folder.path().join("new/skep.db"), true).unwrap();
    let ask = |pragma| -> String {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        format!("{:?}", writer.pragma_query_value(None, pragma, read).unwrap())
    };
    assert_eq!(ask("journal_mode"), "Text(\"wal\")");
    for (pragma, value) in [("synchronous", 2), ("fullfsync", 1), ("checkpoint_fullfsync", 1)] {
        assert_eq!(ask(pragma), format!("Integer({value})"), "{pragma}");
    }
}

/// First and last seen, completed, bytes left.
type Columns = (i64, i64, Option<i64>, Option<i64>);

#[test]
fn a_passage_keeps_its_times_and_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let conn = Sqlite.open(&settings(&folder)).unwrap();
    let at = |at_unix_secs, left_bytes, completed| {
        let mut record = Record { at_unix_secs, ..record(5, 1) };
        (record.delta.left_bytes, record.delta.completed) = (left_bytes, completed);
        record
    };
    let most = Some(u64::MAX);
    let read = || -> Columns {
        let sql = "SELECT first_seen_at, last_seen_at, completed_at, left_bytes FROM skep_passages";
        let read = |row: &rusqlite::Row<'_>| row.try_into();
        other(&folder).query_row(sql, [], read).unwrap()
    };
    conn.apply(&Batch::new(1, 0, vec![at(10, None, false), at(20, most, false)])).unwrap();
    assert_eq!(read(), (10, 20, None, Some(i64::MAX)));
    conn.apply(&Batch::new(1, 2, vec![at(30, Some(0), true), at(40, None, false)])).unwrap();
    assert_eq!(read(), (10, 40, Some(30), Some(0)));
    // The clock went back.
    conn.apply(&Batch::new(1, 4, vec![at(5, Some(7), false)])).unwrap();
    assert_eq!(read(), (5, 40, Some(30), Some(7)));
}

#[test]
fn a_lock_of_another_process_is_waited_for_and_then_told() {
    let folder = tempfile::tempdir().unwrap();
    let conn = Sqlite.open(&settings(&folder)).unwrap();
    let mut other = other(&folder);
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let batch = Batch::new(1, 0, vec![record(5, 10)]);
    let error = conn.apply(&batch).unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("locked"), "{error}");
    conn.load(&mut |_| {}).unwrap();
    assert_eq!(conn.totals(Totals::User(UserId(5))).unwrap(), Sums::default());
    lock.commit().unwrap();
    conn.apply(&batch).unwrap();
    drop(conn);

    other.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    other.execute_batch("BEGIN EXCLUSIVE; DELETE FROM skep_bans; COMMIT").unwrap();
    let error = refusal(&settings(&folder));
    assert!(error.is_transient() && error.to_string().contains("locked by another"), "{error}");
}

#[test]
fn a_file_that_cannot_be_made_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    // A folder in which nobody may make a file, not even root.
    #[cfg(target_os = "linux")]
    let closed = ["/proc/self", "file"];
    #[cfg(not(target_os = "linux"))]
    let closed = ["file"];
    for name in closed {
        let data_dir = folder.path().join(name);
        let error = refusal(&DriverSettings { data_dir, ..settings(&folder) });
        assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = refusal(&DriverSettings { migrate: false, ..settings(&folder) });
    assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
    assert!(!folder.path().join("skep.db").exists(), "it was made all the same");
}

#[test]
fn names_of_tables_of_a_site_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("users".to_owned(), "members".to_owned())].into();
    let error = refusal(&DriverSettings { names, ..settings(&folder) });
    assert!(matches!(error, DriverError::Settings(_)), "{error:?}");
    assert!(error.to_string().contains("storage.names"), "{error}");
    assert!(!folder.path().join("skep.db").exists(), "it was made all the same");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.db");
    let text = "this is no database, but somebody wants to keep it. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = refusal(&settings(&folder));
    assert!(matches!(error, DriverError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("skep.db is not an SQLite database"), "{error}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn damage_is_told_and_never_taken_for_records() {
    let folder = tempfile::tempdir().unwrap();
    {
        let conn = Sqlite.open(&settings(&folder)).unwrap();
        let user =
            |id| User { id: UserId(id), passkey: format!("{id:064}").into(), ..User::default() };
        let users: Vec<_> = (0..2000).map(|id| Change::PutUser(user(id))).collect();
        conn.change(&users).unwrap();
    }
    let path = folder.path().join("skep.db");
    assert!(!path.with_extension("db-wal").exists(), "the log is left behind");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let conn = Sqlite.open(&settings(&folder)).unwrap();
    let error = conn.load(&mut |_| {}).unwrap_err();
    assert!(matches!(error, DriverError::Damaged(_)), "{error:?}");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Sqlite.open(&settings(&folder)).unwrap());
    let newer = schema::known(schema::SQLITE) + 1;
    let sql = "INSERT INTO skep_meta (version, step, taken_at) VALUES (?1, 'of tomorrow', 0)";
    other(&folder).execute(sql, [newer]).unwrap();
    for migrate in [true, false] {
        let error = refusal(&DriverSettings { migrate, ..settings(&folder) });
        assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
        assert!(error.to_string().contains("newer skep"), "{error}");
    }
    let status = Sqlite.status(&settings(&folder)).unwrap();
    assert_eq!(status.schema_found, newer);
}

#[test]
fn a_database_without_tables_is_migrated_only_if_wanted() {
    let folder = tempfile::tempdir().unwrap();
    other(&folder).execute_batch("CREATE TABLE of_the_site (a)").unwrap();
    let error = refusal(&DriverSettings { migrate: false, ..settings(&folder) });
    assert!(error.to_string().contains("skep db migrate"), "{error}");
    assert_eq!(Sqlite.status(&settings(&folder)).unwrap().schema_found, 0);
    drop(Sqlite.open(&settings(&folder)).unwrap());
    drop(Sqlite.open(&DriverSettings { migrate: false, ..settings(&folder) }).unwrap());
    let status = Sqlite.status(&settings(&folder)).unwrap();
    assert_eq!(status.schema_found, schema::known(schema::SQLITE));
}

#[test]
fn two_that_migrate_at_once_both_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    std::thread::scope(|scope| {
        let open = || Sqlite.open(&settings).map(drop);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
}

#[test]
fn a_column_that_holds_something_else_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let conn = Sqlite.open(&settings(&folder)).unwrap();
    let user = User { id: UserId(5), passkey: "secret".into(), ..User::default() };
    conn.change(&[Change::PutUser(user)]).unwrap();
    for (sql, text) in [
        ("UPDATE skep_users SET slots = -1", "skep_users.slots: -1 is out of range"),
        ("UPDATE skep_users SET slots = NULL", ""),
        ("INSERT INTO skep_bans (address, prefix_len) VALUES ('home', 8)", "skep_bans.address"),
    ] {
        other(&folder).execute_batch(sql).unwrap();
        let result = conn.load(&mut |_| {});
        let told = result.as_ref().map_or_else(ToString::to_string, |()| String::new());
        assert!(result.is_ok() == text.is_empty() && told.contains(text), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn the_url_is_a_path_seen_from_the_folder() {
    let path = |url: &str| {
        let data_dir = PathBuf::from("/var/lib/skep");
        open::path(&DriverSettings { url: url.into(), data_dir, ..DriverSettings::default() })
    };
    for (url, expected) in [
        ("", "/var/lib/skep/skep.db"),
        ("sqlite:", "/var/lib/skep/skep.db"),
        ("site.db", "/var/lib/skep/site.db"),
        ("sqlite:site.db", "/var/lib/skep/site.db"),
        ("sqlite://site.db", "/var/lib/skep/site.db"),
        ("/srv/a b.db", "/srv/a b.db"),
        ("sqlite:///srv/site.db", "/srv/site.db"),
    ] {
        assert_eq!(path(url).unwrap(), PathBuf::from(expected), "{url}");
    }
    for url in [":memory:", "sqlite::memory:", "file:skep.db?mode=memory", "mysql://user@host/db"] {
        assert!(matches!(path(url), Err(DriverError::Settings(_))), "{url}");
    }
}

#[test]
fn the_status_tells_rows_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let status = Sqlite.status(&settings(&folder)).unwrap();
    assert_eq!((status.schema_found, status.rows.len()), (0, 0));
    assert!(!folder.path().join("skep.db").exists(), "looking made it");
    let conn = Sqlite.open(&settings(&folder)).unwrap();
    conn.apply(&Batch::new(u64::MAX, 7, vec![record(5, 10), record(6, 10)])).unwrap();
    let status = Sqlite.status(&settings(&folder)).unwrap();
    assert_eq!(status.applied, [(u64::MAX, 9)]);
    assert!(status.rows.contains(&("skep_sessions".to_owned(), 2)), "{:?}", status.rows);
    assert!(status.rows.contains(&("skep_torrent_totals".to_owned(), 1)), "{:?}", status.rows);
    assert!(status.place.ends_with("skep.db"), "{}", status.place);
}
