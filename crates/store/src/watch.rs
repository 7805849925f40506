//! Noticing that a file was rewritten or replaced.
//!
//! It reads no contents and runs no thread: somebody asks from time to time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file and the state in which it was last seen.
///
/// Seen are writes that change length or modification time, another file renamed into its place,
/// a symbolic link on the way that was turned elsewhere, removal and return. Not seen is a
/// rewrite to the same length within one step of the file system's clock, some milliseconds.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    modified: Option<SystemTime>,
    length_bytes: u64,
    inode: u64,
}

impl Watched {
    /// Takes the present state of the file as the one seen; make it before the first read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let seen = stamp(&path);
        Self { path, seen }
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether the file differs from the state last seen, and takes the new one as seen.
    ///
    /// Ask first and read afterwards: a write between the two is then told by the next call. A file
    /// that cannot be examined counts as absent, so its disappearance is told once.
    ///
    /// # Cost
    /// One system call; nothing is opened.
    pub fn changed(&mut self) -> bool {
        let now = stamp(&self.path);
        let changed = now != self.seen;
        self.seen = now;
        changed
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

    #[test]
    fn untouched_file_is_never_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        assert_eq!(watched.path(), path);
        assert!(!watched.changed());
        assert!(!watched.changed());
    }

    #[test]
    fn rewrite_is_told_once_by_length_or_by_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, "one", 1);
        let mut watched = Watched::new(&path);
        write(&path, "three", 1);
        assert!(watched.changed());
        assert!(!watched.changed());
        write(&path, "seven", 2);
        assert!(watched.changed());
        assert!(!watched.changed());
    }

    #[test]
    fn removal_and_return_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let mut watched = Watched::new(&path);
        assert!(!watched.changed());
        write(&path, "one", 1);
        assert!(watched.changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.changed());
        assert!(!watched.changed());
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
        assert!(watched.changed());
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
        assert!(!watched.changed());
        fs::remove_file(&current).unwrap();
        symlink("2", &current).unwrap();
        assert!(watched.changed());
    }
}
