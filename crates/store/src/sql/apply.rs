//! A batch of records added to the sums, in one transaction with the position of its end.
//!
//! What is added was folded before; each table is written once, in the order of its rows.

use std::borrow::Cow;

use skep_engine::ledger::Sums;

use super::bulk::{Bulk, Column, Merge, Values};
use super::records::{SESSIONS, SUMS, numbers};
use super::tables::{Source, Sources};
use super::{Fault, Server, Value};
use crate::driver::{Batch, DriverError, Passage, Record};

/// A journal's id as its row has it.
pub(super) fn journal_name(journal: u64) -> String {
    format!("{journal:016x}")
}

/// The position behind the last record of a journal that was applied.
pub(super) async fn position<S: Server>(
    server: &mut S,
    journal: u64,
    lock: &str,
) -> Result<Option<u64>, Fault> {
    let position = S::text_of(&S::quoted("position"), "");
    let sql = format!("SELECT {position} FROM skep_applied WHERE journal = ? {lock}");
    let mut found = None;
    let take = &mut |cells: &[Option<&str>]| {
        let read = cells[0].and_then(|cell| cell.parse().ok());
        let text = || DriverError::Schema("skep_applied.position holds something else".into());
        found = Some(read.ok_or_else(text)?);
        Ok(())
    };
    server.read(&sql, &[Value::Text(&journal_name(journal))], take).await?;
    Ok(found)
}

/// Adds up a batch.
pub(super) async fn apply<S: Server>(
    server: &mut S,
    sources: &Sources,
    batch: &Batch,
) -> Result<(), Fault> {
    server.script(S::BEGIN).await?;
    let (from, until) = (batch.from(), batch.until());
    let journal = journal_name(batch.journal());
    match position(server, batch.journal(), "FOR UPDATE").await? {
        Some(applied) if applied != from => {
            return Err(DriverError::OutOfOrder { applied, from }.into());
        }
        Some(_) => {
            let sql = "UPDATE skep_applied SET position = ? WHERE journal = ?";
            server.run(sql, &[Value::Number(until), Value::Text(&journal)]).await?;
        }
        None => {
            let sql = "INSERT INTO skep_applied (journal, position) VALUES (?, ?)";
            let row = [Value::Text(&journal), Value::Number(until)];
            server.run(sql, &row).await.map_err(|error| match S::fault(error) {
                // Somebody else was first, which is seen when it comes again.
                DriverError::Refused(text) => DriverError::Unavailable(text),
                other => other,
            })?;
        }
    }
    let users: Vec<_> = batch.users().iter().map(|(user, sums)| (user.0, sums)).collect();
    let torrents: Vec<_> =
        batch.torrents().iter().map(|(torrent, sums)| (torrent.0, sums)).collect();
    server.merge(&sessions::<S>(batch)).await?;
    server.merge(&passages::<S>(batch)).await?;
    server.merge(&totals::<S>("skep_user_totals", "user_id", &users)).await?;
    server.merge(&totals::<S>("skep_torrent_totals", "torrent_id", &torrents)).await?;
    for (source, rows) in [(&sources.users, &users), (&sources.torrents, &torrents)] {
        if !source.sums.is_empty() {
            server.merge_known(&of_site(source, rows)).await?;
        }
    }
    budgets(server, batch).await?;
    Ok(server.script("COMMIT").await?)
}

fn column<'a, S: Server>(name: &str, merge: Merge, values: Values<'a>) -> Column<'a> {
    Column { name: S::quoted(name), merge, values }
}

/// A column of sums of each row.
fn sum<'a>(rows: impl Iterator<Item = &'a Sums>, at: usize) -> Values<'static> {
    Values::Numbers(rows.map(|sums| Some(numbers(sums)[at])).collect())
}

fn totals<S: Server>(table: &str, key: &str, rows: &[(u32, &Sums)]) -> Bulk<'static> {
    let ids = rows.iter().map(|(id, _)| Some(u64::from(*id))).collect();
    let mut columns = vec![column::<S>(key, Merge::Key, Values::Numbers(ids))];
    for (at, name) in SUMS.iter().enumerate() {
        let values = sum(rows.iter().map(|(_, sums)| *sums), at);
        columns.push(column::<S>(name, Merge::Add { max: S::SUM_MAX }, values));
    }
    Bulk { table: S::quoted(table), key: 1, columns }
}

/// Sums of rows that a site has in a table of its own.
fn of_site(source: &Source, rows: &[(u32, &Sums)]) -> Bulk<'static> {
    let ids = rows.iter().map(|(id, _)| Some(u64::from(*id))).collect();
    let ids = Values::Numbers(ids);
    let mut columns = vec![Column { name: source.id.clone(), merge: Merge::Key, values: ids }];
    for (at, name, max) in &source.sums {
        let values = sum(rows.iter().map(|(_, sums)| *sums), *at);
        columns.push(Column { name: name.clone(), merge: Merge::Add { max: *max }, values });
    }
    Bulk { table: source.quoted.clone(), key: 1, columns }
}

fn passages<S: Server>(batch: &Batch) -> Bulk<'static> {
    let rows = || batch.passages().iter();
    let ids = |id: fn(u32, u32) -> u32| {
        let ids = rows().map(|((user, torrent), _)| Some(u64::from(id(user.0, torrent.0))));
        Values::Numbers(ids.collect())
    };
    let mut columns = vec![
        column::<S>("user_id", Merge::Key, ids(|user, _| user)),
        column::<S>("torrent_id", Merge::Key, ids(|_, torrent| torrent)),
    ];
    for (at, name) in SUMS.iter().enumerate() {
        let values = sum(rows().map(|(_, passage)| &passage.sums), at);
        columns.push(column::<S>(name, Merge::Add { max: S::SUM_MAX }, values));
    }
    let mut add = |name, merge, read: fn(&Passage) -> Option<u64>| {
        let values = rows().map(|(_, passage)| read(passage)).collect();
        columns.push(column::<S>(name, merge, Values::Numbers(values)));
    };
    add("left_bytes", Merge::SetKnown, |passage| passage.left_bytes);
    add("first_seen_at", Merge::Least, |passage| Some(passage.first_unix_secs));
    add("last_seen_at", Merge::Greatest, |passage| Some(passage.last.at_unix_secs));
    add("completed_at", Merge::SetKnown, |passage| passage.completed_unix_secs);
    Bulk { table: S::quoted("skep_passages"), key: 2, columns }
}

fn sessions<S: Server>(batch: &Batch) -> Bulk<'_> {
    let rows = || batch.sessions();
    let numbers = |read: fn(&Record) -> Option<u64>| Values::Numbers(rows().map(read).collect());
    let bits = |read: fn(&Record) -> u64| Values::Bits(rows().map(read).collect());
    let flags = |read: fn(&Record) -> bool| Values::Flags(rows().map(read).collect());
    let peer_ids = rows().map(|record| &record.delta.session.peer_id.0[..]).collect();
    let journal = journal_name(batch.journal());
    let journals = rows().map(|_| Some(Cow::from(journal.clone())));
    let addresses =
        rows().map(|record| record.endpoint.map(|endpoint| Cow::from(endpoint.ip().to_string())));
    // In the order of the table's columns.
    let values = [
        numbers(|record| Some(record.delta.session.user.0.into())),
        numbers(|record| Some(record.delta.session.torrent.0.into())),
        Values::Bytes(peer_ids),
        Values::Texts(journals.collect()),
        numbers(|record| Some(record.delta.session.peer_key.into())),
        bits(|record| record.delta.session.counters.uploaded_bytes),
        bits(|record| record.delta.session.counters.downloaded_bytes),
        bits(|record| record.delta.session.corrupt_bytes),
        numbers(|record| Some(record.delta.session.family as u64)),
        flags(|record| record.delta.session.seeds),
        flags(|record| record.delta.session.open),
        flags(|record| record.delta.session.pass_counted),
        Values::Texts(addresses.collect()),
        numbers(|record| record.endpoint.map(|endpoint| endpoint.port().into())),
        numbers(|record| Some(record.at_unix_secs)),
    ];
    let columns = SESSIONS.columns.iter().zip(values).enumerate().map(|(at, (name, values))| {
        let merge = if at < SESSIONS.key { Merge::Key } else { Merge::Set };
        column::<S>(name, merge, values)
    });
    Bulk { table: S::quoted(SESSIONS.name), key: SESSIONS.key, columns: columns.collect() }
}

async fn budgets<S: Server>(server: &mut S, batch: &Batch) -> Result<(), Fault> {
    let sql = "UPDATE skep_factors SET budget_bytes = CASE WHEN budget_bytes > ? \
               THEN budget_bytes - ? ELSE 0 END WHERE id = ? AND budget_bytes IS NOT NULL";
    for (factor, bytes) in batch.spent() {
        let bytes = Value::Number((*bytes).min(S::SUM_MAX));
        server.run(sql, &[bytes, bytes, Value::Number(factor.0.into())]).await?;
    }
    Ok(())
}
