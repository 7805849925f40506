//! Everything that is read: records, sessions and sums.
//!
//! Writes nothing.

use skep_engine::ledger::Sums;
use skep_engine::site::Change;

use super::apply::journal_name;
use super::records::{Cells, SUMS};
use super::tables::{Source, Sources};
use super::{Fault, Server, Value};
use crate::driver::{DriverError, Record, Totals};

/// Hands over every record, as all of them were at one moment.
pub(super) async fn records<S: Server>(
    server: &mut S,
    sources: &Sources,
    take: &mut dyn FnMut(Change),
) -> Result<(), Fault> {
    server.script(S::BEGIN_SNAPSHOT).await?;
    each(server, &sources.groups, |row| row.group(), take).await?;
    each(server, &sources.users, |row| row.user(), take).await?;
    each(server, &sources.torrents, |row| row.torrent(), take).await?;
    each(server, &sources.factors, |row| row.factor(), take).await?;
    each(server, &sources.clients, |row| row.client(), take).await?;
    each(server, &sources.bans, |row| row.ban(), take).await?;
    Ok(server.script("COMMIT").await?)
}

async fn each<S: Server>(
    server: &mut S,
    source: &Source,
    read: fn(&Cells<'_>) -> Result<Option<Change>, DriverError>,
    take: &mut dyn FnMut(Change),
) -> Result<(), Fault> {
    let row = &mut |cells: &[Option<&str>]| {
        let cells = Cells { table: &source.name, columns: source.table.columns, cells };
        if let Some(change) = read(&cells)? {
            take(change);
        }
        Ok(())
    };
    server.read(&source.select, &[], row).await
}

/// Hands over the sessions that were heard of at or after a time, the latest first.
pub(super) async fn sessions<S: Server>(
    server: &mut S,
    sources: &Sources,
    journal: u64,
    since_unix_secs: u64,
    take: &mut dyn FnMut(Record),
) -> Result<(), Fault> {
    let Source { name, table, select, .. } = &sources.sessions;
    let order = "ORDER BY seen_at DESC, user_id, torrent_id, peer_id";
    let sql = format!("{select} WHERE journal = ? AND seen_at >= ? {order}");
    let row = &mut |cells: &[Option<&str>]| {
        take(Cells { table: name, columns: table.columns, cells }.session()?);
        Ok(())
    };
    server.script(S::BEGIN_SNAPSHOT).await?;
    let journal = journal_name(journal);
    let values = [Value::Text(&journal), Value::Number(since_unix_secs)];
    server.read(&sql, &values, row).await?;
    Ok(server.script("COMMIT").await?)
}

/// What was added up; nothing for whom nothing was.
pub(super) async fn totals<S: Server>(server: &mut S, of: Totals) -> Result<Sums, Fault> {
    let sums: Vec<_> = SUMS.iter().map(|sum| S::text_of(sum, "")).collect();
    let sums = sums.join(", ");
    let (table, condition, values) = match of {
        Totals::User(user) => ("skep_user_totals", "user_id = ?", vec![user.0]),
        Totals::Torrent(torrent) => ("skep_torrent_totals", "torrent_id = ?", vec![torrent.0]),
        Totals::Passage(user, torrent) => {
            ("skep_passages", "user_id = ? AND torrent_id = ?", vec![user.0, torrent.0])
        }
    };
    let sql = format!("SELECT {sums} FROM {table} WHERE {condition}");
    let values: Vec<_> = values.into_iter().map(|id| Value::Number(id.into())).collect();
    let mut found = Sums::default();
    let row = &mut |cells: &[Option<&str>]| {
        found = Cells { table, columns: SUMS, cells }.sums()?;
        Ok(())
    };
    server.read(&sql, &values, row).await?;
    Ok(found)
}
