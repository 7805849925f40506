//! What a site tells its tracker: users, groups, torrents, factors, clients and bans.
//!
//! Plain values: storage loads them, the API changes them, gates and the ledger read what was made of
//! them; and the tables in which they are found. Nothing is decided here.

mod factors;
mod table;

pub use self::factors::{Clause, FactorTable, Heard, RULE_KEPT_SECS};
pub use self::table::{Directory, Place, Record, Table};

use alloc::boxed::Box;
use core::net::IpAddr;

use skep_proto::InfoHash;

pub use crate::ledger::{Permille, TorrentId, UserId};

/// The number of a group of users in the site's own books; 0 is no group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct GroupId(pub u32);

/// The number of a group of torrents in the site's own books; 0 is no group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TorrentGroupId(pub u32);

/// The number of a factor in the site's own books.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FactorId(pub u32);

/// Longest passkey.
pub const PASSKEY_BYTES_MAX: usize = 64;
/// Longest name of a torrent or a group; a longer one is cut.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest reason for clients; a longer one is cut.
pub const REASON_BYTES_MAX: usize = 160;

/// Somebody with an account.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The site's number.
    pub id: UserId,
    /// What clients prove themselves with, as it stands in URLs.
    pub passkey: Box<str>,
    /// The group.
    pub group: GroupId,
    /// Whether the user may download.
    pub may_leech: bool,
    /// Whether addresses of the user are kept from storage.
    pub hidden: bool,
    /// Whether every announce of the user is refused.
    pub disabled: bool,
    /// Torrents that the user may download at once; unset for what the group says.
    pub slots: Option<u32>,
    /// Sessions of the user in one torrent; unset for what the group says.
    pub peers_max: Option<u32>,
    /// What an uploaded byte counts for.
    pub upload: Permille,
    /// What a downloaded byte counts for.
    pub download: Permille,
    /// The version of derived keys; another one voids all of them.
    pub key_version: u32,
}

impl Default for User {
    fn default() -> Self {
        Self {
            id: UserId::default(),
            passkey: Box::default(),
            group: GroupId::default(),
            may_leech: true,
            hidden: false,
            disabled: false,
            slots: None,
            peers_max: None,
            upload: Permille::ONE,
            download: Permille::ONE,
            key_version: 0,
        }
    }
}

impl core::fmt::Debug for User {
    /// Shows everything but the passkey, which must reach no log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Users with something in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The site's number.
    pub id: GroupId,
    /// What people call it.
    pub name: Box<str>,
    /// Whether its users may download; a user must be allowed as well.
    pub may_leech: bool,
    /// Torrents that each user may download at once; unset for no limit.
    pub slots: Option<u32>,
    /// Sessions of each user in one torrent; unset for no limit.
    pub peers_max: Option<u32>,
    /// What an uploaded byte counts for.
    pub upload: Permille,
    /// What a downloaded byte counts for.
    pub download: Permille,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            id: GroupId::default(),
            name: Box::default(),
            may_leech: true,
            slots: None,
            peers_max: None,
            upload: Permille::ONE,
            download: Permille::ONE,
        }
    }
}

/// Whether a torrent is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TorrentState {
    /// Not yet, except to its owner.
    Pending,
    /// It is.
    #[default]
    Approved,
    /// No more, and clients are told so.
    Banned,
    /// No more: clients are told that nobody knows it, and why.
    Deleted,
}

/// A torrent of the site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torrent {
    /// The site's number.
    pub id: TorrentId,
    /// The torrent.
    pub info_hash: InfoHash,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// Whether it is served.
    pub state: TorrentState,
    /// Why it is not, for clients.
    pub reason: Option<Box<str>>,
    /// Who brought it, and may announce it while it is pending.
    pub owner: Option<UserId>,
    /// The group.
    pub group: TorrentGroupId,
    /// What an uploaded byte counts for.
    pub upload: Permille,
    /// What a downloaded byte counts for.
    pub download: Permille,
    /// The salt of derived keys; another one voids all of them.
    pub key_salt: u32,
}

impl Default for Torrent {
    fn default() -> Self {
        Self {
            id: TorrentId::default(),
            info_hash: InfoHash([0; 20]),
            name: None,
            state: TorrentState::default(),
            reason: None,
            owner: None,
            group: TorrentGroupId::default(),
            upload: Permille::ONE,
            download: Permille::ONE,
            key_salt: 0,
        }
    }
}

/// Whom a factor is made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Target {
    /// Everybody.
    #[default]
    Site,
    /// The users of a group.
    Group(GroupId),
    /// A user.
    User(UserId),
    /// The torrents of a group.
    TorrentGroup(TorrentGroupId),
    /// A torrent.
    Torrent(TorrentId),
    /// A user in a torrent: what sites call a token.
    Token(UserId, TorrentId),
}

/// What traffic counts for, for somebody, for a time and for so many bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Factor {
    /// The site's number.
    pub id: FactorId,
    /// Whom it is made for.
    pub target: Target,
    /// What an uploaded byte counts for.
    pub upload: Permille,
    /// What a downloaded byte counts for.
    pub download: Permille,
    /// Whether nothing counts, whatever other factors say.
    pub neutral: bool,
    /// When it comes into force; unset for always.
    pub starts_unix_secs: Option<u64>,
    /// When it is no longer in force; unset for never.
    pub ends_unix_secs: Option<u64>,
    /// Bytes that it still holds for; unset for any number.
    pub budget_bytes: Option<u64>,
}

impl Default for Factor {
    fn default() -> Self {
        Self {
            id: FactorId::default(),
            target: Target::Site,
            upload: Permille::ONE,
            download: Permille::ONE,
            neutral: false,
            starts_unix_secs: None,
            ends_unix_secs: None,
            budget_bytes: None,
        }
    }
}

/// A rule about client software.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Client {
    /// How peer ids of the client begin.
    pub prefix: Box<str>,
    /// Whether it is allowed. As soon as one client is allowed, all others are not.
    pub allowed: bool,
}

/// Addresses that are turned away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ban {
    /// The first address of the network.
    pub address: IpAddr,
    /// Bits that its addresses have in common.
    pub prefix_len: u8,
    /// Why, for the operator.
    pub reason: Box<str>,
}

/// One change of what a site tells. A `Put` replaces the whole record, or adds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Adds or replaces a user.
    PutUser(User),
    /// Forgets a user.
    RemoveUser(UserId),
    /// Adds or replaces a group.
    PutGroup(Group),
    /// Forgets a group; its users are in none then.
    RemoveGroup(GroupId),
    /// Adds or replaces a torrent.
    PutTorrent(Torrent),
    /// Forgets a torrent, its swarm included.
    RemoveTorrent(TorrentId),
    /// Adds or replaces a factor.
    PutFactor(Factor),
    /// Adds a factor, or replaces all of one but what is left of its budget.
    AmendFactor(Factor),
    /// Forgets a factor.
    RemoveFactor(FactorId),
    /// Adds or replaces a rule about clients.
    PutClient(Client),
    /// Forgets the rule about clients with this prefix.
    RemoveClient(Box<str>),
    /// Adds or replaces a ban.
    PutBan(Ban),
    /// Forgets the ban of a network.
    RemoveBan(IpAddr, u8),
}

/// Who announces, as the gates of a private tracker found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The user.
    pub user: UserId,
    /// The torrent.
    pub torrent: TorrentId,
    /// The user's group.
    pub group: GroupId,
    /// The torrent's group.
    pub torrent_group: TorrentGroupId,
    /// What the user's own record says a byte counts for, up and down.
    pub of_user: (Permille, Permille),
    /// What the group's record says.
    pub of_group: (Permille, Permille),
    /// What the torrent's record says.
    pub of_torrent: (Permille, Permille),
    /// Torrents that the user may download at once; `u32::MAX` for no limit.
    pub slots: u32,
    /// Sessions of the user in one torrent; `u32::MAX` for no limit.
    pub peers_max: u32,
    /// Whether addresses of the user are kept from storage.
    pub hidden: bool,
}
