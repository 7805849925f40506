//! One user in one torrent: the sessions there, and the time that counts.
//!
//! What an announce is worth is known in `credit`; what becomes of it is decided in `ledger`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};
use skep_proto::{PeerId, PeerKey};

use super::{Family, LedgerSettings, ParallelTime, SessionState, TorrentId, Traffic, UserId};
use crate::time::Tick;

/// Bytes that an account with one session takes in the table. A parallel session takes less.
pub const SESSION_BYTES: usize = size_of::<Account>();

const _: () = assert!(SESSION_BYTES == 128, "what the memory of a ledger is reckoned with");
const _: () = assert!(size_of::<Session>() == 104, "a parallel session");

/// Sessions that one user may have in one torrent.
pub(super) const SESSIONS_PER_ACCOUNT_MAX: usize = 16;

/// What a second counts as. A session lacks something or it does not, and is active either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Seeding = 0,
    Leeching = 1,
    Active = 2,
}

impl Kind {
    pub(super) const COUNT: usize = 3;
}

/// Where a session stands between its begin and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Life {
    /// Its end was told.
    Ended,
    /// It goes on, but its begin could not be written down.
    Untold,
    /// Its begin was told.
    Told,
}

/// What parallel sessions have counted of each other's time.
pub(super) type Covered = [[u32; Kind::COUNT]; SESSIONS_PER_ACCOUNT_MAX];

/// Who announces, as far as sessions are told apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcer {
    pub(super) peer_id: PeerId,
    pub(super) peer_key: u32,
    pub(super) family: Family,
    pub(super) claimed: Traffic,
    pub(super) corrupt_bytes: u64,
    pub(super) lacks: bool,
}

/// One run of one client.
///
/// # Layout
/// 104 bytes. Times are seconds as `instant` makes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) peer_id: PeerId,
    /// The folded `key`; 0 if the client sends none.
    pub(super) peer_key: u32,
    /// What the client said last: the next delta is measured from it.
    pub(super) counters: Traffic,
    pub(super) corrupt_bytes: u64,
    /// When each endpoint was heard of; 0 for one that does not exist. None exists after `stopped`.
    pub(super) seen: [u32; Family::COUNT],
    /// The endpoints of the two families that have addresses, in wire order.
    pub(super) ipv4: [u8; IPV4_BYTES],
    pub(super) ipv6: [u8; IPV6_BYTES],
    /// When the last announce came that was no duplicate.
    pub(super) counted: u32,
    /// Seconds since then that parallel sessions have counted already, by [`Kind`].
    pub(super) covered: [u32; Kind::COUNT],
    /// Families whose endpoint announced last by another peer id; a bit each.
    pub(super) joined: u8,
    pub(super) lacks: bool,
    pub(super) life: Life,
    /// Where `counters` came from.
    pub(super) family: Family,
}

impl Session {
    pub(super) fn is_active(&self, settings: &LedgerSettings, now: u32) -> bool {
        self.seen.iter().any(|&seen| is_fresh(seen, settings.peer_ttl_secs, now))
    }

    /// Takes notice of whose peer id an endpoint announces by.
    pub(super) fn note_peer_id(&mut self, announcer: &Announcer) {
        match self.peer_id == announcer.peer_id {
            true => self.joined &= !announcer.family.bit(),
            false => self.joined |= announcer.family.bit(),
        }
    }

    /// Counts from now on, as it stands.
    pub(super) const fn stand(&mut self, lacks: bool, open: bool, now: u32) {
        self.life = if open { Life::Told } else { Life::Ended };
        (self.lacks, self.counted) = (lacks, now);
        self.covered = [0; Kind::COUNT];
    }

    /// Whether its end is still to be told.
    pub(super) fn is_open(&self) -> bool {
        self.life != Life::Ended
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.seen == [0; Family::COUNT]
    }

    /// Whether it was silent for so long that its counters mean nothing any more.
    pub(super) fn is_old(&self, settings: &LedgerSettings, now: u32) -> bool {
        self.silent_secs(now) > settings.baseline_ttl_secs.max(settings.peer_ttl_secs)
    }

    pub(super) fn silent_secs(&self, now: u32) -> u32 {
        now - self.seen.iter().fold(self.counted, |latest, &seen| latest.max(seen))
    }

    /// Takes notice of an endpoint, or takes it away and those that fell silent with it. Tells whether
    /// there is one left.
    pub(super) fn hear(
        &mut self,
        family: Family,
        stops: bool,
        settings: &LedgerSettings,
        now: u32,
    ) -> bool {
        self.seen[family as usize] = if stops { 0 } else { now };
        if stops && !self.is_active(settings, now) {
            self.seen = [0; Family::COUNT];
        }
        self.is_active(settings, now)
    }
}

const fn is_fresh(seen: u32, ttl_secs: u32, now: u32) -> bool {
    seen != 0 && now - seen <= ttl_secs
}

/// Folds a key to 32 bits: it only tells a few sessions of one user apart.
pub(super) const fn fold(key: PeerKey) -> u32 {
    let key = key.folded();
    (key ^ key >> 32) as u32
}

/// One user in one torrent. There is at least one session.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) torrent: TorrentId,
    pub(super) user: UserId,
    /// Whether the download that is going on, or was the last, has been counted.
    pub(super) pass_counted: bool,
    /// Whether a session is open that lacks something.
    pub(super) downloads: bool,
    first: Session,
    #[expect(clippy::box_collection, reason = "a bare Vec would add 16 bytes to every account")]
    more: Option<Box<Vec<Session>>>,
}

impl Account {
    pub(super) const fn new(torrent: TorrentId, user: UserId, first: Session) -> Self {
        Self { torrent, user, pass_counted: false, downloads: false, first, more: None }
    }

    pub(super) fn len(&self) -> usize {
        1 + self.more.as_ref().map_or(0, |more| more.len())
    }

    pub(super) fn session(&self, at: usize) -> &Session {
        match (at, &self.more) {
            (1.., Some(more)) => &more[at - 1],
            _ => &self.first,
        }
    }

    pub(super) fn session_mut(&mut self, at: usize) -> &mut Session {
        match (at, &mut self.more) {
            (1.., Some(more)) => &mut more[at - 1],
            _ => &mut self.first,
        }
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        (0..self.len()).map(|at| self.session(at))
    }

    /// Finds the session of an announcer: by its peer id, or else by its key.
    ///
    /// A client may use another peer id for its other address. The key joins the two, unless the
    /// session has an endpoint of that family itself: then it is another client with the same key. Which
    /// of its addresses comes back first after a silence does not matter, so that sessions that ended
    /// are joined as well; but a peer id that has an ended session of its own returns to it, unless it
    /// has been joined to another one since.
    ///
    /// # Source
    /// BEP 7, `key`.
    pub(super) fn find(
        &self,
        announcer: &Announcer,
        settings: &LedgerSettings,
        now: u32,
    ) -> Option<usize> {
        let own = self.sessions().position(|session| session.peer_id == announcer.peer_id);
        let is_active = |at: usize| self.session(at).is_active(settings, now);
        if announcer.peer_key == 0 || own.is_some_and(is_active) {
            return own;
        }
        let (family, bit) = (announcer.family as usize, announcer.family.bit());
        let likely = |&at: &usize| {
            let Session { joined, counted, peer_id, .. } = *self.session(at);
            (is_active(at), joined & bit != 0, counted, peer_id)
        };
        let joins = |&at: &usize| {
            let other = self.session(at);
            other.peer_key == announcer.peer_key
                && Some(at) != own
                && (other.seen[family] == 0 || other.joined & bit != 0)
                && !other.is_old(settings, now)
        };
        let Some(other) = (0..self.len()).filter(joins).max_by_key(likely) else { return own };
        let returns = |own: &usize| {
            let (own, other) = (self.session(*own), self.session(other));
            let was_joined = other.joined & bit != 0 && other.counted > own.counted;
            !own.is_old(settings, now) && !other.is_active(settings, now) && !was_joined
        };
        Some(own.filter(returns).unwrap_or(other))
    }

    /// Whether [`Self::place`] finds a place.
    pub(super) fn has_place(&self, ledger_is_full: bool) -> bool {
        (!ledger_is_full && self.len() < SESSIONS_PER_ACCOUNT_MAX)
            || self.sessions().any(|session| !session.is_open())
    }

    /// Works out anew whether the user downloads, and returns by how many torrents more.
    pub(super) fn count_downloads(&mut self) -> i8 {
        let downloads = self.sessions().any(|session| session.is_open() && session.lacks);
        let before = core::mem::replace(&mut self.downloads, downloads);
        i8::from(downloads) - i8::from(before)
    }

    /// Puts a session in, for the ended one that is longest silent if there are too many. Returns its
    /// place, and the session that was there.
    pub(super) fn place(
        &mut self,
        session: Session,
        ledger_is_full: bool,
    ) -> Option<(usize, Option<Session>)> {
        if !ledger_is_full && self.len() < SESSIONS_PER_ACCOUNT_MAX {
            return Some((self.push(session), None));
        }
        let ended = (0..self.len()).filter(|&at| !self.session(at).is_open());
        let at = ended.min_by_key(|&at| self.session(at).counted)?;
        Some((at, Some(core::mem::replace(self.session_mut(at), session))))
    }

    fn push(&mut self, session: Session) -> usize {
        self.more.get_or_insert_default().push(session);
        self.len() - 1
    }

    /// Removes one of several sessions; another one takes its place.
    pub(super) fn remove(&mut self, at: usize) {
        let Some(more) = &mut self.more else { return };
        match at {
            0 => {
                if let Some(last) = more.pop() {
                    self.first = last;
                }
            }
            _ => drop(more.swap_remove(at - 1)),
        }
        match more.len() {
            0 => self.more = None,
            len if more.capacity() > 2 * len + 4 => more.shrink_to(len),
            _ => {}
        }
    }

    pub(super) fn others_active(&self, at: usize, settings: &LedgerSettings, now: u32) -> bool {
        (0..self.len()).any(|other| other != at && self.session(other).is_active(settings, now))
    }

    /// Forgets that a download was counted once no session is remembered from then.
    pub(super) fn forget_pass_if_old(&mut self, settings: &LedgerSettings, now: u32) {
        if self.sessions().all(|session| session.is_old(settings, now)) {
            self.pass_counted = false;
        }
    }

    /// Counts the time since a session's last announce, but for what parallel sessions have counted.
    ///
    /// Of a gap that is too long, its end counts. So of what is new here, any other session's gap holds
    /// as much as was free in it, and one number for each session is enough to know the union.
    pub(super) fn count_time(
        &mut self,
        at: usize,
        kind: Kind,
        settings: &LedgerSettings,
        now: u32,
    ) -> u32 {
        let kind = kind as usize;
        let free = |session: &Session| now - session.counted - session.covered[kind];
        let secs = free(self.session(at)).min(settings.gap_max_secs);
        if settings.parallel_time == ParallelTime::Each {
            return secs;
        }
        for other in (0..self.len()).filter(|&other| other != at) {
            let other = self.session_mut(other);
            if !other.is_stopped() {
                other.covered[kind] += free(other).min(secs);
            }
        }
        secs
    }

    /// Notes what has been counted of each session's time.
    pub(super) fn save_covered(&self, out: &mut Covered) {
        for (out, session) in out.iter_mut().zip(self.sessions()) {
            *out = session.covered;
        }
    }

    /// Goes back to what was counted of each session's time.
    pub(super) fn restore_covered(&mut self, saved: &Covered) {
        for (at, covered) in saved.iter().enumerate().take(self.len()) {
            self.session_mut(at).covered = *covered;
        }
    }

    /// What is to be remembered of a session.
    pub(super) fn state(&self, at: usize) -> SessionState {
        let session = self.session(at);
        SessionState {
            torrent: self.torrent,
            user: self.user,
            peer_id: session.peer_id,
            peer_key: session.peer_key,
            counters: session.counters,
            corrupt_bytes: session.corrupt_bytes,
            family: session.family,
            seeds: !session.lacks,
            open: session.is_open(),
            pass_counted: self.pass_counted,
        }
    }

    /// Takes up a session that was remembered; `false` if it is here already.
    pub(super) fn restore(&mut self, state: &SessionState, session: Session) -> bool {
        let known = self.sessions().any(|other| other.peer_id == state.peer_id);
        if !known && self.len() < SESSIONS_PER_ACCOUNT_MAX {
            self.push(session);
            self.count_downloads();
            return true;
        }
        false
    }
}

impl SessionState {
    /// The session that is remembered so, last heard of so many seconds ago.
    pub(super) fn session(&self, now: Tick, silent_secs: u32) -> Session {
        let counted = super::instant(now).saturating_sub(silent_secs).max(1);
        let mut seen = [0; Family::COUNT];
        if self.open {
            seen[self.family as usize] = counted;
        }
        Session {
            peer_id: self.peer_id,
            peer_key: self.peer_key,
            counters: self.counters,
            corrupt_bytes: self.corrupt_bytes,
            seen,
            ipv4: [0; IPV4_BYTES],
            ipv6: [0; IPV6_BYTES],
            counted,
            covered: [0; Kind::COUNT],
            // By which peer id that endpoint announced is not remembered, so whichever comes back first
            // is right.
            joined: self.family.bit(),
            lacks: !self.seeds,
            life: if self.open { Life::Told } else { Life::Ended },
            family: self.family,
        }
    }
}
