//! How a tracker starts: what it prints, what it binds, and why it does not.
//!
//! The command line and the configuration themselves have tests of their own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use skep::bind::Sockets;
use skep_engine::testing::wire;

use crate::support::{self, HttpClient, Process, Tracker, UdpClient, announce, load, torrent};

#[test]
fn banner_names_every_address_and_the_urls_to_copy() {
    let mut tracker = Process::start(&["--mode=public", "--listen.workers=3"]);
    let port = tracker.udp().port();
    let admin = tracker.admin();
    let expected = format!(
        "skep {}, public tracker, 3 workers\n\
         listening on UDP    0.0.0.0:{port}, [::]:{port}\n\
         listening on HTTP   0.0.0.0:{port}, [::]:{port}\n\
         listening on admin  {admin}\n\
         tracker URLs:\n  \
         udp://127.0.0.1:{port}/announce\n  \
         udp://[::1]:{port}/announce\n  \
         http://127.0.0.1:{port}/announce\n  \
         http://[::1]:{port}/announce\n",
        env!("CARGO_PKG_VERSION"),
    );
    assert!(tracker.said.contains(&expected), "{}", tracker.said);
    assert!(tracker.said.contains(&format!("\n  http://{admin}/metrics\n")), "{}", tracker.said);
    // All of it is true.
    for ip in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), (Ipv6Addr::LOCALHOST, port).into()] {
        UdpClient::new(ip.ip(), ip).connect();
        assert_eq!(HttpClient::connect(ip).get("/health").text(), "ok");
    }
    assert_eq!(HttpClient::connect(admin).get("/health").text(), "ok");
}

#[test]
fn port_in_use_is_named_with_what_to_do_about_it() {
    let udp_holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp_holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (udp, tcp) = (udp_holder.local_addr().unwrap(), tcp_holder.local_addr().unwrap());
    let quiet = ["--listen.udp=off", "--listen.http=off", "--listen.admin=off"];
    for (flag, address, service, remedy) in [
        ("--listen.udp", udp, "udp", "choose another listen.udp"),
        ("--listen.http", tcp, "http", "choose another listen.http"),
        ("--listen.admin", tcp, "admin", "choose another listen.admin"),
    ] {
        let taken = format!("{flag}={address}");
        // Something has to be on in a tracker.
        let on = if service == "admin" { "--listen.http=127.0.0.1:0" } else { quiet[2] };
        let flags: Vec<_> = quiet.iter().filter(|off| !off.starts_with(flag)).copied().collect();
        let process = Process::spawn(&[&flags[..], &[on, &taken]].concat());
        let (code, said) = process.end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("cannot listen on {service} {address}: ")), "{said}");
        assert!(said.contains("in use") && said.contains(remedy), "{said}");
        assert!(!said.contains("panicked") && !said.contains("listening on"), "{said}");
    }
}

#[test]
fn second_tracker_on_the_same_port_does_not_start() {
    let mut first = Process::start(&[]);
    let port = format!("--listen.port={}", first.udp().port());
    let (code, said) = Process::spawn(&[&port, "--listen.admin=off"]).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen on udp 0.0.0.0:"), "{said}");
    let admin = format!("--listen.admin={}", first.admin());
    let (code, said) = Process::spawn(&["--listen.port=0", &admin]).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen on admin 127.0.0.1:"), "{said}");
}

#[test]
fn address_of_another_host_is_named() {
    let (code, said) =
        Process::spawn(&["--listen.udp=203.0.113.7:6969", "--listen.admin=off"]).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen on udp 203.0.113.7:6969"), "{said}");
    assert!(said.contains("no interface of this host has this address"), "{said}");
}

#[test]
fn missing_list_is_named() {
    let folder = support::folder();
    let path = folder.path().join("nowhere.txt");
    for flag in ["--access.torrents_deny_file", "--access.torrents=allow --access.torrents_file"] {
        let flags = format!("{flag}={}", path.display());
        let flags: Vec<_> = flags.split(' ').collect();
        let (code, said) =
            Process::spawn(&[&flags[..], &["--listen.port=0", "--listen.admin=off"]].concat())
                .end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert!(said.contains("No such file"), "{said}");
    }
}

#[test]
fn bad_configuration_ends_with_78_and_bad_flags_with_64_before_anything_is_bound() {
    let (code, said) = Process::spawn(&["--announce.interval_secs=5"]).end();
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("announce.interval_secs"), "{said}");
    let (code, said) = Process::spawn(&["--listen.prot=5"]).end();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("listen.port"), "{said}");
}

#[test]
fn one_family_alone_can_be_listened_on() {
    let tracker = Tracker::start(&["--listen.udp=[::1]:0", "--listen.http=[::1]:0"]);
    let bound = tracker.running().bound();
    assert!(bound.udp.iter().chain(&bound.http).all(SocketAddr::is_ipv6), "{bound:?}");
    assert_eq!((bound.udp.len(), bound.http.len()), (1, 1));
    let request = announce(torrent(1), 6881, 1);
    tracker.udp_client(Ipv6Addr::LOCALHOST).announce(&request).unwrap();
    let target = wire::http_announce(&request);
    assert_eq!(tracker.http_client(Ipv6Addr::LOCALHOST).get(&target).status, 200);
}

#[test]
fn front_end_that_is_off_is_not_bound() {
    let off = |service: &str| {
        let mut tracker =
            Process::start(&[&format!("--listen.{service}=off"), "--listen.admin=off"]);
        assert_eq!(tracker.banner("listening on admin"), []);
        tracker
    };
    // A client of another test may have the very port; not every time.
    let free = (0..5).any(|_| {
        let mut tracker = off("udp");
        assert_eq!(tracker.banner("listening on UDP"), []);
        let http = tracker.http();
        assert_eq!(HttpClient::connect(http).get("/health").status, 200);
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, http.port())).is_ok()
    });
    assert!(free, "UDP is off, and its port is taken all the same");
    let free = (0..5).any(|_| {
        let mut tracker = off("http");
        assert_eq!(tracker.banner("listening on HTTP"), []);
        let udp = tracker.udp();
        UdpClient::new(udp.ip(), udp).connect();
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, udp.port())).is_ok()
    });
    assert!(free, "HTTP is off, and its port is taken all the same");
}

#[test]
fn any_port_of_an_address_is_the_same_for_all_workers() {
    let settings = ["--listen.workers=4", "--listen.udp=127.0.0.1:0", "--listen.http=127.0.0.1:0"];
    let sockets = Sockets::bind(&load(&settings).unwrap().config, 4).unwrap();
    let udp = sockets.udp.iter().flatten().map(|socket| socket.local_addr());
    let http = sockets.http.iter().flatten().map(|listener| listener.local_addr().unwrap());
    for addresses in [udp.collect::<Vec<_>>(), http.collect()] {
        assert_eq!(addresses.len(), 4);
        assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
    }
}

#[test]
fn reply_leaves_from_the_address_that_was_asked() {
    let tracker = Tracker::start(&[]);
    let port = tracker.udp().port();
    for last in [1, 7, 99] {
        let ip = Ipv4Addr::new(127, 0, 0, last);
        // Its socket takes nothing from any other address.
        let mut client = UdpClient::new(Ipv4Addr::LOCALHOST.into(), (ip, port).into());
        client.announce(&announce(torrent(1), 6881, 1)).unwrap();
    }
}

#[test]
fn every_one_of_many_addresses_is_served() {
    let addresses: Vec<_> = (1..=8).map(|last| format!("127.0.0.{last}:0")).collect();
    let addresses = addresses.join(",");
    let tracker = Tracker::start(&[
        &format!("--listen.udp={addresses}"),
        &format!("--listen.http={addresses}"),
    ]);
    let bound = tracker.running().bound();
    assert_eq!((bound.udp.len(), bound.http.len()), (8, 8));
    for (udp, http) in bound.udp.iter().zip(&bound.http) {
        UdpClient::new(Ipv4Addr::LOCALHOST.into(), *udp).connect();
        assert_eq!(HttpClient::connect(*http).get("/health").status, 200);
    }
}
