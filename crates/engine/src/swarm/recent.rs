//! Completions seen lately, so that a client with two addresses counts once.
//!
//! Bounded: the oldest is forgotten for the newest. Forgetting one means at worst that a dual-stack
//! client counts twice.

use alloc::vec::Vec;

use skep_proto::AnnounceRequest;

use crate::hash::Seed;
use crate::limits::RECENT_COMPLETIONS_MAX;
use crate::time::Tick;

#[derive(Debug, Default)]
pub(crate) struct RecentCompletions {
    /// A ring; `next` is the oldest once it is full.
    seen: Vec<(u64, Tick)>,
    next: usize,
}

impl RecentCompletions {
    /// Remembers a completion; tells whether the same client did not report it within `ttl_secs`.
    ///
    /// # Source
    /// BEP 7: a client announces once for each of its addresses, with one `key`.
    pub(crate) fn first_time(
        &mut self,
        seed: &Seed,
        request: &AnnounceRequest,
        now: Tick,
        ttl_secs: u32,
    ) -> bool {
        let mut client = [0; 48];
        client[..20].copy_from_slice(request.info_hash.as_bytes());
        client[20..40].copy_from_slice(request.peer_id.as_bytes());
        client[40..].copy_from_slice(&request.peer_key.folded().to_le_bytes());
        let client = seed.hash(&client);
        if let Some((_, when)) = self.seen.iter_mut().find(|(seen, _)| *seen == client) {
            let first = now.since(*when) > ttl_secs;
            *when = now;
            return first;
        }
        if self.seen.len() < RECENT_COMPLETIONS_MAX {
            self.seen.push((client, now));
        } else {
            self.seen[self.next] = (client, now);
            self.next = (self.next + 1) % RECENT_COMPLETIONS_MAX;
        }
        true
    }
}
