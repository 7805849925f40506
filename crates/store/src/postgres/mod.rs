//! The storage in a PostgreSQL server.
//!
//! Knows how PostgreSQL is spoken to; which statements are made when is known in `sql`.

mod errors;

use std::fmt::Write as _;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres as Sqlx};

use crate::driver::schema::{self, Migration};
use crate::driver::{Conn, Driver, DriverError, DriverSettings, Status};
use crate::sql::{
    Bulk, Column, Described, Fault, Merge, Server, SqlConn, Take, Value, Values, read_rows,
};

/// The driver of PostgreSQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

impl Driver for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn open(&self, settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError> {
        Ok(Box::new(SqlConn::<PgConnection>::open(settings)?))
    }

    fn migrations(&self) -> &'static [Migration] {
        schema::POSTGRES
    }

    fn status(&self, settings: &DriverSettings) -> Result<Status, DriverError> {
        SqlConn::<PgConnection>::status(settings)
    }
}

/// The greatest number of a column.
const BIGINT_MAX: u64 = i64::MAX as u64;

impl Server for PgConnection {
    const NAME: &'static str = "PostgreSQL";
    const MIGRATIONS: &'static [Migration] = schema::POSTGRES;
    const SUM_MAX: u64 = BIGINT_MAX;
    const BEGIN_SNAPSHOT: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    // For this transaction alone: behind a pooler the connection is somebody else's a moment later.
    // What is committed leaves the journal, so it must be on the server's disk.
    const BEGIN: &'static str = "BEGIN; SET LOCAL lock_timeout = '5s'; \
        SET LOCAL statement_timeout = '30s'; \
        SET LOCAL idle_in_transaction_session_timeout = '60s'; \
        SET LOCAL synchronous_commit = on";
    // The number is of this lock alone.
    const BEGIN_MIGRATION: &'static str = "BEGIN; SELECT pg_advisory_xact_lock(7022348690421367)";
    const END_MIGRATION: &'static str = "COMMIT";
    const OWN_SCHEMA: &'static str = "current_schema()";
    const UNIX_TIME: &'static str = "extract(epoch FROM now())::bigint";

    fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
        Ok(url.parse::<PgConnectOptions>()?.application_name("skep"))
    }

    fn place(options: &PgConnectOptions) -> String {
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        match options.get_socket() {
            Some(socket) => format!("{}/{database}", socket.display()),
            None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
        }
    }

    fn fault(error: sqlx::Error) -> DriverError {
        errors::meaning(error)
    }

    fn quoted(name: &str) -> String {
        format!("\"{name}\"")
    }

    fn text_of(quoted: &str, _kind: &str) -> String {
        format!("({quoted})::text")
    }

    fn digits_of(quoted: &str, kind: &str) -> String {
        match kind {
            "bytea" => format!("encode({quoted}, 'hex')"),
            _ => Self::text_of(quoted, kind),
        }
    }

    async fn begin_session(&mut self) -> sqlx::Result<()> {
        Ok(())
    }

    async fn describe(&mut self, table: &str) -> sqlx::Result<Vec<Described>> {
        let quoted: Vec<_> = table.split('.').map(Self::quoted).collect();
        let quoted = quoted.join(".");
        let sql = "SELECT attname::text, atttypid::regtype::text FROM pg_attribute \
                   WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped \
                   AND has_column_privilege(attrelid, attnum, 'SELECT') ORDER BY attnum";
        let mut columns = Vec::new();
        let take = &mut |cells: &[Option<&str>]| {
            let [name, kind] = [0, 1].map(|at| cells[at].unwrap_or_default().to_owned());
            let max = match kind.as_str() {
                "smallint" => i16::MAX as u64,
                "integer" => i32::MAX as u64,
                _ => BIGINT_MAX,
            };
            columns.push(Described { name, kind, max });
            Ok(())
        };
        match self.read(sql, &[Value::Text(&quoted)], take).await {
            Err(Fault::Server(error)) => Err(error),
            _ => Ok(columns),
        }
    }

    async fn script(&mut self, sql: &str) -> sqlx::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self).await.map(drop)
    }

    async fn run(&mut self, sql: &str, values: &[Value<'_>]) -> sqlx::Result<u64> {
        Ok(query(sql, values).execute(&mut *self).await?.rows_affected())
    }

    async fn read(&mut self, sql: &str, values: &[Value<'_>], take: Take<'_>) -> Result<(), Fault> {
        read_rows(query(sql, values).fetch(&mut *self), take).await
    }

    async fn merge(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()> {
        if bulk.len() == 0 {
            return Ok(());
        }
        let names = bulk.names();
        let (table, key) = (&bulk.table, names[..bulk.key].join(", "));
        let arrays = arrays(bulk);
        let names = names.join(", ");
        let mut sql = format!(
            "INSERT INTO {table} AS old ({names}) SELECT * FROM UNNEST({arrays}) \
             ON CONFLICT ({key}) DO UPDATE SET "
        );
        for (at, column) in bulk.columns[bulk.key..].iter().enumerate() {
            let name = &column.name;
            let merged = merged(column, &format!("old.{name}"), &format!("excluded.{name}"));
            let comma = if at == 0 { "" } else { ", " };
            let _infallible = write!(sql, "{comma}{name} = {merged}");
        }
        bound(sql, bulk).execute(&mut *self).await.map(drop)
    }

    async fn replace(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()> {
        // All of them are set.
        self.merge(bulk).await
    }

    async fn merge_known(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()> {
        if bulk.len() == 0 {
            return Ok(());
        }
        let (table, id, arrays) = (&bulk.table, &bulk.columns[0].name, arrays(bulk));
        let names = bulk.names().join(", ");
        let mut sets = Vec::new();
        for column in &bulk.columns[bulk.key..] {
            let name = &column.name;
            let old = format!("coalesce(old.{name}, 0)");
            sets.push(format!("{name} = {}", merged(column, &old, &format!("more.{name}"))));
        }
        let sets = sets.join(", ");
        let sql = format!(
            "UPDATE {table} AS old SET {sets} FROM UNNEST({arrays}) AS more ({names}) \
             WHERE old.{id} = more.{id}"
        );
        bound(sql, bulk).execute(&mut *self).await.map(drop)
    }
}

/// What becomes of a value that is there.
fn merged(column: &Column<'_>, old: &str, new: &str) -> String {
    match column.merge {
        Merge::Key | Merge::Set => new.to_owned(),
        Merge::Keep => old.to_owned(),
        Merge::SetKnown => format!("coalesce({new}, {old})"),
        // Never above the greatest number on the way.
        Merge::Add { max } => {
            format!("{old} + least({new}, {max} - greatest(least({old}, {max}), 0))")
        }
        Merge::Least => format!("least({old}, {new})"),
        Merge::Greatest => format!("greatest({old}, {new})"),
    }
}

/// The values of a bulk's columns, in SQL.
fn arrays(bulk: &Bulk<'_>) -> String {
    let mut sql = String::new();
    for (at, column) in bulk.columns.iter().enumerate() {
        let kind = match column.values {
            Values::Numbers(_) | Values::Bits(_) => "bigint",
            Values::Flags(_) => "boolean",
            Values::Texts(_) => "text",
            Values::Bytes(_) => "bytea",
        };
        let comma = if at == 0 { "" } else { ", " };
        let _infallible = write!(sql, "{comma}${}::{kind}[]", at + 1);
    }
    sql
}

fn bound<'a>(sql: String, bulk: &'a Bulk<'_>) -> Query<'a, Sqlx, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for column in &bulk.columns {
        query = match &column.values {
            Values::Numbers(numbers) => {
                let number =
                    |number: &Option<u64>| number.map(|number| number.min(BIGINT_MAX) as i64);
                query.bind(numbers.iter().map(number).collect::<Vec<_>>())
            }
            Values::Bits(bits) => {
                query.bind(bits.iter().map(|bits| bits.cast_signed()).collect::<Vec<_>>())
            }
            Values::Flags(flags) => query.bind(flags),
            Values::Texts(texts) => {
                query.bind(texts.iter().map(Option::as_deref).collect::<Vec<_>>())
            }
            Values::Bytes(bytes) => query.bind(bytes),
        };
    }
    query
}

fn query<'a>(sql: &str, values: &[Value<'a>]) -> Query<'a, Sqlx, PgArguments> {
    let mut numbered = String::new();
    for (at, part) in sql.split('?').enumerate() {
        if at > 0 {
            let _infallible = write!(numbered, "${at}");
        }
        numbered.push_str(part);
    }
    let mut query = sqlx::query(AssertSqlSafe(numbered));
    for value in values {
        query = match value {
            Value::Number(number) => query.bind((*number).min(BIGINT_MAX) as i64),
            Value::Text(text) => query.bind(*text),
        };
    }
    query
}
