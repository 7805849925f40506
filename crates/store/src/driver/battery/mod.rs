//! The battery: what every storage must do, as tests that a driver runs with one line.
//!
//! ```ignore
//! skep_store::battery!({
//!     let folder = tempfile::tempdir().unwrap();
//!     Subject::new(move || MyDriver.open(&settings_for(folder.path())).unwrap())
//! });
//! ```
//!
//! The expression makes a new and empty storage each time it is evaluated, once for each test. What
//! [`Subject::open`] returns later on is the same storage, opened again. A driver whose writes can be
//! made to break off half-way tells how with [`Subject::breaking`] and runs
//! `battery!(breaking: ..)`, which has more tests. The crate needs the feature `testing` as a
//! development dependency and none of the drivers.
//!
//! Knows no driver, and asks nothing that is not written at [`Conn`](super::Conn).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod order;
mod records;
mod sessions;
mod sums;

use std::collections::BTreeMap;
use std::net::IpAddr;

use skep_engine::ledger::{Delta, Family, SessionState, Spent, Traffic};
use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, Torrent, TorrentId, User, UserId,
};
use skep_proto::{InfoHash, PeerId};

use super::{Batch, Conn, Record};

pub use self::order::*;
pub use self::records::*;
pub use self::sessions::*;
pub use self::sums::*;

/// A storage under test.
pub struct Subject {
    open: Box<dyn Fn() -> Box<dyn Conn> + Send + Sync>,
    break_off: Option<Box<dyn Fn(bool) + Send + Sync>>,
}

impl Subject {
    /// A storage that is empty now and is opened so.
    pub fn new(open: impl Fn() -> Box<dyn Conn> + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), break_off: None }
    }

    /// Says how to make every write fail after a part of it is done, and how to let it work again.
    #[must_use]
    pub fn breaking(self, break_off: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self { break_off: Some(Box::new(break_off)), ..self }
    }

    /// Opens it: for the first time, or again.
    #[must_use]
    pub fn open(&self) -> Box<dyn Conn> {
        (self.open)()
    }

    fn break_off(&self, on: bool) {
        let break_off = self.break_off.as_ref();
        break_off.expect("a subject that breaks off says how: see Subject::breaking")(on);
    }
}

/// A test of the battery.
pub type Test = fn(&Subject);

/// Calls a macro with the tests for every storage.
#[doc(hidden)]
#[macro_export]
macro_rules! battery_for_all {
    ($then:ident $($given:tt)*) => {
        $crate::$then! {
            $($given)*
            every_record_comes_back
            a_put_replaces_the_whole_record
            removed_records_are_gone
            texts_are_kept_letter_by_letter
            the_greatest_numbers_are_kept
            the_passkey_of_another_user_is_refused
            the_info_hash_of_another_torrent_is_refused
            what_was_given_up_can_be_given_to_another
            users_may_have_no_passkey
            changes_are_written_in_their_order
            users_of_a_removed_group_are_in_none
            no_changes_change_nothing
            ten_thousand_records_load
            sums_are_added_up
            held_traffic_is_kept_apart
            sums_never_wrap
            nobody_has_no_sums
            sums_need_no_record_and_outlive_it
            budgets_are_spent
            an_amended_factor_keeps_what_is_left
            ten_thousand_deltas_add_up
            a_batch_that_was_applied_is_refused
            the_position_is_known_when_opened_again
            an_empty_batch_adds_nothing
            the_first_batch_may_begin_anywhere
            journals_know_nothing_of_each_other
            a_batch_that_comes_twice_at_once_is_applied_once
            threads_do_not_disturb_each_other
            sessions_come_back
            the_last_state_of_a_session_counts
            sessions_of_another_journal_are_not_touched
            sessions_come_latest_first
            sessions_go_on
            only_old_sessions_are_forgotten
        }
    };
}

/// Calls a macro with the tests for storages whose writes can be made to break off.
#[doc(hidden)]
#[macro_export]
macro_rules! battery_for_breaking {
    ($then:ident $($given:tt)*) => {
        $crate::$then! {
            $($given)*
            a_batch_that_breaks_off_leaves_nothing
            changes_that_break_off_leave_nothing
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! battery_tests {
    (($fresh:expr) $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                #[allow(unused_imports, reason = "not every expression names it")]
                use $crate::driver::battery::Subject;
                $crate::driver::battery::$name(&$fresh);
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! battery_slice {
    ($($name:ident)*) => {
        &[$((stringify!($name), $crate::driver::battery::$name as $crate::driver::battery::Test)),*]
    };
}

/// Makes the battery's tests of an expression that makes a new and empty
/// [`Subject`](crate::driver::battery::Subject).
#[macro_export]
macro_rules! battery {
    (breaking: $fresh:expr) => {
        $crate::battery_for_all! { battery_tests ($fresh) }
        $crate::battery_for_breaking! { battery_tests ($fresh) }
    };
    ($fresh:expr) => {
        $crate::battery_for_all! { battery_tests ($fresh) }
    };
}

/// The tests for every storage, by name.
pub const FOR_ALL: &[(&str, Test)] = crate::battery_for_all! { battery_slice };
/// The tests for storages whose writes can be made to break off.
pub const FOR_BREAKING: &[(&str, Test)] = crate::battery_for_breaking! { battery_slice };

/// The journal of tests that need but one.
const JOURNAL: u64 = 0xfeed_beef_dead_cafe;

/// All records of a storage.
#[derive(Debug, Default, PartialEq)]
struct Records {
    users: BTreeMap<UserId, User>,
    groups: BTreeMap<GroupId, Group>,
    torrents: BTreeMap<TorrentId, Torrent>,
    factors: BTreeMap<FactorId, Factor>,
    clients: BTreeMap<Box<str>, Client>,
    bans: BTreeMap<(IpAddr, u8), Ban>,
}

impl Records {
    fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut all = Self::default();
        for change in changes {
            let new = match change {
                Change::PutUser(user) => all.users.insert(user.id, user).is_none(),
                Change::PutGroup(group) => all.groups.insert(group.id, group).is_none(),
                Change::PutTorrent(torrent) => all.torrents.insert(torrent.id, torrent).is_none(),
                Change::PutFactor(factor) => all.factors.insert(factor.id, factor).is_none(),
                Change::PutClient(client) => {
                    all.clients.insert(client.prefix.clone(), client).is_none()
                }
                Change::PutBan(ban) => {
                    all.bans.insert((ban.address, ban.prefix_len), ban).is_none()
                }
                other => panic!("{other:?} is no record"),
            };
            assert!(new, "a record came twice");
        }
        all
    }

    fn in_storage(conn: &dyn Conn) -> Self {
        let mut changes = Vec::new();
        conn.load(&mut |change| changes.push(change)).unwrap();
        Self::of(changes)
    }

    /// The record with a passkey, which debug output does not show.
    fn passkeys(&self) -> Vec<(UserId, &str)> {
        self.users.values().map(|user| (user.id, &*user.passkey)).collect()
    }
}

/// Fails unless a storage holds these records and no others.
fn assert_holds(conn: &dyn Conn, changes: impl IntoIterator<Item = Change>) {
    let (found, expected) = (Records::in_storage(conn), Records::of(changes));
    assert_eq!(found.passkeys(), expected.passkeys());
    for (user, expected) in &expected.users {
        assert!(found.users[user] == *expected, "{user:?} differs");
    }
    assert_eq!(found, expected);
}

fn user(id: u32, passkey: &str) -> User {
    User { id: UserId(id), passkey: passkey.into(), ..User::default() }
}

fn torrent(id: u32) -> Torrent {
    let mut hash = [0x5a; 20];
    hash[..4].copy_from_slice(&id.to_be_bytes());
    Torrent { id: TorrentId(id), info_hash: InfoHash(hash), ..Torrent::default() }
}

/// A record of a user in a torrent who moved nothing.
fn record(user: u32, torrent: u32) -> Record {
    let mut peer_id = *b"-TS0001-............";
    peer_id[8..12].copy_from_slice(&user.to_be_bytes());
    let state = SessionState {
        torrent: TorrentId(torrent),
        user: UserId(user),
        peer_id: PeerId(peer_id),
        peer_key: 0,
        counters: Traffic::default(),
        corrupt_bytes: 0,
        family: Family::Ipv4,
        seeds: false,
        open: true,
        pass_counted: false,
    };
    Record::of_session(state, 1_700_000_000, "192.0.2.1:6881".parse().ok())
}

/// The same record with other facts.
fn with(record: Record, set: impl FnOnce(&mut Delta)) -> Record {
    let mut record = record;
    set(&mut record.delta);
    record
}

/// A record of a user who uploaded so many bytes, which count once.
fn uploaded(user: u32, torrent: u32, bytes: u64) -> Record {
    with(record(user, torrent), |delta| {
        delta.raw.uploaded_bytes = bytes;
        delta.credited.uploaded_bytes = bytes;
    })
}

/// What was taken from the budget of a factor.
fn taken(factor: u32, bytes: u64) -> Spent {
    Spent { rule: factor, bytes, ..Spent::default() }
}

fn batch(from: u64, records: impl Into<Vec<Record>>) -> Batch {
    Batch::new(JOURNAL, from, records.into())
}

#[cfg(test)]
mod tests;
