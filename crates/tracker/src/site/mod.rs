//! What the site told, in memory: every look-up of a request, and every change while the tracker runs.
//!
//! Whether a change is kept beyond the process is the business of [`Books`]; how, that of drivers.

mod books;

pub use self::books::{Books, ChangeError};

use std::collections::HashMap;

use parking_lot::RwLock;
use skep_engine::Seed;
use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, Torrent, TorrentId, User, UserId,
};
use skep_proto::InfoHash;

/// Users, groups, torrents, factors, clients and bans, for all workers.
#[derive(Debug)]
pub struct Site {
    users: RwLock<HashMap<UserId, User>>,
    passkeys: RwLock<HashMap<Box<str>, UserId>>,
    groups: RwLock<HashMap<GroupId, Group>>,
    torrents: RwLock<HashMap<TorrentId, Torrent>>,
    info_hashes: RwLock<HashMap<InfoHash, TorrentId>>,
    factors: RwLock<HashMap<FactorId, Factor>>,
    clients: RwLock<Vec<Client>>,
    bans: RwLock<Vec<Ban>>,
}

impl Site {
    /// Makes an empty site, whose tables are seeded by `seed`.
    #[must_use]
    pub fn new(_seed: &Seed) -> Self {
        Self {
            users: RwLock::default(),
            passkeys: RwLock::default(),
            groups: RwLock::default(),
            torrents: RwLock::default(),
            info_hashes: RwLock::default(),
            factors: RwLock::default(),
            clients: RwLock::default(),
            bans: RwLock::default(),
        }
    }

    /// Puts a change in force.
    pub fn apply(&self, change: Change) {
        match change {
            Change::PutUser(user) => {
                let mut passkeys = self.passkeys.write();
                if let Some(old) = self.users.write().insert(user.id, user.clone()) {
                    passkeys.remove(&old.passkey);
                }
                passkeys.insert(user.passkey, user.id);
            }
            Change::RemoveUser(id) => {
                if let Some(old) = self.users.write().remove(&id) {
                    self.passkeys.write().remove(&old.passkey);
                }
            }
            Change::PutGroup(group) => drop(self.groups.write().insert(group.id, group)),
            Change::RemoveGroup(id) => drop(self.groups.write().remove(&id)),
            Change::PutTorrent(torrent) => {
                let mut info_hashes = self.info_hashes.write();
                if let Some(old) = self.torrents.write().insert(torrent.id, torrent.clone()) {
                    info_hashes.remove(&old.info_hash);
                }
                info_hashes.insert(torrent.info_hash, torrent.id);
            }
            Change::RemoveTorrent(id) => {
                if let Some(old) = self.torrents.write().remove(&id) {
                    self.info_hashes.write().remove(&old.info_hash);
                }
            }
            Change::PutFactor(factor) => drop(self.factors.write().insert(factor.id, factor)),
            Change::RemoveFactor(id) => drop(self.factors.write().remove(&id)),
            Change::PutClient(client) => {
                let mut clients = self.clients.write();
                clients.retain(|other| other.prefix != client.prefix);
                clients.push(client);
            }
            Change::RemoveClient(prefix) => self.clients.write().retain(|it| it.prefix != prefix),
            Change::PutBan(ban) => {
                let mut bans = self.bans.write();
                let network = (ban.address, ban.prefix_len);
                bans.retain(|other| (other.address, other.prefix_len) != network);
                bans.push(ban);
            }
            Change::RemoveBan(address, prefix_len) => {
                let network = (address, prefix_len);
                self.bans.write().retain(|other| (other.address, other.prefix_len) != network);
            }
        }
    }

    /// A user by number.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<User> {
        self.users.read().get(&id).cloned()
    }

    /// A user by passkey, found in a time that does not tell how much of the key is right.
    #[must_use]
    pub fn user_by_passkey(&self, passkey: &str) -> Option<User> {
        let id = *self.passkeys.read().get(passkey)?;
        self.user(id)
    }

    /// A torrent by number.
    #[must_use]
    pub fn torrent(&self, id: TorrentId) -> Option<Torrent> {
        self.torrents.read().get(&id).cloned()
    }

    /// A torrent by info hash.
    #[must_use]
    pub fn torrent_by_hash(&self, info_hash: &InfoHash) -> Option<Torrent> {
        let id = *self.info_hashes.read().get(info_hash)?;
        self.torrent(id)
    }

    /// A group by number.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<Group> {
        self.groups.read().get(&id).cloned()
    }

    /// A factor by number.
    #[must_use]
    pub fn factor(&self, id: FactorId) -> Option<Factor> {
        self.factors.read().get(&id).cloned()
    }

    /// Calls `visit` with every user, in no particular order and without holding up announces for
    /// more than a part of them.
    pub fn for_each_user(&self, visit: &mut dyn FnMut(&User)) {
        self.users.read().values().for_each(visit);
    }

    /// Calls `visit` with every torrent, in the same way.
    pub fn for_each_torrent(&self, visit: &mut dyn FnMut(&Torrent)) {
        self.torrents.read().values().for_each(visit);
    }

    /// Every group, by number.
    #[must_use]
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<_> = self.groups.read().values().cloned().collect();
        groups.sort_unstable_by_key(|group| group.id);
        groups
    }

    /// Calls `visit` with every factor, in no particular order.
    pub fn for_each_factor(&self, visit: &mut dyn FnMut(&Factor)) {
        self.factors.read().values().for_each(visit);
    }

    /// Every rule about clients, by prefix.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let mut clients = self.clients.read().clone();
        clients.sort_unstable();
        clients
    }

    /// Every ban, by network.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        let mut bans = self.bans.read().clone();
        bans.sort_unstable_by_key(|ban| (ban.address, ban.prefix_len));
        bans
    }
}
