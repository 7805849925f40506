//! The PROXY protocol header, in which a proxy tells on whose behalf it connects or sends.
//!
//! Who may send one is not decided here: from anybody else these bytes are a claim.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str;

use crate::peer_addr::canonical_socket;

/// Longest header of version 1, its line end included.
pub const PROXY_LINE_BYTES_MAX: usize = 107;
/// Longest header of version 2 that is read, its extensions included.
///
/// Addresses need 52 bytes; the rest is for what proxies add, such as the client's certificate.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;
const IPV4_ENDPOINTS_BYTES: usize = 12;
const IPV6_ENDPOINTS_BYTES: usize = 36;

/// What a connection begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyStatus {
    /// A whole header.
    Complete(ProxyHeader),
    /// The beginning of one.
    Partial,
    /// Something else, or a header that breaks the protocol.
    Invalid,
}

/// A header that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyHeader {
    /// Bytes before those of the client.
    pub len: usize,
    /// The client; `None` if the proxy speaks for itself or does not know whom it speaks for.
    pub client: Option<SocketAddr>,
}

/// Reads the header at the beginning of a connection, of either version.
///
/// Extensions are skipped. Addresses come in their canonical form.
///
/// # Cost
/// No allocation; one pass over at most 107 bytes.
/// # Source
/// The PROXY protocol, versions 1 and 2, sections 2.1 and 2.2.
#[must_use]
pub fn parse_proxy_header(bytes: &[u8]) -> ProxyStatus {
    if begins_alike(bytes, LINE_START) {
        line(bytes)
    } else if begins_alike(bytes, SIGNATURE) {
        binary(bytes)
    } else {
        ProxyStatus::Invalid
    }
}

/// Reads the header at the beginning of a datagram, which has version 2; `None` if there is none.
///
/// # Source
/// The PROXY protocol, section 2.2; it defines version 1 for streams alone.
#[must_use]
pub fn parse_proxy_datagram(datagram: &[u8]) -> Option<ProxyHeader> {
    let ProxyStatus::Complete(header) = binary(datagram) else {
        return None;
    };
    Some(header)
}

/// Whether neither contradicts the other as far as both go.
fn begins_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn line(bytes: &[u8]) -> ProxyStatus {
    let bytes = &bytes[..bytes.len().min(PROXY_LINE_BYTES_MAX)];
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        let is_full = bytes.len() == PROXY_LINE_BYTES_MAX;
        return if is_full { ProxyStatus::Invalid } else { ProxyStatus::Partial };
    };
    let text = bytes[..end].strip_suffix(b"\r").and_then(|text| text.strip_prefix(LINE_START));
    match text.and_then(line_client) {
        Some(client) => ProxyStatus::Complete(ProxyHeader { len: end + 1, client }),
        None => ProxyStatus::Invalid,
    }
}

/// Reads what stands between the first word and the line end; the outer `None` is for nonsense.
fn line_client(text: &[u8]) -> Option<Option<SocketAddr>> {
    // Whatever follows the word is to be ignored.
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut words = str::from_utf8(text).ok()?.split(' ');
    let mut word = || words.next();
    let (family, source, destination) = (word()?, word()?, word()?);
    let (port, _) = (port(word()?)?, port(word()?)?);
    let (ip, _) = match family {
        "TCP4" => (ip::<Ipv4Addr>(source)?, ip::<Ipv4Addr>(destination)?),
        "TCP6" => (ip::<Ipv6Addr>(source)?, ip::<Ipv6Addr>(destination)?),
        _ => return None,
    };
    let is_end = word().is_none();
    is_end.then(|| Some(canonical_socket(SocketAddr::new(ip, port))))
}

fn ip<A: str::FromStr + Into<IpAddr>>(word: &str) -> Option<IpAddr> {
    word.parse::<A>().ok().map(Into::into)
}

/// Reads a port without sign and without leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word == "0" || word.starts_with(|first: char| ('1'..='9').contains(&first));
    if is_plain { word.parse().ok() } else { None }
}

/// Reads version 2.
///
/// # Layout
/// Big-endian: 0 signature, 12 version and command, 13 family and protocol, 14 length of the rest
/// u16, 16 addresses of source and destination, their ports u16, extensions.
fn binary(bytes: &[u8]) -> ProxyStatus {
    if !begins_alike(bytes, SIGNATURE) {
        return ProxyStatus::Invalid;
    }
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED_BYTES) else {
        return ProxyStatus::Partial;
    };
    let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
    let len = FIXED_BYTES + rest_bytes;
    let endpoints_bytes = match (command, family) {
        // The proxy speaks for itself, whatever the family says, or for it knows not whom, or for
        // somebody at a unix socket.
        (0x20, _) | (0x21, 0x00 | 0x31 | 0x32) => 0,
        (0x21, 0x11 | 0x12) => IPV4_ENDPOINTS_BYTES,
        (0x21, 0x21 | 0x22) => IPV6_ENDPOINTS_BYTES,
        _ => return ProxyStatus::Invalid,
    };
    if rest_bytes < endpoints_bytes || len > PROXY_HEADER_BYTES_MAX {
        return ProxyStatus::Invalid;
    }
    let Some(rest) = bytes.get(FIXED_BYTES..len) else {
        return ProxyStatus::Partial;
    };
    let client = match endpoints_bytes {
        0 => None,
        IPV4_ENDPOINTS_BYTES => source::<4>(rest),
        _ => source::<16>(rest),
    };
    ProxyStatus::Complete(ProxyHeader { len, client })
}

/// Reads the first of two addresses and the port that stands behind both.
fn source<const IP_BYTES: usize>(endpoints: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; IP_BYTES]>,
{
    let ip = *endpoints.first_chunk::<IP_BYTES>()?;
    let port = endpoints[2 * IP_BYTES..].first_chunk()?;
    Some(canonical_socket(SocketAddr::new(ip.into(), u16::from_be_bytes(*port))))
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    /// A header of version 2 as proxies write it, with `extensions` behind the addresses.
    fn version_2(command: u8, family: u8, rest: &[u8], extensions: &[u8]) -> Vec<u8> {
        let bytes = u16::try_from(rest.len() + extensions.len()).expect("a length that fits");
        [SIGNATURE, &[command, family][..], &bytes.to_be_bytes(), rest, extensions].concat()
    }

    const IPV4_ENDPOINTS: [u8; 12] = [203, 0, 113, 5, 192, 0, 2, 1, 0x1a, 0xe1, 0x05, 0x39];

    fn ipv6_endpoints(source: &str) -> Vec<u8> {
        let ip = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
        [&ip(source)[..], &ip("2001:db8::1"), &[0x1a, 0xe1, 0x05, 0x39]].concat()
    }

    fn complete(bytes: &[u8]) -> (usize, Option<String>) {
        match parse_proxy_header(bytes) {
            ProxyStatus::Complete(ProxyHeader { len, client }) => {
                (len, client.map(|client| format!("{client}")))
            }
            other => panic!("{other:?}: {}", bytes.escape_ascii()),
        }
    }

    fn client(bytes: &[u8]) -> Option<String> {
        complete(bytes).1
    }

    #[test]
    fn line_names_the_client_in_both_families() {
        let line = b"PROXY TCP4 203.0.113.5 192.0.2.1 6881 1337\r\n";
        assert_eq!(complete(line), (line.len(), Some("203.0.113.5:6881".into())));
        let line = b"PROXY TCP6 2001:db8::5 2001:db8::1 6881 1337\r\nGET / HTTP/1.1\r\n";
        assert_eq!(complete(line), (46, Some("[2001:db8::5]:6881".into())));
        let mapped = b"PROXY TCP6 ::ffff:203.0.113.5 ::ffff:192.0.2.1 0 65535\r\n";
        assert_eq!(client(mapped), Some("203.0.113.5:0".into()));
    }

    #[test]
    fn line_of_an_unknown_client_names_nobody_whatever_follows() {
        for line in [
            &b"PROXY UNKNOWN\r\n"[..],
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
            b"PROXY UNKNOWN \xff\xfe\r\n",
        ] {
            assert_eq!(complete(line), (line.len(), None), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn line_that_is_not_exactly_as_it_should_be_is_refused() {
        for text in [
            "PROXY TCP4 203.0.113.5 192.0.2.1 6881 1337\n",
            "PROXY TCP4 203.0.113.5 192.0.2.1 6881 1337 \r\n",
            "PROXY TCP4  203.0.113.5 192.0.2.1 6881 1337\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.1 6881\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.1 06881 1337\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.1 +6881 1337\r\n",
            "PROXY TCP4 203.0.113.5 192.0.2.1 65536 1337\r\n",
            "PROXY TCP4 203.0.113.05 192.0.2.1 6881 1337\r\n",
            "PROXY TCP4 203.0.113.5 tracker 6881 1337\r\n",
            "PROXY TCP4 2001:db8::5 2001:db8::1 6881 1337\r\n",
            "PROXY TCP6 203.0.113.5 192.0.2.1 6881 1337\r\n",
            "PROXY TCP5 203.0.113.5 192.0.2.1 6881 1337\r\n",
            "PROXY TCP4 203.0.113.5\r192.0.2.1 6881 1337\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "PROXY\r\n",
            "proxy UNKNOWN\r\n",
            "PROXY-Host: 1\r\n",
            "GET /announce HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            let status = parse_proxy_header(text.as_bytes());
            assert_eq!(status, ProxyStatus::Invalid, "{}", text.escape_debug());
        }
    }

    #[test]
    fn line_has_at_most_107_bytes() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(complete(longest.as_bytes()), (PROXY_LINE_BYTES_MAX, None));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(parse_proxy_header(longer.as_bytes()), ProxyStatus::Invalid);
        let endless = &longer.as_bytes()[..106];
        assert_eq!(parse_proxy_header(endless), ProxyStatus::Partial);
    }

    #[test]
    fn binary_header_names_the_client_whatever_the_protocol() {
        for family in [0x11, 0x12] {
            let header = version_2(0x21, family, &IPV4_ENDPOINTS, &[]);
            assert_eq!(complete(&header), (28, Some("203.0.113.5:6881".into())));
        }
        for family in [0x21, 0x22] {
            let header = version_2(0x21, family, &ipv6_endpoints("2001:db8::5"), &[]);
            assert_eq!(complete(&header), (52, Some("[2001:db8::5]:6881".into())));
        }
        let mapped = version_2(0x21, 0x21, &ipv6_endpoints("::ffff:203.0.113.5"), &[]);
        assert_eq!(client(&mapped), Some("203.0.113.5:6881".into()));
    }

    #[test]
    fn extensions_of_a_binary_header_are_skipped_up_to_a_bound() {
        let mut header = version_2(0x21, 0x11, &IPV4_ENDPOINTS, &[4, 0, 1, 0]);
        header.extend_from_slice(b"GET /");
        assert_eq!(complete(&header), (32, Some("203.0.113.5:6881".into())));
        let longest = version_2(0x21, 0x11, &IPV4_ENDPOINTS, &[4; PROXY_HEADER_BYTES_MAX - 28]);
        assert_eq!(complete(&longest).0, PROXY_HEADER_BYTES_MAX);
        let longer = version_2(0x21, 0x11, &IPV4_ENDPOINTS, &[4; PROXY_HEADER_BYTES_MAX - 27]);
        assert_eq!(parse_proxy_header(&longer[..16]), ProxyStatus::Invalid);
    }

    #[test]
    fn binary_header_of_the_proxy_itself_names_nobody() {
        for (command, family, rest) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, &IPV4_ENDPOINTS),
            (0x20, 0xff, &[1, 2, 3]),
            (0x21, 0x00, &[]),
            (0x21, 0x31, &[0; 216]),
            (0x21, 0x32, &[0; 216]),
        ] {
            let header = version_2(command, family, rest, &[]);
            assert_eq!(complete(&header), (header.len(), None));
        }
    }

    #[test]
    fn binary_header_of_another_kind_is_refused() {
        for (command, family) in [
            (0x11, 0x11),
            (0x31, 0x11),
            (0x01, 0x11),
            (0x22, 0x11),
            (0x21, 0x01),
            (0x21, 0x13),
            (0x21, 0x20),
            (0x21, 0x41),
        ] {
            let header = version_2(command, family, &ipv6_endpoints("2001:db8::5"), &[]);
            assert_eq!(parse_proxy_header(&header), ProxyStatus::Invalid, "{command:x} {family:x}");
        }
        let too_short = version_2(0x21, 0x11, &IPV4_ENDPOINTS[..11], &[]);
        assert_eq!(parse_proxy_header(&too_short), ProxyStatus::Invalid);
        let too_short = version_2(0x21, 0x21, &ipv6_endpoints("2001:db8::5")[..35], &[]);
        assert_eq!(parse_proxy_header(&too_short), ProxyStatus::Invalid);
    }

    #[test]
    fn header_in_pieces_is_partial_until_it_is_whole() {
        for header in [
            b"PROXY TCP4 203.0.113.5 192.0.2.1 6881 1337\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            version_2(0x21, 0x11, &IPV4_ENDPOINTS, &[4, 0, 1, 0]),
            version_2(0x20, 0x00, &[], &[]),
        ] {
            for len in 0..header.len() {
                assert_eq!(parse_proxy_header(&header[..len]), ProxyStatus::Partial, "{len}");
            }
            assert_eq!(complete(&header).0, header.len());
        }
    }

    #[test]
    fn datagram_begins_with_a_whole_binary_header() {
        let mut datagram = version_2(0x21, 0x12, &IPV4_ENDPOINTS, &[]);
        for len in 0..datagram.len() {
            assert_eq!(parse_proxy_datagram(&datagram[..len]), None, "{len}");
        }
        datagram.extend_from_slice(b"connect");
        let header = parse_proxy_datagram(&datagram).expect("a header");
        assert_eq!(header.len, 28);
        assert_eq!(header.client, Some("203.0.113.5:6881".parse().expect("an address")));
        let line = b"PROXY TCP4 203.0.113.5 192.0.2.1 6881 1337\r\nconnect";
        assert_eq!(parse_proxy_datagram(line), None);
    }
}
