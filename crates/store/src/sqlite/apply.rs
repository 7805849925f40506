//! A batch of records added to the sums, in one transaction with the position of its end.
//!
//! What is added was folded before: one statement for a row, in the order of the rows.

use rusqlite::{
    Connection, OptionalExtension as _, Statement, Transaction, TransactionBehavior, params,
};
use skep_engine::ledger::Sums;

use super::{COLUMN_MAX, clamped, failed};
use crate::driver::{Batch, DriverError, Passage, Record};

/// The position behind the last record of a journal that was applied.
pub(super) fn position(connection: &Connection, journal: u64) -> Result<Option<u64>, DriverError> {
    let find = || {
        let sql = "SELECT position FROM skep_applied WHERE journal = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_row([journal_name(journal)], |row| row.get::<_, i64>(0)).optional()
    };
    Ok(find().map_err(failed)?.map(i64::cast_unsigned))
}

/// Adds up a batch.
pub(super) fn apply(connection: &mut Connection, batch: &Batch) -> Result<(), DriverError> {
    let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let transaction = begin.map_err(failed)?;
    let (applied, from) = (position(&transaction, batch.journal())?, batch.from());
    if let Some(applied) = applied.filter(|applied| *applied != from) {
        return Err(DriverError::OutOfOrder { applied, from });
    }
    let write = || {
        sessions(&transaction, batch)?;
        passages(&transaction, batch)?;
        totals(&transaction, batch)?;
        budgets(&transaction, batch)?;
        let sql = "INSERT OR REPLACE INTO skep_applied (journal, position) VALUES (?1, ?2)";
        let row = params![journal_name(batch.journal()), batch.until().cast_signed()];
        transaction.prepare_cached(sql)?.execute(row)
    };
    write().map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// A journal's id as its row has it.
pub(super) fn journal_name(journal: u64) -> String {
    format!("{journal:016x}")
}

fn sessions(to: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut statement = to.prepare_cached(
        "INSERT OR REPLACE INTO skep_sessions (user_id, torrent_id, peer_id, journal,
            peer_key, uploaded_bytes, downloaded_bytes, corrupt_bytes, family, seeds, open, pass_counted,
            address, port, seen_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    let journal = journal_name(batch.journal());
    for Record { at_unix_secs, endpoint, delta } in batch.sessions() {
        let session = &delta.session;
        statement.execute(params![
            session.user.0,
            session.torrent.0,
            session.peer_id.0,
            journal,
            session.peer_key,
            session.counters.uploaded_bytes.cast_signed(),
            session.counters.downloaded_bytes.cast_signed(),
            session.corrupt_bytes.cast_signed(),
            session.family as u8,
            session.seeds,
            session.open,
            session.pass_counted,
            endpoint.map(|endpoint| endpoint.ip().to_string()),
            endpoint.map(|endpoint| endpoint.port()),
            clamped(*at_unix_secs)
        ])?;
    }
    Ok(())
}

/// Adds one row to another; a sum that a column does not hold becomes a float, which is above the
/// greatest number.
macro_rules! add_sums {
    () => {
        "raw_uploaded_bytes = min(raw_uploaded_bytes + excluded.raw_uploaded_bytes, ?1),
        raw_downloaded_bytes = min(raw_downloaded_bytes + excluded.raw_downloaded_bytes, ?1),
        credited_uploaded_bytes
            = min(credited_uploaded_bytes + excluded.credited_uploaded_bytes, ?1),
        credited_downloaded_bytes
            = min(credited_downloaded_bytes + excluded.credited_downloaded_bytes, ?1),
        held_uploaded_bytes = min(held_uploaded_bytes + excluded.held_uploaded_bytes, ?1),
        held_downloaded_bytes = min(held_downloaded_bytes + excluded.held_downloaded_bytes, ?1),
        settled_uploaded_bytes = min(settled_uploaded_bytes + excluded.settled_uploaded_bytes, ?1),
        settled_downloaded_bytes
            = min(settled_downloaded_bytes + excluded.settled_downloaded_bytes, ?1),
        corrupt_bytes = min(corrupt_bytes + excluded.corrupt_bytes, ?1),
        seeding_secs = min(seeding_secs + excluded.seeding_secs, ?1),
        leeching_secs = min(leeching_secs + excluded.leeching_secs, ?1),
        active_secs = min(active_secs + excluded.active_secs, ?1),
        completions = min(completions + excluded.completions, ?1)"
    };
}

fn passages(to: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut statement = to.prepare_cached(concat!(
        "INSERT INTO skep_passages VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
            ?14, ?15, ?16, ?17, ?18, ?19, ?20)
        ON CONFLICT DO UPDATE SET ",
        add_sums!(),
        ", left_bytes = coalesce(excluded.left_bytes, left_bytes),
        first_seen_at = min(first_seen_at, excluded.first_seen_at),
        last_seen_at = max(last_seen_at, excluded.last_seen_at),
        completed_at = coalesce(excluded.completed_at, completed_at)",
    ))?;
    for (&(user, torrent), passage) in batch.passages() {
        let Passage { sums, last, first_unix_secs, completed_unix_secs, left_bytes } = passage;
        let next = bind(&mut statement, &[user.0, torrent.0], sums)?;
        let times = [Some(*first_unix_secs), Some(last.at_unix_secs), *completed_unix_secs];
        for (place, number) in (next..).zip([*left_bytes].into_iter().chain(times)) {
            statement.raw_bind_parameter(place, number.map(clamped))?;
        }
        statement.raw_execute()?;
    }
    Ok(())
}

fn totals(to: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let users = concat!(
        "INSERT INTO skep_user_totals VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
            ?13, ?14, ?15)
        ON CONFLICT DO UPDATE SET ",
        add_sums!()
    );
    let torrents = concat!(
        "INSERT INTO skep_torrent_totals VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
            ?13, ?14, ?15)
        ON CONFLICT DO UPDATE SET ",
        add_sums!()
    );
    add(to, users, batch.users().iter().map(|(user, sums)| (user.0, sums)))?;
    add(to, torrents, batch.torrents().iter().map(|(torrent, sums)| (torrent.0, sums)))
}

fn add<'a>(
    to: &Transaction<'_>,
    sql: &str,
    rows: impl Iterator<Item = (u32, &'a Sums)>,
) -> rusqlite::Result<()> {
    let mut statement = to.prepare_cached(sql)?;
    for (id, sums) in rows {
        bind(&mut statement, &[id], sums)?;
        statement.raw_execute()?;
    }
    Ok(())
}

/// Binds the greatest number of a column, a key, and sums; returns the place of what comes next.
fn bind(statement: &mut Statement<'_>, key: &[u32], sums: &Sums) -> rusqlite::Result<usize> {
    let key = key.iter().copied().map(i64::from);
    let mut next = 1;
    for number in [clamped(COLUMN_MAX)].into_iter().chain(key).chain(numbers(sums)) {
        statement.raw_bind_parameter(next, number)?;
        next += 1;
    }
    Ok(next)
}

/// Sums in the order of their columns.
fn numbers(sums: &Sums) -> [i64; 13] {
    [
        sums.raw.uploaded_bytes,
        sums.raw.downloaded_bytes,
        sums.credited.uploaded_bytes,
        sums.credited.downloaded_bytes,
        sums.held.uploaded_bytes,
        sums.held.downloaded_bytes,
        sums.settled.uploaded_bytes,
        sums.settled.downloaded_bytes,
        sums.corrupt_bytes,
        sums.seeding_secs,
        sums.leeching_secs,
        sums.active_secs,
        sums.completions,
    ]
    .map(clamped)
}

fn budgets(to: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut statement = to.prepare_cached(
        "UPDATE skep_factors SET budget_bytes = max(budget_bytes - ?2, 0)
        WHERE id = ?1 AND budget_bytes IS NOT NULL",
    )?;
    for (factor, bytes) in batch.spent() {
        statement.execute(params![factor.0, clamped(*bytes)])?;
    }
    Ok(())
}
