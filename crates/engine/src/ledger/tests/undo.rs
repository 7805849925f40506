//! Announces that could not be written down, and what comes after them.
//!
//! What a sink refuses is tested with the tracker.

use super::*;

/// Enters an announce whose delta is lost.
fn lost(ledger: &mut Ledger, secs: u32, say: Say) -> Delta {
    let downloads = |ledger: &Ledger| i8::from(ledger.downloads(TORRENT, USER));
    let before = downloads(ledger);
    let delta = delta(ledger, secs, say);
    let undone = ledger.undo(&delta, &Terms::default());
    assert_eq!(before + delta.downloads + undone, downloads(ledger));
    delta
}

#[test]
fn what_is_undone_counts_no_time_of_parallel_sessions() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SEED);
    let _ = delta(&mut ledger, 0, SEED.by(2));
    let undone = lost(&mut ledger, 100, SEED);
    assert_eq!((undone.seeding_secs, undone.active_secs), (100, 100));
    let other = delta(&mut ledger, 100, SEED.by(2));
    assert_eq!((other.seeding_secs, other.active_secs), (100, 100));
    assert_eq!(delta(&mut ledger, 160, SEED).seeding_secs, 60);
}

#[test]
fn a_first_announce_that_is_undone_comes_again_with_all_it_said() {
    let mut ledger = ledger(LedgerSettings::default());
    let done = SEED.with(AnnounceEvent::Completed);
    for secs in [0, 1] {
        let undone = lost(&mut ledger, secs, done.moved(5, 5));
        assert!(undone.began && undone.completed, "{undone:?}");
        assert_eq!((ledger.tally().sessions, ledger.tally().sessions_open), (1, 1));
        assert_eq!(ledger.tally().completions, 0);
    }
    let taken = delta(&mut ledger, 2, done.moved(5, 5));
    assert!(taken.began && taken.completed && taken.session.seeds, "{taken:?}");
    assert!(!delta(&mut ledger, 100, SEED.moved(6, 5)).began);
    // Of one that only leaves nothing is kept.
    let _ = lost(&mut ledger, 101, STOP.by(2));
    assert_eq!(ledger.tally().sessions, 1);
    assert!(delta(&mut ledger, 102, STOP.by(2)).ended);
}

#[test]
fn an_end_that_is_undone_is_an_end_again() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    for secs in [100, 200] {
        assert!(lost(&mut ledger, secs, STOP.moved(9, 0)).ended);
        assert_eq!(ledger.tally().sessions_open, 1);
    }
    let end = delta(&mut ledger, 300, STOP.moved(9, 0));
    assert_eq!((end.ended, end.raw, end.leeching_secs), (true, traffic(9, 0), 300));
    // It comes back, which is lost, and was not there in between.
    let _ = lost(&mut ledger, 1000, SAY.moved(9, 0));
    let back = delta(&mut ledger, 1010, SAY.moved(9, 0));
    assert!(back.began);
    assert_eq!(back.leeching_secs, 10);
}

#[test]
fn a_session_that_made_room_for_one_that_is_undone_is_there_again() {
    let settings = LedgerSettings { sessions_max: 2, ..LedgerSettings::default() };
    let mut ledger = ledger(settings);
    let _ = delta(&mut ledger, 0, SAY.moved(10, 0));
    let _ = delta(&mut ledger, 0, SAY.by(2));
    let _ = delta(&mut ledger, 10, STOP.moved(10, 0));
    let _ = lost(&mut ledger, 20, SAY.by(3));
    assert_eq!((ledger.tally().sessions, ledger.tally().sessions_open), (2, 1));
    assert_eq!(delta(&mut ledger, 30, SAY.moved(25, 0)).raw, traffic(15, 0));
}
