//! What changes of a site leave without a torrent: swarms that are no longer served, and sessions of
//! torrents that went or have another info hash by now.
//!
//! Which changes are accepted was decided before.

use std::collections::HashSet;

use skep_engine::Tick;
use skep_engine::site::{Change, TorrentId};
use skep_proto::InfoHash;

use super::Site;
use crate::shards::PeerStore;

/// What may be without a torrent once changes are in force.
#[derive(Debug, Default)]
pub(super) struct Gone {
    swarms: HashSet<InfoHash>,
    sessions: HashSet<(InfoHash, TorrentId)>,
}

impl Gone {
    /// Looks at changes that are not in force yet.
    pub(super) fn of(site: &Site, changes: &[Change]) -> Self {
        let mut gone = Self::default();
        for change in changes {
            let id = match change {
                Change::RemoveTorrent(id) => *id,
                Change::PutTorrent(torrent) => {
                    gone.swarms.insert(torrent.info_hash);
                    torrent.id
                }
                _ => continue,
            };
            if let Some(old) = site.torrent(id) {
                gone.swarms.insert(old.info_hash);
                gone.sessions.insert((old.info_hash, id));
            }
        }
        gone
    }

    /// Drops, once the changes are in force, what no torrent has taken over.
    pub(super) fn leave(mut self, site: &Site, store: &dyn PeerStore, now: Tick) {
        self.swarms.retain(|info_hash| !site.serves(info_hash));
        self.sessions.retain(|(info_hash, id)| {
            site.torrent(*id).is_none_or(|torrent| torrent.info_hash != *info_hash)
        });
        for info_hash in &self.swarms {
            store.remove(info_hash);
        }
        let sessions: Vec<_> = self.sessions.into_iter().collect();
        if !sessions.is_empty() {
            store.end_sessions(&sessions, now);
        }
    }
}
