//! What the store does for members: limits, deltas and their order, ends of silent sessions.
//!
//! No socket is opened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use skep::shards::{Answer, PeerStore};
use skep_engine::Tick;
use skep_engine::gate::Refusal;
use skep_engine::ledger::{LedgerSettings, TorrentId, Traffic};
use skep_engine::site::Member;
use skep_engine::swarm::SwarmSettings;
use skep_proto::{AnnounceEvent, AnnounceRequest};

use super::{Kept, member};
use crate::support::{announce, torrent};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));
const THERE: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 1));

/// An announce for a torrent, by a client that lacks so much.
fn asks(number: u8, port: u16, left_bytes: u64) -> AnnounceRequest {
    announce(torrent(number), port, left_bytes)
}

fn stops(number: u8, port: u16) -> AnnounceRequest {
    AnnounceRequest { event: AnnounceEvent::Stopped, ..asks(number, port, 1) }
}

fn kept() -> Kept {
    Kept::new(LedgerSettings::default())
}

#[track_caller]
fn accepted(answer: Answer) {
    assert!(matches!(answer, Answer::Announced(_)), "{answer:?}");
}

#[track_caller]
fn refused(answer: Answer, expected: Refusal<'_>) {
    assert!(matches!(answer, Answer::Refused(refusal) if refusal == expected), "{answer:?}");
}

#[test]
fn deltas_come_with_endpoints_unless_these_are_hidden() {
    let mut kept = kept();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    let hidden = Member { hidden: true, ..member(2, 1) };
    accepted(kept.announce(hidden, HERE, asks(1, 6882, 5)));
    let taken = kept.sink.taken();
    let told: Vec<_> =
        taken.iter().map(|(delta, endpoint)| (delta.session.user.0, *endpoint)).collect();
    assert_eq!(told, [(1, Some(SocketAddr::new(HERE, 6881))), (2, None)]);
    assert!(taken.iter().all(|(delta, _)| delta.began && delta.session.torrent.0 == 1));
}

#[test]
fn both_addresses_of_a_client_count_once() {
    let mut kept = kept();
    let said = AnnounceRequest { uploaded_bytes: 500, ..asks(1, 6881, 5) };
    for ip in [HERE, THERE, HERE] {
        accepted(kept.announce(member(1, 1), ip, asks(1, 6881, 5)));
    }
    kept.now = Tick(2000);
    for ip in [THERE, HERE] {
        accepted(kept.announce(member(1, 1), ip, said));
    }
    let taken = kept.sink.taken();
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert_eq!(taken[1].0.raw, Traffic { uploaded_bytes: 500, downloaded_bytes: 0 });
    assert_eq!(kept.store.accounts_tally().duplicates, 3);
    assert_eq!(kept.store.tally().peers_total(), 2, "both are listed");
}

#[test]
fn a_download_too_many_is_refused_and_leaves_no_trace() {
    let mut kept = kept();
    let one = |torrent| Member { slots: 1, ..member(1, torrent) };
    accepted(kept.announce(one(1), HERE, asks(1, 6881, 5)));
    let before = (kept.sink.taken().len(), kept.store.accounts_tally(), kept.store.tally());
    refused(kept.announce(one(2), HERE, asks(2, 6881, 5)), Refusal::NoSlotFree);
    assert_eq!(kept.sink.taken(), []);
    let after = (before.0, kept.store.accounts_tally(), kept.store.tally());
    assert_eq!(after, before);
    // What goes on is not refused, and neither are seeders, others, or the end.
    accepted(kept.announce(one(1), THERE, asks(1, 6881, 5)));
    accepted(kept.announce(one(1), HERE, asks(1, 6882, 5)));
    accepted(kept.announce(one(2), HERE, asks(2, 6881, 0)));
    accepted(kept.announce(Member { slots: 1, ..member(9, 2) }, HERE, asks(2, 6889, 5)));
    accepted(kept.announce(one(3), HERE, stops(3, 6881)));
    // Who seeds and lacks something again begins a download.
    refused(kept.announce(one(2), HERE, asks(2, 6881, 5)), Refusal::NoSlotFree);
    // The slot is free once nothing of the first download goes on.
    accepted(kept.announce(
        one(1),
        HERE,
        AnnounceRequest { left_bytes: Some(0), ..asks(1, 6881, 0) },
    ));
    refused(kept.announce(one(2), HERE, asks(2, 6881, 5)), Refusal::NoSlotFree);
    accepted(kept.announce(one(1), HERE, stops(1, 6882)));
    accepted(kept.announce(one(2), HERE, asks(2, 6881, 5)));
    refused(kept.announce(one(1), HERE, asks(1, 6883, 5)), Refusal::NoSlotFree);
}

#[test]
fn silent_downloads_give_their_slots_back_and_their_ends_are_told() {
    let mut kept = kept();
    let one = |torrent| Member { slots: 1, ..member(1, torrent) };
    accepted(kept.announce(one(1), HERE, asks(1, 6881, 5)));
    kept.now = Tick(100 + 3600);
    kept.sweep();
    refused(kept.announce(one(2), HERE, asks(2, 6881, 5)), Refusal::NoSlotFree);
    kept.sink.taken();
    kept.now = Tick(101 + 3600);
    kept.sweep();
    let taken = kept.sink.taken();
    assert_eq!(taken.len(), 1);
    assert!(taken[0].0.ended && !taken[0].0.session.open && taken[0].1.is_none());
    accepted(kept.announce(one(2), HERE, asks(2, 6881, 5)));
}

#[test]
fn ledgers_take_other_settings_while_they_run() {
    let mut kept = kept();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    kept.sink.taken();
    let settings = LedgerSettings { peer_ttl_secs: 100, ..LedgerSettings::default() };
    kept.store.configure(&SwarmSettings::default(), &settings);
    kept.now = Tick(201);
    kept.sweep();
    let taken = kept.sink.taken();
    assert!(taken.len() == 1 && taken[0].0.ended, "{taken:?}");
}

#[test]
fn silent_sessions_do_not_take_the_room_of_those_who_stop() {
    let mut kept = kept();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    accepted(kept.announce(member(2, 1), HERE, asks(1, 6882, 5)));
    kept.sink.taken();
    kept.now = Tick(101 + 3600);
    kept.sink.shorten(true);
    kept.sweep();
    assert_eq!(kept.sink.taken(), []);
    accepted(kept.announce(member(2, 1), HERE, stops(1, 6882)));
    assert_eq!(kept.sink.taken().len(), 1);
    kept.sink.shorten(false);
    kept.sweep();
    let taken = kept.sink.taken();
    assert!(taken.len() == 1 && taken[0].0.ended && taken[0].0.session.user.0 == 1, "{taken:?}");
}

#[test]
fn downloads_of_an_earlier_process_count_against_slots() {
    let mut before = kept();
    accepted(before.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    accepted(before.announce(member(1, 1), HERE, asks(1, 6882, 5)));
    let mut after = kept();
    before.store.for_each_session(&mut |state, silent_secs| {
        assert!(after.store.restore(&torrent(1), &state, silent_secs, Tick(0)));
        assert!(!after.store.restore(&torrent(1), &state, silent_secs, Tick(0)));
    });
    let of = |torrent, slots| Member { slots, ..member(1, torrent) };
    refused(after.announce(of(2, 1), HERE, asks(2, 6881, 5)), Refusal::NoSlotFree);
    accepted(after.announce(of(1, 1), HERE, asks(1, 6881, 5)));
    accepted(after.announce(of(2, 2), HERE, asks(2, 6881, 5)));
}

#[test]
fn a_client_too_many_is_refused_and_leaves_no_trace() {
    let mut kept = kept();
    let two = Member { peers_max: 2, ..member(1, 1) };
    accepted(kept.announce(two, HERE, asks(1, 6881, 5)));
    accepted(kept.announce(two, THERE, asks(1, 6881, 5)));
    accepted(kept.announce(two, HERE, asks(1, 6882, 0)));
    let before = (kept.store.accounts_tally(), kept.store.tally());
    kept.sink.taken();
    refused(kept.announce(two, HERE, asks(1, 6883, 0)), Refusal::TooManyClients);
    assert_eq!((kept.store.accounts_tally(), kept.store.tally()), before);
    assert_eq!(kept.sink.taken(), []);
    accepted(kept.announce(two, HERE, stops(1, 6883)));
    accepted(kept.announce(two, HERE, asks(1, 6882, 0)));
    accepted(kept.announce(two, HERE, stops(1, 6882)));
    accepted(kept.announce(two, HERE, asks(1, 6883, 0)));
}

#[test]
fn who_finds_no_room_in_the_accounts_is_answered_and_not_listed() {
    let mut kept = Kept::new(LedgerSettings { sessions_max: 1, ..LedgerSettings::default() });
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    let answered = kept.ask(member(2, 1), HERE, asks(1, 6882, 5), (9, 0));
    let Answer::Announced(said) = answered.answer else { panic!("{:?}", answered.answer) };
    assert!(said.not_stored);
    assert_eq!(answered.peers, [SocketAddr::new(HERE, 6881)]);
    assert_eq!(kept.store.tally().peers_total(), 1);
    assert_eq!(kept.store.accounts_tally().not_kept, 1);
    assert_eq!(kept.sink.taken().len(), 1);
}

#[test]
fn an_end_is_promised_once_and_again_when_it_is_repeated() {
    let mut kept = kept();
    kept.sink.want_durable();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    for _ in 0..2 {
        let answer = kept.announce(member(1, 1), HERE, stops(1, 6881));
        assert!(matches!(answer, Answer::Promised(_, 2)), "{answer:?}");
    }
    assert_eq!(kept.sink.taken().len(), 2);
}

#[test]
fn an_event_sent_anew_is_promised_whatever_it_changes() {
    let mut kept = kept();
    kept.sink.want_durable();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    let event = AnnounceEvent::Completed;
    let done = AnnounceRequest { event, ..asks(1, 6881, 0) };
    let answer = kept.announce(member(1, 1), HERE, done);
    assert!(matches!(answer, Answer::Promised(_, 2)), "{answer:?}");
    // A little was moved since then, so it is no duplicate, and nothing that must not be lost.
    let again = AnnounceRequest { uploaded_bytes: 7, ..done };
    let answer = kept.announce(member(1, 1), HERE, again);
    assert!(matches!(answer, Answer::Promised(_, 3)), "{answer:?}");
    assert!(!kept.sink.taken()[2].0.completed);
    let started = AnnounceRequest { event: AnnounceEvent::Started, ..again };
    let answer = kept.announce(member(1, 1), HERE, started);
    assert!(matches!(answer, Answer::Promised(_, 2)), "a duplicate: {answer:?}");
    let usual = AnnounceRequest { event: AnnounceEvent::None, ..again };
    accepted(kept.announce(member(1, 1), HERE, usual));
}

#[test]
fn a_begin_that_cannot_be_promised_leaves_no_trace() {
    let mut kept = kept();
    kept.sink.want_durable();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    let before = (kept.store.accounts_tally(), kept.store.tally());
    kept.sink.shorten(true);
    refused(kept.announce(member(2, 1), HERE, asks(1, 6882, 5)), Refusal::NotRecorded);
    assert_eq!((kept.store.accounts_tally(), kept.store.tally()), before);
    // What goes on is not refused, and what ends neither.
    accepted(kept.announce(member(1, 1), THERE, asks(1, 6881, 5)));
    let answer = kept.announce(member(1, 1), THERE, stops(1, 6881));
    assert!(!matches!(answer, Answer::Refused(_)), "{answer:?}");
    kept.sink.shorten(false);
    accepted(kept.announce(member(2, 1), HERE, asks(1, 6882, 5)));
}

#[test]
fn limits_hold_for_clients_whose_begin_is_not_taken() {
    let mut kept = kept();
    let one = Member { peers_max: 1, slots: 1, ..member(1, 1) };
    kept.sink.fill(true);
    for _ in 0..2 {
        accepted(kept.announce(one, HERE, asks(1, 6881, 5)));
    }
    refused(kept.announce(one, HERE, asks(1, 6882, 5)), Refusal::TooManyClients);
    let elsewhere = Member { torrent: TorrentId(2), ..one };
    refused(kept.announce(elsewhere, HERE, asks(2, 6881, 5)), Refusal::NoSlotFree);
    kept.sink.fill(false);
    accepted(kept.announce(one, HERE, asks(1, 6881, 5)));
    let taken = kept.sink.taken();
    assert!(taken.len() == 1 && taken[0].0.began, "{taken:?}");
    assert_eq!(kept.store.accounts_tally().sessions_open, 1);
}

#[test]
fn what_is_not_taken_is_counted_when_it_comes_again() {
    let mut kept = kept();
    kept.sink.want_durable();
    accepted(kept.announce(member(1, 1), HERE, asks(1, 6881, 5)));
    kept.sink.fill(true);
    let moved = AnnounceRequest { uploaded_bytes: 70, ..asks(1, 6881, 5) };
    accepted(kept.announce(member(1, 1), HERE, moved));
    let end = AnnounceRequest { uploaded_bytes: 90, ..stops(1, 6881) };
    for _ in 0..2 {
        refused(kept.announce(member(1, 1), HERE, end), Refusal::NotRecorded);
    }
    assert_eq!(kept.store.accounts_tally().sessions_open, 1);
    kept.sink.taken();
    kept.sink.fill(false);
    let answer = kept.announce(member(1, 1), HERE, end);
    assert!(matches!(answer, Answer::Promised(..)), "{answer:?}");
    let taken = kept.sink.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0.raw, Traffic { uploaded_bytes: 90, downloaded_bytes: 0 });
    assert!(taken[0].0.ended);
    assert_eq!(kept.store.accounts_tally().sessions_open, 0);
}
