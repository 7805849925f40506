//! Rows made into records, sums and sessions again.
//!
//! Writes nothing.

use std::net::IpAddr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use skep_engine::ledger::{Family, SessionState, Sums, Traffic};
use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, Permille, Target, Torrent,
    TorrentGroupId, TorrentId, TorrentState, User, UserId,
};
use skep_proto::{InfoHash, PeerId};

use super::change::state_word;
use super::{clamped, failed, open};
use crate::driver::{DriverError, Record, Status, Totals};

/// Hands over every record, all as they are at one moment.
pub(super) fn records(
    connection: &mut Connection,
    take: &mut dyn FnMut(Change),
) -> Result<(), DriverError> {
    let moment = connection.transaction().map_err(failed)?;
    let connection = &moment;
    each(connection, "skep_groups", GROUP, |row| group(row).map(Change::PutGroup), take)?;
    each(connection, "skep_users", USER, |row| user(row).map(Change::PutUser), take)?;
    each(connection, "skep_torrents", TORRENT, |row| torrent(row).map(Change::PutTorrent), take)?;
    each(connection, "skep_factors", FACTOR, |row| factor(row).map(Change::PutFactor), take)?;
    each(connection, "skep_clients", CLIENT, |row| client(row).map(Change::PutClient), take)?;
    each(connection, "skep_bans", BAN, |row| ban(row).map(Change::PutBan), take)
}

/// Hands over the sessions that were heard of at or after a time, the latest first.
pub(super) fn sessions(
    connection: &Connection,
    since_unix_secs: u64,
    take: &mut dyn FnMut(Record),
) -> Result<(), DriverError> {
    let sql = format!(
        "SELECT {SESSION} FROM skep_sessions WHERE seen_at >= ?1
            ORDER BY seen_at DESC, user_id, torrent_id, peer_id"
    );
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let rows = statement.query_map([clamped(since_unix_secs)], session).map_err(failed)?;
    for row in rows {
        take(row.map_err(|error| unreadable("skep_sessions", SESSION, error))?);
    }
    Ok(())
}

/// The users who have sessions that were last heard of before a time.
pub(super) fn users_of_old_sessions(
    connection: &Connection,
    before_unix_secs: u64,
) -> Result<Vec<u32>, DriverError> {
    let find = || {
        let sql = "SELECT DISTINCT user_id FROM skep_sessions WHERE seen_at < ?1";
        let mut statement = connection.prepare(sql)?;
        let users = statement.query_map([clamped(before_unix_secs)], |row| row.get(0))?;
        users.collect::<rusqlite::Result<_>>()
    };
    find().map_err(failed)
}

/// Reads a whole table by its key.
fn each<T>(
    connection: &Connection,
    table: &str,
    columns: &str,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
    take: &mut dyn FnMut(T),
) -> Result<(), DriverError> {
    let sql = format!("SELECT {columns} FROM {table} ORDER BY 1, 2");
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    for row in statement.query_map([], read).map_err(failed)? {
        take(row.map_err(|error| unreadable(table, columns, error))?);
    }
    Ok(())
}

/// Names the column that holds something else than it should.
fn unreadable(table: &str, columns: &str, error: rusqlite::Error) -> DriverError {
    let (column, what) = match &error {
        rusqlite::Error::IntegralValueOutOfRange(column, value) => {
            (*column, format!("{value} is out of range"))
        }
        rusqlite::Error::FromSqlConversionFailure(column, _, error) => (*column, error.to_string()),
        rusqlite::Error::InvalidColumnType(column, _, kind) => {
            (*column, format!("{kind} is not what belongs there"))
        }
        _ => return failed(error),
    };
    let column = columns.split(", ").nth(column).unwrap_or_default();
    DriverError::Schema(format!("{table}.{column}: {what}"))
}

const GROUP: &str = "id, name, may_leech, slots, peers_max, upload_permille, download_permille";
fn group(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        id: GroupId(row.get(0)?),
        name: row.get(1)?,
        may_leech: row.get(2)?,
        slots: row.get(3)?,
        peers_max: row.get(4)?,
        upload: Permille(row.get(5)?),
        download: Permille(row.get(6)?),
    })
}

const USER: &str = "id, passkey, group_id, may_leech, hidden, disabled, slots, peers_max, \
    upload_permille, download_permille, key_version";
fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: UserId(row.get(0)?),
        passkey: row.get::<_, Option<_>>(1)?.unwrap_or_default(),
        group: GroupId(row.get(2)?),
        may_leech: row.get(3)?,
        hidden: row.get(4)?,
        disabled: row.get(5)?,
        slots: row.get(6)?,
        peers_max: row.get(7)?,
        upload: Permille(row.get(8)?),
        download: Permille(row.get(9)?),
        key_version: row.get(10)?,
    })
}

const TORRENT: &str = "id, info_hash, name, state, reason, owner_id, group_id, upload_permille, \
    download_permille, key_salt";
fn torrent(row: &Row<'_>) -> rusqlite::Result<Torrent> {
    Ok(Torrent {
        id: TorrentId(row.get(0)?),
        info_hash: InfoHash(row.get(1)?),
        name: row.get(2)?,
        state: row.get::<_, State>(3)?.0,
        reason: row.get(4)?,
        owner: row.get::<_, Option<_>>(5)?.map(UserId),
        group: TorrentGroupId(row.get(6)?),
        upload: Permille(row.get(7)?),
        download: Permille(row.get(8)?),
        key_salt: row.get(9)?,
    })
}

const FACTOR: &str = "id, scope, group_id, user_id, torrent_group_id, torrent_id, \
    upload_permille, download_permille, neutral, starts_at, ends_at, budget_bytes";
fn factor(row: &Row<'_>) -> rusqlite::Result<Factor> {
    let target = match row.get_ref(1)?.as_str()? {
        "group" => Target::Group(GroupId(row.get(2)?)),
        "user" => Target::User(UserId(row.get(3)?)),
        "torrent_group" => Target::TorrentGroup(TorrentGroupId(row.get(4)?)),
        "torrent" => Target::Torrent(TorrentId(row.get(5)?)),
        "token" => Target::Token(UserId(row.get(3)?), TorrentId(row.get(5)?)),
        _ => Target::Site,
    };
    Ok(Factor {
        id: FactorId(row.get(0)?),
        target,
        upload: Permille(row.get(6)?),
        download: Permille(row.get(7)?),
        neutral: row.get(8)?,
        starts_unix_secs: natural(row, 9)?,
        ends_unix_secs: natural(row, 10)?,
        budget_bytes: natural(row, 11)?,
    })
}

const CLIENT: &str = "prefix, allowed";
fn client(row: &Row<'_>) -> rusqlite::Result<Client> {
    Ok(Client { prefix: row.get(0)?, allowed: row.get(1)? })
}

const BAN: &str = "address, prefix_len, reason";
fn ban(row: &Row<'_>) -> rusqlite::Result<Ban> {
    Ok(Ban { address: row.get::<_, Address>(0)?.0, prefix_len: row.get(1)?, reason: row.get(2)? })
}

const SESSION: &str = "user_id, torrent_id, peer_id, peer_key, uploaded_bytes, \
    downloaded_bytes, corrupt_bytes, family, seeds, open, pass_counted, address, port, seen_at";
fn session(row: &Row<'_>) -> rusqlite::Result<Record> {
    let address: Option<Address> = row.get(11)?;
    let port: Option<u16> = row.get(12)?;
    let state = SessionState {
        user: UserId(row.get(0)?),
        torrent: TorrentId(row.get(1)?),
        peer_id: PeerId(row.get(2)?),
        peer_key: row.get(3)?,
        // Counters are what clients say, so all 64 bits of them are kept.
        counters: Traffic {
            uploaded_bytes: row.get::<_, i64>(4)?.cast_unsigned(),
            downloaded_bytes: row.get::<_, i64>(5)?.cast_unsigned(),
        },
        corrupt_bytes: row.get::<_, i64>(6)?.cast_unsigned(),
        family: row.get::<_, Way>(7)?.0,
        seeds: row.get(8)?,
        open: row.get(9)?,
        pass_counted: row.get(10)?,
    };
    let endpoint = address.zip(port).map(|(Address(address), port)| (address, port).into());
    let seen = natural(row, 13)?.unwrap_or_default();
    Ok(Record::of_session(state, seen, endpoint))
}

/// A number that is not below 0.
fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    let out_of_range = |number| rusqlite::Error::IntegralValueOutOfRange(column, number);
    number.map(|number| u64::try_from(number).map_err(|_| out_of_range(number))).transpose()
}

struct State(TorrentState);

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        use TorrentState::{Approved, Banned, Deleted, Pending};
        let word = value.as_str()?;
        let states = [Pending, Approved, Banned, Deleted];
        let state = states.into_iter().find(|state| state_word(*state) == word);
        state.map(Self).ok_or(FromSqlError::InvalidType)
    }
}

struct Address(IpAddr);

impl FromSql for Address {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

struct Way(Family);

impl FromSql for Way {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let family = [Family::Ipv4, Family::Ipv6, Family::Webrtc]
            .into_iter()
            .find(|family| i64::from(*family as u8) == number);
        family.map(Self).ok_or(FromSqlError::OutOfRange(number))
    }
}

/// What was added up; nothing for whom nothing was.
pub(super) fn totals(connection: &Connection, of: Totals) -> rusqlite::Result<Sums> {
    const SUMS: &str = "raw_uploaded_bytes, raw_downloaded_bytes, credited_uploaded_bytes, \
        credited_downloaded_bytes, held_uploaded_bytes, held_downloaded_bytes, \
        settled_uploaded_bytes, settled_downloaded_bytes, corrupt_bytes, seeding_secs, \
        leeching_secs, active_secs, completions";
    let (place, one, other) = match of {
        Totals::User(user) => ("skep_user_totals WHERE user_id = ?1 + ?2", user.0, 0),
        Totals::Torrent(torrent) => {
            ("skep_torrent_totals WHERE torrent_id = ?1 + ?2", torrent.0, 0)
        }
        Totals::Passage(user, torrent) => {
            ("skep_passages WHERE user_id = ?1 AND torrent_id = ?2", user.0, torrent.0)
        }
    };
    let mut statement = connection.prepare_cached(&format!("SELECT {SUMS} FROM {place}"))?;
    let read = |row: &Row<'_>| {
        let number = |column| natural(row, column).map(Option::unwrap_or_default);
        let traffic = |column| {
            let (uploaded_bytes, downloaded_bytes) = (number(column)?, number(column + 1)?);
            Ok::<_, rusqlite::Error>(Traffic { uploaded_bytes, downloaded_bytes })
        };
        Ok(Sums {
            raw: traffic(0)?,
            credited: traffic(2)?,
            held: traffic(4)?,
            settled: traffic(6)?,
            corrupt_bytes: number(8)?,
            seeding_secs: number(9)?,
            leeching_secs: number(10)?,
            active_secs: number(11)?,
            completions: number(12)?,
        })
    };
    Ok(statement.query_row(params![one, other], read).optional()?.unwrap_or_default())
}

/// The tables that somebody who looks is told the size of.
const TABLES: [&str; 10] = [
    "skep_bans",
    "skep_clients",
    "skep_factors",
    "skep_groups",
    "skep_passages",
    "skep_sessions",
    "skep_torrent_totals",
    "skep_torrents",
    "skep_user_totals",
    "skep_users",
];

/// What the file holds; its place is left to the caller.
pub(super) fn status(connection: &Connection) -> rusqlite::Result<Status> {
    let mut status = Status { schema_found: open::version(connection)?, ..Status::default() };
    if status.schema_found == 0 {
        return Ok(status);
    }
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        status.rows.push((table.to_owned(), count.cast_unsigned()));
    }
    let mut statement =
        connection.prepare("SELECT journal, position FROM skep_applied ORDER BY journal")?;
    let rows = statement.query_map([], |row| {
        let journal = u64::from_str_radix(row.get_ref(0)?.as_str()?, 16).unwrap_or_default();
        Ok((journal, natural(row, 1)?.unwrap_or_default()))
    })?;
    status.applied = rows.collect::<Result<_, _>>()?;
    Ok(status)
}
