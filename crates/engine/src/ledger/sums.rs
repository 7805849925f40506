//! Deltas added up: for a user, a torrent, or a user in a torrent.
//!
//! Whose sums they are is known to whoever keeps them.

use super::{Delta, Traffic, Verdict};

/// The sum of some deltas. No number ever wraps: it stays at the greatest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Bytes as clients claim them, but for those that are held.
    pub raw: Traffic,
    /// What they are worth.
    pub credited: Traffic,
    /// Bytes that were held until somebody looks at them.
    pub held: Traffic,
    /// Held bytes about which somebody has decided.
    pub settled: Traffic,
    /// Bytes that were downloaded and thrown away, as clients claim.
    pub corrupt_bytes: u64,
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
        let sum = match (delta.verdict, delta.held) {
            (None, true) => &mut self.held,
            (None, false) => &mut self.raw,
            (Some(_), _) => &mut self.settled,
        };
        *sum = sum.plus(delta.raw);
        if delta.verdict == Some(Verdict::Released) {
            self.raw = self.raw.plus(delta.raw);
        }
        self.corrupt_bytes = self.corrupt_bytes.saturating_add(delta.corrupt_bytes);
        self.credited = self.credited.plus(delta.credited);
        self.seeding_secs = self.seeding_secs.saturating_add(delta.seeding_secs.into());
        self.leeching_secs = self.leeching_secs.saturating_add(delta.leeching_secs.into());
        self.active_secs = self.active_secs.saturating_add(delta.active_secs.into());
        self.completions = self.completions.saturating_add(delta.completed.into());
    }

    /// Bytes that are held and about which nobody has decided.
    #[must_use]
    pub const fn waiting(&self) -> Traffic {
        self.held.minus(self.settled)
    }

    /// By how many bytes more was sent than got, without what was thrown away. Of a torrent it is 0
    /// where all clients tell the truth.
    #[must_use]
    pub fn balance_bytes(&self) -> i128 {
        i128::from(self.raw.uploaded_bytes)
            - i128::from(self.raw.downloaded_bytes)
            - i128::from(self.corrupt_bytes)
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
            settled: traffic(self.settled),
            corrupt_bytes: self.corrupt_bytes.min(max),
            seeding_secs: self.seeding_secs.min(max),
            leeching_secs: self.leeching_secs.min(max),
            active_secs: self.active_secs.min(max),
            completions: self.completions.min(max),
        }
    }
}
