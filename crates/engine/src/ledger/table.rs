//! The accounts of one ledger: records side by side, found by torrent and user.
//!
//! Cut into segments that grow one at a time, so that nobody waits while all of them are moved. What
//! an account means is not known here.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::account::Account;
use super::{TorrentId, UserId};
use crate::hash::Seed;

/// Segments of a table; 56 bytes each when empty.
pub(super) const SEGMENTS: usize = 64;

/// Accounts of one segment, without gaps, and where each one stands.
#[derive(Debug, Default)]
struct Segment {
    places: HashTable<u32>,
    accounts: Vec<Account>,
}

/// Where an account stands until one is removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) segment: usize,
    pub(super) number: usize,
}

#[derive(Debug)]
pub(super) struct Table {
    segments: Box<[Segment; SEGMENTS]>,
}

impl Default for Table {
    fn default() -> Self {
        Self { segments: Box::new(core::array::from_fn(|_| Segment::default())) }
    }
}

/// The hash of an account.
pub(super) fn hash(seed: &Seed, torrent: TorrentId, user: UserId) -> u64 {
    let key = u64::from(torrent.0) << 32 | u64::from(user.0);
    seed.hash(&key.to_le_bytes())
}

/// The segment of a hash, by bits that the table within does not use.
const fn segment_of(hash: u64) -> usize {
    (hash >> 40) as usize % SEGMENTS
}

impl Table {
    pub(super) fn find(&self, hash: u64, torrent: TorrentId, user: UserId) -> Option<Place> {
        let segment = segment_of(hash);
        let Segment { places, accounts } = &self.segments[segment];
        let same = |&number: &u32| {
            let account = &accounts[number as usize];
            (account.torrent, account.user) == (torrent, user)
        };
        Some(Place { segment, number: *places.find(hash, same)? as usize })
    }

    /// Whether another account of this hash could not be numbered.
    pub(super) fn is_full(&self, hash: u64) -> bool {
        self.segments[segment_of(hash)].accounts.len() >= u32::MAX as usize
    }

    /// Adds an account that is not there yet.
    pub(super) fn insert(&mut self, seed: &Seed, hash: u64, account: Account) -> Place {
        let segment = segment_of(hash);
        let Segment { places, accounts } = &mut self.segments[segment];
        let number = accounts.len();
        if number == accounts.capacity() {
            accounts.reserve_exact(number / 8 + 4);
        }
        accounts.push(account);
        let hash_at = |&number: &u32| hash_of(seed, &accounts[number as usize]);
        places.insert_unique(hash, number as u32, hash_at);
        Place { segment, number }
    }

    /// The accounts of a segment.
    pub(super) fn accounts(&self, segment: usize) -> &[Account] {
        &self.segments[segment].accounts
    }

    pub(super) fn account_mut(&mut self, place: Place) -> &mut Account {
        &mut self.segments[place.segment].accounts[place.number]
    }

    /// Removes an account; the last one of its segment takes its place.
    pub(super) fn remove(&mut self, seed: &Seed, Place { segment, number }: Place) {
        let Segment { places, accounts } = &mut self.segments[segment];
        let last = accounts.len() - 1;
        let removed = hash_of(seed, &accounts[number]);
        if let Ok(entry) = places.find_entry(removed, |&other| other as usize == number) {
            entry.remove();
        }
        if number != last {
            let moved = hash_of(seed, &accounts[last]);
            if let Some(moved) = places.find_mut(moved, |&other| other as usize == last) {
                *moved = number as u32;
            }
        }
        accounts.swap_remove(number);
        if accounts.capacity() > 2 * accounts.len() + 4 {
            accounts.shrink_to(accounts.len() + accounts.len() / 8);
            let hash_at = |&number: &u32| hash_of(seed, &accounts[number as usize]);
            places.shrink_to(accounts.len(), hash_at);
        }
    }

    /// Bytes on the heap, but for parallel sessions.
    pub(super) fn heap_bytes(&self) -> usize {
        let segments = self.segments.iter().map(|segment| {
            segment.places.allocation_size() + segment.accounts.capacity() * size_of::<Account>()
        });
        segments.sum::<usize>() + size_of::<[Segment; SEGMENTS]>()
    }
}

fn hash_of(seed: &Seed, account: &Account) -> u64 {
    hash(seed, account.torrent, account.user)
}

#[cfg(test)]
mod tests {
    use skep_proto::PeerId;

    use super::super::{Family, SessionState, Tick, Traffic};
    use super::*;

    fn account(number: u32) -> Account {
        let state = SessionState {
            torrent: TorrentId(number % 50),
            user: UserId(number),
            peer_id: PeerId([0; 20]),
            peer_key: 0,
            counters: Traffic::default(),
            corrupt_bytes: 0,
            family: Family::Ipv4,
            seeds: true,
            open: true,
            pass_counted: false,
        };
        Account::new(state.torrent, state.user, state.session(Tick(0), 0))
    }

    #[test]
    fn accounts_are_found_whatever_was_removed_and_memory_is_given_back() {
        let seed = Seed::new(4);
        let mut table = Table::default();
        let empty = table.heap_bytes();
        let find = |table: &Table, number: u32| {
            let (torrent, user) = (TorrentId(number % 50), UserId(number));
            table.find(hash(&seed, torrent, user), torrent, user)
        };
        for number in 0..20_000 {
            let account = account(number);
            let hash = hash_of(&seed, &account);
            table.insert(&seed, hash, account);
        }
        let full = table.heap_bytes() - empty;
        assert!(full < 20_000 * (size_of::<Account>() * 5 / 4 + 12), "{full} bytes");
        for number in (0..20_000).filter(|number| number % 20 != 0) {
            let place = find(&table, number).expect("was put in");
            table.remove(&seed, place);
        }
        for number in 0..20_000 {
            let found = find(&table, number).map(|place| table.account_mut(place).user);
            assert_eq!(found, (number % 20 == 0).then_some(UserId(number)), "user {number}");
        }
        let left = table.heap_bytes() - empty;
        assert!(left * 8 < full, "{left} of {full} bytes left");
    }
}
