//! Readers of what is told of accounts: the ledgers, the journal, the writer and the storage.
//!
//! Where no accounts are kept there is nothing to read, and the metrics are without samples.

use std::sync::atomic::{AtomicU64, Ordering};

use skep_engine::ledger::LedgerTally;

use super::{Samples, Scrape};
use crate::accounts::{Counts, Status, Untaken};

fn status<'a>(scrape: &'a Scrape<'_>) -> Option<&'a Status> {
    scrape.sources.gauges.accounts.get().map(|status| &**status)
}

fn count(scrape: &Scrape<'_>, samples: &mut Samples<'_>, read: fn(&Counts) -> &AtomicU64) {
    if let Some(status) = status(scrape) {
        samples.count(&[], read(status.counts()).load(Ordering::Relaxed));
    }
}

pub(in crate::telemetry) fn batches(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    count(scrape, samples, |counts| &counts.batches);
}

pub(in crate::telemetry) fn records(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    count(scrape, samples, |counts| &counts.records);
}

pub(in crate::telemetry) fn apply_failures(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    count(scrape, samples, |counts| &counts.failures);
}

pub(in crate::telemetry) fn apply_seconds(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(status) = status(scrape) {
        let millis = status.counts().apply_millis.load(Ordering::Relaxed);
        samples.number(&[], millis as f64 / 1000.0);
    }
}

pub(in crate::telemetry) fn refused(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    count(scrape, samples, |counts| &counts.refused);
}

pub(in crate::telemetry) fn given_up(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    count(scrape, samples, |counts| &counts.given_up);
}

pub(in crate::telemetry) fn unconfirmed(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    count(scrape, samples, |counts| &counts.unconfirmed);
}

pub(in crate::telemetry) fn untaken(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let Some(status) = status(scrape) else { return };
    for why in Untaken::ALL {
        samples.count(&[why.label()], status.counts().untaken(why));
    }
}

pub(in crate::telemetry) fn stuck(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(status) = status(scrape) {
        samples.count(&[], status.is_stuck().into());
    }
}

pub(in crate::telemetry) fn oldest(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(status) = status(scrape) {
        let clock = &scrape.sources.clock;
        samples.count(&[], status.counts().oldest_secs(clock.unix_secs(clock.now())));
    }
}

pub(in crate::telemetry) fn positions(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let Some(status) = status(scrape) else { return };
    let journal = status.journal();
    samples.count(&["appended"], journal.next);
    samples.count(&["durable"], journal.durable);
    samples.count(&["applied"], status.counts().applied.load(Ordering::Relaxed));
}

pub(in crate::telemetry) fn journal_bytes(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    let Some(status) = status(scrape) else { return };
    let journal = status.journal();
    samples.count(&["disk"], journal.segment_bytes);
    samples.count(&["queue"], journal.queued_bytes as u64);
}

pub(in crate::telemetry) fn journal_failing(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(status) = status(scrape) {
        let journal = status.journal();
        samples.count(&[], (journal.failing.is_some() || journal.full).into());
    }
}

pub(in crate::telemetry) fn write_failures(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(status) = status(scrape) {
        samples.count(&[], status.journal().write_failures);
    }
}

pub(in crate::telemetry) fn commits(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(status) = status(scrape) {
        samples.count(&[], status.journal().commits);
    }
}

fn of_ledgers(scrape: &Scrape<'_>, samples: &mut Samples<'_>, read: fn(&LedgerTally) -> u64) {
    if let Some(ledgers) = &scrape.ledgers {
        samples.count(&[], read(ledgers));
    }
}

pub(in crate::telemetry) fn completions(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    of_ledgers(scrape, samples, |ledgers| ledgers.completions);
}

pub(in crate::telemetry) fn duplicates(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    of_ledgers(scrape, samples, |ledgers| ledgers.duplicates);
}

pub(in crate::telemetry) fn held(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    of_ledgers(scrape, samples, |ledgers| ledgers.held);
}

pub(in crate::telemetry) fn not_kept(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    of_ledgers(scrape, samples, |ledgers| ledgers.not_kept);
}

pub(in crate::telemetry) fn resets(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    of_ledgers(scrape, samples, |ledgers| ledgers.resets);
}

pub(in crate::telemetry) fn sessions(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    if let Some(LedgerTally { sessions, sessions_open, .. }) = scrape.ledgers {
        samples.count(&["open"], sessions_open);
        samples.count(&["remembered"], sessions.saturating_sub(sessions_open));
    }
}
