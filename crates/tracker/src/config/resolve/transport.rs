//! Where the tracker listens: what must not meet, and what TLS needs.
//!
//! Opens no file and no socket.

use std::net::SocketAddr;

use super::super::words::TlsOnHttp;
use super::Settings;

impl Settings {
    pub(super) fn check_listeners(&mut self) {
        const KEYS: [&str; 5] =
            ["listen.port", "listen.udp", "listen.http", "listen.https", "listen.admin"];
        if !self.are_sound(&KEYS) {
            return;
        }
        let listen = self.listen();
        let is_off = [&listen.udp, &listen.http, &listen.https]
            .iter()
            .all(|front_end| front_end.addresses.is_empty());
        if is_off && self.texts("listen.http_unix").is_empty() {
            let http = self.described("listen.http");
            self.refuse("listen.udp", format!("must not be off with {http}: nothing is served"));
        }
        let http = if listen.http.from_port { "listen.port" } else { "listen.http" };
        let (plain, https) = (&listen.http.addresses, &listen.https.addresses);
        self.check_apart(http, plain, "listen.https", https);
        self.check_apart(http, plain, "listen.admin", &listen.admin.addresses);
        self.check_apart("listen.https", https, "listen.admin", &listen.admin.addresses);
        let port_is_used = listen.udp.from_port || listen.http.from_port;
        if !self.is_default("listen.port") && !port_is_used {
            self.warn("listen.port", "has no effect while listen.udp and listen.http say where");
        }
    }

    /// Two sockets that would want the same packets: the second could not be bound.
    pub(super) fn check_overlaps(&mut self) {
        for key in
            ["listen.udp", "listen.http", "listen.https", "listen.admin", "compat.chihaya_listen"]
        {
            let addresses = self.sockets(key).unwrap_or_default();
            let overlap = addresses.iter().enumerate().find_map(|(number, address)| {
                let other = addresses[..number].iter().find(|other| is_same_socket(other, address));
                Some((*other?, *address))
            });
            if let Some((first, second)) = overlap
                && self.are_sound(&[key])
            {
                self.refuse(key, format!("must not hold both {first} and {second}: they overlap"));
            }
        }
    }

    /// Refuses addresses of one front end that another one takes.
    pub(super) fn check_apart(
        &mut self,
        first: &'static str,
        taken: &[SocketAddr],
        key: &'static str,
        addresses: &[SocketAddr],
    ) {
        let meets =
            |address: &&SocketAddr| taken.iter().any(|other| is_same_socket(other, address));
        if let Some(address) = addresses.iter().find(meets) {
            let first = self.described(first);
            self.refuse(key, format!("must not be at {address}, which {first} takes"));
        }
    }

    pub(super) fn check_unix_sockets(&mut self) {
        const PATHS: &str = "listen.http_unix";
        const MODE: &str = "listen.http_unix_mode";
        if self.are_sound(&[MODE]) && octal(&self.text(MODE)).is_none() {
            self.refuse(MODE, "must be three or four octal digits up to 0777, such as 0660");
        }
        let paths = self.texts(PATHS);
        if paths.is_empty() || !self.are_sound(&[PATHS]) {
            return;
        }
        if cfg!(not(unix)) {
            self.refuse(PATHS, "must be empty: this system has no unix sockets");
        }
        for (number, path) in paths.iter().enumerate() {
            if path.is_empty() || path.len() > UNIX_PATH_BYTES_MAX {
                let message = format!("{path:?} must be of 1 to {UNIX_PATH_BYTES_MAX} bytes");
                self.refuse(PATHS, message);
            }
            if paths[..number].contains(path) {
                self.refuse(PATHS, format!("must not hold {path} twice"));
            }
        }
    }

    /// TLS needs its files, and files need TLS.
    pub(super) fn check_tls(&mut self) {
        const FILES: [&str; 2] = ["tls.certificate", "tls.key"];
        if !self.are_sound(&["listen.http", "listen.https", "listen.tls", FILES[0], FILES[1]]) {
            return;
        }
        let detects = self.word::<TlsOnHttp>("listen.tls") == TlsOnHttp::Detect;
        let listen = self.listen();
        let wanted_by = match (listen.https.addresses.is_empty(), detects) {
            (false, _) => "listen.https",
            (true, true) => "listen.tls",
            (true, false) => {
                for key in FILES {
                    if self.path(key).is_some() {
                        self.warn(key, "has no effect without listen.https or listen.tls = detect");
                    }
                }
                return;
            }
        };
        if cfg!(not(feature = "tls")) {
            self.refuse(wanted_by, "must not be set: this program was built without TLS");
            return;
        }
        for key in FILES {
            if self.path(key).is_none() {
                let wanted_by = self.described(wanted_by);
                self.refuse(key, format!("must name a file for {wanted_by}"));
            }
        }
        if detects && listen.http.addresses.is_empty() {
            self.warn("listen.tls", "has no effect while listen.http is off");
        }
    }
}

/// Reads the mode of a file.
pub(super) fn octal(text: &str) -> Option<u32> {
    let is_mode = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| is_mode && *mode <= 0o777)
}

/// What the system takes (104 with the NUL behind it on some, 108 on Linux), without what is put
/// behind the name while the socket is made.
const UNIX_PATH_BYTES_MAX: usize = 90;

/// Returns whether two TCP listeners would want the same packets.
fn is_same_socket(left: &SocketAddr, right: &SocketAddr) -> bool {
    left.port() == right.port()
        && left.port() != 0
        && left.is_ipv4() == right.is_ipv4()
        && (left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified())
}
