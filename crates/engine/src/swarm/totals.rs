//! How much all shards hold together, so that a bound on all of them is one bound.
//!
//! Written only when a peer or a torrent comes or goes, not when one is refreshed.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use super::Tally;

/// Torrents and peers of all shards that share it.
#[derive(Debug, Default)]
pub struct Totals {
    torrents: AtomicU64,
    peers: AtomicU64,
}

/// A shard's part in the totals.
#[derive(Debug)]
pub(super) struct Published {
    totals: Arc<Totals>,
    torrents: u64,
    peers: u64,
}

impl Published {
    pub(super) const fn new(totals: Arc<Totals>) -> Self {
        Self { totals, torrents: 0, peers: 0 }
    }

    pub(super) fn torrents(&self) -> u64 {
        self.totals.torrents.load(Ordering::Relaxed)
    }

    pub(super) fn peers(&self) -> u64 {
        self.totals.peers.load(Ordering::Relaxed)
    }

    /// Brings the totals up to what the shard holds now.
    pub(super) fn publish(&mut self, tally: &Tally) {
        let peers = tally.peers_total();
        if self.peers != peers {
            change(&self.totals.peers, self.peers, peers);
            self.peers = peers;
        }
        if self.torrents != tally.torrents {
            change(&self.totals.torrents, self.torrents, tally.torrents);
            self.torrents = tally.torrents;
        }
    }
}

fn change(total: &AtomicU64, from: u64, to: u64) {
    // Wrapping: a smaller number is added as its complement.
    total.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
}
