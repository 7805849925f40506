//! Stock clients move a file between them, knowing each other only through the tracker.
//!
//! Nothing here looks at the wire: what counts is that aria2, Transmission, libtorrent and
//! webtorrent, each as its users run it, find a peer. Every test has a network of its own that
//! leads nowhere, holds addresses of one family or of both, and leaves clients no other way to
//! meet: no DHT, no local discovery, no peer exchange. The programs are installed by
//! `cargo xtask install`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod client;
mod network;
mod private;
mod process;
mod torrent;
mod tracker;

use std::fs;

use client::{Client, Transport};
use network::{Family, Network};
use process::{Process, wait_until};
use torrent::Torrent;

macro_rules! transfers {
    ($($name:ident: $seeder:ident by $from:ident, $leecher:ident by $to:ident, $family:ident;)*) => {
        $(
            #[test]
            fn $name() {
                network::inside(stringify!($name), Family::$family, |network| {
                    let seeder = (Client::$seeder, Transport::$from);
                    let leecher = (Client::$leecher, Transport::$to);
                    transfer(network, seeder, leecher);
                });
            }
        )*
    };
}

// aria2 has no UDP announces over IPv6, so it stands in no such row.
transfers! {
    aria2_finds_aria2_by_udp_over_ipv4: Aria2 by Udp, Aria2 by Udp, Ipv4;
    aria2_finds_aria2_by_http_over_ipv4: Aria2 by Http, Aria2 by Http, Ipv4;
    aria2_finds_aria2_by_http_over_ipv6: Aria2 by Http, Aria2 by Http, Ipv6;

    transmission_finds_transmission_by_udp_over_ipv4: Transmission by Udp, Transmission by Udp, Ipv4;
    transmission_finds_transmission_by_http_over_ipv4: Transmission by Http, Transmission by Http, Ipv4;
    transmission_finds_transmission_by_http_over_ipv6: Transmission by Http, Transmission by Http, Ipv6;

    libtorrent_finds_libtorrent_by_udp_over_ipv4: Libtorrent by Udp, Libtorrent by Udp, Ipv4;
    libtorrent_finds_libtorrent_by_udp_over_ipv6: Libtorrent by Udp, Libtorrent by Udp, Ipv6;
    libtorrent_finds_libtorrent_by_http_over_ipv4: Libtorrent by Http, Libtorrent by Http, Ipv4;
    libtorrent_finds_libtorrent_by_http_over_ipv6: Libtorrent by Http, Libtorrent by Http, Ipv6;

    libtorrent_finds_transmission_by_udp_over_ipv6: Transmission by Udp, Libtorrent by Udp, Ipv6;
    libtorrent_meets_transmission_by_udp_over_ipv6: Libtorrent by Udp, Transmission by Udp, Ipv6;

    libtorrent_by_http_finds_aria2_by_udp_over_ipv4: Aria2 by Udp, Libtorrent by Http, Ipv4;
    aria2_by_http_finds_transmission_by_udp_over_ipv4: Transmission by Udp, Aria2 by Http, Ipv4;
    transmission_by_http_finds_libtorrent_by_udp_over_ipv4: Libtorrent by Udp, Transmission by Http, Ipv4;
    aria2_by_http_finds_libtorrent_by_udp_over_ipv6: Libtorrent by Udp, Aria2 by Http, Ipv6;
    libtorrent_by_udp_finds_aria2_by_http_over_ipv4: Aria2 by Http, Libtorrent by Udp, Ipv4;

    webtorrent_finds_webtorrent_over_ipv4: Webtorrent by WebSocket, Webtorrent by WebSocket, Ipv4;
    webtorrent_finds_webtorrent_over_ipv6: Webtorrent by WebSocket, Webtorrent by WebSocket, Ipv6;
    chromium_finds_chromium_over_ipv4: Chromium by WebSocket, Chromium by WebSocket, Ipv4;
    chromium_finds_chromium_over_ipv6: Chromium by WebSocket, Chromium by WebSocket, Ipv6;
    chromium_finds_webtorrent_over_ipv4: Webtorrent by WebSocket, Chromium by WebSocket, Ipv4;
    webtorrent_finds_chromium_over_ipv6: Chromium by WebSocket, Webtorrent by WebSocket, Ipv6;
}

macro_rules! announces {
    ($($name:ident: $transport:ident, $family:ident;)*) => {
        $(
            #[test]
            fn $name() {
                network::inside(stringify!($name), Family::$family, |network| {
                    announces(network, Transport::$transport);
                });
            }
        )*
    };
}

// This client, too, has no UDP announces over IPv6.
announces! {
    bittorrent_tracker_is_answered_by_udp_over_ipv4: Udp, Ipv4;
    bittorrent_tracker_is_answered_by_http_over_ipv4: Http, Ipv4;
    bittorrent_tracker_is_answered_by_http_over_ipv6: Http, Ipv6;
    bittorrent_tracker_is_answered_by_websocket_over_ipv4: WebSocket, Ipv4;
    bittorrent_tracker_is_answered_by_websocket_over_ipv6: WebSocket, Ipv6;
}

/// Takes the peers of a swarm through their life.
fn announces(network: &Network, transport: Transport) {
    let tracker = tracker::start(network);
    let client = client::announces(&network.announce_url(transport, None));
    wait_until("the client has every answer", || {
        tracker.expect_running();
        client.expect_no_failure();
        client.said("every answer was right") > 0
    });
    eprintln!("announced by {transport:?} over {:?}", network.family());
}

/// Moves a file from a client that has it to one that wants it.
fn transfer(network: &Network, seeder: (Client, Transport), leecher: (Client, Transport)) {
    let torrent = Torrent::new();
    let tracker = tracker::start(network);
    let start_seeder = || {
        let folder = network.folder("seeder");
        fs::write(folder.join(torrent::NAME), torrent.data()).unwrap();
        let file = torrent.file(network, seeder.1, None);
        seeder.0.start("seeder", &network.seeder(), &folder, &file)
    };
    let start_leecher = || {
        let folder = network.folder("leecher");
        let file = torrent.file(network, leecher.1, None);
        leecher.0.start("leecher", &network.leecher(), &folder, &file)
    };
    let registered = |client: &Process, (seeders, leechers)| {
        wait_until(&format!("the tracker knows the {}", client.name()), || {
            tracker.expect_running();
            client.expect_running();
            if seeder.1 == Transport::WebSocket {
                // A scrape over UDP would count those that speak no WebRTC. With an announce under
                // way, both would call each other, and each hang up what the other keeps.
                return client.said(client::SEEDS) > 0;
            }
            let swarm = tracker::scrape(network, torrent.info_hash());
            swarm.is_some_and(|swarm| (swarm.seeders, swarm.leechers) == (seeders, leechers))
        });
    };
    let running = if calls_nobody(network, leecher) {
        let leecher = start_leecher();
        registered(&leecher, (0, 1));
        [leecher, start_seeder()]
    } else {
        let seeder = start_seeder();
        registered(&seeder, (1, 0));
        [seeder, start_leecher()]
    };
    let received = network.folder("leecher").join(torrent::NAME);
    wait_until("the leecher has the whole file", || {
        tracker.expect_running();
        running.iter().for_each(Process::expect_no_failure);
        fs::read(&received).is_ok_and(|bytes| bytes == torrent.data())
    });
    if seeder.1 == Transport::WebSocket {
        running.iter().for_each(expect_webrtc);
    }
    let moved = fs::read(&received).unwrap();
    assert_eq!(torrent::sha1(&moved), torrent::sha1(torrent.data()));
    eprintln!(
        "moved {} bytes over {:?}, {:?} by {:?} to {:?} by {:?}, SHA-1 {}",
        moved.len(),
        network.family(),
        seeder.0,
        seeder.1,
        leecher.0,
        leecher.1,
        torrent::hex(&torrent::sha1(&moved)),
    );
}

/// Fails unless the client was connected by WebRTC and by nothing else.
fn expect_webrtc(client: &Process) {
    let connected = || client.said("connected by ");
    wait_until(&format!("{} says what it was connected by", client.name()), || connected() > 0);
    assert_eq!(connected(), client.said("connected by webrtc"), "{}", client.name());
}

/// Whether a leecher must be called by the seeder.
///
/// Transmission 3.00 takes the 18-byte peers of a UDP reply over IPv6 for 6-byte ones. Starting it
/// first lets the other client read its address from the reply.
fn calls_nobody(network: &Network, (client, transport): (Client, Transport)) -> bool {
    client == Client::Transmission
        && transport == Transport::Udp
        && network.family() == Family::Ipv6
}

/// The proof that the other tests prove anything: without a tracker nobody finds anybody.
#[test]
fn clients_without_a_tracker_stay_alone() {
    network::inside("clients_without_a_tracker_stay_alone", Family::Ipv4, |network| {
        for (client, transport) in [
            (Client::Aria2, Transport::Http),
            (Client::Chromium, Transport::WebSocket),
            (Client::Libtorrent, Transport::Http),
            (Client::Transmission, Transport::Http),
            (Client::Webtorrent, Transport::WebSocket),
        ] {
            let torrent = Torrent::new();
            let file = torrent.file(network, transport, None);
            let folder = network.folder(&format!("{client:?}-seeder"));
            fs::write(folder.join(torrent::NAME), torrent.data()).unwrap();
            let seeder = client.start("seeder", &network.seeder(), &folder, &file);
            let folder = network.folder(&format!("{client:?}-leecher"));
            let leecher = client.start("leecher", &network.leecher(), &folder, &file);
            for process in [&seeder, &leecher] {
                wait_until(&format!("{} cannot announce", process.name()), || {
                    process.expect_no_failure();
                    let (words, times) = client.failed_announces();
                    process.said(words) >= times
                });
            }
            let received = fs::read(folder.join(torrent::NAME));
            assert!(received.map_or(true, |bytes| bytes != torrent.data()));
            eprintln!("moved nothing from {client:?} to {client:?} without a tracker");
        }
    });
}
