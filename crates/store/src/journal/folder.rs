//! The folder of a journal: names of segments, the lock, and what a start finds there.
//!
//! A start changes one thing only: it cuts what a crash left half-written at the very end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, create_private_folder, private};
use super::format::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES, Fault};
use super::queue::Segment;
use super::segment::{SegmentError, SegmentReader};

/// The name of a segment that has no header yet.
pub(super) const UNFINISHED: &str = "segment.new";

const LOCK: &str = "lock";
const EXTENSION: &str = ".journal";
const DIGITS: usize = 20;

/// The most that a crash can leave behind the last confirmed batch: one batch is written at a time.
const TAIL_BYTES_MAX: u64 = (BATCH_HEADER_BYTES + BATCH_BYTES_MAX) as u64;

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or folder could not be made, read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Another process has the journal open, or this one has twice.
    #[error("the journal in {} is in use by another process", folder.display())]
    InUse {
        /// The folder of the journal.
        folder: PathBuf,
    },
    /// The newest segment has no usable header, so that nobody knows which position comes next.
    #[error("{} is damaged: {fault}; move the journal's folder away to begin a new one", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What a start found at the end of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Bytes of a half-written batch that were cut off; nobody was promised its records.
    pub cut_bytes: u64,
    /// The first damage in the newest segment that no crash explains; nothing was cut there.
    pub damage: Option<Damage>,
}

/// A place where what is read is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// Where in the segment the damaged batch begins.
    ///
    /// # Units
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// The first record that cannot be read.
    pub position: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is in the folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The journal's id, if there is a segment.
    pub(super) id: Option<u64>,
    pub(super) segments: VecDeque<Segment>,
    pub(super) next: u64,
    pub(super) recovery: Recovery,
}

pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:0DIGITS$}{EXTENSION}"))
}

pub(super) fn first_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(EXTENSION)?;
    let lawful = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| lawful)
}

/// Makes the folder if need be and keeps every other process out while the result lives.
pub(super) fn lock(disk: &dyn Disk, folder: &Path) -> Result<File, OpenError> {
    if !folder.is_dir() {
        create_private_folder(folder).map_err(failed("create", folder))?;
        if let Some(parent) = folder.parent().filter(|parent| parent.is_dir()) {
            disk.sync_folder(parent).map_err(failed("sync", parent))?;
        }
    }
    let path = folder.join(LOCK);
    let file = private().create(true).truncate(false).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

/// Looks at the folder and makes its newest segment end with its last whole batch.
pub(super) fn recover(folder: &Path) -> Result<Found, OpenError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let entry = entry.map_err(failed("read", folder))?;
        let path = entry.path();
        if entry.file_name() == UNFINISHED {
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        } else if let Some(first) = first_of(&entry.file_name()) {
            let bytes = entry.metadata().map_err(failed("read", &path))?.len();
            segments.push(Segment { first, bytes });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    let mut found = Found { segments: segments.into(), ..Found::default() };
    if let Some(newest) = found.segments.back_mut() {
        let path = segment_path(folder, newest.first);
        let end = scan(&path, newest)?;
        newest.bytes -= end.recovery.cut_bytes;
        (found.id, found.next, found.recovery) = (Some(end.id), end.next, end.recovery);
    }
    Ok(found)
}

struct End {
    id: u64,
    next: u64,
    recovery: Recovery,
}

fn scan(path: &Path, segment: &Segment) -> Result<End, OpenError> {
    let open = OpenOptions::new().read(true).write(true).open(path);
    let file = open.map_err(failed("open", path))?;
    let damaged = |fault| OpenError::Damaged { path: path.to_owned(), fault };
    let mut reader = match SegmentReader::open(&file) {
        Ok(reader) if reader.position() == segment.first => reader,
        Ok(_) => return Err(damaged(Fault::Stranger)),
        Err(SegmentError::Damaged { fault, .. }) => return Err(damaged(fault)),
        Err(SegmentError::Io(source)) => return Err(failed("read", path)(source)),
    };
    let mut recovery = Recovery::default();
    loop {
        match reader.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(SegmentError::Io(source)) => return Err(failed("read", path)(source)),
            Err(SegmentError::Damaged { offset, position, fault }) => {
                let tail_bytes = segment.bytes.saturating_sub(offset);
                let goes_on = reader.resume().map_err(failed("read", path))?;
                if goes_on || tail_bytes > TAIL_BYTES_MAX {
                    let damage = Damage { path: path.to_owned(), offset, position, fault };
                    recovery.damage.get_or_insert(damage);
                } else {
                    file.set_len(offset).map_err(failed("cut", path))?;
                    recovery.cut_bytes = tail_bytes;
                }
                if !goes_on {
                    break;
                }
            }
        }
    }
    // What was read may so far be in the memory of the kernel only.
    file.sync_all().map_err(failed("sync", path))?;
    Ok(End { id: reader.id(), next: reader.position(), recovery })
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path: path.to_owned(), source }
}
