//! Tables of a site's own, by the names that the site has for them.
//!
//! The tables are as such sites have them; what is in them is made up.

use std::collections::BTreeMap;

use skep_engine::site::{Change, GroupId, Torrent, TorrentState, User};
use skep_proto::InfoHash;

use super::*;
use crate::servers::shared;

/// The torrents of a tracker in PHP, column by column as its installation makes them.
const OF_PHP_TRACKER: &str = "
    CREATE TABLE torrents (
        tid int(1) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
        infohash binary(20) NOT NULL UNIQUE KEY,
        name varchar(255) COLLATE utf8_unicode_ci NOT NULL,
        downloaded int(1) unsigned NOT NULL DEFAULT '0',
        banned bit(1) NOT NULL DEFAULT b'0',
        added timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
        updated timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
        KEY banned (banned),
        FULLTEXT KEY name (name)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8 COLLATE = utf8_unicode_ci";

/// Everything that a database has, by number.
fn loaded(conn: &dyn Conn) -> (BTreeMap<u32, User>, BTreeMap<u32, Torrent>) {
    let (mut users, mut torrents) = (BTreeMap::new(), BTreeMap::new());
    conn.load(&mut |change| {
        match change {
            Change::PutUser(user) => drop(users.insert(user.id.0, user)),
            Change::PutTorrent(torrent) => drop(torrents.insert(torrent.id.0, torrent)),
            _ => {}
        };
    })
    .unwrap();
    (users, torrents)
}

fn open_with(
    server: &Server,
    database: &str,
    names: &[(&str, &str)],
) -> Result<Box<dyn Conn>, DriverError> {
    driver(server.kind()).open(&settings(server.url(database), names))
}

#[test]
fn the_torrents_of_a_php_tracker_are_served_and_counted_in_its_own_table() {
    let server = shared(Kind::Mariadb);
    let database = server.create_database();
    server.sql(&database, OF_PHP_TRACKER);
    server.sql(
        &database,
        "INSERT INTO torrents (infohash, name, downloaded, banned) VALUES \
         (UNHEX('000102030405060708090a0b0c0d0e0f10111200'), 'Some film', 7, b'0'), \
         (UNHEX('ff0102030405060708090a0b0c0d0e0f10111213'), 'Another one', 0, b'1')",
    );
    let names = [
        ("torrents", "torrents"),
        ("torrents.id", "tid"),
        ("torrents.info_hash", "infohash"),
        ("torrents.name", "name"),
        ("torrents.banned", "banned"),
        ("torrents.completions", "downloaded"),
    ];
    let conn = open_with(&server, &database, &names).unwrap();
    let (_, torrents) = loaded(&*conn);
    let hash = |first, last| {
        let mut hash = [0; 20];
        hash.iter_mut().zip(0..).for_each(|(byte, at)| *byte = at);
        (hash[0], hash[19]) = (first, last);
        InfoHash(hash)
    };
    let torrent = |id, info_hash, name: &str, state| Torrent {
        id: TorrentId(id),
        info_hash,
        name: Some(name.into()),
        state,
        ..Torrent::default()
    };
    let expected = [
        torrent(1, hash(0, 0), "Some film", TorrentState::Approved),
        torrent(2, hash(255, 19), "Another one", TorrentState::Banned),
    ];
    assert_eq!(torrents.into_values().collect::<Vec<_>>(), expected);

    let mut finished = record(1, 1, 10);
    finished.delta.completed = true;
    conn.apply(&batch(0, [finished, finished, record(1, 2, 10)])).unwrap();
    let rows = server.sql(&database, "SELECT tid, downloaded, banned + 0 FROM torrents");
    assert_eq!(rows, "1\t9\t0\n2\t0\t1\n");
    // It is seen at the next look.
    server.sql(&database, "UPDATE torrents SET banned = b'1' WHERE tid = 1");
    assert_eq!(loaded(&*conn).1[&1].state, TorrentState::Banned);
}

fn create_site(server: &Server, database: &str) {
    let sql = match server.kind() {
        Kind::Postgres => {
            "CREATE SCHEMA site; \
             CREATE TABLE site.users_main (\"ID\" serial PRIMARY KEY, \"Email\" text NOT NULL, \
                torrent_pass char(40) NOT NULL, class integer, blocked boolean, \
                \"Uploaded\" bigint NOT NULL DEFAULT 0, \"Downloaded\" integer, \
                \"Seeded\" numeric(20) NOT NULL DEFAULT 0)"
        }
        Kind::Mariadb => {
            "CREATE TABLE users_main (ID int(10) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, \
                Email varchar(255) NOT NULL, torrent_pass char(32) NOT NULL, class int, \
                blocked enum('yes', 'no'), Uploaded bigint(20) unsigned NOT NULL DEFAULT 0, \
                Downloaded int(11), Seeded bigint NOT NULL DEFAULT 0) DEFAULT CHARSET = latin1"
        }
    };
    server.sql(database, sql);
    let rows = match server.kind() {
        Kind::Postgres => {
            "INSERT INTO site.users_main VALUES (1, 'a', 'aaaa', 5, true, 100, 2147483640), \
             (2, 'b', 'bbbb', NULL, NULL, 0, NULL), (3, 'c', '', 0, false, 1, 1)"
        }
        Kind::Mariadb => {
            "INSERT INTO users_main VALUES (1, 'a', 'aaaa', 5, 'yes', 100, 2147483640, 0), \
             (2, 'b', 'bbbb', NULL, NULL, 0, NULL, 0), (3, 'c', '', 0, 'no', 1, 1, 0)"
        }
    };
    server.sql(database, rows);
}

fn of_users(kind: Kind) -> [(&'static str, &'static str); 8] {
    let table = if kind == Kind::Postgres { "site.users_main" } else { "users_main" };
    [
        ("users", table),
        ("users.id", "ID"),
        ("users.passkey", "torrent_pass"),
        ("users.group_id", "class"),
        ("users.disabled", "blocked"),
        ("users.credited_uploaded_bytes", "Uploaded"),
        ("users.credited_downloaded_bytes", "Downloaded"),
        ("users.seeding_secs", "Seeded"),
    ]
}

fn users_of_a_site_are_read_and_their_sums_added_to_its_own_columns(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    create_site(&server, &database);
    let conn = open_with(&server, &database, &of_users(kind)).unwrap();
    let (users, _) = loaded(&*conn);
    let user = |id, passkey: &str, group, disabled| User {
        id: UserId(id),
        passkey: passkey.into(),
        group: GroupId(group),
        disabled,
        ..User::default()
    };
    let expected = [user(1, "aaaa", 5, true), user(2, "bbbb", 0, false), user(3, "", 0, false)];
    for (found, expected) in users.into_values().zip(expected) {
        assert!(found == expected, "{found:?} with passkey {:?}", found.passkey);
    }

    let table = of_users(kind)[0].1;
    let id = if kind == Kind::Postgres { "\"ID\"" } else { "ID" };
    let rows = || server.sql(&database, &format!("SELECT * FROM {table} ORDER BY {id}"));
    let mut seeding = record(2, 5, 50);
    seeding.delta.seeding_secs = 3600;
    // Nobody has the number 9 any more.
    conn.apply(&batch(0, [record(1, 5, 30), seeding, record(9, 5, 70)])).unwrap();
    let lines = rows();
    let cells: Vec<Vec<_>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(cells.len(), 3, "rows were made: {lines}");
    assert_eq!(cells[0][5..], ["130", "2147483647", "0"], "a column stays at its greatest number");
    assert_eq!(cells[1][5..], ["50", "49", "3600"], "NULL is nothing");
    assert_eq!(cells[2][5..], ["1", "1", "0"]);
    assert_eq!(uploads(&*conn, Totals::User(UserId(9))), 70);
    // What was applied before changes nothing here either.
    conn.apply(&batch(0, [record(1, 5, 30)])).unwrap_err();
    assert_eq!(rows(), lines);
}

fn tables_of_a_site_are_neither_made_nor_changed_by_the_tracker(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let names = of_users(kind);
    let error = open_with(&server, &database, &names).err().unwrap();
    assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
    assert!(error.to_string().contains(names[0].1), "{error}");
    create_site(&server, &database);
    let missing = [("users", names[0].1), ("users.id", "ID"), ("users.passkey", "passkey_2")];
    let error = open_with(&server, &database, &missing).err().unwrap().to_string();
    assert!(error.contains(names[0].1) && error.contains("passkey_2"), "{error}");

    let conn = open_with(&server, &database, &names).unwrap();
    for change in [Change::RemoveUser(UserId(1)), Change::PutUser(User::default())] {
        let error = conn.change(&[change]).unwrap_err();
        assert!(matches!(error, DriverError::NotOurs(_)), "{error:?}");
        assert!(error.to_string().contains("users_main"), "{error}");
    }
    conn.change(&[Change::PutTorrent(Torrent::default())]).unwrap();
    assert_eq!(loaded(&*conn).0.len(), 3);
}

fn info_hashes_are_read_from_columns_of_any_type(kind: Kind) {
    let server = shared(kind);
    let digits = "00a1b2c3d4e5f60718293a4b5c6d7e8f90aAbB20";
    let bytes = match kind {
        Kind::Postgres => format!("decode('{digits}', 'hex')"),
        Kind::Mariadb => format!("UNHEX('{digits}')"),
    };
    let text = format!("'{digits}'");
    let kinds = match kind {
        Kind::Postgres => vec![("bytea", &bytes), ("text", &text), ("char(40)", &text)],
        Kind::Mariadb => vec![
            ("binary(20)", &bytes),
            ("varbinary(20)", &bytes),
            ("blob", &bytes),
            ("char(40)", &text),
            ("varchar(64)", &text),
        ],
    };
    for (of, value) in kinds {
        let database = server.create_database();
        server.sql(
            &database,
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, h {of}); \
                 INSERT INTO t VALUES (1, {value}), (2, NULL)"
            ),
        );
        let names = [("torrents", "t"), ("torrents.info_hash", "h")];
        let conn = open_with(&server, &database, &names).unwrap();
        let (_, torrents) = loaded(&*conn);
        assert_eq!(torrents.len(), 1, "a torrent without info hash is not there: {of}");
        let found = torrents[&1].info_hash.0;
        assert_eq!((found[0], found[1], found[18], found[19]), (0, 0xa1, 0xbb, 0x20), "{of}");
        if of == "binary(20)" {
            // It holds nothing else.
            continue;
        }
        let bad = if *value == bytes { "'abc'" } else { "'zz'" };
        server.sql(&database, &format!("INSERT INTO t VALUES (77, {bad})"));
        let error = conn.load(&mut |_| {}).unwrap_err();
        assert!(matches!(error, DriverError::Schema(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("row 77") && text.contains("20 bytes"), "{of}: {text}");
    }
}

/// The blocks of a language in a chapter of the guide.
fn blocks(chapter: &str, language: &str) -> Vec<String> {
    let page = include_str!("../../../../../docs/guide/database.md");
    let chapter = page.split("\n## ").find(|part| part.starts_with(chapter)).unwrap();
    let (begin, end) = (format!("```{language}\n"), "\n```");
    let parts = chapter.split(begin.as_str()).skip(1);
    parts.map(|part| part.split(end).next().unwrap().to_owned()).collect()
}

/// The statements of the guide make a user who may do all that the tracker does with the names of the
/// guide, and can do nothing else to the site's tables.
fn the_guide_can_be_followed(kind: Kind) {
    let server = shared(kind);
    let (chapter, database, site, login) = match kind {
        Kind::Postgres => {
            let site = "CREATE TABLE members (id serial PRIMARY KEY, email text NOT NULL, \
                    passkey text NOT NULL, is_disabled boolean NOT NULL, \
                    uploaded bigint NOT NULL, downloaded bigint NOT NULL); \
                CREATE TABLE torrents (id serial PRIMARY KEY, info_hash bytea NOT NULL, \
                    title text NOT NULL, times_completed integer NOT NULL); \
                INSERT INTO members VALUES (7, 'a@b.example', 'pk', true, 1, 2); \
                INSERT INTO torrents VALUES (9, decode(repeat('ab', 20), 'hex'), 'T', 3)";
            ("PostgreSQL", "site", site, "skep:change-me@localhost/site")
        }
        Kind::Mariadb => {
            let site = "CREATE TABLE users_main (ID int unsigned PRIMARY KEY, \
                    Email varchar(255) NOT NULL, torrent_pass char(32) NOT NULL, \
                    Enabled enum('0', '1', '2') NOT NULL, Uploaded bigint unsigned NOT NULL, \
                    Downloaded bigint unsigned NOT NULL); \
                CREATE TABLE torrents (ID int PRIMARY KEY, info_hash blob NOT NULL, \
                    Name varchar(300), Snatched int unsigned NOT NULL); \
                INSERT INTO users_main VALUES (7, 'a@b.example', 'pk', '2', 1, 2); \
                INSERT INTO torrents VALUES (9, UNHEX(REPEAT('ab', 20)), 'T', 3)";
            ("MariaDB", "skep", site, "skep:change-me@localhost/skep")
        }
    };
    server.administer("CREATE DATABASE site");
    server.sql("site", site);
    for sql in blocks(chapter, "sql") {
        server.sql("site", &sql);
    }
    let [toml] = &blocks(chapter, "toml")[..] else { panic!("one configuration") };
    assert!(toml.contains(login), "{toml}");
    let names: Vec<_> = toml
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\",")?.split_once('='))
        .collect();
    assert!(names.len() > 5, "{names:?}");

    let url = server.url_of("skep:change-me", database);
    let conn = driver(kind).open(&settings(url, &names)).unwrap();
    let (users, torrents) = loaded(&*conn);
    assert!(users[&7].disabled && &*users[&7].passkey == "pk");
    assert_eq!(torrents[&9].info_hash, InfoHash([0xab; 20]));
    assert_eq!(torrents[&9].name.as_deref(), Some("T"));
    let mut finished = record(7, 9, 100);
    finished.delta.completed = true;
    conn.apply(&batch(0, [finished])).unwrap();
    conn.forget_sessions(u64::MAX).unwrap();
    let (table, counted) = match kind {
        Kind::Postgres => ("members", "uploaded, downloaded FROM members"),
        Kind::Mariadb => ("users_main", "Uploaded, Downloaded FROM users_main"),
    };
    assert_eq!(server.sql("site", &format!("SELECT {counted}")), "101\t101\n");
    let completed = if kind == Kind::Postgres { "times_completed" } else { "Snatched" };
    assert_eq!(server.sql("site", &format!("SELECT {completed} FROM torrents")), "4\n");

    let mut client = server.client_of("skep", "change-me", "site");
    let flag = if kind == Kind::Postgres { "-c" } else { "-e" };
    let column = if kind == Kind::Postgres { "passkey" } else { "torrent_pass" };
    let table = if kind == Kind::Postgres { format!("public.{table}") } else { table.to_owned() };
    let sql = format!("UPDATE {table} SET {column} = 'stolen'");
    let output = client.args([flag, &sql]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("denied"), "{text}");
}

fn columns_below_0_are_added_to(kind: Kind) {
    let server = shared(kind);
    let database = server.create_database();
    let types = ["smallint", "integer", "bigint"];
    for (number, of) in types.iter().enumerate() {
        let table = format!("members_{number}");
        server.sql(
            &database,
            &format!(
                "CREATE TABLE {table} (id integer PRIMARY KEY, pass varchar(40), up {of}); \
                 INSERT INTO {table} VALUES (1, 'a', -5), (2, 'b', -5)"
            ),
        );
        let names = [
            ("users", table.as_str()),
            ("users.id", "id"),
            ("users.passkey", "pass"),
            ("users.raw_uploaded_bytes", "up"),
        ];
        let conn = open_with(&server, &database, &names).unwrap();
        let from = 2 * number as u64;
        conn.apply(&batch(from, [record(1, 5, 3), record(2, 5, 20)])).unwrap();
        let rows = server.sql(&database, &format!("SELECT id, up FROM {table} ORDER BY id"));
        assert_eq!(rows, "1\t-2\n2\t15\n", "{of}");
    }
}

#[test]
fn a_batch_is_on_the_disk_of_the_server_whatever_its_default_is() {
    let server = shared(Kind::Postgres);
    let database = server.create_database();
    drop(open(&server, &database));
    server.sql(&database, &format!("ALTER DATABASE {database} SET synchronous_commit = off"));
    server.sql(
        &database,
        "CREATE FUNCTION must_be_durable() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF current_setting(''synchronous_commit'') = ''off'' THEN \
            RAISE EXCEPTION ''it is not durable''; END IF; RETURN NEW; END'; \
         CREATE TRIGGER durable BEFORE INSERT ON skep_applied \
            FOR EACH ROW EXECUTE FUNCTION must_be_durable()",
    );
    open(&server, &database).apply(&batch(0, [record(1, 5, 10)])).unwrap();
}

on_both! {
    columns_below_0_are_added_to
    the_guide_can_be_followed
    users_of_a_site_are_read_and_their_sums_added_to_its_own_columns
    tables_of_a_site_are_neither_made_nor_changed_by_the_tracker
    info_hashes_are_read_from_columns_of_any_type
}
