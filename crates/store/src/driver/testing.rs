//! A storage in memory, which forgets nothing while somebody holds it and fails when it is told to.
//!
//! For tests of those who use a storage. Nothing of it is on a disk.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use skep_engine::ledger::{Sums, TorrentId, UserId};
use skep_engine::site::{Ban, Change, Client, Factor, FactorId, Group, GroupId, Torrent, User};
use skep_proto::PeerId;

use super::{Batch, Conn, Driver, DriverError, DriverSettings, Record, Totals};

/// A storage in memory; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    kept: Kept,
    failing: Failing,
    batches: u64,
}

/// How a storage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failing {
    /// It does not.
    #[default]
    Never,
    /// It does not answer.
    Away,
    /// Writes break off after a part of them and are taken back.
    Midway,
    /// So many calls of [`Conn::apply`] fail like lost connections after the batch was kept.
    AfterCommit(u32),
}

#[derive(Debug, Clone, Default)]
struct Kept {
    users: BTreeMap<UserId, User>,
    groups: BTreeMap<GroupId, Group>,
    torrents: BTreeMap<TorrentId, Torrent>,
    factors: BTreeMap<FactorId, Factor>,
    clients: BTreeMap<Box<str>, Client>,
    bans: BTreeMap<(IpAddr, u8), Ban>,
    sessions: BTreeMap<(UserId, TorrentId, PeerId), Record>,
    of_users: BTreeMap<UserId, Sums>,
    of_torrents: BTreeMap<TorrentId, Sums>,
    of_passages: BTreeMap<(UserId, TorrentId), Sums>,
    applied: BTreeMap<u64, u64>,
}

impl Memory {
    /// Makes an empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it fail, or work again.
    pub fn set_failing(&self, failing: Failing) {
        self.state.lock().failing = failing;
    }

    /// Batches that were applied.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.state.lock().batches
    }

    /// Sums of all users together.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let state = self.state.lock();
        state.kept.of_users.values().fold(Sums::default(), |all, sums| plus(all, *sums))
    }

    /// Every session that is remembered.
    #[must_use]
    pub fn sessions(&self) -> Vec<Record> {
        self.state.lock().kept.sessions.values().copied().collect()
    }

    /// Works on it, unless it does not answer.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let mut state = self.state.lock();
        match state.failing {
            Failing::Away => Err(DriverError::Unavailable("it was told to be away".into())),
            _ => work(&mut state),
        }
    }

    /// Looks at what is kept, unless it does not answer.
    fn look<T>(&self, look: impl FnOnce(&Kept) -> T) -> Result<T, DriverError> {
        self.with(|state| Ok(look(&state.kept)))
    }
}

impl Driver for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(&self, _settings: &DriverSettings) -> Result<Box<dyn Conn>, DriverError> {
        self.ping()?;
        Ok(Box::new(self.clone()))
    }
}

impl Conn for Memory {
    fn load(&self, take: &mut dyn FnMut(Change)) -> Result<(), DriverError> {
        let kept = self.look(Kept::clone)?;
        kept.groups.into_values().map(Change::PutGroup).for_each(&mut *take);
        kept.users.into_values().map(Change::PutUser).for_each(&mut *take);
        kept.torrents.into_values().map(Change::PutTorrent).for_each(&mut *take);
        kept.factors.into_values().map(Change::PutFactor).for_each(&mut *take);
        kept.clients.into_values().map(Change::PutClient).for_each(&mut *take);
        kept.bans.into_values().map(Change::PutBan).for_each(&mut *take);
        Ok(())
    }

    fn load_sessions(
        &self,
        since_unix_secs: u64,
        take: &mut dyn FnMut(Record),
    ) -> Result<(), DriverError> {
        let mut sessions: Vec<_> = self.look(|kept| kept.sessions.values().copied().collect())?;
        sessions.retain(|session: &Record| session.at_unix_secs >= since_unix_secs);
        sessions.sort_by_key(|session| std::cmp::Reverse(session.at_unix_secs));
        sessions.into_iter().for_each(take);
        Ok(())
    }

    fn forget_sessions(&self, before_unix_secs: u64) -> Result<u64, DriverError> {
        self.with(|State { kept, .. }| {
            let before = kept.sessions.len();
            kept.sessions.retain(|_, session| session.at_unix_secs >= before_unix_secs);
            Ok((before - kept.sessions.len()) as u64)
        })
    }

    fn applied(&self, journal: u64) -> Result<Option<u64>, DriverError> {
        self.look(|kept| kept.applied.get(&journal).copied())
    }

    fn apply(&self, batch: &Batch) -> Result<(), DriverError> {
        self.with(|State { kept, failing, batches }| {
            let from = batch.from();
            if let Some(&applied) = kept.applied.get(&batch.journal())
                && applied != from
            {
                return Err(DriverError::OutOfOrder { applied, from });
            }
            if *failing == Failing::Midway {
                return Err(lost());
            }
            kept.add_up(batch);
            *batches += 1;
            if let Failing::AfterCommit(calls @ 1..) = failing {
                *calls -= 1;
                return Err(lost());
            }
            Ok(())
        })
    }

    fn change(&self, changes: &[Change]) -> Result<(), DriverError> {
        self.with(|State { kept, failing, .. }| {
            let mut undo = Vec::new();
            for change in changes {
                let opposite = kept.opposite(change);
                if let Err(error) = kept.change(change) {
                    kept.undo(undo);
                    return Err(error);
                }
                undo.extend(opposite);
            }
            if *failing == Failing::Midway {
                kept.undo(undo);
                return Err(lost());
            }
            Ok(())
        })
    }

    fn totals(&self, of: Totals) -> Result<Sums, DriverError> {
        let sums = self.look(|kept| match of {
            Totals::User(user) => kept.of_users.get(&user).copied(),
            Totals::Torrent(torrent) => kept.of_torrents.get(&torrent).copied(),
            Totals::Passage(user, torrent) => kept.of_passages.get(&(user, torrent)).copied(),
        })?;
        Ok(sums.unwrap_or_default())
    }

    fn ping(&self) -> Result<(), DriverError> {
        self.look(|_| ())
    }
}

impl Kept {
    fn add_up(&mut self, batch: &Batch) {
        for (user, sums) in batch.users() {
            let kept = self.of_users.entry(*user).or_default();
            *kept = plus(*kept, *sums);
        }
        for (torrent, sums) in batch.torrents() {
            let kept = self.of_torrents.entry(*torrent).or_default();
            *kept = plus(*kept, *sums);
        }
        for (place, passage) in batch.passages() {
            let kept = self.of_passages.entry(*place).or_default();
            *kept = plus(*kept, passage.sums);
        }
        for record in batch.sessions() {
            let session = record.delta.session;
            let kept = Record::of_session(session, record.at_unix_secs, record.endpoint);
            self.sessions.insert((session.user, session.torrent, session.peer_id), kept);
        }
        for (factor, spent) in batch.spent() {
            let budget = self.factors.get_mut(factor).and_then(|it| it.budget_bytes.as_mut());
            if let Some(bytes) = budget {
                *bytes = bytes.saturating_sub(*spent);
            }
        }
        self.applied.insert(batch.journal(), batch.until());
    }

    /// Takes changes back, the last one first.
    fn undo(&mut self, opposites: Vec<Change>) {
        for change in opposites.into_iter().rev() {
            // What was there before is in nobody's way.
            let _ = self.change(&change);
        }
    }

    /// What takes a change back, to be done in the opposite order.
    fn opposite(&self, change: &Change) -> Vec<Change> {
        fn of<T: Clone>(old: Option<&T>, put: fn(T) -> Change, remove: Change) -> Vec<Change> {
            vec![old.cloned().map_or(remove, put)]
        }
        match change {
            Change::PutUser(User { id, .. }) | Change::RemoveUser(id) => {
                of(self.users.get(id), Change::PutUser, Change::RemoveUser(*id))
            }
            Change::PutGroup(Group { id, .. }) => {
                of(self.groups.get(id), Change::PutGroup, Change::RemoveGroup(*id))
            }
            Change::RemoveGroup(id) => {
                let group = self.groups.get(id).cloned().map(Change::PutGroup);
                let members = self.users.values().filter(|user| user.group == *id);
                members.cloned().map(Change::PutUser).chain(group).collect()
            }
            Change::PutTorrent(Torrent { id, .. }) | Change::RemoveTorrent(id) => {
                of(self.torrents.get(id), Change::PutTorrent, Change::RemoveTorrent(*id))
            }
            Change::PutFactor(Factor { id, .. }) | Change::RemoveFactor(id) => {
                of(self.factors.get(id), Change::PutFactor, Change::RemoveFactor(*id))
            }
            Change::PutClient(Client { prefix, .. }) | Change::RemoveClient(prefix) => {
                let remove = Change::RemoveClient(prefix.clone());
                of(self.clients.get(prefix), Change::PutClient, remove)
            }
            Change::PutBan(Ban { address, prefix_len, .. })
            | Change::RemoveBan(address, prefix_len) => {
                let remove = Change::RemoveBan(*address, *prefix_len);
                of(self.bans.get(&(*address, *prefix_len)), Change::PutBan, remove)
            }
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), DriverError> {
        match change.clone() {
            Change::PutUser(user) => {
                let mut others = self.users.values().filter(|other| other.id != user.id);
                if !user.passkey.is_empty() && others.any(|other| other.passkey == user.passkey) {
                    let text = format!("the passkey of user {} is another user's", user.id.0);
                    return Err(DriverError::Refused(text));
                }
                self.users.insert(user.id, user);
            }
            Change::RemoveUser(id) => drop(self.users.remove(&id)),
            Change::PutGroup(group) => drop(self.groups.insert(group.id, group)),
            Change::RemoveGroup(id) => {
                self.groups.remove(&id);
                for user in self.users.values_mut().filter(|user| user.group == id) {
                    user.group = GroupId::default();
                }
            }
            Change::PutTorrent(torrent) => {
                let mut others = self.torrents.values().filter(|other| other.id != torrent.id);
                if others.any(|other| other.info_hash == torrent.info_hash) {
                    let id = torrent.id.0;
                    let text = format!("the info hash of torrent {id} is another torrent's");
                    return Err(DriverError::Refused(text));
                }
                self.torrents.insert(torrent.id, torrent);
            }
            Change::RemoveTorrent(id) => drop(self.torrents.remove(&id)),
            Change::PutFactor(factor) => drop(self.factors.insert(factor.id, factor)),
            Change::RemoveFactor(id) => drop(self.factors.remove(&id)),
            Change::PutClient(client) => {
                drop(self.clients.insert(client.prefix.clone(), client));
            }
            Change::RemoveClient(prefix) => drop(self.clients.remove(&prefix)),
            Change::PutBan(ban) => {
                drop(self.bans.insert((ban.address, ban.prefix_len), ban));
            }
            Change::RemoveBan(address, bits) => drop(self.bans.remove(&(address, bits))),
        }
        Ok(())
    }
}

fn lost() -> DriverError {
    DriverError::Unavailable("the connection was lost".into())
}

/// Adds sums, cut to what the columns of a database hold.
fn plus(one: Sums, other: Sums) -> Sums {
    Sums {
        raw: one.raw.plus(other.raw),
        credited: one.credited.plus(other.credited),
        held: one.held.plus(other.held),
        settled: one.settled.plus(other.settled),
        corrupt_bytes: one.corrupt_bytes.saturating_add(other.corrupt_bytes),
        seeding_secs: one.seeding_secs.saturating_add(other.seeding_secs),
        leeching_secs: one.leeching_secs.saturating_add(other.leeching_secs),
        active_secs: one.active_secs.saturating_add(other.active_secs),
        completions: one.completions.saturating_add(other.completions),
    }
    .clamped(i64::MAX as u64)
}
