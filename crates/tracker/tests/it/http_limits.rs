//! Limits of HTTP: connections of one address, readers that are slow or read nothing, full scrapes,
//! open files, and the counters of all that is refused.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use crate::support::{
    self, HttpClient, Process, Tracker, announce, failure, metric, torrent, wait_until,
};

const OVERLOADED: &str = "tracker overloaded";

/// Torrents of a list whose full scrape is longer than what the system keeps for a reader.
const LISTED: usize = 120_000;

/// A folder with such a list and the settings for it.
fn listed() -> (tempfile::TempDir, Vec<String>) {
    let folder = support::folder();
    let path = folder.path().join("torrents.txt");
    let mut list = String::new();
    for number in 0..LISTED {
        writeln!(list, "{number:040x}").unwrap();
    }
    fs::write(&path, list).unwrap();
    let settings = vec![
        "--mode=registered".to_owned(),
        format!("--access.torrents_file={}", path.display()),
        "--scrape.full=true".to_owned(),
        "--scrape.full_max=1000000".to_owned(),
    ];
    (folder, settings)
}

fn dropped(tracker: &Tracker, reason: &str) -> u64 {
    let labels = format!("transport=\"http\",family=\"ipv4\",reason=\"{reason}\"");
    tracker.metric(&format!("skep_traffic_drops_total{{{labels}}}"))
}

#[test]
fn connection_that_never_sends_anything_falls_under_the_head_timeout() {
    let tracker = Tracker::start(&["--http.head_timeout_secs=1", "--http.idle_timeout_secs=3600"]);
    let mut silent = HttpClient::connect(tracker.http());
    assert_eq!(silent.rest(), b"");
    wait_until("it is counted", || dropped(&tracker, "timed_out") == 1);
    // One that has asked for something may be silent for longer.
    let mut kept = HttpClient::connect(tracker.http());
    assert_eq!(kept.get("/health").status, 200);
    HttpClient::connect(tracker.http()).rest();
    assert!(kept.is_quiet());
}

#[test]
fn one_address_gets_no_more_than_its_connections_and_others_are_served() {
    let tracker = Tracker::start(&["--http.connections_per_address_max=5"]);
    let mut held: Vec<_> = (0..5).map(|_| tracker.http_client(Ipv4Addr::LOCALHOST)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
    let mut refused = tracker.http_client(Ipv4Addr::LOCALHOST);
    let _ = refused.send_if_open(b"GET /health HTTP/1.1\r\n\r\n");
    let answer = refused.response();
    assert_eq!((answer.status, failure(&answer.body).as_str()), (503, OVERLOADED));
    let request = announce(torrent(1), 6881, 1);
    tracker.http_client(Ipv4Addr::new(127, 0, 0, 2)).announce(&request).unwrap();
    assert_eq!(dropped(&tracker, "too_many_connections_of_address"), 1);
    drop(held);
    wait_until("they are gone", || tracker.metric("skep_http_connections") == 0);
    tracker.http_client(Ipv4Addr::LOCALHOST).announce(&request).unwrap();
}

#[test]
fn trusted_proxy_may_have_more_connections_than_an_address() {
    let proxy = Ipv4Addr::new(127, 0, 0, 9);
    let tracker = Tracker::start(&[
        "--http.connections_per_address_max=2",
        &format!("--proxy.trusted={proxy}/32"),
    ]);
    let mut held: Vec<_> = (0..20).map(|_| tracker.http_client(proxy)).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/health").status, 200));
}

#[test]
fn full_scrapes_that_nobody_reads_are_few_and_do_not_hold_up_the_end() {
    let (_folder, settings) = listed();
    let mut settings: Vec<_> = settings.iter().map(String::as_str).collect();
    settings.extend(["--http.write_timeout_secs=60", "--http.idle_timeout_secs=3600"]);
    let mut tracker = Process::start(&settings);
    let (http, before) = (tracker.http(), tracker.resident_bytes());
    let mut greedy: Vec<_> = (0..300u16)
        .map(|number| {
            let ip = Ipv4Addr::new(127, 0, 1, (number % 15) as u8 + 1);
            let mut client = HttpClient::connect_from(ip.into(), http);
            client.send(b"GET /scrape HTTP/1.1\r\n\r\n");
            client
        })
        .collect();
    let (mut sent, mut refused) = (0, 0);
    for client in &mut greedy {
        let answer = client.response_head();
        assert_eq!(answer.status, 200);
        let start = client.exactly(8);
        if start == b"d5:files" { sent += 1 } else { refused += 1 }
    }
    assert!(0 < sent && sent <= 32, "{sent} were sent to, {refused} were refused");
    let body_bytes = 70 * LISTED as u64;
    let grown = tracker.resident_bytes().saturating_sub(before);
    assert!(grown < 6 * body_bytes, "{grown} bytes more for a body of {body_bytes}");
    let metrics = HttpClient::connect(tracker.admin()).get("/metrics");
    let refusals = "{transport=\"http\",family=\"ipv4\",kind=\"overloaded\"}";
    let counted = metric(metrics.text(), &format!("skep_traffic_errors_total{refusals}"));
    assert_eq!(counted, refused);
    tracker.signal("TERM");
    assert_eq!(tracker.end().0, Some(0));
}

#[test]
fn slow_reader_gets_all_of_a_long_answer() {
    let (_folder, settings) = listed();
    let mut settings: Vec<_> = settings.iter().map(String::as_str).collect();
    settings.push("--http.write_timeout_secs=1");
    let tracker = Tracker::start(&settings);
    let mut slow = HttpClient::connect(tracker.http());
    slow.send(b"GET /scrape HTTP/1.1\r\n\r\n");
    let head = slow.response_head();
    let len: usize = head.header("Content-Length").unwrap().parse().unwrap();
    let mut body = Vec::with_capacity(len);
    // A little with every turn: in all far more time than a client may take nothing for.
    wait_until("all of it is read", || {
        body.extend(slow.exactly(16_384.min(len - body.len())));
        body.len() == len
    });
    assert!(body.ends_with(b"ee"));
    assert_eq!(dropped(&tracker, "timed_out"), 0);
    assert_eq!(slow.get("/health").status, 200);
}

#[test]
fn errors_are_counted_by_status_and_by_kind() {
    let tracker = Tracker::start(&[
        "--http.head_timeout_secs=1",
        "--scrape.unknown=omit",
        "--proxy.trusted=127.0.0.9/32",
        "--http.connections_per_address_max=1",
    ]);
    let ask = |last: u8, request: &str| {
        let mut client = tracker.http_client(Ipv4Addr::new(127, 0, 0, last));
        client.send(request.as_bytes());
        client.response().status
    };
    let long = "a".repeat(20_000);
    let cases = [
        (400, "GET nothing\r\n\r\n".to_owned()),
        (404, "GET /nothing HTTP/1.1\r\n\r\n".to_owned()),
        (405, "POST /announce HTTP/1.1\r\n\r\n".to_owned()),
        (408, "GET /health".to_owned()),
        (414, format!("GET /{long}")),
        (431, format!("GET / HTTP/1.1\r\nX: {long}")),
    ];
    for (last, (status, request)) in (10..).zip(&cases) {
        assert_eq!(ask(last, request), *status, "{request}");
    }
    let mut held = tracker.http_client(Ipv4Addr::new(127, 0, 0, 30));
    assert_eq!(held.get("/health").status, 200);
    assert_eq!(tracker.http_client(Ipv4Addr::new(127, 0, 0, 30)).response().status, 503);
    for code in [400, 404, 405, 408, 414, 431, 503] {
        let name = format!("skep_http_error_statuses_total{{family=\"ipv4\",code=\"{code}\"}}");
        assert_eq!(tracker.metric(&name), 1, "{code}");
    }
    let hash = "a".repeat(20);
    assert_eq!(ask(40, &format!("GET /scrape?info_hash={hash} HTTP/1.1\r\n\r\n")), 200);
    assert_eq!(ask(9, &format!("GET /announce?info_hash={hash} HTTP/1.1\r\n\r\n")), 200);
    for kind in ["nothing_found", "proxy_without_client"] {
        let labels = format!("transport=\"http\",family=\"ipv4\",kind=\"{kind}\"");
        assert_eq!(tracker.metric(&format!("skep_traffic_errors_total{{{labels}}}")), 1, "{kind}");
    }
}

/// Starts the program with few open files and returns it with its HTTP address, and its stderr.
fn start_with_files(files_max: u32) -> (Child, SocketAddr, BufReader<std::process::ChildStderr>) {
    let script = format!("ulimit -n {files_max}; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_skep")])
        .args(["--listen.port=0", "--listen.admin=off", "--listen.workers=2"])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let port = loop {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it said where it is");
        if let Some(addresses) = line.strip_prefix("listening on HTTP") {
            let port = addresses.trim().split([':', ',']).nth(1).unwrap();
            break port.parse().unwrap();
        }
    };
    (child, (Ipv4Addr::LOCALHOST, port).into(), stderr)
}

#[test]
fn few_open_files_turn_connections_away_instead_of_keeping_them_waiting() {
    let (mut child, http, stderr) = start_with_files(64);
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let mut client = HttpClient::connect(http);
        let _ = client.send_if_open(b"GET /health HTTP/1.1\r\n\r\n");
        match client.response().status {
            200 => held.push(client),
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(!held.is_empty() && refused > 0, "{} are held, {refused} refused", held.len());
    child.kill().unwrap();
    child.wait().unwrap();
    let said: Vec<_> = stderr.lines().map_while(Result::ok).collect();
    let count = |text: &str| said.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("hardly any HTTP client can be served"), 1, "{said:#?}");
    assert_eq!(count("cannot accept"), 0, "{said:#?}");
}
