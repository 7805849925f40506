//! Taking back what could not be written down, so that it is counted when it comes again.
//!
//! Whether something was written down is known to the caller.

use super::account::{Life, Session};
use super::record::Found;
use super::table::{self, Place};
use super::{Delta, Ledger, Spent, Terms};

/// How things were before the last announce that counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) place: Place,
    pub(super) found: Found,
    pub(super) session: Session,
    pub(super) pass_counted: bool,
}

impl Ledger {
    /// Undoes the announce that was entered last, whose delta this is: the next one will count for
    /// both. Where the client is heard stays known, unless it left: limits hold for it, and its user's
    /// other clients are not told of it. Returns by how many torrents more the user downloads then.
    ///
    /// # Panics
    /// May panic if anything else was done with the ledger meanwhile.
    pub fn undo(&mut self, delta: &Delta, terms: &Terms<'_>) -> i8 {
        let Some(Before { place, found, session, pass_counted }) = self.before.take() else {
            return 0;
        };
        let budgets = |spent: &Spent| {
            let rule = terms
                .rules
                .iter()
                .find(|rule| (rule.scope, rule.id) == (spent.scope, spent.rule) && spent.bytes > 0);
            rule.and_then(|rule| rule.budget)
        };
        for spent in &delta.spent {
            if let Some(budget) = budgets(spent) {
                budget.give_back(spent.bytes);
            }
        }
        let account = self.table.account_mut(place);
        account.pass_counted = pass_counted;
        account.restore_covered(&self.covered);
        let Found { at, fresh, evicted } = found;
        let undone = match evicted {
            Some(evicted) => evicted,
            None => session.undone(account.session(at), delta, fresh),
        };
        *account.session_mut(at) = undone;
        self.tally.forget(delta, undone.is_open());
        let downloads = account.count_downloads();
        // Nothing is known of a client of which only the end was heard.
        if fresh && delta.ended && evicted.is_none() {
            self.forget(place, at);
        }
        downloads
    }

    /// Undoes the end of a silent session: the next sweep tells it again. Returns by how many torrents
    /// more the user downloads then.
    pub fn reopen(&mut self, end: &Delta) -> i8 {
        let (torrent, user) = (end.session.torrent, end.session.user);
        let hash = table::hash(&self.seed, torrent, user);
        let Some(place) = self.table.find(hash, torrent, user) else { return 0 };
        let account = self.table.account_mut(place);
        let mut sessions = account.sessions();
        let Some(at) = sessions.position(|session| session.peer_id == end.session.peer_id) else {
            return 0;
        };
        drop(sessions);
        let session = account.session_mut(at);
        self.tally.sessions_open += u64::from(!session.is_open());
        session.life = Life::Told;
        account.count_downloads()
    }
}

impl Session {
    /// The session as it was before an announce, but for where the client is, by the session as it was
    /// after it.
    fn undone(&self, after: &Self, delta: &Delta, fresh: bool) -> Self {
        if delta.ended {
            return *self;
        }
        let Self { seen, ipv4, ipv6, .. } = *after;
        let mut undone = Self { seen, ipv4, ipv6, ..*self };
        if delta.began {
            undone.life = Life::Untold;
        }
        if self.is_stopped() {
            // It was not there until now, and is from now on.
            (undone.counted, undone.covered) = (after.counted, after.covered);
        }
        // So that what was finished is seen again.
        undone.lacks |= fresh && delta.completed;
        undone
    }
}
