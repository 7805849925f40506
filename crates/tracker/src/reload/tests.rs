//! What a reload changes, and when.
//!
//! No thread and no signal takes part; those are tested with the program.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use arc_swap::ArcSwap;
use skep_proto::InfoHash;
use tempfile::TempDir;

use super::*;
use crate::cli::{self, Command};
use crate::shards::MemoryStore;

/// A reloader with a configuration file and one list of refused torrents.
struct Setup {
    folder: TempDir,
    reloader: Reloader,
}

const FIRST: InfoHash = InfoHash([1; 20]);
const SECOND: InfoHash = InfoHash([2; 20]);

impl Setup {
    fn new(settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let list = folder.path().join("denied.txt");
        fs::write(&list, FIRST.to_string()).unwrap();
        let file = folder.path().join("skep.toml");
        configure(&folder, settings);
        let args = [OsString::from("--config"), file.into()];
        let Ok(Command::Serve(sources)) = cli::parse(args.into_iter(), &[]) else {
            panic!("not a command line")
        };
        let loaded = Config::load(&sources).unwrap();
        let seed = Seed::new(1);
        let clock = Clock::start();
        let site = Arc::new(Site::new(&seed, &clock));
        let (first, _) = policy::load(&loaded.config, &seed, &site).unwrap();
        let affected = Affected {
            policy: Arc::new(ArcSwap::from_pointee(first)),
            store: Arc::new(MemoryStore::new(
                &policy::swarm_settings(&loaded.config),
                seed.clone(),
            )),
            accounts: None,
            seed,
            gauges: Arc::default(),
            site,
            clock,
            log: None,
            tokens: Arc::default(),
        };
        Self { folder, reloader: Reloader::new(loaded, None, affected) }
    }

    fn list(&self) -> PathBuf {
        self.folder.path().join("denied.txt")
    }

    /// Writes the list in a form that no step of a file system's clock can hide.
    fn deny(&self, text: &str) {
        fs::write(self.list(), text).unwrap();
    }

    fn policy(&self) -> Arc<Policy> {
        self.reloader.affected.policy.load_full()
    }

    fn serves(&self, info_hash: InfoHash) -> bool {
        self.policy().rules.serves(&info_hash)
    }

    fn interval_secs(&self) -> u32 {
        self.policy().answers.interval_secs
    }

    fn ttl_secs(&self) -> u32 {
        self.reloader.swarms.lock().settings.peer_ttl_secs
    }

    /// For how long sessions may be silent, and the longest gap that counts.
    fn ledger_secs(&self) -> (u32, u32) {
        let ledgers = &self.reloader.swarms.lock().ledgers;
        (ledgers.peer_ttl_secs, ledgers.gap_max_secs)
    }
}

fn configure(folder: &TempDir, settings: &str) {
    let list = folder.path().join("denied.txt");
    let text = format!("{settings}\n[access]\ntorrents_deny_file = '{}'\n", list.display());
    fs::write(folder.path().join("skep.toml"), text).unwrap();
}

#[test]
fn nothing_changes_when_one_part_cannot_be_read() {
    let setup = Setup::new("announce.interval_secs = 1000\nswarm.sweep_interval_secs = 50");
    fs::remove_file(setup.list()).unwrap();
    let changed = "announce.interval_secs = 2000\nswarm.sweep_interval_secs = 70\n\
                   swarm.peer_ttl_secs = 9000";
    configure(&setup.folder, changed);
    setup.reloader.reload();
    let in_force = || (setup.interval_secs(), setup.reloader.sweep_interval_secs());
    assert_eq!((in_force(), setup.ttl_secs()), ((1000, 50), 3600));
    assert!(!setup.serves(FIRST));
    // It is tried again, with all of it.
    setup.deny(&SECOND.to_string());
    setup.reloader.poll();
    assert_eq!(in_force(), (1000, 50), "somebody may still be writing");
    setup.reloader.poll();
    assert_eq!((in_force(), setup.ttl_secs()), ((2000, 70), 9000));
    assert!(setup.serves(FIRST) && !setup.serves(SECOND));
}

#[test]
fn list_that_is_being_written_is_not_read() {
    let setup = Setup::new("");
    // Opened for writing, it is empty at first.
    for half in ["", "0202", &SECOND.to_string()] {
        setup.deny(half);
        setup.reloader.poll();
        assert!(!setup.serves(FIRST), "{half:?}");
    }
    setup.reloader.poll();
    assert!(setup.serves(FIRST) && !setup.serves(SECOND));
}

#[cfg(unix)]
#[test]
fn list_that_could_not_be_read_is_tried_again_although_it_stays_as_it_is() {
    let setup = Setup::new("");
    let (aside, list) = (setup.folder.path().join("aside"), setup.list());
    fs::write(&aside, SECOND.to_string()).unwrap();
    fs::remove_file(&list).unwrap();
    // As good as a file whose owner has to change: it can be looked at and not be read.
    fs::create_dir(&list).unwrap();
    for _ in 0..3 {
        setup.reloader.poll();
        assert!(!setup.serves(FIRST), "the old list stays in force");
    }
    assert_eq!(setup.reloader.state.lock().in_force.look(), Look::Changed);
    fs::remove_dir(&list).unwrap();
    fs::rename(&aside, &list).unwrap();
    setup.reloader.poll();
    setup.reloader.poll();
    assert!(setup.serves(FIRST) && !setup.serves(SECOND));
}

#[test]
fn what_needs_a_restart_stays_as_it_was_and_is_named_every_time() {
    let setup = Setup::new("mode = \"public\"");
    let list = setup.list();
    let registered = format!("mode = \"registered\"\naccess.torrents_file = '{}'", list.display());
    let text = format!("{registered}\nannounce.interval_secs = 2000\n");
    fs::write(setup.folder.path().join("skep.toml"), text).unwrap();
    for _ in 0..2 {
        setup.reloader.reload();
        assert_eq!(setup.interval_secs(), 2000);
        assert!(setup.serves(SECOND), "the tracker is still a public one");
        let state = setup.reloader.state.lock();
        assert_eq!(state.started.reload().unwrap().1, ["mode"]);
    }
}

#[test]
fn peers_that_were_told_a_longer_interval_are_waited_for() {
    let setup = Setup::new("announce.interval_secs = 3600\nswarm.peer_ttl_secs = 7200");
    configure(&setup.folder, "announce.interval_secs = 900\nswarm.peer_ttl_secs = 1800");
    setup.reloader.reload();
    assert_eq!((setup.interval_secs(), setup.ttl_secs()), (900, 7200));
    assert_eq!(setup.ledger_secs(), (7200, 7200));
    let now = setup.reloader.affected.clock.now();
    setup.reloader.settle(now.plus(7000));
    assert_eq!(setup.ttl_secs(), 7200);
    setup.reloader.settle(now.plus(7201));
    assert_eq!(setup.ttl_secs(), 1800);
    assert_eq!(setup.ledger_secs(), (1800, 1800));
    configure(&setup.folder, "announce.interval_secs = 3600\nswarm.peer_ttl_secs = 7200");
    setup.reloader.reload();
    assert_eq!(setup.ttl_secs(), 7200, "a longer life begins at once");
    assert_eq!(setup.ledger_secs(), (7200, 7200));
}

#[test]
fn old_policy_is_kept_for_its_last_reader_and_dropped_here() {
    let setup = Setup::new("");
    let reader = setup.reloader.affected.policy.load();
    let old = Arc::downgrade(&setup.policy());
    setup.reloader.reload();
    setup.reloader.attend();
    drop(reader);
    assert!(old.upgrade().is_some(), "the reader was not the last to hold it");
    setup.reloader.attend();
    assert!(old.upgrade().is_none());
}

#[test]
fn request_is_attended_to_once() {
    let setup = Setup::new("");
    let before = setup.policy();
    setup.reloader.attend();
    assert!(Arc::ptr_eq(&before, &setup.policy()));
    setup.reloader.request();
    setup.reloader.attend();
    let after = setup.policy();
    assert!(!Arc::ptr_eq(&before, &after));
    setup.reloader.attend();
    assert!(Arc::ptr_eq(&after, &setup.policy()));
}
