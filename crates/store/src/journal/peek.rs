//! A look at a journal from outside, which another process may be writing.
//!
//! It takes no lock, cuts nothing and trusts no tail.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::folder::first_of;
use super::segment::{SegmentError, SegmentReader};

/// Where a journal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalEnd {
    /// The id of the journal.
    pub id: u64,
    /// The position behind its last record.
    pub next: u64,
}

impl JournalEnd {
    /// Finds out how far the journal in a folder is; nothing if there is none.
    ///
    /// # Cost
    /// Reads the newest segment.
    /// # Errors
    /// If the folder or the segment cannot be read.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries?,
        };
        let mut newest = None;
        for entry in entries {
            let entry = entry?;
            let first = first_of(&entry.file_name());
            newest = newest.max(first.map(|first| (first, entry.path())));
        }
        let Some((_, path)) = newest else { return Ok(None) };
        let unreadable = |error| match error {
            SegmentError::Io(error) => error,
            damaged => io::Error::new(ErrorKind::InvalidData, damaged),
        };
        let mut reader = SegmentReader::open(File::open(path)?).map_err(unreadable)?;
        // What cannot be read at the end is being written, or never was.
        while let Ok(Some(_)) = reader.next_record() {}
        Ok(Some(Self { id: reader.id(), next: reader.position() }))
    }
}
