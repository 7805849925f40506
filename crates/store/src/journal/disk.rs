//! What the journal asks of a disk, so that tests can give it one that fails.
//!
//! It holds no decision: which call comes after which, and what a failure means, is the writer's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file that is written.
pub(super) trait DiskFile: Write + Send {
    /// Returns when the disk has confirmed all that was written.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to that length.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// The operations on a folder of segments that change it.
pub(super) trait Disk: Send + Sync {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the disk has confirmed which files are in the folder.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// How files are opened for writing: others of the host must not read who moved what.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder, and those above it, that others of the host must not look into.
pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The file system.
#[derive(Debug)]
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(private().create(true).truncate(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Elsewhere folders cannot be opened, and renaming is made lasting by the system.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}
