//! How much all shards hold together and may hold, so that a bound on all of them is one bound.
//!
//! Written only when a peer or a torrent comes or goes, not when one is refreshed.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Tally;

/// How short memory is. Each step keeps less, and every announce is answered all the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Pressure {
    /// There is enough.
    #[default]
    None = 0,
    /// Silent peers are forgotten earlier.
    Low = 1,
    /// Earlier still, and large swarms keep a sample of their peers.
    High = 2,
    /// Nothing grows: a new peer takes the place of another, and no torrent is added.
    Full = 3,
}

impl Pressure {
    /// Every step, in the order of its number.
    pub const ALL: [Self; 4] = [Self::None, Self::Low, Self::High, Self::Full];

    /// The name for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::High => "high",
            Self::Full => "full",
        }
    }

    /// How much of its time to live a silent peer keeps, in percent.
    ///
    /// A peer that announces in time must stay: the time to live is at least two intervals.
    pub(super) const fn ttl_percent(self) -> u32 {
        match self {
            Self::None => 100,
            Self::Low => 80,
            Self::High | Self::Full => 60,
        }
    }

    /// Peers of a lane from which on a new one takes the place of another.
    pub(super) const fn lane_peers_max(self) -> u32 {
        match self {
            Self::None | Self::Low => u32::MAX,
            Self::High => 500,
            Self::Full => 2,
        }
    }
}

/// Torrents and peers of all shards that share it.
#[derive(Debug, Default)]
pub struct Totals {
    torrents: AtomicU64,
    peers: AtomicU64,
    pressure: AtomicU8,
}

impl Totals {
    /// Tells all shards how short memory is.
    pub fn set_pressure(&self, pressure: Pressure) {
        self.pressure.store(pressure as u8, Ordering::Relaxed);
    }

    /// How short memory is.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        Pressure::ALL[usize::from(self.pressure.load(Ordering::Relaxed)) % Pressure::ALL.len()]
    }
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

    pub(super) fn pressure(&self) -> Pressure {
        self.totals.pressure()
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
