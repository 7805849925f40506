//! Compact peers: an address and a port in 6 or 18 bytes, as they travel and as they are stored.
//!
//! Which addresses may be handed out is not decided here.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a compact IPv4 peer (BEP 23).
pub const IPV4_BYTES: usize = 6;
/// Bytes of a compact IPv6 peer (BEP 7, BEP 15).
pub const IPV6_BYTES: usize = 18;

/// An IPv4 endpoint in wire order: 4 bytes address, 2 bytes port.
pub type CompactIpv4 = [u8; IPV4_BYTES];
/// An IPv6 endpoint in wire order: 16 bytes address, 2 bytes port.
pub type CompactIpv6 = [u8; IPV6_BYTES];

/// Packs an IPv4 endpoint.
#[must_use]
pub const fn pack_ipv4(ip: Ipv4Addr, port: u16) -> CompactIpv4 {
    let [a, b, c, d] = ip.octets();
    let [high, low] = port.to_be_bytes();
    [a, b, c, d, high, low]
}

/// Packs an IPv6 endpoint.
#[must_use]
pub fn pack_ipv6(ip: Ipv6Addr, port: u16) -> CompactIpv6 {
    let mut bytes = [0; IPV6_BYTES];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&port.to_be_bytes());
    bytes
}

/// Reads a packed IPv4 endpoint.
#[must_use]
pub const fn unpack_ipv4(bytes: &CompactIpv4) -> (Ipv4Addr, u16) {
    let [a, b, c, d, high, low] = *bytes;
    (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
}

/// Reads a packed IPv6 endpoint.
#[must_use]
pub fn unpack_ipv6(bytes: &CompactIpv6) -> (Ipv6Addr, u16) {
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[..16]);
    (Ipv6Addr::from(ip), u16::from_be_bytes([bytes[16], bytes[17]]))
}

/// An address with IPv4-mapped IPv6 turned into plain IPv4, so that one host has one form.
#[must_use]
pub const fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The same for an address with its port.
#[must_use]
pub const fn canonical_socket(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(address.ip()), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_endpoints_read_back() {
        let ip = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(pack_ipv4(ip, 6881), [0xc0, 0, 2, 1, 0x1a, 0xe1]);
        assert_eq!(unpack_ipv4(&pack_ipv4(ip, 6881)), (ip, 6881));
        let ip = "2001:db8::7".parse().expect("an address");
        assert_eq!(unpack_ipv6(&pack_ipv6(ip, 51413)), (ip, 51413));
    }

    #[test]
    fn mapped_addresses_become_plain() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(canonical(mapped), IpAddr::from([192, 0, 2, 1]));
    }
}
