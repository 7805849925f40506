//! Handshakes that are broken, slow, silent or never finished, and clients that do not read.
//!
//! Nobody else may notice them, and each must be counted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::ClientConnection;

use super::{Files, TlsClient, client_config, https, start};
use crate::support::{DEADLINE, HttpClient, Tracker, folder, wait_until};

fn failed(tracker: &Tracker) -> u64 {
    tracker.metric("skep_tls_handshakes_total{result=\"failed\"}")
}

/// The first bytes of an honest client.
fn hello(files: &Files) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(client_config(&[files]), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

fn connect(tracker: &Tracker) -> TcpStream {
    let stream = TcpStream::connect(https(tracker)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads to the end, which may be a reset.
fn drain(stream: &mut TcpStream) -> Vec<u8> {
    let mut told = Vec::new();
    let _end_or_reset = stream.read_to_end(&mut told);
    told
}

#[test]
fn broken_handshakes_end_and_are_counted_and_others_are_served() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &[]);
    let config = client_config(&[&files]);
    let mut kept = TlsClient::connect(&config, https(&tracker));
    assert_eq!(kept.get("/health"), "ok");
    let hello = hello(&files);
    let mut broken: Vec<Vec<u8>> = vec![
        b"GET /announce HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        vec![0; 600],
        vec![0xff; 600],
        // A record of the greatest length, an alert, data before the handshake.
        [&[0x16, 3, 1, 0xff, 0xff][..], &[0; 600]].concat(),
        vec![0x15, 3, 3, 0, 2, 2, 40],
        vec![0x17, 3, 3, 0, 3, 1, 2, 3],
        // SSL 2.
        vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0],
    ];
    broken.extend((0..hello.len()).step_by(hello.len() / 40).map(|cut| hello[..cut].to_vec()));
    broken.extend((5..hello.len()).step_by(hello.len() / 40).map(|place| {
        let mut bytes = hello.clone();
        bytes[place] ^= 0xff;
        bytes.extend_from_slice(&hello);
        bytes
    }));
    let count = broken.len() as u64;
    for bytes in broken {
        let mut stream = connect(&tracker);
        // It may have been refused before its end.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        drain(&mut stream);
    }
    wait_until("all have failed", || failed(&tracker) == count);
    assert_eq!(kept.get("/health"), "ok");
    assert_eq!(TlsClient::connect(&config, https(&tracker)).get("/health"), "ok");
    wait_until("none is left", || tracker.metric("skep_http_connections") <= 2);
}

#[test]
fn handshake_in_single_bytes_is_one() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &[]);
    let mut client = TlsClient::connect(&client_config(&[&files]), https(&tracker));
    client.0.sock.set_nodelay(true).unwrap();
    let mut hello = Vec::new();
    client.0.conn.write_tls(&mut hello).unwrap();
    for byte in hello {
        client.0.sock.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.get("/health"), "ok");
    assert_eq!(failed(&tracker), 0);
}

#[test]
fn silent_and_unfinished_handshakes_are_cut_in_time() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let [certificate, key] = files.settings();
    for on_http in ["off", "detect"] {
        let tls = format!("--listen.tls={on_http}");
        let flags = ["--http.head_timeout_secs=1", "--listen.https=127.0.0.1:0", &tls];
        let tracker = Tracker::start(&[&flags[..], &[&certificate, &key]].concat());
        let hello = hello(&files);
        let mut silent = connect(&tracker);
        let mut unfinished = connect(&tracker);
        unfinished.write_all(&hello[..hello.len() / 2]).unwrap();
        let mut idle = HttpClient::connect(tracker.http());
        assert_eq!(drain(&mut silent), b"");
        assert_eq!(drain(&mut unfinished), b"");
        assert_eq!(idle.rest(), b"");
        wait_until("both are counted as failed", || failed(&tracker) == 2);
        let drops =
            "skep_traffic_drops_total{transport=\"http\",family=\"ipv4\",reason=\"timed_out\"}";
        wait_until("all are counted as too slow", || tracker.metric(drops) == 3);
    }
}

#[test]
fn unfinished_handshakes_do_not_delay_the_end() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &["--http.head_timeout_secs=60", "--listen.tls=detect"]);
    let mut silent = connect(&tracker);
    let mut undecided = HttpClient::connect(tracker.http());
    wait_until("both are open", || tracker.metric("skep_http_connections") == 2);
    drop(tracker);
    assert_eq!(drain(&mut silent), b"");
    assert_eq!(undecided.rest(), b"");
}

#[test]
fn client_that_never_reads_is_cut_off() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &["--http.write_timeout_secs=1"]);
    let mut client = TlsClient::connect(&client_config(&[&files]), https(&tracker));
    assert_eq!(client.get("/health"), "ok");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    client.0.sock.set_nonblocking(true).unwrap();
    // It sends until nothing more is taken, and is not heard of again.
    while client.0.write_all(&request).is_ok() {}
    wait_until("it is cut", || tracker.metric("skep_http_connections") == 0);
    let drops = "skep_traffic_drops_total{transport=\"http\",family=\"ipv4\",reason=\"timed_out\"}";
    assert_eq!(tracker.metric(drops), 1);
}

#[test]
fn connection_for_which_there_is_no_room_is_closed_without_a_handshake() {
    let folder = folder();
    let files = Files::make(folder.path(), "a");
    let tracker = start(&files, &["--http.connections_max=1"]);
    let mut kept = TlsClient::connect(&client_config(&[&files]), https(&tracker));
    assert_eq!(kept.get("/health"), "ok");
    let mut turned_away = connect(&tracker);
    assert_eq!(drain(&mut turned_away), b"");
    assert_eq!(kept.get("/health"), "ok");
    assert_eq!(failed(&tracker), 0);
}
