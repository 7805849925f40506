//! Which torrents are served.

use alloc::boxed::Box;

use hashbrown::HashTable;
use skep_proto::InfoHash;

use super::members::{Asking, Membership, No, Reason};
use super::{Refusal, Rules};
use crate::hash::Seed;
use crate::site::TorrentState;
use crate::swarm::Announce;

/// How the list of torrents is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TorrentAccess {
    /// Every torrent is served.
    #[default]
    Open,
    /// Only listed torrents are served, unless the list says that they are banned.
    Listed,
    /// Every torrent but the listed ones is served.
    Unlisted,
}

/// One torrent of a list.
#[derive(Clone, Debug)]
pub struct ListedTorrent {
    /// The torrent.
    pub info_hash: InfoHash,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// Why it is banned, if it is; the reason may be empty.
    pub banned: Option<Box<str>>,
}

/// Torrents by info hash.
#[derive(Debug)]
pub struct TorrentList {
    seed: Seed,
    entries: HashTable<Entry>,
}

#[derive(Debug)]
struct Entry {
    info_hash: InfoHash,
    /// Only if there is something to say: most lists are bare hashes.
    details: Option<Box<Details>>,
}

#[derive(Debug)]
struct Details {
    name: Option<Box<str>>,
    /// The text for clients, made once so that a refusal allocates nothing.
    banned: Option<Box<str>>,
}

impl Default for TorrentList {
    fn default() -> Self {
        Self::new(Seed::new(0), core::iter::empty())
    }
}

impl TorrentList {
    /// Makes the list; of two entries with one hash the later one counts.
    #[must_use]
    pub fn new(seed: Seed, torrents: impl IntoIterator<Item = ListedTorrent>) -> Self {
        let mut entries: HashTable<Entry> = HashTable::new();
        for ListedTorrent { info_hash, name, banned } in torrents {
            let banned = banned.map(|reason| ban_text(&reason));
            let details =
                (name.is_some() || banned.is_some()).then(|| Box::new(Details { name, banned }));
            let hash = seed.hash(info_hash.as_bytes());
            match entries.find_mut(hash, |entry| entry.info_hash == info_hash) {
                Some(entry) => entry.details = details,
                None => {
                    entries.insert_unique(hash, Entry { info_hash, details }, |entry| {
                        seed.hash(entry.info_hash.as_bytes())
                    });
                }
            }
        }
        entries.shrink_to_fit(|entry| seed.hash(entry.info_hash.as_bytes()));
        Self { seed, entries }
    }

    /// Torrents on the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is on the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a torrent is on the list.
    #[must_use]
    pub fn contains(&self, info_hash: &InfoHash) -> bool {
        self.find(info_hash).is_some()
    }

    /// The name of a torrent, if the list has one.
    #[must_use]
    pub fn name(&self, info_hash: &InfoHash) -> Option<&str> {
        self.find(info_hash)?.details.as_ref()?.name.as_deref()
    }

    /// Every torrent on the list, in no particular order, and whether it is banned.
    pub fn iter(&self) -> impl Iterator<Item = (&InfoHash, bool)> {
        self.entries.iter().map(|entry| (&entry.info_hash, entry.banned().is_some()))
    }

    fn find(&self, info_hash: &InfoHash) -> Option<&Entry> {
        let hash = self.seed.hash(info_hash.as_bytes());
        self.entries.find(hash, |entry| entry.info_hash == *info_hash)
    }
}

impl Entry {
    fn banned(&self) -> Option<&str> {
        self.details.as_ref()?.banned.as_deref()
    }
}

/// Clients stop asking when they read this, so every text of a torrent that is gone begins with it.
pub(super) const UNREGISTERED: &str = "Unregistered torrent";
pub(super) const BANNED: &str = "Unregistered torrent: banned";

fn ban_text(reason: &str) -> Box<str> {
    if reason.is_empty() { BANNED.into() } else { [BANNED, ": ", reason].concat().into() }
}

pub(super) fn check<'a>(rules: &'a Rules, announce: &Announce) -> Result<(), Refusal<'a>> {
    verdict(rules, &announce.request.info_hash)
}

pub(super) fn verdict<'a>(rules: &'a Rules, info_hash: &InfoHash) -> Result<(), Refusal<'a>> {
    if !rules.torrents_denied.is_empty() && rules.torrents_denied.contains(info_hash) {
        return Err(Refusal::Unregistered);
    }
    match rules.access {
        TorrentAccess::Open => Ok(()),
        TorrentAccess::Listed => match rules.torrents.find(info_hash) {
            None => Err(Refusal::Unregistered),
            Some(entry) => match entry.banned() {
                None => Ok(()),
                Some(text) => Err(Refusal::Banned { text }),
            },
        },
        TorrentAccess::Unlisted if rules.torrents.contains(info_hash) => Err(Refusal::Unregistered),
        TorrentAccess::Unlisted => Ok(()),
    }
}

pub(super) fn check_member<'a>(rules: &'a Rules, asking: &mut Asking<'_>) -> Result<(), No<'a>> {
    let info_hash = &asking.announce.request.info_hash;
    if rules.torrents_denied.contains(info_hash) {
        return Err(Refusal::Unregistered.into());
    }
    let Some(listing) = asking.site.listing(info_hash, asking.reason) else {
        return Ok(unlisted(rules, asking.site, info_hash)?);
    };
    let owns = asking.account.is_some_and(|account| Some(account.user) == listing.owner);
    match listing.state {
        TorrentState::Approved => {}
        TorrentState::Pending if owns => {}
        TorrentState::Pending => return Err(Refusal::Pending.into()),
        TorrentState::Banned => return Err(No::Banned),
        TorrentState::Deleted => return Err(No::Deleted),
    }
    asking.listing = Some(listing);
    Ok(())
}

/// Whether some may announce a torrent.
pub(super) fn is_served(rules: &Rules, site: &dyn Membership, info_hash: &InfoHash) -> bool {
    if rules.torrents_denied.contains(info_hash) {
        return false;
    }
    match site.listing(info_hash, &mut Reason::default()).map(|listing| listing.state) {
        Some(state) => matches!(state, TorrentState::Approved | TorrentState::Pending),
        None => unlisted(rules, site, info_hash).is_ok(),
    }
}

/// What becomes of a torrent that the site does not know. Traffic in it could not be counted.
fn unlisted<'a>(
    rules: &'a Rules,
    site: &dyn Membership,
    info_hash: &InfoHash,
) -> Result<(), Refusal<'a>> {
    if site.wants_passkey() { Err(Refusal::Unregistered) } else { verdict(rules, info_hash) }
}
