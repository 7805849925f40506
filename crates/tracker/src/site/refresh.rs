//! Looking at the storage for what others changed there, and putting the differences in force.
//!
//! What the tracker changes itself is in `books`. A look that fails changes nothing.

use std::collections::HashSet;
use std::hash::Hash;

use skep_engine::site::Change;
use skep_store::driver::{Conn, DriverError};

use super::Site;

/// A look that would remove more than this part of all records of a kind is not believed at once: a
/// program of the site may be filling its table anew.
const REMOVED_PART_MAX: usize = 2;
/// Unless it is only so many.
const REMOVED_FEW: usize = 16;

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Puts first, then removals.
    pub(super) changes: Vec<Change>,
    /// Whether so much would go that it needs a second look to be believed.
    pub(super) is_doubtful: bool,
}

/// The records that a look saw, by number or what else tells them apart.
#[derive(Default)]
struct Seen {
    users: HashSet<u32>,
    torrents: HashSet<u32>,
    groups: HashSet<u32>,
    factors: HashSet<u32>,
    clients: HashSet<Box<str>>,
    bans: HashSet<(std::net::IpAddr, u8)>,
}

/// Compares what the storage holds with what is in force.
pub(super) fn differences(site: &Site, conn: &dyn Conn) -> Result<Differences, DriverError> {
    let mut seen = Seen::default();
    let mut changes = Vec::new();
    let (clients, bans) = (site.clients(), site.bans());
    conn.load(&mut |change| {
        let is_known = match &change {
            Change::PutUser(user) => {
                seen.users.insert(user.id.0);
                site.user(user.id).as_ref() == Some(user)
            }
            Change::PutTorrent(torrent) => {
                seen.torrents.insert(torrent.id.0);
                site.torrent(torrent.id).as_ref() == Some(torrent)
            }
            Change::PutGroup(group) => {
                seen.groups.insert(group.id.0);
                site.group(group.id).as_ref() == Some(group)
            }
            Change::PutFactor(factor) => {
                seen.factors.insert(factor.id.0);
                site.factor(factor.id).as_ref() == Some(factor)
            }
            Change::PutClient(client) => {
                seen.clients.insert(client.prefix.clone());
                clients.contains(client)
            }
            Change::PutBan(ban) => {
                seen.bans.insert((ban.address, ban.prefix_len));
                bans.contains(ban)
            }
            // A storage hands over what is there.
            _ => true,
        };
        if !is_known {
            changes.push(change);
        }
    })?;
    let is_doubtful = remove_unseen(site, &seen, &mut changes);
    Ok(Differences { changes, is_doubtful })
}

/// Leaves budgets as they are: what the storage says of them is not the latest, since it has not heard
/// of all that was taken.
pub(super) fn leave_budgets(site: &Site, changes: &mut Vec<Change>) {
    changes.retain_mut(|change| {
        let Change::PutFactor(told) = change else { return true };
        let Some(known) = site.factor(told.id).filter(|known| known.budget_bytes.is_some()) else {
            return true;
        };
        let Some(bytes) = &mut told.budget_bytes else { return true };
        *bytes = known.budget_bytes.unwrap_or_default();
        let is_same = *told == known;
        *change = Change::AmendFactor(told.clone());
        !is_same
    });
}

/// Adds removals of what was not seen; returns whether they are so many that they are doubtful.
fn remove_unseen(site: &Site, seen: &Seen, changes: &mut Vec<Change>) -> bool {
    let (mut users, mut torrents, mut factors) = (Vec::new(), Vec::new(), Vec::new());
    site.for_each_user(&mut |user| users.push(user.id));
    site.for_each_torrent(&mut |torrent| torrents.push(torrent.id));
    site.for_each_factor(&mut |factor| factors.push(factor.id));
    let groups = site.groups();
    let groups = groups.iter().map(|group| group.id).collect();
    let clients = site.clients().into_iter().map(|client| client.prefix).collect();
    let bans = site.bans().iter().map(|ban| (ban.address, ban.prefix_len)).collect();
    let mut gone = Removals { changes, is_doubtful: false };
    gone.of(users, &seen.users, |id| id.0, Change::RemoveUser);
    gone.of(torrents, &seen.torrents, |id| id.0, Change::RemoveTorrent);
    gone.of(groups, &seen.groups, |id| id.0, Change::RemoveGroup);
    gone.of(factors, &seen.factors, |id| id.0, Change::RemoveFactor);
    gone.of(clients, &seen.clients, Box::clone, Change::RemoveClient);
    gone.of(bans, &seen.bans, |ban| *ban, |(address, bits)| Change::RemoveBan(address, bits));
    gone.is_doubtful
}

struct Removals<'a> {
    changes: &'a mut Vec<Change>,
    is_doubtful: bool,
}

impl Removals<'_> {
    fn of<R, K: Eq + Hash>(
        &mut self,
        known: Vec<R>,
        seen: &HashSet<K>,
        key: impl Fn(&R) -> K,
        remove: impl Fn(R) -> Change,
    ) {
        let all = known.len();
        let before = self.changes.len();
        let gone = known.into_iter().filter(|record| !seen.contains(&key(record)));
        self.changes.extend(gone.map(remove));
        let removed = self.changes.len() - before;
        self.is_doubtful |= removed > REMOVED_FEW && removed > all / REMOVED_PART_MAX;
    }
}
