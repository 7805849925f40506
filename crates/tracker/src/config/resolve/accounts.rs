//! Rules of the storage, the journal and accounts, and the values that follow from the mode.
//!
//! Which drivers there are is known to the storage.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Settings;
use crate::config::model::{Accounts, Journal, Storage};
use crate::config::words::Mode;

const DRIVER: &str = "storage.driver";
const DATA_DIR: &str = "storage.data_dir";
const NAMES: &str = "storage.names";
const POLL: &str = "storage.poll_secs";
const SEGMENT: &str = "journal.segment_bytes";
const SIZE_MAX: &str = "journal.size_max_bytes";

/// The driver that needs nothing to be installed.
const DRIVER_DEFAULT: &str = "sqlite";
const DRIVER_NONE: &str = "none";

/// How often tables are looked at that others write to.
const FOREIGN_POLL_SECS: u32 = 60;

impl Settings {
    pub(super) fn follow_storage(&mut self) {
        if self.is_default(POLL) && !self.boolean("storage.migrate") {
            self.give(POLL, FOREIGN_POLL_SECS);
        }
    }

    pub(super) fn check_storage(&mut self) {
        for name in self.texts(NAMES) {
            if name_and_meaning(&name).is_none() {
                let message =
                    format!("{name} does not fit: must be as in users.passkey=torrent_pass");
                self.refuse(NAMES, message);
            }
        }
        if self.text(DATA_DIR).is_empty() {
            self.refuse(DATA_DIR, "must name a folder");
        }
        // Of the newest file nothing can be given back.
        let (segment, size_max) = (self.long(SEGMENT), self.long(SIZE_MAX));
        if self.are_sound(&[SEGMENT, SIZE_MAX]) && size_max != 0 && size_max < 2 * segment {
            let message = format!("must be 0 or at least twice {}", self.described(SEGMENT));
            self.refuse(SIZE_MAX, message);
        }
        if self.are_sound(&["mode"]) && self.has_users() && self.text(DRIVER) == DRIVER_NONE {
            let message = format!("must not be none with {}", self.described("mode"));
            self.refuse(DRIVER, message);
        }
    }

    fn has_users(&self) -> bool {
        self.word::<Mode>("mode") == Mode::Private
    }

    /// The driver, also where nobody names one.
    fn driver(&self) -> String {
        let named = self.text(DRIVER);
        if !named.is_empty() {
            return named;
        }
        let wanted = match self.word::<Mode>("mode") {
            Mode::Public => false,
            Mode::Private => true,
            Mode::Registered => {
                self.is_section_set("storage") || self.path("access.torrents_file").is_none()
            }
        };
        if wanted { DRIVER_DEFAULT } else { DRIVER_NONE }.to_owned()
    }

    pub(super) fn storage(&self) -> Storage {
        let names = self.texts(NAMES);
        let names = names.iter().filter_map(|name| name_and_meaning(name));
        Storage {
            driver: self.driver(),
            url: self.secret_at("storage.url"),
            data_dir: PathBuf::from(self.text(DATA_DIR)),
            names: names.collect::<BTreeMap<_, _>>(),
            migrate: self.boolean("storage.migrate"),
            poll_secs: self.integer(POLL),
        }
    }

    pub(super) fn journal(&self) -> Journal {
        Journal {
            commit_interval_ms: self.integer("journal.commit_interval_ms"),
            durable_events: self.boolean("journal.durable_events"),
            queue_max_bytes: self.long("journal.queue_max_bytes"),
            segment_bytes: self.long(SEGMENT),
            size_max_bytes: self.long(SIZE_MAX),
            batch_records_max: self.integer("journal.batch_records_max"),
            skip_until: self.long("journal.skip_until"),
        }
    }

    pub(super) fn accounts(&self) -> Accounts {
        let gap_max_secs = match self.integer("accounts.gap_max_secs") {
            0 => self.announce().interval_longest_secs() * 2,
            secs => secs,
        };
        Accounts {
            first_announce: self.word("accounts.first_announce"),
            baseline_ttl_secs: self.integer("accounts.baseline_ttl_secs"),
            duplicate_secs: self.integer("accounts.duplicate_secs"),
            gap_max_secs,
            line_bytes_per_sec_max: self.long("accounts.line_bytes_per_sec_max"),
            sessions_max: self.integer("accounts.sessions_max"),
            parallel_time: self.word("accounts.parallel_time"),
            combine: self.word("accounts.combine"),
        }
    }
}

/// The driver's name for a table or column, and the site's.
fn name_and_meaning(text: &str) -> Option<(String, String)> {
    let (name, meaning) = text.split_once('=')?;
    let (name, meaning) = (name.trim(), meaning.trim());
    (!name.is_empty() && !meaning.is_empty()).then(|| (name.to_owned(), meaning.to_owned()))
}
