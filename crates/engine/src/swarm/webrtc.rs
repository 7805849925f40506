//! What a shard does for WebRTC peers besides announces: counts, messages between two, farewells.
//!
//! Such a peer is not reached by an address but by the connection that it keeps open, so connections
//! own peers here. What stands in a message between two peers is not known.

use skep_proto::{InfoHash, PeerId};

use super::endpoint::{Connection, Endpoint, WebrtcPeer, webrtc_peer};
use super::lane::{Lane, LaneContext};
use super::{Counts, LaneKind, Shard, Tally, body, lane_context};
use crate::time::Tick;

impl Shard {
    /// Counts the WebRTC peers of a swarm without changing anything. Completions are those of all.
    #[must_use]
    pub fn webrtc_scrape(&self, info_hash: &InfoHash) -> Option<Counts> {
        self.webrtc_scrape_hashed(self.seed.hash(info_hash.as_bytes()), info_hash)
    }

    /// [`Self::webrtc_scrape`] for a caller that knows the hash of the info hash.
    #[must_use]
    pub fn webrtc_scrape_hashed(&self, hash: u64, info_hash: &InfoHash) -> Option<Counts> {
        let number = self.table.find(hash, info_hash)?;
        Some(body::counts(self.table.torrent(number), true))
    }

    /// Refreshes a WebRTC peer that sends a message, and tells which connection leads to the one that
    /// is to get it. `None` if nobody knows that one, or if the sender is not on its connection.
    pub fn relay(
        &mut self,
        now: Tick,
        info_hash: &InfoHash,
        from: &WebrtcPeer,
        to: &PeerId,
    ) -> Option<Connection> {
        self.relay_hashed(self.seed.hash(info_hash.as_bytes()), now, info_hash, from, to)
    }

    /// [`Self::relay`] for a caller that knows the hash of the info hash.
    pub fn relay_hashed(
        &mut self,
        hash: u64,
        now: Tick,
        info_hash: &InfoHash,
        from: &WebrtcPeer,
        to: &PeerId,
    ) -> Option<Connection> {
        self.with_webrtc_lane(hash, now, info_hash, |lane, context, tally| {
            let spot = lane.find(context, tally, &Endpoint::webrtc(from));
            let stored = lane.endpoint(context, spot).and_then(webrtc_peer);
            if stored != Some(*from) {
                return None;
            }
            lane.refresh(context, spot);
            let to = WebrtcPeer { peer_id: *to, connection: from.connection };
            let spot = lane.find(context, tally, &Endpoint::webrtc(&to));
            let stored = lane.endpoint(context, spot).and_then(webrtc_peer);
            stored.map(|peer| peer.connection)
        })
    }

    /// Removes a WebRTC peer unless another connection leads to it by now; tells whether it was there.
    pub fn leave(&mut self, now: Tick, info_hash: &InfoHash, peer: &WebrtcPeer) -> bool {
        self.leave_hashed(self.seed.hash(info_hash.as_bytes()), now, info_hash, peer)
    }

    /// [`Self::leave`] for a caller that knows the hash of the info hash.
    pub fn leave_hashed(
        &mut self,
        hash: u64,
        now: Tick,
        info_hash: &InfoHash,
        peer: &WebrtcPeer,
    ) -> bool {
        let removed = self.with_webrtc_lane(hash, now, info_hash, |lane, context, tally| {
            let spot = lane.find(context, tally, &Endpoint::webrtc(peer));
            let stored = lane.endpoint(context, spot).and_then(webrtc_peer);
            (stored == Some(*peer)).then(|| lane.remove(context, tally, spot))
        });
        removed.is_some()
    }

    /// Does something to the WebRTC peers of a torrent, if it has any, and tidies up behind it.
    fn with_webrtc_lane<T>(
        &mut self,
        hash: u64,
        now: Tick,
        info_hash: &InfoHash,
        work: impl FnOnce(&mut Lane, &LaneContext<'_>, &mut Tally) -> Option<T>,
    ) -> Option<T> {
        let now = self.latest(now);
        let number = self.table.find(hash, info_hash)?;
        let pressure = self.totals.pressure();
        let Self { settings, seed, table, tally, .. } = self;
        let context = lane_context(settings, seed, pressure, LaneKind::Webrtc, now);
        let lane = table.torrent_mut(number).body.lane_mut(LaneKind::Webrtc)?;
        let outcome = work(lane, &context, tally);
        self.settle(now, number);
        self.publish();
        outcome
    }
}
