//! What WebRTC peers do to a shard and the model beside it.
//!
//! Announces, messages from one to another, and connections that end. Whoever drives it makes up the
//! connections.

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use skep_proto::{InfoHash, PeerId};

use super::side_by_side::{SideBySide, stranger};
use super::{Choices, Verdict};
use crate::Tick;
use crate::swarm::{
    Announce, Announced, Connection, Moment, PeerClass, PeerRoom, WEBRTC_BYTES, WebrtcPeer,
    webrtc_peers,
};

/// The connection of whoever calls the roll; no other client may have it.
const NOWHERE: Connection = Connection(u64::MAX);

impl SideBySide {
    /// Announces a WebRTC peer to both, with room for so many others.
    ///
    /// # Errors
    /// What differs.
    pub fn webrtc_announce(
        &mut self,
        announce: &Announce,
        wanted: usize,
        late_secs: u32,
    ) -> Result<(), String> {
        let late = Tick(self.now.0.saturating_sub(late_secs));
        let (announced, returned) = self.webrtc_ask(announce, wanted, late);
        self.forget_what_made_room(announce)?;
        let choices = Choices { full: self.is_full(announce, &announced), evicted: None };
        let verdict = self.model.announce(self.now, announce, choices);
        self.compare(announce, &announced, &verdict)
            .and_then(|()| compare_peers(wanted, &announced, &returned, &verdict))
            .map_err(|what| format!("{what}\n  after {announce:?}\n  {verdict:?}"))
    }

    /// Sends a message from one WebRTC peer to another.
    ///
    /// # Errors
    /// What differs.
    pub fn relay(
        &mut self,
        info_hash: &InfoHash,
        from: &WebrtcPeer,
        to: &PeerId,
    ) -> Result<(), String> {
        let found = self.shard.relay(self.now, info_hash, from, to);
        let expected = self.model.relay(self.now, info_hash, from, to);
        if found != expected {
            return Err(format!("{from:?} finds {to} on {found:?}, not {expected:?}"));
        }
        self.scrape(info_hash)
    }

    /// Ends what one connection has to do with a torrent.
    ///
    /// # Errors
    /// What differs.
    pub fn leave(&mut self, info_hash: &InfoHash, peer: &WebrtcPeer) -> Result<(), String> {
        let removed = self.shard.leave(self.now, info_hash, peer);
        let expected = self.model.leave(self.now, info_hash, peer);
        if removed != expected {
            return Err(format!("{peer:?} was removed: {removed}, not {expected}"));
        }
        self.scrape(info_hash)
    }

    /// Compares every WebRTC peer of a torrent, by asking for all of them.
    ///
    /// # Errors
    /// What differs.
    pub fn webrtc_roll_call(&mut self, info_hash: &InfoHash) -> Result<(), String> {
        for (left_bytes, leechers_only) in [(1, false), (0, true)] {
            let mut announce = stranger(info_hash, left_bytes);
            announce.connection = Some(NOWHERE);
            let leechers_only = leechers_only && !self.model.settings.seeds_to_seeds;
            let expected: Vec<_> = self
                .live_records(info_hash, true)
                .filter(|record| !leechers_only || record.class == PeerClass::Leecher)
                .filter_map(|record| Some((record.peer_id, record.connection?)))
                .collect();
            let (_, found) = self.webrtc_ask(&announce, expected.len() + 8, self.now);
            let mut found: Vec<_> =
                found.iter().map(|peer| (peer.peer_id, peer.connection)).collect();
            found.sort_unstable();
            // The records are in the order of their peer ids.
            if found != expected {
                return Err(format!("{info_hash} has {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }

    fn webrtc_ask(
        &mut self,
        announce: &Announce,
        wanted: usize,
        now: Tick,
    ) -> (Announced, Vec<WebrtcPeer>) {
        let mut webrtc = vec![0; wanted * WEBRTC_BYTES];
        let mut moment = Moment { now, rng: &mut self.rng, new_torrents: &mut self.new_torrents };
        let room = PeerRoom { webrtc: &mut webrtc, ..PeerRoom::default() };
        let announced = self.shard.announce(&mut moment, announce, room);
        let returned = webrtc_peers(&webrtc[..announced.webrtc_bytes]).collect();
        (announced, returned)
    }
}

fn compare_peers(
    wanted: usize,
    announced: &Announced,
    returned: &[WebrtcPeer],
    verdict: &Verdict,
) -> Result<(), String> {
    let records = verdict.eligible.iter();
    let mut eligible: BTreeMap<PeerId, Connection> =
        records.filter_map(|record| Some((record.peer_id, record.connection?))).collect();
    let expected = wanted.min(eligible.len());
    if announced.webrtc_bytes != expected * WEBRTC_BYTES {
        return Err(format!("{} bytes for {expected} peers", announced.webrtc_bytes));
    }
    for peer in returned {
        // Taken out, so that none may come twice.
        if eligible.remove(&peer.peer_id) != Some(peer.connection) {
            return Err(format!("{peer:?} must not be returned"));
        }
    }
    Ok(())
}
