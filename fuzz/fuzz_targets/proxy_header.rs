//! Headers of the PROXY protocol, from proxies that are not what they should be.
//!
//! Checks that nothing panics, that it makes no difference in how many pieces a header arrives, and
//! that a client that was read is the same when it is written in either version and read again.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use skep_proto::proxy::{
    PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX, ProxyHeader, ProxyStatus, parse_proxy_datagram,
    parse_proxy_header,
};

/// Beginnings that are tried one by one; longer headers differ only in what is skipped.
const PIECES_MAX: usize = 128;

fuzz_target!(|input: &[u8]| {
    let status = parse_proxy_header(input);
    for len in (0..input.len().min(PIECES_MAX)).chain(input.len().checked_sub(1)) {
        let earlier = parse_proxy_header(&input[..len]);
        match status {
            ProxyStatus::Complete(header) if len >= header.len => assert_eq!(earlier, status),
            ProxyStatus::Complete(_) | ProxyStatus::Partial => {
                assert_eq!(earlier, ProxyStatus::Partial);
            }
            ProxyStatus::Invalid => assert!(!matches!(earlier, ProxyStatus::Complete(_))),
        }
    }
    if let Some(header) = parse_proxy_datagram(input) {
        assert_eq!(status, ProxyStatus::Complete(header));
    }
    if let ProxyStatus::Complete(header) = status {
        check(input, header);
    } else if status == ProxyStatus::Partial {
        assert!(input.len() < PROXY_HEADER_BYTES_MAX);
    }
});

fn check(input: &[u8], ProxyHeader { len, client }: ProxyHeader) {
    let is_line = input.starts_with(b"PROXY ");
    assert!(len <= if is_line { PROXY_LINE_BYTES_MAX } else { PROXY_HEADER_BYTES_MAX });
    assert!(len <= input.len());
    let Some(client) = client else {
        return;
    };
    assert_eq!(client.ip(), client.ip().to_canonical());
    for bytes in [version_1(client), version_2(client)] {
        let expected = ProxyHeader { len: bytes.len(), client: Some(client) };
        assert_eq!(parse_proxy_header(&bytes), ProxyStatus::Complete(expected));
    }
}

fn version_1(client: SocketAddr) -> Vec<u8> {
    let (ip, port) = (client.ip(), client.port());
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {ip} {ip} {port} {port}\r\n").into_bytes()
}

fn version_2(client: SocketAddr) -> Vec<u8> {
    let (ip, family) = match client.ip() {
        IpAddr::V4(ip) => (ip.octets().to_vec(), 0x11),
        IpAddr::V6(ip) => (ip.octets().to_vec(), 0x21),
    };
    let port = client.port().to_be_bytes();
    let endpoints = [&ip[..], &ip, &port, &port].concat();
    let bytes = u8::try_from(endpoints.len()).expect("36 at the most");
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family, 0, bytes][..], &endpoints].concat()
}
