//! Which peers an answer carries: random windows of the columns, copied as they stand.
//!
//! The cost follows the number of peers wanted, never the size of the swarm. Nothing is changed
//! here but peers that turn out to be expired.

use alloc::vec::Vec;

use fastrand::Rng;
use skep_proto::PeerId;

use super::Tally;
use super::lane::{Lane, LaneContext, Spot, part_number};
use super::part::{Columns, Part};
use crate::limits::PARTS_PER_ANSWER_MAX;

/// Room for the peers of one family in an answer.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    /// Endpoints in wire order; as long as there are peers wanted.
    out: &'a mut [u8],
    stride: usize,
    filled: usize,
    peer_ids: Option<&'a mut Vec<PeerId>>,
}

impl<'a> Room<'a> {
    pub(crate) fn new(
        out: &'a mut [u8],
        stride: usize,
        mut peer_ids: Option<&'a mut Vec<PeerId>>,
    ) -> Self {
        if let Some(peer_ids) = peer_ids.as_deref_mut() {
            peer_ids.clear();
        }
        Room { out, stride, filled: 0, peer_ids }
    }

    /// Bytes written so far.
    pub(crate) const fn filled(&self) -> usize {
        self.filled
    }

    pub(crate) const fn wanted(&self) -> u32 {
        ((self.out.len() - self.filled) / self.stride) as u32
    }

    pub(crate) fn push(&mut self, endpoints: &[u8], peer_ids: impl Iterator<Item = PeerId>) {
        self.out[self.filled..self.filled + endpoints.len()].copy_from_slice(endpoints);
        self.filled += endpoints.len();
        if let Some(kept) = self.peer_ids.as_deref_mut() {
            kept.extend(peer_ids);
        }
    }

    /// Copies rows `from..to` of a part.
    fn copy(&mut self, part: &Part, columns: Columns, from: u32, to: u32) {
        let bytes = from as usize * columns.stride..to as usize * columns.stride;
        self.push(
            &part.endpoints(columns.stride)[bytes],
            (from..to).filter_map(|position| part.peer_id(columns, position)),
        );
    }
}

/// Who must not be in the answer, and who may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    /// Only peers that still want pieces.
    pub(crate) leechers_only: bool,
    /// The announcer's own row, if it is in this lane.
    pub(crate) own: Option<Spot>,
    /// The announcer's peer id: its rows in other lanes are left out.
    pub(crate) peer_id: &'a PeerId,
}

/// Fills `room` with peers of a lane, chosen at random without repetition.
pub(crate) fn fill(
    lane: &mut Lane,
    context: &LaneContext<'_>,
    tally: &mut Tally,
    rng: &mut Rng,
    choice: &Choice<'_>,
    room: &mut Room<'_>,
) {
    let parts = lane.parts().len();
    // The part of a random hash: parts that linear hashing has not split yet hold twice as many
    // peers, and come up twice as often.
    let first = part_number(rng.u64(..), parts);
    for step in 0..parts.min(PARTS_PER_ANSWER_MAX) {
        if room.wanted() == 0 {
            return;
        }
        let number = (first + step) % parts;
        let own = choice.own.filter(|spot| spot.part == number).and_then(|spot| spot.position);
        if own.is_none() {
            lane.expire_part(context, tally, number);
        }
        let columns = context.columns(lane.kind);
        let part = &lane.parts()[number];
        if choice.own.is_none() && columns.peer_ids {
            fill_from_other_lane(part, columns, rng, choice, room);
        } else {
            fill_from_part(part, columns, rng, choice.leechers_only, own, room);
        }
    }
}

const fn eligible(part: &Part, leechers_only: bool) -> u32 {
    if leechers_only { part.leechers() } else { part.len() }
}

/// Copies a random circular window of the eligible rows, without the announcer's own.
fn fill_from_part(
    part: &Part,
    columns: Columns,
    rng: &mut Rng,
    leechers_only: bool,
    own: Option<u32>,
    room: &mut Room<'_>,
) {
    let eligible = eligible(part, leechers_only);
    let own = own.filter(|&position| position < eligible).unwrap_or(u32::MAX);
    let others = eligible - u32::from(own != u32::MAX);
    let count = room.wanted().min(others);
    if count == 0 {
        return;
    }
    // Positions are counted as if the own row were not there; a run that spans it is copied in two.
    let mut run = |from: u32, to: u32| {
        if to <= own {
            room.copy(part, columns, from, to);
        } else if from >= own {
            room.copy(part, columns, from + 1, to + 1);
        } else {
            room.copy(part, columns, from, own);
            room.copy(part, columns, own + 1, to + 1);
        }
    };
    let from = if count == others { 0 } else { rng.u32(0..others) };
    let to = from + count;
    if to <= others {
        run(from, to);
    } else {
        run(from, others);
        run(0, to - others);
    }
}

/// The same for a lane that the announcer's endpoint is not in, where its other address may be.
fn fill_from_other_lane(
    part: &Part,
    columns: Columns,
    rng: &mut Rng,
    choice: &Choice<'_>,
    room: &mut Room<'_>,
) {
    let eligible = eligible(part, choice.leechers_only);
    if eligible == 0 {
        return;
    }
    let from = rng.u32(0..eligible);
    for position in (from..eligible).chain(0..from) {
        if room.wanted() == 0 {
            return;
        }
        if part.peer_id(columns, position).as_ref() != Some(choice.peer_id) {
            room.copy(part, columns, position, position + 1);
        }
    }
}
