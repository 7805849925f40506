//! Which addresses may announce.
//!
//! Ranges are looked up, never counted: limits on how often an address may ask live in `rate`.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::members::{Asking, No};
use super::{Refusal, Rules};
use crate::swarm::Announce;

/// A set of address ranges of both families.
#[derive(Clone, Debug, Default)]
pub struct AddressRanges {
    /// First and last address of each range; sorted, apart from each other.
    ipv4: Vec<(u32, u32)>,
    ipv6: Vec<(u128, u128)>,
}

impl AddressRanges {
    /// Makes the set from networks: an address and how many of its leading bits are fixed.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let mut ranges = Self::default();
        for (ip, prefix_bits) in networks {
            match ip {
                IpAddr::V4(ip) => {
                    let host = u32::MAX.checked_shr(u32::from(prefix_bits)).unwrap_or(0);
                    ranges.ipv4.push((ip.to_bits() & !host, ip.to_bits() | host));
                }
                IpAddr::V6(ip) => {
                    let host = u128::MAX.checked_shr(u32::from(prefix_bits)).unwrap_or(0);
                    ranges.ipv6.push((ip.to_bits() & !host, ip.to_bits() | host));
                }
            }
        }
        merge(&mut ranges.ipv4);
        merge(&mut ranges.ipv6);
        ranges
    }

    /// Whether there is no range at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// Whether an address lies in one of the ranges.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => holds(&self.ipv4, ip.to_bits()),
            IpAddr::V6(ip) => holds(&self.ipv6, ip.to_bits()),
        }
    }
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    // Networks nest or are apart, so a range either lies in the one before or behind it.
    ranges.dedup_by(|next, kept| next.1 <= kept.1);
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= address);
    behind > 0 && address <= ranges[behind - 1].1
}

pub(super) fn check<'a>(rules: &'a Rules, announce: &Announce) -> Result<(), Refusal<'a>> {
    if !is_peer_address(announce.ip) {
        return Err(Refusal::InvalidIp);
    }
    if !rules.addresses_denied.is_empty() && rules.addresses_denied.contains(announce.ip) {
        return Err(Refusal::AddressDenied);
    }
    Ok(())
}

pub(super) fn check_member<'a>(rules: &'a Rules, asking: &mut Asking<'_>) -> Result<(), No<'a>> {
    check(rules, asking.announce)?;
    if asking.site.bans(asking.announce.ip) {
        return Err(Refusal::AddressDenied.into());
    }
    Ok(())
}

/// Whether some host can be reached at an address.
const fn is_peer_address(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && !matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_and_no_other() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        let ranges = AddressRanges::new([
            (parse("10.0.0.0"), 8),
            (parse("10.1.0.0"), 16),
            (parse("192.0.2.7"), 32),
            (parse("2001:db8::"), 32),
        ]);
        for inside in ["10.0.0.0", "10.1.2.3", "10.255.255.255", "192.0.2.7", "2001:db8::1"] {
            assert!(ranges.contains(parse(inside)), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db9::"] {
            assert!(!ranges.contains(parse(outside)), "{outside}");
        }
        assert!(AddressRanges::new([(parse("1.2.3.4"), 0)]).contains(parse("250.1.1.1")));
    }
}
