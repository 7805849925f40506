//! Records that the storage refuses for good: kept in a file, a line of JSON each, for people.
//!
//! Nothing reads the file. A line has the encoded record too, so that none of it is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skep_store::driver::Record;

/// The name of the file in the folder of the tracker.
pub const REFUSED_FILE: &str = "refused.jsonl";

/// Where refused records go.
#[derive(Debug)]
pub struct RefusedFile {
    path: PathBuf,
}

impl RefusedFile {
    /// Names the file; it is made with the first record.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(REFUSED_FILE) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record and waits until the disk has it. After a crash the same one may come again; its
    /// journal and position tell.
    ///
    /// # Errors
    /// What the system answers.
    pub fn add(&self, journal: u64, position: u64, bytes: &[u8], reason: &str) -> io::Result<()> {
        let mut line = line(journal, position, bytes, reason).to_string();
        line.push('\n');
        let mut file = self.open()?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }
}

fn line(journal: u64, position: u64, bytes: &[u8], reason: &str) -> Value {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut line = json!({
        "journal": format!("{journal:016x}"),
        "position": position,
        "reason": reason,
        "bytes": hex,
    });
    if let (Ok(record), Some(fields)) = (Record::decode(bytes), line.as_object_mut()) {
        let delta = &record.delta;
        let more = json!({
            "at_unix_secs": record.at_unix_secs,
            "user": delta.session.user.0,
            "torrent": delta.session.torrent.0,
            "uploaded_bytes": delta.raw.uploaded_bytes,
            "downloaded_bytes": delta.raw.downloaded_bytes,
            "credited_uploaded_bytes": delta.credited.uploaded_bytes,
            "credited_downloaded_bytes": delta.credited.downloaded_bytes,
            "seeding_secs": delta.seeding_secs,
            "leeching_secs": delta.leeching_secs,
            "active_secs": delta.active_secs,
            "completed": delta.completed,
            "held": delta.held,
        });
        fields.extend(more.as_object().cloned().unwrap_or_default());
    }
    line
}
