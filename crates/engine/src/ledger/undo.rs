//! Taking back what could not be written down, so that it is counted when it comes again.
//!
//! Whether something was written down is known to the caller.

use super::account::Session;
use super::table::{self, Place};
use super::{Delta, Ledger, Spent, Terms};

/// How things were before the last announce that counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) place: Place,
    pub(super) at: usize,
    pub(super) session: Session,
    pub(super) pass_counted: bool,
}

impl Ledger {
    /// Undoes the announce that was entered last, whose delta this is: the next one will count for
    /// both. Returns by how many torrents more the user downloads then.
    ///
    /// # Panics
    /// May panic if anything else was done with the ledger meanwhile.
    pub fn undo(&mut self, delta: &Delta, terms: &Terms<'_>) -> i8 {
        let Some(Before { place, at, session, pass_counted }) = self.before.take() else {
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
        self.tally.forget(delta, session.open);
        let account = self.table.account_mut(place);
        *account.session_mut(at) = session;
        account.pass_counted = pass_counted;
        account.count_downloads()
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
        self.tally.sessions_open += u64::from(!session.open);
        session.open = true;
        account.count_downloads()
    }
}
