//! What is printed at start: version, mode, addresses, and URLs to copy.
//!
//! A text made of facts; nothing is bound and nothing is printed here.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::Mode;

/// The facts of one start.
#[derive(Debug, Clone)]
pub struct Banner {
    /// The version of the program.
    pub version: &'static str,
    /// Which torrents are served.
    pub mode: Mode,
    /// Threads that answer.
    pub workers: usize,
    /// Addresses that UDP is bound to.
    pub udp: Vec<SocketAddr>,
    /// Addresses that HTTP is bound to.
    pub http: Vec<SocketAddr>,
    /// Addresses that HTTPS is bound to.
    pub https: Vec<SocketAddr>,
    /// Whether the addresses of HTTP take TLS as well.
    pub detects_tls: bool,
    /// Unix sockets for HTTP.
    pub http_unix: Vec<PathBuf>,
    /// Addresses of the operator's listener.
    pub admin: Vec<SocketAddr>,
    /// Addresses of the routes of Chihaya.
    pub chihaya: Vec<SocketAddr>,
    /// Whether browsers are served over HTTP.
    pub websocket: bool,
    /// Whether the host has an IPv6 address; without one nothing reaches `[::]`.
    pub ipv6: bool,
}

impl Banner {
    /// Returns the text, a line for each fact.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "skep {}, {} tracker, {} worker{}\n",
            self.version,
            self.mode.word(),
            self.workers,
            if self.workers == 1 { "" } else { "s" },
        );
        let front_ends = [
            ("listening on UDP  ", &self.udp, true),
            ("listening on HTTP ", &self.http, true),
            ("listening on HTTPS", &self.https, !self.https.is_empty()),
            ("listening on admin", &self.admin, true),
            ("listening on chihaya", &self.chihaya, !self.chihaya.is_empty()),
        ];
        for (what, addresses, _) in front_ends.into_iter().filter(|(.., is_told)| *is_told) {
            let list: Vec<_> = addresses.iter().map(|address| address.to_string()).collect();
            let list = if list.is_empty() { "nothing (off)".to_owned() } else { list.join(", ") };
            push(&mut text, format_args!("{what}  {list}\n"));
        }
        if !self.http_unix.is_empty() {
            let list: Vec<_> =
                self.http_unix.iter().map(|path| path.display().to_string()).collect();
            push(&mut text, format_args!("listening on unix   {}\n", list.join(", ")));
        }
        let urls = |scheme, addresses: &[SocketAddr], path: &str| -> Vec<String> {
            let reachable = addresses.iter().filter(|address| self.ipv6 || address.is_ipv4());
            reachable.map(|address| url(scheme, *address, path)).collect()
        };
        let https = match self.detects_tls {
            true => [&self.http[..], &self.https].concat(),
            false => self.https.clone(),
        };
        let schemes = [
            ("udp", &self.udp, true),
            ("http", &self.http, true),
            ("https", &https, true),
            ("ws", &self.http, self.websocket),
            ("wss", &https, self.websocket),
        ];
        let trackers: Vec<_> = schemes
            .into_iter()
            .filter(|(.., served)| *served)
            .flat_map(|(scheme, addresses, _)| urls(scheme, addresses, announce_path(self.mode)))
            .collect();
        push_urls(&mut text, "tracker URLs", &trackers);
        if self
            .udp
            .iter()
            .chain(&self.http)
            .chain(&self.https)
            .any(|address| address.ip().is_unspecified())
        {
            text.push_str("  (and every other address and name of this host)\n");
        }
        push_urls(&mut text, "home page", &urls("http", &self.http, "/"));
        push_urls(&mut text, "operator", &urls("http", &self.admin, "/"));
        push_urls(&mut text, "metrics", &urls("http", &self.admin, "/metrics"));
        text
    }
}

fn push_urls(text: &mut String, title: &str, urls: &[String]) {
    for (number, url) in urls.iter().enumerate() {
        if number == 0 {
            push(text, format_args!("{title}:\n"));
        }
        push(text, format_args!("  {url}\n"));
    }
}

/// A URL that works on this host, whatever the listener is bound to.
fn url(scheme: &str, mut address: SocketAddr, path: &str) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("{scheme}://{address}{path}")
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("a String takes everything");
}

/// Where clients announce; in private mode each user has a passkey there.
pub(crate) const fn announce_path(mode: Mode) -> &'static str {
    match mode {
        Mode::Private => "/<passkey>/announce",
        Mode::Public | Mode::Registered => "/announce",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn wildcards_are_shown_as_bound_and_as_urls_that_work_here() {
        let banner = Banner {
            version: "1.2.3",
            mode: Mode::Public,
            workers: 2,
            udp: addresses(&["0.0.0.0:1337", "[::]:1337"]),
            http: addresses(&["0.0.0.0:1337", "[::]:1337"]),
            https: Vec::new(),
            detects_tls: false,
            http_unix: Vec::new(),
            admin: addresses(&["127.0.0.1:1338"]),
            chihaya: Vec::new(),
            websocket: true,
            ipv6: true,
        };
        let expected = "\
skep 1.2.3, public tracker, 2 workers
listening on UDP    0.0.0.0:1337, [::]:1337
listening on HTTP   0.0.0.0:1337, [::]:1337
listening on admin  127.0.0.1:1338
tracker URLs:
  udp://127.0.0.1:1337/announce
  udp://[::1]:1337/announce
  http://127.0.0.1:1337/announce
  http://[::1]:1337/announce
  ws://127.0.0.1:1337/announce
  ws://[::1]:1337/announce
  (and every other address and name of this host)
home page:
  http://127.0.0.1:1337/
  http://[::1]:1337/
operator:
  http://127.0.0.1:1338/
metrics:
  http://127.0.0.1:1338/metrics
";
        assert_eq!(banner.text(), expected);
    }

    #[test]
    fn front_end_that_is_off_is_said_to_be_off() {
        let banner = Banner {
            version: "1.2.3",
            mode: Mode::Registered,
            workers: 1,
            udp: addresses(&["192.0.2.7:6969"]),
            http: Vec::new(),
            https: Vec::new(),
            detects_tls: false,
            http_unix: Vec::new(),
            admin: Vec::new(),
            chihaya: Vec::new(),
            websocket: false,
            ipv6: true,
        };
        let expected = "\
skep 1.2.3, registered tracker, 1 worker
listening on UDP    192.0.2.7:6969
listening on HTTP   nothing (off)
listening on admin  nothing (off)
tracker URLs:
  udp://192.0.2.7:6969/announce
";
        assert_eq!(banner.text(), expected);
    }

    #[test]
    fn host_without_ipv6_gets_no_urls_for_it() {
        let banner = Banner {
            version: "1.2.3",
            mode: Mode::Public,
            workers: 2,
            udp: addresses(&["0.0.0.0:1337", "[::]:1337"]),
            http: addresses(&["0.0.0.0:1337", "[::]:1337"]),
            https: Vec::new(),
            detects_tls: false,
            http_unix: Vec::new(),
            admin: Vec::new(),
            chihaya: Vec::new(),
            websocket: false,
            ipv6: false,
        };
        let text = banner.text();
        assert!(text.contains("\nlistening on UDP    0.0.0.0:1337, [::]:1337\n"), "{text}");
        assert!(text.contains("  udp://127.0.0.1:1337/announce\n"), "{text}");
        assert!(!text.contains("//["), "{text}");
    }
}
