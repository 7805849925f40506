//! Database servers for tests: PostgreSQL and MariaDB in temporary folders, each gone with its test.
//!
//! Knows how servers are installed, started, killed and asked, and nothing of what drivers do with
//! them. A server that is not installed is a failure: `cargo xtask install` brings it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take for anything, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A shell that starts and kills a server when told, and clears up when nobody can tell it any more:
/// the kernel closes its input however the test ends. Children outlive a killed parent for a moment,
/// in which no other server could be started on their files. The kernel hangs up on whom nobody minds
/// while one of them is frozen.
const KEEPER: &str = r#"
trap '' HUP INT TERM
folder=$1 log=$2 pid=; shift 2
end() {
    test "$pid" || return
    children=$(ps -o pid= --ppid "$pid")
    kill -KILL "$pid"; wait "$pid" 2>/dev/null
    for child in $children; do while kill -0 "$child" 2>/dev/null; do sleep 0.01; done; done
    pid=
}
while read -r word; do
    case $word in
        start) "$@" >>"$log" 2>&1 & pid=$!;;
        end) end;;
        *) kill -"$word" "$pid" $(ps -o pid= --ppid "$pid");;
    esac
    echo "$word"
done
end 2>/dev/null
rm -rf "$folder"
"#;

/// Whose server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Postgres,
    Mariadb,
}

/// Whether a server waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disk {
    /// As in earnest.
    Durable,
    /// What was committed outlives the server, but not the machine.
    Fast,
}

/// A server that ends with this value, or with the process.
pub(crate) struct Server {
    kind: Kind,
    ip: Ipv4Addr,
    folder: PathBuf,
    starts: AtomicU32,
    databases: AtomicU32,
    shell: Mutex<(Child, Option<Pipes>)>,
}

/// How the shell is told what to do, and how it says that it did.
type Pipes = (ChildStdin, BufReader<ChildStdout>);

/// The server of this process that tests share.
pub(crate) fn shared(kind: Kind) -> Arc<Server> {
    static SHARED: [OnceLock<Arc<Server>>; 2] = [OnceLock::new(), OnceLock::new()];
    SHARED[kind as usize].get_or_init(|| Arc::new(Server::start(kind, Disk::Fast, &[]))).clone()
}

/// Runs a program to its end and returns what it prints.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; `cargo xtask install` installs what is missing")
    });
    let [out, errors] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() { Ok(out) } else { Err(format!("{program}: {out}{errors}")) }
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).unwrap().trim() == "0"
}

/// Makes a file or a folder one of the user as whom PostgreSQL runs, and nobody else's.
pub(crate) fn give_to_postgres(path: &Path) {
    if is_root() {
        output(Command::new("chown").arg("postgres:").arg(path)).unwrap();
    }
}

/// A program that runs as somebody whom the server accepts.
fn program(kind: Kind, path: PathBuf) -> Vec<String> {
    let mut words = Vec::new();
    if kind == Kind::Postgres && is_root() {
        // PostgreSQL refuses to be run by root.
        let flags = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
        words.extend(flags.map(str::to_owned));
    }
    words.push(path.to_str().unwrap().to_owned());
    words
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// A program of PostgreSQL, which Debian keeps out of the path.
fn of_postgres(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| name.into())
}

/// A program of MariaDB, which Debian keeps out of the path of users.
fn of_mariadb(name: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.is_file() { sbin } else { name.into() }
}

/// Waits until something is there.
///
/// # Panics
/// If it does not come in two minutes.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or(look, || format!("waited too long for {what}"))
}

#[expect(clippy::disallowed_methods, reason = "a deadline for programs that keep their own time")]
fn wait_or<T>(mut look: impl FnMut() -> Option<T>, complain: impl Fn() -> String) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{}", complain());
        thread::park_timeout(LOOK);
    }
}

impl Server {
    /// Installs and starts a server with more flags.
    pub(crate) fn start(kind: Kind, disk: Disk, flags: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("skep-db-").tempdir().unwrap().keep();
        let [b, c, d] = [fastrand::u8(64..), fastrand::u8(..), fastrand::u8(1..255)];
        // Other tests use none of these addresses, so every port of it is free.
        let ip = Ipv4Addr::new(127, b, c, d);
        if kind == Kind::Postgres {
            give_to_postgres(&folder);
        }
        let words = match kind {
            Kind::Postgres => postgres(&folder, ip, disk),
            Kind::Mariadb => mariadb(&folder, ip, disk),
        };
        let mut shell = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([&folder, &folder.join("log")])
            .args(words)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Whoever interrupts the tests must not reach it.
            .process_group(0)
            .spawn()
            .unwrap();
        let pipes = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let server = Self {
            kind,
            ip,
            folder,
            starts: AtomicU32::new(0),
            databases: AtomicU32::new(0),
            shell: Mutex::new((shell, Some(pipes))),
        };
        server.resume();
        server
    }

    /// Has the keeper do something, and waits until it did.
    fn tell(&self, word: &str) {
        let mut shell = self.shell.lock().unwrap();
        let (orders, answers) = shell.1.as_mut().expect("only drop takes it");
        writeln!(orders, "{word}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), word);
    }

    /// Kills the server as a power failure would, but that the disk keeps what was written.
    pub(crate) fn kill(&self) {
        self.tell("end");
    }

    /// Stops the server in the middle of what it does; it holds its connections, and is silent.
    pub(crate) fn freeze(&self) {
        self.tell("STOP");
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self) {
        self.tell("CONT");
    }

    /// Starts the server again after it was killed.
    pub(crate) fn resume(&self) {
        let words = match self.kind {
            Kind::Postgres => "database system is ready to accept connections",
            Kind::Mariadb => "ready for connections.",
        };
        let starts = self.starts.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell("start");
        let log = self.folder.join("log");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let has_begun = || (said().matches(words).count() >= starts as usize).then_some(());
        wait_or(has_begun, || format!("the server does not start:\n{}", said()));
    }

    /// Makes an empty database and returns its name.
    pub(crate) fn create_database(&self) -> String {
        let name = format!("skep_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs statements that belong to no database of a test.
    pub(crate) fn administer(&self, statements: &str) -> String {
        self.sql(if self.kind == Kind::Postgres { "postgres" } else { "mysql" }, statements)
    }

    /// The URL of a database for the server's own user, by the socket in its folder.
    pub(crate) fn url(&self, database: &str) -> String {
        match self.kind {
            Kind::Postgres => self.url_of("postgres", database),
            Kind::Mariadb => self.url_of("root", database),
        }
    }

    /// The URL of a database for a user, with a password after a colon if there is one.
    pub(crate) fn url_of(&self, user: &str, database: &str) -> String {
        let folder = self.folder.display();
        match self.kind {
            Kind::Postgres => format!("postgres://{user}@localhost/{database}?host={folder}"),
            Kind::Mariadb => format!("mysql://{user}@localhost/{database}?socket={folder}/socket"),
        }
    }

    /// Whose server it is.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the server listens, at the port of its kind.
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The folder of the server, in which there is room for other files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs statements as the server's own user and returns what they print: a line for each row,
    /// with tabs between columns.
    ///
    /// # Panics
    /// If one fails.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        self.try_sql(database, statements).unwrap()
    }

    /// Like [`Self::sql`], with the message if a statement fails.
    pub(crate) fn try_sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut command = self.client(database);
        command.args([if self.kind == Kind::Postgres { "-c" } else { "-e" }, statements]);
        output(&mut command)
    }

    /// Ends every connection of the tracker to a database.
    pub(crate) fn kill_connections(&self, database: &str) {
        match self.kind {
            Kind::Postgres => {
                self.administer(&format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = '{database}' AND application_name = 'skep'"
                ));
            }
            Kind::Mariadb => {
                let sql = format!(
                    "SELECT id FROM information_schema.processlist \
                     WHERE db = '{database}' AND id <> CONNECTION_ID()"
                );
                for id in self.administer(&sql).lines() {
                    // It may be gone already.
                    let _gone = self.try_sql(database, &format!("KILL {id}"));
                }
            }
        }
    }

    /// A client that reads statements from its input, as the server's own user.
    pub(crate) fn client(&self, database: &str) -> Command {
        match self.kind {
            Kind::Postgres => self.client_of("postgres", "", database),
            Kind::Mariadb => self.client_of("root", "", database),
        }
    }

    /// The same as another user.
    pub(crate) fn client_of(&self, user: &str, password: &str, database: &str) -> Command {
        match self.kind {
            Kind::Postgres => {
                let mut psql = Command::new("psql");
                psql.args(["-XqAtF", "\t", "-v", "ON_ERROR_STOP=1", "-U", user, "-h"]);
                psql.arg(&self.folder).args(["-d", database]).env("PGPASSWORD", password);
                psql
            }
            Kind::Mariadb => {
                let mut mariadb = Command::new("mariadb");
                mariadb.args(["--no-defaults", "-NBrn", "-u", user, "-D", database]);
                mariadb.arg("-S").arg(self.folder.join("socket")).env("MYSQL_PWD", password);
                mariadb
            }
        }
    }
}

impl Drop for Server {
    /// Waits until the server is gone and its folder with it.
    fn drop(&mut self) {
        let (shell, pipes) = self.shell.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        drop(pipes.take());
        let _ended = shell.wait();
    }
}

/// Installs PostgreSQL in a folder and returns the command that starts it.
fn postgres(folder: &Path, ip: Ipv4Addr, disk: Disk) -> Vec<String> {
    let data = folder.join("data").to_str().unwrap().to_owned();
    let mut install = program(Kind::Postgres, of_postgres("initdb"));
    let flags = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
    install.extend(flags.map(str::to_owned));
    install.push(data.clone());
    output(&mut command(&install)).unwrap();
    let lines = "local all postgres trust\n\
                 local all all scram-sha-256\n\
                 hostssl all all 127.0.0.0/8 scram-sha-256\n";
    std::fs::write(folder.join("data/pg_hba.conf"), lines).unwrap();
    let mut words = program(Kind::Postgres, of_postgres("postgres"));
    words.extend(["-D".to_owned(), data]);
    let mut set = |name: &str, value: &str| {
        words.extend(["-c".to_owned(), format!("{name}={value}")]);
    };
    set("listen_addresses", &ip.to_string());
    set("unix_socket_directories", folder.to_str().unwrap());
    set("max_connections", "60");
    set("deadlock_timeout", "200ms");
    if disk == Disk::Fast {
        for name in ["fsync", "full_page_writes"] {
            set(name, "off");
        }
    }
    words
}

/// Installs MariaDB in a folder and returns the command that starts it.
fn mariadb(folder: &Path, ip: Ipv4Addr, disk: Disk) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let user = output(Command::new("id").arg("-un")).unwrap();
    let mut install = program(Kind::Mariadb, of_mariadb("mariadb-install-db"));
    install.push("--no-defaults".to_owned());
    install.push(format!("--datadir={}", path("data")));
    install.push(format!("--user={}", user.trim()));
    install
        .extend(["--auth-root-authentication-method=normal", "--skip-test-db"].map(str::to_owned));
    output(&mut command(&install)).unwrap();
    let mut words = program(Kind::Mariadb, of_mariadb("mariadbd"));
    words.push("--no-defaults".to_owned());
    words.push(format!("--datadir={}", path("data")));
    words.push(format!("--socket={}", path("socket")));
    words.push(format!("--pid-file={}", path("pid")));
    words.push(format!("--tmpdir={}", folder.display()));
    words.push(format!("--user={}", user.trim()));
    words.push(format!("--bind-address={ip}"));
    words.push("--skip-name-resolve".to_owned());
    if disk == Disk::Fast {
        words.push("--innodb-flush-log-at-trx-commit=2".to_owned());
        words.push("--innodb-flush-method=nosync".to_owned());
    }
    words
}
