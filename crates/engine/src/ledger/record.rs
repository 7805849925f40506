//! What one announce does to its session.
//!
//! Which session that is was found out before; what the traffic is worth is known in `credit`.

use skep_proto::{AnnounceEvent, AnnounceRequest};

use super::account::{Account, Kind};
use super::{BEFORE_START_SECS, Delta, Entry, LedgerSettings, SPENT_MAX, Spent, Traffic};
use crate::time::Tick;

/// Where the session of an announce is and whether it was made for it.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) at: usize,
    pub(super) fresh: bool,
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

/// Enters an announce into the session it belongs to. `None` if it says nothing new.
pub(super) fn record(
    account: &mut Account,
    Found { at, fresh }: Found,
    entry: &Entry<'_>,
    settings: &LedgerSettings,
    now: u32,
) -> Option<Delta> {
    let Entry { request, family, .. } = *entry;
    let before = *account.session(at);
    let stops = request.event == AnnounceEvent::Stopped;
    let was_active = before.is_active(settings, now);
    let recent = now - before.counted <= settings.duplicate_secs;
    let claimed = Traffic::claimed(request);
    let decreased = !claimed.covers(before.counters);
    // The copy that went by the other address was made before and overtaken on its way.
    let late = decreased && was_active && recent && family != before.family;
    let reset = decreased && !late;
    let raw = if decreased { Traffic::default() } else { claimed.minus(before.counters) };
    let corrupt_bytes = match decreased {
        true => 0,
        false => entry.corrupt_bytes.map_or(0, |sum| sum.saturating_sub(before.corrupt_bytes)),
    };
    let lacks = (before.lacks || !late) && lacks(request, before.lacks);

    let begins = !was_active && !stops;
    if begins && lacks && !account.others_active(at, settings, now) {
        account.pass_counted = false;
    }
    let finished = if fresh { request.event == AnnounceEvent::Completed } else { before.lacks };
    let completed = finished && !lacks && !account.pass_counted;

    account.session_mut(at).move_to(entry);
    let open = account.session_mut(at).hear(family, stops, settings, now);
    let ended = !open && (before.open || fresh);
    let ticking = !fresh && !before.is_stopped();
    let moved = raw != Traffic::default() || corrupt_bytes > 0;
    let changed = fresh || begins || ended || reset || completed || moved;
    if !changed && lacks == before.lacks && (recent || !ticking) {
        return None;
    }

    let kind = if before.lacks { Kind::Leeching } else { Kind::Seeding };
    let [secs, active_secs] = [kind, Kind::Active]
        .map(|kind| if ticking { account.count_time(at, kind, settings, now) } else { 0 });
    account.pass_counted |= completed;
    let held = !fresh && raw.exceeds(settings.line_bytes_per_sec_max, now - before.counted);
    let mut spent = [Spent::default(); SPENT_MAX];
    let credited = match held {
        true => Traffic::default(),
        false => entry.terms.credit(raw, before.counted, now, &mut spent),
    };
    let session = account.session_mut(at);
    if !late {
        (session.counters, session.family) = (claimed, family);
        session.corrupt_bytes = entry.corrupt_bytes.unwrap_or(before.corrupt_bytes);
    }
    (session.lacks, session.open, session.counted) = (lacks, open, now);
    session.covered = [0; Kind::COUNT];
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
