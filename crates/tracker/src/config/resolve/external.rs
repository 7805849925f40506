//! The public addresses of the tracker's own network: which ones can be meant.
//!
//! Whose place they take is decided in the engine.

use std::net::IpAddr;

use skep_engine::session::is_global_unicast;

use super::Settings;

const KEY: &str = "announce.external_addresses";

impl Settings {
    /// The addresses that are some; others have been refused.
    pub(super) fn external_addresses(&self) -> Vec<IpAddr> {
        self.texts(KEY).iter().filter_map(|text| text.parse().ok()).collect()
    }

    pub(super) fn check_external_addresses(&mut self) {
        for text in self.texts(KEY) {
            match text.parse() {
                Ok(ip) if is_global_unicast(ip) => {}
                _ => self.refuse(KEY, format!("{text} does not fit: must be a public address")),
            }
        }
        let addresses = self.external_addresses();
        let ipv4 = addresses.iter().filter(|ip| ip.is_ipv4()).count();
        if ipv4 > 1 || addresses.len() - ipv4 > 1 {
            self.refuse(KEY, "must be at most one address of each family");
        }
    }
}
