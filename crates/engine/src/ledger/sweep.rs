//! Ending silent sessions, all of them a little at a time, and taking all of them out of the ledger and back in.
//!
//! No announce waits for a sweep of the whole table. Where sessions are kept meanwhile is not known here.

use alloc::vec::Vec;

use skep_proto::PeerId;

use super::account::{Account, Life};
use super::table::{self, Place, SEGMENTS};
use super::{Delta, Family, Ledger, LedgerTally, SessionState, Tick, TorrentId, UserId, instant};
use crate::swarm::Swept;

/// Where the next step goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    segment: usize,
    /// Accounts of the segment that are still to be looked at; `None` for all.
    left: Option<usize>,
}

impl Ledger {
    /// Looks at about `budget` accounts, ends sessions that fell silent and forgets those that are old.
    /// Appends a delta for each end.
    ///
    /// # Cost
    /// Bounded by `budget`, whatever the ledger holds.
    pub fn sweep(&mut self, now: Tick, budget: u32, ends: &mut Vec<Delta>) -> Swept {
        let now = self.latest(now);
        for _ in 0..budget {
            let Cursor { segment, left } = self.sweep;
            let here = self.table.accounts(segment).len();
            match left.unwrap_or(here).min(here).checked_sub(1) {
                Some(number) => {
                    self.sweep.left = Some(number);
                    self.sweep_account(Place { segment, number }, now, ends);
                }
                None if segment + 1 < SEGMENTS => {
                    self.sweep = Cursor { segment: segment + 1, left: None };
                }
                None => {
                    self.sweep = Cursor::default();
                    return Swept::Done;
                }
            }
        }
        Swept::More
    }

    /// Takes away the endpoint of a browser whose connection is over, and ends its session if that was
    /// the last one. Returns the end, as a sweep would have told it later.
    ///
    /// # Cost
    /// One look-up, and one pass over the user's sessions in this torrent.
    pub fn leave(
        &mut self,
        torrent: TorrentId,
        user: UserId,
        peer_id: &PeerId,
        now: Tick,
    ) -> Option<Delta> {
        let now = self.latest(now);
        let Self { settings, seed, table, tally, .. } = self;
        let place = table.find(table::hash(seed, torrent, user), torrent, user)?;
        let account = table.account_mut(place);
        let at = account.sessions().position(|session| session.peer_id == *peer_id)?;
        let session = account.session_mut(at);
        let is_left = !session.hear(Family::Webrtc, true, settings, now);
        (is_left && session.is_open()).then(|| end(account, at, tally, now))
    }

    /// Sweeps one account. A session whose end is told now is forgotten in a later sweep, since the end
    /// may have to be told again. If the account goes, one that was swept before takes its place.
    fn sweep_account(&mut self, place: Place, now: u32, ends: &mut Vec<Delta>) {
        for at in (0..self.table.account_mut(place).len()).rev() {
            let Self { settings, tally, table, .. } = self;
            let account = table.account_mut(place);
            let session = account.session(at);
            if session.is_open() && !session.is_active(settings, now) {
                ends.push(end(account, at, tally, now));
                continue;
            }
            let session = account.session(at);
            // When room is short, counters of those who left are the first to go.
            let room = settings.sessions_max.saturating_sub(tally.sessions);
            let short = room < settings.sessions_max / 16;
            if session.is_open() || !(short || session.is_old(settings, now)) {
                continue;
            }
            if self.forget(place, at) {
                return;
            }
        }
    }

    /// Forgets a session. Tells whether its account went with it.
    pub(super) fn forget(&mut self, place: Place, at: usize) -> bool {
        self.tally.sessions -= 1;
        let account = self.table.account_mut(place);
        if account.len() > 1 {
            account.remove(at);
            return false;
        }
        self.tally.accounts -= 1;
        self.table.remove(&self.seed, place);
        true
    }

    /// Calls `visit` with every session and for how many seconds it has been silent.
    pub fn for_each(&self, mut visit: impl FnMut(SessionState, u32)) {
        let now = instant(self.now);
        for account in (0..SEGMENTS).flat_map(|segment| self.table.accounts(segment)) {
            for at in 0..account.len() {
                visit(account.state(at), account.session(at).silent_secs(now));
            }
        }
    }

    /// Takes up a session that was remembered, last heard of so many seconds ago. The latest states come
    /// first: `false` if the session is here already, or if there is no room for it.
    pub fn restore(&mut self, state: &SessionState, silent_secs: u32, now: Tick) -> bool {
        let now = Tick(self.latest(now) - super::BEFORE_START_SECS);
        let session = state.session(now, silent_secs);
        let hash = table::hash(&self.seed, state.torrent, state.user);
        let full = self.tally.sessions >= self.settings.sessions_max;
        let restored = match self.table.find(hash, state.torrent, state.user) {
            Some(place) => !full && self.table.account_mut(place).restore(state, session),
            None if full || self.table.is_full(hash) => false,
            None => {
                let mut account = Account::new(state.torrent, state.user, session);
                account.pass_counted = state.pass_counted;
                account.count_downloads();
                self.table.insert(&self.seed, hash, account);
                self.tally.accounts += 1;
                true
            }
        };
        if restored {
            self.tally.sessions += 1;
            self.tally.sessions_open += u64::from(state.open);
        }
        restored
    }
}

/// Ends a session that says nothing more, and tells what is to be remembered of it.
pub(super) fn end(account: &mut Account, at: usize, tally: &mut LedgerTally, now: u32) -> Delta {
    account.session_mut(at).life = Life::Ended;
    tally.sessions_open -= 1;
    let downloads = account.count_downloads();
    let session = account.state(at);
    let at = Tick(now - super::BEFORE_START_SECS);
    Delta { ended: true, downloads, ..Delta::of_session(session, at) }
}
