//! Users and torrents for all workers: tables in parts, each with a lock and memory of its own.
//!
//! A request takes the lock of one part for reading, once. Changes wait for no request for long.

use parking_lot::RwLock;
use skep_engine::Seed;
use skep_engine::site::{Directory, Place, Record, Table};

/// Parts of each kind of records: enough that two workers seldom meet in one.
const PARTS: usize = 256;

/// Parts of the directory, which only changes and look-ups by number need.
const DIRECTORIES: usize = 64;

/// Something on cache lines of its own: workers in neighbouring parts do not disturb each other.
#[repr(align(128))]
pub(super) struct Aligned<T>(pub(super) T);

/// Records of one kind.
pub(super) struct Records<R> {
    seed: Seed,
    /// By the hash of the key.
    parts: Box<[Aligned<RwLock<Table<R>>>]>,
    /// By the hash of the number. Locked before a part.
    directories: Box<[Aligned<RwLock<Directory>>]>,
}

impl<R: Record> Records<R> {
    pub(super) fn new(seed: &Seed) -> Self {
        let part = || Aligned(RwLock::new(Table::new(seed.clone())));
        let directory = || Aligned(RwLock::new(Directory::new(seed.clone())));
        Self {
            seed: seed.clone(),
            parts: (0..PARTS).map(|_| part()).collect(),
            directories: (0..DIRECTORIES).map(|_| directory()).collect(),
        }
    }

    /// Adds a record, or replaces the one with its number.
    pub(super) fn put(&self, record: R) {
        let number = record.number();
        let part = part(self.seed.hash(record.key()));
        let mut directory = self.directory(number).write();
        match directory.get(number) {
            Some(place) if place.table() == usize::from(part) => {
                self.parts[place.table()].0.write().replace(place.slot(), record);
            }
            old => {
                let slot = self.parts[usize::from(part)].0.write().insert(record);
                directory.set(number, Place::new(part, slot));
                if let Some(old) = old {
                    self.parts[old.table()].0.write().remove(old.slot());
                }
            }
        }
    }

    pub(super) fn remove(&self, number: u32) {
        let mut directory = self.directory(number).write();
        if let Some(place) = directory.remove(number) {
            self.parts[place.table()].0.write().remove(place.slot());
        }
    }

    /// What is read from the record with a number.
    pub(super) fn by_number<T>(&self, number: u32, read: impl FnOnce(&R) -> T) -> Option<T> {
        // Held until the end, so that the record does not move meanwhile.
        let directory = self.directory(number).read();
        let place = directory.get(number)?;
        self.parts[place.table()].0.read().get(place.slot()).map(read)
    }

    /// What is read from the record with a key.
    pub(super) fn by_key<T>(&self, key: &[u8], read: impl FnOnce(&R) -> T) -> Option<T> {
        let hash = self.seed.hash(key);
        self.parts[usize::from(part(hash))].0.read().find(hash, key).map(read)
    }

    /// Calls `visit` with every record, and holds up changes of one part at a time.
    pub(super) fn for_each(&self, visit: &mut dyn FnMut(&R)) {
        for part in &self.parts {
            part.0.read().iter().for_each(&mut *visit);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.0.read().len()).sum()
    }

    fn directory(&self, number: u32) -> &RwLock<Directory> {
        let hash = self.seed.hash(&number.to_le_bytes());
        &self.directories[(hash >> 40) as usize % DIRECTORIES].0
    }
}

/// The tables inside a part use the lowest and the highest bits of the same hash.
const fn part(hash: u64) -> u8 {
    (hash >> 40) as u8
}
