//! Looks at a storage that others change, that breaks off, and that is changed meanwhile.
//!
//! Whole programs that look are tested elsewhere.

use std::sync::atomic::{AtomicU32, Ordering};

use skep_engine::Seed;
use skep_engine::gate::Membership;
use skep_engine::ledger::Sums;
use skep_engine::site::{
    Ban, Client, Factor, FactorId, Group, GroupId, Torrent, TorrentId, User, UserId,
};
use skep_proto::InfoHash;
use skep_proto::http::Passkey;
use skep_store::driver::testing::{Failing, Memory};
use skep_store::driver::{Batch, Record, Totals};

use super::*;
use crate::config::Keys;
use crate::site::{Gatekeeper, KeyRing, Poll};

type AtEnd = Box<dyn FnMut() -> Result<(), DriverError> + Send>;

/// A storage in memory where something happens at the end of each look.
#[derive(Clone)]
struct Watched {
    memory: Memory,
    at_end: Arc<Mutex<AtEnd>>,
}

impl Watched {
    fn set(&self, at_end: impl FnMut() -> Result<(), DriverError> + Send + 'static) {
        *self.at_end.lock() = Box::new(at_end);
    }
}

impl Conn for Watched {
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        self.memory.load(take)?;
        (*self.at_end.lock())()
    }

    fn load_sessions(&self, _: u64, _: u64, _: &mut dyn FnMut(Record)) -> Result<(), DriverError> {
        Ok(())
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        self.memory.applied(journal)
    }

    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        self.memory.apply(batch)
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        self.memory.change(changes)
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        self.memory.totals(of)
    }

    fn ping(&self) -> Result<(), DriverError> {
        self.memory.ping()
    }
}

fn put_user(id: u32) -> Change {
    let passkey = format!("passkey-{id}").into();
    Change::PutUser(User { id: UserId(id), passkey, ..User::default() })
}

fn put_torrent(id: u32) -> Change {
    let info_hash = InfoHash([id as u8; 20]);
    Change::PutTorrent(Torrent { id: TorrentId(id), info_hash, ..Torrent::default() })
}

/// A site of 40 users and 40 torrents, and the storage that it was loaded from.
fn books() -> (Arc<Books>, Watched) {
    let memory = Memory::new();
    let changes: Vec<_> = (1..=40).flat_map(|id| [put_user(id), put_torrent(id)]).collect();
    memory.change(&changes).unwrap();
    let site = Arc::new(Site::new(&Seed::new(1), &Clock::start()));
    site.load(|take| memory.load(take)).unwrap();
    let storage = Watched { memory, at_end: Arc::new(Mutex::new(Box::new(|| Ok(())))) };
    let books = Arc::new(Books::alone(site, Some(Arc::new(storage.clone()))));
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), Refreshed::Same);
    (books, storage)
}

fn poll(books: &Arc<Books>) -> Poll {
    Poll::new(books.clone(), None, Clock::start())
}

/// Whether a user may announce.
fn is_let_in(books: &Books, user: u32) -> bool {
    let keys = Keys { plain: true, site_key: "".into(), xbt_private_key: "".into() };
    let gatekeeper = Gatekeeper::new(books.site().clone(), Some(KeyRing::new(&keys)));
    let passkey = format!("passkey-{user}");
    gatekeeper.account(Passkey::new(passkey.as_bytes()).unwrap(), None).is_some()
}

fn changed(changes: usize) -> Refreshed {
    Refreshed::Changed(changes)
}

#[test]
fn what_others_change_comes_into_force() {
    let (books, storage) = books();
    let site = books.site();
    let group = Group { id: GroupId(3), slots: Some(5), ..Group::default() };
    let client = Client { prefix: "-XX".into(), allowed: false };
    let factor = Factor { id: FactorId(7), budget_bytes: Some(1000), ..Factor::default() };
    let address = "192.0.2.0".parse().unwrap();
    let ban = Ban { address, prefix_len: 24, reason: "spam".into() };
    let puts = [
        put_user(41),
        Change::PutUser(User { id: UserId(2), passkey: "passkey-99".into(), ..User::default() }),
        Change::PutGroup(group.clone()),
        Change::PutClient(client.clone()),
        Change::PutFactor(factor.clone()),
        Change::PutBan(ban.clone()),
    ];
    storage.memory.change(&puts).unwrap();
    assert!(!is_let_in(&books, 41) && is_let_in(&books, 2));
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(6));
    assert!(is_let_in(&books, 41) && is_let_in(&books, 99) && !is_let_in(&books, 2));
    assert_eq!(
        (site.groups(), site.clients(), site.bans()),
        (vec![group], vec![client], vec![ban])
    );
    assert_eq!(site.factor(FactorId(7)), Some(factor));
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), Refreshed::Same);

    let removals = [
        Change::RemoveUser(UserId(41)),
        Change::RemoveGroup(GroupId(3)),
        Change::RemoveClient("-XX".into()),
        Change::RemoveFactor(FactorId(7)),
        Change::RemoveBan(address, 24),
    ];
    storage.memory.change(&removals).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(5));
    assert!(!is_let_in(&books, 41), "removed users are refused");
    assert!(site.groups().is_empty() && site.clients().is_empty() && site.bans().is_empty());
    assert_eq!(site.factor(FactorId(7)), None);
}

#[test]
fn a_passkey_may_pass_from_one_user_to_another() {
    let (books, storage) = books();
    let heir = User { id: UserId(2), passkey: "passkey-1".into(), ..User::default() };
    storage.memory.change(&[Change::RemoveUser(UserId(1)), Change::PutUser(heir)]).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(2));
    assert_eq!(books.site().user_by_passkey("passkey-1").map(|user| user.id), Some(UserId(2)));
    assert!(!is_let_in(&books, 2));
}

#[test]
fn what_is_left_of_budgets_is_compared_only_if_the_storage_has_heard_of_all() {
    let (books, storage) = books();
    let factor = |bytes| Factor { id: FactorId(7), budget_bytes: Some(bytes), ..Factor::default() };
    storage.memory.change(&[Change::PutFactor(factor(1000))]).unwrap();
    assert_eq!(books.refresh(&|| None, false).unwrap(), changed(1));
    storage.memory.change(&[Change::PutFactor(factor(5000))]).unwrap();
    assert_eq!(books.refresh(&|| None, false).unwrap(), Refreshed::Same);
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(1));
    assert_eq!(books.site().factor(FactorId(7)), Some(factor(5000)));
}

#[test]
fn a_look_that_fails_changes_nothing() {
    let (books, storage) = books();
    let mut poll = poll(&books);
    storage.memory.change(&[put_user(41), Change::RemoveUser(UserId(1))]).unwrap();
    storage.set(|| Err(DriverError::Unavailable("the connection was lost".into())));
    assert!(books.refresh(&|| Some(0), false).is_err(), "after all records were handed over");
    storage.memory.set_failing(Failing::Away);
    assert!(books.refresh(&|| Some(0), true).is_err(), "before any was");
    poll.look();
    poll.look();
    assert!(!is_let_in(&books, 41) && is_let_in(&books, 1));
    storage.memory.set_failing(Failing::Never);
    storage.set(|| Ok(()));
    poll.look();
    assert!(is_let_in(&books, 41) && !is_let_in(&books, 1), "the next look finds it");
}

#[test]
fn losing_most_records_of_a_kind_takes_two_looks() {
    let (books, storage) = books();
    let remove = |ids: std::ops::RangeInclusive<u32>| {
        ids.map(|id| Change::RemoveUser(UserId(id))).collect::<Vec<_>>()
    };
    storage.memory.change(&remove(1..=20)).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(20), "half of them is not most");
    storage.memory.change(&remove(21..=37)).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), Refreshed::Doubtful(17));
    assert!(is_let_in(&books, 21));
    // They were only away for a moment; the next time it is doubted again.
    storage.memory.change(&(21..=37).map(put_user).collect::<Vec<_>>()).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), Refreshed::Same);
    storage.memory.change(&remove(21..=37)).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), Refreshed::Doubtful(17));
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(17));
    assert!(!is_let_in(&books, 21) && is_let_in(&books, 38));
    storage.memory.change(&remove(38..=40)).unwrap();
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), changed(3), "a few are believed");
}

#[test]
fn looks_that_are_overtaken_count_for_nothing_until_changes_wait_for_one() {
    let (books, storage) = books();
    let mut poll = poll(&books);
    storage.memory.change(&[Change::RemoveUser(UserId(1))]).unwrap();
    let (looks, of_others) = (Arc::new(AtomicU32::new(0)), books.clone());
    storage.set({
        let looks = looks.clone();
        move || {
            let number = looks.fetch_add(1, Ordering::Relaxed);
            // Whoever changes something now waits for the look.
            if !of_others.one_at_a_time.is_locked() {
                of_others.change(vec![put_user(100 + number)]).unwrap();
            }
            Ok(())
        }
    });
    assert_eq!(books.refresh(&|| Some(0), false).unwrap(), Refreshed::Overtaken);
    assert!(is_let_in(&books, 1) && is_let_in(&books, 100), "the change itself holds");
    for look in 1..=3 {
        poll.look();
        assert!(is_let_in(&books, 1), "look {look} is overtaken");
    }
    poll.look();
    assert!(!is_let_in(&books, 1), "changes wait for the fourth");
    assert_eq!(looks.load(Ordering::Relaxed), 5);
    assert_eq!(books.site().users_count(), 43);
}
