//! Changes of what the site tells, as rows, and sessions that are forgotten.
//!
//! Whether a change makes sense was decided before; here it is written or refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use skep_engine::site::{Change, Factor, Target};

use super::bulk::{Bulk, Column, Merge, Values};
use super::records::{BANS, CLIENTS, FACTORS, GROUPS, TORRENTS, Table, USERS, state_word};
use super::tables::Sources;
use super::{Fault, Server, Value};
use crate::driver::DriverError;

/// Rows that are written at once.
pub(super) const ROWS_MAX: usize = 1000;
/// Users whose sessions are looked through at once.
const USERS_MAX: usize = 500;

/// One cell of a record.
#[derive(Debug, Clone)]
enum Cell<'a> {
    Number(Option<u64>),
    Flag(bool),
    Text(Option<Cow<'a, str>>),
    Bytes(&'a [u8]),
}

/// Refuses changes of records that the site keeps in tables of its own.
pub(super) fn refuse_of_site(sources: &Sources, changes: &[Change]) -> Result<(), DriverError> {
    for change in changes {
        let source = match change {
            Change::PutUser(_) | Change::RemoveUser(_) => &sources.users,
            Change::PutTorrent(_) | Change::RemoveTorrent(_) => &sources.torrents,
            _ => continue,
        };
        if source.of_site {
            let text = format!("the table {} is the site's own and is changed there", source.name);
            return Err(DriverError::NotOurs(text));
        }
    }
    Ok(())
}

/// Writes changes, all or none, so many rows at once.
pub(super) async fn write<S: Server>(
    server: &mut S,
    changes: &[Change],
    rows_max: usize,
) -> Result<(), Fault> {
    server.script(S::BEGIN).await?;
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let same =
            |change: &&Change| std::mem::discriminant(*change) == std::mem::discriminant(first);
        let count = rest.iter().take(rows_max).take_while(same).count();
        let (now, later) = rest.split_at(count);
        put(server, now).await?;
        for change in now {
            remove(server, change).await?;
        }
        rest = later;
    }
    Ok(server.script("COMMIT").await?)
}

/// Writes the records of changes that are all of one kind; of those with the same key, the last.
async fn put<S: Server>(server: &mut S, changes: &[Change]) -> Result<(), Fault> {
    let mut rows = BTreeMap::new();
    let mut table = None;
    for change in changes {
        if let Some((of, key, cells)) = row(change) {
            table = Some(of);
            rows.insert(key, cells);
        }
    }
    let Some(table) = table else { return Ok(()) };
    let mut bulk = bulk::<S>(table, rows.into_values().collect());
    let written = match (changes, bulk.columns.last_mut()) {
        ([Change::AmendFactor(_), ..], Some(budget)) => {
            budget.merge = Merge::Keep;
            server.merge(&bulk).await
        }
        _ => server.replace(&bulk).await,
    };
    match written.map_err(S::fault) {
        Err(DriverError::Refused(text)) => Err(refused(changes, text).into()),
        done => Ok(done?),
    }
}

/// Says of a refusal whom it is about; the database names only a key.
fn refused(changes: &[Change], text: String) -> DriverError {
    DriverError::Refused(match changes {
        [Change::PutUser(user)] => {
            format!("user {}: {text}; no two users have the same passkey", user.id.0)
        }
        [Change::PutTorrent(torrent)] => {
            format!("torrent {}: {text}; no two torrents have the same info hash", torrent.id.0)
        }
        _ => text,
    })
}

fn bulk<'a, S: Server>(table: Table, rows: Vec<Vec<Cell<'a>>>) -> Bulk<'a> {
    let mut columns = Vec::new();
    for (at, name) in table.columns.iter().enumerate() {
        let mut cells = rows.iter().map(|row| row[at].clone()).peekable();
        let values = match cells.peek() {
            Some(Cell::Flag(_)) => {
                Values::Flags(cells.map(|cell| matches!(cell, Cell::Flag(true))).collect())
            }
            Some(Cell::Text(_)) => Values::Texts(
                cells.map(|cell| if let Cell::Text(text) = cell { text } else { None }).collect(),
            ),
            Some(Cell::Bytes(_)) => Values::Bytes(
                cells.map(|cell| if let Cell::Bytes(bytes) = cell { bytes } else { &[] }).collect(),
            ),
            _ => Values::Numbers(
                cells
                    .map(|cell| if let Cell::Number(number) = cell { number } else { None })
                    .collect(),
            ),
        };
        let merge = if at < table.key { Merge::Key } else { Merge::Set };
        columns.push(Column { name: S::quoted(name), merge, values });
    }
    Bulk { table: S::quoted(table.name), key: table.key, columns }
}

fn number<'a>(number: impl Into<u64>) -> Cell<'a> {
    Cell::Number(Some(number.into()))
}

fn small<'a>(number: Option<u32>) -> Cell<'a> {
    Cell::Number(number.map(Into::into))
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(Some(text.into()))
}

/// The row of a record in its table, and what it is ordered by.
fn row(change: &Change) -> Option<(Table, (u32, String), Vec<Cell<'_>>)> {
    Some(match change {
        Change::PutGroup(group) => (
            GROUPS,
            (group.id.0, String::new()),
            vec![
                number(group.id.0),
                text(&group.name),
                Cell::Flag(group.may_leech),
                small(group.slots),
                small(group.peers_max),
                number(group.upload.0),
                number(group.download.0),
            ],
        ),
        Change::PutUser(user) => (
            USERS,
            (user.id.0, String::new()),
            vec![
                number(user.id.0),
                Cell::Text(Some(&user.passkey).filter(|it| !it.is_empty()).map(|it| (**it).into())),
                number(user.group.0),
                Cell::Flag(user.may_leech),
                Cell::Flag(user.hidden),
                Cell::Flag(user.disabled),
                small(user.slots),
                small(user.peers_max),
                number(user.upload.0),
                number(user.download.0),
                number(user.key_version),
            ],
        ),
        Change::PutTorrent(torrent) => (
            TORRENTS,
            (torrent.id.0, String::new()),
            vec![
                number(torrent.id.0),
                Cell::Bytes(&torrent.info_hash.0),
                Cell::Text(torrent.name.as_deref().map(Into::into)),
                text(state_word(torrent.state)),
                Cell::Text(torrent.reason.as_deref().map(Into::into)),
                small(torrent.owner.map(|owner| owner.0)),
                number(torrent.group.0),
                number(torrent.upload.0),
                number(torrent.download.0),
                number(torrent.key_salt),
            ],
        ),
        Change::PutFactor(factor) | Change::AmendFactor(factor) => {
            (FACTORS, (factor.id.0, String::new()), factor_row(factor))
        }
        Change::PutClient(client) => (
            CLIENTS,
            (0, client.prefix.to_string()),
            vec![text(&client.prefix), Cell::Flag(client.allowed)],
        ),
        Change::PutBan(ban) => {
            let address = ban.address.to_string();
            let cells = vec![
                Cell::Text(Some(address.clone().into())),
                number(ban.prefix_len),
                text(&ban.reason),
            ];
            (BANS, (ban.prefix_len.into(), address), cells)
        }
        _ => return None,
    })
}

fn factor_row(factor: &Factor) -> Vec<Cell<'_>> {
    let none = || Cell::Number(None);
    let (scope, [group, user, torrent_group, torrent]) = match factor.target {
        Target::Site => ("site", [none(), none(), none(), none()]),
        Target::Group(group) => ("group", [number(group.0), none(), none(), none()]),
        Target::User(user) => ("user", [none(), number(user.0), none(), none()]),
        Target::TorrentGroup(of) => ("torrent_group", [none(), none(), number(of.0), none()]),
        Target::Torrent(torrent) => ("torrent", [none(), none(), none(), number(torrent.0)]),
        Target::Token(user, torrent) => {
            ("token", [none(), number(user.0), none(), number(torrent.0)])
        }
    };
    vec![
        number(factor.id.0),
        text(scope),
        group,
        user,
        torrent_group,
        torrent,
        number(factor.upload.0),
        number(factor.download.0),
        Cell::Flag(factor.neutral),
        Cell::Number(factor.starts_unix_secs),
        Cell::Number(factor.ends_unix_secs),
        Cell::Number(factor.budget_bytes),
    ]
}

/// Removes the record that a change names, if it removes one.
async fn remove<S: Server>(server: &mut S, change: &Change) -> Result<(), Fault> {
    let by_id = |table: &Table, id: u32| {
        (format!("DELETE FROM {} WHERE id = ?", table.name), vec![Value::Number(id.into())])
    };
    let address;
    let (sql, values) = match change {
        Change::RemoveUser(id) => by_id(&USERS, id.0),
        Change::RemoveGroup(id) => {
            let sql = "UPDATE skep_users SET group_id = 0 WHERE group_id = ?";
            server.run(sql, &[Value::Number(id.0.into())]).await?;
            by_id(&GROUPS, id.0)
        }
        Change::RemoveTorrent(id) => by_id(&TORRENTS, id.0),
        Change::RemoveFactor(id) => by_id(&FACTORS, id.0),
        Change::RemoveClient(prefix) => {
            let sql = format!("DELETE FROM {} WHERE prefix = ?", CLIENTS.name);
            (sql, vec![Value::Text(prefix)])
        }
        Change::RemoveBan(of, prefix_len) => {
            address = of.to_string();
            let sql = format!("DELETE FROM {} WHERE address = ? AND prefix_len = ?", BANS.name);
            (sql, vec![Value::Text(&address), Value::Number((*prefix_len).into())])
        }
        _ => return Ok(()),
    };
    Ok(server.run(&sql, &values).await.map(drop)?)
}

/// Forgets sessions that were last heard of before a time, and returns how many.
///
/// User by user: a statement for all of them would lock every session that it looks at, and batches
/// would wait for it.
pub(super) async fn forget<S: Server>(server: &mut S, before_unix_secs: u64) -> Result<u64, Fault> {
    let (id, before) = (S::text_of("user_id", ""), Value::Number(before_unix_secs));
    let next = format!(
        "SELECT {id} FROM (SELECT DISTINCT user_id FROM skep_sessions \
         WHERE user_id >= ? AND seen_at < ? ORDER BY user_id LIMIT {USERS_MAX}) AS users"
    );
    let (mut from, mut gone) = (0, 0);
    loop {
        let mut users = Vec::new();
        let take = &mut |cells: &[Option<&str>]| {
            users.extend(cells[0].and_then(|cell| cell.parse::<u64>().ok()));
            Ok(())
        };
        server.read(&next, &[Value::Number(from), before], take).await?;
        let Some(last) = users.iter().max() else { return Ok(gone) };
        from = last + 1;
        let users: Vec<_> = users.iter().map(u64::to_string).collect();
        let users = users.join(", ");
        let sql = format!("DELETE FROM skep_sessions WHERE user_id IN ({users}) AND seen_at < ?");
        gone += server.run(&sql, &[before]).await?;
    }
}

#[cfg(test)]
mod tests {
    use skep_engine::site::{Group, Torrent, User, UserId};

    use super::super::records::SESSIONS;
    use super::super::tables::Source;
    use super::*;

    fn source(table: Table, of_site: bool) -> Source {
        let (name, empty) = (table.name.to_owned(), String::new);
        let (select, quoted, id) = (empty(), empty(), empty());
        Source { table, name, of_site, select, quoted, id, sums: Vec::new() }
    }

    #[test]
    fn records_of_the_sites_own_tables_are_not_ours_to_change() {
        let sources = Sources {
            groups: source(GROUPS, false),
            users: Source { name: "members".into(), ..source(USERS, true) },
            torrents: source(TORRENTS, false),
            factors: source(FACTORS, false),
            clients: source(CLIENTS, false),
            bans: source(BANS, false),
            sessions: source(SESSIONS, false),
        };
        let torrent = Change::PutTorrent(Torrent::default());
        let ours = [torrent.clone(), Change::PutGroup(Group::default())];
        assert!(refuse_of_site(&sources, &ours).is_ok());
        for theirs in [Change::PutUser(User::default()), Change::RemoveUser(UserId(1))] {
            let error = refuse_of_site(&sources, &[torrent.clone(), theirs]).unwrap_err();
            let expected = "the table members is the site's own and is changed there";
            assert!(matches!(&error, DriverError::NotOurs(text) if text == expected), "{error:?}");
        }
    }
}
