//! Which lanes an answer is filled from, and with which classes of peers.
//!
//! How peers are chosen within a lane is in `select`.

use fastrand::Rng;

use super::body::{self, Peer, Visit};
use super::decide::{Decision, decide};
use super::lane::{LaneKind, Spot};
use super::part::PeerClass;
use super::select::{self, Choice, Room};
use super::table::Body;
use super::{Announced, PeerRoom, PrivatePeers, SwarmSettings};

impl Visit<'_> {
    /// Fills the answer with peers that the announcer can reach and has use for.
    #[inline]
    pub(super) fn choose(
        &mut self,
        rng: &mut Rng,
        own: Option<Spot>,
        room: PeerRoom<'_>,
        announced: &mut Announced,
    ) {
        let Self { context, settings, tally, table, number, peer } = self;
        let number = *number;
        let body = &table.torrent(number).body;
        let leechers_only = !settings.seeds_to_seeds && !wants_pieces(settings, peer, body, own);
        let left_out = room.left_out;
        let (ids4, ids6) = match room.peer_ids {
            Some(ids) => (Some(&mut ids.ipv4), Some(&mut ids.ipv6)),
            None => (None, None),
        };
        let mut ipv4 = Room::new(room.ipv4, LaneKind::Ipv4.stride(), ids4);
        let mut ipv6 = Room::new(room.ipv6, LaneKind::Ipv6.stride(), ids6);
        let mut webrtc = Room::new(room.webrtc, LaneKind::Webrtc.stride(), None);
        for kind in visible_kinds(settings.private_peers, peer.kind) {
            let room = match kind {
                LaneKind::Ipv4 | LaneKind::Ipv4Local => &mut ipv4,
                LaneKind::Ipv6 | LaneKind::Ipv6Local => &mut ipv6,
                LaneKind::Webrtc => &mut webrtc,
            };
            if room.wanted() == 0 {
                continue;
            }
            let own = own.filter(|_| kind == peer.kind);
            let choice = Choice {
                leechers_only,
                own,
                peer_id: &peer.announce.request.peer_id,
                connection: peer.announce.connection,
                left_out,
            };
            match &mut table.torrent_mut(number).body {
                Body::Empty(_) => {}
                Body::Single(single) => {
                    let single = *single;
                    let single_peer_id = table.single_peer_id(number);
                    let eligible = single.class == PeerClass::Leecher || !leechers_only;
                    let same_client = single_peer_id == Some(peer.announce.request.peer_id);
                    let left_out = left_out.is_some_and(|peers| peers.has(&single.endpoint));
                    let others = own.is_none() && !same_client && !left_out;
                    if single.kind == kind && eligible && others {
                        room.push(&single.endpoint, single_peer_id.into_iter());
                    }
                }
                body => {
                    for lane in body.lanes_mut().iter_mut().filter(|lane| lane.kind == kind) {
                        select::fill(lane, context, tally, rng, &choice, room);
                    }
                }
            }
        }
        announced.ipv4_bytes = ipv4.filled();
        announced.ipv6_bytes = ipv6.filled();
        announced.webrtc_bytes = webrtc.filled();
    }
}

/// Lanes whose peers an announcer of some kind gets, nearest first.
fn visible_kinds(private_peers: PrivatePeers, own: LaneKind) -> impl Iterator<Item = LaneKind> {
    use LaneKind::{Ipv4, Ipv4Local, Ipv6, Ipv6Local, Webrtc};
    let local = matches!(own, Ipv4Local | Ipv6Local) && private_peers == PrivatePeers::Match;
    let kinds = match (own, local) {
        (Webrtc, _) => &[Webrtc][..],
        (_, true) => &[Ipv4Local, Ipv6Local, Ipv4, Ipv6],
        (_, false) => &[Ipv4, Ipv6],
    };
    kinds.iter().copied()
}

/// Whether the announcer can use seeders, by its class in the swarm or by what it says.
fn wants_pieces(settings: &SwarmSettings, peer: &Peer<'_>, body: &Body, own: Option<Spot>) -> bool {
    let request = &peer.announce.request;
    let stored = own.and_then(|spot| body::class_at(body, peer.kind, spot));
    let said = || match decide(request, None, settings.completed_overrides_left) {
        Decision::Keep { class, .. } => Some(class),
        Decision::Remove => None,
    };
    stored.or_else(said) == Some(PeerClass::Leecher)
}
