//! Which page a target names, where its query begins, and the passkey in it.
//!
//! Queries are not decoded here.

use std::format;

use crate::http::*;

fn announce(passkey: &str) -> Route<'_> {
    Route::Announce { passkey: Passkey::new(passkey.as_bytes()) }
}

fn scrape(passkey: &str) -> Route<'_> {
    Route::Scrape { passkey: Passkey::new(passkey.as_bytes()) }
}

#[test]
fn every_path_names_its_page() {
    for (path, route) in [
        ("/announce", announce("")),
        ("/announce/", announce("")),
        ("/announce.php", announce("")),
        ("//announce", announce("")),
        ("/scrape", scrape("")),
        ("/scrape.php", scrape("")),
        ("/abc/announce", announce("abc")),
        ("/abc/announce.php", announce("abc")),
        ("/announce/abc", announce("abc")),
        ("/announce/abc/", announce("abc")),
        ("/users/abc/announce", announce("abc")),
        ("/abc/scrape", scrape("abc")),
        ("/scrape/abc", scrape("abc")),
        ("/users/abc/scrape", scrape("abc")),
        ("/stats", Route::Stats),
        ("/stats.json", Route::StatsJson),
        ("/health", Route::Health),
        ("/", Route::Home),
        ("", Route::Home),
        ("/foo", Route::Unknown),
        ("/Announce", Route::Unknown),
        ("/announcer", Route::Unknown),
        ("/others/abc/announce", Route::Unknown),
        ("/users/abc/def/announce", Route::Unknown),
        ("/abc/stats", Route::Unknown),
    ] {
        assert_eq!(Target::parse(path.as_bytes()).route, route, "{path}");
        let with_query = format!("{path}?a=/scrape?b");
        let target = Target::parse(with_query.as_bytes());
        assert_eq!((target.route, target.query), (route, &b"a=/scrape?b"[..]), "{path}");
        let absolute = format!("HTTP://t.example:80{path}");
        assert_eq!(Target::parse(absolute.as_bytes()).route, route, "{absolute}");
    }
    assert_eq!(Target::parse(b"*").route, Route::Unknown);
    assert_eq!(Target::parse(b"https://t.example?x").query, b"x");
}

#[test]
fn targets_glued_together_wrongly_still_work() {
    for (target, query) in [
        (&b"/announce&info_hash=x&port=1"[..], &b"info_hash=x&port=1"[..]),
        (b"/announce&port=1&info_hash=x", b"port=1&info_hash=x"),
        (b"/announce ?info_hash=x", b"info_hash=x"),
    ] {
        let target = Target::parse(target);
        assert_eq!((target.route, target.query), (announce(""), query));
    }
    assert_eq!(Target::parse(b"/announce&port=1").route, Route::Unknown);
}

#[test]
fn the_passkey_of_the_path_goes_before_the_one_of_the_query() {
    let passkey = |target: &'static str| {
        Target::parse(target.as_bytes()).passkey().map(|passkey| passkey.as_bytes())
    };
    assert_eq!(passkey("/abc/announce?passkey=def"), Some(&b"abc"[..]));
    assert_eq!(passkey("/announce?x=1&passkey=def"), Some(&b"def"[..]));
    assert_eq!(passkey("/scrape?pid=def"), Some(&b"def"[..]));
    assert_eq!(passkey("/announce?authkey=old&authkey=new"), Some(&b"new"[..]));
    assert_eq!(passkey("/announce?passkey="), None);
    assert_eq!(passkey("/announce"), None);
}

#[test]
fn a_passkey_is_not_printed() {
    let target = Target::parse(b"/secret/announce");
    assert!(!format!("{:?}", target.route).contains("secret"));
}
