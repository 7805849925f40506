//! Removing silent peers a little at a time, so that no announce waits for the whole table.

use super::table::Body;
use super::{LaneKind, Shard, body, lane_context};
use crate::limits::EMPTY_TORRENT_TTL_SECS;
use crate::time::{STAMP_STEP_SECS, Tick};

const EMPTY_TORRENT_TTL_STEPS: u16 = (EMPTY_TORRENT_TTL_SECS / STAMP_STEP_SECS) as u16;

/// How many looks the removal of a torrent is worth: it searches the index twice.
const REMOVAL_WORTH: u32 = 4;

/// How many looks it is worth to join a part with another: its peers are few then.
const JOIN_WORTH: u32 = 16;

/// Where the next step goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    torrent: u32,
    lane: u32,
    part: u32,
}

/// What one step of a sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swept {
    /// There is more to look at.
    More,
    /// The step came to the end of the table; the next one begins anew.
    Done,
}

impl Shard {
    /// Looks at about `budget` torrents and peers and removes what fell silent.
    ///
    /// # Cost
    /// Bounded by `budget` and the size of one part of a lane, whatever the shard holds.
    pub fn sweep(&mut self, now: Tick, budget: u32) -> Swept {
        let now = self.latest(now);
        let mut left = budget;
        let mut swept = Swept::More;
        while left > 0 && swept == Swept::More {
            if self.sweep.torrent < self.table.len() {
                left = left.saturating_sub(self.sweep_some(now));
            } else {
                self.sweep = Cursor::default();
                swept = Swept::Done;
            }
        }
        self.table.advance(&self.seed, budget as usize);
        self.publish();
        swept
    }

    /// The time, which never goes back in a shard.
    ///
    /// A worker reads its clock before it waits for its turn. To an earlier moment, the peers that
    /// were seen since would look as old as time stamps can tell.
    pub(super) fn latest(&mut self, now: Tick) -> Tick {
        self.now = self.now.max(now);
        self.now
    }

    /// Sweeps a small torrent, or one part of a large one; returns how much it looked at.
    fn sweep_some(&mut self, now: Tick) -> u32 {
        let number = self.sweep.torrent;
        let pressure = self.totals.pressure();
        let Self { settings, seed, table, tally, .. } = self;
        let mut context = lane_context(settings, seed, pressure, LaneKind::Ipv4, now);
        body::expire_single(&context, tally, table, number);
        let torrent = table.torrent_mut(number);
        if let Body::Empty(since) = &torrent.body {
            (self.sweep.lane, self.sweep.part) = (0, 0);
            let old = since.age_steps(context.now) > EMPTY_TORRENT_TTL_STEPS;
            if old || torrent.completions == 0 {
                self.remove_torrent(number);
                return REMOVAL_WORTH;
            }
            self.sweep.torrent += 1;
            return 1;
        }
        if let Some(lane) = torrent.body.lanes_mut().get_mut(self.sweep.lane as usize) {
            if lane.kind.is_webrtc() {
                context = lane_context(settings, seed, pressure, lane.kind, now);
            }
            let (part, parts) = (self.sweep.part as usize, lane.parts().len());
            // Between two steps an announce may have joined parts.
            let looked_at = if part < parts { lane.expire_part(&context, tally, part) } else { 1 };
            if part + 1 < parts {
                self.sweep.part += 1;
                return looked_at;
            }
            let joined = lane.shrink(&context);
            if joined == 0 {
                (self.sweep.lane, self.sweep.part) = (self.sweep.lane + 1, 0);
            }
            return looked_at + joined * JOIN_WORTH;
        }
        // All lanes are done. The torrent may be empty now; the next step removes it if so.
        (self.sweep.lane, self.sweep.part) = (0, 0);
        body::compact(torrent, now);
        body::demote(table, number);
        if !matches!(table.torrent(number).body, Body::Empty(_)) {
            self.sweep.torrent += 1;
        }
        1
    }
}
