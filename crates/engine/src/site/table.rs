//! Records found by their key or by their number, in as little memory as they need.
//!
//! No lock: whoever shares a table guards it. What a record means is not known here.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::{Torrent, TorrentState, User};
use crate::hash::Seed;
use crate::ledger::keys::same;

/// What has a number in the site's books, and a key that clients name it by.
pub trait Record {
    /// The site's number.
    fn number(&self) -> u32;

    /// What clients name it by; an empty one finds nothing.
    fn key(&self) -> &[u8];

    /// Whether it comes before others that have its key.
    fn is_preferred(&self) -> bool {
        true
    }
}

impl Record for User {
    fn number(&self) -> u32 {
        self.id.0
    }

    fn key(&self) -> &[u8] {
        self.passkey.as_bytes()
    }
}

impl Record for Torrent {
    fn number(&self) -> u32 {
        self.id.0
    }

    fn key(&self) -> &[u8] {
        self.info_hash.as_bytes()
    }

    fn is_preferred(&self) -> bool {
        matches!(self.state, TorrentState::Approved | TorrentState::Pending)
    }
}

/// Records by key. A record stays at its place until it is removed.
#[derive(Debug)]
pub struct Table<R> {
    seed: Seed,
    records: Vec<Option<R>>,
    /// Places without a record.
    free: Vec<u32>,
    /// Places of records, by the hash of their key.
    keys: HashTable<u32>,
    /// Whether two records ever had one key, as can be in tables of a site's own.
    has_twins: bool,
}

impl<R: Record> Table<R> {
    /// Makes an empty table, whose hashes are made with `seed`.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            records: Vec::new(),
            free: Vec::new(),
            keys: HashTable::new(),
            has_twins: false,
        }
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record with a key whose hash is known. The time that it takes tells nothing of how much of
    /// a wrong key is right.
    #[must_use]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<&R> {
        let is_meant = |place: &u32| self.get(*place).is_some_and(|it| same(it.key(), key));
        self.get(*self.keys.find(hash, is_meant)?)
    }

    /// The record at a place.
    #[must_use]
    pub fn get(&self, place: u32) -> Option<&R> {
        self.records.get(place as usize)?.as_ref()
    }

    /// Every record, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.records.iter().flatten()
    }

    /// Takes a record and returns its place. Its key leads to it from now on, and no longer to
    /// another record that has the same, unless that one is preferred and this one is not.
    pub fn insert(&mut self, record: R) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            if self.records.len() == self.records.capacity() {
                // In small steps: twice the memory would be seldom used.
                self.records.reserve_exact(self.records.len() / 8 + 8);
            }
            self.records.push(None);
            (self.records.len() - 1) as u32
        });
        self.records[place as usize] = Some(record);
        self.lead_to(place);
        place
    }

    /// Puts another record in the place of one and returns that one.
    pub fn replace(&mut self, place: u32, record: R) -> Option<R> {
        self.forget_key(place);
        let old = self.records.get_mut(place as usize)?.replace(record);
        self.lead_to(place);
        old
    }

    /// Takes the record from a place.
    pub fn remove(&mut self, place: u32) -> Option<R> {
        self.forget_key(place);
        let old = self.records.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(old)
    }

    fn lead_to(&mut self, place: u32) {
        let Self { seed, records, keys, has_twins, .. } = self;
        let is_preferred =
            |place: u32| records[place as usize].as_ref().is_some_and(Record::is_preferred);
        let key = |place: u32| records[place as usize].as_ref().map_or(&[][..], Record::key);
        let new = key(place);
        if new.is_empty() {
            return;
        }
        let hash = seed.hash(new);
        match keys.find_mut(hash, |other| same(key(*other), new)) {
            Some(other) => {
                *has_twins |= *other != place;
                if is_preferred(place) || !is_preferred(*other) {
                    *other = place;
                }
            }
            None => {
                keys.insert_unique(hash, place, |other| seed.hash(key(*other)));
            }
        }
    }

    /// Lets the key of a record lead to another that has it, if there is one.
    ///
    /// # Cost
    /// Looks at every record.
    fn lead_to_twin(&mut self, place: u32) {
        let Some(gone) = self.get(place) else { return };
        let twins = self.records.iter().zip(0..).filter_map(|(record, at)| {
            let twin = record.as_ref().filter(|twin| at != place && twin.key() == gone.key())?;
            Some((twin.is_preferred(), twin.number(), at))
        });
        if let Some((.., twin)) = twins.max() {
            self.lead_to(twin);
        }
    }

    /// Lets the key of a record lead to another that has it, or nowhere, if it led to this one.
    fn forget_key(&mut self, place: u32) {
        let Some(record) = self.records.get(place as usize).and_then(Option::as_ref) else {
            return;
        };
        let hash = self.seed.hash(record.key());
        let led_here = match self.keys.find_entry(hash, |other| *other == place) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        };
        if led_here && self.has_twins {
            self.lead_to_twin(place);
        }
    }
}

/// Where records are, by number.
#[derive(Debug)]
pub struct Directory {
    seed: Seed,
    entries: HashTable<(u32, Place)>,
}

/// Which of several tables a record is in, and where there.
///
/// # Layout
/// The 8 high bits are the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u32);

impl Place {
    const SLOT_BITS: u32 = 24;

    /// Takes the number of a table and a place in it.
    ///
    /// # Panics
    /// If a table holds more than 16 million records.
    #[must_use]
    pub const fn new(table: u8, slot: u32) -> Self {
        assert!(slot >> Self::SLOT_BITS == 0, "a table holds less than 2^24 records");
        Self((table as u32) << Self::SLOT_BITS | slot)
    }

    /// The number of the table.
    #[must_use]
    pub const fn table(self) -> usize {
        (self.0 >> Self::SLOT_BITS) as usize
    }

    /// The place in it.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 & ((1 << Self::SLOT_BITS) - 1)
    }
}

impl Directory {
    /// Makes an empty directory, whose hashes are made with `seed`.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed, entries: HashTable::new() }
    }

    /// Where the record with a number is.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<Place> {
        let hash = self.seed.hash(&number.to_le_bytes());
        self.entries.find(hash, |entry| entry.0 == number).map(|entry| entry.1)
    }

    /// Notes where the record with a number is.
    pub fn set(&mut self, number: u32, place: Place) {
        let Self { seed, entries } = self;
        let hash = seed.hash(&number.to_le_bytes());
        match entries.find_mut(hash, |entry| entry.0 == number) {
            Some(entry) => entry.1 = place,
            None => {
                let rehash = |entry: &(u32, Place)| seed.hash(&entry.0.to_le_bytes());
                entries.insert_unique(hash, (number, place), rehash);
            }
        }
    }

    /// Forgets where the record with a number was.
    pub fn remove(&mut self, number: u32) -> Option<Place> {
        let hash = self.seed.hash(&number.to_le_bytes());
        let entry = self.entries.find_entry(hash, |entry| entry.0 == number).ok()?;
        Some(entry.remove().0.1)
    }
}
