//! What the site told, in memory: every look-up of a request, and every change while the tracker runs.
//!
//! Whether a change is kept beyond the process is the business of [`Books`]; how, that of drivers.

mod books;
mod commons;
mod factor_book;
mod gatekeeper;
mod gone;
mod keys;
mod poll;
mod records;
mod refresh;

pub use self::books::{Books, ChangeError, Refreshed};
pub use self::gatekeeper::Gatekeeper;
pub use self::keys::KeyRing;
pub use self::poll::Poll;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_engine::gate::{Account, Listing, Reason};
use skep_engine::ledger::{Combine, Terms};
use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, Member, Permille, Target, Torrent,
    TorrentId, TorrentState, User, UserId,
};
use skep_engine::{Seed, Tick};
use skep_proto::InfoHash;

use self::commons::{Changing, Commons};
use self::factor_book::FactorBook;
use self::records::Records;
use crate::runtime::clock::Clock;

/// Users, groups, torrents, factors, clients and bans, for all workers.
pub struct Site {
    users: Records<User>,
    torrents: Records<Torrent>,
    factors: FactorBook,
    commons: Commons,
    /// Changes by which a torrent that was served may not be any more.
    withdrawals: AtomicU64,
}

impl fmt::Debug for Site {
    /// Shows how much there is: a site has passkeys, and is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("users", &self.users_count())
            .field("torrents", &self.torrents_count())
            .finish_non_exhaustive()
    }
}

impl Site {
    /// Makes an empty site, whose tables are seeded by `seed`.
    #[must_use]
    pub fn new(seed: &Seed, clock: &Clock) -> Self {
        Self {
            users: Records::new(seed),
            torrents: Records::new(seed),
            factors: FactorBook::new(seed, clock),
            commons: Commons::default(),
            withdrawals: AtomicU64::new(0),
        }
    }

    /// Puts a change in force.
    pub fn apply(&self, change: Change) {
        self.apply_all([change]);
    }

    /// Puts changes in force; those of groups, clients and bans together at the end.
    pub fn apply_all(&self, changes: impl IntoIterator<Item = Change>) {
        let mut commons = self.commons.begin();
        for change in changes {
            self.note_former(&change);
            self.take(&mut commons, change, false);
        }
    }

    /// Puts everything in force that `load` hands over.
    ///
    /// # Errors
    /// That of `load`; what was handed over until then stays.
    pub fn load<E>(
        &self,
        load: impl FnOnce(&mut dyn FnMut(Change)) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut commons = self.commons.begin();
        load(&mut |change| self.take(&mut commons, change, true))
    }

    /// Keeps what a record says by itself if a change makes it say something else: traffic from before
    /// is worth what it was worth then.
    fn note_former(&self, change: &Change) {
        let (target, number, old, new) = match change {
            Change::PutUser(User { id, upload, download, .. }) => {
                let old = self.users.by_number(id.0, |old| (old.upload, old.download));
                (Target::User(*id), id.0, old, (*upload, *download))
            }
            Change::PutTorrent(Torrent { id, upload, download, .. }) => {
                let old = self.torrents.by_number(id.0, |old| (old.upload, old.download));
                (Target::Torrent(*id), id.0, old, (*upload, *download))
            }
            Change::PutGroup(Group { id, upload, download, .. }) => {
                let old = self.commons.group(*id, |old| (old.upload, old.download));
                (Target::Group(*id), id.0, old, (*upload, *download))
            }
            _ => return,
        };
        if let Some(old) = old.filter(|old| *old != new) {
            self.factors.put_former(target, number, old);
        }
    }

    /// Takes a change, or what was in force before the process began.
    fn take(&self, commons: &mut Changing<'_>, change: Change, is_known: bool) {
        if let Change::RemoveGroup(id) = change {
            self.leave_group(id);
        }
        match commons.take(change) {
            Some(Change::PutUser(user)) => self.users.put(user),
            Some(Change::RemoveUser(id)) => self.users.remove(id.0),
            Some(Change::PutTorrent(torrent)) => self.put_torrent(torrent),
            Some(Change::RemoveTorrent(id)) => {
                self.torrents.remove(id.0);
                self.withdrawals.fetch_add(1, Ordering::Release);
            }
            Some(Change::PutFactor(factor)) => self.factors.put(factor, is_known),
            Some(Change::AmendFactor(factor)) => self.factors.amend(factor, is_known),
            Some(Change::RemoveFactor(id)) => self.factors.remove(id),
            _ => {}
        }
    }

    /// Lets the users of a group be in none.
    fn leave_group(&self, id: GroupId) {
        let mut users = Vec::new();
        self.users.for_each(&mut |user| {
            if user.group == id {
                users.push(User { group: GroupId::default(), ..user.clone() });
            }
        });
        users.into_iter().for_each(|user| self.users.put(user));
    }

    fn put_torrent(&self, torrent: Torrent) {
        let old = self.torrents.by_number(torrent.id.0, |old| old.info_hash);
        let is_approved = torrent.state == TorrentState::Approved;
        let withdraws = !is_approved || old.is_some_and(|old| old != torrent.info_hash);
        self.torrents.put(torrent);
        self.withdrawals.fetch_add(withdraws.into(), Ordering::Release);
    }

    /// Says how several factors become one; [`Combine::Best`] unless somebody does.
    pub fn set_combine(&self, combine: Combine) {
        self.factors.set_combine(combine);
    }

    /// Says what a byte counts for besides all that the site says, for everybody and until the process
    /// ends. The first time counts. It is no record: nobody finds, changes or removes it.
    pub fn set_standing(&self, upload: Permille, download: Permille) {
        self.factors.set_standing(upload, download);
    }

    /// What traffic of a member is worth around now, for as long as `use_` needs it.
    ///
    /// The rules stand in the order of [`Combine::First`]: those for the user in this torrent, for the
    /// torrent, for its group, for the user, for the group, for everybody. A rule that ended is handed
    /// in for [`RULE_KEPT_SECS`](skep_engine::site::RULE_KEPT_SECS) more.
    ///
    /// # Cost
    /// No allocation. No lock unless there are factors for torrents or users; then four of them, one
    /// after the other, for reading. None is held while `use_` runs.
    pub fn with_terms<R>(
        &self,
        member: &Member,
        now: Tick,
        use_: impl FnOnce(Terms<'_>) -> R,
    ) -> R {
        self.factors.with_terms(member, now, use_)
    }

    /// How many users there are.
    #[must_use]
    pub fn users_count(&self) -> usize {
        self.users.len()
    }

    /// How many torrents there are, whatever their state.
    #[must_use]
    pub fn torrents_count(&self) -> usize {
        self.torrents.len()
    }

    /// A user by number.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<User> {
        self.users.by_number(id.0, User::clone)
    }

    /// A user by passkey, found in a time that does not tell how much of the key is right.
    #[must_use]
    pub fn user_by_passkey(&self, passkey: &str) -> Option<User> {
        self.users.by_key(passkey.as_bytes(), User::clone)
    }

    /// A torrent by number.
    #[must_use]
    pub fn torrent(&self, id: TorrentId) -> Option<Torrent> {
        self.torrents.by_number(id.0, Torrent::clone)
    }

    /// A torrent by info hash.
    #[must_use]
    pub fn torrent_by_hash(&self, info_hash: &InfoHash) -> Option<Torrent> {
        self.torrents.by_key(info_hash.as_bytes(), Torrent::clone)
    }

    /// Whether the site has a torrent that may be announced, if only by some.
    #[must_use]
    pub fn serves(&self, info_hash: &InfoHash) -> bool {
        let state = self.torrents.by_key(info_hash.as_bytes(), |torrent| torrent.state);
        matches!(state, Some(TorrentState::Approved | TorrentState::Pending))
    }

    /// A group by number.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<Group> {
        self.commons.group(id, Group::clone)
    }

    /// A factor by number, with what is left of its budget.
    #[must_use]
    pub fn factor(&self, id: FactorId) -> Option<Factor> {
        self.factors.get(id)
    }

    /// Calls `visit` with every user, in no particular order and without holding up announces for
    /// more than a part of them.
    pub fn for_each_user(&self, visit: &mut dyn FnMut(&User)) {
        self.users.for_each(visit);
    }

    /// Calls `visit` with every torrent, in the same way.
    pub fn for_each_torrent(&self, visit: &mut dyn FnMut(&Torrent)) {
        self.torrents.for_each(visit);
    }

    /// Every group, by number.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        self.commons.groups()
    }

    /// Calls `visit` with every factor, in no particular order, with what is left of its budget.
    pub fn for_each_factor(&self, visit: &mut dyn FnMut(&Factor)) {
        self.factors.for_each(visit);
    }

    /// Every rule about clients, by prefix.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.commons.clients()
    }

    /// Every ban, by network.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        self.commons.bans()
    }

    /// A user as gates see one, by passkey.
    fn account_by_passkey(&self, passkey: &[u8]) -> Option<Account> {
        self.users.by_key(passkey, account).map(|account| self.in_group(account))
    }

    /// A user as gates see one, by number, and the version of derived keys.
    fn account(&self, id: UserId) -> Option<(Account, u32)> {
        let (account, version) =
            self.users.by_number(id.0, |user| (account(user), user.key_version))?;
        Some((self.in_group(account), version))
    }

    fn in_group(&self, user: UserPart) -> Account {
        let UserPart { mut account, slots, peers_max } = user;
        let of_group = self.commons.group(account.group, |group| {
            account.may_leech &= group.may_leech;
            account.of_group = (group.upload, group.download);
            (group.slots, group.peers_max)
        });
        let (group_slots, group_peers_max) = of_group.unwrap_or_default();
        account.slots = slots.or(group_slots).unwrap_or(u32::MAX);
        account.peers_max = peers_max.or(group_peers_max).unwrap_or(u32::MAX);
        account
    }

    /// A torrent as gates see one.
    fn listing(&self, info_hash: &InfoHash, reason: &mut Reason) -> Option<Listing> {
        self.torrents.by_key(info_hash.as_bytes(), |torrent| {
            if let Some(text) = &torrent.reason {
                reason.set(text);
            }
            Listing {
                torrent: torrent.id,
                group: torrent.group,
                state: torrent.state,
                owner: torrent.owner,
                of_torrent: (torrent.upload, torrent.download),
            }
        })
    }

    /// The salt of derived keys of a torrent.
    fn key_salt(&self, info_hash: &InfoHash) -> Option<u32> {
        self.torrents.by_key(info_hash.as_bytes(), |torrent| torrent.key_salt)
    }
}

/// What the record of a user alone says.
struct UserPart {
    account: Account,
    slots: Option<u32>,
    peers_max: Option<u32>,
}

fn account(user: &User) -> UserPart {
    let account = Account {
        user: user.id,
        group: user.group,
        disabled: user.disabled,
        may_leech: user.may_leech,
        hidden: user.hidden,
        slots: u32::MAX,
        peers_max: u32::MAX,
        of_user: (user.upload, user.download),
        of_group: (Permille::ONE, Permille::ONE),
    };
    UserPart { account, slots: user.slots, peers_max: user.peers_max }
}

#[cfg(test)]
mod tests;
