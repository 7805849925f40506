//! A part of a lane: up to a few hundred peers as parallel columns in one block of memory.
//!
//! A part knows classes and time stamps. It does not know which torrent it belongs to, which
//! addresses may meet, or what an announce is.

use alloc::boxed::Box;
use alloc::vec;
use core::ops::Range;

use skep_proto::PeerId;

use crate::time::Stamp;

/// What a peer is to its swarm. The order is the order of the columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum PeerClass {
    /// Still wants pieces.
    Leecher = 0,
    /// Has all it wants, but not everything (BEP 21).
    PartialSeed = 1,
    /// Has everything.
    Seeder = 2,
}

/// Seeders, leechers and partial seeds of a part, of a lane or of a swarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Classes {
    pub(crate) len: u32,
    pub(crate) leechers: u32,
    pub(crate) partials: u32,
}

/// The columns that a part keeps for each peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Columns {
    /// Bytes of an endpoint: 6, 18 or 32.
    pub(crate) stride: usize,
    /// Whether 20 bytes of peer id are kept.
    pub(crate) peer_ids: bool,
}

/// Bytes that a processor fetches at once; where it fetches more, some are named twice.
const LINE_BYTES: usize = 64;
const STAMP_BYTES: usize = 2;
const PEER_ID_BYTES: usize = 20;

impl Columns {
    const fn row_bytes(self) -> usize {
        self.stride + STAMP_BYTES + if self.peer_ids { PEER_ID_BYTES } else { 0 }
    }
}

/// One peer as it goes in and comes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) endpoint: &'a [u8],
    pub(crate) class: PeerClass,
    pub(crate) stamp: Stamp,
    pub(crate) peer_id: &'a PeerId,
}

/// Peers of one lane that hash together.
///
/// # Layout
/// `block` holds the columns one after the other, each `capacity` long: endpoints, stamps, and peer ids if kept. Rows are sorted by class: leechers, partial seeds, seeders.
#[derive(Default, Debug)]
pub(crate) struct Part {
    block: Box<[u8]>,
    len: u32,
    leechers: u32,
    partials: u32,
    /// No stamp in the part is older than this one; it may be older than all of them.
    oldest: Stamp,
}

const _: () = assert!(size_of::<Part>() == 32, "an entry in the directory of a lane's parts");

impl Part {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn leechers(&self) -> u32 {
        self.leechers
    }

    pub(crate) const fn class_at(&self, position: u32) -> PeerClass {
        if position < self.leechers {
            PeerClass::Leecher
        } else if position < self.leechers + self.partials {
            PeerClass::PartialSeed
        } else {
            PeerClass::Seeder
        }
    }

    pub(crate) const fn classes(&self) -> Classes {
        Classes { len: self.len, leechers: self.leechers, partials: self.partials }
    }

    fn capacity(&self, columns: Columns) -> usize {
        self.block.len() / columns.row_bytes()
    }

    /// Names the endpoints, all of which are searched, and where the other columns begin.
    pub(crate) fn ahead(&self, columns: Columns, fetch: &mut impl FnMut(*const u8)) {
        let block = self.block.as_ptr();
        let capacity = self.capacity(columns);
        let stamps = capacity * columns.stride;
        for line in (0..self.len as usize * columns.stride).step_by(LINE_BYTES) {
            fetch(block.wrapping_add(line));
        }
        fetch(block.wrapping_add(stamps));
        if columns.peer_ids {
            fetch(block.wrapping_add(stamps + capacity * STAMP_BYTES));
        }
    }

    /// The endpoints of all rows, without gaps.
    pub(crate) fn endpoints(&self, stride: usize) -> &[u8] {
        &self.block[..self.len as usize * stride]
    }

    pub(crate) fn endpoint(&self, columns: Columns, position: u32) -> &[u8] {
        let at = position as usize * columns.stride;
        &self.block[at..at + columns.stride]
    }

    fn stamp_range(&self, columns: Columns, position: u32) -> Range<usize> {
        let at = self.capacity(columns) * columns.stride + position as usize * STAMP_BYTES;
        at..at + STAMP_BYTES
    }

    pub(crate) fn stamp(&self, columns: Columns, position: u32) -> Stamp {
        let bytes = &self.block[self.stamp_range(columns, position)];
        Stamp::from_bytes([bytes[0], bytes[1]])
    }

    fn peer_id_range(&self, columns: Columns, position: u32) -> Range<usize> {
        let column = self.capacity(columns) * (columns.stride + STAMP_BYTES);
        let at = column + position as usize * PEER_ID_BYTES;
        at..at + PEER_ID_BYTES
    }

    /// The peer id of a row, if the part keeps them.
    pub(crate) fn peer_id(&self, columns: Columns, position: u32) -> Option<PeerId> {
        let kept = columns.peer_ids.then(|| self.peer_id_range(columns, position))?;
        PeerId::from_slice(&self.block[kept])
    }

    pub(crate) fn set_stamp(&mut self, columns: Columns, position: u32, stamp: Stamp) {
        let range = self.stamp_range(columns, position);
        self.block[range].copy_from_slice(&stamp.to_bytes());
    }

    /// Overwrites stamp and peer id of a row that was seen again.
    pub(crate) fn refresh(&mut self, columns: Columns, at: u32, stamp: Stamp, id: &PeerId) {
        self.set_stamp(columns, at, stamp);
        if columns.peer_ids {
            let range = self.peer_id_range(columns, at);
            self.block[range].copy_from_slice(id.as_bytes());
        }
    }

    /// Overwrites the endpoint of a row whose peer came back elsewhere.
    pub(crate) fn move_endpoint(&mut self, columns: Columns, position: u32, endpoint: &[u8]) {
        let at = position as usize * columns.stride;
        self.block[at..at + columns.stride].copy_from_slice(endpoint);
    }

    /// Adds a row; `now` ages the rows that are there.
    pub(crate) fn insert(&mut self, columns: Columns, now: Stamp, row: &Row<'_>) -> u32 {
        if self.len as usize == self.capacity(columns) {
            self.resize(columns, capacity_above(self.len as usize));
        }
        if self.len == 0 || row.stamp.age_steps(now) > self.oldest.age_steps(now) {
            self.oldest = row.stamp;
        }
        let first_partial = self.leechers;
        let first_seeder = self.leechers + self.partials;
        let mut hole = self.len;
        self.len += 1;
        if row.class < PeerClass::Seeder {
            self.move_row(columns, first_seeder, hole);
            hole = first_seeder;
            self.partials += u32::from(row.class == PeerClass::PartialSeed);
        }
        if row.class == PeerClass::Leecher {
            self.move_row(columns, first_partial, hole);
            hole = first_partial;
            self.leechers += 1;
        }
        self.move_endpoint(columns, hole, row.endpoint);
        self.refresh(columns, hole, row.stamp, row.peer_id);
        hole
    }

    /// Takes a row out; the last rows of the classes behind it move up.
    pub(crate) fn remove(&mut self, columns: Columns, position: u32) {
        let class = self.class_at(position);
        let mut hole = position;
        if class == PeerClass::Leecher {
            self.leechers -= 1;
            self.move_row(columns, self.leechers, hole);
            hole = self.leechers;
            self.partials += 1;
        }
        if class < PeerClass::Seeder {
            self.partials -= 1;
            let last_partial = self.leechers + self.partials;
            self.move_row(columns, last_partial, hole);
            hole = last_partial;
        }
        self.len -= 1;
        self.move_row(columns, self.len, hole);
        self.fit(columns);
    }

    /// Whether some row may be older than `ttl_steps`.
    pub(crate) const fn may_hold_expired(&self, now: Stamp, ttl_steps: u16) -> bool {
        self.len > 0 && self.oldest.age_steps(now) > ttl_steps
    }

    /// Removes every row older than `ttl_steps` and tells the class of each.
    pub(crate) fn expire(
        &mut self,
        columns: Columns,
        now: Stamp,
        ttl_steps: u16,
        mut gone: impl FnMut(PeerClass),
    ) {
        let mut oldest = now;
        let mut kept = Classes::default();
        // Rows move up one by one, so classes stay sorted and memory changes once.
        for position in 0..self.len {
            let (class, stamp) = (self.class_at(position), self.stamp(columns, position));
            if stamp.age_steps(now) > ttl_steps {
                gone(class);
                continue;
            }
            if stamp.age_steps(now) > oldest.age_steps(now) {
                oldest = stamp;
            }
            self.move_row(columns, position, kept.len);
            kept.len += 1;
            kept.leechers += u32::from(class == PeerClass::Leecher);
            kept.partials += u32::from(class == PeerClass::PartialSeed);
        }
        self.oldest = oldest;
        (self.len, self.leechers, self.partials) = (kept.len, kept.leechers, kept.partials);
        self.fit(columns);
    }

    /// Bytes that the part holds on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.block.len()
    }

    fn move_row(&mut self, columns: Columns, from: u32, to: u32) {
        if from == to {
            return;
        }
        let at = from as usize * columns.stride;
        self.block.copy_within(at..at + columns.stride, to as usize * columns.stride);
        let (source, target) = (self.stamp_range(columns, from), self.stamp_range(columns, to));
        self.block.copy_within(source, target.start);
        if columns.peer_ids {
            let target = self.peer_id_range(columns, to);
            self.block.copy_within(self.peer_id_range(columns, from), target.start);
        }
    }

    /// Gives memory back when the block is much longer than its rows.
    fn fit(&mut self, columns: Columns) {
        let fitting = if self.len == 0 { 0 } else { capacity_above(self.len as usize) };
        if self.capacity(columns) > fitting + fitting / 4 {
            self.resize(columns, fitting);
        }
    }

    fn resize(&mut self, columns: Columns, capacity: usize) {
        let old_capacity = self.capacity(columns);
        let mut block = vec![0; capacity * columns.row_bytes()].into_boxed_slice();
        let (mut from, mut to) = (0, 0);
        let id_bytes = if columns.peer_ids { PEER_ID_BYTES } else { 0 };
        for width in [columns.stride, STAMP_BYTES, id_bytes] {
            let used = self.len as usize * width;
            block[to..to + used].copy_from_slice(&self.block[from..from + used]);
            from += old_capacity * width;
            to += capacity * width;
        }
        self.block = block;
    }
}

/// The capacity to give to a part that holds `len` rows and gets one more.
///
/// Steps are small, so that little is allocated and not used.
const fn capacity_above(len: usize) -> usize {
    match len {
        0..4 => len + 1,
        4..8 => (len + 2) / 2 * 2,
        _ => (len + 4) / 4 * 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Tick;
    use alloc::vec::Vec;

    const COLUMNS: Columns = Columns { stride: 6, peer_ids: true };

    fn row(part: &mut Part, number: u8, class: PeerClass, at: u32) {
        let stamp = Stamp::new(Tick(at), false);
        let (endpoint, peer_id) = ([number; 6], PeerId([number; 20]));
        part.insert(COLUMNS, stamp, &Row { endpoint: &endpoint, class, stamp, peer_id: &peer_id });
    }

    fn content(part: &Part) -> Vec<(u8, PeerClass)> {
        let mut all: Vec<_> = (0..part.len())
            .map(|at| {
                let number = part.endpoint(COLUMNS, at)[0];
                assert_eq!(part.peer_id(COLUMNS, at), Some(PeerId([number; 20])));
                (number, part.class_at(at))
            })
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn rows_stay_sorted_by_class_and_whole() {
        use PeerClass::{Leecher, PartialSeed, Seeder};
        let mut part = Part::default();
        for (number, class) in [
            (1, Seeder),
            (2, Leecher),
            (3, PartialSeed),
            (4, Leecher),
            (5, Seeder),
            (6, PartialSeed),
        ] {
            row(&mut part, number, class, 0);
        }
        assert_eq!(part.leechers(), 2);
        for (removed, number) in [2u8, 1, 6, 4, 3, 5].into_iter().enumerate() {
            let position = (0..part.len())
                .find(|&at| part.endpoint(COLUMNS, at)[0] == number)
                .expect("a row that was put in");
            let before = content(&part);
            part.remove(COLUMNS, position);
            let expected: Vec<_> =
                before.into_iter().filter(|(other, _)| *other != number).collect();
            assert_eq!(content(&part), expected, "after {} removals", removed + 1);
        }
        assert_eq!(part.len(), 0);
    }

    #[test]
    fn memory_follows_the_rows_both_ways() {
        let mut part = Part::default();
        for number in 0..100 {
            row(&mut part, number, PeerClass::Leecher, 0);
        }
        let full = part.heap_bytes();
        assert!(full <= 104 * 28, "{full} bytes for 100 rows");
        while part.len() > 4 {
            part.remove(COLUMNS, 0);
        }
        assert!(part.heap_bytes() <= 8 * 28, "{} bytes for 4 rows", part.heap_bytes());
    }

    #[test]
    fn only_silent_rows_expire() {
        let mut part = Part::default();
        row(&mut part, 1, PeerClass::Leecher, 0);
        row(&mut part, 2, PeerClass::Seeder, 100);
        row(&mut part, 3, PeerClass::Leecher, 200);
        let now = Stamp::new(Tick(204), false);
        assert!(part.may_hold_expired(now, 30));
        let mut gone = Vec::new();
        part.expire(COLUMNS, now, 30, |class| gone.push(class));
        assert_eq!(gone, [PeerClass::Leecher]);
        assert_eq!(content(&part), [(2, PeerClass::Seeder), (3, PeerClass::Leecher)]);
        assert!(!part.may_hold_expired(now, 30));
    }
}
