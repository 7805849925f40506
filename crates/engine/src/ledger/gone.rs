//! Ending the sessions of torrents that are gone, a part of the ledger at a time.
//!
//! Why they are gone is not known here.

use alloc::vec::Vec;

use super::sweep::end;
use super::table::{Place, SEGMENTS};
use super::{Delta, Ledger, Tick, TorrentId};
use crate::swarm::Swept;

impl Ledger {
    /// Ends the open sessions of torrents for which `is_gone` holds, in one part of the ledger: steps
    /// count from 0 until this says that it is done. Appends a delta for each end.
    ///
    /// # Cost
    /// One pass over a part of the accounts.
    pub fn end_torrents(
        &mut self,
        now: Tick,
        step: usize,
        is_gone: &dyn Fn(TorrentId) -> bool,
        ends: &mut Vec<Delta>,
    ) -> Swept {
        let now = self.latest(now);
        if step >= SEGMENTS {
            return Swept::Done;
        }
        for number in 0..self.table.accounts(step).len() {
            let account = self.table.account_mut(Place { segment: step, number });
            if !is_gone(account.torrent) {
                continue;
            }
            for at in 0..account.len() {
                if account.session(at).is_open() {
                    ends.push(end(account, at, &mut self.tally, now));
                }
            }
        }
        Swept::More
    }
}
