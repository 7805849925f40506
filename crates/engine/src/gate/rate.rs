//! How often an address may do what costs memory or hides an attack: token buckets in a fixed table.
//!
//! The table never grows. Two networks that fall into one bucket share it: nobody can arrange that for
//! a chosen victim, but whoever sends from very many networks drains buckets of others as well.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;

use crate::hash::Seed;
use crate::time::Tick;

/// Buckets of each address family; 16 bytes each.
const BUCKETS: usize = 32_768;

/// Token buckets by address or network.
#[derive(Debug)]
pub struct RateTable {
    seed: Seed,
    per_minute_max: u32,
    ipv4_bits: u32,
    ipv6_bits: u32,
    /// Buckets of IPv4, then those of IPv6; made when first needed.
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Sixtieths of a token: so many of them are earned each second as tokens each minute.
    sixtieths: u64,
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
        let per_minute = u64::from(self.per_minute_max);
        let full = per_minute * 60;
        if self.buckets.is_empty() {
            let bucket = Bucket { sixtieths: full, filled: now };
            self.buckets = vec![bucket; BUCKETS * 2].into_boxed_slice();
        }
        let family = if ip.is_ipv4() { 0 } else { BUCKETS };
        let number = self.seed.hash(&self.network(ip)) as usize % BUCKETS;
        let bucket = &mut self.buckets[family + number];
        let earned = per_minute * u64::from(now.since(bucket.filled));
        bucket.sixtieths = full.min(bucket.sixtieths + earned);
        bucket.filled = now;
        let granted = bucket.sixtieths >= 60;
        if granted {
            bucket.sixtieths -= 60;
        }
        granted
    }

    /// The leading bits of an address, the rest being zero.
    fn network(&self, ip: IpAddr) -> [u8; 16] {
        match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - self.ipv4_bits.min(32)).unwrap_or(0);
                u128::from(ip.to_bits() & mask).to_be_bytes()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - self.ipv6_bits.min(128)).unwrap_or(0);
                (ip.to_bits() & mask).to_be_bytes()
            }
        }
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
    fn no_fraction_of_a_token_is_lost() {
        for per_minute in [1, 7, 50, 59, 119, 179, 1000] {
            let mut table = RateTable::new(Seed::new(1), per_minute, 24, 48);
            let busy: IpAddr = "2001:db8::1".parse().expect("an address");
            let mut granted = 0;
            for second in 0..600 {
                while table.take(busy, Tick(second)) {
                    granted += 1;
                }
            }
            // What was in the bucket, and what ten minutes less a second earn.
            assert_eq!(granted, per_minute + per_minute * 599 / 60, "{per_minute} a minute");
        }
    }

    #[test]
    fn no_limit_takes_no_memory() {
        let mut table = RateTable::new(Seed::new(1), 0, 32, 64);
        assert!((0..10_000).all(|_| table.take(IpAddr::from([192, 0, 2, 1]), Tick(0))));
        assert!(table.buckets.is_empty());
    }
}
