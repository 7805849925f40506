//! Noticing that a file was rewritten or replaced.
//!
//! It reads no contents and runs no thread: somebody asks from time to time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, the state in which it was read, and the state in which it was last looked at.
///
/// Seen are writes that change length or modification time, another file renamed into its place,
/// a symbolic link on the way that was turned elsewhere, removal and return. Not seen is a
/// rewrite to the same length within one step of the file system's clock, some milliseconds.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    read: Option<Stamp>,
    seen: Option<Stamp>,
}

/// What a look at a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is as it was read.
    Same,
    /// It differs from the last look, so somebody may still be writing it.
    Changing,
    /// It differs from what was read, and did not change since the last look.
    Changed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    modified: Option<SystemTime>,
    length_bytes: u64,
    inode: u64,
}

impl Watched {
    /// Takes the present state of the file as the one that is read; make it before reading.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let read = stamp(&path);
        Self { path, read, seen: read }
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file. A file that cannot be examined counts as absent.
    ///
    /// A file that changes is told as changed by the second look that finds it in the same state,
    /// and by every further one until [`Watched::note_read`] is called: a read that fails is told
    /// again.
    ///
    /// # Cost
    /// One system call; nothing is opened.
    pub fn look(&mut self) -> Look {
        let now = stamp(&self.path);
        let last = std::mem::replace(&mut self.seen, now);
        if now == self.read {
            Look::Same
        } else if now == last {
            Look::Changed
        } else {
            Look::Changing
        }
    }

    /// Takes the state of the last look as the one that was read. What is written between that look
    /// and the read is told by a later look.
    pub fn note_read(&mut self) {
        self.read = self.seen;
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        length_bytes: metadata.len(),
        inode: inode(&metadata),
    })
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// Elsewhere a replaced file shows by its time and length alone.
#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Writes a file whose modification time is the test's choice.
    fn write(path: &Path, text: &str, modified_secs: u64) {
        fs::write(path, text).unwrap();
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(modified_secs)).unwrap();
    }

    /// What a reader does that finds every change worth reading.
    fn is_read(watched: &mut Watched) -> bool {
        let changed = watched.look() == Look::Changed;
        if changed {
            watched.note_read();
        }
        changed
    }

    #[test]
    fn untouched_file_is_never_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        assert_eq!(watched.path(), path);
        assert_eq!(watched.look(), Look::Same);
        assert_eq!(watched.look(), Look::Same);
    }

    #[test]
    fn rewrite_is_told_once_by_length_or_by_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        for (text, modified_secs) in [("three", 1), ("seven", 2)] {
            write(&path, text, modified_secs);
            assert_eq!(watched.look(), Look::Changing);
            assert!(is_read(&mut watched), "{text}");
            assert_eq!(watched.look(), Look::Same);
        }
    }

    #[test]
    fn file_that_is_still_written_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        for text in ["", "o", "on"] {
            write(&path, text, 2);
            assert_eq!(watched.look(), Look::Changing, "{text:?}");
        }
        // It is what it was before all that: nothing happened.
        write(&path, "one", 1);
        assert_eq!(watched.look(), Look::Same);
    }

    #[test]
    fn change_is_told_until_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        write(&path, "three", 2);
        assert_eq!(watched.look(), Look::Changing);
        assert_eq!(watched.look(), Look::Changed);
        assert_eq!(watched.look(), Look::Changed);
        watched.note_read();
        assert_eq!(watched.look(), Look::Same);
    }

    #[test]
    fn removal_and_return_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let mut watched = Watched::new(&path);
        assert_eq!(watched.look(), Look::Same);
        write(&path, "one", 1);
        assert_eq!(watched.look(), Look::Changing);
        assert!(is_read(&mut watched));
        fs::remove_file(&path).unwrap();
        assert_eq!(watched.look(), Look::Changing);
        assert!(is_read(&mut watched));
        assert_eq!(watched.look(), Look::Same);
    }

    #[cfg(unix)]
    #[test]
    fn file_renamed_into_place_is_told_though_it_looks_alike() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let next = dir.path().join("list.new");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        write(&next, "two", 1);
        fs::rename(&next, &path).unwrap();
        assert_eq!(watched.look(), Look::Changing);
        assert_eq!(watched.look(), Look::Changed);
    }

    #[cfg(unix)]
    #[test]
    fn link_turned_to_another_folder_is_told() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        for version in ["1", "2"] {
            fs::create_dir(dir.path().join(version)).unwrap();
            write(&dir.path().join(version).join("list"), "same", 1);
        }
        let current = dir.path().join("current");
        symlink("1", &current).unwrap();
        // As a container platform lays a mounted file out: the file is a link through that link.
        let path = dir.path().join("list");
        symlink("current/list", &path).unwrap();
        let mut watched = Watched::new(path);
        assert_eq!(watched.look(), Look::Same);
        fs::remove_file(&current).unwrap();
        symlink("2", &current).unwrap();
        assert_eq!(watched.look(), Look::Changing);
        assert_eq!(watched.look(), Look::Changed);
    }
}
