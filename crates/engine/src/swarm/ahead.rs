//! What a request will read, named before it is carried out.
//!
//! With millions of torrents a request waits for memory several times in a row. Whoever has many
//! requests asks for the memory of all of them first, so that they wait together. Nothing is read
//! here that could be wrong, and nothing is changed.

use core::ptr;

use super::table::{Body, Torrent};
use super::totals::Pressure;
use super::{Announce, LaneKind, Shard, lane_context};

/// Steps of [`Shard::ahead`].
pub const STEPS_AHEAD: u32 = 6;

impl Shard {
    /// Names memory that a request for the torrent with this hash reads, for `step` 0 to 5, and tells
    /// whether the next step has more. `announce` is the request, unless it is a scrape.
    ///
    /// A step finds what it names with what the step before it named, so callers take one step for a
    /// whole batch of requests before they take the next.
    #[inline]
    pub fn ahead(
        &self,
        step: u32,
        hash: u64,
        announce: Option<&Announce>,
        mut fetch: impl FnMut(*const u8),
    ) -> bool {
        if step == 0 {
            self.table.homes(hash).for_each(|slot| fetch(ptr::from_ref(slot).cast()));
            return true;
        }
        let Some((torrent, peer_id)) = self.table.candidate(hash) else { return false };
        match step {
            1 => {
                // A record may lie across two cache lines.
                let first = ptr::from_ref(torrent).cast::<u8>();
                fetch(first);
                fetch(first.wrapping_add(size_of::<Torrent>() - 1));
                true
            }
            2 => {
                if let (Body::Single(_), Some(peer_id)) = (&torrent.body, peer_id) {
                    fetch(ptr::from_ref(peer_id).cast());
                }
                let lane = torrent.body.lanes().first();
                lane.map(|lane| fetch(ptr::from_ref(lane).cast())).is_some()
            }
            _ => self.lanes_ahead(step - 3, torrent, announce, fetch),
        }
    }

    fn lanes_ahead(
        &self,
        step: u32,
        torrent: &Torrent,
        announce: Option<&Announce>,
        mut fetch: impl FnMut(*const u8),
    ) -> bool {
        let announcer =
            announce.map(|announce| (self.kind_of(announce), self.endpoint_of(announce)));
        let (kind, pressure) = (LaneKind::Ipv4, Pressure::None);
        let context = lane_context(&self.settings, &self.seed, pressure, kind, self.now);
        let mut more = false;
        for lane in torrent.body.lanes() {
            let own = announcer.as_ref().filter(|(kind, _)| *kind == lane.kind);
            let endpoint = own.map(|(_, endpoint)| endpoint);
            more |= lane.ahead(&context, step, endpoint, &mut fetch);
        }
        more
    }

    /// Whether the shard holds so much that asking ahead is worth its time.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.table.len() >= AHEAD_TORRENTS_MIN
    }
}

/// Torrents of a shard from which on its memory does not stay in the cache by itself.
const AHEAD_TORRENTS_MIN: u32 = 256;
