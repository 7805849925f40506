//! Pages for people and monitors, as text: home, statistics, health, and the operator's index.
//!
//! Counts nothing and answers nobody: front ends send what these functions return. Everything that
//! comes from outside is escaped.

mod home;
mod html;
mod json;
mod operator;
mod stats;

use crate::config::Mode;

pub use home::home;
pub use json::{health_json, stats_json};
pub use operator::operator;
pub use stats::stats_html;

/// The `Content-Type` of pages for people.
pub const HTML_TYPE: &str = "text/html; charset=utf-8";
/// The `Content-Type` of JSON.
pub const JSON_TYPE: &str = "application/json";
/// The `Content-Type` of [`HEALTH_TEXT`].
pub const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// What a healthy tracker says of itself.
pub const HEALTH_TEXT: &str = "ok";

/// What a tracker says of itself to operators: [`HEALTH_TEXT`], or what is wrong though it answers.
#[must_use]
pub fn health_text(troubles: &[String]) -> String {
    match troubles {
        [] => HEALTH_TEXT.to_owned(),
        _ => format!("degraded: {}", troubles.join("; ")),
    }
}

/// Headers for every page and every JSON answer. Of all that a page may load, only its own style,
/// its own script and `stats.json` are allowed.
pub const HEADERS: &[(&str, &str)] = &[
    ("Content-Security-Policy", html::CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
];

/// What pages tell about this tracker.
#[derive(Debug, Clone)]
pub struct Site {
    /// The version of the program.
    pub version: &'static str,
    /// Which torrents are served.
    pub mode: Mode,
    /// The port of the UDP front end, if it is on.
    pub udp_port: Option<u16>,
    /// The port of the HTTP front end, if it is on.
    pub http_port: Option<u16>,
    /// Whether browsers are served there.
    pub websocket: bool,
    /// The port on which HTTP is spoken over TLS, if there is one.
    pub https_port: Option<u16>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SITE: Site = Site {
        version: "1.2.3",
        mode: Mode::Public,
        udp_port: Some(6969),
        http_port: Some(1337),
        websocket: true,
        https_port: None,
    };
}
