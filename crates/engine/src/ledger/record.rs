//! What one announce does to its session.
//!
//! Which session that is was found out before; what the traffic is worth is known in `credit`.

use skep_proto::{AnnounceEvent, AnnounceRequest};

use super::account::{Account, Kind, Life, Session};
use super::{BEFORE_START_SECS, Delta, Entry, LedgerSettings, SPENT_MAX, Spent, Traffic};
use crate::time::Tick;

/// Where the session of an announce is and whether it was made for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) at: usize,
    pub(super) fresh: bool,
    /// The session in whose place it was made.
    pub(super) evicted: Option<Session>,
}

/// Whether a client says that it lacks something of the torrent.
///
/// # Source
/// BEP 3, `left`. Magnet clients send `completed` with 16384 left, or with none they know of.
pub(super) fn lacks(request: &AnnounceRequest, lacked: bool) -> bool {
    match (request.event, request.left_bytes) {
        (AnnounceEvent::Completed, None | Some(16384)) | (_, Some(0)) => false,
        (_, Some(_)) => true,
        (_, None) => lacked,
    }
}

/// What moved since a session was counted last, and what of it was thrown away; nothing if its
/// counters went back.
fn moved_since(before: &Session, entry: &Entry<'_>, decreased: bool) -> (Traffic, u64) {
    if decreased {
        return (Traffic::default(), 0);
    }
    let corrupt_bytes = entry.corrupt_bytes.unwrap_or(0).saturating_sub(before.corrupt_bytes);
    (Traffic::claimed(entry.request).minus(before.counters), corrupt_bytes)
}

/// Measures the next delta from what an announce claims.
fn note_counters(session: &mut Session, entry: &Entry<'_>) {
    (session.counters, session.family) = (Traffic::claimed(entry.request), entry.family);
    session.corrupt_bytes = entry.corrupt_bytes.unwrap_or(session.corrupt_bytes);
}

/// Enters an announce into the session it belongs to. `None` if it says nothing new.
pub(super) fn record(
    account: &mut Account,
    Found { at, fresh, .. }: Found,
    entry: &Entry<'_>,
    settings: &LedgerSettings,
    now: u32,
) -> Option<Delta> {
    let Entry { request, family, .. } = *entry;
    let before = *account.session(at);
    let stops = request.event == AnnounceEvent::Stopped;
    let was_active = before.is_active(settings, now);
    let recent = now - before.counted <= settings.duplicate_secs;
    let decreased = !Traffic::claimed(request).covers(before.counters);
    // The copy that went by the other address was made before and overtaken on its way.
    let late = decreased && was_active && recent && family != before.family;
    let reset = decreased && !late;
    let (raw, corrupt_bytes) = moved_since(&before, entry, decreased);
    let lacks = (before.lacks || !late) && lacks(request, before.lacks);

    let goes_on = was_active && before.life == Life::Told;
    let begins = !goes_on && !stops;
    account.pass_counted &= !(begins && lacks) || account.others_active(at, settings, now);
    let finished = if fresh { request.event == AnnounceEvent::Completed } else { before.lacks };
    let completed = finished && !lacks && !account.pass_counted;

    account.session_mut(at).move_to(entry);
    let open = account.session_mut(at).hear(family, stops, settings, now);
    let (ended, ticking) = (!open && (before.is_open() || fresh), !fresh && !before.is_stopped());
    let moved = raw != Traffic::default() || corrupt_bytes > 0;
    let changed = fresh || begins || ended || reset || completed || moved;
    if !changed && lacks == before.lacks && (recent || !ticking) {
        return None;
    }

    let kind = if before.lacks { Kind::Leeching } else { Kind::Seeding };
    let mut time = |kind| if ticking { account.count_time(at, kind, settings, now) } else { 0 };
    let (secs, active_secs) = (time(kind), time(Kind::Active));
    account.pass_counted |= completed;
    let held = !fresh && raw.exceeds(settings.line_bytes_per_sec_max, now - before.counted);
    let mut spent = [Spent::default(); SPENT_MAX];
    let credited = match held {
        true => Traffic::default(),
        false => entry.terms.credit(raw, before.counted, now, &mut spent),
    };
    let session = account.session_mut(at);
    if !late {
        note_counters(session, entry);
    }
    session.stand(lacks, open, now);
    let downloads = account.count_downloads();
    Some(Delta {
        session: account.state(at),
        at: Tick(now - BEFORE_START_SECS),
        raw,
        credited,
        corrupt_bytes,
        left_bytes: request.left_bytes,
        seeding_secs: if kind == Kind::Seeding { secs } else { 0 },
        leeching_secs: if kind == Kind::Leeching { secs } else { 0 },
        active_secs,
        spent,
        began: begins,
        ended,
        completed,
        reset,
        held,
        verdict: None,
        downloads,
    })
}
