//! A disk that fails when it is told to, and that knows what a power failure would leave of it.
//!
//! Files are real, so that readers see them; what was synced is remembered beside them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::super::disk::{Disk, DiskFile};

/// What fails, and what was confirmed.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Each write takes about half of what it is given.
    pub(super) short_writes: bool,
    /// How many more bytes there is room for.
    pub(super) room: Option<usize>,
    /// How many of the next syncs of files fail.
    pub(super) failing_syncs: u32,
    /// A failed sync loses what was not synced, as a kernel may.
    pub(super) sync_failure_loses: bool,
    pub(super) failing_cuts: u32,
    pub(super) failing_renames: u32,
    pub(super) failing_folder_syncs: u32,
    /// Syncs of files wait while this is set.
    pub(super) held: bool,
    /// Syncs that wait now.
    pub(super) waiting: u32,
    next_file: u64,
    /// The file behind each name, and behind each name that a power failure leaves.
    names: BTreeMap<PathBuf, u64>,
    confirmed_names: BTreeMap<PathBuf, u64>,
    /// What each file holds, and how much of it is confirmed.
    files: BTreeMap<u64, (Vec<u8>, usize)>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Mutex<Faults>,
    changed: Condvar,
}

#[derive(Debug, Clone, Default)]
pub(super) struct FaultyDisk(Arc<Inner>);

struct FaultyFile {
    disk: FaultyDisk,
    file: File,
    number: u64,
}

impl FaultyDisk {
    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock()
    }

    /// Makes syncs wait until [`FaultyDisk::go_on`].
    pub(super) fn hold(&self) {
        self.faults().held = true;
    }

    pub(super) fn go_on(&self) {
        self.faults().held = false;
        self.0.changed.notify_all();
    }

    /// Returns when a sync waits.
    pub(super) fn wait_for_sync(&self) {
        let mut faults = self.faults();
        while faults.waiting == 0 {
            self.0.changed.wait(&mut faults);
        }
    }

    /// Writes into `folder` what a power failure would leave now: confirmed names, confirmed
    /// bytes, and a part of the others, damaged if `damage` says so.
    pub(super) fn power_off(&self, folder: &Path, rng: &mut fastrand::Rng) {
        let faults = self.faults();
        for (path, number) in &faults.confirmed_names {
            let (bytes, confirmed) = &faults.files[number];
            let kept = rng.usize(*confirmed..=bytes.len());
            let mut left = bytes[..kept].to_vec();
            if kept > *confirmed && rng.bool() {
                let at = rng.usize(*confirmed..kept);
                left[at..].fill(0);
            }
            fs::write(folder.join(path.file_name().unwrap()), left).unwrap();
        }
    }
}

fn count_down(count: &mut u32) -> io::Result<()> {
    if *count == 0 {
        return Ok(());
    }
    *count -= 1;
    Err(io::Error::from_raw_os_error(5))
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut faults = self.faults();
        let number = faults.next_file;
        faults.next_file += 1;
        faults.names.insert(path.to_owned(), number);
        faults.files.insert(number, (Vec::new(), 0));
        let disk = self.clone();
        Ok(Box::new(FaultyFile { disk, file: File::create(path)?, number }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut faults = self.faults();
        count_down(&mut faults.failing_renames)?;
        let number = faults.names.remove(from).unwrap();
        faults.names.insert(to.to_owned(), number);
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults().names.remove(path);
        fs::remove_file(path)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut faults = self.faults();
        count_down(&mut faults.failing_folder_syncs)?;
        faults.confirmed_names = faults.names.clone();
        Ok(())
    }
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut faults = self.disk.faults();
        let mut length = bytes.len();
        if faults.short_writes {
            length = length.div_ceil(2);
        }
        if let Some(room) = &mut faults.room {
            length = length.min(*room);
            *room -= length;
            if length == 0 && !bytes.is_empty() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
        }
        faults.files.get_mut(&self.number).unwrap().0.extend_from_slice(&bytes[..length]);
        self.file.write_all(&bytes[..length])?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        let inner = Arc::clone(&self.disk.0);
        let mut faults = inner.faults.lock();
        faults.waiting += 1;
        inner.changed.notify_all();
        while faults.held {
            inner.changed.wait(&mut faults);
        }
        faults.waiting -= 1;
        let loses = faults.sync_failure_loses;
        let result = count_down(&mut faults.failing_syncs);
        let (bytes, confirmed) = faults.files.get_mut(&self.number).unwrap();
        match &result {
            Ok(()) => *confirmed = bytes.len(),
            Err(_) if loses => {
                bytes.truncate(*confirmed);
                self.file.set_len(*confirmed as u64)?;
            }
            Err(_) => {}
        }
        result
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut faults = self.disk.faults();
        count_down(&mut faults.failing_cuts)?;
        let (bytes, confirmed) = faults.files.get_mut(&self.number).unwrap();
        bytes.truncate(length as usize);
        *confirmed = (*confirmed).min(length as usize);
        self.file.set_len(length)
    }
}
