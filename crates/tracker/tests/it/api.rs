//! The admin API over real sockets.
//!
//! What its description says is tested by a program that reads it, in a test of its own.

mod access;
mod live;
mod problems;
mod records;
mod totals;

use crate::support::api::{ApiClient, token};
use crate::support::{Tracker, torrent};

/// A tracker that keeps records.
struct Site {
    tracker: Tracker,
}

impl Site {
    fn start() -> Self {
        Self::start_with(&["--mode=registered"])
    }

    fn start_with(settings: &[&str]) -> Self {
        let own = ["--listen.admin=127.0.0.1:0"];
        Self { tracker: Tracker::start(&[&own, settings].concat()) }
    }

    /// One with a token, and a program that has it and may do everything.
    fn with_every_scope() -> (Self, ApiClient) {
        let (secret, line) = token("all", &access::EVERY);
        let site = Self::start_with(&["--mode=registered", &format!("--admin.tokens={line}")]);
        let api = site.api().with_token(&secret);
        (site, api)
    }

    fn api(&self) -> ApiClient {
        ApiClient::connect(self.tracker.admin())
    }
}

/// The info hash of twenty equal bytes, as the API writes it.
fn hash(byte: u8) -> String {
    torrent(byte).to_string()
}
