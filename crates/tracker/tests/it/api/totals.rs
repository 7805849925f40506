//! What was added up, and decisions about traffic that was held, over real sockets.
//!
//! How deltas are counted is tested where accounts are.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use skep::Extras;
use skep::config::Scope;
use skep_engine::site::{Change, Permille, User};
use skep_proto::{AnnounceEvent, AnnounceRequest};
use skep_store::driver::testing::{Failing, Memory};

use super::hash;
use crate::private::{Way, of_site, put, user};
use crate::support::api::{ApiClient, faults, json as body, token};
use crate::support::{Tracker, announce, torrent, wait_until};

const KIB: u64 = 1024;

/// Where to look for user 1 and torrent 1.
const USER: &str = "/api/v1/users/1/totals";
const TORRENT: &str = "/api/v1/torrents/1/totals";
const BOTH: &str = "/api/v1/users/1/torrents/1/totals";
const HELD: &str = "/api/v1/users/1/torrents/1/held";

/// A private tracker with users and torrents 1 and 2. What user 1 uploads counts twice, and no line
/// carries more than a KiB a second.
struct Counted(Tracker);

impl Counted {
    fn start(settings: &[&str], extras: Extras) -> Self {
        let own = [
            "--mode=private",
            "--listen.admin=127.0.0.1:0",
            "--accounts.line_bytes_per_sec_max=1024",
        ];
        let tracker = Tracker::start_with(&[&own, settings].concat(), extras);
        let twice = User { upload: Permille(2000), ..user(1) };
        let torrents = [1, 2].map(|number| Change::PutTorrent(of_site(number)));
        put(&tracker, [Change::PutUser(twice), Change::PutUser(user(2))]);
        put(&tracker, torrents);
        Self(tracker)
    }

    /// The same with a storage that fails when it is told to.
    fn on(memory: &Memory) -> Self {
        let drivers: Vec<Arc<dyn skep_store::driver::Driver>> = vec![Arc::new(memory.clone())];
        Self::start(&["--storage.driver=memory"], Extras { drivers, ..Extras::default() })
    }

    fn api(&self) -> ApiClient {
        ApiClient::connect(self.0.admin())
    }

    /// Lets a seeder that user 1 is say, after so many seconds, how much it has moved in all.
    fn moved(&self, secs: u32, uploaded_bytes: u64, downloaded_bytes: u64) {
        self.0.advance(secs);
        let request = announce(torrent(1), 6881, 0);
        let event = if secs == 0 { AnnounceEvent::Started } else { AnnounceEvent::None };
        let request = AnnounceRequest { uploaded_bytes, downloaded_bytes, event, ..request };
        Way::Path.announce(&self.0, "passkey-1", &request).unwrap();
    }

    fn totals(&self, target: &str) -> Value {
        let response = self.api().get(target);
        assert_eq!(response.status, 200, "{target}: {response:?}");
        body(&response)
    }

    /// Waits until the storage has added up so much for user 1.
    fn settle(&self, field: &str, bytes: u64) {
        wait_until(field, || self.totals(USER)[field] == bytes);
    }

    fn decide(&self, decision: &str) -> (u64, u64) {
        decide(self.0.admin(), decision)
    }

    fn refused(&self, decision: &str) -> u16 {
        self.api().ask("POST", HELD, &json!({ "decision": decision })).status
    }
}

/// Decides, and returns what was waiting.
fn decide(admin: SocketAddr, decision: &str) -> (u64, u64) {
    let response = ApiClient::connect(admin).ask("POST", HELD, &json!({ "decision": decision }));
    assert_eq!(response.status, 200, "{response:?}");
    let decided = body(&response);
    assert_eq!(decided["decision"], decision);
    let bytes = |field: &str| decided[field].as_u64().unwrap();
    (bytes("uploaded"), bytes("downloaded"))
}

/// Sums in which only these are not 0.
fn sums(more: Value) -> Value {
    let mut all = json!({
        "raw_uploaded": 0, "raw_downloaded": 0, "uploaded": 0, "downloaded": 0,
        "held_uploaded": 0, "held_downloaded": 0, "corrupt": 0,
        "seeding_secs": 0, "leeching_secs": 0, "active_secs": 0, "completions": 0,
    });
    let Value::Object(more) = more else { panic!("{more}") };
    all.as_object_mut().unwrap().extend(more);
    all
}

#[test]
fn totals_are_those_of_the_storage_whatever_they_are_asked_of() {
    let counted = Counted::start(&[], Extras::default());
    counted.moved(0, 0, 0);
    counted.moved(100, 5 * KIB, 2 * KIB);
    counted.settle("raw_uploaded", 5 * KIB);
    let told = json!({
        "raw_uploaded": 5120, "raw_downloaded": 2048, "uploaded": 10240, "downloaded": 2048,
        "seeding_secs": 100, "active_secs": 100,
    });
    assert_eq!(counted.totals(USER), sums(told.clone()));
    assert_eq!(counted.totals(BOTH), sums(told.clone()));
    let mut of_torrent = sums(told);
    of_torrent["balance"] = 3072.into();
    assert_eq!(counted.totals(TORRENT), of_torrent);
    assert_eq!(counted.totals(&format!("/api/v1/torrents/{}/totals", hash(1))), of_torrent);
    let by_hash = format!("/api/v1/users/1/torrents/{}/totals", hash(1));
    assert_eq!(counted.totals(&by_hash), counted.totals(BOTH));
    let none = sums(json!({}));
    for target in ["/api/v1/users/2/totals", "/api/v1/users/1/torrents/2/totals"] {
        assert_eq!(counted.totals(target), none, "{target}");
    }
    assert_eq!(counted.totals("/api/v1/torrents/2/totals"), sums(json!({ "balance": 0 })));
}

#[test]
fn who_is_not_known_has_no_totals_and_nothing_to_decide_about() {
    let counted = Counted::start(&[], Extras::default());
    let unknown = format!("/api/v1/torrents/{}/totals", hash(9));
    for target in [
        "/api/v1/users/9/totals",
        "/api/v1/users/x/totals",
        "/api/v1/torrents/9/totals",
        &unknown,
        "/api/v1/users/9/torrents/1/totals",
        "/api/v1/users/1/torrents/9/totals",
    ] {
        assert_eq!(counted.api().get(target).status, 404, "{target}");
    }
    let release = json!({ "decision": "release" });
    for target in ["/api/v1/users/9/torrents/1/held", "/api/v1/users/1/torrents/9/held"] {
        assert_eq!(counted.api().ask("POST", target, &release).status, 404, "{target}");
    }
    assert_eq!(counted.api().get(&format!("{USER}?since=1")).status, 422);
    for wrong in [json!({}), json!({ "decision": "forget" }), json!({ "decision": null })] {
        let response = counted.api().ask("POST", HELD, &wrong);
        assert_eq!((response.status, faults(&response)), (422, vec!["decision".to_owned()]));
    }
}

#[test]
fn totals_are_read_and_decisions_written_by_who_may() {
    let (reader, may_read) = token("reader", &[Scope::Read]);
    let (writer, may_write) = token("writer", &[Scope::Write]);
    let tokens = format!("--admin.tokens={may_read},{may_write}");
    let counted = Counted::start(&[&tokens], Extras::default());
    let api = |token: &str| counted.api().with_token(token);
    let decision = json!({ "decision": "deny" });
    for target in [USER, TORRENT, BOTH] {
        let statuses = [&reader, &writer].map(|token| api(token).get(target).status);
        assert_eq!(statuses, [200, 403], "{target}");
    }
    let statuses = [&reader, &writer].map(|token| api(token).ask("POST", HELD, &decision).status);
    assert_eq!(statuses, [403, 200]);
}

#[test]
fn held_traffic_is_released_for_what_it_is_or_denied_and_each_of_it_once() {
    let counted = Counted::start(&[], Extras::default());
    counted.moved(0, 0, 0);
    counted.moved(10, 50 * KIB, 20 * KIB);
    counted.settle("held_uploaded", 50 * KIB);
    let held = json!({
        "held_uploaded": 51200, "held_downloaded": 20480, "seeding_secs": 10, "active_secs": 10,
    });
    assert_eq!(counted.totals(USER), sums(held));
    assert_eq!(counted.decide("release"), (50 * KIB, 20 * KIB));
    for again in ["release", "deny"] {
        assert_eq!(counted.decide(again), (0, 0), "nothing is waiting any more");
    }
    let released = json!({
        "raw_uploaded": 51200, "raw_downloaded": 20480, "uploaded": 51200, "downloaded": 20480,
        "seeding_secs": 10, "active_secs": 10,
    });
    for target in [USER, BOTH] {
        assert_eq!(counted.totals(target), sums(released.clone()), "{target}");
    }
    assert_eq!(counted.totals(TORRENT)["balance"], 30 * KIB);
    // What comes later waits anew.
    counted.moved(10, 150 * KIB, 20 * KIB);
    counted.settle("held_uploaded", 100 * KIB);
    assert_eq!(counted.decide("deny"), (100 * KIB, 0));
    assert_eq!(counted.decide("release"), (0, 0));
    let denied = counted.totals(USER);
    assert_eq!((&denied["raw_uploaded"], &denied["uploaded"]), (&json!(51200), &json!(51200)));
    assert_eq!(denied["held_uploaded"], 0);
}

#[test]
fn many_who_decide_at_once_release_it_once() {
    let counted = Counted::start(&[], Extras::default());
    counted.moved(0, 0, 0);
    counted.moved(10, 50 * KIB, 0);
    counted.settle("held_uploaded", 50 * KIB);
    let admin = counted.0.admin();
    let released: Vec<u64> = std::thread::scope(|scope| {
        let deciding: Vec<_> =
            (0..8).map(|_| scope.spawn(move || decide(admin, "release").0)).collect();
        deciding.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(released.iter().sum::<u64>(), 50 * KIB, "{released:?}");
    counted.settle("raw_uploaded", 50 * KIB);
}

#[test]
fn decision_counts_once_however_long_the_storage_takes_to_hear_of_it() {
    let memory = Memory::new();
    let counted = Counted::on(&memory);
    counted.moved(0, 0, 0);
    counted.moved(10, 50 * KIB, 0);
    counted.settle("held_uploaded", 50 * KIB);
    memory.set_failing(Failing::Midway);
    assert_eq!(counted.decide("release"), (50 * KIB, 0), "the journal has it");
    assert_eq!(counted.totals(USER)["held_uploaded"], 50 * KIB, "the storage does not");
    let response = counted.api().ask("POST", HELD, &json!({ "decision": "release" }));
    assert_eq!(response.status, 503);
    assert_eq!(response.header("Retry-After"), Some("5"));
    memory.set_failing(Failing::Never);
    counted.settle("raw_uploaded", 50 * KIB);
    assert_eq!(counted.decide("release"), (0, 0));
    assert_eq!(counted.totals(USER)["raw_uploaded"], 50 * KIB);
}

#[test]
fn totals_of_a_storage_that_is_away_are_asked_for_later() {
    let memory = Memory::new();
    let counted = Counted::on(&memory);
    memory.set_failing(Failing::Away);
    for target in [USER, TORRENT, BOTH] {
        let response = counted.api().get(target);
        assert_eq!((response.status, response.header("Retry-After")), (503, Some("5")), "{target}");
    }
    assert_eq!(counted.refused("deny"), 503);
    memory.set_failing(Failing::Never);
    assert_eq!(counted.totals(USER), sums(json!({})));
}

#[test]
fn modes_without_accounts_have_nothing_to_decide_about() {
    let own = ["--listen.admin=127.0.0.1:0"];
    let public = Tracker::start(&own);
    let api = || ApiClient::connect(public.admin());
    assert_eq!(api().get(USER).status, 409);
    assert_eq!(api().ask("POST", HELD, &json!({ "decision": "deny" })).status, 409);
    let registered = Tracker::start(&[own[0], "--mode=registered"]);
    put(&registered, [Change::PutUser(user(1)), Change::PutTorrent(of_site(1))]);
    let api = || ApiClient::connect(registered.admin());
    assert_eq!(body(&api().get(USER)), sums(json!({})));
    assert_eq!(api().ask("POST", HELD, &json!({ "decision": "deny" })).status, 409);
}
