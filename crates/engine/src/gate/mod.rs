//! The rules an announce must pass before a swarm hears of it.
//!
//! One file a rule, in the fixed order of [`GATES`], and `rate` for how often. A gate only reads: what
//! it refuses leaves no trace in memory. Where the lists come from is not known here.

mod address;
mod client;
mod members;
mod own;
mod passkey;
mod port;
mod rate;
mod torrent;
mod user;

pub use address::AddressRanges;
pub use client::ClientPrefixes;
pub use members::{Account, Listing, Membership, Reason};
pub use own::{OWN_GATES_MAX, OwnGate, OwnGates};
pub use rate::RateTable;
pub use torrent::{ListedTorrent, TorrentAccess, TorrentList};

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skep_proto::InfoHash;
use skep_proto::http::Passkey;

use self::members::{Asking, No};
use crate::site::{Member, TorrentState};
use crate::swarm::Announce;

/// The rules in force; made anew when lists are read again, and never changed in between.
#[derive(Debug, Default)]
pub struct Rules {
    /// Addresses that are turned away.
    pub addresses_denied: AddressRanges,
    /// If not empty, a peer id must begin with one of these.
    pub clients_allowed: ClientPrefixes,
    /// A peer id must begin with none of these.
    pub clients_denied: ClientPrefixes,
    /// How [`Rules::torrents`] is meant.
    pub access: TorrentAccess,
    /// The torrents that the access mode speaks of.
    pub torrents: TorrentList,
    /// Torrents that are denied whatever the mode.
    pub torrents_denied: TorrentList,
    /// Whether ports of well-known services are refused.
    pub ports_reserved_denied: bool,
    /// The site, if torrents or users are known from one.
    pub site: Option<Arc<dyn Membership>>,
}

/// The "no" of a rule, in words that clients and operators know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// The address cannot be a peer's: unspecified, multicast or broadcast.
    InvalidIp,
    /// The address is denied by the operator.
    AddressDenied,
    /// The client software is not allowed.
    ClientNotAllowed,
    /// The torrent is not on the allow list, or it is denied.
    Unregistered,
    /// The torrent is registered but banned.
    Banned {
        /// The whole text for the client, the operator's reason included.
        text: &'a str,
    },
    /// Port 0, or a port that peers must not use.
    InvalidPort,
    /// No passkey, or one that nobody has.
    PasskeyNotFound,
    /// The user is turned away.
    AccountDisabled,
    /// The user may seed, but not download.
    MayNotLeech,
    /// The torrent waits for approval.
    Pending,
    /// The torrent was served once.
    Deleted {
        /// The whole text for the client, the site's reason included.
        text: &'a str,
    },
    /// The user downloads as many torrents as the user may at once.
    NoSlotFree,
    /// The user has as many sessions in the torrent as the user may.
    TooManyClients,
    /// What the announce counts for could not be written down.
    NotRecorded,
    /// A gate of the operator's own program says no.
    Own {
        /// Which of them.
        number: usize,
        /// The text for the client.
        text: &'a str,
    },
}

impl<'a> Refusal<'a> {
    /// Labels of all refusals but those of gates of one's own, in the order of [`Refusal::index`].
    pub const LABELS: [&'static str; 14] = [
        "invalid_ip",
        "address_denied",
        "client_not_allowed",
        "unregistered_torrent",
        "banned_torrent",
        "port_not_allowed",
        "passkey_not_found",
        "account_disabled",
        "leeching_not_allowed",
        "pending_torrent",
        "deleted_torrent",
        "no_slot_free",
        "too_many_clients",
        "not_recorded",
    ];

    /// Every refusal but those of gates of one's own, in the order of [`Refusal::index`]. Where a text
    /// tells a reason, this one stands for it.
    pub const KNOWN: [Refusal<'static>; 14] = [
        Refusal::InvalidIp,
        Refusal::AddressDenied,
        Refusal::ClientNotAllowed,
        Refusal::Unregistered,
        Refusal::Banned { text: "Unregistered torrent: banned: REASON" },
        Refusal::InvalidPort,
        Refusal::PasskeyNotFound,
        Refusal::AccountDisabled,
        Refusal::MayNotLeech,
        Refusal::Pending,
        Refusal::Deleted { text: "Unregistered torrent: REASON" },
        Refusal::NoSlotFree,
        Refusal::TooManyClients,
        Refusal::NotRecorded,
    ];

    /// How many numbers to count by there are: the labels, and then one for each gate of one's own.
    pub const COUNT: usize = Self::LABELS.len() + OWN_GATES_MAX;

    /// Position in [`Refusal::LABELS`] or behind it, to count by.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::InvalidIp => 0,
            Self::AddressDenied => 1,
            Self::ClientNotAllowed => 2,
            Self::Unregistered => 3,
            Self::Banned { .. } => 4,
            Self::InvalidPort => 5,
            Self::PasskeyNotFound => 6,
            Self::AccountDisabled => 7,
            Self::MayNotLeech => 8,
            Self::Pending => 9,
            Self::Deleted { .. } => 10,
            Self::NoSlotFree => 11,
            Self::TooManyClients => 12,
            Self::NotRecorded => 13,
            Self::Own { number, .. } => Self::LABELS.len() + number,
        }
    }

    /// The text that the client gets.
    #[must_use]
    pub const fn text(self) -> &'a str {
        match self {
            Self::InvalidIp => "invalid ip",
            Self::AddressDenied => "address not allowed",
            Self::ClientNotAllowed => "client not allowed",
            Self::Unregistered => "Unregistered torrent",
            Self::Banned { text } | Self::Deleted { text } => text,
            Self::InvalidPort => "invalid port",
            Self::PasskeyNotFound => "Passkey not found",
            Self::AccountDisabled => "Your account is disabled",
            Self::MayNotLeech => "Your account may not download",
            Self::Pending => "Torrent is not approved yet",
            Self::NoSlotFree => "All your download slots are in use",
            Self::TooManyClients => "You have too many clients on this torrent",
            Self::NotRecorded => "Not recorded, try again",
            Self::Own { text, .. } => text,
        }
    }

    /// Whether asking again is useless, so that clients may be told to stop (BEP 31).
    #[must_use]
    pub const fn is_final(self) -> bool {
        let comes_again = matches!(
            self,
            Self::InvalidIp | Self::InvalidPort | Self::NotRecorded | Self::Own { .. }
        );
        !comes_again && !self.is_passing()
    }

    /// Whether asking again helps some day, and not soon.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::MayNotLeech | Self::Pending | Self::NoSlotFree | Self::TooManyClients)
    }
}

type Check = for<'a> fn(&'a Rules, &Announce) -> Result<(), Refusal<'a>>;

/// One rule: what it is called, what it may answer, and how it decides.
#[derive(Debug)]
pub struct Gate {
    /// Name for documents and metrics.
    pub name: &'static str,
    /// One sentence for the operator.
    pub doc: &'static str,
    /// Labels of the refusals that it may give.
    pub refusals: &'static [&'static str],
    /// How it decides where no site is asked, if it has anything to decide then.
    check: Option<Check>,
    /// How it decides with a site.
    check_member: for<'a> fn(&'a Rules, &mut Asking<'_>) -> Result<(), No<'a>>,
}

/// Every rule, in the order in which they are asked. The first "no" is the answer.
pub const GATES: &[Gate] = &[
    Gate {
        name: "address",
        doc: "Refuses addresses that no peer can have, those of `access.addresses_deny` and those that the site bans.",
        refusals: &["invalid_ip", "address_denied"],
        check: Some(address::check),
        check_member: address::check_member,
    },
    Gate {
        name: "passkey",
        doc: "Finds the user of the passkey where `mode` is private.",
        refusals: &["passkey_not_found"],
        check: None,
        check_member: passkey::check_member,
    },
    Gate {
        name: "client",
        doc: "Compares the peer id with `access.clients_allow`, `access.clients_deny` and the clients of the site.",
        refusals: &["client_not_allowed"],
        check: Some(client::check),
        check_member: client::check_member,
    },
    Gate {
        name: "user",
        doc: "Refuses users who are disabled, and downloads of those who may not.",
        refusals: &["account_disabled", "leeching_not_allowed"],
        check: None,
        check_member: user::check_member,
    },
    Gate {
        name: "torrent",
        doc: "Looks the info hash up in the torrent lists and among the torrents of the site, as `mode` and `access.torrents` say.",
        refusals: &["unregistered_torrent", "banned_torrent", "pending_torrent", "deleted_torrent"],
        check: Some(torrent::check),
        check_member: torrent::check_member,
    },
    Gate {
        name: "port",
        doc: "Refuses ports of well-known services where `access.ports_reserved_deny` is set.",
        refusals: &["port_not_allowed"],
        check: Some(port::check),
        check_member: port::check_member,
    },
    Gate {
        name: "account",
        doc: "Counts what a user downloads at once and the user's clients on the torrent, and writes down what must not be lost, where accounts are kept. Decided with the swarm.",
        refusals: &["no_slot_free", "too_many_clients", "not_recorded"],
        check: None,
        check_member: |_, _| Ok(()),
    },
];

impl Rules {
    /// Asks every gate in turn; tells who announces where users are known. `passkey` is read only
    /// then, and `reason` is room for what a refusal says.
    ///
    /// # Errors
    /// The refusal of the first gate that says no.
    #[inline]
    pub fn admit<'a>(
        &'a self,
        announce: &Announce,
        passkey: Option<Passkey<'_>>,
        reason: &'a mut Reason,
    ) -> Result<Option<Member>, Refusal<'a>> {
        match &self.site {
            None => self.admit_anybody(announce).map(|()| None),
            Some(site) => members::admit(self, &**site, announce, passkey, reason),
        }
    }

    /// Asks every gate in turn where there is no site.
    pub(crate) fn admit_anybody(&self, announce: &Announce) -> Result<(), Refusal<'_>> {
        let mut checks = GATES.iter().filter_map(|gate| gate.check);
        checks.try_for_each(|check| check(self, announce))
    }

    /// Whether announces and scrapes are for users only.
    #[inline]
    #[must_use]
    pub fn wants_passkey(&self) -> bool {
        self.site.as_ref().is_some_and(|site| site.wants_passkey())
    }

    /// Whether somebody may scrape, or be told what else is wrong with a request.
    ///
    /// # Errors
    /// If users are known and this is none.
    pub fn admit_scrape(
        &self,
        passkey: Option<Passkey<'_>>,
        info_hash: Option<&InfoHash>,
    ) -> Result<(), Refusal<'static>> {
        let Some(site) = self.site.as_ref().filter(|site| site.wants_passkey()) else {
            return Ok(());
        };
        match passkey.and_then(|passkey| site.account(passkey, info_hash)) {
            None => Err(Refusal::PasskeyNotFound),
            Some(account) if account.disabled => Err(Refusal::AccountDisabled),
            Some(_) => Ok(()),
        }
    }

    /// Leaves out the torrents, but for the first, that a passkey does not hold for: one that is made
    /// for one torrent tells nothing of others.
    pub fn retain_admitted(&self, passkey: Option<Passkey<'_>>, info_hashes: &mut Vec<InfoHash>) {
        if !self.wants_passkey() {
            return;
        }
        let first = info_hashes.first().copied();
        info_hashes.retain(|info_hash| {
            Some(*info_hash) == first || self.admit_scrape(passkey, Some(info_hash)).is_ok()
        });
    }

    /// Whether a torrent may be announced and scraped, if only by some.
    #[inline]
    #[must_use]
    pub fn serves(&self, info_hash: &InfoHash) -> bool {
        self.serves_all() || self.knows(info_hash)
    }

    /// Whether a torrent may be announced by everybody who may announce at all.
    #[must_use]
    pub fn serves_everybody(&self, info_hash: &InfoHash) -> bool {
        let listing = |site: &Arc<dyn Membership>| {
            site.listing(info_hash, &mut Reason::default()).map(|listing| listing.state)
        };
        let state = self.site.as_ref().and_then(listing);
        self.serves(info_hash) && state != Some(TorrentState::Pending)
    }

    #[inline(never)]
    fn knows(&self, info_hash: &InfoHash) -> bool {
        match &self.site {
            None => torrent::verdict(self, info_hash).is_ok(),
            Some(site) => torrent::is_served(self, &**site, info_hash),
        }
    }

    /// Whether a torrent is served because it is on a list, and not just like any other.
    #[must_use]
    pub fn registers(&self, info_hash: &InfoHash) -> bool {
        self.access == TorrentAccess::Listed && self.serves(info_hash)
    }

    /// What people call a torrent, as a list or the site says.
    #[must_use]
    pub fn name(&self, info_hash: &InfoHash) -> Option<Cow<'_, str>> {
        let listed = self.torrents.name(info_hash).map(Cow::Borrowed);
        listed.or_else(|| Some(Cow::Owned(self.site.as_ref()?.name(info_hash)?.into_string())))
    }

    /// Calls `visit` with the torrents that are served whether or not they have peers; one that is
    /// known from a list and from the site may come twice.
    pub fn for_each_registered(&self, visit: &mut dyn FnMut(&InfoHash)) {
        if self.access != TorrentAccess::Listed {
            return;
        }
        if let Some(site) = &self.site {
            site.for_each_torrent(&mut |info_hash, state| {
                if state == TorrentState::Approved && !self.torrents_denied.contains(info_hash) {
                    visit(info_hash);
                }
            });
        }
        for (info_hash, banned) in self.torrents.iter() {
            if !banned && self.serves(info_hash) {
                visit(info_hash);
            }
        }
    }

    /// A number that changes when the site withdraws a torrent; what rules themselves say never does.
    #[must_use]
    pub fn withdrawals(&self) -> u64 {
        self.site.as_ref().map_or(0, |site| site.withdrawals())
    }

    /// Whether every torrent is served, so that none needs to be looked up.
    #[must_use]
    pub fn serves_all(&self) -> bool {
        self.site.is_none() && self.access == TorrentAccess::Open && self.torrents_denied.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_counts_in_its_own_place() {
        for (place, refusal) in Refusal::KNOWN.into_iter().enumerate() {
            assert_eq!(refusal.index(), place);
        }
    }

    #[test]
    fn every_refusal_belongs_to_one_gate() {
        let mut given: Vec<_> = GATES.iter().flat_map(|gate| gate.refusals).copied().collect();
        given.sort_unstable();
        let mut known = Refusal::LABELS;
        known.sort_unstable();
        assert_eq!(given, known);
    }
}
