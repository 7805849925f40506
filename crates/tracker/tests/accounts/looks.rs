//! Changes that others make in the storage of a running tracker.
//!
//! What a look finds is tested beside the site.

use skep::driver::{Change, TorrentId, UserId};

use super::client::{Client, Place};
use super::kill::{CLIENTS, clients, run};
use super::site::{Storage, TORRENTS, found, torrent_of};
use super::tracker::Tracker;

const IN_FORCE: &str = "changes of the storage are in force";

/// What a user is told who announces.
fn told(tracker: &Tracker, user: u32) -> Option<String> {
    let client = Client::new(user, fastrand::Rng::with_seed(user.into()));
    client.announce_http(tracker.http).unwrap()
}

#[test]
fn users_and_torrents_that_come_and_go_in_the_storage_do_so_in_the_tracker() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage { driver: "sqlite", url: String::new() };
    let conn = storage.open(folder.path());
    found(&*conn, CLIENTS);
    let settings = ["--storage.poll_secs=1"];
    let mut tracker = Tracker::start(folder.path(), storage.driver, &storage.url, &settings);
    let place = Place { udp: tracker.udp, http: tracker.http };
    run(&mut clients(), place, 500, || {});
    let newcomer = CLIENTS + 1;
    assert_eq!(told(&tracker, 1), None);
    assert!(told(&tracker, newcomer).is_some());

    found(&*conn, newcomer);
    conn.change(&[Change::RemoveUser(UserId(1))]).unwrap();
    tracker.wait_for(IN_FORCE);
    // A look may come between the two changes.
    while told(&tracker, 1).is_none() {
        tracker.said.clear();
        tracker.wait_for(IN_FORCE);
    }
    assert_eq!((told(&tracker, newcomer), told(&tracker, 2)), (None, None));

    tracker.said.clear();
    assert_eq!(tracker.metric("skep_swarm_torrents"), u64::from(TORRENTS));
    conn.change(&[Change::RemoveTorrent(TorrentId(torrent_of(2)))]).unwrap();
    tracker.wait_for(IN_FORCE);
    assert!(told(&tracker, 2).is_some() && told(&tracker, 3).is_none());
    assert_eq!(tracker.metric("skep_swarm_torrents"), u64::from(TORRENTS) - 1);
}
