//! What gates ask of a site that knows its torrents, and its users if it is a private one.
//!
//! Where the answers are kept is not known here, and no text of a refusal.

use alloc::boxed::Box;
use core::fmt;
use core::net::IpAddr;

use skep_proto::http::Passkey;
use skep_proto::{InfoHash, PeerId};

use super::{Refusal, Rules};
use crate::site::{
    GroupId, Member, Permille, REASON_BYTES_MAX, TorrentGroupId, TorrentId, TorrentState, UserId,
};
use crate::swarm::Announce;

/// A site, as gates see it. Each question is answered at once, and nothing is allocated for it.
pub trait Membership: fmt::Debug + Send + Sync {
    /// Whether announces and scrapes are for users only.
    fn wants_passkey(&self) -> bool;

    /// Whether the site turns an address away.
    fn bans(&self, ip: IpAddr) -> bool;

    /// Whether the site allows the client software with this peer id.
    fn allows_client(&self, peer_id: &PeerId) -> bool;

    /// Whom a passkey stands for; one that is made for a torrent holds for that one only.
    fn account(&self, passkey: Passkey<'_>, info_hash: Option<&InfoHash>) -> Option<Account>;

    /// What the site knows of a torrent. Why it is not served is written to `reason`.
    fn listing(&self, info_hash: &InfoHash, reason: &mut Reason) -> Option<Listing>;

    /// A number that changes when a torrent that was served may not be any more.
    fn withdrawals(&self) -> u64;

    /// Calls `visit` with every torrent of the site, in no particular order.
    fn for_each_torrent(&self, visit: &mut dyn FnMut(&InfoHash, TorrentState));

    /// What people call a torrent.
    fn name(&self, info_hash: &InfoHash) -> Option<Box<str>>;
}

/// A user as gates see one, with what holds for the user's group worked in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// The user.
    pub user: UserId,
    /// The user's group.
    pub group: GroupId,
    /// Whether everything is refused.
    pub disabled: bool,
    /// Whether the user may download.
    pub may_leech: bool,
    /// Whether addresses of the user are kept from storage.
    pub hidden: bool,
    /// Torrents that the user may download at once; `u32::MAX` for no limit.
    pub slots: u32,
    /// Sessions of the user in one torrent; `u32::MAX` for no limit.
    pub peers_max: u32,
    /// What a byte counts for by the user's record, up and down.
    pub of_user: (Permille, Permille),
    /// What it counts for by the record of the group.
    pub of_group: (Permille, Permille),
}

/// A torrent as gates see one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listing {
    /// The torrent.
    pub torrent: TorrentId,
    /// The torrent's group.
    pub group: TorrentGroupId,
    /// Whether it is served.
    pub state: TorrentState,
    /// Who may announce it while it is pending.
    pub owner: Option<UserId>,
    /// What a byte counts for by its record, up and down.
    pub of_torrent: (Permille, Permille),
}

/// Room for the text of a refusal that tells a reason, to be used again for every announce.
#[derive(Clone)]
pub struct Reason {
    /// What stands before the reason ends where the reason begins.
    bytes: [u8; Self::BEFORE_BYTES + REASON_BYTES_MAX],
    len: usize,
}

impl Default for Reason {
    fn default() -> Self {
        Self { bytes: [0; Self::BEFORE_BYTES + REASON_BYTES_MAX], len: 0 }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reason(..)")
    }
}

impl Reason {
    const BEFORE_BYTES: usize = 32;

    /// Takes a reason, cut to [`REASON_BYTES_MAX`] at the end of a character.
    pub fn set(&mut self, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        self.len = reason.len();
        self.bytes[Self::BEFORE_BYTES..][..self.len].copy_from_slice(reason.as_bytes());
    }

    /// `before`, and behind a colon the reason if there is one.
    fn text(&mut self, before: &'static str) -> &str {
        const COLON: &str = ": ";
        let begin = Self::BEFORE_BYTES - COLON.len() - before.len();
        if self.len == 0 {
            return before;
        }
        self.bytes[begin..][..before.len()].copy_from_slice(before.as_bytes());
        self.bytes[Self::BEFORE_BYTES - COLON.len()..][..COLON.len()]
            .copy_from_slice(COLON.as_bytes());
        let text = &self.bytes[begin..Self::BEFORE_BYTES + self.len];
        core::str::from_utf8(text).unwrap_or(before)
    }
}

/// An announce on its way through the gates of a site.
pub(super) struct Asking<'a> {
    pub(super) site: &'a dyn Membership,
    pub(super) announce: &'a Announce,
    pub(super) passkey: Option<Passkey<'a>>,
    pub(super) reason: &'a mut Reason,
    /// Found out by the gate of passkeys.
    pub(super) account: Option<Account>,
    /// Found out by the gate of torrents.
    pub(super) listing: Option<Listing>,
}

impl Asking<'_> {
    fn member(&self) -> Option<Member> {
        let (account, listing) = (self.account?, self.listing?);
        Some(Member {
            user: account.user,
            torrent: listing.torrent,
            group: account.group,
            torrent_group: listing.group,
            of_user: account.of_user,
            of_group: account.of_group,
            of_torrent: listing.of_torrent,
            slots: account.slots,
            peers_max: account.peers_max,
            hidden: account.hidden,
        })
    }
}

/// The "no" of a gate of a site, whose text may have to be made.
#[derive(Clone, Copy)]
pub(super) enum No<'a> {
    Plain(Refusal<'a>),
    Banned,
    Deleted,
}

impl<'a> From<Refusal<'a>> for No<'a> {
    fn from(refusal: Refusal<'a>) -> Self {
        Self::Plain(refusal)
    }
}

/// Asks every gate in turn what the site says.
#[inline(never)]
pub(super) fn admit<'a>(
    rules: &'a Rules,
    site: &'a dyn Membership,
    announce: &Announce,
    passkey: Option<Passkey<'_>>,
    reason: &'a mut Reason,
) -> Result<Option<Member>, Refusal<'a>> {
    reason.len = 0;
    let mut asking =
        Asking { site, announce, passkey, reason: &mut *reason, account: None, listing: None };
    let asked = super::GATES.iter().try_for_each(|gate| (gate.check_member)(rules, &mut asking));
    let member = asking.member();
    match asked {
        Ok(()) => Ok(member),
        Err(No::Plain(refusal)) => Err(refusal),
        Err(No::Banned) => Err(Refusal::Banned { text: reason.text(super::torrent::BANNED) }),
        Err(No::Deleted) => {
            Err(Refusal::Deleted { text: reason.text(super::torrent::UNREGISTERED) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn a_reason_follows_what_it_explains() {
        let mut reason = Reason::default();
        assert_eq!(reason.text("Unregistered torrent"), "Unregistered torrent");
        reason.set("dupe");
        assert_eq!(reason.text("Unregistered torrent"), "Unregistered torrent: dupe");
        let text = "Unregistered torrent: banned: dupe";
        assert_eq!(reason.text("Unregistered torrent: banned"), text);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut reason = Reason::default();
        let long: String = "\u{e4}".repeat(REASON_BYTES_MAX);
        reason.set(&long);
        assert_eq!(reason.text("no").len(), 4 + REASON_BYTES_MAX);
        reason.set(&["x", &long].concat());
        assert_eq!(reason.text("no").len(), 4 + REASON_BYTES_MAX - 1);
    }
}
