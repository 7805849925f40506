//! What a request will read, named before it is carried out.
//!
//! With millions of torrents a request waits for memory several times in a row. Whoever has many
//! requests asks for the memory of all of them first, so that they wait together. Nothing is read
//! here that could be wrong, and nothing is changed.

use core::ptr;

use super::Shard;
use super::table::Torrent;

/// Steps of [`Shard::ahead`].
pub const STEPS_AHEAD: u32 = 3;

impl Shard {
    /// Names memory that a request for the torrent with this hash reads, for `step` 0 to 2.
    ///
    /// A step finds what it names with what the step before it named, so callers take one step for a
    /// whole batch of requests before they take the next.
    #[inline]
    pub fn ahead(&self, step: u32, hash: u64, mut fetch: impl FnMut(*const u8)) {
        match step {
            0 => {
                if let Some(slot) = self.table.home(hash) {
                    fetch(ptr::from_ref(slot).cast());
                }
            }
            1 => {
                if let Some(torrent) = self.table.candidate(hash) {
                    // A record may lie across two cache lines.
                    let first = ptr::from_ref(torrent).cast::<u8>();
                    fetch(first);
                    fetch(first.wrapping_add(size_of::<Torrent>() - 1));
                }
            }
            _ => {
                if let Some(torrent) = self.table.candidate(hash)
                    && let Some(lane) = torrent.body.lanes().first()
                {
                    fetch(ptr::from_ref(lane).cast());
                }
            }
        }
    }

    /// Whether the shard holds so much that asking ahead is worth its time.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.table.len() >= AHEAD_TORRENTS_MIN
    }
}

/// Torrents of a shard from which on its memory does not stay in the cache by itself.
const AHEAD_TORRENTS_MIN: u32 = 256;
