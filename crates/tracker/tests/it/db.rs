//! `skep db`: what it prints, what it changes, and the exit status.
//!
//! What each driver makes of it is tested with the driver.

use std::process::{Command, Output};

use tempfile::TempDir;

fn db(folder: &TempDir, args: &[&str]) -> (Option<i32>, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_skep"));
    process.arg("db").args(args).current_dir(folder.path()).env_clear();
    let Output { status, stdout, stderr } = process.output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code(), text)
}

#[test]
fn tables_are_made_and_then_up_to_date() {
    let folder = TempDir::new().unwrap();
    let (code, text) = db(&folder, &["status", "--driver=sqlite"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("schema   0 of 1, run skep db migrate"), "{text}");
    assert!(!folder.path().join("skep-data/skep.db").exists(), "looking made the file");

    let (code, text) = db(&folder, &["migrate", "--driver=sqlite"]);
    assert_eq!((code, text.contains("schema 0 is now 1")), (Some(0), true), "{text}");
    let (code, text) = db(&folder, &["migrate", "--driver=sqlite"]);
    assert_eq!((code, text.contains("up to date")), (Some(0), true), "{text}");

    let (code, text) = db(&folder, &["status", "--driver=sqlite"]);
    assert_eq!(code, Some(0), "{text}");
    for line in ["driver   sqlite", "skep.db", "schema   1 of 1, up to date", "0 skep_users"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn nothing_secret_of_a_url_is_printed() {
    let folder = TempDir::new().unwrap();
    let url = "https://TOKEN-1:TOKEN-2@site.example:8443/hooks/TOKEN-3?key=TOKEN-4";
    let bad = "https://TOKEN-1@site.example/a b/TOKEN-3";
    for (command, url, is_fine) in [
        ("migrate", url, true),
        ("status", url, true),
        ("migrate", bad, false),
        ("migrate", "ftp://TOKEN-1@site.example/", false),
    ] {
        let url = format!("--storage.url={url}");
        let (code, text) = db(&folder, &[command, "--driver=webhook", &url]);
        assert_eq!(code == Some(0), is_fine, "{text}");
        assert!(!text.contains("TOKEN-"), "{text}");
        assert_eq!(text.contains("https://site.example:8443, "), is_fine, "{text}");
    }
}

#[test]
fn the_journal_is_told_with_what_is_not_applied() {
    let folder = TempDir::new().unwrap();
    db(&folder, &["migrate", "--driver=sqlite"]);
    let settings = skep_store::JournalSettings::new(folder.path().join("skep-data/journal"), 0xab);
    let journal = skep_store::Journal::open(&settings).unwrap();
    for _ in 0..3 {
        journal.append_durable(b"record").unwrap();
    }
    // The journal is open: whoever looks takes no lock.
    let (code, text) = db(&folder, &["status", "--driver=sqlite"]);
    assert_eq!(code, Some(0), "{text}");
    let line = "3 of journal 00000000000000ab, of which none was applied";
    assert!(text.contains(line), "{text}");
}

#[test]
fn the_sql_can_be_read_before_it_is_run() {
    let folder = TempDir::new().unwrap();
    let (code, text) = db(&folder, &["schema", "--driver", "sqlite"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("CREATE TABLE skep_users"), "{text}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "something was made");
}

#[test]
fn tables_are_made_by_hand_where_a_start_must_not_make_them() {
    let folder = TempDir::new().unwrap();
    let by_hand = "--storage.migrate=false";
    let (code, text) = db(&folder, &["status", "--driver=sqlite", by_hand]);
    assert_eq!((code, text.contains("0 of 1, run skep db migrate")), (Some(1), true), "{text}");
    let (code, text) = db(&folder, &["migrate", "--driver=sqlite", by_hand]);
    assert_eq!((code, text.contains("schema 0 is now 1")), (Some(0), true), "{text}");
    let (code, text) = db(&folder, &["status", "--driver=sqlite", by_hand]);
    assert_eq!((code, text.contains("1 of 1, up to date")), (Some(0), true), "{text}");

    let (_, sql) = db(&folder, &["schema", "--driver=sqlite"]);
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch(&sql).unwrap();
    let (code, text) =
        db(&folder, &["status", "--driver=sqlite", by_hand, "--storage.url=../other.db"]);
    assert_eq!((code, text.contains("1 of 1, up to date")), (Some(0), true), "{text}");
}

#[test]
fn what_cannot_be_done_is_told_and_no_success() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "not a folder").unwrap();
    for (args, expected) in [
        (&["status"][..], "storage.driver is none"),
        (&["status", "--driver=oracle"], "there is no such driver"),
        (&["schema", "--driver=none"], "storage.driver is none"),
        (&["migrate", "--driver=sqlite", "--storage.data_dir=file"], "cannot make"),
    ] {
        let (code, text) = db(&folder, args);
        assert_eq!(code, Some(1), "{args:?}: {text}");
        assert!(text.contains(expected), "{args:?}: {text}");
    }
}
