//! How a tracker ends, what outlives it, and what it keeps to itself until then.
//!
//! "Within seconds" is a deadline that nothing comes near.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use skep::runtime::shutdown::Shutdown;
use skep::runtime::workers::Workers;
use skep_engine::testing::wire;

use crate::support::{self, HttpClient, Process, UdpClient, announce, metric, torrent, wait_until};

#[test]
fn signals_end_it_with_0_although_connections_are_open() {
    for signal in ["TERM", "INT"] {
        let mut tracker = Process::start(&[]);
        let http = tracker.http();
        let mut kept: Vec<_> = (0..20).map(|_| HttpClient::connect(http)).collect();
        for client in &mut kept {
            client.announce(&announce(torrent(1), 6881, 1)).unwrap();
        }
        // It is given a moment, and no more than that.
        let mut half_open = HttpClient::connect(http);
        if signal == "INT" {
            half_open.send(b"GET /announce");
        }
        let operator = HttpClient::connect(tracker.admin()).get("/metrics");
        assert_eq!(operator.status, 200);
        tracker.signal(signal);
        let (code, said) = tracker.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("SIG{signal}: stopping")), "{said}");
        for client in &mut kept {
            assert_eq!(client.rest(), b"", "the connection was ended, and nothing else");
        }
    }
}

#[test]
fn request_under_way_is_answered_before_the_end() {
    let mut tracker = Process::start(&["--http.head_timeout_secs=60"]);
    let mut late = HttpClient::connect(tracker.http());
    let head =
        format!("GET {} HTTP/1.1\r\n\r\n", wire::http_announce(&announce(torrent(1), 6881, 1)));
    let (first, last) = head.split_at(40);
    late.send(first.as_bytes());
    // So many connections come to every worker; what came before them is read before them.
    for _ in 0..32 {
        HttpClient::connect(tracker.http()).get("/health");
    }
    tracker.signal("TERM");
    tracker.wait_for("SIGTERM: stopping");
    late.send(last.as_bytes());
    let answer = late.response();
    wire::read_http_announce(answer.ok()).unwrap();
    assert_eq!(late.rest(), b"");
    assert_eq!(tracker.end().0, Some(0));
}

#[test]
fn hangup_reads_the_configuration_and_the_lists_again() {
    let folder = support::folder();
    let (config, list) = (folder.path().join("skep.toml"), folder.path().join("denied.txt"));
    let configure = |interval_secs: u32| {
        let list = list.display();
        let interval = format!("interval_secs = {interval_secs}\ninterval_jitter_percent = 0\n");
        let text = format!(
            "[announce]\n{interval}[access]\npoll_secs = 3600\ntorrents_deny_file = '{list}'\n"
        );
        fs::write(&config, text).unwrap();
    };
    fs::write(&list, "").unwrap();
    configure(1000);
    let mut tracker = Process::start(&["--config", config.to_str().unwrap()]);
    let udp = tracker.udp();
    let mut client = UdpClient::new(udp.ip(), udp);
    let request = announce(torrent(1), 6881, 1);
    let mut interval = || -> Result<u32, String> {
        let id = client.connect();
        let reply =
            client.exchange(&wire::udp_announce(id, skep_proto::TransactionId([9; 4]), &request));
        wire::read_udp_announce(&reply, false)?;
        Ok(u32::from_be_bytes([reply[8], reply[9], reply[10], reply[11]]))
    };
    assert_eq!(interval(), Ok(1000));
    configure(2000);
    tracker.signal("HUP");
    tracker.wait_for("reloaded");
    assert_eq!(interval(), Ok(2000));
    fs::write(&list, format!("{}\n", torrent(1))).unwrap();
    tracker.signal("HUP");
    tracker.wait_for("reloaded");
    assert_eq!(interval(), Err("Unregistered torrent".into()));
    // What cannot be read leaves in force what was in force.
    fs::write(&config, "[announce]\ninterval_secs = 5\n").unwrap();
    tracker.signal("HUP");
    tracker.wait_for("announce.interval_secs");
    assert_eq!(interval(), Err("Unregistered torrent".into()));
    tracker.signal("TERM");
    assert_eq!(tracker.end().0, Some(0));
}

#[test]
fn log_level_follows_the_configuration() {
    let folder = support::folder();
    let (config, list) = (folder.path().join("skep.toml"), folder.path().join("denied.txt"));
    let configure = |level: &str, denied: &str| {
        let file = list.display();
        let access = format!("[access]\npoll_secs = 3600\ntorrents_deny_file = '{file}'\n");
        fs::write(&list, denied).unwrap();
        fs::write(&config, format!("log.level = \"{level}\"\n{access}")).unwrap();
    };
    configure("error", "");
    let mut tracker = Process::start(&["--config", config.to_str().unwrap()]);
    configure("info", "");
    tracker.signal("HUP");
    tracker.wait_for("reloaded");
    configure("error", &torrent(1).to_string());
    tracker.signal("HUP");
    // The end of this one is no longer logged; it shows in the metrics.
    let admin = tracker.admin();
    wait_until("the list is read again", || {
        let metrics = HttpClient::connect(admin).get("/metrics");
        metric(metrics.text(), "skep_access_torrents{list=\"denied\"}") == 1
    });
    tracker.signal("TERM");
    let (code, said) = tracker.end();
    assert_eq!(code, Some(0));
    assert!(!said.contains("SIGTERM"), "{said}");
}

/// Whether a tracker serves HTTP there by now.
fn answers(http: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(http)?;
        stream.set_read_timeout(Some(support::DEADLINE))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

#[test]
fn stderr_that_nobody_reads_ends_nothing() {
    let folder = support::folder();
    let list = folder.path().join("torrents.txt");
    // A warning at the start, beside the banner.
    fs::write(&list, "no hash\n").unwrap();
    let start = |port: u16| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
            .arg(format!("--listen.port={port}"))
            .arg(format!("--access.torrents_deny_file={}", list.display()))
            .args(["--listen.admin=off", "--log.level=debug"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        child
    };
    // It cannot tell which port it got, so it is given one that no system hands out by itself.
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let (mut child, http) = (first..first + 10)
        .find_map(|port| {
            let (mut child, http) = (start(port), SocketAddr::from(([127, 0, 0, 1], port)));
            let mut ended = None;
            wait_until("it listens or ends", || {
                ended = child.try_wait().unwrap();
                ended.is_some() || answers(http)
            });
            match ended {
                None => Some((child, http)),
                // Somebody else has the port.
                Some(status) => {
                    assert_eq!(status.code(), Some(1));
                    None
                }
            }
        })
        .expect("one of the ports is free");
    let signal = |name: &str| {
        let command = format!("kill -{name} {}", child.id());
        let sent = Command::new("sh").args(["-c", &command]).status();
        assert!(sent.unwrap().success());
    };
    let request = announce(torrent(1), 6881, 1);
    HttpClient::connect(http).announce(&request).unwrap();
    signal("HUP");
    HttpClient::connect(http).announce(&request).unwrap();
    signal("TERM");
    wait_until("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn worker_that_ends_by_itself_is_reported() {
    type Run = fn() -> io::Result<()>;
    let deaths: [(Run, &str); 2] = [
        (|| Ok(()), "worker skep-udp-7 ended: it stopped by itself"),
        (|| Err(io::Error::other("no such device")), "worker skep-udp-7 ended: no such device"),
    ];
    for (run, expected) in deaths {
        let shutdown = Shutdown::default();
        let mut workers = Workers::new(shutdown.clone());
        workers
            .spawn("skep-http-0".into(), move || {
                while !shutdown.wait_timeout(support::DEADLINE) {}
                Ok(())
            })
            .unwrap();
        assert!(workers.watch(Duration::ZERO).is_ok());
        workers.spawn("skep-udp-7".into(), run).unwrap();
        let died = workers.watch(support::DEADLINE).unwrap_err();
        assert_eq!(died.to_string(), expected);
        workers.stop().unwrap();
    }
}

#[test]
fn workers_that_end_because_they_should_are_not_dead() {
    let shutdown = Shutdown::default();
    let mut workers = Workers::new(shutdown.clone());
    for number in 0..4 {
        let shutdown = shutdown.clone();
        let run = move || {
            while !shutdown.wait_timeout(support::DEADLINE) {}
            Ok(())
        };
        workers.spawn(format!("skep-udp-{number}"), run).unwrap();
    }
    workers.stop().unwrap();
}

#[test]
fn connection_ids_survive_a_restart_with_the_same_secret() {
    let start = |secret: &str| Process::start(&[&format!("--listen.secret={secret}")]);
    let client = |tracker: &mut Process| {
        let udp = tracker.udp();
        UdpClient::new(udp.ip(), udp)
    };
    let request = announce(torrent(1), 6881, 1);
    let mut before = start("a secret of some length");
    let id = client(&mut before).connect();
    before.signal("TERM");
    assert_eq!(before.end().0, Some(0));
    let mut after = start("a secret of some length");
    client(&mut after).announce_with(id, &request).unwrap();
    let mut other = start("another secret");
    let mut stranger = client(&mut other);
    stranger.send(&wire::udp_announce(id, skep_proto::TransactionId([1; 4]), &request));
    stranger.expect_silence("an id of another secret");
}

#[test]
fn secret_is_told_to_nobody() {
    const SECRET: &str = "Zq7xKw93hunter2";
    let folder = support::folder();
    let config = folder.path().join("skep.toml");
    fs::write(&config, format!("listen.secret = \"{SECRET}\"\nlog.level = \"debug\"\n")).unwrap();
    let flag = format!("--listen.secret={SECRET}");
    let config = config.to_str().unwrap();
    let sources = [
        (vec![flag.as_str(), "--log.level=debug"], vec![]),
        (vec!["--log.level=debug"], vec![("PICO_TRACKER__SECRET", SECRET)]),
        (vec!["--config", config], vec![]),
    ];
    for (arguments, environment) in sources {
        let mut tracker = Process::start_with(&arguments, &environment);
        let (udp, http, admin) = (tracker.udp(), tracker.http(), tracker.admin());
        let request = announce(torrent(1), 6881, 1);
        UdpClient::new(udp.ip(), udp).announce(&request).unwrap();
        HttpClient::connect(http).announce(&request).unwrap();
        for (address, target) in [
            (admin, "/metrics"),
            (admin, "/"),
            (admin, "/nothing"),
            (http, "/"),
            (http, "/stats"),
            (http, "/stats.json"),
            (http, "/nothing"),
        ] {
            let answer = HttpClient::connect(address).get(target);
            assert!(!answer.text().contains(SECRET), "{target}");
        }
        tracker.signal("HUP");
        tracker.wait_for("reload");
        tracker.signal("TERM");
        let (code, said) = tracker.end();
        assert_eq!(code, Some(0));
        assert!(!said.contains(SECRET), "{said}");
    }
}
