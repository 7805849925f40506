//! The users and torrents of a test, written to and read from the storage as the site would.
//!
//! Any driver will do.

use std::path::Path;

use skep::driver::{
    Change, Conn, DriverSettings, InfoHash, Permille, Sums, Torrent, TorrentId, Totals, User,
    UserId,
};
use skep_store::driver::registry::{Make, find};

/// Torrents of the site; user `n` is in torrent `n % TORRENTS + 1`.
pub(crate) const TORRENTS: u32 = 5;

/// Where a test keeps its accounts.
#[derive(Clone)]
pub(crate) struct Storage {
    pub(crate) driver: &'static str,
    pub(crate) url: String,
}

impl Storage {
    pub(crate) fn open(&self, folder: &Path) -> Box<dyn Conn> {
        let Make::Driver(driver) = find(self.driver).unwrap().make else {
            panic!("no driver {}", self.driver)
        };
        let settings = DriverSettings {
            url: self.url.clone(),
            data_dir: folder.to_owned(),
            migrate: true,
            ..DriverSettings::default()
        };
        driver.open(&settings).unwrap()
    }
}

pub(crate) fn passkey(user: u32) -> String {
    format!("{user:032x}")
}

pub(crate) const fn torrent_of(user: u32) -> u32 {
    user % TORRENTS + 1
}

pub(crate) fn info_hash(torrent: u32) -> InfoHash {
    InfoHash([torrent as u8; 20])
}

/// What a byte of a user is worth, in whole times, so that sums do not depend on how they are cut.
pub(crate) const fn worth(user: u32) -> (u64, u64) {
    (user as u64 % 3, (user as u64 + 1) % 4)
}

/// Writes users 1 to `users` and their torrents.
pub(crate) fn found(conn: &dyn Conn, users: u32) {
    let torrents = (1..=TORRENTS).map(|id| {
        let info_hash = info_hash(id);
        Change::PutTorrent(Torrent { id: TorrentId(id), info_hash, ..Torrent::default() })
    });
    let users = (1..=users).map(|id| {
        let (upload, download) = worth(id);
        Change::PutUser(User {
            id: UserId(id),
            passkey: passkey(id).into(),
            upload: Permille(1000 * upload as u32),
            download: Permille(1000 * download as u32),
            ..User::default()
        })
    });
    conn.change(&torrents.chain(users).collect::<Vec<_>>()).unwrap();
}

/// What was added up for a user, which must be the same wherever it is asked for.
pub(crate) fn totals(conn: &dyn Conn, user: u32) -> Sums {
    let sums = conn.totals(Totals::User(UserId(user))).unwrap();
    let passage = Totals::Passage(UserId(user), TorrentId(torrent_of(user)));
    assert_eq!(conn.totals(passage).unwrap(), sums, "user {user}");
    sums
}
