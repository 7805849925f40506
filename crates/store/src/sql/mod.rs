//! What drivers of database servers have in common: the tables, and when which statement is made.
//!
//! How a server is spoken to, and in which words, is known to the drivers of servers alone.

mod apply;
mod bulk;
mod change;
mod link;
mod load;
mod names;
mod records;
mod tables;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use skep_engine::ledger::Sums;
use skep_engine::site::Change;

pub(crate) use self::bulk::{Bulk, Column, Merge, Values};
use self::link::Link;
use self::names::Names;
use self::tables::{Schema, Sources};
use crate::driver::schema::{self, Migration};
use crate::driver::{Batch, Conn, DriverError, DriverSettings, Record, Status, Totals};

/// How long a few rows may take.
const SHORT: Duration = Duration::from_secs(10);
/// How long a batch may take; what takes longer comes again.
const LONG: Duration = Duration::from_secs(60);
/// How long reading or changing whole tables may take.
const WHOLE: Duration = Duration::from_secs(1800);

/// What went wrong while a server was spoken to.
pub(crate) enum Fault {
    /// The server, or the way to it.
    Server(sqlx::Error),
    /// What was made of its answers.
    Told(DriverError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Server(error)
    }
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Self::Told(error)
    }
}

impl Fault {
    fn told<S: Server>(self) -> DriverError {
        match self {
            Self::Server(error) => S::fault(error),
            Self::Told(error) => error,
        }
    }
}

/// What an error means that no server has sent.
pub(crate) fn not_of_server(error: &sqlx::Error) -> DriverError {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Database(_) => DriverError::Unavailable(error.to_string()),
        sqlx::Error::Configuration(cause) => DriverError::Settings(cause.to_string()),
        // Columns that are not read as what they are.
        _ => DriverError::Schema(error.to_string()),
    }
}

/// A message without what stands between quotes, where servers repeat values.
pub(crate) fn without_quoted(message: &str, quote: char) -> String {
    let mut parts = message.split(quote);
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let Some(_value) = parts.next() {
        text.push_str("...");
        text.push_str(parts.next().unwrap_or_default());
    }
    text
}

/// Cells of the widest row.
const CELLS_MAX: usize = 16;

/// Hands over rows as they come.
pub(crate) async fn read_rows<R>(
    mut rows: impl Stream<Item = sqlx::Result<R>> + Unpin,
    take: Take<'_>,
) -> Result<(), Fault>
where
    R: sqlx::Row,
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<&'r str>: sqlx::Decode<'r, R::Database>,
{
    while let Some(row) = poll_fn(|context| Pin::new(&mut rows).poll_next(context)).await {
        let row = row?;
        let mut cells = [None; CELLS_MAX];
        let count = row.len().min(CELLS_MAX);
        for (at, cell) in cells[..count].iter_mut().enumerate() {
            *cell = row.try_get_unchecked::<Option<&str>, _>(at)?;
        }
        take(&cells[..count])?;
    }
    Ok(())
}

/// A value of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    Text(&'a str),
}

/// A column as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    /// The type in the server's words.
    pub(crate) kind: String,
    /// The greatest number that it holds; of what holds no numbers, any.
    pub(crate) max: u64,
}

/// What takes cells of a row, each as text.
pub(crate) type Take<'a> = &'a mut dyn FnMut(&[Option<&str>]) -> Result<(), DriverError>;

/// A connection to one kind of server, and how that is spoken to.
///
/// Statements have `?` for values.
pub(crate) trait Server: sqlx::Connection + 'static {
    /// What people call it.
    const NAME: &'static str;
    /// The steps that make the tables.
    const MIGRATIONS: &'static [Migration];
    /// The greatest sum in the tracker's own tables.
    const SUM_MAX: u64;
    /// Begins a transaction that sees everything as it was at one moment.
    const BEGIN_SNAPSHOT: &'static str;
    /// Begins a transaction that does not wait for locks of others for long.
    const BEGIN: &'static str;
    /// Lets no other process change tables, and undoes half a change if that can be done.
    const BEGIN_MIGRATION: &'static str;
    /// Ends that.
    const END_MIGRATION: &'static str;
    /// Where the tables of the tracker are, in SQL.
    const OWN_SCHEMA: &'static str;
    /// The time in seconds of Unix time, in SQL.
    const UNIX_TIME: &'static str;

    /// Reads a URL.
    fn options(url: &str) -> sqlx::Result<Self::Options>;

    /// Where the server of a URL is, without a password.
    fn place(options: &Self::Options) -> String;

    /// What an error means for those who asked. Holds no value that somebody sent.
    fn fault(error: sqlx::Error) -> DriverError;

    /// A name as it stands in statements.
    fn quoted(name: &str) -> String;

    /// What turns a column into text.
    fn text_of(quoted: &str, kind: &str) -> String;

    /// What turns a column of bytes into hexadecimal digits, or leaves it if it holds such.
    fn digits_of(quoted: &str, kind: &str) -> String;

    /// Prepares a new connection.
    async fn begin_session(&mut self) -> sqlx::Result<()>;

    /// Describes a table; nothing if there is none, or none that may be seen.
    async fn describe(&mut self, table: &str) -> sqlx::Result<Vec<Described>>;

    /// Runs statements that have no values.
    async fn script(&mut self, sql: &str) -> sqlx::Result<()>;

    /// Runs a statement that returns no rows and tells how many it found.
    async fn run(&mut self, sql: &str, values: &[Value<'_>]) -> sqlx::Result<u64>;

    /// Runs a query and hands over each row.
    async fn read(&mut self, sql: &str, values: &[Value<'_>], take: Take<'_>) -> Result<(), Fault>;

    /// Writes rows, each merged with the one that is there.
    async fn merge(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()>;

    /// Writes rows, each in place of the one that is there.
    async fn replace(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()>;

    /// Merges rows with those that are there, and makes none.
    async fn merge_known(&mut self, bulk: &Bulk<'_>) -> sqlx::Result<()>;
}

/// An open database.
pub(crate) struct SqlConn<S: Server> {
    link: Link<S>,
    sources: Sources,
}

impl<S: Server> SqlConn<S> {
    /// Opens a database, migrates it if that is wanted, and looks for every table and column.
    pub(crate) fn open(settings: &DriverSettings) -> Result<Self, DriverError> {
        let names = Names::new(&settings.names)?;
        let link = Link::new(&settings.url)?;
        if settings.migrate {
            schema::migrate(S::MIGRATIONS, &mut Schema(&link))?;
        }
        let found = link.run(SHORT, async |server| tables::version(server).await)?;
        schema::require_current(S::MIGRATIONS, found)?;
        let sources = link.run(SHORT, async |server| Sources::find(server, &names).await)?;
        Ok(Self { link, sources })
    }

    /// Looks at a database without changing it.
    pub(crate) fn status(settings: &DriverSettings) -> Result<Status, DriverError> {
        let link = Link::<S>::new(&settings.url)?;
        let status = link.run(WHOLE, async |server| tables::status(server).await)?;
        Ok(Status { place: link.place().to_owned(), ..status })
    }
}

impl<S: Server> Conn for SqlConn<S>
where
    Link<S>: Send + Sync,
{
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        self.link.run(WHOLE, async |server| load::records(server, &self.sources, take).await)
    }

    fn load_sessions(
        &self,
        journal: u64,
        since_unix_secs: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        let sources = &self.sources;
        self.link.run(WHOLE, async |server| {
            load::sessions(server, sources, journal, since_unix_secs, take).await
        })
    }

    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        self.link.run(WHOLE, async |server| change::forget(server, before_unix_secs).await)
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        self.link.run(SHORT, async |server| apply::position(server, journal, "").await)
    }

    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        self.link.run(LONG, async |server| apply::apply(server, &self.sources, batch).await)
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        change::refuse_of_site(&self.sources, changes)?;
        let write = |rows_max| {
            self.link.run(LONG, async |server| change::write(server, changes, rows_max).await)
        };
        match write(change::ROWS_MAX) {
            // Nothing of it was written; row by row it shows which one is refused.
            Err(DriverError::Refused(_)) if changes.len() > 1 => write(1),
            done => done,
        }
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        self.link.run(SHORT, async |server| load::totals(server, of).await)
    }

    fn ping(&self) -> Result<(), DriverError> {
        self.link.run(SHORT, async |server| {
            Ok(server.script("SELECT version FROM skep_meta WHERE version = 0").await?)
        })
    }
}
