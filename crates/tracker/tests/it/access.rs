//! Who may announce what, and what answers look like under each setting, over both transports.
//!
//! The rules themselves are tested in the engine; here they are switched on as an operator does it.

mod answers;
mod clients;
mod lists;
mod registered;

use std::fs;
use std::path::PathBuf;

use skep_engine::testing::wire::Seen;
use skep_proto::InfoHash;
use tempfile::TempDir;

use crate::support::{self, Tracker};

/// What clients are told about torrents that are not served.
const UNREGISTERED: &str = "Unregistered torrent";

/// List files of one test.
struct Lists(TempDir);

impl Lists {
    fn new() -> Self {
        Self(support::folder())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // Renamed into its place, as careful operators do it: nobody reads half a file, and it is
        // another file even within one step of the file system's clock.
        let fresh = self.path("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.path(name)).unwrap();
    }

    /// The flag that names a list.
    fn flag(&self, key: &str, name: &str) -> String {
        format!("--access.{key}={}", self.path(name).display())
    }
}

/// What a scrape of one torrent shows, over UDP and HTTP alike.
fn scrape(tracker: &Tracker, info_hash: InfoHash) -> Seen {
    let ip = std::net::Ipv4Addr::LOCALHOST;
    let by_udp = tracker.udp_client(ip).scrape(&[info_hash]).unwrap();
    let by_http = tracker.http_client(ip).scrape(&[info_hash]).unwrap();
    assert_eq!(by_udp, by_http);
    by_udp[0]
}

/// Seeders and the others of one torrent as a scrape shows them.
fn counts(tracker: &Tracker, info_hash: InfoHash) -> (u32, u32) {
    let seen = scrape(tracker, info_hash);
    (seen.seeders, seen.incomplete)
}
