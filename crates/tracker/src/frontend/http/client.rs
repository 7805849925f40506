//! Who is at the other end of a connection, as far as the connection itself tells.
//!
//! For whom a proxy speaks may also be in the head of its requests, and is read in the engine.

use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Where the connection comes from.
    pub(super) address: SocketAddr,
    /// Whether it is a proxy that connects for itself, or does not know for whom.
    pub(super) is_proxy: bool,
}

impl Client {
    /// The IP address that the connection comes from.
    pub(super) const fn ip(self) -> IpAddr {
        self.address.ip()
    }

    /// Whether it is counted with IPv6.
    pub(super) fn is_ipv6(self) -> bool {
        self.ip().to_canonical().is_ipv6()
    }
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        Self { address, is_proxy: false }
    }
}
