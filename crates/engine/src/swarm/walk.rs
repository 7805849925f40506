//! Going through everything that a shard holds: for statistics, lists and tests.
//!
//! Nothing here is on the way of a request.

use alloc::vec::Vec;

use skep_proto::{InfoHash, PeerId};

use super::endpoint::{is_ipv6, webrtc_peer};
use super::lane::Lane;
use super::part::{Classes, PeerClass};
use super::table::Body;
use super::{Counts, Shard, body};
use crate::time::Stamp;

/// One peer as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct StoredPeer<'a> {
    /// Its address and port in wire order. `None` for a WebRTC peer, which is known by its peer id.
    pub endpoint: Option<&'a [u8]>,
    /// Its peer id, where it is kept; that of a WebRTC peer always is.
    pub peer_id: Option<PeerId>,
    /// Whether it announced from an IPv6 address.
    pub ipv6: bool,
    /// What it is to its swarm.
    pub class: PeerClass,
}

impl<'a> StoredPeer<'a> {
    fn new(endpoint: &'a [u8], class: PeerClass, peer_id: Option<PeerId>) -> Self {
        let webrtc = webrtc_peer(endpoint);
        Self {
            endpoint: webrtc.is_none().then_some(endpoint),
            peer_id: webrtc.map(|peer| peer.peer_id).or(peer_id),
            ipv6: is_ipv6(endpoint),
            class,
        }
    }
}

impl Shard {
    /// Calls `visit` with every torrent that has peers or completions: its counts without WebRTC
    /// peers, and those of WebRTC peers.
    pub fn for_each(&self, mut visit: impl FnMut(&InfoHash, Counts, Counts)) {
        for number in 0..self.table.len() {
            let torrent = self.table.torrent(number);
            visit(&torrent.info_hash, body::counts(torrent, false), body::counts(torrent, true));
        }
    }

    /// Calls `visit` with every peer.
    pub fn for_each_peer(&self, mut visit: impl FnMut(StoredPeer<'_>)) {
        (0..self.table.len()).for_each(|number| self.peers_of(number, &mut visit));
    }

    /// Calls `visit` with every peer of one torrent, and returns its counts without WebRTC peers and
    /// those of WebRTC peers. `hash` is that of the info hash under the shard's seed.
    pub fn look_hashed(
        &self,
        hash: u64,
        info_hash: &InfoHash,
        mut visit: impl FnMut(StoredPeer<'_>),
    ) -> Option<(Counts, Counts)> {
        let number = self.table.find(hash, info_hash)?;
        self.peers_of(number, &mut visit);
        let torrent = self.table.torrent(number);
        Some((body::counts(torrent, false), body::counts(torrent, true)))
    }

    fn peers_of(&self, number: u32, visit: &mut impl FnMut(StoredPeer<'_>)) {
        let body = &self.table.torrent(number).body;
        if let Body::Single(single) = body {
            let peer_id = self.table.single_peer_id(number);
            visit(StoredPeer::new(&single.endpoint, single.class, peer_id));
        }
        for lane in body.lanes() {
            let columns = lane.kind.columns(self.settings.peer_ids);
            for part in lane.parts() {
                for at in 0..part.len() {
                    let peer_id = part.peer_id(columns, at);
                    let endpoint = part.endpoint(columns, at);
                    visit(StoredPeer::new(endpoint, part.class_at(at), peer_id));
                }
            }
        }
    }

    /// Drops one torrent with its peers and its completions, and returns whether it was there. `hash`
    /// is that of the info hash under the shard's seed.
    pub fn remove_hashed(&mut self, hash: u64, info_hash: &InfoHash) -> bool {
        let found = self.table.find(hash, info_hash);
        if let Some(number) = found {
            self.drop_torrent(number);
            self.publish();
        }
        found.is_some()
    }

    fn drop_torrent(&mut self, number: u32) {
        let torrent = self.table.torrent_mut(number);
        let body = core::mem::replace(&mut torrent.body, Body::Empty(Stamp::default()));
        self.forget(&body);
        self.remove_torrent(number);
    }

    /// Drops torrents that `keep` does not want, with their peers and their completions.
    ///
    /// Goes backwards from the torrent before `from` (the end, if that is beyond it) through at most
    /// `budget` of them, and returns where to go on; `None` when all are done. Torrents that come
    /// meanwhile are not looked at.
    pub fn retain(
        &mut self,
        from: u32,
        budget: u32,
        mut keep: impl FnMut(&InfoHash) -> bool,
    ) -> Option<u32> {
        // Backwards: the last torrent fills a hole, and it has been looked at already.
        let mut number = from.min(self.table.len());
        let end = number.saturating_sub(budget);
        while number > end {
            number -= 1;
            if !keep(&self.table.torrent(number).info_hash) {
                self.drop_torrent(number);
            }
        }
        self.publish();
        (end > 0).then_some(end)
    }

    /// Takes the peers of a body that is dropped out of the tally.
    fn forget(&mut self, body: &Body) {
        if let Body::Single(single) = body {
            self.tally.sub(single.kind, single.class);
        }
        for lane in body.lanes() {
            let Classes { len, leechers, partials } = lane.classes();
            let peers = &mut self.tally.peers[lane.kind as usize];
            peers[PeerClass::Leecher as usize] -= u64::from(leechers);
            peers[PeerClass::PartialSeed as usize] -= u64::from(partials);
            peers[PeerClass::Seeder as usize] -= u64::from(len - leechers - partials);
        }
    }

    /// Bytes that the shard holds on the heap, as far as they grow with torrents and peers.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let lanes: usize = (0..self.table.len())
            .map(|number| {
                let body = &self.table.torrent(number).body;
                let vec = match body {
                    Body::Lanes(lanes) => {
                        size_of::<Vec<Lane>>() + lanes.capacity() * size_of::<Lane>()
                    }
                    Body::Lane(_) => size_of::<Lane>(),
                    Body::Empty(_) | Body::Single(_) => 0,
                };
                vec + body.lanes().iter().map(Lane::heap_bytes).sum::<usize>()
            })
            .sum();
        self.table.heap_bytes() + lanes
    }
}
