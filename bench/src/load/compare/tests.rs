//! What comparisons are made of: names, parts and their order, without starting a tracker.

use super::*;

#[test]
fn tracker_needs_a_name_and_a_command() {
    let tracker = Tracker::parse("skep=skep --listen.port={port}", Part::All).unwrap();
    assert_eq!(tracker.name, "skep");
    assert_eq!(tracker.command, "skep --listen.port={port}");
    assert_eq!(Tracker::parse("a@17=b", Part::Http).unwrap().port, Some(17));
    assert!(Tracker::parse("skep", Part::All).is_err());
    assert!(Tracker::parse("a@b=c", Part::All).is_err());
}

fn comparison() -> Comparison {
    Comparison {
        trackers: vec![Tracker::parse("a=b", Part::All).unwrap()],
        smoke: false,
        only: Vec::new(),
        rounds: 1,
        secs: 0.0,
        shrink: 1,
        quiet_secs_max: Cell::new(0.0),
        port: Cell::new(0),
        cores: vec![0],
    }
}

#[test]
fn unknown_name_is_told_the_known_ones() {
    let only = vec!["sweep".to_owned(), "swep".to_owned()];
    let comparison = Comparison { only, ..comparison() };
    assert!(comparison.wants("sweep") && !comparison.wants("large"));
    let error = comparison.run().unwrap_err().to_string();
    assert!(error.contains("\"swep\"") && error.contains("sweep, scaling"), "{error}");
}

#[test]
fn others_are_held_against_a_tracker_and_not_against_a_floor() {
    let mut comparison = comparison();
    comparison.trackers = [("null responder", Part::WsFloor), ("skep", Part::Ws)]
        .map(|(name, part)| Tracker::parse(&format!("{name}=b"), part).unwrap())
        .into();
    let scenario = FULL.iter().find(|scenario| scenario.protocol() == Protocol::Ws).unwrap();
    let names: Vec<_> = comparison.taking_part(scenario).iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["skep", "null responder"]);
}

#[test]
fn names_are_told_apart() {
    let mut all = names();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn every_kind_of_tracker_has_a_scenario_or_a_fill() {
    let parts =
        [Part::All, Part::Udp, Part::Http, Part::Https, Part::Ws, Part::Small, Part::Memory];
    for part in parts {
        let tracker = Tracker::parse("a=b", part).unwrap();
        let measured = FULL.iter().any(|scenario| tracker.takes_part(scenario));
        assert!(measured || tracker.is_measured_for_memory());
    }
}
