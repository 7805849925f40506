//! Replies that promise something: they wait for the disk, and nobody else does.
//!
//! The disk is one that hangs and goes on when a test says so.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use skep_engine::testing::wire;
use skep_proto::{AnnounceEvent, AnnounceRequest, TransactionId};

use super::sockets::{WAYS, start};
use crate::private::{Way, browser, http_target, url_data};
use crate::support::websocket::{self as web, Browser};
use crate::support::{HttpClient, Tracker, UdpClient, announce, torrent, wait_until};

/// A client that can wait for an answer.
#[expect(clippy::large_enum_variant, reason = "there is one of each")]
enum Client {
    Http(HttpClient),
    Udp(UdpClient),
    Websocket(Browser),
}

impl Client {
    fn new(tracker: &Tracker, way: Way) -> Self {
        match way {
            Way::Udp => Self::Udp(tracker.udp_client(Ipv4Addr::LOCALHOST)),
            Way::Websocket => Self::Websocket(browser(tracker, "/passkey-1/announce")),
            _ => Self::Http(tracker.http_client(Ipv4Addr::LOCALHOST)),
        }
    }

    fn send(&mut self, request: &AnnounceRequest) {
        let path = Way::Path.path("passkey-1");
        match self {
            Self::Http(client) => {
                let target = http_target(&path, request);
                client.send(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes());
            }
            Self::Udp(client) => {
                let datagram = wire::udp_announce(client.connect(), TransactionId([7; 4]), request);
                client.send(&[&datagram[..], &url_data(&path)].concat());
            }
            Self::Websocket(browser) => {
                let event = match request.event {
                    AnnounceEvent::Started => "started",
                    AnnounceEvent::Completed => "completed",
                    _ => "stopped",
                };
                let more = json!({"left": request.left_bytes, "event": event});
                browser.send(&web::announce(&request.info_hash, &request.peer_id, more));
            }
        }
    }

    /// The failure that is told, if any.
    fn hear(&mut self) -> Result<(), String> {
        match self {
            Self::Http(client) => wire::read_http_announce(client.response().ok()).map(drop),
            Self::Udp(client) => wire::read_udp_announce(&client.receive(), false).map(drop),
            Self::Websocket(browser) => match browser.hear()["failure reason"].as_str() {
                Some(reason) => Err(reason.to_owned()),
                None => Ok(()),
            },
        }
    }

    fn expect_silence(&mut self) {
        match self {
            Self::Http(client) => assert!(client.is_quiet()),
            Self::Udp(client) => client.expect_silence("the disk has not taken it"),
            Self::Websocket(browser) => browser.hears_nothing(),
        }
    }
}

fn stopped() -> AnnounceRequest {
    AnnounceRequest { event: AnnounceEvent::Stopped, ..announce(torrent(1), 6881, 7) }
}

#[test]
fn an_end_is_answered_when_it_is_on_the_disk_and_others_meanwhile() {
    for way in WAYS {
        let (tracker, sink) = start();
        sink.want_durable();
        let mut client = Client::new(&tracker, way);
        client.send(&announce(torrent(1), 6881, 7));
        assert_eq!(client.hear(), Ok(()), "{way:?}: a beginning waits for nothing");
        sink.hang();
        client.send(&stopped());
        wait_until("the disk is waited for", || sink.is_waited_for());
        client.expect_silence();
        for other in WAYS {
            let event = AnnounceEvent::None;
            let request = AnnounceRequest { event, ..announce(torrent(1), 6882, 7) };
            other.announce(&tracker, "passkey-2", &request).unwrap();
        }
        sink.end_hanging(false);
        assert_eq!(client.hear(), Ok(()), "{way:?}");
    }
}

#[test]
fn what_the_disk_does_not_take_is_not_promised_and_may_come_again() {
    for way in WAYS {
        let (tracker, sink) = start();
        sink.want_durable();
        let mut client = Client::new(&tracker, way);
        client.send(&announce(torrent(1), 6881, 7));
        assert_eq!(client.hear(), Ok(()));
        sink.hang();
        client.send(&stopped());
        wait_until("the disk is waited for", || sink.is_waited_for());
        sink.end_hanging(true);
        let refused = Err("Not recorded, try again".to_owned());
        assert_eq!(client.hear(), refused, "{way:?}");
        client.send(&stopped());
        assert_eq!(client.hear(), refused, "{way:?}: the record still waits");
        sink.end_hanging(false);
        client.send(&stopped());
        assert_eq!(client.hear(), Ok(()), "{way:?}");
        assert_eq!(sink.taken().len(), 2, "{way:?}: counted once");
        // What the journal has no room for is refused at once.
        client.send(&announce(torrent(1), 6881, 7));
        assert_eq!(client.hear(), Ok(()));
        sink.fill(true);
        client.send(&stopped());
        assert_eq!(client.hear(), refused, "{way:?}");
    }
}

#[test]
fn a_completion_is_answered_when_it_is_on_the_disk() {
    let (tracker, sink) = start();
    sink.want_durable();
    let mut client = Client::new(&tracker, Way::Path);
    client.send(&announce(torrent(1), 6881, 7));
    client.hear().unwrap();
    sink.hang();
    let event = AnnounceEvent::Completed;
    client.send(&AnnounceRequest { event, ..announce(torrent(1), 6881, 0) });
    wait_until("the disk is waited for", || sink.is_waited_for());
    client.expect_silence();
    sink.end_hanging(false);
    client.hear().unwrap();
}

#[test]
fn late_datagrams_come_from_the_address_that_was_asked() {
    let (tracker, sink) = start();
    sink.want_durable();
    // The client hears of no other address than the one that it asks.
    let asked = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 9).into(), tracker.udp().port());
    let mut client = Client::Udp(UdpClient::new(Ipv4Addr::LOCALHOST.into(), asked));
    client.send(&announce(torrent(1), 6881, 7));
    client.hear().unwrap();
    client.send(&stopped());
    assert_eq!(client.hear(), Ok(()));
}
