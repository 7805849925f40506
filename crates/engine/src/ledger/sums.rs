//! Deltas added up: for a user, a torrent, or a user in a torrent.
//!
//! Whose sums they are is known to whoever keeps them.

use super::{Delta, Traffic};

/// The sum of some deltas. No number ever wraps: it stays at the greatest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Bytes as clients claim them, but for those that are held.
    pub raw: Traffic,
    /// What they are worth.
    pub credited: Traffic,
    /// Bytes that wait for somebody to look at them.
    pub held: Traffic,
    /// Seconds of seeding.
    pub seeding_secs: u64,
    /// Seconds of leeching.
    pub leeching_secs: u64,
    /// Seconds of either.
    pub active_secs: u64,
    /// Downloads finished.
    pub completions: u64,
}

impl Sums {
    /// Adds a delta.
    pub fn add(&mut self, delta: &Delta) {
        match delta.held {
            true => self.held = self.held.plus(delta.raw),
            false => self.raw = self.raw.plus(delta.raw),
        }
        self.credited = self.credited.plus(delta.credited);
        self.seeding_secs = self.seeding_secs.saturating_add(delta.seeding_secs.into());
        self.leeching_secs = self.leeching_secs.saturating_add(delta.leeching_secs.into());
        self.active_secs = self.active_secs.saturating_add(delta.active_secs.into());
        self.completions = self.completions.saturating_add(delta.completed.into());
    }

    /// Cuts every number to what a column holds.
    #[must_use]
    pub fn clamped(self, max: u64) -> Self {
        let traffic = |traffic: Traffic| Traffic {
            uploaded_bytes: traffic.uploaded_bytes.min(max),
            downloaded_bytes: traffic.downloaded_bytes.min(max),
        };
        Self {
            raw: traffic(self.raw),
            credited: traffic(self.credited),
            held: traffic(self.held),
            seeding_secs: self.seeding_secs.min(max),
            leeching_secs: self.leeching_secs.min(max),
            active_secs: self.active_secs.min(max),
            completions: self.completions.min(max),
        }
    }
}
