//! The peers of one torrent in their several forms: none, one in the record, a lane, or lanes.
//!
//! Every change of form happens here. What an announce means was decided before; which peers an
//! answer carries is chosen elsewhere.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use skep_proto::{AnnounceEvent, PeerId};

use super::endpoint::{Endpoint, same_connection, same_owner};
use super::lane::{Lane, LaneContext, LaneKind, Spot};
use super::part::{Classes, PeerClass, Row};
use super::table::{Body, Single, Table, Torrent};
use super::{Announce, Counts, SwarmSettings, Tally};
use crate::time::{Stamp, Tick};

/// The announcer as swarms see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) kind: LaneKind,
    pub(super) announce: &'a Announce,
}

/// Where an endpoint was found, or where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) spot: Spot,
    pub(super) class_and_flag: Option<(PeerClass, bool)>,
}

impl Body {
    pub(super) fn lanes(&self) -> &[Lane] {
        match self {
            Self::Empty(_) | Self::Single(_) => &[],
            Self::Lane(lane) => core::slice::from_ref(lane),
            Self::Lanes(lanes) => lanes,
        }
    }

    pub(super) fn lane_mut(&mut self, kind: LaneKind) -> Option<&mut Lane> {
        self.lanes_mut().iter_mut().find(|lane| lane.kind == kind)
    }

    pub(super) fn lanes_mut(&mut self) -> &mut [Lane] {
        match self {
            Self::Empty(_) | Self::Single(_) => &mut [],
            Self::Lane(lane) => core::slice::from_mut(lane),
            Self::Lanes(lanes) => lanes,
        }
    }
}

/// Counts the peers that an announcer of some kind may meet.
pub(super) fn counts(torrent: &Torrent, webrtc: bool) -> Counts {
    let mut sum = Classes::default();
    if let Body::Single(single) = &torrent.body
        && !webrtc
    {
        sum.len = 1;
        sum.leechers = u32::from(single.class == PeerClass::Leecher);
        sum.partials = u32::from(single.class == PeerClass::PartialSeed);
    }
    for lane in torrent.body.lanes().iter().filter(|lane| lane.kind.is_webrtc() == webrtc) {
        let classes = lane.classes();
        sum.len += classes.len;
        sum.leechers += classes.leechers;
        sum.partials += classes.partials;
    }
    Counts {
        seeders: sum.len - sum.leechers - sum.partials,
        leechers: sum.leechers,
        partial_seeds: sum.partials,
        completions: torrent.completions,
    }
}

/// The class of the peer at a spot of the lane of a kind.
pub(super) fn class_at(body: &Body, kind: LaneKind, spot: Spot) -> Option<PeerClass> {
    if let Body::Single(single) = body {
        return Some(single.class);
    }
    let lane = body.lanes().iter().find(|lane| lane.kind == kind)?;
    spot.position.map(|position| lane.parts()[spot.part].class_at(position))
}

pub(super) fn expire_single(
    context: &LaneContext<'_>,
    tally: &mut Tally,
    table: &mut Table,
    number: u32,
) {
    let torrent = table.torrent_mut(number);
    if let Body::Single(single) = &torrent.body
        && single.stamp.age_steps(context.now) > context.ttl_steps
    {
        tally.expire(single.kind, single.class);
        torrent.body = Body::Empty(context.now);
    }
}

/// One torrent under one announce.
pub(super) struct Visit<'a> {
    pub(super) context: LaneContext<'a>,
    pub(super) settings: &'a SwarmSettings,
    pub(super) tally: &'a mut Tally,
    pub(super) table: &'a mut Table,
    pub(super) number: u32,
    pub(super) peer: &'a Peer<'a>,
}

impl Visit<'_> {
    /// Looks the announcer up. `None` if the torrent has no lane of its kind yet.
    pub(super) fn known(&mut self) -> Option<Known> {
        let Self { context, tally, table, number, peer, .. } = self;
        match &mut table.torrent_mut(*number).body {
            Body::Empty(_) => None,
            Body::Single(single) => {
                let same = single.kind == peer.kind && single.endpoint == peer.endpoint.as_bytes();
                same.then(|| Known {
                    spot: Spot { part: 0, position: Some(0) },
                    class_and_flag: Some((single.class, single.stamp.flag())),
                })
            }
            body => {
                let lane = body.lane_mut(peer.kind)?;
                let spot = lane.find(context, tally, &peer.endpoint);
                Some(Known { spot, class_and_flag: lane.class_and_flag(context, spot) })
            }
        }
    }

    /// Whether the row of the announcer belongs to somebody else.
    pub(super) fn is_anothers(&self, known: Option<&Known>) -> bool {
        let body = &self.table.torrent(self.number).body;
        let lane = body.lanes().iter().find(|lane| lane.kind == self.peer.kind);
        let row =
            known.zip(lane).and_then(|(known, lane)| lane.endpoint(&self.context, known.spot));
        let own = self.peer.endpoint.as_bytes();
        // A connection that the peer has left cannot stop it.
        let stops = self.peer.announce.request.event == AnnounceEvent::Stopped;
        row.is_some_and(|row| !if stops { same_connection(row, own) } else { same_owner(row, own) })
    }

    /// Whether a new announcer could be stored without anything growing: in a record without a peer,
    /// or in the place of another peer.
    pub(super) fn fits_without_growing(&self) -> bool {
        let body = &self.table.torrent(self.number).body;
        let full_lane = |lane: &Lane| {
            lane.kind == self.peer.kind && lane.classes().len >= self.context.lane_peers_max
        };
        match body {
            Body::Empty(_) => self.peer.kind.is_ipv4(),
            body => body.lanes().iter().any(full_lane),
        }
    }

    /// Removes the announcer, if it is there.
    pub(super) fn take_out(&mut self, known: Option<Known>) {
        let Self { context, tally, table, number, peer, .. } = self;
        let Some(known) = known else { return };
        match &mut table.torrent_mut(*number).body {
            Body::Empty(_) => {}
            body @ Body::Single(_) => {
                if let Some((class, _)) = known.class_and_flag {
                    tally.sub(peer.kind, class);
                    *body = Body::Empty(context.now);
                }
            }
            body => {
                if let Some(lane) = body.lane_mut(peer.kind) {
                    lane.remove(context, tally, known.spot);
                }
            }
        }
    }

    /// Stores or refreshes the announcer and tells where it is.
    pub(super) fn put_in(&mut self, known: Option<Known>, row: &Row<'_>) -> Spot {
        let Self { context, tally, table, number, peer, .. } = self;
        let torrent = table.torrent_mut(*number);
        let before = match (&torrent.body, &known) {
            (Body::Empty(_), _) => Some(None),
            (Body::Single(single), Some(_)) => Some(Some(single.class)),
            _ => None,
        };
        if let Some(before) = before
            && let Ok(endpoint) = row.endpoint.try_into()
        {
            let (kind, class, stamp) = (peer.kind, row.class, row.stamp);
            torrent.body = Body::Single(Single { endpoint, stamp, kind, class });
            table.set_single_peer_id(*number, row.peer_id);
            if let Some(before) = before {
                tally.sub(kind, before);
            }
            tally.add(kind, class);
            return Spot { part: 0, position: Some(0) };
        }
        // Another miss if it were read for every announce; only the second peer needs it.
        let single = matches!(torrent.body, Body::Single(_));
        let single_peer_id = single.then(|| table.single_peer_id(*number)).flatten();
        let single_peer_id = single_peer_id.unwrap_or(PeerId([0; 20]));
        let body = &mut table.torrent_mut(*number).body;
        let lane = lane_for(context, body, peer.kind, &single_peer_id);
        let spot = match known {
            Some(known) => known.spot,
            None => lane.find(context, tally, &peer.endpoint),
        };
        lane.put(context, tally, spot, &peer.endpoint, row)
    }
}

/// The lane of a kind, made if need be; a single peer moves into a lane of its own kind first.
fn lane_for<'a>(
    context: &LaneContext<'_>,
    body: &'a mut Body,
    kind: LaneKind,
    single_peer_id: &PeerId,
) -> &'a mut Lane {
    let at = body.lanes().iter().position(|lane| lane.kind == kind).unwrap_or_else(|| {
        let mut lanes = match core::mem::replace(body, Body::Empty(context.now)) {
            Body::Empty(_) => Vec::new(),
            Body::Single(single) => vec![lane_of_single(context, &single, single_peer_id)],
            Body::Lane(lane) => vec![*lane],
            Body::Lanes(lanes) => *lanes,
        };
        // A single peer of the same kind made the lane already.
        if !lanes.iter().any(|lane| lane.kind == kind) {
            lanes.reserve_exact(1);
            lanes.push(Lane::new(kind));
        }
        let at = lanes.len() - 1;
        *body = match lanes.pop() {
            Some(lane) if lanes.is_empty() => Body::Lane(Box::new(lane)),
            last => {
                lanes.extend(last);
                Body::Lanes(Box::new(lanes))
            }
        };
        at
    });
    &mut body.lanes_mut()[at]
}

fn lane_of_single(context: &LaneContext<'_>, single: &Single, peer_id: &PeerId) -> Lane {
    let mut lane = Lane::new(single.kind);
    let row = Row { endpoint: &single.endpoint, class: single.class, stamp: single.stamp, peer_id };
    lane.adopt(context, &row);
    lane
}

/// Drops empty lanes; a body without any becomes empty.
///
/// A lane that was large is not dropped before the sweep has joined its parts: nobody is to wait until
/// a hundred thousand blocks are given back.
pub(super) fn compact(torrent: &mut Torrent, now: Tick) {
    let empty = |lane: &Lane| lane.classes().len == 0 && lane.parts().len() <= PARTS_DROPPED_MAX;
    match &mut torrent.body {
        Body::Lane(lane) if empty(lane) => torrent.body = Body::Empty(Stamp::new(now, false)),
        Body::Lanes(lanes) if lanes.iter().any(empty) => {
            lanes.retain(|lane| !empty(lane));
            lanes.shrink_to_fit();
            if lanes.len() < 2 {
                torrent.body = match lanes.pop() {
                    Some(lane) => Body::Lane(Box::new(lane)),
                    None => Body::Empty(Stamp::new(now, false)),
                };
            }
        }
        _ => {}
    }
}

/// Parts that are given back in one go.
const PARTS_DROPPED_MAX: usize = 256;

/// Moves the only IPv4 peer of a lane back into the torrent's record.
pub(super) fn demote(table: &mut Table, number: u32) {
    let peer_ids = table.keeps_peer_ids();
    let torrent = table.torrent_mut(number);
    if let Body::Lane(lane) = &torrent.body
        && lane.classes().len == 1
        && let Some((single, peer_id)) = lane.only_ipv4_peer(peer_ids)
    {
        torrent.body = Body::Single(single);
        if let Some(peer_id) = peer_id {
            table.set_single_peer_id(number, &peer_id);
        }
    }
}
