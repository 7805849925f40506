//! What is asked for in the words of other trackers.
//!
//! Their files are translated elsewhere.

use super::Settings;
use crate::config::model::{Compat, Listeners};
use crate::config::words::Mode;

const ON: &str = "compat.chihaya";
const LISTEN: &str = "compat.chihaya_listen";
const TOKEN: &str = "compat.chihaya_token";

impl Settings {
    pub(super) fn compat(&self) -> Compat {
        let off = Listeners { addresses: Vec::new(), from_port: false };
        Compat {
            chihaya: if self.boolean(ON) { self.named(LISTEN) } else { off },
            chihaya_token: self.secret_at(TOKEN),
            chihaya_clients: match self.site_chooses_clients() {
                true => self.texts("access.clients_allow"),
                false => Vec::new(),
            },
            chihaya_freeleech: self.boolean("compat.chihaya_freeleech"),
        }
    }

    /// Clients that are allowed whatever a site says.
    pub(super) fn clients_of_config(&self) -> Vec<String> {
        match self.site_chooses_clients() {
            true => Vec::new(),
            false => self.texts("access.clients_allow"),
        }
    }

    /// Whether a site can change which clients are allowed, so that the configuration only begins.
    fn site_chooses_clients(&self) -> bool {
        self.boolean(ON) && self.word::<Mode>("mode") != Mode::Public
    }

    pub(super) fn check_compat(&mut self) {
        if !self.are_sound(&["mode", ON, LISTEN, TOKEN]) {
            return;
        }
        if !self.boolean(ON) {
            if self.secret_at(TOKEN).expose().is_some() {
                self.warn(TOKEN, "has no effect while compat.chihaya is false");
            }
            return;
        }
        let addresses = self.named(LISTEN).addresses;
        let strangers = addresses.iter().any(|address| !address.ip().is_loopback());
        if strangers && self.secret_at(TOKEN).expose().is_none() {
            self.warn(
                LISTEN,
                "lets everybody who can connect change users and torrents while \
                 compat.chihaya_token is empty",
            );
        }
        if !self.are_sound(&["listen.port", "listen.http", "listen.https", "listen.admin"]) {
            return;
        }
        let listen = self.listen();
        let http = if listen.http.from_port { "listen.port" } else { "listen.http" };
        self.check_apart(http, &listen.http.addresses, LISTEN, &addresses);
        self.check_apart("listen.https", &listen.https.addresses, LISTEN, &addresses);
        self.check_apart("listen.admin", &listen.admin.addresses, LISTEN, &addresses);
    }
}
