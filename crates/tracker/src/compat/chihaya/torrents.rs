//! The routes of torrents.
//!
//! Peers are the swarm's business: what a site says of them is not read.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use skep_engine::site::{Change, Torrent, TorrentId, TorrentState};
use skep_engine::swarm::{PeerClass, StoredPeer};
use skep_proto::InfoHash;
use skep_proto::peer_addr::IPV4_BYTES;
use skep_store::driver::Totals;

use super::body::{Body, PeerJson, TorrentJson, times};
use super::spelling::{info_hash_of_text, info_hashes_of_path, text_of_bytes};
use super::{Chihaya, Refused};
use crate::config::Mode;
use crate::site::Site;

impl Chihaya {
    /// Puts the torrent that a body describes; the path has no say, and its peers stay.
    pub(super) fn put_torrent(&self, bytes: &[u8]) -> Result<(), Refused> {
        let body = Body::read(bytes)?;
        self.books.change_by(|site| Ok((vec![self.put_torrent_change(site, &body)?], ())))
    }

    fn put_torrent_change(&self, site: &Site, body: &Body) -> Result<Change, Refused> {
        let info_hash = info_hash_of_text(body.text("infohash")?).ok_or_else(|| {
            let message = "infohash must be 20 bytes: as 40 digits, as characters up to \\u00ff, or escaped as in a URL";
            Refused::Bad(message.into())
        })?;
        let known = site.torrent_by_hash(&info_hash);
        let id = match (body.id()?.map(TorrentId), known) {
            (Some(id), Some(known)) if known.id != id => {
                return Err(Refused::Bad(format!("infohash is that of torrent {}", known.id.0)));
            }
            (Some(id), _) => id,
            (None, Some(known)) => known.id,
            (None, None) => self.new_torrent(site),
        };
        let mut torrent = site.torrent(id).unwrap_or_default();
        torrent.id = id;
        torrent.info_hash = info_hash;
        torrent.upload = body.multiplier("up_multiplier")?;
        torrent.download = body.multiplier("down_multiplier")?;
        if torrent.state == TorrentState::Deleted {
            (torrent.state, torrent.reason) = (TorrentState::Approved, None);
        }
        Ok(Change::PutTorrent(torrent))
    }

    /// Forgets a torrent and its peers, if it is there.
    pub(super) fn delete_torrent(&self, segment: &[u8]) -> Result<(), Refused> {
        let Some((info_hash, known)) = self.find(segment) else {
            return Ok(());
        };
        if let Some(torrent) = known {
            self.books.change(vec![Change::RemoveTorrent(torrent.id)])?;
        }
        self.store.remove(&info_hash);
        Ok(())
    }

    /// Shows a torrent and its peers.
    pub(super) fn torrent(&self, segment: &[u8]) -> Result<TorrentJson, Refused> {
        let (info_hash, known) = self.find(segment).ok_or(Refused::NotFound)?;
        let torrent = known.unwrap_or_default();
        let (mut seeders, mut leechers) = (BTreeMap::new(), BTreeMap::new());
        let counts = self.store.look(&info_hash, &mut |peer| {
            if let Some((name, shown)) = shown(&peer, torrent.id) {
                let peers = match peer.class {
                    PeerClass::Seeder => &mut seeders,
                    PeerClass::Leecher | PeerClass::PartialSeed => &mut leechers,
                };
                peers.insert(name, shown);
            }
        });
        let completions = counts.map_or(0, |(counts, _)| counts.completions);
        Ok(TorrentJson {
            id: torrent.id.0,
            info_hash: text_of_bytes(info_hash.as_bytes()),
            seeders,
            leechers,
            completions: self.completions(torrent.id).unwrap_or_else(|| completions.into()),
            up_multiplier: times(torrent.upload),
            down_multiplier: times(torrent.download),
            last_action: 0,
        })
    }

    /// Downloads that were finished and written down; nothing if nobody writes them down.
    fn completions(&self, torrent: TorrentId) -> Option<u64> {
        let conn = self.books.conn().filter(|_| torrent.0 != 0)?;
        Some(conn.totals(Totals::Torrent(torrent)).ok()?.completions)
    }

    /// The first torrent that a path may mean, with what the site says of it if it does.
    fn find(&self, segment: &[u8]) -> Option<(InfoHash, Option<Torrent>)> {
        let named = info_hashes_of_path(segment);
        let known =
            named.iter().find_map(|hash| Some((*hash, self.books.site().torrent_by_hash(hash)?)));
        if let Some((hash, torrent)) = known {
            return Some((hash, Some(torrent)));
        }
        // Where every torrent is served, one that has peers is there.
        let serves_all = self.mode == Mode::Public;
        let with_peers = |hash: &&InfoHash| self.store.look(hash, &mut |_| {}).is_some();
        named.iter().filter(|_| serves_all).find(with_peers).map(|hash| (*hash, None))
    }
}

/// A peer under its name; nothing for those that have no address, or whose peer id is not kept.
fn shown(peer: &StoredPeer<'_>, torrent: TorrentId) -> Option<(String, PeerJson)> {
    let (endpoint, peer_id) = (peer.endpoint?, text_of_bytes(peer.peer_id?.as_bytes()));
    let (ip, port) = endpoint.split_at(endpoint.len().checked_sub(2)?);
    let ip = match endpoint.len() == IPV4_BYTES {
        true => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).to_string(),
        false => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).to_string(),
    };
    let family = if endpoint.len() == IPV4_BYTES { 4 } else { 6 };
    let shown = PeerJson {
        id: peer_id.clone(),
        user_id: 0,
        torrent: torrent.0,
        ip,
        port: u16::from_be_bytes(port.try_into().ok()?),
        uploaded: 0,
        downloaded: 0,
        left: u64::from(peer.class == PeerClass::Leecher),
        last_announce: 0,
    };
    Some((format!("{family}:{peer_id}"), shown))
}
