//! Which peers an answer carries: random windows of the columns, copied as they stand.
//!
//! The cost follows the number of peers wanted, never the size of the swarm. Nothing is changed
//! here but peers that turn out to be expired.

use alloc::vec::Vec;

use fastrand::Rng;
use skep_proto::PeerId;

use super::Tally;
use super::endpoint::{Connection, webrtc_peer};
use super::lane::{Lane, LaneContext, Spot, part_number};
use super::left_out::LeftOut;
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
    /// The announcer's connection: all peers that are reached by it are left out.
    pub(crate) connection: Option<Connection>,
    /// Others that are left out, if any are.
    pub(crate) left_out: Option<&'a LeftOut>,
}

impl Choice<'_> {
    /// Whether rows besides the announcer's own may have to be left out of a lane with these columns.
    const fn is_elsewhere(&self, columns: Columns) -> bool {
        // Only where the announcer's endpoint is not, its other address may be.
        self.connection.is_some()
            || (self.own.is_none() && columns.peer_ids)
            || self.left_out.is_some()
    }

    fn leaves_out(&self, part: &Part, columns: Columns, position: u32) -> bool {
        let is_announcer = match self.connection {
            None if self.own.is_some() => false,
            None => part.peer_id(columns, position).as_ref() == Some(self.peer_id),
            Some(connection) => webrtc_peer(part.endpoint(columns, position))
                .is_some_and(|peer| peer.connection == connection || peer.peer_id == *self.peer_id),
        };
        let others = self.left_out;
        is_announcer || others.is_some_and(|peers| peers.has(part.endpoint(columns, position)))
    }
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
        fill_from_part(&lane.parts()[number], columns, rng, choice, own, room);
    }
}

/// Copies a random choice of the eligible rows of a part.
///
/// Rows are sorted by class, so one window over all of them would often miss a class; each class
/// gets its share of the answer instead, and a window of its own.
fn fill_from_part(
    part: &Part,
    columns: Columns,
    rng: &mut Rng,
    choice: &Choice<'_>,
    own: Option<u32>,
    room: &mut Room<'_>,
) {
    let end = if choice.leechers_only { part.leechers() } else { part.len() };
    let mut leechers = Window::new(rng, 0, part.leechers(), own);
    let mut others = Window::new(rng, part.leechers(), end, own);
    let count = room.wanted().min(leechers.left + others.left);
    let from_others = share(rng, count, others.left, leechers.left + others.left);
    if choice.is_elsewhere(columns) {
        leechers.copy_but(part, columns, choice, count - from_others, room);
        others.copy_but(part, columns, choice, from_others, room);
        // Where the announcer was left out, somebody else may take its place.
        leechers.copy_but(part, columns, choice, room.wanted(), room);
        others.copy_but(part, columns, choice, room.wanted(), room);
    } else {
        leechers.copy(part, columns, count - from_others, room);
        others.copy(part, columns, from_others, room);
    }
}

/// How many of `count` places go to a group of `group` among `total`: its part of them, with what is
/// left of a place given by chance.
fn share(rng: &mut Rng, count: u32, group: u32, total: u32) -> u32 {
    if group == 0 || group == total {
        return if group == 0 { 0 } else { count };
    }
    let places = u64::from(count) * u64::from(group);
    let (whole, rest) = (places / u64::from(total), places % u64::from(total));
    whole as u32 + u32::from(rng.u64(0..u64::from(total)) < rest)
}

/// The rows of one class, gone through once from a random start and around the end.
///
/// Positions are counted as if the announcer's own row were not there.
struct Window {
    first: u32,
    len: u32,
    /// Where the own row is; beyond the end if it is elsewhere.
    own: u32,
    next: u32,
    left: u32,
}

impl Window {
    fn new(rng: &mut Rng, first: u32, end: u32, own: Option<u32>) -> Self {
        let own = own.filter(|own| (first..end).contains(own));
        let len = end.saturating_sub(first) - u32::from(own.is_some());
        let next = if len > 1 { rng.u32(0..len) } else { 0 };
        Self { first, len, own: own.unwrap_or(u32::MAX), next, left: len }
    }

    /// Goes on by up to `count` rows, as far as they lie side by side, and tells which they are.
    fn run(&mut self, count: u32) -> (u32, u32) {
        let from = self.first + self.next;
        let mut to = from + count.min(self.left).min(self.len - self.next);
        // Behind the own row everything is one further; a run that reaches it ends there.
        let skipped = u32::from(from >= self.own);
        if skipped == 0 && to > self.own {
            to = self.own;
        }
        self.left -= to - from;
        self.next = (self.next + (to - from)) % self.len.max(1);
        (from + skipped, to + skipped)
    }

    fn copy(&mut self, part: &Part, columns: Columns, mut count: u32, room: &mut Room<'_>) {
        while count > 0 {
            let (from, to) = self.run(count);
            room.copy(part, columns, from, to);
            count -= to - from;
        }
    }

    /// Copies `count` rows, leaving out the announcer's and those of others that are not wanted.
    fn copy_but(
        &mut self,
        part: &Part,
        columns: Columns,
        choice: &Choice<'_>,
        mut count: u32,
        room: &mut Room<'_>,
    ) {
        while count > 0 && self.left > 0 {
            let (at, _) = self.run(1);
            if !choice.leaves_out(part, columns, at) {
                room.copy(part, columns, at, at + 1);
                count -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_window_shows_every_row_but_its_own_once() {
        let mut rng = Rng::with_seed(5);
        for (first, end) in [(0, 1), (0, 7), (3, 4), (3, 12), (5, 5)] {
            for own in (0..14).map(Some).chain([None]) {
                let mut window = Window::new(&mut rng, first, end, own);
                let mut seen = BTreeSet::new();
                while window.left > 0 {
                    let (from, to) = window.run(3);
                    assert!(from < to, "a run goes on");
                    assert!((from..to).all(|row| seen.insert(row)), "no row twice");
                }
                let expected: BTreeSet<_> = (first..end).filter(|row| Some(*row) != own).collect();
                assert_eq!(seen, expected, "{first}..{end} without {own:?}");
            }
        }
    }

    #[test]
    fn shares_are_fair_and_fit() {
        let mut rng = Rng::with_seed(5);
        for (count, group, total) in [(30, 9, 90), (50, 1, 60), (7, 7, 7), (4, 0, 9), (1, 3, 4)] {
            let mut sum = 0;
            for _ in 0..10_000 {
                let share = share(&mut rng, count, group, total);
                assert!(share <= group && count - share <= total - group);
                sum += share;
            }
            let mean = f64::from(sum) / 10_000.0;
            let fair = f64::from(count * group) / f64::from(total);
            assert!((mean - fair).abs() < 0.05, "{count} of {total}: {mean}, not {fair}");
        }
    }
}
