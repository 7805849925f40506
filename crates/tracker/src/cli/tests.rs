//! What command lines mean, and what is said of those that mean nothing.
//!
//! The values of options are tested where they are loaded.

use super::*;
use crate::config::{Config, Problem, TorrentAccess};

fn os(texts: &[&str]) -> impl Iterator<Item = OsString> {
    texts.iter().map(OsString::from).collect::<Vec<_>>().into_iter()
}

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let env: Vec<_> =
        env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    match parse(os(args), &env).unwrap() {
        Command::Serve(sources) => Config::load(&sources).map(|loaded| loaded.config),
        other => panic!("{other:?}"),
    }
}

fn faults(args: &[&str]) -> Vec<String> {
    parse(os(args), &[]).unwrap_err().faults
}

#[test]
fn every_spelling_of_a_flag_sets_the_port() {
    for args in [
        &["--port=6969"][..],
        &["--port", "6969"],
        &["-port=6969"],
        &["-port", "6969"],
        &["-p", "6969"],
        &["-p=6969"],
        &["--listen.port", "6969"],
        &["-listen.port=6969"],
        &["serve", "-p", "6969"],
        &["-p", "6969", "serve"],
        &["-p", "1", "-p", "6969"],
    ] {
        assert_eq!(load(args, &[]).unwrap().listen.port, 6969, "{args:?}");
    }
}

#[test]
fn switch_takes_no_value_or_a_truth() {
    for (args, full) in [
        (&["--scrape.full"][..], true),
        (&["--scrape.full=true"], true),
        (&["--scrape.full=false"], false),
        (&["--scrape.full", "false"], false),
        (&["--scrape.full", "serve"], true),
    ] {
        assert_eq!(load(args, &[]).unwrap().scrape.full, full, "{args:?}");
    }
    assert_eq!(load(&["-debug"], &[]).unwrap().log.level.word(), "debug");
    assert_eq!(load(&["-debug=false"], &[]).unwrap().log.level.word(), "info");
    assert_eq!(faults(&["-debug=maybe"]), ["--debug takes true or false"]);
}

#[test]
fn whitelist_names_the_file_and_turns_it_on() {
    for (args, env) in [
        (&["-w", "list"][..], &[][..]),
        (&["--whitelist=list"], &[]),
        (&[], &[("PICO_TRACKER__WHITELIST", "list")]),
    ] {
        let access = load(args, env).unwrap().access;
        assert_eq!(access.torrents, TorrentAccess::Allow);
        assert_eq!(access.torrents_file.as_deref(), Some("list".as_ref()));
    }
}

#[test]
fn later_layer_wins() {
    let port = |args: &[&str], env: &[(&str, &str)]| load(args, env).unwrap().listen.port;
    let pico = ("PICO_TRACKER__PORT", "1");
    let ours = ("SKEP__LISTEN__PORT", "2");
    assert_eq!(port(&[], &[pico]), 1);
    assert_eq!(port(&[], &[ours, pico]), 2);
    assert_eq!(port(&["-p", "3"], &[pico, ours]), 3);
    assert_eq!(port(&[], &[("PICO_TRACKER__PORT", "")]), 1337);
}

#[test]
fn debug_variable_is_a_switch() {
    let level = |value| load(&[], &[("DEBUG", value)]).unwrap().log.level.word();
    for on in ["1", "true", "TRUE", "yes"] {
        assert_eq!(level(on), "debug", "{on}");
    }
    for off in ["", "0", "false", "express:*"] {
        assert_eq!(level(off), "info", "{off}");
    }
}

#[test]
fn chihayas_own_flags_are_understood() {
    assert_eq!(load(&["-maxprocs", "3"], &[]).unwrap().listen.workers, 3);
    let args = ["-profile", "cpu.prof", "-logtostderr", "check"];
    let Command::Check(sources) = parse(os(&args), &[]).unwrap() else { panic!("not check") };
    let warnings: Vec<_> = sources.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["--profile: has no effect", "--logtostderr: has no effect"]);
}

#[test]
fn all_faults_are_told_with_the_nearest_name() {
    assert_eq!(
        faults(&[
            "chek",
            "--prot=1",
            "-anounce.interval_secs",
            "60",
            "--port",
            "--debug",
            "-q",
            "-s"
        ]),
        [
            "chek is neither a command nor the value of a flag; did you mean check?",
            "unknown flag --prot; did you mean --port?",
            "unknown flag --anounce.interval_secs; did you mean --announce.interval_secs?",
            "--port needs a value",
            "unknown flag -q",
            "-s needs a value",
        ]
    );
    assert_eq!(faults(&["check", "serve"]), ["serve is a second command; one is allowed"]);
}

#[test]
fn unknown_flag_with_a_value_is_one_fault() {
    assert_eq!(faults(&["--prot", "1"]), ["unknown flag --prot; did you mean --port?"]);
    assert_eq!(faults(&["--prot", "check"]), ["unknown flag --prot; did you mean --port?"]);
    assert_eq!(faults(&["--prot", "--pord"]).len(), 2);
    assert_eq!(faults(&["--prot=1", "chek"]).len(), 2);
}

#[test]
fn db_takes_a_command_of_its_own() {
    for (word, command) in DB_COMMANDS {
        let args = ["db", "--driver=mysql", word, "--storage.url", "u"];
        let Command::Db(found, sources) = parse(os(&args), &[]).unwrap() else {
            panic!("not db {word}")
        };
        assert_eq!(found, *command);
        let storage = Config::load(&sources).unwrap().config.storage;
        assert_eq!((storage.driver.as_str(), storage.url.expose()), ("mysql", Some("u")));
    }
    assert_eq!(faults(&["db"]), ["db needs a command of its own: migrate, schema, status"]);
    assert_eq!(
        faults(&["db", "migrat", "hunter2"]),
        [
            "migrat is no command of db, which has migrate, schema, status; did you mean migrate?",
            "a stray word is no command of db, which has migrate, schema, status",
        ]
    );
    assert_eq!(faults(&["db", "status", "check"]), ["check is a second command; one is allowed"]);
}

#[test]
fn two_dashes_end_the_flags() {
    assert!(matches!(parse(os(&["--", "check"]), &[]), Ok(Command::Check(_))));
    assert_eq!(faults(&["--", "--port", "1"]).len(), 2);
    assert_eq!(faults(&["check", "--", "--help"]).len(), 1);
}

#[test]
fn stray_file_is_told_how_to_be_a_configuration() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let expected = format!("{path} is a file; a configuration is --config {path}");
    assert_eq!(faults(&["check", path]), [expected.as_str()]);
    assert_eq!(faults(&[path]), [expected.as_str()]);
}

#[test]
fn faults_never_repeat_values() {
    let text = faults(&["--listen.secrt=hunter2", "--secret", "my", "hunter2"]).join("\n");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn value_may_begin_with_a_dash() {
    let config = load(&["--access.clients_deny", "-XX", "-s", "-abc"], &[]).unwrap();
    assert_eq!(config.access.clients_deny, ["-XX"]);
    assert_eq!(config.listen.secret.expose(), Some("-abc"));
}

#[test]
fn flag_for_the_file_beats_the_variable() {
    let env = [("SKEP_CONFIG".into(), "a.toml".into())];
    for (args, file) in [
        (&[][..], Some("a.toml")),
        (&["-c", "b.toml"], Some("b.toml")),
        (&["-config=b.toml"], Some("b.toml")),
        (&["--config", "b.toml"], Some("b.toml")),
    ] {
        let Command::Serve(sources) = parse(os(args), &env).unwrap() else { panic!("{args:?}") };
        assert_eq!(sources.file(), file.map(AsRef::as_ref));
    }
}

#[test]
fn help_and_version_have_many_names() {
    for args in [["-h"], ["-help"], ["--help"], ["help"]] {
        assert!(matches!(parse(os(&args), &[]), Ok(Command::Help(_))), "{args:?}");
    }
    for args in [["-v"], ["-version"], ["--version"], ["version"]] {
        assert!(matches!(parse(os(&args), &[]), Ok(Command::Version)), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn text_that_is_not_unicode_is_a_problem_and_no_panic() {
    use std::os::unix::ffi::OsStringExt;
    let bad = |text: &[u8]| OsString::from_vec(text.to_vec());
    assert!(parse([bad(b"--\xff=1")].into_iter(), &[]).is_err());
    assert!(parse([bad(b"\xff")].into_iter(), &[]).is_err());
    let env = [
        (bad(b"\xff"), bad(b"\xff")),
        (bad(b"DEBUG"), bad(b"\xff")),
        (bad(b"SKEP__\xff"), bad(b"1")),
        (bad(b"SKEP__MODE"), bad(b"\xff")),
    ];
    let args = [bad(b"--listen.secret=\xff"), bad(b"--config"), bad(b"/no/\xff")];
    let Command::Serve(sources) = parse(args.into_iter(), &env).unwrap() else {
        panic!("not serve")
    };
    let problems: Vec<_> =
        Config::load(&sources).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 4, "{problems:?}");
}
