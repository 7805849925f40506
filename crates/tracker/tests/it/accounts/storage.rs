//! Accounts and the storage that they are kept in: what is done with it while the tracker runs.
//!
//! What each storage makes of it is tested with the drivers.

use std::sync::Arc;

use skep::Extras;
use skep_engine::ledger::{Family, SessionState, Traffic};
use skep_engine::site::{TorrentId, UserId};
use skep_proto::PeerId;
use skep_store::driver::testing::Memory;
use skep_store::driver::{Batch, Conn, Record};

use crate::support::{Tracker, wait_until};

/// A journal that is not the tracker's own.
const OTHER: u64 = 0xfeed_beef_dead_cafe;

fn start(memory: &Memory, flags: &[&str]) -> Tracker {
    let extras = Extras { drivers: vec![Arc::new(memory.clone())], ..Extras::default() };
    Tracker::start_with(&[&["--mode=private", "--storage.driver=memory"], flags].concat(), extras)
}

/// What a session of a user is remembered by.
fn session(user: u32, at_unix_secs: u64) -> Record {
    let state = SessionState {
        torrent: TorrentId(1),
        user: UserId(user),
        peer_id: PeerId([7; 20]),
        peer_key: 0,
        counters: Traffic::default(),
        corrupt_bytes: 0,
        family: Family::Ipv4,
        seeds: false,
        open: true,
        pass_counted: false,
    };
    Record::of_session(state, at_unix_secs, None)
}

#[test]
fn sessions_that_ended_long_ago_are_forgotten_now_and_every_hour() {
    let memory = Memory::new();
    let now = skep::runtime::clock::Clock::start().unix_secs_at_start();
    let records = vec![session(1, now - 10_000), session(2, now)];
    memory.apply(&Batch::new(OTHER, 0, records)).unwrap();
    let flags = ["--accounts.baseline_ttl_secs=7200", "--swarm.peer_ttl_secs=3000"];
    let tracker = start(&memory, &flags);
    let users = || memory.sessions().iter().map(|it| it.delta.session.user.0).collect::<Vec<_>>();
    wait_until("the old session is forgotten", || users() == [2]);
    tracker.advance(7300);
    wait_until("the other one is old now", || users().is_empty());
}
