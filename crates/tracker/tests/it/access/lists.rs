//! Lists of torrents that are served or refused, and their changes.
//!
//! Registries with names and bans are tested beside this.

use std::fs;
use std::net::Ipv4Addr;

use skep_engine::testing::wire;

use super::{Lists, UNREGISTERED, counts};
use crate::support::{Process, Tracker, announce, torrent, wait_until};

/// Announces one leecher of a torrent over both transports; both must be told the same.
fn admitted(tracker: &Tracker, number: u8) -> Result<(), String> {
    tracker.announce_twice(&announce(torrent(number), 6881, 1)).map(drop)
}

fn refused() -> Result<(), String> {
    Err(UNREGISTERED.into())
}

#[test]
fn allow_list_serves_its_torrents_alone() {
    let lists = Lists::new();
    let upper = torrent(0xab).to_string().to_uppercase();
    let long = format!("{}{}", torrent(3), "0".repeat(24));
    let text = format!("# ours\n\n{upper} and why\n{long}\n{}\r\n", torrent(4));
    lists.write("ours", &text);
    let tracker =
        Tracker::start(&["--access.torrents=allow", &lists.flag("torrents_file", "ours")]);
    for listed in [0xab, 3, 4] {
        assert_eq!(admitted(&tracker, listed), Ok(()), "{listed}");
        assert_eq!(counts(&tracker, torrent(listed)), (0, 1), "{listed}");
    }
    assert_eq!(admitted(&tracker, 1), refused());
    assert_eq!(counts(&tracker, torrent(1)), (0, 0));
    let tally = tracker.running().store().tally();
    assert_eq!(tally.torrents, 3, "a refused announce leaves no trace");
}

#[test]
fn refusal_tells_http_clients_to_give_up() {
    let lists = Lists::new();
    lists.write("theirs", &torrent(1).to_string());
    let tracker =
        Tracker::start(&["--access.torrents=deny", &lists.flag("torrents_file", "theirs")]);
    let answer = tracker.get(&wire::http_announce(&announce(torrent(1), 6881, 1)));
    let expected = "d14:failure reason20:Unregistered torrent8:intervali1800e\
        12:min intervali1800e8:retry in5:nevere";
    assert_eq!(answer.text(), expected);
}

#[test]
fn deny_list_serves_all_others() {
    let lists = Lists::new();
    lists.write("theirs", &torrent(1).to_string());
    for flags in [
        vec!["--access.torrents=deny".into(), lists.flag("torrents_file", "theirs")],
        vec![lists.flag("torrents_deny_file", "theirs")],
    ] {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let tracker = Tracker::start(&flags);
        assert_eq!(admitted(&tracker, 1), refused());
        assert_eq!(admitted(&tracker, 2), Ok(()));
    }
}

#[test]
fn denied_torrent_of_the_allow_list_is_refused() {
    let lists = Lists::new();
    lists.write("ours", &format!("{}\n{}\n", torrent(1), torrent(2)));
    lists.write("theirs", &format!("{}\n", torrent(2)));
    let tracker = Tracker::start(&[
        "--access.torrents=allow",
        &lists.flag("torrents_file", "ours"),
        &lists.flag("torrents_deny_file", "theirs"),
    ]);
    assert_eq!(admitted(&tracker, 1), Ok(()));
    assert_eq!(admitted(&tracker, 2), refused());
    assert_eq!(admitted(&tracker, 3), refused());
}

#[test]
fn peers_of_a_newly_denied_torrent_disappear_at_once() {
    let lists = Lists::new();
    lists.write("theirs", "");
    let tracker = Tracker::start(&[&lists.flag("torrents_deny_file", "theirs")]);
    for number in [1, 2] {
        assert_eq!(admitted(&tracker, number), Ok(()));
    }
    lists.write("theirs", &torrent(1).to_string());
    tracker.running().poll_lists();
    let tally = tracker.running().store().tally();
    assert_eq!(tally.torrents, 1, "memory holds the other torrent alone");
    assert_eq!(counts(&tracker, torrent(1)), (0, 0));
    assert_eq!(admitted(&tracker, 1), refused());
    assert_eq!(counts(&tracker, torrent(2)), (0, 1));
    // Allowed again, it begins with nothing.
    lists.write("theirs", "");
    tracker.running().poll_lists();
    assert_eq!(counts(&tracker, torrent(1)), (0, 0));
    assert_eq!(admitted(&tracker, 1), Ok(()));
}

#[test]
fn torrent_taken_off_the_allow_list_disappears_at_once() {
    let lists = Lists::new();
    lists.write("ours", &format!("{}\n{}\n", torrent(1), torrent(2)));
    let tracker =
        Tracker::start(&["--access.torrents=allow", &lists.flag("torrents_file", "ours")]);
    for number in [1, 2] {
        assert_eq!(admitted(&tracker, number), Ok(()));
    }
    lists.write("ours", &format!("{}\n", torrent(2)));
    tracker.running().reload();
    assert_eq!(tracker.running().store().tally().torrents, 1);
    assert_eq!(admitted(&tracker, 1), refused());
    assert_eq!(counts(&tracker, torrent(2)), (0, 1));
}

#[test]
fn list_that_changed_is_read_by_itself() {
    let lists = Lists::new();
    lists.write("theirs", "");
    let tracker =
        Tracker::start(&[&lists.flag("torrents_deny_file", "theirs"), "--access.poll_secs=1"]);
    assert_eq!(admitted(&tracker, 1), Ok(()));
    lists.write("theirs", &torrent(1).to_string());
    let mut client = tracker.udp_client(Ipv4Addr::LOCALHOST);
    let mut refused = || client.announce(&announce(torrent(1), 6881, 1)).is_err();
    wait_until("the torrent is refused", &mut refused);
    // Written over in place, as other operators do it.
    fs::write(lists.path("theirs"), "# nobody\n").unwrap();
    wait_until("the torrent is served again", || !refused());
}

#[test]
fn unreadable_list_leaves_the_old_one_in_force() {
    let lists = Lists::new();
    lists.write("theirs", &torrent(1).to_string());
    let tracker = Tracker::start(&[&lists.flag("torrents_deny_file", "theirs")]);
    fs::remove_file(lists.path("theirs")).unwrap();
    for again in [
        |tracker: &Tracker| tracker.running().poll_lists(),
        |tracker: &Tracker| {
            tracker.running().reload();
        },
    ] {
        again(&tracker);
        assert_eq!(admitted(&tracker, 1), refused());
        assert_eq!(tracker.metric("skep_access_reload_success"), 0);
        assert_eq!(tracker.metric("skep_access_torrents{list=\"denied\"}"), 1);
    }
    lists.write("theirs", &torrent(2).to_string());
    tracker.running().poll_lists();
    assert_eq!(admitted(&tracker, 1), Ok(()));
    assert_eq!(admitted(&tracker, 2), refused());
    assert_eq!(tracker.metric("skep_access_reload_success"), 1);
}

#[test]
fn bad_lines_are_reported_and_skipped() {
    let lists = Lists::new();
    let text = format!("{}\nnot a hash\n{}\n{}ff\n", torrent(1), torrent(2), torrent(3));
    lists.write("theirs", &text);
    let mut tracker = Process::start(&[
        &lists.flag("torrents_deny_file", "theirs"),
        "--access.poll_secs=1",
        "--log.format=json",
    ]);
    let bad = |tracker: &Process, line: u32| {
        let start = format!("line {line}: expected 40 or 64 hexadecimal digits");
        let log: Vec<_> = tracker.said.lines().filter(|said| said.contains(&start)).collect();
        assert_eq!(log.len(), 1, "{}", tracker.said);
        let log: serde_json::Value = serde_json::from_str(log[0]).unwrap();
        assert_eq!(log["level"], "WARN");
        assert_eq!(log["file"], lists.path("theirs").display().to_string());
    };
    bad(&tracker, 2);
    bad(&tracker, 4);
    let http = tracker.http();
    let mut client = crate::support::HttpClient::connect(http);
    let mut admitted = |number| client.announce(&announce(torrent(number), 6881, 1)).map(drop);
    assert_eq!(admitted(1), refused());
    assert_eq!(admitted(2), refused());
    assert_eq!(admitted(3), Ok(()));
    // The same holds for a list that is read again.
    lists.write("theirs", "# one\n# two\n# three\n# four\nzz\n");
    tracker.wait_for("line 5: expected 40 or 64 hexadecimal digits");
    tracker.wait_for("reloaded");
    assert_eq!(admitted(1), Ok(()));
}

#[test]
fn many_bad_lines_are_counted_and_not_all_logged() {
    let lists = Lists::new();
    lists.write("theirs", &"zz\n".repeat(1000));
    let mut tracker = Process::start(&[&lists.flag("torrents_deny_file", "theirs")]);
    let admin = tracker.admin();
    let metrics = crate::support::HttpClient::connect(admin).get("/metrics");
    let problems = crate::support::metric(metrics.text(), "skep_access_list_problems");
    assert_eq!(problems, 1000);
    let lines = tracker.said.lines().filter(|line| line.contains("hexadecimal digits")).count();
    assert!((1..100).contains(&lines), "{lines} lines");
    assert!(tracker.said.contains(&(1000 - lines).to_string()), "{}", tracker.said);
}
