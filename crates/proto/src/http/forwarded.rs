//! The address of a client behind proxies, from the headers that proxies add.
//!
//! Whether the TCP peer is itself a trusted proxy must be known before: from anybody else these
//! headers mean nothing. Only the caller knows which proxies are trusted.

use core::net::{IpAddr, SocketAddr};
use core::str;

use crate::peer_addr::canonical;

/// Finds the client in `X-Forwarded-For`, `X-Real-IP` or a header of the same form.
///
/// `values` are all instances of the header in order. The last address that is not a trusted
/// proxy is the client: each proxy appends the address that it saw, so everything to the left of
/// that one may be forged. Nothing when there is none, or when it cannot be read.
#[must_use]
pub fn client_address<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    last_untrusted(elements(values).map(node_address), trusted)
}

/// Finds the client in the `for` parameters of the `Forwarded` header, by the same rule.
///
/// # Source
/// RFC 7239, section 4.
#[must_use]
pub fn forwarded_client_address<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let addresses = elements(values).map(|element| for_parameter(element).and_then(node_address));
    last_untrusted(addresses, trusted)
}

/// The elements of a list header; empty ones do not count.
///
/// Commas inside quotes separate as well. No address needs one, and a client could otherwise open
/// a quote that swallows what the proxy appends.
fn elements<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    values
        .into_iter()
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Walking from the right to the first that is not trusted is the same as keeping the last.
fn last_untrusted(
    addresses: impl Iterator<Item = Option<IpAddr>>,
    trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    addresses.filter(|address| !address.is_some_and(&trusted)).last().flatten()
}

fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then(|| {
            let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            quoted.unwrap_or(value)
        })
    })
}

/// Reads `ip`, `ip:port`, `[v6]` or `[v6]:port`.
fn node_address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let address = text
        .parse()
        .ok()
        .or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(canonical(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(ip: IpAddr) -> bool {
        matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
    }

    fn forwarded(value: &str) -> Option<IpAddr> {
        forwarded_client_address([value.as_bytes()], trusted)
    }

    #[test]
    fn forwarded_elements_name_the_client_by_the_same_rule() {
        let client = Some(IpAddr::from([203, 0, 113, 5]));
        assert_eq!(forwarded("for=203.0.113.5"), client);
        assert_eq!(forwarded("proto=https; For=\"203.0.113.5:4711\";by=10.0.0.1"), client);
        assert_eq!(forwarded("for=6.6.6.6, for=203.0.113.5, for=10.0.0.9"), client);
        assert_eq!(forwarded("for=\"[2001:db8::5]:4711\""), "2001:db8::5".parse().ok());
        for unknown in ["for=unknown", "for=_hidden", "by=203.0.113.5", "for=", ""] {
            assert_eq!(forwarded(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_client_cannot_swallow_what_the_proxy_appends() {
        let client = Some(IpAddr::from([203, 0, 113, 5]));
        assert_eq!(forwarded("for=6.6.6.6;x=\", for=203.0.113.5"), client);
        assert_eq!(forwarded("for=203.0.113.5, for=unknown"), None);
    }

    #[test]
    fn single_addresses_and_empty_elements_are_read_alike() {
        let client = Some(IpAddr::from([203, 0, 113, 5]));
        for value in ["203.0.113.5", " 203.0.113.5:80 ", ",203.0.113.5,,10.0.0.1,"] {
            assert_eq!(client_address([value.as_bytes()], trusted), client, "{value}");
        }
        assert_eq!(client_address([&b"[2001:db8::5]"[..]], trusted), "2001:db8::5".parse().ok());
        assert_eq!(client_address([&b"10.0.0.1, 10.0.0.2"[..]], trusted), None);
    }
}
