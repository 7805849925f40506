//! From info hash to record number: an open-addressed table of four bytes a slot.
//!
//! It knows hashes and numbers; whether a record has the right info hash is asked of its owner.

use alloc::boxed::Box;
use alloc::vec;

/// Bits of a slot that number a record; the rest is a tag of the hash.
const NUMBER_BITS: u32 = 24;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
/// Records that an index can tell apart. The last number marks a free slot.
pub(crate) const RECORDS_MAX: u32 = NUMBER_MASK - 1;
const FREE: u32 = u32::MAX;
const SLOTS_MIN: usize = 8;

/// Record numbers by hash.
///
/// # Layout
/// A power of two of slots. A slot holds 8 bits of the hash above 24 bits of record number, so that
/// a search looks at a wrong record once in 256 steps. A collision takes the next free slot, and a
/// removal moves later ones back, so there are no graves.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: Box<[u32]>,
    len: u32,
}

impl Index {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Bytes on the heap.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.slots.len() * size_of::<u32>()
    }

    /// The slot where the search for a hash begins, to be fetched ahead of it.
    pub(crate) fn home(&self, hash: u64) -> Option<&u32> {
        self.slots.get(home(hash, self.slots.len()))
    }

    /// Finds the first record with the hash's tag for which `same` is true.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, same)?;
        Some(self.slots[at] & NUMBER_MASK)
    }

    /// Adds the next record: all before it are in, numbered without gaps. `hash_of` tells the hash of
    /// any of them.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        debug_assert!(number <= RECORDS_MAX, "a number must fit its bits");
        if is_full(self.len as usize, self.slots.len()) {
            self.resize((self.slots.len() * 2).max(SLOTS_MIN), hash_of);
        }
        place(&mut self.slots, hash, number);
        self.len += 1;
    }

    /// Gives a record another number.
    pub(crate) fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        if let Some(at) = self.position(hash, |number| number == from) {
            self.slots[at] = tag(hash) | to;
        }
    }

    /// Removes a record and closes the gap.
    pub(crate) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let Some(mut gap) = self.position(hash, |other| other == number) else { return };
        let mask = self.slots.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            if self.slots[at] == FREE {
                break;
            }
            // What stands here may move to the gap unless its search begins behind the gap.
            let home = home(hash_of(self.slots[at] & NUMBER_MASK), self.slots.len());
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
        }
        self.slots[gap] = FREE;
        self.len -= 1;
    }

    /// Gives memory back when little of it is used. The records must be numbered without gaps.
    pub(crate) fn fit(&mut self, hash_of: impl Fn(u32) -> u64) {
        if self.slots.len() > 64 && (self.len as usize) < self.slots.len() / 4 {
            self.resize(self.slots.len() / 2, hash_of);
        }
    }

    fn position(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let (tag, mut at) = (tag(hash), home(hash, self.slots.len()));
        loop {
            let slot = self.slots[at];
            if slot == FREE {
                return None;
            }
            if slot & !NUMBER_MASK == tag && same(slot & NUMBER_MASK) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    /// Goes through the records and not through the slots: they lie side by side in memory, so the
    /// processor fetches them ahead.
    fn resize(&mut self, slots: usize, hash_of: impl Fn(u32) -> u64) {
        self.slots = vec![FREE; slots].into_boxed_slice();
        for number in 0..self.len {
            place(&mut self.slots, hash_of(number), number);
        }
    }
}

/// Thirteen sixteenths: a search that finds nothing takes 15 steps on average then, within two cache
/// lines.
const fn is_full(len: usize, slots: usize) -> bool {
    (len + 1) * 16 > slots * 13
}

const fn tag(hash: u64) -> u32 {
    ((hash >> 56) as u32) << NUMBER_BITS
}

const fn home(hash: u64, slots: usize) -> usize {
    hash as usize & slots.wrapping_sub(1)
}

fn place(slots: &mut [u32], hash: u64, number: u32) {
    let mask = slots.len() - 1;
    let mut at = home(hash, slots.len());
    while slots[at] != FREE {
        at = (at + 1) & mask;
    }
    slots[at] = tag(hash) | number;
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use fastrand::Rng;

    /// Few homes and few tags, so that searches collide and wrap around the end.
    fn crowded_hash(key: u32) -> u64 {
        (u64::from(key % 7) << 56) | (u64::from(key % 13) * 5)
    }

    #[test]
    fn an_index_is_a_map_however_its_hashes_collide() {
        let mut rng = Rng::with_seed(3);
        let mut index = Index::default();
        // What the records would be: the key of each number, without gaps.
        let mut keys: Vec<u32> = Vec::new();
        for step in 0..30_000 {
            let key = rng.u32(0..300);
            let known = keys.iter().position(|other| *other == key);
            let found = index.find(crowded_hash(key), |number| keys[number as usize] == key);
            assert_eq!(found, known.map(|at| at as u32), "step {step}");
            match known {
                Some(at) => {
                    index.remove(crowded_hash(key), at as u32, |n| crowded_hash(keys[n as usize]));
                    let last = keys.len() - 1;
                    keys.swap_remove(at);
                    if at != last {
                        index.renumber(crowded_hash(keys[at]), last as u32, at as u32);
                    }
                    index.fit(|number| crowded_hash(keys[number as usize]));
                }
                None if step % 1000 < 600 => {
                    let number = keys.len() as u32;
                    index.insert(crowded_hash(key), number, |n| crowded_hash(keys[n as usize]));
                    keys.push(key);
                }
                None => {}
            }
            assert_eq!(index.len() as usize, keys.len());
        }
    }
}
