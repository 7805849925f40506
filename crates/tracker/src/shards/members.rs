//! What a shard does for members: limits, accounts and the swarm under one lock.
//!
//! Which limits hold was found out by gates; what an announce counts for is known to the ledger. A
//! refused announce leaves no trace in either, but for what is true all the same: that a client has
//! left, or has everything.

use std::net::SocketAddr;

use skep_engine::gate::Refusal;
use skep_engine::ledger::{
    Delta, Entry, Family, Ledger, LedgerSettings, LedgerTally, Outcome, SessionState, Standing,
    Terms, TorrentId, UserId,
};
use skep_engine::site::Member;
use skep_engine::swarm::{
    Announce, Announced, LeftOut, Moment, PeerRoom, Shard, SwarmSettings, Swept,
};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, PeerId};

use super::Answer;
use crate::accounts::{Ledgers, Slots};

/// A shard and, where accounts are kept, those of its torrents.
pub(super) struct Kept {
    pub(super) swarms: Shard,
    members: Option<Box<Members>>,
}

/// The accounts of the torrents of one shard.
struct Members {
    ledger: Ledger,
    /// Room for the other peers of whoever announces.
    own: LeftOut,
    /// The last record that a reply had to wait for.
    promised: Option<u64>,
}

/// What the accounts of all shards have in common.
pub(super) struct Keeping {
    ledgers: Ledgers,
    slots: Slots,
}

/// An announce of a member.
pub(super) struct Asked<'a> {
    pub(super) announce: &'a Announce,
    pub(super) member: Member,
    pub(super) corrupt_bytes: Option<u64>,
    /// The hash of its torrent.
    pub(super) hash: u64,
}

impl Keeping {
    pub(super) fn new(ledgers: Ledgers) -> Self {
        Self { ledgers, slots: Slots::default() }
    }
}

impl Asked<'_> {
    /// The announce as the ledger is told of it.
    fn entry<'e>(&'e self, now: Tick, terms: Terms<'e>) -> Entry<'e> {
        let Announce { request, ip, connection, .. } = self.announce;
        let family = match (connection, ip.is_ipv4()) {
            (Some(_), _) => Family::Webrtc,
            (None, true) => Family::Ipv4,
            (None, false) => Family::Ipv6,
        };
        Entry {
            torrent: self.member.torrent,
            user: self.member.user,
            request,
            corrupt_bytes: self.corrupt_bytes,
            family,
            ip: connection.is_none().then_some(*ip),
            now,
            terms,
        }
    }

    /// Where the client is, unless nobody is to know.
    fn endpoint(&self) -> Option<SocketAddr> {
        let Announce { request, ip, connection, .. } = self.announce;
        let port = if connection.is_some() { 0 } else { request.port };
        (!self.member.hidden).then_some(SocketAddr::new(*ip, port))
    }
}

impl Kept {
    pub(super) fn new(swarms: Shard, ledgers: Option<&Ledgers>, seed: &Seed) -> Self {
        let members = ledgers.map(|ledgers| {
            let ledger = Ledger::new(ledgers.settings, seed.clone());
            Box::new(Members { ledger, own: LeftOut::default(), promised: None })
        });
        Self { swarms, members }
    }

    pub(super) fn configure(&mut self, swarms: &SwarmSettings, ledgers: &LedgerSettings) {
        self.swarms.configure(swarms);
        if let Some(members) = &mut self.members {
            members.ledger.set_settings(*ledgers);
        }
    }

    /// Carries out an announce of a member.
    pub(super) fn announce(
        &mut self,
        keeping: &Keeping,
        moment: &mut Moment<'_>,
        asked: &Asked<'_>,
        room: PeerRoom<'_>,
    ) -> Answer {
        let Self { swarms, members: Some(members) } = self else {
            let announced = self.swarms.announce_hashed(asked.hash, moment, asked.announce, room);
            return Answer::Announced(announced);
        };
        let Asked { announce, member, .. } = asked;
        let entry = asked.entry(moment.now, Terms::default());
        let standing = members.ledger.standing(&entry);
        if let Err(refusal) = standing.admit(announce.request.event, member.peers_max) {
            return Answer::Refused(refusal);
        }
        // Nobody is listed who is told to try again.
        let begins = !standing.open && announce.request.event != AnnounceEvent::Stopped;
        if begins && keeping.ledgers.sink.refuses_begins() {
            return Answer::Refused(Refusal::NotRecorded);
        }
        if standing.begins_download && !keeping.slots.take(member.user, member.slots) {
            return Answer::Refused(Refusal::NoSlotFree);
        }
        forget_former_endpoint(swarms, moment, asked, &standing);
        let mut room = room;
        if standing.elsewhere {
            members.own.clear();
            members.ledger.add_endpoints(&entry, &mut members.own);
            room.left_out = Some(&members.own);
        }
        let listed = announce.listed && standing.has_room;
        let announce = Announce { listed, ..**announce };
        let mut announced = swarms.announce_hashed(asked.hash, moment, &announce, room);
        announced.not_stored |= !standing.has_room;
        if announced.peer_id_in_use {
            keeping.slots.note(member.user, -i8::from(standing.begins_download));
            return Answer::Announced(announced);
        }
        members.enter(keeping, moment.now, asked, &standing, announced)
    }

    /// Ends silent sessions and tells so, for a step. Waits for another time if there is hardly room for
    /// that: the last of it is for ends that clients tell, who do so once.
    pub(super) fn sweep(
        &mut self,
        keeping: &Keeping,
        now: Tick,
        budget: u32,
        ends: &mut Vec<Delta>,
    ) -> Swept {
        let Some(members) = &mut self.members else {
            return Swept::Done;
        };
        if keeping.ledgers.sink.is_short() {
            return Swept::Done;
        }
        ends.clear();
        let swept = members.ledger.sweep(now, budget, ends);
        for delta in ends {
            members.tell_end(keeping, delta);
        }
        swept
    }

    /// Ends the sessions of torrents that are gone and tells so, for a step.
    pub(super) fn end_torrents(
        &mut self,
        keeping: &Keeping,
        now: Tick,
        step: usize,
        is_gone: &dyn Fn(TorrentId) -> bool,
        ends: &mut Vec<Delta>,
    ) -> Swept {
        let Some(members) = &mut self.members else {
            return Swept::Done;
        };
        ends.clear();
        let swept = members.ledger.end_torrents(now, step, is_gone, ends);
        for delta in ends {
            members.tell_end(keeping, delta);
        }
        swept
    }

    /// Ends the session of a browser whose connection is over, and tells so.
    pub(super) fn leave(
        &mut self,
        keeping: &Keeping,
        now: Tick,
        (torrent, user): (TorrentId, UserId),
        peer_id: &PeerId,
    ) {
        let Some(members) = &mut self.members else { return };
        if let Some(end) = members.ledger.leave(torrent, user, peer_id, now) {
            members.tell_end(keeping, &end);
        }
    }

    pub(super) fn restore(
        &mut self,
        keeping: &Keeping,
        state: &SessionState,
        silent_secs: u32,
        now: Tick,
    ) -> bool {
        let Some(members) = &mut self.members else { return false };
        let SessionState { torrent, user, .. } = *state;
        let downloaded = members.ledger.downloads(torrent, user);
        let restored = members.ledger.restore(state, silent_secs, now);
        if !downloaded && members.ledger.downloads(torrent, user) {
            keeping.slots.note(user, 1);
        }
        restored
    }

    pub(super) fn for_each_session(&self, visit: &mut dyn FnMut(SessionState, u32)) {
        if let Some(members) = &self.members {
            members.ledger.for_each(visit);
        }
    }

    pub(super) fn tally(&self) -> LedgerTally {
        self.members.as_ref().map(|members| *members.ledger.tally()).unwrap_or_default()
    }
}

impl Members {
    /// Hands on the end of a session. One that is not taken is told again by the next sweep.
    fn tell_end(&mut self, keeping: &Keeping, end: &Delta) {
        keeping.slots.note(end.session.user, end.downloads);
        if keeping.ledgers.sink.take(end, None).is_none() {
            keeping.slots.note(end.session.user, self.ledger.reopen(end));
        }
    }

    /// Enters an announce that nothing speaks against, and hands on what it counts for.
    fn enter(
        &mut self,
        keeping: &Keeping,
        now: Tick,
        asked: &Asked<'_>,
        standing: &Standing,
        announced: Announced,
    ) -> Answer {
        let Keeping { ledgers, slots } = keeping;
        let (user, taken) = (asked.member.user, i8::from(standing.begins_download));
        let Asked { member, .. } = asked;
        let (wanted, position) = ledgers.site.with_terms(member, now, |terms| {
            let Outcome::Counted(delta) = self.ledger.announce(&asked.entry(now, terms)) else {
                slots.note(user, -taken);
                return (false, None);
            };
            slots.note(user, delta.downloads - taken);
            let position = ledgers.sink.take(&delta, asked.endpoint());
            if position.is_none() {
                // Counters are cumulative: what is not written down now will be with the next one.
                slots.note(user, self.ledger.undo(&delta, &terms));
            }
            (ledgers.sink.wants_durable(&delta), position)
        });
        if wanted && position.is_none() {
            return Answer::Refused(Refusal::NotRecorded);
        }
        if wanted {
            self.promised = position;
        }
        // An event may be one sent anew, because its reply waits or was lost: whatever it changes now,
        // what it changed before is to be on the disk.
        match self.promised.filter(|_| wanted || is_event(asked)) {
            Some(promised) => Answer::Promised(announced, position.unwrap_or(0).max(promised)),
            None => Answer::Announced(announced),
        }
    }
}

/// Whether an announce says more than that a client is still there.
const fn is_event(asked: &Asked<'_>) -> bool {
    use AnnounceEvent::{Completed, Started, Stopped};
    matches!(asked.announce.request.event, Started | Completed | Stopped)
}

/// Takes a peer out of the swarm at the endpoint that its session has left: a session has one of each
/// family.
fn forget_former_endpoint(
    swarms: &mut Shard,
    moment: &mut Moment<'_>,
    asked: &Asked<'_>,
    standing: &Standing,
) {
    if let Some((ip, port)) = standing.moved_from {
        let request =
            AnnounceRequest { port, event: AnnounceEvent::Stopped, ..asked.announce.request };
        let former = Announce { request, ip, listed: true, ..*asked.announce };
        swarms.announce_hashed(asked.hash, moment, &former, PeerRoom::default());
    }
}
