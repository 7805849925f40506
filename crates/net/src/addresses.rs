//! The addresses that this host has.
//!
//! What they are used for is the business of the caller; they may change at any time.

use std::net::IpAddr;

/// The addresses of all interfaces, those of the loopback included, each once.
///
/// Without the IPv6 addresses that mean something on one link only. Empty where the system tells
/// none.
#[must_use]
pub fn local() -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let address = interface.ip();
        let of_one_link = matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
        if !of_one_link && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn every_address_can_be_bound_and_the_loopback_is_among_them() {
        let addresses = local();
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        for address in addresses {
            UdpSocket::bind((address, 0)).unwrap();
        }
    }
}
