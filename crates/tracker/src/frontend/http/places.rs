//! Places for connections: so many in the process, and so many for one address.
//!
//! Counts what is open now and nothing else. Who is exempt is decided by the caller.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use skep_engine::counters::DropReason;

/// Parts of the table, so that workers seldom wait for each other.
const PARTS: usize = 16;

/// What one customer of a network has at least: an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Network(u128);

impl Network {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.to_ipv6_mapped().to_bits()),
            // No mapped address has such a prefix.
            IpAddr::V6(ip) => Self(Ipv6Addr::to_bits(ip) >> 64 << 64),
        }
    }

    const fn part(self) -> usize {
        ((self.0 >> 64) as usize ^ self.0 as usize) % PARTS
    }
}

/// The open connections of the process.
#[derive(Debug)]
pub(super) struct Places {
    open: AtomicUsize,
    open_max: usize,
    /// 0 for no limit.
    per_network_max: usize,
    /// Networks with at least one connection.
    networks: [Mutex<HashMap<Network, usize>>; PARTS],
}

impl Places {
    pub(super) fn new(open_max: usize, per_network_max: usize) -> Self {
        Self { open: AtomicUsize::new(0), open_max, per_network_max, networks: Default::default() }
    }

    /// A place for one more connection, or why there is none.
    pub(super) fn take(
        self: &Arc<Self>,
        ip: IpAddr,
        is_exempt: impl FnOnce() -> bool,
    ) -> Result<Place, DropReason> {
        let network = (self.per_network_max > 0 && !is_exempt()).then(|| Network::of(ip));
        let full = DropReason::TooManyConnectionsOfAddress;
        if network.is_some_and(|network| !self.enter(network)) {
            return Err(full);
        }
        // From here on, dropping the place gives everything back.
        let place = Place { places: Arc::clone(self), network };
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.open_max {
            return Err(DropReason::TooManyConnections);
        }
        Ok(place)
    }

    fn enter(&self, network: Network) -> bool {
        let mut networks = self.networks[network.part()].lock();
        let count = networks.entry(network).or_default();
        let enters = *count < self.per_network_max;
        *count += usize::from(enters);
        enters
    }

    fn leave(&self, network: Network) {
        let mut networks = self.networks[network.part()].lock();
        if let Entry::Occupied(mut count) = networks.entry(network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The place of one open connection.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    network: Option<Network>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(network) = self.network {
            self.places.leave(network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn take(places: &Arc<Places>, text: &str) -> Result<Place, DropReason> {
        places.take(ip(text), || false)
    }

    fn remembered(places: &Places) -> usize {
        places.networks.iter().map(|part| part.lock().len()).sum()
    }

    #[test]
    fn one_address_gets_no_more_than_its_part() {
        let places = Arc::new(Places::new(10, 2));
        let held = [take(&places, "192.0.2.1").unwrap(), take(&places, "192.0.2.1").unwrap()];
        let refused = take(&places, "192.0.2.1").unwrap_err();
        assert_eq!(refused, DropReason::TooManyConnectionsOfAddress);
        take(&places, "::ffff:192.0.2.1").unwrap_err();
        take(&places, "192.0.2.2").unwrap();
        drop(held);
        take(&places, "192.0.2.1").unwrap();
    }

    #[test]
    fn ipv6_customer_is_its_prefix() {
        let places = Arc::new(Places::new(10, 1));
        let _held = take(&places, "2001:db8::1").unwrap();
        take(&places, "2001:db8::ffff:1:2:3").unwrap_err();
        take(&places, "2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn process_is_full_for_everybody_and_then_free_again() {
        let places = Arc::new(Places::new(2, 1));
        let first = places.take(ip("192.0.2.1"), || true).unwrap();
        let _second = places.take(ip("192.0.2.1"), || true).unwrap();
        for _ in 0..3 {
            assert_eq!(take(&places, "192.0.2.9").unwrap_err(), DropReason::TooManyConnections);
        }
        drop(first);
        take(&places, "192.0.2.9").unwrap();
    }

    #[test]
    fn only_networks_with_connections_are_remembered() {
        let places = Arc::new(Places::new(1000, 5));
        let held: Vec<_> =
            (1..=200).map(|last| take(&places, &format!("192.0.2.{last}")).unwrap()).collect();
        assert_eq!(remembered(&places), 200);
        drop(held);
        assert_eq!(remembered(&places), 0);
        let unlimited = Arc::new(Places::new(1000, 0));
        let _held = take(&unlimited, "192.0.2.1").unwrap();
        assert_eq!(remembered(&unlimited), 0);
    }
}
