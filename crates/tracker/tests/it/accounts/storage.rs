//! Accounts and the storage that they are kept in: what is done with it while the tracker runs.
//!
//! What each storage makes of it is tested with the drivers.

use std::sync::Arc;

use serde_json::json;
use skep::Extras;
use skep_engine::ledger::{Family, SessionState, Traffic};
use skep_engine::site::{
    Change, Factor, FactorId, Permille, Target, Torrent, TorrentId, User, UserId,
};
use skep_proto::PeerId;
use skep_store::driver::testing::Memory;
use skep_store::driver::{Batch, Conn, Record};

use crate::private::Way;
use crate::support::api::ApiClient;
use crate::support::{Tracker, announce, torrent, wait_until};

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

#[test]
fn a_change_of_a_token_gives_nothing_back_that_was_spent() {
    let memory = Memory::new();
    let token = Factor {
        id: FactorId(1),
        target: Target::Token(UserId(1), TorrentId(1)),
        download: Permille(0),
        budget_bytes: Some(10_000),
        ..Factor::default()
    };
    let user = User { id: UserId(1), passkey: "passkey-1".into(), ..User::default() };
    let of_site = Torrent { id: TorrentId(1), info_hash: torrent(1), ..Torrent::default() };
    let records = [Change::PutUser(user), Change::PutTorrent(of_site), Change::PutFactor(token)];
    memory.change(&records).unwrap();
    let tracker = start(&memory, &["--listen.admin=127.0.0.1:0"]);
    for downloaded_bytes in [0, 9_000] {
        let mut request = announce(torrent(1), 6881, 20_000 - downloaded_bytes);
        request.downloaded_bytes = downloaded_bytes;
        Way::Path.announce(&tracker, "passkey-1", &request).unwrap();
        tracker.running().clock().advance(1800);
    }
    let stored = || {
        let mut found = Vec::new();
        let take = &mut |change| {
            if let Change::PutFactor(factor) = change {
                found.push((factor.upload.0, factor.budget_bytes));
            }
        };
        memory.load(take).unwrap();
        found
    };
    wait_until("the storage hears of it", || stored() == [(1000, Some(1_000))]);
    let mut api = ApiClient::connect(tracker.admin());
    let path = "/api/v1/factors/1";
    assert_eq!(api.ask("PATCH", path, &json!({ "upload": 2000 })).status, 200);
    assert_eq!(stored(), [(2000, Some(1_000))]);
    assert!(api.get(path).text().contains("\"budget_bytes\":1000"), "{}", api.get(path).text());
    assert_eq!(api.ask("PATCH", path, &json!({ "budget_bytes": 5000 })).status, 200);
    assert_eq!(stored(), [(2000, Some(5_000))]);
}
