//! Every script of `tests/scenarios`, over every transport that it is meant for.

use std::fs;
use std::path::PathBuf;

use skep_engine::testing::scenario::{OfflineTarget, Script, Transport, run};

/// Fewer scripts than this mean that somebody looked in the wrong place.
const SCRIPTS_MIN: usize = 40;
const SEEDS: [u64; 3] = [1, 42, u64::MAX];

fn scripts() -> Vec<Script> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scn"))
        .collect();
    paths.sort();
    let script = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        Script::parse(&format!("tests/scenarios/{name}"), &text)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    paths.iter().map(script).collect()
}

#[test]
fn every_script_runs_on_the_engine() {
    let scripts = scripts();
    assert!(scripts.len() >= SCRIPTS_MIN, "{} scripts", scripts.len());
    let mut problems = vec![];
    for script in &scripts {
        for transport in Transport::ALL {
            if !script.runs_on(transport) {
                continue;
            }
            for seed in SEEDS {
                let mut target = OfflineTarget::new(script, transport, seed).unwrap();
                if let Err(failure) = run(script, &mut target) {
                    problems.push(format!("{failure} ({transport:?}, seed {seed})"));
                    break;
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Runs a script that says something wrong and gives the message.
fn failure_of(text: &str) -> String {
    let script = Script::parse("wrong.scn", text).unwrap();
    let mut target = OfflineTarget::new(&script, Transport::Http, 1).unwrap();
    match run(&script, &mut target) {
        Ok(()) => panic!("passed:\n{text}"),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn wrong_expectations_fail_with_their_line() {
    let clients = "client alice 192.0.2.1:6881\nclient bob 192.0.2.2:6881\n\
                   announce alice left=5\nannounce bob left=0\n";
    for (expectation, message) in [
        ("expect seeders=2", "wrong.scn:5: expected seeders=2 leechers=any"),
        ("expect leechers=2", "wrong.scn:5: expected seeders=any leechers=2"),
        ("expect completions=1", "wrong.scn:5: expected seeders=any"),
        ("expect peers none", "wrong.scn:5: expected peers none, got peers alice"),
        ("expect peers alice bob", "wrong.scn:5: expected peers alice bob, got peers alice"),
        ("expect 2 peers of alice bob", "wrong.scn:5: expected 2 of alice bob, got peers alice"),
        ("expect 1 peer of bob", "wrong.scn:5: expected 1 of bob, got peers alice"),
        (
            "expect peers exclude alice",
            "wrong.scn:5: expected peers without alice, got peers alice",
        ),
        ("expect peers include bob", "wrong.scn:5: expected peers with bob, got peers alice"),
        ("expect failure no", "wrong.scn:5: expected failure no, got an answer"),
    ] {
        let found = failure_of(&format!("{clients}{expectation}\n"));
        assert!(found.starts_with(message), "{found}\nfor {expectation}");
    }
    let found = failure_of("client alice 192.0.2.1:0\nannounce alice left=5\n");
    assert_eq!(found, "wrong.scn:2: expected an answer, got failure invalid port");
    let found = failure_of("scrape\nexpect seeders=1\n");
    assert!(found.starts_with("wrong.scn:2: expected seeders=1"), "{found}");
}

#[test]
fn unknown_settings_are_not_passed_over() {
    let script = Script::parse("x.scn", "announce.colour = 5\nadvance 1\n").unwrap();
    let error = OfflineTarget::new(&script, Transport::Udp, 1).unwrap_err();
    assert_eq!(error, "x.scn:1: cannot set announce.colour to 5 here");
}
