//! The storage in a MySQL or MariaDB server.
//!
//! Knows how both are spoken to; which statements are made when is known in `sql`.

mod errors;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql as Sqlx};

use crate::driver::schema::{self, Migration};
use crate::driver::{Conn, Driver, DriverError, DriverSettings, Status};
use crate::sql::{
    Bulk, Column, Described, Fault, Merge, Server, SqlConn, Take, Value, Values, read_rows,
};

/// The driver of MySQL and MariaDB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mysql;

impl Driver for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn open(&self, settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError> {
        Ok(Box::new(SqlConn::<MySqlConnection>::open(settings)?))
    }

    fn migrations(&self) -> &'static [Migration] {
        schema::MYSQL
    }

    fn status(&self, settings: &DriverSettings) -> Result<Status, DriverError> {
        SqlConn::<MySqlConnection>::status(settings)
    }
}

/// Rows of one statement. What is left over goes in halves of it, so that there are few statements to
/// be prepared; a statement has at most 65,535 values.
const ROWS_MAX: usize = 1024;

/// Types of columns that hold bytes.
const BYTES: &[&str] = &["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"];

impl Server for MySqlConnection {
    const NAME: &'static str = "MySQL";
    const MIGRATIONS: &'static [Migration] = schema::MYSQL;
    const SUM_MAX: u64 = u64::MAX;
    const BEGIN_SNAPSHOT: &'static str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
    const BEGIN: &'static str = "START TRANSACTION";
    const BEGIN_MIGRATION: &'static str = "DO GET_LOCK('skep_migrate', 60)";
    const END_MIGRATION: &'static str = "DO RELEASE_LOCK('skep_migrate')";
    const OWN_SCHEMA: &'static str = "DATABASE()";
    const UNIX_TIME: &'static str = "UNIX_TIMESTAMP()";

    fn options(url: &str) -> sqlx::Result<MySqlConnectOptions> {
        url.parse()
    }

    fn place(options: &MySqlConnectOptions) -> String {
        let database = options.get_database().unwrap_or_default();
        match options.get_socket() {
            Some(socket) => format!("{}/{database}", socket.display()),
            None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
        }
    }

    fn fault(error: sqlx::Error) -> DriverError {
        errors::meaning(error)
    }

    fn quoted(name: &str) -> String {
        format!("`{name}`")
    }

    fn text_of(quoted: &str, kind: &str) -> String {
        match kind {
            _ if BYTES.contains(&kind) => format!("CONVERT({quoted} USING utf8mb4)"),
            // As text it would be the bytes of the number.
            "bit" => format!("CAST({quoted} + 0 AS CHAR)"),
            _ => format!("CAST({quoted} AS CHAR)"),
        }
    }

    fn digits_of(quoted: &str, kind: &str) -> String {
        match kind {
            _ if BYTES.contains(&kind) => format!("HEX({quoted})"),
            _ => Self::text_of(quoted, kind),
        }
    }

    async fn begin_session(&mut self) -> sqlx::Result<()> {
        self.script("SET SESSION innodb_lock_wait_timeout = 5").await?;
        let mut is_mariadb = false;
        let take = &mut |cells: &[Option<&str>]| {
            is_mariadb = cells[0].unwrap_or_default().contains("MariaDB");
            Ok(())
        };
        if let Err(Fault::Server(error)) = self.read("SELECT VERSION()", &[], take).await {
            return Err(error);
        }
        if is_mariadb {
            // Whoever is stopped in the middle of a batch must not hold the site's rows for long.
            self.script("SET SESSION idle_transaction_timeout = 60").await?;
        }
        Ok(())
    }

    async fn describe(&mut self, table: &str) -> sqlx::Result<Vec<Described>> {
        let (schema, name) = table.split_once('.').unwrap_or(("", table));
        let sql = "SELECT column_name, data_type, column_type FROM information_schema.columns \
                   WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? \
                   AND privileges <> '' ORDER BY ordinal_position";
        let mut columns = Vec::new();
        let take = &mut |cells: &[Option<&str>]| {
            let [name, kind, full] = [0, 1, 2].map(|at| cells[at].unwrap_or_default());
            let max = greatest(kind, full.contains("unsigned"));
            columns.push(Described { name: name.to_owned(), kind: kind.to_owned(), max });
            Ok(())
        };
        match self.read(sql, &[Value::Text(schema), Value::Text(name)], take).await {
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
        let mut sets = Vec::new();
        for column in &bulk.columns[bulk.key..] {
            let name = &column.name;
            sets.push(format!("{name} = {}", merged(column, name, &format!("VALUES({name})"))));
        }
        let tail = format!(" ON DUPLICATE KEY UPDATE {}", sets.join(", "));
        self.insert(bulk, &tail).await
    }

    async fn replace(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()> {
        // A statement that merges would do so with another record as well, if that had the passkey.
        let keys = bulk.names()[..bulk.key].join(", ");
        let places = places(bulk.key);
        for rows in chunks(bulk.len()) {
            let list = vec![places.as_str(); rows.len()].join(", ");
            let sql = format!("DELETE FROM {} WHERE ({keys}) IN ({list})", bulk.table);
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in rows {
                query = bind_row(query, &bulk.columns[..bulk.key], row);
            }
            query.execute(&mut *self).await?;
        }
        self.insert(bulk, "").await
    }

    async fn merge_known(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()> {
        let id = &bulk.columns[0].name;
        let mut sets = Vec::new();
        for column in &bulk.columns[bulk.key..] {
            let name = &column.name;
            let old = format!("COALESCE(old.{name}, 0)");
            let merged = merged(column, &old, &format!("more.{name}"));
            sets.push(format!("old.{name} = {merged}"));
        }
        let sets = sets.join(", ");
        for rows in chunks(bulk.len()) {
            // Numbers as they are: a value to come has no type here, and would be compared as text.
            let more: Vec<_> = rows.map(|row| numbers(bulk, row)).collect();
            let more = more.join(" UNION ALL ");
            let sql = format!(
                "UPDATE {} AS old JOIN ({more}) AS more ON more.{id} = old.{id} SET {sets}",
                bulk.table
            );
            self.script(&sql).await?;
        }
        Ok(())
    }
}

/// What only this kind of server needs.
trait Insert {
    /// Writes rows in statements that end like this.
    async fn insert(&mut self, bulk: &Bulk<'_>, tail: &str) -> sqlx::Result<()>;
}

impl Insert for MySqlConnection {
    async fn insert(&mut self, bulk: &Bulk<'_>, tail: &str) -> sqlx::Result<()> {
        let names = bulk.names().join(", ");
        let places = places(bulk.columns.len());
        for rows in chunks(bulk.len()) {
            let list = vec![places.as_str(); rows.len()].join(", ");
            let sql = format!("INSERT INTO {} ({names}) VALUES {list}{tail}", bulk.table);
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in rows {
                query = bind_row(query, &bulk.columns, row);
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }
}

/// Places for the values of a row.
fn places(count: usize) -> String {
    format!("({})", vec!["?"; count].join(", "))
}

/// Rows of the statements for so many of them.
fn chunks(count: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rows = ROWS_MAX.min(1 << (count - from).checked_ilog2()?);
        from += rows;
        Some(from - rows..from)
    })
}

/// The greatest number that a column holds.
fn greatest(kind: &str, is_unsigned: bool) -> u64 {
    let bits = match kind {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        _ => 64,
    };
    // A decimal number may hold less, which the server then says.
    u64::MAX >> (64 - bits) >> u32::from(!is_unsigned)
}

/// What becomes of a value that is there.
fn merged(column: &Column<'_>, old: &str, new: &str) -> String {
    match column.merge {
        Merge::Key | Merge::Set => new.to_owned(),
        Merge::Keep => old.to_owned(),
        Merge::SetKnown => format!("COALESCE({new}, {old})"),
        // Never above the greatest number on the way.
        // A column that may be below 0 holds no more than that.
        Merge::Add { max } if max <= i64::MAX as u64 => {
            format!("{old} + LEAST({new}, {max} - GREATEST(LEAST({old}, {max}), 0))")
        }
        Merge::Add { max } => format!("{old} + LEAST({new}, {max} - LEAST({old}, {max}))"),
        Merge::Least => format!("LEAST({old}, {new})"),
        Merge::Greatest => format!("GREATEST({old}, {new})"),
    }
}

/// A row of numbers, in SQL.
fn numbers(bulk: &Bulk<'_>, row: usize) -> String {
    let cells: Vec<_> = bulk
        .columns
        .iter()
        .map(|Column { name, values, .. }| match values {
            Values::Numbers(values) => format!("{} AS {name}", values[row].unwrap_or_default()),
            _ => format!("NULL AS {name}"),
        })
        .collect();
    format!("SELECT {}", cells.join(", "))
}

fn bind_row<'a>(
    mut query: Query<'a, Sqlx, MySqlArguments>,
    columns: &'a [Column<'_>],
    row: usize,
) -> Query<'a, Sqlx, MySqlArguments> {
    for column in columns {
        query = match &column.values {
            Values::Numbers(numbers) => query.bind(numbers[row]),
            Values::Bits(bits) => query.bind(bits[row]),
            Values::Flags(flags) => query.bind(flags[row]),
            Values::Texts(texts) => query.bind(texts[row].as_deref()),
            Values::Bytes(bytes) => query.bind(bytes[row]),
        };
    }
    query
}

fn query<'a>(sql: &str, values: &[Value<'a>]) -> Query<'a, Sqlx, MySqlArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in values {
        query = match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(*text),
        };
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_into_few_sizes_and_none_is_left_out() {
        for count in [0, 1, 2, 3, 1000, 1023, 1024, 1025, 5000] {
            let chunks: Vec<_> = chunks(count).collect();
            assert_eq!(chunks.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
            assert!(chunks.iter().all(|rows| rows.len().is_power_of_two()), "{count}: {chunks:?}");
            assert!(chunks.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn columns_hold_what_their_types_say() {
        assert_eq!(greatest("int", true), u64::from(u32::MAX));
        assert_eq!(greatest("int", false), i32::MAX as u64);
        assert_eq!(greatest("bigint", true), u64::MAX);
        assert_eq!(greatest("bigint", false), i64::MAX as u64);
        assert_eq!(greatest("mediumint", true), (1 << 24) - 1);
    }
}
