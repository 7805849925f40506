//! Who is at the other end of a connection, as far as the connection itself tells.
//!
//! For whom a proxy speaks may also be in the head of its requests, and is read in the engine.

#[cfg(unix)]
use std::net::Ipv4Addr;
use std::net::{IpAddr, SocketAddr};

use skep_engine::session::{HttpRefusal, HttpSession, Proxies};
use skep_proto::http::Head;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Where the connection comes from; unspecified for a unix socket.
    pub(super) address: SocketAddr,
    /// Whether the connection is encrypted.
    pub(super) over_tls: bool,
    /// Whether it comes through a unix socket, so from a proxy on this host that is trusted.
    pub(super) by_unix_socket: bool,
    /// Whether it is a proxy that connects for itself, or does not know for whom.
    pub(super) is_proxy: bool,
}

impl Client {
    /// The other end of a unix socket.
    #[cfg(unix)]
    pub(super) const fn of_unix_socket() -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self { address, over_tls: false, by_unix_socket: true, is_proxy: true }
    }

    /// Whether it is a proxy, which has many connections.
    pub(super) fn is_trusted(self, proxies: &Proxies) -> bool {
        self.is_proxy || proxies.trusted.contains(self.ip().to_canonical())
    }

    /// The address of the client, which may stand behind a proxy.
    pub(super) fn source<'a>(
        self,
        session: &HttpSession<'a>,
        head: &Head<'_>,
    ) -> Result<IpAddr, HttpRefusal<'a>> {
        match self.by_unix_socket {
            true => session.client_of_proxy(head),
            false => session.client_ip(head, self.ip(), self.is_proxy),
        }
    }

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
        Self { address, over_tls: false, by_unix_socket: false, is_proxy: false }
    }
}
