//! How often an address may do what costs memory or hides an attack: token buckets in a fixed table.
//!
//! The table never grows. Two addresses that fall into one bucket share it, which the seed keeps an
//! attacker from arranging.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;

use crate::hash::Seed;
use crate::time::Tick;

const BUCKETS: usize = 8192;

/// Token buckets by address or network.
#[derive(Debug)]
pub struct RateTable {
    seed: Seed,
    per_minute_max: u32,
    ipv4_bits: u32,
    ipv6_bits: u32,
    /// Made when first needed.
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u32,
    filled: Tick,
}

impl RateTable {
    /// Makes a table that lets each network of the given widths do something so often a minute.
    ///
    /// # Units
    /// `per_minute_max` events, 0 for no limit; widths in leading bits of an address.
    #[must_use]
    pub fn new(seed: Seed, per_minute_max: u32, ipv4_bits: u32, ipv6_bits: u32) -> Self {
        Self { seed, per_minute_max, ipv4_bits, ipv6_bits, buckets: Box::default() }
    }

    /// Takes one token of an address; `false` if it has none left.
    pub fn take(&mut self, ip: IpAddr, now: Tick) -> bool {
        if self.per_minute_max == 0 {
            return true;
        }
        if self.buckets.is_empty() {
            let full = Bucket { tokens: self.per_minute_max, filled: now };
            self.buckets = vec![full; BUCKETS].into_boxed_slice();
        }
        let number = self.seed.hash(&self.network(ip)) as usize % BUCKETS;
        let bucket = &mut self.buckets[number];
        let earned = u64::from(self.per_minute_max) * u64::from(now.since(bucket.filled)) / 60;
        if earned > 0 {
            let tokens = u64::from(bucket.tokens) + earned;
            bucket.tokens = tokens.min(u64::from(self.per_minute_max)) as u32;
            bucket.filled = now;
        }
        let granted = bucket.tokens > 0;
        bucket.tokens -= u32::from(granted);
        granted
    }

    fn network(&self, ip: IpAddr) -> [u8; 17] {
        let mut key = [0; 17];
        match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - self.ipv4_bits.min(32)).unwrap_or(0);
                key[..4].copy_from_slice(&(ip.to_bits() & mask).to_be_bytes());
                key[16] = 4;
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - self.ipv6_bits.min(128)).unwrap_or(0);
                key[..16].copy_from_slice(&(ip.to_bits() & mask).to_be_bytes());
                key[16] = 6;
            }
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_runs_dry_alone_and_earns_again() {
        let mut table = RateTable::new(Seed::new(1), 3, 24, 48);
        let busy: IpAddr = "192.0.2.1".parse().expect("an address");
        let same_network: IpAddr = "192.0.2.99".parse().expect("an address");
        let other: IpAddr = "198.51.100.1".parse().expect("an address");
        for _ in 0..3 {
            assert!(table.take(busy, Tick(0)));
        }
        assert!(!table.take(same_network, Tick(0)));
        assert!(table.take(other, Tick(0)));
        assert!(!table.take(busy, Tick(19)));
        assert!(table.take(busy, Tick(20)), "three a minute are one in twenty seconds");
        assert!(!table.take(busy, Tick(20)));
    }

    #[test]
    fn no_limit_takes_no_memory() {
        let mut table = RateTable::new(Seed::new(1), 0, 32, 64);
        assert!((0..10_000).all(|_| table.take(IpAddr::from([192, 0, 2, 1]), Tick(0))));
        assert!(table.buckets.is_empty());
    }
}
