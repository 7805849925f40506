//! The JSON configuration of Chihaya as it was in 2014, mapped to our options.
//!
//! Only the keys of that version are known here. Values are handed on as they are, so that the
//! checks of each option apply.

use std::net::SocketAddr;
use std::path::Path;

use super::options::{Initial, OPTIONS, position, sections};
use super::problem::{Origin, Problem, Warning, printable};
use super::raw::{FileLayer, Given, Raw};
use super::words::Mode;

/// Returns whether a file is one of Chihaya's: all it says at its top is said in Chihaya's words.
pub(crate) fn is_chihaya(root: &Raw) -> bool {
    let Raw::Table(entries) = root else {
        return false;
    };
    let is_ours = |(key, value): &(String, Raw)| match key.as_str() {
        // The one word that both use: text there, a section here.
        "announce" => matches!(value, Raw::Table(_)),
        key => sections().contains(&key) || position(key).is_some(),
    };
    let is_theirs = |(key, _): &(String, Raw)| KEYS.contains(&key.as_str());
    entries.iter().any(is_theirs) && !entries.iter().any(is_ours)
}

/// Maps the keys that have a counterpart and names the others in a warning.
pub(crate) fn translate(path: &Path, root: &Raw, layer: &mut FileLayer) {
    let mut translation = Translation { path: Origin::file(path), root, layer };
    translation.listen();
    translation.duration("announce", "announce.interval_secs");
    translation.duration("min_announce", "announce.interval_min_secs");
    translation.num_want();
    translation.clients();
    translation.proxy();
    translation.private();
    translation.name_keys_without_effect();
}

struct Translation<'a> {
    path: Origin,
    root: &'a Raw,
    layer: &'a mut FileLayer,
}

impl Translation<'_> {
    /// Returns the value of a key; of several the last, as Go reads JSON.
    fn value(&self, key: &str) -> Option<&Raw> {
        let Raw::Table(entries) = self.root else {
            return None;
        };
        entries.iter().rev().find(|entry| entry.0 == key).map(|entry| &entry.1)
    }

    fn origin(&self, foreign_key: &'static str) -> Origin {
        match &self.path {
            Origin::File { path, .. } => {
                Origin::File { path: path.clone(), foreign_key: Some(foreign_key) }
            }
            other => other.clone(),
        }
    }

    fn give(&mut self, foreign_key: &'static str, key: &str, raw: Raw) {
        let option = position(key).expect("a key of ours, written in this file");
        self.layer.given.push(Given { option, origin: self.origin(foreign_key), raw });
    }

    fn refuse(&mut self, key: &'static str, raw: &Raw, message: &str) {
        let problem = Problem::of_key(key, self.path.clone(), message).with_value(raw.to_string());
        self.layer.problems.push(problem);
    }

    fn warn(&mut self, key: &str, message: &str) {
        self.layer.warnings.push(Warning::new(key, message));
    }

    /// The 2014 version answered HTTP alone, so UDP stays off: no port opens that was closed.
    fn listen(&mut self) {
        let raw = self.value("addr").cloned().unwrap_or_else(|| Raw::Text(ADDR_DEFAULT.into()));
        let addresses = match &raw {
            Raw::Text(text) => listen_addresses(text),
            _ => None,
        };
        match addresses {
            Some(addresses) => {
                let texts = addresses.iter().map(|address| Raw::Text(address.to_string()));
                self.give("addr", "listen.http", Raw::List(texts.collect()));
            }
            None => self.refuse("addr", &raw, "must be an IP address and a port, or a port alone"),
        }
        self.give("addr", "listen.udp", Raw::List(vec![Raw::Text("off".into())]));
        self.warn(
            "addr",
            "only HTTP is served, as in Chihaya; --listen.udp sets an address for UDP as well",
        );
        self.give("addr", "compat.chihaya", Raw::Bool(true));
        self.warn(
            "addr",
            "announces alone are served there; the other routes have --compat.chihaya_listen",
        );
    }

    fn duration(&mut self, foreign_key: &'static str, key: &str) {
        let Some(raw) = self.value(foreign_key).cloned() else {
            return;
        };
        let seconds = match &raw {
            Raw::Text(text) => seconds_of_duration(text),
            _ => None,
        };
        match seconds {
            Some(seconds) => self.give(foreign_key, key, Raw::Integer(seconds)),
            None => {
                self.refuse(foreign_key, &raw, "must be a duration such as \"30m\" or \"1h30m\"");
            }
        }
    }

    /// Chihaya knows no maximum, so ours must not cut its default.
    fn num_want(&mut self) {
        let Some(raw) = self.value("default_num_want").cloned() else {
            return;
        };
        let peers_max = &OPTIONS[position("announce.peers_max").expect("a key of ours")];
        if let (Raw::Integer(wanted), Initial::Integer(max)) = (&raw, peers_max.initial)
            && *wanted > max.into()
        {
            self.give("default_num_want", "announce.peers_max", raw.clone());
        }
        self.give("default_num_want", "announce.peers_default", raw);
    }

    /// A client id is the six characters after a leading dash of the peer_id, or its first six.
    fn clients(&mut self) {
        let enabled = match self.value("client_whitelist_enabled") {
            Some(Raw::Bool(enabled)) => *enabled,
            None => false,
            Some(other) => {
                let other = other.clone();
                return self.refuse("client_whitelist_enabled", &other, "must be true or false");
            }
        };
        let list = self.value("client_whitelist").cloned().unwrap_or(Raw::List(Vec::new()));
        if !enabled {
            return;
        }
        let mut prefixes = Vec::new();
        let Raw::List(ids) = &list else {
            return self.refuse("client_whitelist", &list, "must be a list of texts");
        };
        for id in ids {
            match id {
                Raw::Text(id) if id.len() == CLIENT_ID_BYTES => {
                    prefixes.push(Raw::Text(format!("-{id}")));
                    prefixes.push(Raw::Text(id.clone()));
                }
                _ => return self.refuse("client_whitelist", id, "must be ids of 6 characters"),
            }
        }
        if prefixes.is_empty() {
            return self.refuse(
                "client_whitelist",
                &list,
                "must name a client, or nobody is served",
            );
        }
        self.give("client_whitelist", "access.clients_allow", Raw::List(prefixes));
    }

    fn proxy(&mut self) {
        match self.value("real_ip_header").cloned() {
            None => {}
            Some(Raw::Text(header)) if header.is_empty() => {}
            Some(raw) => self.give("real_ip_header", "proxy.header", raw),
        }
    }

    fn private(&mut self) {
        match self.value("private_enabled").cloned() {
            None | Some(Raw::Bool(false)) => {}
            Some(Raw::Bool(true)) => {
                self.give("private_enabled", "mode", Raw::Text(Mode::Private.word().into()));
            }
            Some(raw) => self.refuse("private_enabled", &raw, "must be true or false"),
        }
        if let Some(raw) = self.value("freeleech_enabled").cloned() {
            self.give("freeleech_enabled", "compat.chihaya_freeleech", raw);
        }
    }

    fn name_keys_without_effect(&mut self) {
        let Raw::Table(entries) = self.root else {
            return;
        };
        let mut names = Vec::new();
        for (key, value) in entries {
            let has_effect = match key.as_str() {
                "client_whitelist" => {
                    self.value("client_whitelist_enabled") == Some(&Raw::Bool(true))
                }
                key => KEYS_MAPPED.contains(&key),
            };
            match value {
                _ if has_effect => {}
                Raw::Table(entries) if !entries.is_empty() => {
                    names.extend(
                        entries.iter().map(|entry| printable(&format!("{key}.{}", entry.0))),
                    );
                }
                _ => names.push(printable(key)),
            }
        }
        if !names.is_empty() {
            self.warn(
                "",
                &format!("{} is a file of Chihaya; no effect have {}", self.path, names.join(", ")),
            );
        }
    }
}

/// Reads a listen address of Go: a port alone means every address of both families.
fn listen_addresses(text: &str) -> Option<Vec<SocketAddr>> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let addresses: &[&str] = match host {
        "" => &["0.0.0.0", "[::]"],
        "localhost" => &["127.0.0.1", "[::1]"],
        host => &[host],
    };
    addresses.iter().map(|host| format!("{host}:{port}").parse().ok()).collect()
}

/// Reads a duration of Go, such as `1h30m`, in seconds; a part of a second counts as one.
fn seconds_of_duration(text: &str) -> Option<i128> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut nanoseconds: i128 = 0;
    loop {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|char: char| char.is_ascii_digit() || char == '.');
        let (unit, tail) = tail.split_at(unit_end.unwrap_or(tail.len()));
        let unit_nanoseconds: i128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        nanoseconds = nanoseconds.checked_add(scaled(number, unit_nanoseconds)?)?;
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    Some((nanoseconds + 999_999_999) / 1_000_000_000)
}

/// Returns a decimal number times `unit`; digits beyond what the unit holds are dropped.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let mut sum =
        if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()?.checked_mul(unit)? };
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        sum = sum.checked_add(place * i128::from(digit - b'0'))?;
    }
    Some(sum)
}

/// Where Chihaya listens when its file does not say.
const ADDR_DEFAULT: &str = ":6881";
const CLIENT_ID_BYTES: usize = 6;

const KEYS_MAPPED: &[&str] = &[
    "addr",
    "announce",
    "client_whitelist_enabled",
    "default_num_want",
    "freeleech_enabled",
    "min_announce",
    "private_enabled",
    "real_ip_header",
];

const KEYS: &[&str] = &[
    "addr",
    "allow_ip_spoofing",
    "announce",
    "backend",
    "client_whitelist",
    "client_whitelist_enabled",
    "default_num_want",
    "dual_stacked_peers",
    "freeleech_enabled",
    "include_mem_stats",
    "mem_stats_interval",
    "min_announce",
    "preferred_ipv4_subnet",
    "preferred_ipv6_subnet",
    "preferred_subnet",
    "private_enabled",
    "purge_inactive_torrents",
    "real_ip_header",
    "request_timeout",
    "stats_buffer_size",
    "tracker",
    "verbose_mem_stats",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read_in_seconds() {
        for (text, seconds) in [
            ("30m", 1800),
            ("1h30m", 5400),
            ("90s", 90),
            ("500ms", 1),
            ("1.5h", 5400),
            ("1m0.5s", 61),
            (".5m", 30),
            ("0", 0),
            ("+2h", 7200),
        ] {
            assert_eq!(seconds_of_duration(text), Some(seconds), "{text}");
        }
        for text in ["", "30", "m", "30x", "-30m", "1..5h", ".h", "30m5", "99999999999999999999h9"]
        {
            assert_eq!(seconds_of_duration(text), None, "{text}");
        }
    }

    #[test]
    fn port_alone_listens_on_both_families() {
        let texts = |text| {
            let addresses = listen_addresses(text)?;
            Some(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(texts(":6881").as_deref(), Some("0.0.0.0:6881 [::]:6881"));
        assert_eq!(texts("127.0.0.1:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(texts("[::1]:80").as_deref(), Some("[::1]:80"));
        assert_eq!(texts("localhost:80").as_deref(), Some("127.0.0.1:80 [::1]:80"));
        assert_eq!(texts("tracker.example:80"), None);
        assert_eq!(texts("6881"), None);
    }

    #[test]
    fn our_own_files_are_not_taken_for_chihaya() {
        let table = |text: &str| toml::from_str::<Raw>(text).unwrap();
        assert!(is_chihaya(&table("announce = \"30m\"")));
        assert!(!is_chihaya(&table("announce = { interval_secs = 60 }")));
        assert!(!is_chihaya(&table("addr = \":6881\"\n[listen]\nport = 1")));
        assert!(!is_chihaya(&table("mode = \"public\"\naddr = \":6881\"")));
        assert!(!is_chihaya(&table("unknown = 1")));
    }
}
