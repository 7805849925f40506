//! Sums of users in a text file that any script can read, counted exactly once.
//!
//! Users, torrents and sessions are in a SQLite file of the tracker, which this driver opens and
//! hands everything on to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use skep::driver::{
    Batch, Change, Conn, Driver, DriverError, DriverSettings, Record, Sqlite, Sums, Totals,
};

/// The driver, by `storage.driver = "sums"`.
pub struct SumsDriver;

impl Driver for SumsDriver {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn open(&self, settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError> {
        // The file of SQLite is the one that it makes if nobody says where.
        let others = Sqlite.open(&DriverSettings { url: String::new(), ..settings.clone() })?;
        let path = settings.data_dir.join("sums.txt");
        let kept = Mutex::new(Kept::read(&path)?);
        Ok(Box::new(SumsConn { others, path, kept }))
    }
}

/// An open file of sums, and the storage of everything else.
struct SumsConn {
    others: Box<dyn Conn>,
    path: PathBuf,
    kept: Mutex<Kept>,
}

impl Conn for SumsConn {
    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        // Held to the end, so that two batches never mix.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let from = batch.from();
        if let Some(applied) = self.others.applied(batch.journal())?
            && applied != from
        {
            return Err(DriverError::OutOfOrder { applied, from });
        }
        // What is written is the whole new state, sums and position together: a crash leaves the old
        // file or the new one. If it comes right after, the position says what is in there already.
        let mut next = kept.clone();
        next.add(batch);
        next.write(&self.path)?;
        *kept = next;
        self.others.apply(batch)
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        self.others.applied(journal)
    }

    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        self.others.load(take)
    }

    fn load_sessions(
        &self,
        journal: u64,
        since: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        self.others.load_sessions(journal, since, take)
    }

    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        self.others.forget_sessions(before_unix_secs)
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        self.others.change(changes)
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        self.others.totals(of)
    }

    fn ping(&self) -> Result<(), DriverError> {
        self.others.ping()
    }
}

/// What is in the file.
#[derive(Clone, Default)]
struct Kept {
    /// The position behind the last record that was added, by journal.
    positions: BTreeMap<u64, u64>,
    /// Bytes up and down that users are credited with, by number.
    users: BTreeMap<u32, (u64, u64)>,
}

impl Kept {
    fn add(&mut self, batch: &Batch) {
        let position = self.positions.entry(batch.journal()).or_default();
        for (at, record) in (batch.from()..).zip(batch.records()) {
            if at >= *position {
                let (up, down) = self.users.entry(record.delta.session.user.0).or_default();
                *up = up.saturating_add(record.delta.credited.uploaded_bytes);
                *down = down.saturating_add(record.delta.credited.downloaded_bytes);
            }
        }
        *position = batch.until().max(*position);
    }

    fn read(path: &Path) -> Result<Self, DriverError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(DriverError::Unavailable(error.to_string())),
        };
        let mut kept = Self::default();
        for line in text.lines() {
            kept.read_line(line).ok_or_else(|| DriverError::Damaged(format!("sums: {line}")))?;
        }
        Ok(kept)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["journal", id, position] => {
                self.positions.insert(id.parse().ok()?, position.parse().ok()?);
            }
            ["user", id, up, down] => {
                self.users.insert(id.parse().ok()?, (up.parse().ok()?, down.parse().ok()?));
            }
            _ => return None,
        }
        Some(())
    }

    fn write(&self, path: &Path) -> Result<(), DriverError> {
        let mut text = String::new();
        for (journal, position) in &self.positions {
            text += &format!("journal {journal} {position}\n");
        }
        for (user, (up, down)) in &self.users {
            text += &format!("user {user} {up} {down}\n");
        }
        replace(path, text.as_bytes()).map_err(|error| DriverError::Unavailable(error.to_string()))
    }
}

/// Puts a new file in the place of an old one: after a crash there is the one or the other, whole.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name is on the disk when its folder is.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &tempfile::TempDir) -> DriverSettings {
        DriverSettings { data_dir: folder.path().into(), migrate: true, ..Default::default() }
    }

    skep::battery!({
        let folder = tempfile::tempdir().unwrap();
        Subject::new(move || SumsDriver.open(&settings(&folder)).unwrap())
    });

    #[test]
    fn a_file_that_makes_no_sense_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sums.txt"), "user 1 2\n").unwrap();
        assert!(matches!(SumsDriver.open(&settings(&folder)), Err(DriverError::Damaged(_))));
    }
}
