//! A lane: the peers of one swarm that can reach each other, split into parts as it grows.
//!
//! Here peers are found, put in, taken out and expired. Which of them an answer carries is chosen in
//! `select`; what an announce does to a peer is decided in `swarm`.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use skep_proto::PeerId;
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};

use super::Tally;
use super::endpoint::{Endpoint, WEBRTC_BYTES};
use super::part::{Classes, Columns, Part, PeerClass, Row};
use super::table::Single;
use crate::hash::Seed;
use crate::limits::{PART_PEERS_MAX, PART_PEERS_MIN};
use crate::time::Stamp;

/// Which peers can reach each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LaneKind {
    /// Global IPv4 addresses.
    Ipv4 = 0,
    /// Private, loopback and link-local IPv4 addresses.
    Ipv4Local = 1,
    /// Global IPv6 addresses.
    Ipv6 = 2,
    /// Unique-local, loopback and link-local IPv6 addresses.
    Ipv6Local = 3,
    /// Browsers and other WebRTC peers, which only meet through the tracker.
    Webrtc = 4,
}

impl LaneKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 5] =
        [Self::Ipv4, Self::Ipv4Local, Self::Ipv6, Self::Ipv6Local, Self::Webrtc];

    pub(crate) const fn stride(self) -> usize {
        match self {
            Self::Ipv4 | Self::Ipv4Local => IPV4_BYTES,
            Self::Ipv6 | Self::Ipv6Local => IPV6_BYTES,
            Self::Webrtc => WEBRTC_BYTES,
        }
    }

    /// The columns of its lanes, where peer ids are kept or not: WebRTC peers have theirs in their
    /// endpoints.
    pub(crate) const fn columns(self, peer_ids: bool) -> Columns {
        Columns { stride: self.stride(), peer_ids: peer_ids && !self.is_webrtc() }
    }

    pub(crate) const fn is_webrtc(self) -> bool {
        matches!(self, Self::Webrtc)
    }

    pub(crate) const fn is_ipv4(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv4Local)
    }
}

/// How many entries one host may have in a swarm, and which bytes of an endpoint name the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowding {
    /// Entries of one address; 0 means no limit.
    pub(crate) per_address_max: u32,
    /// Entries of one IPv6 /64; 0 means no limit.
    pub(crate) per_prefix_max: u32,
}

/// What every operation on lanes needs to know and none of them changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneContext<'a> {
    pub(crate) seed: &'a Seed,
    pub(crate) now: Stamp,
    pub(crate) ttl_steps: u16,
    pub(crate) peer_ids: bool,
    pub(crate) crowding: Crowding,
    /// Peers of a lane from which on a new one takes the place of another.
    pub(crate) lane_peers_max: u32,
    /// Which one, by chance.
    pub(crate) dice: u32,
}

impl LaneContext<'_> {
    pub(crate) const fn columns(&self, kind: LaneKind) -> Columns {
        kind.columns(self.peer_ids)
    }

    /// How many leading bytes of an endpoint decide its part.
    ///
    /// Entries that are counted together must lie together; where nothing is counted the whole
    /// endpoint spreads best.
    const fn group_bytes(&self, kind: LaneKind) -> usize {
        if kind.is_webrtc() {
            return size_of::<PeerId>();
        }
        let Crowding { per_address_max, per_prefix_max } = self.crowding;
        match (kind.is_ipv4(), per_address_max > 0, per_prefix_max > 0) {
            (true, true, _) => 4,
            (true, false, _) => IPV4_BYTES,
            (false, _, true) => 8,
            (false, true, false) => 16,
            (false, false, false) => IPV6_BYTES,
        }
    }
}

/// Where a peer is, or where it would go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) part: usize,
    pub(crate) position: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) kind: LaneKind,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    One(Part),
    Many(Box<Parted>),
}

/// Parts by linear hashing: one splits or joins at a time, so no insertion moves a whole lane.
#[derive(Debug)]
struct Parted {
    parts: Vec<Part>,
    classes: Classes,
}

const _: () = assert!(size_of::<Lane>() == 40, "the header of a lane");
const _: () = assert!(size_of::<Parted>() == 40, "the header of a lane's parts");

impl Lane {
    pub(crate) fn new(kind: LaneKind) -> Self {
        Self { kind, parts: Parts::One(Part::default()) }
    }

    pub(crate) fn classes(&self) -> Classes {
        match &self.parts {
            Parts::One(part) => part.classes(),
            Parts::Many(parted) => parted.classes,
        }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        match &self.parts {
            Parts::One(part) => core::slice::from_ref(part),
            Parts::Many(parted) => &parted.parts,
        }
    }

    fn parts_mut(&mut self) -> &mut [Part] {
        match &mut self.parts {
            Parts::One(part) => core::slice::from_mut(part),
            Parts::Many(parted) => &mut parted.parts,
        }
    }

    /// Names what a request of this announcer reads behind the header, for `step` 0 to 2, and tells
    /// whether the next step has more.
    pub(crate) fn ahead(
        &self,
        context: &LaneContext<'_>,
        step: u32,
        endpoint: Option<&Endpoint>,
        fetch: &mut impl FnMut(*const u8),
    ) -> bool {
        let columns = context.columns(self.kind);
        match (&self.parts, endpoint) {
            (Parts::One(part), _) => part.ahead(columns, fetch),
            (Parts::Many(parted), _) if step == 0 => {
                fetch(core::ptr::from_ref::<Parted>(parted).cast());
                return endpoint.is_some();
            }
            (Parts::Many(parted), Some(endpoint)) => {
                let part = &parted.parts[self.part_of(context, endpoint.as_bytes())];
                if step == 1 {
                    fetch(core::ptr::from_ref(part).cast());
                    return true;
                }
                part.ahead(columns, fetch);
            }
            (Parts::Many(_), None) => {}
        }
        false
    }

    /// The part that holds or would hold an endpoint.
    fn part_of(&self, context: &LaneContext<'_>, endpoint: &[u8]) -> usize {
        match self.parts().len() {
            1 => 0,
            parts => {
                let group = &endpoint[..context.group_bytes(self.kind)];
                part_number(context.seed.hash(group), parts)
            }
        }
    }

    /// Finds an endpoint; expired peers that would be met on the way are removed first.
    pub(crate) fn find(
        &mut self,
        context: &LaneContext<'_>,
        tally: &mut Tally,
        endpoint: &Endpoint,
    ) -> Spot {
        let part = self.part_of(context, endpoint.as_bytes());
        self.expire_part(context, tally, part);
        Spot { part, position: endpoint.position_in(&self.parts()[part]) }
    }

    pub(crate) fn class_and_flag(
        &self,
        context: &LaneContext<'_>,
        spot: Spot,
    ) -> Option<(PeerClass, bool)> {
        let part = &self.parts()[spot.part];
        let position = spot.position?;
        Some((part.class_at(position), part.stamp(context.columns(self.kind), position).flag()))
    }

    /// The endpoint at a spot, if a peer is there.
    pub(crate) fn endpoint(&self, context: &LaneContext<'_>, spot: Spot) -> Option<&[u8]> {
        let part = &self.parts()[spot.part];
        spot.position.map(|position| part.endpoint(context.columns(self.kind), position))
    }

    /// Puts a peer where [`Lane::find`] said and tells where it is afterwards.
    pub(crate) fn put(
        &mut self,
        context: &LaneContext<'_>,
        tally: &mut Tally,
        mut spot: Spot,
        endpoint: &Endpoint,
        row: &Row<'_>,
    ) -> Spot {
        let (kind, columns) = (self.kind, context.columns(self.kind));
        if let Some(position) = spot.position {
            let part = &mut self.parts_mut()[spot.part];
            if part.class_at(position) == row.class {
                part.refresh(columns, position, row.stamp, row.peer_id);
                if kind.is_webrtc() {
                    part.move_endpoint(columns, position, row.endpoint);
                }
                return spot;
            }
            self.take(context, tally, spot.part, position);
        } else if let Some(stalest) = self.crowded(context, spot.part, endpoint.as_bytes()) {
            self.take(context, tally, spot.part, stalest);
        } else if let Some(replaced) = self.replaced(context, spot.part) {
            self.take(context, tally, spot.part, replaced);
        }
        tally.add(self.kind, row.class);
        self.count(row.class, 1);
        spot.position = Some(self.parts_mut()[spot.part].insert(columns, context.now, row));
        if self.grow(context) {
            spot.part = self.part_of(context, endpoint.as_bytes());
            spot.position = endpoint.position_in(&self.parts()[spot.part]);
        }
        spot
    }

    /// Notes that the peer at a spot was seen again.
    pub(crate) fn refresh(&mut self, context: &LaneContext<'_>, spot: Spot) {
        let columns = context.columns(self.kind);
        if let Some(position) = spot.position {
            let part = &mut self.parts_mut()[spot.part];
            let stamp = context.now.with_flag(part.stamp(columns, position).flag());
            part.set_stamp(columns, position, stamp);
        }
    }

    /// Takes over a peer that is counted already.
    pub(crate) fn adopt(&mut self, context: &LaneContext<'_>, row: &Row<'_>) {
        let columns = context.columns(self.kind);
        self.count(row.class, 1);
        self.parts_mut()[0].insert(columns, context.now, row);
    }

    /// The peer of a lane that has no other, if a torrent's record has room for it.
    pub(crate) fn only_ipv4_peer(&self, peer_ids: bool) -> Option<(Single, Option<PeerId>)> {
        let columns = self.kind.columns(peer_ids);
        let part = self.parts().iter().find(|part| part.len() == 1)?;
        let single = Single {
            endpoint: part.endpoint(columns, 0).try_into().ok()?,
            stamp: part.stamp(columns, 0),
            kind: self.kind,
            class: part.class_at(0),
        };
        Some((single, part.peer_id(columns, 0)))
    }

    /// Removes the peer at a spot and joins parts that became small.
    pub(crate) fn remove(&mut self, context: &LaneContext<'_>, tally: &mut Tally, spot: Spot) {
        if let Some(position) = spot.position {
            self.take(context, tally, spot.part, position);
            self.shrink(context);
        }
    }

    fn take(&mut self, context: &LaneContext<'_>, tally: &mut Tally, part: usize, position: u32) {
        let columns = context.columns(self.kind);
        let part = &mut self.parts_mut()[part];
        let class = part.class_at(position);
        part.remove(columns, position);
        tally.sub(self.kind, class);
        self.count(class, -1);
    }

    /// Removes silent peers of one part; returns how many peers it looked at.
    pub(crate) fn expire_part(
        &mut self,
        context: &LaneContext<'_>,
        tally: &mut Tally,
        part: usize,
    ) -> u32 {
        let (kind, columns) = (self.kind, context.columns(self.kind));
        let part = &mut self.parts_mut()[part];
        if !part.may_hold_expired(context.now, context.ttl_steps) {
            return 1;
        }
        let looked_at = part.len();
        let before = part.classes();
        part.expire(columns, context.now, context.ttl_steps, |class| tally.expire(kind, class));
        let after = part.classes();
        if let Parts::Many(parted) = &mut self.parts {
            parted.classes.len -= before.len - after.len;
            parted.classes.leechers -= before.leechers - after.leechers;
            parted.classes.partials -= before.partials - after.partials;
        }
        looked_at
    }

    /// The peer that makes room for a new one where memory is short. The lane keeps a sample of all
    /// that announce.
    fn replaced(&self, context: &LaneContext<'_>, part: usize) -> Option<u32> {
        let peers = self.parts()[part].len();
        (self.classes().len >= context.lane_peers_max && peers > 0).then(|| context.dice % peers)
    }

    /// The stalest entry of a host that has as many as it may, to make room for its next one.
    fn crowded(&self, context: &LaneContext<'_>, part: usize, endpoint: &[u8]) -> Option<u32> {
        if self.kind.is_webrtc() {
            return None;
        }
        let Crowding { per_address_max, per_prefix_max } = context.crowding;
        let part = &self.parts()[part];
        if self.kind.is_ipv4() {
            return self.stalest_beyond(context, part, &endpoint[..4], per_address_max);
        }
        self.stalest_beyond(context, part, &endpoint[..16], per_address_max)
            .or_else(|| self.stalest_beyond(context, part, &endpoint[..8], per_prefix_max))
    }

    fn stalest_beyond(
        &self,
        context: &LaneContext<'_>,
        part: &Part,
        group: &[u8],
        max: u32,
    ) -> Option<u32> {
        // A part with fewer rows than the limit cannot be over it: most swarms end here.
        if max == 0 || part.len() < max {
            return None;
        }
        let columns = context.columns(self.kind);
        let mut count = 0;
        let mut stalest = None;
        for (position, row) in
            part.endpoints(columns.stride).chunks_exact(columns.stride).enumerate()
        {
            if &row[..group.len()] == group {
                count += 1;
                let age = part.stamp(columns, position as u32).age_steps(context.now);
                if stalest.is_none_or(|(oldest, _)| age > oldest) {
                    stalest = Some((age, position as u32));
                }
            }
        }
        stalest.filter(|_| count >= max).map(|(_, position)| position)
    }

    fn count(&mut self, class: PeerClass, change: i32) {
        if let Parts::Many(parted) = &mut self.parts {
            let classes = &mut parted.classes;
            classes.len = classes.len.wrapping_add_signed(change);
            match class {
                PeerClass::Leecher => {
                    classes.leechers = classes.leechers.wrapping_add_signed(change);
                }
                PeerClass::PartialSeed => {
                    classes.partials = classes.partials.wrapping_add_signed(change);
                }
                PeerClass::Seeder => {}
            }
        }
    }

    /// Splits one part when the lane has outgrown its parts; tells whether it did.
    fn grow(&mut self, context: &LaneContext<'_>) -> bool {
        let parts = self.parts().len() as u32;
        if self.classes().len <= parts * PART_PEERS_MAX {
            return false;
        }
        if let Parts::One(part) = &mut self.parts {
            let classes = part.classes();
            let parts = vec![core::mem::take(part)];
            self.parts = Parts::Many(Box::new(Parted { parts, classes }));
        }
        let (kind, group_bytes) = (self.kind, context.group_bytes(self.kind));
        if let Parts::Many(parted) = &mut self.parts {
            if parted.parts.len() == parted.parts.capacity() {
                // Doubling would leave half of it unused.
                parted.parts.reserve_exact(parted.parts.len() / 8 + 1);
            }
            parted.parts.push(Part::default());
            let parts = parted.parts.len();
            let split = parent_of(parts - 1);
            redistribute(&mut parted.parts, split, context, kind, |endpoint| {
                part_number(context.seed.hash(&endpoint[..group_bytes]), parts)
            });
        }
        true
    }

    /// Joins last parts with their parents if the lane is much smaller than its parts allow: a few in
    /// one call, since nobody is to wait for a lane that lost a million peers. Returns how many it
    /// joined.
    pub(crate) fn shrink(&mut self, context: &LaneContext<'_>) -> u32 {
        let kind = self.kind;
        let mut joined = 0;
        if let Parts::Many(parted) = &mut self.parts {
            while joined < JOINS_MAX {
                let parts = parted.parts.len() as u32;
                if parts == 1 || parted.classes.len >= parts * PART_PEERS_MIN {
                    break;
                }
                let last = parted.parts.len() - 1;
                redistribute(&mut parted.parts, last, context, kind, |_| parent_of(last));
                parted.parts.pop();
                joined += 1;
            }
            if parted.parts.len() == 1 {
                if let Some(part) = parted.parts.pop() {
                    self.parts = Parts::One(part);
                }
            } else if parted.parts.capacity() > parted.parts.len() * 2 {
                parted.parts.shrink_to_fit();
            }
        }
        joined
    }

    /// Bytes that the lane holds on the heap, without its own header.
    pub(crate) fn heap_bytes(&self) -> usize {
        let blocks: usize = self.parts().iter().map(Part::heap_bytes).sum();
        match &self.parts {
            Parts::One(_) => blocks,
            Parts::Many(parted) => {
                blocks + size_of::<Parted>() + parted.parts.capacity() * size_of::<Part>()
            }
        }
    }
}

/// Parts that are joined in one call.
const JOINS_MAX: u32 = 2;

/// Linear hashing: which of `parts` parts a hash falls into.
pub(crate) const fn part_number(hash: u64, parts: usize) -> usize {
    let mask = parts.next_power_of_two() - 1;
    // The high half, like everywhere the low half chooses a slot.
    let number = (hash >> 32) as usize & mask;
    if number < parts { number } else { number & (mask >> 1) }
}

/// The part that a part was split from.
const fn parent_of(part: usize) -> usize {
    part - (part + 1).next_power_of_two() / 2
}

/// Moves every row of one part to the part that `target` names.
fn redistribute(
    parts: &mut [Part],
    from: usize,
    context: &LaneContext<'_>,
    kind: LaneKind,
    target: impl Fn(&[u8]) -> usize,
) {
    let columns = context.columns(kind);
    let source = core::mem::take(&mut parts[from]);
    for position in 0..source.len() {
        let endpoint = source.endpoint(columns, position);
        let peer_id = source.peer_id(columns, position).unwrap_or(PeerId([0; 20]));
        let row = Row {
            endpoint,
            class: source.class_at(position),
            stamp: source.stamp(columns, position),
            peer_id: &peer_id,
        };
        parts[target(endpoint)].insert(columns, context.now, &row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_a_part_and_splits_only_move_to_the_new_one() {
        for parts in 1..200 {
            for hash in (0..400u64).map(|number| number << 32) {
                let before = part_number(hash, parts);
                let after = part_number(hash, parts + 1);
                assert!(before < parts);
                assert!(after == before || (after == parts && before == parent_of(parts)));
            }
        }
    }
}
