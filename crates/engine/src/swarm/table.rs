//! The torrents of one shard: records side by side, found through a table of their numbers.
//!
//! Records have no gaps: the last one fills a hole, so memory follows the number of torrents down
//! as well as up. What a record means is known in `swarm`, not here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skep_proto::{InfoHash, PeerId};

use super::index::{Index, RECORDS_MAX};
use super::lane::{Lane, LaneKind};
use super::part::PeerClass;
use crate::hash::Seed;
use crate::limits::CHUNK_TORRENTS;
use crate::time::Stamp;

/// One torrent and where its peers are.
///
/// # Layout
/// 40 bytes: most torrents of a public tracker have one IPv4 peer, which stands in the record.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) info_hash: InfoHash,
    /// Finished downloads reported so far.
    pub(crate) completions: u32,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// No peer; the stamp says since when.
    Empty(Stamp),
    /// One IPv4 peer; its peer id is in the table's own column.
    Single(Single),
    /// Peers of one kind.
    Lane(Box<Lane>),
    /// Peers of several kinds, at most one lane each.
    #[expect(clippy::box_collection, reason = "a bare Vec would add 16 bytes to every torrent")]
    Lanes(Box<Vec<Lane>>),
}

/// The only peer of a torrent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single {
    pub(crate) endpoint: [u8; 6],
    pub(crate) stamp: Stamp,
    pub(crate) kind: LaneKind,
    pub(crate) class: PeerClass,
}

const _: () = assert!(size_of::<Torrent>() == 40, "the record of a one-peer torrent");
const _: () = assert!(size_of::<Body>() == 16, "the body of a record");

#[derive(Debug)]
struct Chunk {
    torrents: Vec<Torrent>,
    /// Peer ids of [`Body::Single`] peers; empty if peer ids are not kept.
    peer_ids: Vec<PeerId>,
}

/// The torrents of one shard.
#[derive(Debug)]
pub(crate) struct Table {
    chunks: Vec<Chunk>,
    index: Index,
    peer_ids: bool,
}

impl Table {
    pub(crate) fn new(peer_ids: bool) -> Self {
        Self { chunks: Vec::new(), index: Index::default(), peer_ids }
    }

    pub(crate) fn len(&self) -> u32 {
        self.index.len()
    }

    /// Whether the index has no number for another record.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= RECORDS_MAX
    }

    pub(crate) const fn keeps_peer_ids(&self) -> bool {
        self.peer_ids
    }

    /// The number of a torrent; `hash` is that of its info hash.
    pub(crate) fn find(&self, hash: u64, info_hash: &InfoHash) -> Option<u32> {
        self.index.find(hash, |number| self.torrent(number).info_hash == *info_hash)
    }

    /// Where the search for a torrent with this hash begins.
    pub(crate) fn homes(&self, hash: u64) -> impl Iterator<Item = &u32> {
        self.index.homes(hash)
    }

    /// The torrent that a search for this hash most likely ends at, without looking at it, and its
    /// peer id if one is kept.
    pub(crate) fn candidate(&self, hash: u64) -> Option<(&Torrent, Option<&PeerId>)> {
        let (chunk, at) = locate(self.index.find(hash, |_| true)?);
        let chunk = &self.chunks[chunk];
        Some((&chunk.torrents[at], chunk.peer_ids.get(at)))
    }

    pub(crate) fn torrent(&self, number: u32) -> &Torrent {
        let (chunk, at) = locate(number);
        &self.chunks[chunk].torrents[at]
    }

    pub(crate) fn torrent_mut(&mut self, number: u32) -> &mut Torrent {
        let (chunk, at) = locate(number);
        &mut self.chunks[chunk].torrents[at]
    }

    /// The peer id of a [`Body::Single`] peer, if peer ids are kept.
    pub(crate) fn single_peer_id(&self, number: u32) -> Option<PeerId> {
        let (chunk, at) = locate(number);
        self.chunks[chunk].peer_ids.get(at).copied()
    }

    pub(crate) fn set_single_peer_id(&mut self, number: u32, peer_id: &PeerId) {
        let (chunk, at) = locate(number);
        if let Some(kept) = self.chunks[chunk].peer_ids.get_mut(at) {
            *kept = *peer_id;
        }
    }

    /// Adds a torrent that is not there yet and returns its number.
    pub(crate) fn insert(&mut self, seed: &Seed, torrent: Torrent) -> u32 {
        let number = self.len();
        let hash = table_hash(seed, &torrent.info_hash);
        let (chunk, at) = locate(number);
        if chunk == self.chunks.len() {
            let room = if chunk == 0 { 4 } else { CHUNK_TORRENTS };
            let peer_ids = if self.peer_ids { room } else { 0 };
            self.chunks.push(Chunk {
                torrents: Vec::with_capacity(room),
                peer_ids: Vec::with_capacity(peer_ids),
            });
        }
        let chunk = &mut self.chunks[chunk];
        debug_assert_eq!(chunk.torrents.len(), at, "records have no gaps");
        chunk.torrents.push(torrent);
        if self.peer_ids {
            chunk.peer_ids.push(PeerId([0; 20]));
        }
        let chunks = &self.chunks;
        self.index.insert(hash, number, |number| hash_of(chunks, seed, number));
        number
    }

    /// Removes a torrent; the last one takes its number.
    pub(crate) fn remove(&mut self, seed: &Seed, number: u32) {
        let last = self.len() - 1;
        let hash = table_hash(seed, &self.torrent(number).info_hash);
        let chunks = &self.chunks;
        self.index.remove(hash, number, |number| hash_of(chunks, seed, number));
        let (last_chunk, _) = locate(last);
        let moved = self.chunks[last_chunk].torrents.pop().expect("the last chunk is never empty");
        let moved_peer_id = self.chunks[last_chunk].peer_ids.pop();
        if number != last {
            let hash = table_hash(seed, &moved.info_hash);
            self.index.renumber(hash, last, number);
            *self.torrent_mut(number) = moved;
            if let Some(peer_id) = moved_peer_id {
                self.set_single_peer_id(number, &peer_id);
            }
        }
        // One chunk is kept to spare: a torrent that comes and goes must not cost an allocation each
        // time.
        let spare = if self.len() == 0 { 0 } else { 2 };
        self.chunks.truncate(locate(self.len()).0 + spare);
        if self.chunks.capacity() > 4 * self.chunks.len() + 4 {
            self.chunks.shrink_to(2 * self.chunks.len());
        }
        let chunks = &self.chunks;
        self.index.fit(|number| hash_of(chunks, seed, number));
    }

    /// Goes on with what insertions and removals left of a change of the index's size.
    pub(crate) fn advance(&mut self, seed: &Seed, slots: usize) {
        let chunks = &self.chunks;
        self.index.advance(slots, |number| hash_of(chunks, seed, number));
    }

    /// Bytes on the heap, as far as the table itself allocated them.
    pub(crate) fn heap_bytes(&self) -> usize {
        let chunks: usize = self
            .chunks
            .iter()
            .map(|chunk| {
                chunk.torrents.capacity() * size_of::<Torrent>()
                    + chunk.peer_ids.capacity() * size_of::<PeerId>()
            })
            .sum();
        chunks + self.chunks.capacity() * size_of::<Chunk>() + self.index.heap_bytes()
    }
}

fn hash_of(chunks: &[Chunk], seed: &Seed, number: u32) -> u64 {
    let (chunk, at) = locate(number);
    table_hash(seed, &chunks[chunk].torrents[at].info_hash)
}

/// The hash of a torrent within its shard. The shard was chosen by other bits of the same hash.
fn table_hash(seed: &Seed, info_hash: &InfoHash) -> u64 {
    seed.hash(info_hash.as_bytes())
}

const fn locate(number: u32) -> (usize, usize) {
    (number as usize / CHUNK_TORRENTS, number as usize % CHUNK_TORRENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> InfoHash {
        let mut bytes = [7; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        InfoHash(bytes)
    }

    fn empty(number: u32) -> Torrent {
        Torrent {
            info_hash: hash(number),
            completions: number,
            body: Body::Empty(Stamp::default()),
        }
    }

    #[test]
    fn torrents_are_found_whatever_was_removed_and_memory_is_given_back() {
        let seed = Seed::new(42);
        let mut table = Table::new(true);
        for number in 0..5000 {
            let at = table.insert(&seed, empty(number));
            table.set_single_peer_id(at, &PeerId(hash(number).0));
        }
        let full = table.heap_bytes();
        for number in (0..5000).filter(|number| number % 50 != 0) {
            let at =
                table.find(table_hash(&seed, &hash(number)), &hash(number)).expect("was put in");
            table.remove(&seed, at);
        }
        assert_eq!(table.len(), 100);
        table.advance(&seed, 5000);
        for number in 0..5000 {
            let found = table.find(table_hash(&seed, &hash(number)), &hash(number));
            assert_eq!(found.is_some(), number % 50 == 0, "torrent {number}");
            if let Some(at) = found {
                assert_eq!(table.torrent(at).completions, number);
                assert_eq!(table.single_peer_id(at), Some(PeerId(hash(number).0)));
            }
        }
        assert!(table.heap_bytes() * 10 < full, "{} of {full} bytes left", table.heap_bytes());
    }
}
