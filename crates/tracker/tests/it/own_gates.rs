//! Gates of a program of one's own: when they are asked, what clients are told, how it is counted.
//!
//! Programs of one's own as processes are tested with the example.

use std::net::Ipv4Addr;

use serde_json::json;
use skep::gate::{Announce, AnnounceEvent, AnnounceRequest, Member, OwnGate};
use skep::{BuildError, Builder};

use crate::support::websocket::{binary, peer};
use crate::support::{Tracker, announce, torrent};

/// Lets nobody finish a download, and says so.
struct Unfinished;

impl OwnGate for Unfinished {
    fn name(&self) -> &'static str {
        "unfinished"
    }

    fn doc(&self) -> &'static str {
        "Refuses announces of downloads that are finished."
    }

    fn check<'a>(&'a self, announce: &Announce, _: Option<&Member>) -> Result<(), &'a str> {
        match announce.request.event {
            AnnounceEvent::Completed => Err("nothing ends here"),
            _ => Ok(()),
        }
    }
}

/// A gate that is called as the test wants.
struct Called(&'static str);

impl OwnGate for Called {
    fn name(&self) -> &'static str {
        self.0
    }

    fn doc(&self) -> &'static str {
        "Refuses nothing."
    }

    fn check<'a>(&'a self, _: &Announce, _: Option<&Member>) -> Result<(), &'a str> {
        Ok(())
    }
}

fn tracker(settings: &[&str]) -> Tracker {
    let extras = Builder::new().gate(Called("idle")).gate(Unfinished).extras().unwrap();
    Tracker::start_with(settings, extras)
}

fn completed(port: u16) -> AnnounceRequest {
    AnnounceRequest { event: AnnounceEvent::Completed, ..announce(torrent(1), port, 0) }
}

#[test]
fn own_gate_refuses_over_every_transport_and_is_counted_by_its_name() {
    let tracker = tracker(&[]);
    assert_eq!(tracker.announce_twice(&announce(torrent(1), 6881, 1)).map(drop), Ok(()));
    assert_eq!(
        tracker.announce_twice(&completed(6881)).map(drop),
        Err("nothing ends here".to_owned())
    );
    let told = tracker.browser().ask(&json!({
        "action": "announce",
        "info_hash": binary(&[1; 20]),
        "peer_id": binary(&peer(1).0),
        "event": "completed",
        "left": 0,
        "numwant": 0,
    }));
    assert_eq!(told["failure reason"], "nothing ends here");
    for transport in ["udp", "http", "websocket"] {
        let labels = format!(r#"{{transport="{transport}",family="ipv4",kind="unfinished"}}"#);
        assert_eq!(tracker.metric(&format!("skep_traffic_errors_total{labels}")), 1);
    }
    let idle = r#"skep_traffic_errors_total{transport="udp",family="ipv4",kind="idle"}"#;
    assert_eq!(tracker.metric(idle), 0);
}

#[test]
fn built_in_gates_are_asked_first_and_clients_may_come_again() {
    let tracker = tracker(&["--access.clients_deny=-XX"]);
    let refused = tracker.udp_client(Ipv4Addr::LOCALHOST).announce(&completed(1));
    assert_eq!(refused.map(drop), Err("client not allowed".to_owned()));

    let tracker = self::tracker(&[]);
    let request = skep_engine::testing::wire::http_announce(&completed(1));
    let told = tracker.get(&request);
    assert_eq!(told.text(), "d14:failure reason17:nothing ends heree");
}

#[test]
fn own_gates_stay_over_a_reload() {
    let tracker = tracker(&[]);
    tracker.running().reload();
    let refused = tracker.udp_client(Ipv4Addr::LOCALHOST).announce(&completed(1));
    assert_eq!(refused.map(drop), Err("nothing ends here".to_owned()));
}

#[test]
fn names_that_cannot_be_told_apart_are_refused() {
    let gates = |names: &[&'static str]| {
        let builder = names.iter().fold(Builder::new(), |builder, name| builder.gate(Called(name)));
        builder.extras().map(drop)
    };
    assert_eq!(gates(&["one", "other"]), Ok(()));
    assert_eq!(gates(&["one", "one"]), Err(BuildError::GateTwice("one")));
    let label = "unregistered_torrent";
    assert_eq!(gates(&[label]), Err(BuildError::GateTwice(label)));
    for name in ["", "One", "1one", "one two", "one\"", "\u{e9}"] {
        assert_eq!(gates(&[name]), Err(BuildError::Name(name)));
    }
    let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    assert_eq!(gates(&many[..8]), Ok(()));
    assert_eq!(gates(&many), Err(BuildError::TooManyGates(9)));
}
