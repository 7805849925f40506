//! The home page: what this is, tracker URLs to copy, live counts.
//!
//! The name of the host comes from a stranger's request; it is used only if it can be one.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use super::Site;
use super::html::{Piece, escape, fill};
use crate::banner::announce_path;
use crate::config::Mode;
use crate::stats::Snapshot;

const TEMPLATE: &str = include_str!("home.html");

/// A beehive of straw, which is what a skep is.
pub(super) const LOGO: &str = "<svg viewBox=\"0 0 48 48\" aria-hidden=\"true\">\
    <path class=\"hive\" d=\"M24 5c9 0 15 8 17 19 1 6 2 12 2 17H5c0-5 1-11 2-17C9 13 15 5 24 5z\"/>\
    <path class=\"rope\" d=\"M14 14h20M9.5 23h29M8 32h10M30 32h10\"/>\
    <path class=\"door\" d=\"M19 41v-6a5 5 0 0 1 10 0v6z\"/></svg>";

/// Returns the home page.
///
/// `host` is the `Host` header of the request, as it came, and `over_tls` how it came.
#[must_use]
pub fn home(site: &Site, host: Option<&[u8]>, over_tls: bool, snapshot: &Snapshot) -> String {
    let both = snapshot.peers_seeder_and_leecher;
    let (mode, rule) = match site.mode {
        Mode::Public => {
            ("public tracker", "Anybody may use it for any torrent that it does not refuse.")
        }
        Mode::Registered => ("registered torrents only", "It serves only torrents that it knows."),
        Mode::Private => {
            ("private tracker", "It serves only torrents that it knows, and only its users.")
        }
    };
    let note = match snapshot.sampled {
        true => "<p class=\"note\">Numbers of peers are estimated from a sample.</p>",
        false => "",
    };
    fill(
        TEMPLATE,
        &[
            ("logo", Piece::Markup(LOGO)),
            ("mode", Piece::Text(mode)),
            ("rule", Piece::Text(rule)),
            ("urls", Piece::Markup(&url_list(&urls(site, host, over_tls)))),
            ("torrents", Piece::Number(snapshot.torrents)),
            ("peers", Piece::Number(snapshot.peers)),
            ("seeding", Piece::Number(snapshot.peers_seeder_only + both)),
            ("downloading", Piece::Number(snapshot.peers_leecher_only + both)),
            ("ipv4", Piece::Number(snapshot.peers_ipv4)),
            ("ipv6", Piece::Number(snapshot.peers_ipv6)),
            ("note", Piece::Markup(note)),
            ("version", Piece::Text(site.version)),
        ],
    )
}

fn url_list(urls: &[String]) -> String {
    let mut list = String::new();
    for (number, url) in urls.iter().enumerate() {
        let url = escape(url);
        writeln!(
            list,
            "<div class=\"url\"><code id=\"url{number}\">{url}</code>\
             <button type=\"button\" data-copy=\"url{number}\" hidden>Copy</button></div>"
        )
        .expect("a String takes everything");
    }
    list
}

/// Tracker URLs as the visitor can reach them.
fn urls(site: &Site, host: Option<&[u8]>, over_tls: bool) -> Vec<String> {
    let known = host.and_then(split_host);
    let name = known.map_or("localhost", |(name, _)| name);
    let path = announce_path(site.mode);
    let mut urls = Vec::new();
    if let Some(port) = site.udp_port {
        urls.push(format!("udp://{name}:{port}{path}"));
    }
    for (scheme, own, is_visited, usual) in
        [("http", site.http_port, !over_tls, 80), ("https", site.https_port, over_tls, 443)]
    {
        let Some(own) = own else { continue };
        // The visitor came through this port, which a proxy or a container may have mapped; others
        // were mapped to themselves or not at all, as far as can be known here.
        let port = match known {
            Some((_, port)) if is_visited => port,
            _ => (own != usual).then_some(own),
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        urls.push(format!("{scheme}://{name}{port}{path}"));
        if site.websocket {
            let secure = scheme.strip_prefix("http").unwrap_or_default();
            urls.push(format!("ws{secure}://{name}{port}{path}"));
        }
    }
    urls
}

/// Splits a `Host` header into name and port, if it is well formed.
fn split_host(host: &[u8]) -> Option<(&str, Option<u16>)> {
    let host = std::str::from_utf8(host).ok()?;
    let name_end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(name_end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        Some("") => None,
        // `parse` alone would take a plus sign.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let valid = match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_name(name),
    };
    valid.then_some((name, port))
}

/// Whether the text can be a DNS name or an IPv4 address.
fn is_name(name: &str) -> bool {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=253).contains(&name.len()) && name.bytes().all(lawful)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::tests::SITE;

    fn urls_for(host: &[u8]) -> Vec<String> {
        urls(&SITE, Some(host), false)
    }

    #[test]
    fn urls_lead_where_the_visitor_came_from() {
        let cases: &[(&[u8], &str, &str)] = &[
            (b"127.0.0.1:1337", "127.0.0.1:6969", "127.0.0.1:1337"),
            (b"[::1]:80", "[::1]:6969", "[::1]:80"),
            (b"Tracker.example:", "Tracker.example:6969", "Tracker.example"),
            (b"tracker.example", "tracker.example:6969", "tracker.example"),
        ];
        for (host, udp, http) in cases {
            let expected = [
                format!("udp://{udp}/announce"),
                format!("http://{http}/announce"),
                format!("ws://{http}/announce"),
            ];
            assert_eq!(urls_for(host), expected);
        }
    }

    #[test]
    fn hosts_that_cannot_be_one_are_not_shown() {
        let cases: &[&[u8]] = &[
            b"",
            b"<script>alert(1)</script>",
            b"a\"onclick=\"b",
            b"a b",
            b"a/b",
            b"user@host",
            b"host:port",
            b"host:+80",
            b"host:0",
            b"host:65536",
            b"[::1",
            b"[::1]x",
            b"[<b>]",
            b"::1",
            b"caf\xc3\xa9",
            b"\xff",
            &[b'a'; 254],
        ];
        let expected = [
            "udp://localhost:6969/announce",
            "http://localhost:1337/announce",
            "ws://localhost:1337/announce",
        ];
        for host in cases {
            assert_eq!(urls_for(host), expected, "{host:?}");
        }
        assert_eq!(urls(&SITE, None, false), expected);
    }

    #[test]
    fn visitor_over_tls_is_shown_the_port_that_worked() {
        let site = Site { https_port: Some(443), ..SITE };
        let udp = "udp://a.example:6969/announce";
        let cases: [(bool, &str, [&str; 3]); 3] = [
            (
                true,
                "a.example",
                [udp, "http://a.example:1337/announce", "https://a.example/announce"],
            ),
            (
                true,
                "a.example:8443",
                [udp, "http://a.example:1337/announce", "https://a.example:8443/announce"],
            ),
            (
                false,
                "a.example:80",
                [udp, "http://a.example:80/announce", "https://a.example/announce"],
            ),
        ];
        for (over_tls, host, expected) in cases {
            let mut urls = urls(&site, Some(host.as_bytes()), over_tls);
            let browsers: Vec<_> = urls.extract_if(.., |url| url.starts_with("ws")).collect();
            assert_eq!(urls, expected);
            let over_http = expected[1..].iter().map(|url| url.replacen("http", "ws", 1));
            assert_eq!(browsers, over_http.collect::<Vec<_>>());
        }
    }

    #[test]
    fn front_ends_that_are_off_have_no_url() {
        let site = Site { udp_port: None, websocket: false, ..SITE };
        assert_eq!(urls(&site, Some(b"a:1337"), false), ["http://a:1337/announce"]);
    }

    #[test]
    fn page_shows_urls_counts_and_version() {
        let snapshot = Snapshot {
            torrents: 1234,
            peers: 5,
            peers_seeder_only: 2,
            peers_leecher_only: 2,
            peers_seeder_and_leecher: 1,
            ..Snapshot::default()
        };
        let page = home(&SITE, Some(b"tracker.example:1337"), false, &snapshot);
        for part in [
            ">udp://tracker.example:6969/announce</code>",
            ">http://tracker.example:1337/announce</code>",
            "id=\"torrents\">1,234<",
            "id=\"peers\">5<",
            "id=\"seeding\">3<",
            "id=\"downloading\">3<",
            "skep 1.2.3<",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(!page.contains("{{"), "a place was left empty");
        assert!(!page.contains("src="), "something is loaded");
    }

    #[test]
    fn estimates_are_named_as_such() {
        let sampled = Snapshot { sampled: true, ..Snapshot::default() };
        assert!(home(&SITE, None, false, &sampled).contains("estimated"));
        assert!(!home(&SITE, None, false, &Snapshot::default()).contains("estimated"));
    }
}
