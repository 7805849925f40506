//! The words in which the ledger speaks to those who remember: traffic, sessions, deltas.
//!
//! Nothing is decided and nothing is kept here.

use skep_proto::{AnnounceRequest, PeerId};

use super::credit::SPENT_MAX;
use super::{Family, Spent, TorrentId, UserId};
use crate::time::Tick;

/// Bytes each way, as the client sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Bytes sent to other peers.
    pub uploaded_bytes: u64,
    /// Bytes got from other peers.
    pub downloaded_bytes: u64,
}

impl Traffic {
    /// What a client claims.
    pub(super) const fn claimed(request: &AnnounceRequest) -> Self {
        Self { uploaded_bytes: request.uploaded_bytes, downloaded_bytes: request.downloaded_bytes }
    }

    /// Whether neither number is below the other's.
    pub(super) const fn covers(self, other: Self) -> bool {
        self.uploaded_bytes >= other.uploaded_bytes
            && self.downloaded_bytes >= other.downloaded_bytes
    }

    /// What is more than in `other`, which it covers.
    pub(super) const fn minus(self, other: Self) -> Self {
        Self {
            uploaded_bytes: self.uploaded_bytes.saturating_sub(other.uploaded_bytes),
            downloaded_bytes: self.downloaded_bytes.saturating_sub(other.downloaded_bytes),
        }
    }

    /// The sum, which stays at the greatest number once it is there.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            uploaded_bytes: self.uploaded_bytes.saturating_add(other.uploaded_bytes),
            downloaded_bytes: self.downloaded_bytes.saturating_add(other.downloaded_bytes),
        }
    }

    /// Whether a line of so many bytes a second, 0 for any, could not have carried it in the time.
    pub(super) fn exceeds(self, bytes_per_sec_max: u64, secs: u32) -> bool {
        let max = bytes_per_sec_max.saturating_mul(secs.max(1).into());
        max != 0 && (self.uploaded_bytes > max || self.downloaded_bytes > max)
    }
}

/// What must be remembered of a session so that it goes on after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionState {
    /// The torrent.
    pub torrent: TorrentId,
    /// The user.
    pub user: UserId,
    /// What the client calls itself.
    pub peer_id: PeerId,
    /// The client's `key` folded to 32 bits; 0 if it sends none.
    pub peer_key: u32,
    /// The client's own counters; the next delta is measured from them.
    pub counters: Traffic,
    /// The client's own counter of bytes that it threw away, as far as it tells; measured likewise.
    pub corrupt_bytes: u64,
    /// The way by which these came.
    pub family: Family,
    /// Whether the client has all of the torrent.
    pub seeds: bool,
    /// Whether the session has not ended.
    pub open: bool,
    /// Whether the user's present or last download of the torrent is counted.
    pub pass_counted: bool,
}

/// What one announce changed, or the end of a silent session.
///
/// A session's new counters and what was credited for them stand in one record, so that whoever loses
/// it loses no bytes: the next announce is measured from older counters then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delta {
    /// The session as it is now.
    pub session: SessionState,
    /// When.
    pub at: Tick,
    /// Bytes moved since the last delta of the session.
    pub raw: Traffic,
    /// What they are worth.
    pub credited: Traffic,
    /// Bytes that were downloaded and thrown away since then, as the client claims.
    pub corrupt_bytes: u64,
    /// Bytes still missing, as the client claims.
    pub left_bytes: Option<u64>,
    /// Seconds of seeding that nothing counted before.
    pub seeding_secs: u32,
    /// Seconds of leeching that nothing counted before.
    pub leeching_secs: u32,
    /// Seconds of either that nothing counted before.
    pub active_secs: u32,
    /// What was taken from budgets; entries of 0 bytes mean nothing.
    pub spent: [Spent; SPENT_MAX],
    /// Whether the session begins, or goes on after it had ended.
    pub began: bool,
    /// Whether the session ends.
    pub ended: bool,
    /// Whether a download was finished.
    pub completed: bool,
    /// Whether the client's counters went back, so that counting begins anew.
    pub reset: bool,
    /// Whether the traffic is more than a line can carry. It is credited with nothing until somebody
    /// has looked at it.
    pub held: bool,
    /// Set where this is no announce but what somebody decided about traffic that was held: `raw` is
    /// that traffic, and the session no client's: it names the user and the torrent alone.
    pub verdict: Option<Verdict>,
    /// By how many torrents more the user downloads now: 1, 0 or -1. It is not to be remembered.
    pub downloads: i8,
}

impl Delta {
    /// Makes what somebody decided about traffic that was held. What is released counts for what it
    /// is: factors that were in force when it was moved, or are now, have no say.
    #[must_use]
    pub fn decided(
        torrent: TorrentId,
        user: UserId,
        at: Tick,
        raw: Traffic,
        verdict: Verdict,
    ) -> Self {
        let session = SessionState {
            torrent,
            user,
            peer_id: PeerId([0; 20]),
            peer_key: 0,
            counters: Traffic::default(),
            corrupt_bytes: 0,
            family: Family::default(),
            seeds: false,
            open: false,
            pass_counted: false,
        };
        let credited = match verdict {
            Verdict::Released => raw,
            Verdict::Denied => Traffic::default(),
        };
        Self { raw, credited, verdict: Some(verdict), ..Self::of_session(session, at) }
    }

    /// Makes the end of a session of which nothing more will be heard.
    #[must_use]
    pub fn end_of(session: SessionState, at: Tick) -> Self {
        let session = SessionState { open: false, ..session };
        Self { ended: true, ..Self::of_session(session, at) }
    }

    /// Makes a delta that adds nothing.
    #[must_use]
    pub fn of_session(session: SessionState, at: Tick) -> Self {
        Self {
            session,
            at,
            raw: Traffic::default(),
            credited: Traffic::default(),
            corrupt_bytes: 0,
            left_bytes: None,
            seeding_secs: 0,
            leeching_secs: 0,
            active_secs: 0,
            spent: [Spent::default(); SPENT_MAX],
            began: false,
            ended: false,
            completed: false,
            reset: false,
            held: false,
            verdict: None,
            downloads: 0,
        }
    }
}

/// What was decided about traffic that was held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It counts after all.
    Released,
    /// It never counts.
    Denied,
}

const _: () = assert!(size_of::<Delta>() <= 176, "what is copied into a queue");
