//! Headers of proxies: whom the tracker takes for the client of a connection.
//!
//! The tracker tells the client its address (BEP 24), which shows whom it saw. Addresses of the
//! connections themselves have stand-ins on this host; those in headers stand as in the file.

use std::net::{IpAddr, Ipv4Addr};

use skep_engine::testing::wire;
use skep_proto::bencode;
use skep_proto::vectors::{HTTP_FORWARDED, Session, VectorFile};

use super::replay;
use crate::support::{Tracker, announce, failure, torrent};

#[test]
fn golden_proxy_headers_come_over_sockets() {
    replay("http/forwarded.txt", HTTP_FORWARDED, session);
}

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 10, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

fn session(file: &VectorFile, session: &Session) -> usize {
    let tracker = Tracker::start(&[
        "--proxy.trusted=10.0.0.0/8,127.10.0.0/16",
        "--announce.external_ip=true",
        "--listen.udp=off",
    ]);
    let mut from = PROXY;
    let mut replayed = 0;
    for vector in &session.vectors {
        if let Some(line) = vector.line("from") {
            let trusted = file.address(&line.rest).ip() == IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
            from = if trusted { PROXY } else { STRANGER };
        }
        let headers: Vec<_> = vector
            .lines
            .iter()
            .filter(|line| line.word == "header")
            .map(|line| ("X-Forwarded-For", line.rest.as_str()))
            .collect();
        let target = wire::http_announce(&announce(torrent(1), 6881, 1));
        let answer = tracker.http_client(from).get_with(&target, &headers);
        let stated = &vector.line("client").expect("every vector has a client").rest;
        if stated == "none" {
            let text = failure(answer.ok());
            assert_eq!(text, "proxy did not supply client address", "{}", vector.id);
        } else {
            let stated: IpAddr = stated.parse().unwrap();
            let expected = if from == STRANGER { from.into() } else { stated };
            assert_eq!(external_ip(answer.ok()), expected, "{}", vector.id);
        }
        replayed += 1;
    }
    replayed
}

fn external_ip(body: &[u8]) -> IpAddr {
    let value = bencode::read(body).unwrap();
    let packed = value.get(b"external ip").and_then(bencode::Value::as_bytes).expect("an address");
    match <[u8; 4]>::try_from(packed) {
        Ok(octets) => octets.into(),
        Err(_) => <[u8; 16]>::try_from(packed).unwrap().into(),
    }
}
