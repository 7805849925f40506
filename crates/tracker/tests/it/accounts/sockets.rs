//! Members over real sockets: what is counted, and who is refused.
//!
//! When replies go out is tested in `replies`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;
use skep::Extras;
use skep_engine::ledger::{Delta, Traffic};
use skep_engine::site::{Change, User};
use skep_engine::testing::wire;
use skep_proto::{AnnounceEvent, AnnounceRequest, TransactionId};

use super::Collector;
use crate::private::{Way, browser, http_target, of_site, put, url_data, user};
use crate::support::websocket as web;
use crate::support::{Tracker, announce, torrent, wait_until};

/// The ways that differ in how an answer is given.
pub(super) const WAYS: [Way; 3] = [Way::Path, Way::Udp, Way::Websocket];

/// A private tracker of one worker with users 1 and 2 and torrents 1 and 2.
pub(super) fn start() -> (Tracker, Arc<Collector>) {
    let sink = Arc::<Collector>::default();
    let extras = Extras { sink: Some(sink.clone()), ..Extras::default() };
    let tracker = Tracker::start_with(&["--mode=private", "--listen.workers=1"], extras);
    let users = [1, 2].map(|number| Change::PutUser(user(number)));
    let torrents = [1, 2].map(|number| Change::PutTorrent(of_site(number)));
    put(&tracker, users.into_iter().chain(torrents));
    (tracker, sink)
}

fn deltas(sink: &Collector) -> Vec<Delta> {
    sink.taken().into_iter().map(|(delta, _)| delta).collect()
}

#[test]
fn announces_are_counted_whichever_way_they_come() {
    for way in WAYS {
        let (tracker, sink) = start();
        way.announce(&tracker, "passkey-1", &announce(torrent(1), 6881, 7)).unwrap();
        let taken = sink.taken();
        assert_eq!(taken.len(), 1, "{way:?}");
        let (delta, endpoint) = taken[0];
        assert_eq!((delta.session.user.0, delta.session.torrent.0), (1, 1), "{way:?}");
        assert!(delta.began && delta.session.open);
        let port = if way == Way::Websocket { 0 } else { 6881 };
        assert_eq!(endpoint, Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)), "{way:?}");
    }
}

#[test]
fn client_with_two_addresses_and_its_retransmissions_count_once() {
    let (tracker, sink) = start();
    let path = Way::Path.path("passkey-1");
    let mut http = tracker.http_client(Ipv6Addr::LOCALHOST);
    let mut by_ipv6 = |request: &AnnounceRequest| http.get(&http_target(&path, request)).ok().len();
    let mut said = announce(torrent(1), 6881, 7);
    Way::Udp.announce(&tracker, "passkey-1", &said).unwrap();
    by_ipv6(&said);
    tracker.advance(1800);
    (said.event, said.uploaded_bytes) = (AnnounceEvent::None, 5000);
    for _ in 0..3 {
        by_ipv6(&said);
        Way::Udp.announce(&tracker, "passkey-1", &said).unwrap();
    }
    // The download is finished, which is told by both addresses, and twice by one of them.
    tracker.advance(100);
    (said.event, said.left_bytes, said.downloaded_bytes) = (AnnounceEvent::Completed, Some(0), 7);
    for _ in 0..2 {
        Way::Udp.announce(&tracker, "passkey-1", &said).unwrap();
        by_ipv6(&said);
    }
    // The client was started anew.
    tracker.advance(100);
    (said.event, said.uploaded_bytes, said.downloaded_bytes) = (AnnounceEvent::Started, 0, 0);
    by_ipv6(&said);
    tracker.advance(100);
    said.event = AnnounceEvent::Stopped;
    by_ipv6(&said);
    Way::Udp.announce(&tracker, "passkey-1", &said).unwrap();

    let deltas = deltas(&sink);
    let raw: Vec<_> = deltas.iter().map(|delta| delta.raw).collect();
    let traffic = |uploaded_bytes, downloaded_bytes| Traffic { uploaded_bytes, downloaded_bytes };
    let none = traffic(0, 0);
    assert_eq!(raw, [none, traffic(5000, 0), traffic(0, 7), none, none, none], "{deltas:?}");
    let told = |told: fn(&Delta) -> bool| deltas.iter().map(told).collect::<Vec<_>>();
    assert_eq!(told(|delta| delta.began), [true, false, false, false, false, false]);
    assert_eq!(told(|delta| delta.completed), [false, false, true, false, false, false]);
    assert_eq!(told(|delta| delta.reset), [false, false, false, true, false, false]);
    assert_eq!(told(|delta| delta.ended), [false, false, false, false, false, true]);
    let tally = tracker.running().store().accounts_tally();
    assert_eq!((tally.completions, tally.resets, tally.sessions_open), (1, 1, 0));
}

#[test]
fn limits_of_a_user_are_told_whichever_way_the_client_speaks() {
    for way in WAYS {
        let (tracker, sink) = start();
        let limited = User { slots: Some(1), peers_max: Some(1), ..user(1) };
        put(&tracker, [Change::PutUser(limited)]);
        let ask =
            |number, port| way.announce(&tracker, "passkey-1", &announce(torrent(number), port, 7));
        // A browser's session ends with its connection.
        let held = (way == Way::Websocket).then(|| {
            let mut held = browser(&tracker, "/passkey-1/announce");
            held.ask(&web::announce(&torrent(1), &web::peer(9), json!({"left": 7})));
            held
        });
        if held.is_none() {
            assert_eq!(ask(1, 6881), Ok(()));
        }
        assert_eq!(ask(2, 6881), Err("All your download slots are in use".to_owned()), "{way:?}");
        let too_many = Err("You have too many clients on this torrent".to_owned());
        assert_eq!(ask(1, 6882), too_many, "{way:?}");
        assert_eq!(deltas(&sink).len(), 1, "{way:?}");
        assert_eq!(way.announce(&tracker, "passkey-2", &announce(torrent(2), 6883, 7)), Ok(()));
    }
}

#[test]
fn bytes_that_a_client_threw_away_are_counted() {
    let (tracker, sink) = start();
    let target = http_target(&Way::Path.path("passkey-1"), &announce(torrent(1), 6881, 7));
    for corrupt in [100, 350] {
        tracker.get(&format!("{target}&corrupt={corrupt}")).ok();
        tracker.advance(1800);
    }
    let corrupt: Vec<_> = deltas(&sink).iter().map(|delta| delta.corrupt_bytes).collect();
    assert_eq!(corrupt, [0, 250]);
}

#[test]
fn own_peers_are_not_told_over_udp_and_http() {
    let (tracker, _) = start();
    for (key, port) in [("passkey-1", 6881), ("passkey-1", 6882), ("passkey-2", 6883)] {
        Way::Udp.announce(&tracker, key, &announce(torrent(1), port, 7)).unwrap();
    }
    let request = announce(torrent(1), 6882, 7);
    let other: [SocketAddr; 1] = ["127.0.0.1:6883".parse().unwrap()];
    let path = Way::Path.path("passkey-1");
    let answer = tracker.http_client(Ipv4Addr::LOCALHOST).get(&http_target(&path, &request));
    assert_eq!(wire::read_http_announce(answer.ok()).unwrap().peers, other);
    let mut client = tracker.udp_client(Ipv4Addr::LOCALHOST);
    let datagram = wire::udp_announce(client.connect(), TransactionId([7; 4]), &request);
    let reply = client.exchange(&[&datagram[..], &url_data(&path)].concat());
    assert_eq!(wire::read_udp_announce(&reply, false).unwrap().peers, other);
}

#[test]
fn own_browsers_get_no_offers() {
    let (tracker, _) = start();
    let announce = |number: u32, more| web::announce(&torrent(1), &web::peer(number), more);
    let [mut own, mut asking] = [(); 2].map(|()| browser(&tracker, "/passkey-1/announce"));
    let mut other = browser(&tracker, "/passkey-2/announce");
    own.ask(&announce(1, json!({"left": 7})));
    other.ask(&announce(2, json!({"left": 7})));
    let answer = asking.ask(&announce(3, json!({"left": 7, "offers": web::offers("s", 2)})));
    assert_eq!(answer["incomplete"], json!(3));
    assert!(other.hear()["offer"].is_object());
    own.hears_nothing();
}

#[test]
fn browser_that_vanishes_gives_its_slot_back_with_its_last_connection() {
    let (tracker, sink) = start();
    put(&tracker, [Change::PutUser(User { slots: Some(1), ..user(1) })]);
    let other = || Way::Path.announce(&tracker, "passkey-1", &announce(torrent(2), 6881, 7));
    let says = web::announce(&torrent(1), &web::peer(1), json!({"left": 7}));
    let open = |count| tracker.metric("skep_websocket_connections") == count;
    let [mut gone, mut back] = [(); 2].map(|()| browser(&tracker, "/passkey-1/announce"));
    gone.ask(&says);
    back.ask(&says);
    drop(gone);
    wait_until("the first connection is over", || open(1));
    // The worker has done with it once it answers.
    back.hears_nothing();
    assert_eq!(other(), Err("All your download slots are in use".to_owned()));
    assert!(deltas(&sink).iter().all(|delta| !delta.ended));
    drop(back);
    wait_until("the slot is free", || other().is_ok());
    let taken = sink.taken();
    let ends: Vec<_> = taken.iter().filter(|(delta, _)| delta.ended).collect();
    assert_eq!(ends.len(), 1, "{taken:?}");
    let (end, endpoint) = ends[0];
    assert_eq!((end.session.peer_id, end.session.open, *endpoint), (web::peer(1), false, None));
}

#[test]
fn end_of_a_browser_that_is_not_taken_is_told_by_the_sweep() {
    let (tracker, sink) = start();
    let mut gone = browser(&tracker, "/passkey-1/announce");
    gone.ask(&web::announce(&torrent(1), &web::peer(1), json!({"left": 7})));
    let mut watcher = browser(&tracker, "/passkey-2/announce");
    sink.taken();
    sink.fill(true);
    drop(gone);
    wait_until("its peer is gone", || watcher.scrape(&torrent(1)) == [0, 0, 0]);
    sink.fill(false);
    assert_eq!(tracker.running().store().accounts_tally().sessions_open, 1);
    tracker.running().sweep();
    let ends = deltas(&sink);
    assert_eq!(ends.iter().map(|delta| delta.ended).collect::<Vec<_>>(), [true], "{ends:?}");
}
