//! Clients behind proxies: whom the tracker takes them for, over UDP and over TCP.
//!
//! The proxies here are the tests themselves, which can also do what no proxy would; real ones are
//! tested in `tests/proxies`.

mod tcp;
mod udp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The proxy in `proxy.protocol` and `proxy.protocol_udp`.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const FROM_PROXY: &str = "--proxy.protocol=127.10.0.0/16";
const FROM_PROXY_UDP: &str = "--proxy.protocol_udp=127.10.0.0/16";

/// The header of a stream or a datagram, version 2; without a client the proxy speaks for itself.
fn header(client: Option<SocketAddr>) -> Vec<u8> {
    let Some(client) = client else {
        return version_2(0x20, 0, &[]);
    };
    let (family, ip) = match client.ip() {
        IpAddr::V4(ip) => (0x12, ip.octets().to_vec()),
        IpAddr::V6(ip) => (0x22, ip.octets().to_vec()),
    };
    version_2(0x21, family, &[&ip[..], &ip, &client.port().to_be_bytes(), &[0, 80]].concat())
}

fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, rest].concat()
}
