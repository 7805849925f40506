//! From info hash to record number: an open-addressed table of four bytes a slot.
//!
//! It knows hashes and numbers; whether a record has the right info hash is asked of its owner.

use alloc::boxed::Box;
use alloc::vec;

/// Bits of a slot that number a record; the rest is a tag of the hash.
const NUMBER_BITS: u32 = 24;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
/// Records that an index can tell apart.
pub(crate) const RECORDS_MAX: u32 = NUMBER_MASK - 1;
/// Zero, so that a new table is memory that nobody has to write.
const FREE: u32 = 0;
/// In the table that is moved away from: searches go on behind it.
const MOVED: u32 = 1 << NUMBER_BITS;
const SLOTS_MIN: usize = 8;
/// Slots that one insertion or removal moves. All are moved long before the next time: a table that
/// is full has 13 insertions left for 16 of its slots, one that is too large 2 removals.
const MOVED_A_TIME: usize = 8;

/// Record numbers by hash.
///
/// # Layout
/// A power of two of slots. A slot holds 8 bits of the hash above 24 bits of record number and one, so
/// that a search looks at a wrong record once in 256 steps. A collision takes the next free slot, and
/// a removal moves later ones back, so there are no graves.
///
/// To grow or shrink, the index keeps the table it had beside the new one and moves a few slots with
/// each insertion and removal, so that nobody waits for all of them. Until then searches go through
/// both.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: Box<[u32]>,
    len: u32,
    /// What is left of the table before; empty when all of it is moved. Nothing is added to it.
    before: Box<[u32]>,
    /// Where in it moving goes on.
    next: usize,
}

impl Index {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Bytes on the heap.
    pub(crate) const fn heap_bytes(&self) -> usize {
        (self.slots.len() + self.before.len()) * size_of::<u32>()
    }

    /// The slots where the search for a hash begins, to be fetched ahead of it.
    pub(crate) fn homes(&self, hash: u64) -> impl Iterator<Item = &u32> {
        let home = move |slots: &'_ [u32]| home(hash, slots.len());
        let now = self.slots.get(home(&self.slots));
        now.into_iter().chain(self.before.get(home(&self.before)))
    }

    /// Finds the first record with the hash's tag for which `same` is true.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if let Some(at) = position(&self.slots, hash, &mut same) {
            return number_in(self.slots[at]);
        }
        let at = position(&self.before, hash, same)?;
        number_in(self.before[at])
    }

    /// Adds a record. `hash_of` tells the hash of any record.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        debug_assert!(number <= RECORDS_MAX, "a number must fit its bits");
        if is_full(self.len as usize, self.slots.len()) {
            self.resize((self.slots.len() * 2).max(SLOTS_MIN), &hash_of);
        }
        place(&mut self.slots, hash, number);
        self.len += 1;
        self.advance(MOVED_A_TIME, hash_of);
    }

    /// Gives a record another number.
    pub(crate) fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        for slots in [&mut self.slots, &mut self.before] {
            if let Some(at) = position(slots, hash, |number| number == from) {
                slots[at] = slot(hash, to);
                return;
            }
        }
    }

    /// Removes a record and closes the gap.
    pub(crate) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if let Some(at) = position(&self.before, hash, |other| other == number) {
            self.before[at] = MOVED;
            self.len -= 1;
            return;
        }
        let Some(mut gap) = position(&self.slots, hash, |other| other == number) else { return };
        let mask = self.slots.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let Some(number) = number_in(self.slots[at]) else { break };
            // What stands here may move to the gap unless its search begins behind the gap.
            let home = home(hash_of(number), self.slots.len());
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.slots[gap] = self.slots[at];
                gap = at;
            }
        }
        self.slots[gap] = FREE;
        self.len -= 1;
    }

    /// Gives memory back when little of it is used.
    pub(crate) fn fit(&mut self, hash_of: impl Fn(u32) -> u64) {
        if self.slots.len() > 64 && (self.len as usize) < self.slots.len() / 4 {
            self.resize(self.slots.len() / 2, &hash_of);
        }
        self.advance(MOVED_A_TIME, hash_of);
    }

    /// Goes on moving, if there is anything to move, by so many slots.
    pub(crate) fn advance(&mut self, slots: usize, hash_of: impl Fn(u32) -> u64) {
        if self.before.is_empty() {
            return;
        }
        let end = self.before.len().min(self.next.saturating_add(slots));
        for before in &mut self.before[self.next..end] {
            if let Some(number) = number_in(*before) {
                place(&mut self.slots, hash_of(number), number);
                *before = MOVED;
            }
        }
        self.next = end;
        if end == self.before.len() {
            self.before = Box::default();
        }
    }

    /// Begins a table of another size.
    fn resize(&mut self, slots: usize, hash_of: impl Fn(u32) -> u64) {
        self.advance(usize::MAX, hash_of);
        self.before = core::mem::replace(&mut self.slots, vec![FREE; slots].into_boxed_slice());
        self.next = 0;
    }
}

fn position(slots: &[u32], hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<usize> {
    if slots.is_empty() {
        return None;
    }
    let mask = slots.len() - 1;
    let (tag, mut at) = (tag(hash), home(hash, slots.len()));
    loop {
        let slot = slots[at];
        if slot == FREE {
            return None;
        }
        if slot & !NUMBER_MASK == tag && number_in(slot).is_some_and(&mut same) {
            return Some(at);
        }
        at = (at + 1) & mask;
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

const fn slot(hash: u64, number: u32) -> u32 {
    tag(hash) | (number + 1)
}

const fn number_in(slot: u32) -> Option<u32> {
    (slot & NUMBER_MASK).checked_sub(1)
}

fn place(slots: &mut [u32], hash: u64, number: u32) {
    let mask = slots.len() - 1;
    let mut at = home(hash, slots.len());
    while slots[at] != FREE {
        at = (at + 1) & mask;
    }
    slots[at] = slot(hash, number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::cell::Cell;
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

    fn hash(number: u32) -> u64 {
        u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn nobody_waits_for_the_whole_index_to_grow_or_to_shrink() {
        let mut index = Index::default();
        let asked = Cell::new(0);
        let counted = |number| {
            asked.set(asked.get() + 1);
            hash(number)
        };
        for number in 0..50_000 {
            asked.set(0);
            index.insert(hash(number), number, counted);
            assert!(asked.get() <= MOVED_A_TIME, "{} moved at {number}", asked.get());
            // What was moved, and what was not yet.
            for known in [number, number / 2, 0] {
                assert_eq!(index.find(hash(known), |other| other == known), Some(known));
            }
        }
        let full = index.heap_bytes();
        for number in (1000..50_000).rev() {
            index.remove(hash(number), number, hash);
            asked.set(0);
            index.fit(counted);
            assert!(asked.get() <= MOVED_A_TIME, "{} moved at {number}", asked.get());
            let known = number / 2;
            assert_eq!(index.find(hash(known), |other| other == known), Some(known));
        }
        assert!(index.heap_bytes() * 8 < full, "{} of {full} bytes left", index.heap_bytes());
    }
}
