//! What users owe and own: announces of registered users turned into [`Delta`]s.
//!
//! No gate, no swarm, no storage and no clock: who may announce was decided before, the peers of the
//! answer are found after, and a delta is carried away by whoever called.

mod account;
mod credit;
mod delta;
mod gone;
pub mod keys;
mod record;
mod standing;
mod sums;
mod sweep;
mod table;
mod undo;

pub use account::SESSION_BYTES;
pub use credit::{Budget, Combine, Permille, RULES_MAX, Rule, SPENT_MAX, Scope, Spent, Terms};
pub use delta::{Delta, SessionState, Traffic, Verdict};
pub use standing::Standing;
pub use sums::Sums;

use core::net::IpAddr;

use skep_proto::AnnounceRequest;
use skep_proto::peer_addr::{IPV4_BYTES, IPV6_BYTES};

use crate::hash::Seed;
use crate::time::Tick;
use account::{Account, Announcer, Covered, Kind, Life, Session};
use record::{Found, lacks, record};
use table::{Place, Table};

/// The number of a torrent in the site's own books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TorrentId(pub u32);

/// The number of a user in the site's own books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UserId(pub u32);

/// The way by which an announce came. A session has one endpoint of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Family {
    /// Over IPv4.
    #[default]
    Ipv4 = 0,
    /// Over IPv6.
    Ipv6 = 1,
    /// By a browser, which other peers do not reach by address.
    Webrtc = 2,
}

impl Family {
    const COUNT: usize = 3;
    const ALL: [Self; Self::COUNT] = [Self::Ipv4, Self::Ipv6, Self::Webrtc];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What becomes of the counters of a session that nobody knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FirstAnnounce {
    /// They are where counting begins.
    #[default]
    Baseline,
    /// They are credited in full.
    Credit,
}

/// How the time of parallel sessions of one user in one torrent adds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ParallelTime {
    /// An hour is an hour, however many sessions there are.
    #[default]
    Once,
    /// Each session counts for itself.
    Each,
}

/// How accounts are kept.
#[derive(Clone, Copy, Debug)]
pub struct LedgerSettings {
    /// Seconds of silence after which an endpoint is gone, and with its last one a session ends.
    pub peer_ttl_secs: u32,
    /// Seconds for which the counters of a silent session are remembered, if more than the former.
    pub baseline_ttl_secs: u32,
    /// Seconds that the gap between two announces counts for at the most.
    pub gap_max_secs: u32,
    /// Seconds within which an announce that says nothing new is a duplicate.
    pub duplicate_secs: u32,
    /// Bytes a second, either way, above which traffic is held instead of credited; 0 for no limit.
    pub line_bytes_per_sec_max: u64,
    /// Sessions that one ledger keeps at the most, each of about [`SESSION_BYTES`].
    pub sessions_max: u64,
    /// What becomes of the counters of an unknown session.
    pub first_announce: FirstAnnounce,
    /// How the time of parallel sessions adds up.
    pub parallel_time: ParallelTime,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            peer_ttl_secs: 3600,
            baseline_ttl_secs: 21 * 24 * 3600,
            gap_max_secs: 3600,
            duplicate_secs: 60,
            line_bytes_per_sec_max: 0,
            sessions_max: u64::MAX,
            first_announce: FirstAnnounce::Baseline,
            parallel_time: ParallelTime::Once,
        }
    }
}

/// One announce of a known user for a known torrent that passed the gates.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The torrent, which the announce's info hash stands for.
    pub torrent: TorrentId,
    /// The user, whom the passkey stands for.
    pub user: UserId,
    /// What the client said.
    pub request: &'a AnnounceRequest,
    /// The client's counter of bytes that it threw away, if it tells.
    pub corrupt_bytes: Option<u64>,
    /// How it came.
    pub family: Family,
    /// Where others reach the client, with the port that it names; unset for a browser.
    pub ip: Option<IpAddr>,
    /// When it came.
    pub now: Tick,
    /// What the user's traffic in this torrent is worth.
    pub terms: Terms<'a>,
}

/// What the ledger made of an announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// Something is to be remembered.
    Counted(Delta),
    /// The announce repeats what is known: by the other address of a client, or sent anew. It is to be
    /// answered, and not to be held against the least interval.
    Duplicate,
    /// There was no room for a session, so nothing was counted.
    NotKept,
}

/// What a ledger holds and did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LedgerTally {
    /// Sessions that are remembered, ended ones included.
    pub sessions: u64,
    /// Sessions that have not ended.
    pub sessions_open: u64,
    /// Users in torrents: pairs that have a session.
    pub accounts: u64,
    /// Announces that repeated what was known.
    pub duplicates: u64,
    /// Counters that went back.
    pub resets: u64,
    /// Announces whose traffic was held.
    pub held: u64,
    /// Downloads finished.
    pub completions: u64,
    /// Announces that found no room.
    pub not_kept: u64,
}

/// The accounts of the torrents of one shard.
#[derive(Debug)]
pub struct Ledger {
    settings: LedgerSettings,
    seed: Seed,
    table: Table,
    tally: LedgerTally,
    /// The latest time heard of.
    now: Tick,
    sweep: sweep::Cursor,
    before: Option<undo::Before>,
    /// Of the account that was announced to last, right before.
    covered: Covered,
}

impl Ledger {
    /// Makes an empty ledger.
    #[must_use]
    pub fn new(settings: LedgerSettings, seed: Seed) -> Self {
        Self {
            settings,
            seed,
            table: Table::default(),
            tally: LedgerTally::default(),
            now: Tick::default(),
            sweep: sweep::Cursor::default(),
            before: None,
            covered: Covered::default(),
        }
    }

    /// Takes other settings; what was counted stays counted.
    pub const fn set_settings(&mut self, settings: LedgerSettings) {
        self.settings = settings;
    }

    /// What the ledger holds and did.
    #[must_use]
    pub const fn tally(&self) -> &LedgerTally {
        &self.tally
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let parallel = self.tally.sessions.saturating_sub(self.tally.accounts);
        self.table.heap_bytes() + parallel as usize * SESSION_BYTES
    }

    /// Enters an announce that passed the gates, and that [`Standing`] was found to allow.
    ///
    /// # Cost
    /// One look-up, and one pass over the user's sessions in this torrent, of which there are at most
    /// 16. Allocates only when a session is new.
    pub fn announce(&mut self, entry: &Entry<'_>) -> Outcome {
        let now = self.latest(entry.now);
        let Some((place, found)) = self.find_or_make(entry, now) else {
            self.tally.not_kept = self.tally.not_kept.saturating_add(1);
            return Outcome::NotKept;
        };
        let account = self.table.account_mut(place);
        let (session, pass_counted) = (*account.session(found.at), account.pass_counted);
        account.save_covered(&mut self.covered);
        let Some(delta) = record(account, found, entry, &self.settings, now) else {
            self.tally.duplicates = self.tally.duplicates.saturating_add(1);
            return Outcome::Duplicate;
        };
        self.before = Some(undo::Before { place, found, session, pass_counted });
        self.tally.note(&delta, session.is_open());
        Outcome::Counted(delta)
    }

    /// Finds the session of an announce, or makes it if there is room.
    fn find_or_make(&mut self, entry: &Entry<'_>, now: u32) -> Option<(Place, Found)> {
        let Self { settings, table, tally, .. } = self;
        let full = tally.sessions >= settings.sessions_max;
        let hash = table::hash(&self.seed, entry.torrent, entry.user);
        let announcer = Announcer::of(entry);
        let Some(place) = table.find(hash, entry.torrent, entry.user) else {
            if full || table.is_full(hash) {
                return None;
            }
            let session = announcer.session(settings, now);
            let account = Account::new(entry.torrent, entry.user, session);
            tally.sessions += 1;
            tally.accounts += 1;
            let place = table.insert(&self.seed, hash, account);
            return Some((place, Found { at: 0, fresh: true, evicted: None }));
        };
        let account = table.account_mut(place);
        account.forget_pass_if_old(settings, now);
        let (at, fresh, evicted) = match account.find(&announcer, settings, now) {
            Some(at) if account.session(at).is_old(settings, now) => {
                tally.sessions_open -= u64::from(account.session(at).is_open());
                *account.session_mut(at) = announcer.session(settings, now);
                (at, true, None)
            }
            Some(at) => {
                account.session_mut(at).note_peer_id(&announcer);
                (at, false, None)
            }
            None => {
                let (at, evicted) = account.place(announcer.session(settings, now), full)?;
                tally.sessions += u64::from(evicted.is_none());
                (at, true, evicted)
            }
        };
        Some((place, Found { at, fresh, evicted }))
    }

    /// The time, which never goes back in a ledger.
    fn latest(&mut self, now: Tick) -> u32 {
        self.now = self.now.max(now);
        instant(self.now)
    }
}

/// Seconds that a restored session may lie before the start of the process.
const BEFORE_START_SECS: u32 = 1 << 26;

/// A time as accounts keep it: never 0, which stands for "never".
const fn instant(tick: Tick) -> u32 {
    tick.0.saturating_add(BEFORE_START_SECS)
}

impl LedgerTally {
    /// Adds what another ledger holds and did.
    pub const fn absorb(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.sessions_open += other.sessions_open;
        self.accounts += other.accounts;
        self.duplicates += other.duplicates;
        self.resets += other.resets;
        self.held += other.held;
        self.completions += other.completions;
        self.not_kept += other.not_kept;
    }

    /// Takes notice of a delta of a session that was open before or not.
    fn note(&mut self, delta: &Delta, open_before: bool) {
        self.sessions_open -= u64::from(open_before);
        self.sessions_open += u64::from(delta.session.open);
        self.completions = self.completions.saturating_add(delta.completed.into());
        self.resets = self.resets.saturating_add(delta.reset.into());
        self.held = self.held.saturating_add(delta.held.into());
    }

    /// Takes back what [`Self::note`] took notice of, of a session that is open now or not.
    fn forget(&mut self, delta: &Delta, open_now: bool) {
        self.sessions_open -= u64::from(delta.session.open);
        self.sessions_open += u64::from(open_now);
        self.completions = self.completions.saturating_sub(delta.completed.into());
        self.resets = self.resets.saturating_sub(delta.reset.into());
        self.held = self.held.saturating_sub(delta.held.into());
    }
}

impl Announcer {
    fn of(entry: &Entry<'_>) -> Self {
        Self {
            peer_id: entry.request.peer_id,
            peer_key: account::fold(entry.request.peer_key),
            family: entry.family,
            claimed: Traffic::claimed(entry.request),
            corrupt_bytes: entry.corrupt_bytes.unwrap_or(0),
            lacks: lacks(entry.request, true),
        }
    }

    /// A session that begins with this announce.
    fn session(&self, settings: &LedgerSettings, now: u32) -> Session {
        Session {
            peer_id: self.peer_id,
            peer_key: self.peer_key,
            counters: match settings.first_announce {
                FirstAnnounce::Baseline => self.claimed,
                FirstAnnounce::Credit => Traffic::default(),
            },
            corrupt_bytes: match settings.first_announce {
                FirstAnnounce::Baseline => self.corrupt_bytes,
                FirstAnnounce::Credit => 0,
            },
            seen: [0; Family::COUNT],
            ipv4: [0; IPV4_BYTES],
            ipv6: [0; IPV6_BYTES],
            counted: now,
            covered: [0; Kind::COUNT],
            joined: 0,
            lacks: self.lacks,
            life: Life::Ended,
            family: self.family,
        }
    }
}

#[cfg(test)]
mod tests;
