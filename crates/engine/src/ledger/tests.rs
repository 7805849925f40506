//! The rules of accounting, a test each.
//!
//! Random announces against a model are among the integration tests of the crate.

mod undo;

use std::vec::Vec;

use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

use super::*;
use crate::swarm::Swept;

const USER: UserId = UserId(7);
const TORRENT: TorrentId = TorrentId(3);

/// An announce in the making: by peer 1, over IPv4, with nothing moved and 100 bytes left.
#[derive(Clone, Copy)]
struct Say {
    peer: u8,
    key: u32,
    family: Family,
    up: u64,
    down: u64,
    left: Option<u64>,
    event: AnnounceEvent,
    corrupt: Option<u64>,
}

const SAY: Say = Say {
    peer: 1,
    key: 0,
    family: Family::Ipv4,
    up: 0,
    down: 0,
    left: Some(100),
    event: AnnounceEvent::None,
    corrupt: None,
};
/// The same of one who has everything.
const SEED: Say = Say { left: Some(0), ..SAY };
const STOP: Say = Say { event: AnnounceEvent::Stopped, ..SAY };

impl Say {
    const fn moved(self, up: u64, down: u64) -> Self {
        Self { up, down, ..self }
    }

    const fn over_ipv6(self) -> Self {
        Self { family: Family::Ipv6, ..self }
    }

    const fn by(self, peer: u8) -> Self {
        Self { peer, ..self }
    }

    const fn with(self, event: AnnounceEvent) -> Self {
        Self { event, ..self }
    }
}

fn ledger(settings: LedgerSettings) -> Ledger {
    Ledger::new(settings, Seed::new(1))
}

fn under(ledger: &mut Ledger, secs: u32, say: Say, terms: Terms<'_>) -> Outcome {
    let request = AnnounceRequest {
        info_hash: InfoHash([9; 20]),
        peer_id: PeerId([say.peer; 20]),
        port: 6881,
        uploaded_bytes: say.up,
        downloaded_bytes: say.down,
        left_bytes: say.left,
        event: say.event,
        num_want: NumWant::Default,
        peer_key: PeerKey::from_u32(say.key),
    };
    ledger.announce(&Entry {
        torrent: TORRENT,
        user: USER,
        request: &request,
        corrupt_bytes: say.corrupt,
        family: say.family,
        ip: None,
        now: Tick(secs),
        terms,
    })
}

fn outcome(ledger: &mut Ledger, secs: u32, say: Say) -> Outcome {
    under(ledger, secs, say, Terms::default())
}

fn delta(ledger: &mut Ledger, secs: u32, say: Say) -> Delta {
    match outcome(ledger, secs, say) {
        Outcome::Counted(delta) => delta,
        other => panic!("{other:?} at {secs}"),
    }
}

fn traffic(up: u64, down: u64) -> Traffic {
    Traffic { uploaded_bytes: up, downloaded_bytes: down }
}

fn swept(ledger: &mut Ledger, secs: u32) -> Vec<Delta> {
    let mut ends = Vec::new();
    while ledger.sweep(Tick(secs), 10, &mut ends) == Swept::More {}
    ends
}

#[test]
fn the_first_announce_is_where_counting_begins() {
    let mut ledger = ledger(LedgerSettings::default());
    let first = delta(&mut ledger, 0, SAY.moved(500, 600));
    assert!(first.began && !first.ended);
    assert_eq!((first.raw, first.credited), (traffic(0, 0), traffic(0, 0)));
    let second = delta(&mut ledger, 1800, SAY.moved(700, 601));
    assert_eq!((second.raw, second.credited), (traffic(200, 1), traffic(200, 1)));
    assert_eq!(second.session.counters, traffic(700, 601));
    assert!(!second.began);
}

#[test]
fn the_first_announce_is_credited_where_the_site_wants_it() {
    let settings =
        LedgerSettings { first_announce: FirstAnnounce::Credit, ..LedgerSettings::default() };
    let mut ledger = ledger(settings);
    assert_eq!(delta(&mut ledger, 0, SAY.moved(500, 600)).credited, traffic(500, 600));
    assert_eq!(outcome(&mut ledger, 5, SAY.moved(500, 600)), Outcome::Duplicate);
}

#[test]
fn both_addresses_of_a_client_count_once() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    assert_eq!(outcome(&mut ledger, 0, SAY.over_ipv6()), Outcome::Duplicate);
    assert_eq!(delta(&mut ledger, 1800, SAY.moved(50, 60)).raw, traffic(50, 60));
    assert_eq!(outcome(&mut ledger, 1801, SAY.moved(50, 60).over_ipv6()), Outcome::Duplicate);
    assert_eq!(ledger.tally().sessions, 1);
    assert_eq!(ledger.tally().duplicates, 2);
    // Much later the other address may be the first to say something new.
    assert_eq!(delta(&mut ledger, 3600, SAY.moved(55, 65).over_ipv6()).raw, traffic(5, 5));
    assert_eq!(delta(&mut ledger, 3900, SAY.moved(57, 65)).raw, traffic(2, 0));
}

#[test]
fn a_copy_that_was_overtaken_on_its_way_takes_nothing_back() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    assert_eq!(delta(&mut ledger, 1800, SAY.moved(150, 0)).raw, traffic(150, 0));
    assert_eq!(outcome(&mut ledger, 1800, SAY.moved(100, 0).over_ipv6()), Outcome::Duplicate);
    assert_eq!(delta(&mut ledger, 3600, SAY.moved(300, 0)).raw, traffic(150, 0));
    // What only the copy tells is not lost.
    let done = SAY.moved(299, 0).over_ipv6().with(AnnounceEvent::Completed);
    let done = delta(&mut ledger, 3601, Say { left: Some(0), ..done });
    assert!(done.completed && done.session.seeds && !done.reset);
    assert_eq!(done.session.counters, traffic(300, 0));
}

#[test]
fn a_retransmission_counts_once_and_keeps_the_clock() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    let _ = delta(&mut ledger, 1800, SAY.moved(50, 60));
    assert_eq!(outcome(&mut ledger, 1815, SAY.moved(50, 60)), Outcome::Duplicate);
    let next = delta(&mut ledger, 3600, SAY.moved(51, 60));
    assert_eq!((next.raw, next.leeching_secs), (traffic(1, 0), 1800));
    // Long after, the same counters are news: of time.
    assert_eq!(delta(&mut ledger, 3700, SAY.moved(51, 60)).leeching_secs, 100);
}

#[test]
fn a_key_joins_the_peer_ids_of_one_client() {
    let mut ledger = ledger(LedgerSettings::default());
    let one = Say { key: 5, ..SAY };
    let other = one.by(2).over_ipv6();
    let _ = delta(&mut ledger, 0, one);
    assert_eq!(outcome(&mut ledger, 1, other), Outcome::Duplicate);
    assert_eq!(delta(&mut ledger, 1800, other.moved(10, 0)).raw, traffic(10, 0));
    assert_eq!(outcome(&mut ledger, 1801, one.moved(10, 0)), Outcome::Duplicate);
    assert_eq!(ledger.tally().sessions, 1);
    // Another client over IPv4 with the same key is another client.
    assert!(delta(&mut ledger, 1802, one.by(3)).began);
    assert_eq!(ledger.tally().sessions, 2);
    // Without a key nothing is joined.
    assert!(delta(&mut ledger, 1803, SAY.by(4)).began);
    assert!(delta(&mut ledger, 1804, SAY.by(5).over_ipv6()).began);
}

/// What a client moved that has a peer id for each address, after a break; its other address comes
/// first then.
fn moved_after(mut ledger: Ledger, secs: u32) -> (Traffic, u64) {
    let one = Say { key: 5, ..SAY };
    let mut sums = Sums::default();
    for (secs, up) in [(secs, 10), (secs + 1800, 30)] {
        for say in [one.by(2).over_ipv6(), one] {
            if let Outcome::Counted(delta) = outcome(&mut ledger, secs, say.moved(up, 0)) {
                sums.add(&delta);
            }
        }
    }
    (sums.raw, ledger.tally().sessions)
}

#[test]
fn a_key_joins_the_peer_ids_of_one_client_whichever_comes_back_first() {
    let one = Say { key: 5, ..SAY };
    let begun = || {
        let mut ledger = ledger(LedgerSettings::default());
        let _ = delta(&mut ledger, 0, one);
        let _ = outcome(&mut ledger, 0, one.by(2).over_ipv6());
        ledger
    };
    assert_eq!(moved_after(begun(), 9000), (traffic(30, 0), 1), "after a silence");

    let mut stopped = begun();
    let stop = one.with(AnnounceEvent::Stopped);
    let _ = delta(&mut stopped, 100, stop);
    let _ = delta(&mut stopped, 100, stop.by(2).over_ipv6());
    assert_eq!(moved_after(stopped, 200), (traffic(30, 0), 1), "after a stop");

    for last in [one, one.by(2).over_ipv6()] {
        let mut before = begun();
        let state = delta(&mut before, 100, last.moved(1, 0)).session;
        for silent_secs in [0, 9000] {
            let mut after = ledger(LedgerSettings::default());
            assert!(after.restore(&state, silent_secs, Tick(0)));
            assert_eq!(moved_after(after, 50), (traffic(29, 0), 1), "after a restart");
        }
    }
}

#[test]
fn peer_ids_with_sessions_of_their_own_come_together_again() {
    let one = Say { key: 5, ..SAY };
    let mut ledger = ledger(LedgerSettings::default());
    // Without the key nothing tells that the two are one.
    let _ = delta(&mut ledger, 0, SAY);
    let _ = delta(&mut ledger, 2000, one.by(2).over_ipv6().moved(50, 0));
    let at = |ledger: &mut Ledger, secs, say: Say, up| match outcome(ledger, secs, say.moved(up, 0))
    {
        Outcome::Counted(delta) => delta.raw.uploaded_bytes,
        _ => 0,
    };
    assert_eq!(at(&mut ledger, 5000, one, 70), 20, "by the session that goes on");
    assert_eq!(at(&mut ledger, 5000, one.by(2).over_ipv6(), 70), 0);
    // Both fall silent; what the own session of the first knows is older.
    assert_eq!(at(&mut ledger, 20_000, one, 80), 10);
    assert_eq!(at(&mut ledger, 20_001, one.by(2).over_ipv6(), 80), 0);
}

#[test]
fn clients_that_share_a_key_are_told_apart_after_a_restart() {
    let one = Say { key: 5, ..SAY };
    let mut before = ledger(LedgerSettings::default());
    let states = [delta(&mut before, 0, one), delta(&mut before, 0, one.by(3))];
    let mut after = ledger(LedgerSettings::default());
    for state in states {
        assert!(after.restore(&state.session, 0, Tick(0)));
    }
    for (secs, up) in [(10, 100), (1800, 200)] {
        let raws = [one, one.by(3)].map(|say| delta(&mut after, secs, say.moved(up, 0)).raw);
        assert_eq!(raws, [traffic(100, 0); 2]);
    }
    assert!(delta(&mut after, 1900, one.by(4)).began, "a third one is nobody of them");
}

#[test]
fn counters_that_go_back_credit_nothing() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    let _ = delta(&mut ledger, 100, SAY.moved(1000, 1000));
    let reset = delta(&mut ledger, 200, SAY.moved(400, 2000));
    assert!(reset.reset);
    assert_eq!((reset.raw, reset.credited), (traffic(0, 0), traffic(0, 0)));
    let next = delta(&mut ledger, 300, SAY.moved(700, 2001));
    assert_eq!((next.raw, next.reset), (traffic(300, 1), false));
    assert_eq!(ledger.tally().resets, 1);
}

#[test]
fn extreme_counters_never_wrap() {
    let mut ledger = ledger(LedgerSettings::default());
    let double = [Rule { upload: Permille(u32::MAX), ..Rule::default() }];
    let terms = Terms { rules: &double, combine: Combine::Best };
    let _ = delta(&mut ledger, 0, SAY);
    let mut sums = Sums::default();
    for (secs, up) in [(100, u64::MAX), (200, 0), (300, u64::MAX)] {
        let Outcome::Counted(delta) = under(&mut ledger, secs, SAY.moved(up, up), terms) else {
            panic!("nothing counted at {secs}");
        };
        sums.add(&delta);
    }
    assert_eq!(sums.raw, traffic(u64::MAX, u64::MAX));
    assert_eq!(sums.credited, traffic(u64::MAX, u64::MAX));
    let column = sums.clamped(i32::MAX as u64);
    assert_eq!(column.credited, traffic(2_147_483_647, 2_147_483_647));
    assert_eq!(column.leeching_secs, 300);
}

#[test]
fn more_than_a_line_carries_is_held() {
    let settings = LedgerSettings { line_bytes_per_sec_max: 10, ..LedgerSettings::default() };
    let mut ledger = ledger(settings);
    let _ = delta(&mut ledger, 0, SAY);
    let held = delta(&mut ledger, 100, SAY.moved(1001, 3));
    assert_eq!((held.held, held.raw, held.credited), (true, traffic(1001, 3), traffic(0, 0)));
    let fine = delta(&mut ledger, 200, SAY.moved(2001, 3));
    assert_eq!((fine.held, fine.credited), (false, traffic(1000, 0)));
    let mut sums = Sums::default();
    sums.add(&held);
    sums.add(&fine);
    assert_eq!((sums.raw, sums.held), (traffic(1000, 0), traffic(1001, 3)));
}

fn decided(raw: Traffic, verdict: Verdict) -> Delta {
    Delta::decided(TORRENT, USER, Tick(200), raw, verdict)
}

#[test]
fn what_was_decided_about_held_traffic_is_added_up() {
    let settings = LedgerSettings { line_bytes_per_sec_max: 10, ..LedgerSettings::default() };
    let mut ledger = ledger(settings);
    let _ = delta(&mut ledger, 0, SAY);
    let held = delta(&mut ledger, 100, SAY.moved(1001, 3));
    let mut sums = Sums::default();
    sums.add(&held);
    sums.add(&decided(traffic(1, 3), Verdict::Released));
    assert_eq!((sums.raw, sums.credited), (traffic(1, 3), traffic(1, 3)));
    assert_eq!(sums.waiting(), traffic(1000, 0));
    sums.add(&decided(traffic(1000, 0), Verdict::Denied));
    assert_eq!((sums.raw, sums.credited), (traffic(1, 3), traffic(1, 3)));
    assert_eq!((sums.held, sums.waiting()), (traffic(1001, 3), traffic(0, 0)));
}

fn leave(ledger: &mut Ledger, secs: u32) -> Option<Delta> {
    ledger.leave(TORRENT, USER, &PeerId([1; 20]), Tick(secs))
}

#[test]
fn a_browser_that_left_has_ended_its_session() {
    let mut ledger = ledger(LedgerSettings::default());
    let browser = Say { family: Family::Webrtc, ..SAY };
    assert_eq!(delta(&mut ledger, 0, browser.moved(5, 0)).downloads, 1);
    let end = leave(&mut ledger, 30).expect("it was open");
    assert_eq!((end.ended, end.session.open, end.downloads), (true, false, -1));
    assert_eq!((end.at, end.raw, end.active_secs), (Tick(30), traffic(0, 0), 0));
    assert_eq!(leave(&mut ledger, 31), None);
    assert_eq!((ledger.tally().sessions, ledger.tally().sessions_open), (1, 0));
    assert_eq!(swept(&mut ledger, 10_000), [], "it was told");
    // Its counters go on when it comes back.
    let back = delta(&mut ledger, 10_010, browser.moved(8, 0));
    assert_eq!((back.began, back.raw, back.downloads), (true, traffic(3, 0), 1));
    // An end that nobody took is told by the next sweep.
    let end = leave(&mut ledger, 10_020).expect("it was open");
    assert_eq!((ledger.reopen(&end), ledger.tally().sessions_open), (1, 1));
    assert_eq!(swept(&mut ledger, 10_021).len(), 1);
}

#[test]
fn a_browser_that_left_goes_on_where_its_client_has_another_address() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    let browser = Say { family: Family::Webrtc, ..SAY };
    let _ = delta(&mut ledger, 100, browser.moved(5, 0));
    assert_eq!(leave(&mut ledger, 200), None);
    assert_eq!(ledger.tally().sessions_open, 1);
    // The other address is silent for too long by then.
    let _ = delta(&mut ledger, 3000, browser.moved(6, 0));
    assert!(leave(&mut ledger, 3601).is_some());
}

#[test]
fn corrupt_bytes_are_measured_like_others() {
    let mut ledger = ledger(LedgerSettings::default());
    let said = |bytes| Say { corrupt: Some(bytes), ..SAY };
    assert_eq!(delta(&mut ledger, 0, said(50)).corrupt_bytes, 0);
    assert_eq!(delta(&mut ledger, 10, said(80)).corrupt_bytes, 30);
    assert_eq!(outcome(&mut ledger, 11, said(80).over_ipv6()), Outcome::Duplicate);
    assert_eq!(delta(&mut ledger, 100, SAY).corrupt_bytes, 0, "not told over UDP");
    let more = delta(&mut ledger, 200, said(85).moved(7, 20));
    assert_eq!((more.corrupt_bytes, more.session.corrupt_bytes), (5, 85));
    assert_eq!(delta(&mut ledger, 300, said(1).moved(0, 0)).corrupt_bytes, 0, "a new count");
    assert_eq!(delta(&mut ledger, 400, said(4).moved(0, 9)).corrupt_bytes, 3);
    let mut sums = Sums::default();
    sums.add(&more);
    assert_eq!(sums.balance_bytes(), 7 - 20 - 5);
}

#[test]
fn a_download_completes_once() {
    let mut ledger = ledger(LedgerSettings::default());
    let completed = SEED.with(AnnounceEvent::Completed);
    let _ = delta(&mut ledger, 0, SAY.with(AnnounceEvent::Started));
    assert!(delta(&mut ledger, 100, completed).completed);
    assert_eq!(outcome(&mut ledger, 101, completed.over_ipv6()), Outcome::Duplicate);
    assert!(!delta(&mut ledger, 500, completed).completed);
    // Damaged data is repaired within the same download.
    assert!(!delta(&mut ledger, 600, SAY).completed);
    assert!(!delta(&mut ledger, 700, completed).completed);
    // Another client of the user that downloads it too meanwhile finishes no other download.
    assert!(!delta(&mut ledger, 800, SAY.by(2)).completed);
    assert!(!delta(&mut ledger, 900, completed.by(2)).completed);
    assert_eq!(ledger.tally().completions, 1);
}

#[test]
fn a_later_download_completes_again() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    assert!(delta(&mut ledger, 100, SEED).completed, "seen in the bytes left");
    let _ = delta(&mut ledger, 200, Say { left: Some(0), ..STOP });
    let _ = delta(&mut ledger, 9000, SAY.by(2));
    assert!(delta(&mut ledger, 9100, SEED.by(2)).completed);
}

#[test]
fn whoever_comes_with_everything_finished_nothing() {
    let mut ledger = ledger(LedgerSettings::default());
    assert!(!delta(&mut ledger, 0, SEED.with(AnnounceEvent::Started)).completed);
    assert!(!delta(&mut ledger, 1800, SEED.with(AnnounceEvent::Completed)).completed);
    // The start was lost with a restart, so the event is all there is.
    assert!(delta(&mut ledger, 1900, SEED.by(2).with(AnnounceEvent::Completed)).completed);
}

#[test]
fn nobody_seeds_who_does_not_say_what_is_left() {
    let mut ledger = ledger(LedgerSettings::default());
    let silent = Say { left: None, ..SAY };
    assert!(!delta(&mut ledger, 0, silent).session.seeds);
    assert_eq!(delta(&mut ledger, 100, silent).leeching_secs, 100);
    assert!(delta(&mut ledger, 200, silent.with(AnnounceEvent::Completed)).completed);
    let still_something = Say { left: Some(5), ..SAY.by(2) }.with(AnnounceEvent::Completed);
    assert!(!delta(&mut ledger, 300, still_something).completed);
}

#[test]
fn a_gap_counts_for_what_the_client_was_when_it_began() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    let done = delta(&mut ledger, 100, SEED);
    assert_eq!((done.leeching_secs, done.seeding_secs, done.active_secs), (100, 0, 100));
    let seeding = delta(&mut ledger, 300, SEED);
    assert_eq!((seeding.leeching_secs, seeding.seeding_secs), (0, 200));
    let long = delta(&mut ledger, 300 + 3601, SEED);
    assert_eq!(long.seeding_secs, 3600, "a gap counts for so much at the most");
    let _ = delta(&mut ledger, 4000, Say { left: Some(0), ..STOP });
    assert_eq!(delta(&mut ledger, 4500, SEED).active_secs, 0, "it was not there");
}

#[test]
fn time_is_never_negative() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 1000, SEED);
    let early = delta(&mut ledger, 400, SEED.moved(1, 0));
    assert_eq!((early.active_secs, early.at), (0, Tick(1000)));
    assert_eq!(delta(&mut ledger, 1100, SEED.moved(2, 0)).active_secs, 100);
}

#[test]
fn parallel_sessions_do_not_double_the_time() {
    let rounds = |parallel_time| {
        let mut ledger = ledger(LedgerSettings { parallel_time, ..LedgerSettings::default() });
        let mut sums = Sums::default();
        for round in 0..=10 {
            sums.add(&delta(&mut ledger, round * 100, SEED));
            sums.add(&delta(&mut ledger, round * 100 + 30, SEED.by(2)));
        }
        sums.seeding_secs
    };
    assert_eq!(rounds(ParallelTime::Once), 1030);
    assert_eq!(rounds(ParallelTime::Each), 2000);
}

#[test]
fn a_session_ends_with_its_last_endpoint() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY);
    assert_eq!(outcome(&mut ledger, 1, SAY.over_ipv6()), Outcome::Duplicate);
    let half = delta(&mut ledger, 100, STOP.moved(5, 0));
    assert!(!half.ended && half.session.open);
    let end = delta(&mut ledger, 100, STOP.moved(5, 0).over_ipv6());
    assert!(end.ended && !end.session.open);
    assert_eq!(outcome(&mut ledger, 101, STOP.moved(5, 0).over_ipv6()), Outcome::Duplicate);
    assert!(swept(&mut ledger, 9000).is_empty(), "its end is told");

    // An address that was lost long ago does not keep a session up.
    let _ = delta(&mut ledger, 10_000, SAY.moved(5, 0).over_ipv6());
    let _ = delta(&mut ledger, 10_100, SAY.moved(5, 0));
    let _ = delta(&mut ledger, 13_000, SAY.moved(5, 0));
    assert!(delta(&mut ledger, 14_000, STOP.moved(5, 0)).ended);
}

#[test]
fn silent_sessions_end_once_and_go_on_where_they_were() {
    let mut ledger = ledger(LedgerSettings::default());
    let _ = delta(&mut ledger, 0, SAY.moved(10, 0));
    assert!(swept(&mut ledger, 3600).is_empty());
    let ends = swept(&mut ledger, 3601);
    assert_eq!(ends.len(), 1);
    assert!(ends[0].ended && !ends[0].session.open);
    assert_eq!((ends[0].raw, ends[0].active_secs), (traffic(0, 0), 0));
    assert!(swept(&mut ledger, 3602).is_empty());
    assert_eq!((ledger.tally().sessions, ledger.tally().sessions_open), (1, 0));
    let back = delta(&mut ledger, 20 * 86_400, SAY.moved(25, 0));
    assert!(back.began);
    assert_eq!((back.raw, back.leeching_secs), (traffic(15, 0), 3600));
}

#[test]
fn old_sessions_are_forgotten_and_memory_is_given_back() {
    let mut ledger = ledger(LedgerSettings::default());
    let empty = ledger.heap_bytes();
    for peer in 1..=3 {
        let _ = delta(&mut ledger, 0, SAY.by(peer).moved(10, 0));
    }
    assert_eq!(swept(&mut ledger, 21 * 86_400).len(), 3);
    assert_eq!(ledger.tally().sessions, 3);
    assert!(delta(&mut ledger, 21 * 86_400 + 1, SAY.moved(90, 0)).raw == traffic(0, 0));
    let ends = swept(&mut ledger, 50 * 86_400);
    assert_eq!((ends.len(), ledger.tally().sessions_open), (1, 0));
    // If nobody took the end, it is told again.
    let _ = ledger.reopen(&ends[0]);
    assert_eq!(ledger.tally().sessions_open, 1);
    assert_eq!(swept(&mut ledger, 50 * 86_400), ends);
    assert!(swept(&mut ledger, 50 * 86_400).is_empty());
    assert_eq!((ledger.tally().sessions, ledger.tally().accounts), (0, 0));
    assert!(ledger.heap_bytes() <= empty + 1024, "{} bytes", ledger.heap_bytes());
}

#[test]
fn a_full_ledger_keeps_and_credits_nothing_more() {
    let mut ledger = ledger(LedgerSettings {
        sessions_max: 2,
        first_announce: FirstAnnounce::Credit,
        ..LedgerSettings::default()
    });
    let _ = delta(&mut ledger, 0, SAY);
    let _ = delta(&mut ledger, 0, SAY.by(2));
    assert_eq!(outcome(&mut ledger, 0, SAY.by(3).moved(9, 9)), Outcome::NotKept);
    // An ended session gives its place.
    let _ = delta(&mut ledger, 10, STOP);
    assert_eq!(delta(&mut ledger, 20, SAY.by(3).moved(9, 9)).raw, traffic(9, 9));
    assert_eq!((ledger.tally().sessions, ledger.tally().sessions_open), (2, 2));
    assert_eq!(ledger.tally().not_kept, 1);
}

#[test]
fn a_user_has_so_many_sessions_in_a_torrent_at_the_most() {
    let mut ledger = ledger(LedgerSettings::default());
    let outcomes: Vec<_> = (1..=40).map(|peer| outcome(&mut ledger, 0, SAY.by(peer))).collect();
    let kept = outcomes.iter().filter(|&outcome| *outcome != Outcome::NotKept).count();
    assert_eq!((kept, ledger.tally().sessions), (account::SESSIONS_PER_ACCOUNT_MAX, 16));
}

#[test]
fn sessions_survive_a_restart() {
    let mut before = ledger(LedgerSettings::default());
    let _ = delta(&mut before, 0, SAY);
    let _ = delta(&mut before, 100, SEED.moved(10, 20));
    let _ = delta(&mut before, 150, SEED.by(2));
    let mut kept = Vec::new();
    before.for_each(|state, silent_secs| kept.push((state, silent_secs)));
    let mut after = ledger(LedgerSettings::default());
    for (state, silent_secs) in &kept {
        assert!(after.restore(state, silent_secs + 500, Tick(0)));
        assert!(!after.restore(state, silent_secs + 500, Tick(0)), "it is there");
    }
    let mut again = Vec::new();
    after.for_each(|state, silent_secs| again.push((state, silent_secs - 500)));
    assert_eq!(again, kept);
    assert_eq!(after.tally().sessions_open, 2);
    let next = delta(&mut after, 50, SEED.moved(11, 22).with(AnnounceEvent::Completed));
    assert_eq!((next.raw, next.completed), (traffic(1, 2), false));
    assert_eq!(next.seeding_secs, 600, "50 before the restart, 500 meanwhile, 50 after it");
    assert_eq!(swept(&mut after, 4000).len(), 2);
}

#[test]
fn the_latest_of_the_states_that_are_restored_is_the_truth() {
    let mut before = ledger(LedgerSettings::default());
    let said = [(0, SAY), (100, SEED.moved(10, 20)), (200, STOP.moved(10, 20)), (300, SAY.by(2))];
    let states = said.map(|(secs, say)| delta(&mut before, secs, say));
    let mut after = ledger(LedgerSettings::default());
    let restored = states.iter().rev().map(|delta| {
        let silent_secs = Tick(300).since(delta.at);
        after.restore(&delta.session, silent_secs, Tick(0))
    });
    assert_eq!(restored.collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!((after.tally().sessions, after.tally().sessions_open), (2, 1));
    assert!(delta(&mut after, 100, SEED.by(2)).completed, "the second download is going on");
    assert_eq!(delta(&mut after, 200, SAY.moved(11, 20)).raw, traffic(1, 0));
}
