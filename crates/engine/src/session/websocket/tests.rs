//! How one connection of a browser behaves, without sockets.

use super::*;
use skep_proto::OfferId;

const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));

fn session() -> WebsocketSession {
    WebsocketSession::new(HERE, Credential::default(), Connection(7), Tick(0))
}

fn torrent(byte: u8) -> InfoHash {
    InfoHash([byte; 20])
}

fn peer(byte: u8) -> PeerId {
    PeerId([byte; 20])
}

fn request(torrent: InfoHash, peer_id: PeerId, event: AnnounceEvent) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: torrent,
        peer_id,
        port: 0,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes: Some(1),
        event,
        num_want: NumWant::Default,
        peer_key: skep_proto::PeerKey::default(),
    }
}

fn announce(session: &mut WebsocketSession, number: u8, peer_id: u8, event: AnnounceEvent) {
    let policy = Policy::default();
    let request = request(torrent(number), peer(peer_id), event);
    let announce = session.announce(&policy, request, None, 0, &mut Reason::default()).unwrap();
    session.announced(&announce, &Announced::default(), 120).unwrap();
}

fn offered(number: u8) -> Offered {
    Offered { info_hash: torrent(1), peer_id: peer(9), offer_id: OfferId([number; 20]) }
}

#[test]
fn what_is_announced_is_owned_until_it_is_stopped() {
    let mut session = session();
    for number in [3, 1, 2, 2] {
        announce(&mut session, number, number, AnnounceEvent::Started);
    }
    announce(&mut session, 1, 1, AnnounceEvent::Stopped);
    let owned = |number| Owned { info_hash: torrent(number), peer_id: peer(number), account: None };
    assert_eq!(session.torrents(), [owned(2), owned(3)]);
}

#[test]
fn announce_that_was_not_stored_is_not_owned() {
    let mut session = session();
    let policy = Policy::default();
    let request = request(torrent(1), peer(1), AnnounceEvent::None);
    let announce = session.announce(&policy, request, None, 0, &mut Reason::default()).unwrap();
    let refused = Announced { peer_id_in_use: true, ..Announced::default() };
    let error = session.announced(&announce, &refused, 120).unwrap_err();
    assert_eq!(error.text(), "peer_id already in use");
    let not_stored = Announced { not_stored: true, ..Announced::default() };
    session.announced(&announce, &not_stored, 120).unwrap();
    assert!(session.torrents().is_empty());
}

#[test]
fn offers_wanted_are_those_that_there_are_and_no_more_than_asked_or_allowed() {
    let session = session();
    let mut policy = Policy::default();
    let wanted = |policy: &Policy, num_want, offers, event| {
        let request = AnnounceRequest { num_want, ..request(torrent(1), peer(1), event) };
        session.announce(policy, request, None, offers, &mut Reason::default()).unwrap().offers
    };
    let none = AnnounceEvent::None;
    assert_eq!(wanted(&policy, NumWant::Default, 5, none), 5);
    assert_eq!(wanted(&policy, NumWant::Count(3), 5, none), 3);
    assert_eq!(wanted(&policy, NumWant::Count(50), 5, none), 5);
    assert_eq!(wanted(&policy, NumWant::Default, 5, AnnounceEvent::Stopped), 0);
    policy.websocket.offers_max = 2;
    assert_eq!(wanted(&policy, NumWant::Default, 5, none), 2);
}

#[test]
fn offer_is_answered_once_by_who_got_it_and_in_time() {
    let mut session = session();
    announce(&mut session, 1, 1, AnnounceEvent::None);
    session.offer(offered(1), Tick(10));
    session.offer(offered(2), Tick(10));
    session.offer(offered(3), Tick(50));
    assert!(!session.answers(&offered(4), &peer(1), Tick(20)), "was never offered");
    assert!(!session.answers(&offered(1), &peer(2), Tick(20)), "is another peer");
    assert!(session.answers(&offered(1), &peer(1), Tick(20)));
    assert!(!session.answers(&offered(1), &peer(1), Tick(20)), "was answered");
    assert!(!session.answers(&offered(2), &peer(1), Tick(131)), "is too old");
    assert!(session.answers(&offered(3), &peer(1), Tick(131)));
}

#[test]
fn offers_that_wait_are_bounded() {
    let mut session = session();
    announce(&mut session, 1, 1, AnnounceEvent::None);
    let offer = |number: usize| Offered {
        offer_id: OfferId(core::array::from_fn(|at| (number >> (8 * (at % 2))) as u8)),
        ..offered(0)
    };
    for number in 0..=OFFERS_WAITING_MAX {
        session.offer(offer(number), Tick(1));
    }
    assert_eq!(session.offers.len(), OFFERS_WAITING_MAX);
    assert!(!session.answers(&offer(0), &peer(1), Tick(2)), "made room");
    assert!(session.answers(&offer(OFFERS_WAITING_MAX), &peer(1), Tick(2)));
    session.forget_old_offers(Tick(200));
    assert_eq!(session.offers.capacity(), 0);
}

#[test]
fn messages_are_bounded_at_once_and_in_the_long_run() {
    let mut session = session();
    let settings = WebsocketSettings { messages_per_sec_max: 5, ..WebsocketSettings::default() };
    let mut taken = |count: u32, at: u32| {
        (0..count).filter(|_| session.takes_message(&settings, Tick(at))).count()
    };
    assert_eq!(taken(30, 1), 20);
    assert_eq!(taken(30, 2), 5);
    assert_eq!(taken(30, 100), 20);
    let no_limit = WebsocketSettings { messages_per_sec_max: 0, ..settings };
    assert!((0..1000).all(|_| session.takes_message(&no_limit, Tick(100))));
}

#[test]
fn silence_ends_a_connection_after_twice_the_interval_that_was_told() {
    let mut session = session();
    let settings = WebsocketSettings::default();
    session.heard(Tick(100));
    assert!(!session.is_idle(&settings, Tick(340)));
    assert!(session.is_idle(&settings, Tick(341)));
    announce(&mut session, 1, 1, AnnounceEvent::None);
    session.interval_secs = 300;
    assert!(!session.is_idle(&settings, Tick(700)));
    assert!(session.is_idle(&settings, Tick(701)));
}
