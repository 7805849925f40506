//! Tells the log when the journal begins or ceases to take what is counted.
//!
//! Says a thing once, when it changes. What the storage does is told by the writer.

use std::sync::Arc;

use super::{Status, Untaken};

/// Looks without a refusal after which refusing counts as over: half a minute.
const QUIET_LOOKS: u32 = 300;

/// What was told last.
#[derive(Debug)]
pub struct Watch {
    status: Arc<Status>,
    failing: bool,
    full: bool,
    untaken: u64,
    unconfirmed: u64,
    refusing: Episode,
    late: Episode,
}

/// Something that goes on while it happens again and again.
#[derive(Debug, Default)]
struct Episode {
    quiet_looks: Option<u32>,
}

impl Episode {
    /// Whether it begins (`Some(true)`) or is over (`Some(false)`).
    fn look(&mut self, happened: bool) -> Option<bool> {
        match (happened, self.quiet_looks) {
            (true, before) => {
                self.quiet_looks = Some(0);
                before.is_none().then_some(true)
            }
            (false, None) => None,
            (false, Some(QUIET_LOOKS)) => {
                self.quiet_looks = None;
                Some(false)
            }
            (false, Some(looks)) => {
                self.quiet_looks = Some(looks + 1);
                None
            }
        }
    }
}

impl Watch {
    /// Watches what is counted there.
    #[must_use]
    pub fn new(status: Arc<Status>) -> Self {
        Self {
            status,
            failing: false,
            full: false,
            untaken: 0,
            unconfirmed: 0,
            refusing: Episode::default(),
            late: Episode::default(),
        }
    }

    /// Looks, ten times a second.
    pub fn look(&mut self) {
        let journal = self.status.journal();
        match (journal.failing, self.failing) {
            (Some(kind), false) => tracing::error!(
                "the disk of the journal takes nothing: {kind}; announces are answered but not \
                 counted, and clients tell the same bytes again later"
            ),
            (None, true) => tracing::info!("the disk of the journal takes records again"),
            _ => {}
        }
        match (journal.full, self.full) {
            (true, false) => tracing::error!(
                bytes = journal.segment_bytes,
                "the journal is as long as journal.size_max_bytes allows; announces are answered but \
                 not counted until records are applied to the storage"
            ),
            (false, true) => tracing::info!("the journal has room again"),
            _ => {}
        }
        (self.failing, self.full) = (journal.failing.is_some(), journal.full);
        self.look_at_refusals();
    }

    fn look_at_refusals(&mut self) {
        let counts = self.status.counts();
        let untaken = Untaken::ALL.into_iter().map(|why| counts.untaken(why)).sum();
        match self.refusing.look(untaken > self.untaken) {
            Some(true) => tracing::error!(
                untaken,
                "the journal does not take all that is counted; clients tell it again with their \
                 next announce, and ends of sessions and downloads are refused"
            ),
            Some(false) => tracing::info!(untaken, "the journal takes all that is counted again"),
            None => {}
        }
        let unconfirmed = counts.unconfirmed.load(std::sync::atomic::Ordering::Relaxed);
        match self.late.look(unconfirmed > self.unconfirmed) {
            Some(true) => tracing::error!(
                unconfirmed,
                "the disk of the journal is too slow or takes nothing: the ends of sessions and \
                 downloads cannot be promised to clients"
            ),
            Some(false) => tracing::info!(unconfirmed, "promises are kept in time again"),
            None => {}
        }
        (self.untaken, self.unconfirmed) = (untaken, unconfirmed);
    }
}
