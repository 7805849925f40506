//! The storage of a private tracker, filled with the torrents and users of a population.
//!
//! Written before the tracker starts, by the driver that it reads it with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use skep::driver::{Change, DriverSettings, Make, Torrent, TorrentId, User, UserId, find};
use skep_proto::InfoHash;

use crate::load::population::{info_hash, passkey};

/// Records of one transaction.
const CHUNK: usize = 20_000;

/// The data folder of a tracker, which is removed when this is dropped.
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes a folder with an embedded storage of so many torrents and users.
    ///
    /// # Errors
    /// What the system or the storage answers.
    pub(crate) fn filled(name: &str, torrents: u32, users: u32) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("skep-bench-{}-{name}", std::process::id()));
        let folder = Self(path);
        fill(&folder.0, torrents, users)
            .with_context(|| format!("cannot fill {}", folder.0.display()))?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fill(data_dir: &Path, torrents: u32, users: u32) -> Result<()> {
    let Some(Make::Driver(driver)) = find("sqlite").map(|row| row.make) else {
        bail!("this build has no embedded storage");
    };
    let settings = DriverSettings {
        data_dir: data_dir.to_owned(),
        migrate: true,
        ..DriverSettings::default()
    };
    let storage = driver.open(&settings)?;
    let torrents = (0..torrents).map(|number| {
        Change::PutTorrent(Torrent {
            id: TorrentId(number + 1),
            info_hash: InfoHash(info_hash(number)),
            ..Torrent::default()
        })
    });
    let users = (0..users).map(|number| {
        let passkey = passkey(number).map(char::from).iter().collect::<String>();
        Change::PutUser(User { id: UserId(number + 1), passkey: passkey.into(), ..User::default() })
    });
    let changes: Vec<_> = torrents.chain(users).collect();
    Ok(changes.chunks(CHUNK).try_for_each(|some| storage.change(some))?)
}
