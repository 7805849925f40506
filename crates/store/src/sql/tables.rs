//! The tables: how far they are made, and where each record is read from.
//!
//! Reads and writes no record.

use super::link::Link;
use super::names::{BANNED, Names, SiteTable};
use super::records::{BANS, CLIENTS, FACTORS, GROUPS, SESSIONS, SUMS, TORRENTS, Table, USERS};
use super::{Described, Fault, SHORT, Server, Value, WHOLE};
use crate::driver::schema::{Migrate, Migration};
use crate::driver::{DriverError, Status};

/// A table that records are read from, and sums are added to if it is the site's own.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The tracker's own table for these records.
    pub(super) table: Table,
    /// The name for messages.
    pub(super) name: String,
    /// Whether it is the site's own.
    pub(super) of_site: bool,
    /// What reads all of it.
    pub(super) select: String,
    /// The table as it stands in statements.
    pub(super) quoted: String,
    /// The first column of the key as it stands in statements.
    pub(super) id: String,
    /// Columns that sums are added to: which sum, the column as it stands in statements, and the
    /// greatest number that it holds.
    pub(super) sums: Vec<(usize, String, u64)>,
}

/// Where everything is read from.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) groups: Source,
    pub(super) users: Source,
    pub(super) torrents: Source,
    pub(super) factors: Source,
    pub(super) clients: Source,
    pub(super) bans: Source,
    pub(super) sessions: Source,
}

impl Sources {
    /// Looks for every table and column.
    pub(super) async fn find<S: Server>(server: &mut S, names: &Names) -> Result<Self, Fault> {
        Ok(Self {
            groups: own(server, GROUPS).await?,
            users: find(server, USERS, names.users.as_ref()).await?,
            torrents: find(server, TORRENTS, names.torrents.as_ref()).await?,
            factors: own(server, FACTORS).await?,
            clients: own(server, CLIENTS).await?,
            bans: own(server, BANS).await?,
            sessions: own(server, SESSIONS).await?,
        })
    }
}

async fn find<S: Server>(
    server: &mut S,
    table: Table,
    of_site: Option<&SiteTable>,
) -> Result<Source, Fault> {
    match of_site {
        None => own(server, table).await,
        Some(site) => site_source(server, table, site).await,
    }
}

async fn own<S: Server>(server: &mut S, table: Table) -> Result<Source, Fault> {
    let described = describe(server, table.name).await?;
    let mut columns = Vec::new();
    for name in table.columns {
        let column = column(&described, table.name, name)?;
        columns.push(cell_of::<S>(name, column));
    }
    let quoted = S::quoted(table.name);
    Ok(Source {
        table,
        name: table.name.to_owned(),
        of_site: false,
        select: format!("SELECT {} FROM {quoted}", columns.join(", ")),
        quoted,
        id: S::quoted(table.columns[0]),
        sums: Vec::new(),
    })
}

async fn site_source<S: Server>(
    server: &mut S,
    table: Table,
    site: &SiteTable,
) -> Result<Source, Fault> {
    let described = describe(server, &site.name).await?;
    let text = |of: &str| -> Result<Option<String>, DriverError> {
        let Some(name) = site.columns.get(of) else { return Ok(None) };
        let column = column(&described, &site.name, name)?;
        Ok(Some(cell_of::<S>(of, column)))
    };
    let mut columns = Vec::new();
    for name in table.columns {
        columns.push(match (*name, text(name)?, text(BANNED)?) {
            ("state", None, Some(banned)) => format!(
                "CASE WHEN COALESCE({banned}, '') IN ('', '0', 'f', 'false', 'n', 'no') \
                 THEN 'approved' ELSE 'banned' END"
            ),
            (_, Some(text), _) => text,
            (_, None, _) => "NULL".to_owned(),
        });
    }
    let mut sums = Vec::new();
    for (at, sum) in SUMS.iter().enumerate() {
        if let Some(name) = site.columns.get(sum) {
            let column = column(&described, &site.name, name)?;
            sums.push((at, S::quoted(&column.name), column.max));
        }
    }
    let quoted: Vec<_> = site.name.split('.').map(S::quoted).collect();
    let quoted = quoted.join(".");
    let id = column(&described, &site.name, &site.columns[table.columns[0]])?;
    Ok(Source {
        table,
        name: site.name.clone(),
        of_site: true,
        select: format!("SELECT {} FROM {quoted}", columns.join(", ")),
        quoted,
        id: S::quoted(&id.name),
        sums,
    })
}

/// What reads a column as text.
fn cell_of<S: Server>(of: &str, column: &Described) -> String {
    let quoted = S::quoted(&column.name);
    match of {
        "info_hash" | "peer_id" => S::digits_of(&quoted, &column.kind),
        _ => S::text_of(&quoted, &column.kind),
    }
}

async fn describe<S: Server>(server: &mut S, table: &str) -> Result<Vec<Described>, Fault> {
    let columns = server.describe(table).await?;
    if columns.is_empty() {
        let text = format!("there is no table {table}, or this user may not see it");
        return Err(DriverError::Schema(text).into());
    }
    Ok(columns)
}

fn column<'a>(
    described: &'a [Described],
    table: &str,
    name: &str,
) -> Result<&'a Described, DriverError> {
    // Some servers have no two names that differ in case alone; on others the exact one comes first.
    let exact = described.iter().find(|column| column.name == name);
    let found = exact.or_else(|| described.iter().find(|it| it.name.eq_ignore_ascii_case(name)));
    found.ok_or_else(|| {
        let text = format!("the table {table} has no column {name}, or this user may not see it");
        DriverError::Schema(text)
    })
}

/// The number of the last step that was taken.
pub(super) async fn version<S: Server>(server: &mut S) -> Result<u32, Fault> {
    let there = format!(
        "SELECT table_name FROM information_schema.tables \
         WHERE table_schema = {} AND table_name = 'skep_meta'",
        S::OWN_SCHEMA
    );
    let mut is_there = false;
    let take = &mut |_: &[Option<&str>]| {
        is_there = true;
        Ok(())
    };
    server.read(&there, &[], take).await?;
    if !is_there {
        return Ok(0);
    }
    let mut version = 0;
    let number = S::text_of("version", "");
    let sql = format!("SELECT {number} FROM skep_meta ORDER BY version DESC LIMIT 1");
    let take = &mut |cells: &[Option<&str>]| {
        let found = cells[0].and_then(|cell| cell.parse().ok());
        let text = || DriverError::Schema("skep_meta.version holds something else".into());
        version = found.ok_or_else(text)?;
        Ok(())
    };
    server.read(&sql, &[], take).await?;
    Ok(version)
}

/// What a database holds; its place is left to the caller.
pub(super) async fn status<S: Server>(server: &mut S) -> Result<Status, Fault> {
    let mut status = Status { schema_found: version(server).await?, ..Status::default() };
    if status.schema_found == 0 {
        return Ok(status);
    }
    let tables = [
        BANS.name,
        CLIENTS.name,
        FACTORS.name,
        GROUPS.name,
        "skep_passages",
        SESSIONS.name,
        "skep_torrent_totals",
        TORRENTS.name,
        "skep_user_totals",
        USERS.name,
    ];
    let number = |cell: Option<&str>| cell.and_then(|cell| cell.parse().ok()).unwrap_or_default();
    for table in tables {
        let sql = format!("SELECT {} FROM {table}", S::text_of("COUNT(*)", ""));
        let rows = &mut status.rows;
        let take = &mut |cells: &[Option<&str>]| {
            rows.push((table.to_owned(), number(cells[0])));
            Ok(())
        };
        server.read(&sql, &[], take).await?;
    }
    let position = S::text_of(&S::quoted("position"), "");
    let sql = format!("SELECT journal, {position} FROM skep_applied ORDER BY journal");
    let take = &mut |cells: &[Option<&str>]| {
        let journal = u64::from_str_radix(cells[0].unwrap_or_default(), 16).unwrap_or_default();
        status.applied.push((journal, number(cells[1])));
        Ok(())
    };
    server.read(&sql, &[], take).await?;
    Ok(status)
}

/// A database whose tables can be changed.
pub(super) struct Schema<'a, S: Server>(pub(super) &'a Link<S>);

impl<S: Server> Migrate for Schema<'_, S> {
    fn version(&mut self) -> Result<u32, DriverError> {
        self.0.run(SHORT, async |server| version(server).await)
    }

    fn take(&mut self, step: &Migration) -> Result<(), DriverError> {
        self.0.run(WHOLE, async |server| {
            server.script(S::BEGIN_MIGRATION).await?;
            if version(server).await? < step.number {
                for statement in step.statements() {
                    server.script(&statement).await?;
                }
                let sql = format!(
                    "INSERT INTO skep_meta (version, step, taken_at) VALUES (?, ?, {})",
                    S::UNIX_TIME
                );
                let values = [Value::Number(step.number.into()), Value::Text(step.name)];
                server.run(&sql, &values).await?;
            }
            Ok(server.script(S::END_MIGRATION).await?)
        })
    }
}
