//! How many torrents each user downloads at once, over all shards.
//!
//! A count for each user who downloads anything, and nothing for others. What counts as a download is
//! known to the ledgers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::Mutex;
use skep_engine::ledger::UserId;

/// Parts with a lock of their own; each is held for one look-up.
const PARTS: usize = 64;

/// Downloads by user.
#[derive(Debug)]
pub(crate) struct Slots(Box<[Mutex<HashMap<UserId, u32>>]>);

impl Default for Slots {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }
}

impl Slots {
    fn part(&self, user: UserId) -> &Mutex<HashMap<UserId, u32>> {
        &self.0[user.0 as usize % PARTS]
    }

    /// Counts one download more, unless the user has `max` of them; tells whether it did.
    pub(crate) fn take(&self, user: UserId, max: u32) -> bool {
        let mut part = self.part(user).lock();
        let downloads = part.get(&user).copied().unwrap_or(0);
        if downloads >= max {
            return false;
        }
        part.insert(user, downloads + 1);
        true
    }

    /// Counts one download less.
    pub(crate) fn give_back(&self, user: UserId) {
        if let Entry::Occupied(mut entry) = self.part(user).lock().entry(user) {
            match entry.get().checked_sub(1) {
                Some(left @ 1..) => *entry.get_mut() = left,
                _ => drop(entry.remove()),
            }
        }
    }

    /// Takes notice of so many downloads more, which the user began or ended without asking.
    pub(crate) fn note(&self, user: UserId, more: i8) {
        match more {
            1.. => drop(self.take(user, u32::MAX)),
            0 => {}
            _ => self.give_back(user),
        }
    }

    /// Downloads of a user.
    #[cfg(test)]
    pub(crate) fn of(&self, user: UserId) -> u32 {
        self.part(user).lock().get(&user).copied().unwrap_or(0)
    }

    /// Users who download anything.
    #[cfg(test)]
    pub(crate) fn users(&self) -> usize {
        self.0.iter().map(|part| part.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_takes_so_many_slots_at_the_most_and_leaves_nothing_behind() {
        let slots = Slots::default();
        let user = UserId(70);
        assert!(!slots.take(user, 0));
        assert!(slots.take(user, 2) && slots.take(user, 2) && !slots.take(user, 2));
        assert!(slots.take(UserId(6), 1), "of the same part, and another user");
        slots.note(user, 1);
        assert_eq!(slots.of(user), 3, "what began without asking counts");
        slots.give_back(user);
        slots.note(user, -1);
        slots.note(user, 0);
        assert!(slots.take(user, 2) && !slots.take(user, 2));
        for user in [70, 70, 6, 6] {
            slots.give_back(UserId(user));
        }
        assert_eq!((slots.of(user), slots.users()), (0, 0));
    }
}
