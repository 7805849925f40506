//! A private tracker over real sockets: who is refused with which words, and that nobody learns more.
//!
//! What is counted for a user is tested where accounts are.

mod keys;
mod refusals;
mod scrapes;
mod secrets;

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use skep_engine::site::{Change, Torrent, TorrentId, User, UserId};
use skep_engine::testing::wire;
use skep_proto::{AnnounceEvent, AnnounceRequest, TransactionId};

use crate::support::websocket::{self as web, Browser};
use crate::support::{Tracker, announce, failure, torrent};

/// How a passkey reaches the tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// `/<passkey>/announce`
    Path,
    /// `/announce/<passkey>`
    PathBehind,
    /// `/users/<passkey>/announce`
    PathOfUsers,
    /// `/announce?passkey=`
    Query,
    /// URL data in the options of a UDP announce.
    Udp,
    /// The path of a browser's connection.
    Websocket,
}

impl Way {
    const ALL: [Self; 6] =
        [Self::Path, Self::PathBehind, Self::PathOfUsers, Self::Query, Self::Udp, Self::Websocket];

    /// The path of an announce URL, without the parameters of an announce.
    pub(crate) fn path(self, passkey: &str) -> String {
        match self {
            Self::Path | Self::Udp | Self::Websocket => format!("/{passkey}/announce"),
            Self::PathBehind => format!("/announce/{passkey}"),
            Self::PathOfUsers => format!("/users/{passkey}/announce"),
            Self::Query => format!("/announce?passkey={passkey}"),
        }
    }

    /// Announces; the failure if it is refused.
    pub(crate) fn announce(
        self,
        tracker: &Tracker,
        passkey: &str,
        request: &AnnounceRequest,
    ) -> Result<(), String> {
        match self {
            Self::Udp => by_udp(tracker, &url_data(&self.path(passkey)), request),
            Self::Websocket => by_browser(tracker, &self.path(passkey), request),
            _ => {
                let target = http_target(&self.path(passkey), request);
                wire::read_http_announce(tracker.get(&target).ok()).map(drop)
            }
        }
    }
}

/// An announce behind a path that may have a query already.
pub(crate) fn http_target(path: &str, request: &AnnounceRequest) -> String {
    let target = wire::http_announce(request);
    let (_, query) = target.split_once('?').unwrap();
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

/// The option that carries the path of an announce URL (BEP 41).
pub(crate) fn url_data(path: &str) -> Vec<u8> {
    [&[2, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat()
}

fn by_udp(tracker: &Tracker, options: &[u8], request: &AnnounceRequest) -> Result<(), String> {
    let mut client = tracker.udp_client(Ipv4Addr::LOCALHOST);
    let datagram = wire::udp_announce(client.connect(), TransactionId([7; 4]), request);
    let reply = client.exchange(&[&datagram, options].concat());
    wire::read_udp_announce(&reply, false).map(drop)
}

pub(crate) fn browser(tracker: &Tracker, path: &str) -> Browser {
    Browser::connect_to_path(Ipv4Addr::LOCALHOST, tracker.http(), path)
}

fn by_browser(tracker: &Tracker, path: &str, request: &AnnounceRequest) -> Result<(), String> {
    let event = match request.event {
        AnnounceEvent::None => Value::Null,
        AnnounceEvent::Started => "started".into(),
        AnnounceEvent::Stopped => "stopped".into(),
        other => panic!("no browser says {other:?}"),
    };
    let more = json!({"left": request.left_bytes, "event": event, "numwant": 0, "offers": []});
    let message = web::announce(&request.info_hash, &request.peer_id, more);
    let answer = browser(tracker, path).ask(&message);
    match answer["failure reason"].as_str() {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(()),
    }
}

/// A user whose passkey is `passkey-` and the number.
pub(crate) fn user(number: u32) -> User {
    let passkey = format!("passkey-{number}").into();
    User { id: UserId(number), passkey, ..User::default() }
}

/// A torrent of twenty times its number.
pub(crate) fn of_site(number: u8) -> Torrent {
    let (id, info_hash) = (TorrentId(number.into()), torrent(number));
    Torrent { id, info_hash, ..Torrent::default() }
}

/// A private tracker with user 1 and torrent 1.
fn start(flags: &[&str]) -> Tracker {
    let tracker = Tracker::start(&[&["--mode=private"], flags].concat());
    put(&tracker, [Change::PutUser(user(1)), Change::PutTorrent(of_site(1))]);
    tracker
}

pub(crate) fn put(tracker: &Tracker, changes: impl IntoIterator<Item = Change>) {
    tracker.running().site().apply_all(changes);
}
