//! The rules an announce must pass before a swarm hears of it.
//!
//! One file a rule, in the fixed order of [`GATES`], and `rate` for how often. A gate only reads: what
//! it refuses leaves no trace in memory. Where the lists come from is not known here.

mod address;
mod client;
mod own;
mod port;
mod rate;
mod torrent;

pub use address::AddressRanges;
pub use client::ClientPrefixes;
pub use own::{OWN_GATES_MAX, OwnGate, OwnGates};
pub use rate::RateTable;
pub use torrent::{ListedTorrent, TorrentAccess, TorrentList};

use skep_proto::InfoHash;

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
    pub const LABELS: [&'static str; 9] = [
        "invalid_ip",
        "address_denied",
        "client_not_allowed",
        "unregistered_torrent",
        "banned_torrent",
        "port_not_allowed",
        "no_slot_free",
        "too_many_clients",
        "not_recorded",
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
            Self::NoSlotFree => 6,
            Self::TooManyClients => 7,
            Self::NotRecorded => 8,
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
            Self::Banned { text } => text,
            Self::InvalidPort => "invalid port",
            Self::NoSlotFree => "All your download slots are in use",
            Self::TooManyClients => "You have too many clients on this torrent",
            Self::NotRecorded => "Not recorded, try again",
            Self::Own { text, .. } => text,
        }
    }

    /// Whether asking again is useless, so that clients may be told to stop (BEP 31).
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            Self::InvalidIp
                | Self::InvalidPort
                | Self::NoSlotFree
                | Self::TooManyClients
                | Self::NotRecorded
                | Self::Own { .. }
        )
    }
}

/// One rule: what it is called, what it may answer, and how it decides.
#[derive(Debug)]
pub struct Gate {
    /// Name for documents and metrics.
    pub name: &'static str,
    /// One sentence for the operator.
    pub doc: &'static str,
    /// Labels of the refusals that it may give.
    pub refusals: &'static [&'static str],
    check: for<'a> fn(&'a Rules, &Announce) -> Result<(), Refusal<'a>>,
}

/// Every rule, in the order in which they are asked. The first "no" is the answer.
pub const GATES: &[Gate] = &[
    Gate {
        name: "address",
        doc: "Refuses addresses that no peer can have and those of `access.addresses_deny`.",
        refusals: &["invalid_ip", "address_denied"],
        check: address::check,
    },
    Gate {
        name: "client",
        doc: "Compares the peer id with `access.clients_allow` and `access.clients_deny`.",
        refusals: &["client_not_allowed"],
        check: client::check,
    },
    Gate {
        name: "torrent",
        doc: "Looks the info hash up in the torrent lists, as `mode` and `access.torrents` say.",
        refusals: &["unregistered_torrent", "banned_torrent"],
        check: torrent::check,
    },
    Gate {
        name: "port",
        doc: "Refuses ports of well-known services where `access.ports_reserved_deny` is set.",
        refusals: &["port_not_allowed"],
        check: port::check,
    },
    Gate {
        name: "account",
        doc: "Counts what a user downloads at once and the user's clients on the torrent, and writes down what must not be lost, where accounts are kept. Decided with the swarm.",
        refusals: &["no_slot_free", "too_many_clients", "not_recorded"],
        check: |_, _| Ok(()),
    },
];

impl Rules {
    /// Asks every gate in turn.
    ///
    /// # Errors
    /// The refusal of the first gate that says no.
    pub fn admit(&self, announce: &Announce) -> Result<(), Refusal<'_>> {
        GATES.iter().try_for_each(|gate| (gate.check)(self, announce))
    }

    /// Whether a torrent may be announced and scraped.
    #[must_use]
    pub fn serves(&self, info_hash: &InfoHash) -> bool {
        torrent::verdict(self, info_hash).is_ok()
    }

    /// Whether a torrent is served because it is on a list, and not just like any other.
    #[must_use]
    pub fn registers(&self, info_hash: &InfoHash) -> bool {
        self.access == TorrentAccess::Listed && self.serves(info_hash)
    }

    /// The torrents that are served whether or not they have peers.
    pub fn registered(&self) -> impl Iterator<Item = &InfoHash> {
        let listed = self.access == TorrentAccess::Listed;
        self.torrents
            .iter()
            .filter(move |(info_hash, banned)| {
                listed && !banned && !self.torrents_denied.contains(info_hash)
            })
            .map(|(info_hash, _)| info_hash)
    }

    /// Whether every torrent is served, so that none needs to be looked up.
    #[must_use]
    pub fn serves_all(&self) -> bool {
        self.access == TorrentAccess::Open && self.torrents_denied.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_refusal_belongs_to_one_gate() {
        let mut given: Vec<_> = GATES.iter().flat_map(|gate| gate.refusals).copied().collect();
        given.sort_unstable();
        let mut known = Refusal::LABELS;
        known.sort_unstable();
        assert_eq!(given, known);
    }
}
