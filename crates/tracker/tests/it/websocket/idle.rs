//! What browsers that say nothing cost: memory, of which there are many.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::websocket::{announce, peer};
use crate::support::{Process, torrent};

/// Resident bytes that a connection which waits may cost, with its peer.
const CONNECTION_BYTES_MAX: u64 = 4 * 1024;

/// Files that the test and the tracker need besides.
const OTHER_FILES: u64 = 300;

#[test]
fn browser_that_waits_costs_little_memory() {
    let (bytes, _) = resident(2000);
    assert!(bytes <= CONNECTION_BYTES_MAX, "{bytes} bytes a connection");
}

/// Where a process may not open as many files, several trackers hold them, one after the other: their
/// sum is more than one tracker would take for all.
#[test]
#[ignore = "needs fifty thousand open files twice, and some time"]
fn fifty_thousand_browsers_wait_in_250_megabytes() {
    let files = skep_net::limits::raise_open_files().unwrap().current_max - OTHER_FILES;
    let trackers = 50_000_u64.div_ceil(files);
    let each = 50_000_u64.div_ceil(trackers) as u32;
    let mut sum = 0;
    for _ in 0..trackers {
        let (bytes, total) = resident(each);
        println!("{each} connections: {bytes} bytes each, {} MiB in all", total >> 20);
        assert!(bytes <= CONNECTION_BYTES_MAX, "{bytes} bytes a connection");
        sum += total;
    }
    println!("50000 connections of {trackers} trackers: {} MiB", sum >> 20);
    assert!(sum <= 250 << 20, "{sum} bytes");
}

/// Opens so many connections that announce one peer each, and returns what each of them takes and
/// what the whole process does.
fn resident(count: u32) -> (u64, u64) {
    skep_net::limits::raise_open_files().unwrap();
    let mut tracker = Process::start(&[
        "--http.connections_max=100000",
        "--http.connections_per_address_max=0",
        "--swarm.new_torrents_per_minute_max=0",
        "--websocket.interval_secs=750",
    ]);
    let (to, pid) = (tracker.http(), tracker.pid());
    let before = resident_bytes(pid);
    let streams: Vec<_> = (0..count).map(|number| open(to, number)).collect();
    let mut answers = streams.iter();
    for (number, mut stream) in (0..).zip(&streams) {
        let swarm = torrent((number % 250) as u8);
        let text = announce(&swarm, &peer(number), json!({"left": 1, "offers": []})).to_string();
        stream.write_all(&masked(text.as_bytes())).unwrap();
        // Some at a time: the tracker answers while others are asked.
        if number % 100 == 99 {
            answers.by_ref().take(100).for_each(|stream| {
                assert!(hear(stream).contains("\"interval\""));
            });
        }
    }
    answers.for_each(|stream| assert!(hear(stream).contains("\"interval\"")));
    let total = resident_bytes(pid);
    (total.saturating_sub(before) / u64::from(count), total)
}

/// Connects from one of many addresses of this host, since one has not ports enough.
fn open(to: SocketAddr, number: u32) -> TcpStream {
    let from = Ipv4Addr::new(127, 1, 0, (number / 10_000 + 1) as u8);
    let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // A reset at the end leaves no port waiting, which the next tracker's browsers need.
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    stream.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    stream.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(stream);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert!(hear(&stream).starts_with("HTTP/1.1 101 "));
    stream
}

/// A text frame of a client, masked with zeros.
fn masked(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 0x80 | 126][..], &length, &[0; 4], text].concat()
}

fn hear(mut stream: &TcpStream) -> String {
    let mut bytes = [0; 1024];
    let length = stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn resident_bytes(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
