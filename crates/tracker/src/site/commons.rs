//! What every request looks at and few change: groups, rules about clients, and bans.
//!
//! Read without a lock: a change makes a new snapshot. Users and torrents are in `records`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use skep_engine::gate::{AddressRanges, ClientPrefixes};
use skep_engine::site::{Ban, Change, Client, Group, GroupId};
use skep_proto::PeerId;

/// Records as they were told, in order.
#[derive(Default)]
struct Told {
    groups: BTreeMap<GroupId, Group>,
    clients: BTreeMap<Box<str>, Client>,
    bans: BTreeMap<(IpAddr, u8), Ban>,
}

/// Which software may announce.
#[derive(Default)]
struct Clients {
    allowed: ClientPrefixes,
    denied: ClientPrefixes,
}

/// Snapshots for requests, and what they are made of.
#[derive(Default)]
pub(super) struct Commons {
    told: Mutex<Told>,
    /// By number.
    groups: ArcSwap<Vec<Group>>,
    clients: ArcSwap<Clients>,
    bans: ArcSwap<AddressRanges>,
}

/// Changes that come into force together, when this is dropped.
pub(super) struct Changing<'a> {
    commons: &'a Commons,
    told: MutexGuard<'a, Told>,
    groups: bool,
    clients: bool,
    bans: bool,
}

impl Commons {
    pub(super) fn begin(&self) -> Changing<'_> {
        let told = self.told.lock();
        Changing { commons: self, told, groups: false, clients: false, bans: false }
    }

    /// What is read from the group with a number.
    pub(super) fn group<T>(&self, id: GroupId, read: impl FnOnce(&Group) -> T) -> Option<T> {
        let groups = self.groups.load();
        let place = groups.binary_search_by_key(&id, |group| group.id).ok()?;
        Some(read(&groups[place]))
    }

    pub(super) fn bans_address(&self, ip: IpAddr) -> bool {
        let bans = self.bans.load();
        !bans.is_empty() && bans.contains(ip)
    }

    pub(super) fn allows_client(&self, peer_id: &PeerId) -> bool {
        let Clients { allowed, denied } = &**self.clients.load();
        (allowed.is_empty() || allowed.matches(peer_id)) && !denied.matches(peer_id)
    }

    pub(super) fn groups(&self) -> Vec<Group> {
        self.told.lock().groups.values().cloned().collect()
    }

    pub(super) fn clients(&self) -> Vec<Client> {
        self.told.lock().clients.values().cloned().collect()
    }

    pub(super) fn bans(&self) -> Vec<Ban> {
        self.told.lock().bans.values().cloned().collect()
    }
}

impl Changing<'_> {
    /// Takes a change, or hands it back if it is about something else.
    pub(super) fn take(&mut self, change: Change) -> Option<Change> {
        let told = &mut *self.told;
        match change {
            Change::PutGroup(group) => {
                told.groups.insert(group.id, group);
                self.groups = true;
            }
            Change::RemoveGroup(id) => {
                told.groups.remove(&id);
                self.groups = true;
            }
            Change::PutClient(client) => {
                told.clients.insert(client.prefix.clone(), client);
                self.clients = true;
            }
            Change::RemoveClient(prefix) => {
                told.clients.remove(&prefix);
                self.clients = true;
            }
            Change::PutBan(ban) => {
                told.bans.insert((ban.address, ban.prefix_len), ban);
                self.bans = true;
            }
            Change::RemoveBan(address, prefix_len) => {
                told.bans.remove(&(address, prefix_len));
                self.bans = true;
            }
            other => return Some(other),
        }
        None
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let Self { commons, told, .. } = self;
        if self.groups {
            commons.groups.store(Arc::new(told.groups.values().cloned().collect()));
        }
        if self.clients {
            let of = |allowed| {
                let clients = told.clients.values().filter(move |it| it.allowed == allowed);
                ClientPrefixes::new(clients.map(|client| client.prefix.as_bytes()))
            };
            commons.clients.store(Arc::new(Clients { allowed: of(true), denied: of(false) }));
        }
        if self.bans {
            commons.bans.store(Arc::new(AddressRanges::new(told.bans.keys().copied())));
        }
    }
}
