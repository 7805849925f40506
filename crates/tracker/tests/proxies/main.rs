//! Real proxies before the tracker, each with the configuration that its page of the guide shows.
//!
//! Whom the tracker takes a client for shows in its answer (BEP 24). Only addresses, ports and the
//! paths of certificates are others than in the guide. The programs are installed by
//! `cargo xtask install`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "../clients/process.rs"]
#[allow(dead_code, reason = "shared with the tests of clients")]
mod process;
mod setup;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use process::wait_until;
use setup::{Host, deployed};

/// Pages of the guide and the files under `deploy/proxies` that each shows.
const PAGES: &[(&str, &[&str])] = &[
    ("nginx.md", &["nginx.conf", "nginx.toml"]),
    ("haproxy.md", &["haproxy.cfg", "haproxy.toml"]),
    ("caddy.md", &["Caddyfile", "caddy.toml"]),
    ("cdn.md", &["cdn.toml"]),
];

/// A client of the proxy, at an address that only it has.
const CLIENT: &str = "127.0.0.5";

#[test]
fn pages_of_the_guide_show_the_files_that_are_tested() {
    for (page, files) in PAGES {
        let text = fs::read_to_string(setup::of_project(&format!("docs/guide/{page}"))).unwrap();
        let mut shown: Vec<&str> = text.split("```").skip(1).step_by(2).collect();
        shown.retain(|block| !block.starts_with("sh\n"));
        assert_eq!(shown.len(), files.len(), "{page}");
        for (block, file) in shown.iter().zip(*files) {
            let (_language, shown) = block.split_once('\n').unwrap();
            assert_eq!(shown, deployed(file), "{page} does not show deploy/proxies/{file}");
        }
    }
    let files = fs::read_dir(setup::of_project("deploy/proxies")).unwrap().count();
    assert_eq!(files, PAGES.iter().map(|(_, files)| files.len()).sum::<usize>());
}

#[test]
fn nginx_names_the_client_over_http_and_tls() {
    let host = Host::new();
    let tracker = host.tracker("nginx.toml");
    let proxy = host.nginx(host.upstream());
    host.wait_for(&tracker, &proxy);
    for url in [host.http(), host.https()] {
        assert_eq!(host.announce(&url, CLIENT, &[]), CLIENT);
        // What a client says of itself stands to the left of what nginx says.
        let forged = ["X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6"];
        assert_eq!(host.announce(&url, CLIENT, &forged), CLIENT);
    }
    for url in [host.http_ipv6(), host.https_ipv6()] {
        assert_eq!(host.announce(&url, "::1", &[]), "::1");
    }
    host.expect_swarm(2);
}

#[test]
fn nginx_passes_a_change_to_websocket_on() {
    let host = Host::new();
    let listener = TcpListener::bind((host.ip(), 0)).unwrap();
    let proxy = host.nginx(listener.local_addr().unwrap());
    let upstream = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = setup::read_head(&mut stream);
        let change =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
        stream.write_all(format!("{change}\r\n\r\n").as_bytes()).unwrap();
        let mut said = [0; 5];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&said).unwrap();
        head
    });
    let mut client = host.connect_to_proxy(&proxy);
    let head = "GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    assert!(setup::read_head(&mut client).starts_with("HTTP/1.1 101 "));
    client.write_all(b"\x81\0abc").unwrap();
    let mut echo = [0; 5];
    client.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\x81\0abc");
    let head = upstream.join().unwrap().to_ascii_lowercase();
    assert!(head.contains("\r\nupgrade: websocket\r\nconnection: upgrade\r\n"), "{head}");
}

#[test]
fn haproxy_names_the_client_in_a_binary_header() {
    haproxy_names_the_client("send-proxy-v2");
}

#[test]
fn haproxy_names_the_client_in_a_line() {
    haproxy_names_the_client("send-proxy");
}

fn haproxy_names_the_client(version: &str) {
    let host = Host::new();
    let tracker = host.tracker("haproxy.toml");
    let proxy = host.haproxy(version);
    host.wait_for(&tracker, &proxy);
    for url in [host.http(), host.https()] {
        assert_eq!(host.announce(&url, CLIENT, &[]), CLIENT);
        assert_eq!(host.announce(&url, CLIENT, &["X-Forwarded-For: 6.6.6.6"]), CLIENT);
    }
    for url in [host.http_ipv6(), host.https_ipv6()] {
        assert_eq!(host.announce(&url, "::1", &[]), "::1");
    }
    host.expect_swarm(2);
    // Its health checks are taken for what they are.
    let drops = host.metric("reason=\"bad_proxy_header\"");
    assert_eq!(drops, 0);
    assert_eq!(proxy.said("is DOWN"), 0);
}

#[test]
fn haproxy_names_the_client_before_tls_that_the_tracker_ends() {
    let host = Host::new();
    let tracker = host.tracker_with_tls();
    let proxy = host.haproxy_without_tls();
    host.wait_for(&tracker, &proxy);
    assert_eq!(host.announce(&host.https(), CLIENT, &[]), CLIENT);
    assert_eq!(host.announce(&host.https_ipv6(), "::1", &[]), "::1");
    // The same port takes both.
    assert_eq!(host.announce(&host.http(), CLIENT, &[]), CLIENT);
    host.expect_swarm(2);
}

#[test]
fn caddy_names_the_client() {
    let host = Host::new();
    let tracker = host.tracker("caddy.toml");
    let proxy = host.caddy();
    host.wait_for(&tracker, &proxy);
    assert_eq!(host.announce(&host.http(), CLIENT, &[]), CLIENT);
    assert_eq!(host.announce(&host.http(), CLIENT, &["X-Forwarded-For: 6.6.6.6"]), CLIENT);
    host.expect_swarm(1);
}

#[test]
fn client_of_a_cdn_before_nginx_is_found() {
    let host = Host::new();
    // A host of the CDN has its address from another range here.
    let tracker = host.tracker_with("cdn.toml", &[("198.51.100.0/24", "127.0.0.9/32")]);
    let proxy = host.nginx(host.upstream());
    host.wait_for(&tracker, &proxy);
    let header = ["X-Forwarded-For: 6.6.6.6, 203.0.113.5"];
    assert_eq!(host.announce(&host.http(), "127.0.0.9", &header), "203.0.113.5");
    let header = ["X-Forwarded-For: 6.6.6.6, 203.0.113.5, 2001:db8:cd::1"];
    assert_eq!(host.announce(&host.http(), "127.0.0.9", &header), "203.0.113.5");
    // Who comes past the CDN is himself, whatever he says.
    assert_eq!(host.announce(&host.http(), CLIENT, &["X-Forwarded-For: 203.0.113.5"]), CLIENT);
    let nobody = host.answer(&host.http(), "127.0.0.9", &[]);
    assert!(nobody.ends_with("proxy did not supply client addresse"), "{nobody}");
    wait_until("nobody else is a peer", || host.scrape_incomplete() == 2);
}
