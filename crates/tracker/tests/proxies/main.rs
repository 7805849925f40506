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
fn browsers_come_through_nginx() {
    let host = Host::new();
    let tracker = host.tracker("nginx.toml");
    let proxy = host.nginx(host.upstream());
    host.wait_for(&tracker, &proxy);
    browsers_are_told_apart(&host);
}

#[test]
fn browsers_come_through_haproxy() {
    let host = Host::new();
    let tracker = host.tracker("haproxy.toml");
    let proxy = host.haproxy("send-proxy-v2");
    host.wait_for(&tracker, &proxy);
    browsers_are_told_apart(&host);
}

#[test]
fn browsers_come_through_caddy() {
    let host = Host::new();
    let tracker = host.tracker("caddy.toml");
    let proxy = host.caddy();
    host.wait_for(&tracker, &proxy);
    browsers_are_told_apart(&host);
}

/// A peer moves to another connection from its own address and to no other, so this shows whom the
/// tracker takes a browser for.
fn browsers_are_told_apart(host: &Host) {
    let announce = "{\"action\":\"announce\",\"info_hash\":\"aaaaaaaaaaaaaaaaaaaa\",\
                    \"peer_id\":\"-WW0200-bbbbbbbbbbbb\",\"left\":1}";
    let mut first = host.browser(CLIENT);
    assert!(first.ask(announce).contains("\"incomplete\":1"));
    let told = host.browser("127.0.0.6").ask(announce);
    assert!(told.contains("peer_id already in use"), "{told}");
    let mut second = host.browser(CLIENT);
    assert!(second.ask(announce).contains("\"incomplete\":1"));
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
