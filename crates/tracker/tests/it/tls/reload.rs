//! Another certificate while the tracker runs, and files that are none.
//!
//! What keeps a tracker from starting is tested beside this.

use std::fs;

use super::{Files, TlsClient, client_config, https, start};
use crate::support::{Process, Tracker, folder};

fn reload_success(tracker: &Tracker) -> u64 {
    tracker.metric("skep_tls_reload_success")
}

#[test]
fn new_certificate_is_for_new_connections_and_closes_none() {
    let folder = folder();
    let [first, second, third, used] =
        ["first", "second", "third", "used"].map(|name| Files::make(folder.path(), name));
    first.replace(&used);
    let tracker = start(&used, &[]);
    let config = client_config(&[&first, &second, &third]);
    let connect = || {
        // Without what an earlier connection left, a certificate is shown.
        let mut fresh = (*config).clone();
        fresh.resumption = rustls::client::Resumption::disabled();
        let mut client = TlsClient::connect(&fresh.into(), https(&tracker));
        assert_eq!(client.get("/health"), "ok");
        client
    };
    let mut kept = connect();
    assert_eq!(kept.server_certificate(), first.certificate());

    second.replace(&used);
    tracker.running().poll_lists();
    assert_eq!(connect().server_certificate(), second.certificate());
    third.replace(&used);
    tracker.running().reload();
    assert_eq!(connect().server_certificate(), third.certificate());
    assert_eq!(kept.get("/health"), "ok");
    assert_eq!(reload_success(&tracker), 1);
}

#[test]
fn files_that_do_not_fit_leave_the_old_ones_in_force_until_they_do() {
    let folder = folder();
    let [first, second, used] =
        ["first", "second", "used"].map(|name| Files::make(folder.path(), name));
    first.replace(&used);
    let tracker = start(&used, &[]);
    let config = client_config(&[&first]);
    let expiry = tracker.metric("skep_tls_certificate_expiry_time_seconds");
    assert!(expiry > 1_700_000_000);

    let broken: [&dyn Fn(); 4] = [
        &|| assert!(fs::copy(&second.certificate, &used.certificate).is_ok()),
        &|| fs::write(&used.certificate, "no certificate\n").unwrap(),
        &|| fs::remove_file(&used.key).unwrap(),
        &|| fs::remove_file(&used.certificate).unwrap(),
    ];
    for (number, change) in broken.iter().enumerate() {
        change();
        match number % 2 {
            0 => tracker.running().poll_lists(),
            _ => tracker.running().reload(),
        }
        assert_eq!(reload_success(&tracker), 0, "{number}");
        assert_eq!(TlsClient::connect(&config, https(&tracker)).get("/health"), "ok");
        assert_eq!(tracker.metric("skep_tls_certificate_expiry_time_seconds"), expiry);
    }
    // Nobody has to ask again.
    second.replace(&used);
    tracker.running().poll_lists();
    assert_eq!(reload_success(&tracker), 1);
    let config = client_config(&[&second]);
    assert_eq!(TlsClient::connect(&config, https(&tracker)).get("/health"), "ok");
}

#[test]
fn signal_to_reload_reads_the_certificate_and_errors_show_no_key() {
    let folder = folder();
    let [first, second, used] =
        ["first", "second", "used"].map(|name| Files::make(folder.path(), name));
    first.replace(&used);
    let [certificate, key] = used.settings();
    let mut tracker = Process::start(&["--listen.https=127.0.0.1:0", &certificate, &key]);
    let address = tracker.banner("listening on HTTPS")[0];
    fs::copy(&second.key, &used.key).unwrap();
    tracker.signal("HUP");
    let line = tracker.wait_for("the certificate is not reloaded");
    assert!(line.contains("tls.key") && line.contains("must be the key of"), "{line}");
    fs::copy(&second.certificate, &used.certificate).unwrap();
    tracker.signal("HUP");
    tracker.wait_for("the certificate is reloaded");
    let mut client = TlsClient::connect(&client_config(&[&second]), address);
    assert_eq!(client.get("/health"), "ok");
    tracker.signal("TERM");
    let (code, said) = tracker.end();
    assert_eq!(code, Some(0), "{said}");
    for files in [&first, &second] {
        let key = fs::read_to_string(&files.key).unwrap();
        assert!(key.lines().all(|line| !said.contains(line)), "{said}");
    }
}
