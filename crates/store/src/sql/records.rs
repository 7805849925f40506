//! Records of a site as rows: the columns of each table, rows made into records and records into rows.
//!
//! Cells are text here, whatever their types are in a database; knows no statement.

use std::str::FromStr;

use skep_engine::ledger::{Family, SessionState, Sums, Traffic};
use skep_engine::site::{
    Ban, Change, Client, Factor, FactorId, Group, GroupId, Permille, Target, Torrent,
    TorrentGroupId, TorrentId, TorrentState, User, UserId,
};
use skep_proto::{InfoHash, PeerId};

use crate::driver::{DriverError, Record};

/// A table of the tracker's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Its columns; first those by which its rows are told apart.
    pub(super) columns: &'static [&'static str],
    /// How many those are.
    pub(super) key: usize,
}

/// The columns of every sum, in the order of [`numbers`].
pub(super) const SUMS: &[&str] = &[
    "raw_uploaded_bytes",
    "raw_downloaded_bytes",
    "credited_uploaded_bytes",
    "credited_downloaded_bytes",
    "held_uploaded_bytes",
    "held_downloaded_bytes",
    "settled_uploaded_bytes",
    "settled_downloaded_bytes",
    "corrupt_bytes",
    "seeding_secs",
    "leeching_secs",
    "active_secs",
    "completions",
];

pub(super) const GROUPS: Table = Table {
    name: "skep_groups",
    columns: &[
        "id",
        "name",
        "may_leech",
        "slots",
        "peers_max",
        "upload_permille",
        "download_permille",
    ],
    key: 1,
};

pub(super) const USERS: Table = Table {
    name: "skep_users",
    columns: &[
        "id",
        "passkey",
        "group_id",
        "may_leech",
        "hidden",
        "disabled",
        "slots",
        "peers_max",
        "upload_permille",
        "download_permille",
        "key_version",
    ],
    key: 1,
};

pub(super) const TORRENTS: Table = Table {
    name: "skep_torrents",
    columns: &[
        "id",
        "info_hash",
        "name",
        "state",
        "reason",
        "owner_id",
        "group_id",
        "upload_permille",
        "download_permille",
        "key_salt",
    ],
    key: 1,
};

pub(super) const FACTORS: Table = Table {
    name: "skep_factors",
    columns: &[
        "id",
        "scope",
        "group_id",
        "user_id",
        "torrent_group_id",
        "torrent_id",
        "upload_permille",
        "download_permille",
        "neutral",
        "starts_at",
        "ends_at",
        "budget_bytes",
    ],
    key: 1,
};

pub(super) const CLIENTS: Table =
    Table { name: "skep_clients", columns: &["prefix", "allowed"], key: 1 };

pub(super) const BANS: Table =
    Table { name: "skep_bans", columns: &["address", "prefix_len", "reason"], key: 2 };

pub(super) const SESSIONS: Table = Table {
    name: "skep_sessions",
    columns: &[
        "user_id",
        "torrent_id",
        "peer_id",
        "journal",
        "peer_key",
        "uploaded_bytes",
        "downloaded_bytes",
        "corrupt_bytes",
        "family",
        "seeds",
        "open",
        "pass_counted",
        "address",
        "port",
        "seen_at",
    ],
    key: 4,
};

/// How much of a cell that is not what it should be is told.
const CELL_CHARS_SHOWN: usize = 60;

/// The cells of a row in the order of its table's columns; NULL for columns that are not used.
pub(crate) struct Cells<'a> {
    /// The table's name, for messages.
    pub(super) table: &'a str,
    pub(super) columns: &'static [&'static str],
    pub(super) cells: &'a [Option<&'a str>],
}

impl Cells<'_> {
    fn wrong(&self, at: usize, allowed: &str) -> DriverError {
        let (table, column) = (self.table, self.columns[at]);
        let row = self.cells[0].unwrap_or("NULL");
        let found = match self.cells[at] {
            None => "NULL".to_owned(),
            Some(cell) => format!("{:?}", cell.chars().take(CELL_CHARS_SHOWN).collect::<String>()),
        };
        DriverError::Schema(format!(
            "{table}, row {row}, {column}: found is {found}, allowed is {allowed}"
        ))
    }

    fn parsed<T: FromStr>(&self, at: usize, allowed: &str) -> Result<Option<T>, DriverError> {
        let parse = |cell: &str| cell.parse().map_err(|_| self.wrong(at, allowed));
        self.cells[at].map(parse).transpose()
    }

    fn small(&self, at: usize) -> Result<Option<u32>, DriverError> {
        self.parsed(at, "a number from 0 to 4294967295")
    }

    fn id(&self, at: usize) -> Result<u32, DriverError> {
        self.small(at)?.ok_or_else(|| self.wrong(at, "a number from 0 to 4294967295"))
    }

    fn big(&self, at: usize) -> Result<Option<u64>, DriverError> {
        self.parsed(at, "a number from 0 on")
    }

    /// 64 bits as clients say them, which are a negative number where columns know no others.
    fn bits(&self, at: usize) -> Result<u64, DriverError> {
        let cell = self.cells[at].unwrap_or_default();
        let bits = cell.parse::<u64>().or_else(|_| cell.parse().map(i64::cast_unsigned));
        bits.map_err(|_| self.wrong(at, "a number of 64 bits"))
    }

    fn flag(&self, at: usize, default: bool) -> Result<bool, DriverError> {
        match self.cells[at] {
            None => Ok(default),
            Some("0" | "false" | "f" | "no" | "n" | "") => Ok(false),
            Some("true" | "t" | "yes" | "y") => Ok(true),
            Some(cell) if cell.parse::<i64>().is_ok() => Ok(true),
            Some(_) => Err(self.wrong(at, "a number, yes or no")),
        }
    }

    fn text(&self, at: usize) -> Option<Box<str>> {
        self.cells[at].map(Into::into)
    }

    fn permille(&self, at: usize) -> Result<Permille, DriverError> {
        Ok(self.small(at)?.map_or(Permille::ONE, Permille))
    }

    fn digits<const N: usize>(&self, at: usize) -> Result<[u8; N], DriverError> {
        let cell = self.cells[at].unwrap_or_default().as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut bytes = [0; N];
        let mut is_good = cell.len() == 2 * N;
        for (byte, pair) in bytes.iter_mut().zip(cell.chunks_exact(2)) {
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
                _ => is_good = false,
            }
        }
        if is_good {
            return Ok(bytes);
        }
        Err(self.wrong(at, &format!("{N} bytes, or {} hexadecimal digits", 2 * N)))
    }

    pub(super) fn group(&self) -> Result<Option<Change>, DriverError> {
        Ok(Some(Change::PutGroup(Group {
            id: GroupId(self.id(0)?),
            name: self.text(1).unwrap_or_default(),
            may_leech: self.flag(2, true)?,
            slots: self.small(3)?,
            peers_max: self.small(4)?,
            upload: self.permille(5)?,
            download: self.permille(6)?,
        })))
    }

    pub(super) fn user(&self) -> Result<Option<Change>, DriverError> {
        Ok(Some(Change::PutUser(User {
            id: UserId(self.id(0)?),
            passkey: self.text(1).unwrap_or_default(),
            group: GroupId(self.small(2)?.unwrap_or_default()),
            may_leech: self.flag(3, true)?,
            hidden: self.flag(4, false)?,
            disabled: self.flag(5, false)?,
            slots: self.small(6)?,
            peers_max: self.small(7)?,
            upload: self.permille(8)?,
            download: self.permille(9)?,
            key_version: self.small(10)?.unwrap_or_default(),
        })))
    }

    /// A torrent, unless it has no info hash yet.
    pub(super) fn torrent(&self) -> Result<Option<Change>, DriverError> {
        if self.cells[1].unwrap_or_default().is_empty() {
            return Ok(None);
        }
        let states = [
            TorrentState::Pending,
            TorrentState::Approved,
            TorrentState::Banned,
            TorrentState::Deleted,
        ];
        let state = match self.cells[3] {
            None => TorrentState::default(),
            Some(word) => states
                .into_iter()
                .find(|state| state_word(*state) == word)
                .ok_or_else(|| self.wrong(3, "pending, approved, banned or deleted"))?,
        };
        Ok(Some(Change::PutTorrent(Torrent {
            id: TorrentId(self.id(0)?),
            info_hash: InfoHash(self.digits(1)?),
            name: self.text(2),
            state,
            reason: self.text(4),
            owner: self.small(5)?.map(UserId),
            group: TorrentGroupId(self.small(6)?.unwrap_or_default()),
            upload: self.permille(7)?,
            download: self.permille(8)?,
            key_salt: self.small(9)?.unwrap_or_default(),
        })))
    }

    pub(super) fn factor(&self) -> Result<Option<Change>, DriverError> {
        let target = match self.cells[1] {
            Some("site") => Target::Site,
            Some("group") => Target::Group(GroupId(self.id(2)?)),
            Some("user") => Target::User(UserId(self.id(3)?)),
            Some("torrent_group") => Target::TorrentGroup(TorrentGroupId(self.id(4)?)),
            Some("torrent") => Target::Torrent(TorrentId(self.id(5)?)),
            Some("token") => Target::Token(UserId(self.id(3)?), TorrentId(self.id(5)?)),
            _ => {
                let words = "site, group, user, torrent_group, torrent or token";
                return Err(self.wrong(1, words));
            }
        };
        Ok(Some(Change::PutFactor(Factor {
            id: FactorId(self.id(0)?),
            target,
            upload: self.permille(6)?,
            download: self.permille(7)?,
            neutral: self.flag(8, false)?,
            starts_unix_secs: self.big(9)?,
            ends_unix_secs: self.big(10)?,
            budget_bytes: self.big(11)?,
        })))
    }

    pub(super) fn client(&self) -> Result<Option<Change>, DriverError> {
        let (prefix, allowed) = (self.text(0).unwrap_or_default(), self.flag(1, false)?);
        Ok(Some(Change::PutClient(Client { prefix, allowed })))
    }

    pub(super) fn ban(&self) -> Result<Option<Change>, DriverError> {
        let allowed = "an address";
        let address = self.parsed(0, allowed)?.ok_or_else(|| self.wrong(0, allowed))?;
        let allowed = "a number from 0 to 128";
        let prefix_len = self.parsed(1, allowed)?.ok_or_else(|| self.wrong(1, allowed))?;
        let reason = self.text(2).unwrap_or_default();
        Ok(Some(Change::PutBan(Ban { address, prefix_len, reason })))
    }

    pub(super) fn session(&self) -> Result<Record, DriverError> {
        let families = [Family::Ipv4, Family::Ipv6, Family::Webrtc];
        let family = self.id(8)?;
        let family = families.into_iter().find(|known| *known as u32 == family);
        let state = SessionState {
            user: UserId(self.id(0)?),
            torrent: TorrentId(self.id(1)?),
            peer_id: PeerId(self.digits(2)?),
            peer_key: self.id(4)?,
            counters: Traffic { uploaded_bytes: self.bits(5)?, downloaded_bytes: self.bits(6)? },
            corrupt_bytes: self.bits(7)?,
            family: family.ok_or_else(|| self.wrong(8, "0, 1 or 2"))?,
            seeds: self.flag(9, false)?,
            open: self.flag(10, false)?,
            pass_counted: self.flag(11, false)?,
        };
        let address = self.parsed::<std::net::IpAddr>(12, "an address")?;
        let port = self.parsed::<u16>(13, "a number from 0 to 65535")?;
        let endpoint = address.zip(port).map(Into::into);
        Ok(Record::of_session(state, self.big(14)?.unwrap_or_default(), endpoint))
    }

    /// Sums whose columns are the row's last ones.
    pub(super) fn sums(&self) -> Result<Sums, DriverError> {
        let first = self.columns.len() - SUMS.len();
        let number = |at| self.big(first + at).map(Option::unwrap_or_default);
        let traffic = |at| {
            let (uploaded_bytes, downloaded_bytes) = (number(at)?, number(at + 1)?);
            Ok::<_, DriverError>(Traffic { uploaded_bytes, downloaded_bytes })
        };
        Ok(Sums {
            raw: traffic(0)?,
            credited: traffic(2)?,
            held: traffic(4)?,
            settled: traffic(6)?,
            corrupt_bytes: number(8)?,
            seeding_secs: number(9)?,
            leeching_secs: number(10)?,
            active_secs: number(11)?,
            completions: number(12)?,
        })
    }
}

/// Sums in the order of [`SUMS`].
pub(super) const fn numbers(sums: &Sums) -> [u64; 13] {
    [
        sums.raw.uploaded_bytes,
        sums.raw.downloaded_bytes,
        sums.credited.uploaded_bytes,
        sums.credited.downloaded_bytes,
        sums.held.uploaded_bytes,
        sums.held.downloaded_bytes,
        sums.settled.uploaded_bytes,
        sums.settled.downloaded_bytes,
        sums.corrupt_bytes,
        sums.seeding_secs,
        sums.leeching_secs,
        sums.active_secs,
        sums.completions,
    ]
}

pub(super) const fn state_word(state: TorrentState) -> &'static str {
    match state {
        TorrentState::Pending => "pending",
        TorrentState::Approved => "approved",
        TorrentState::Banned => "banned",
        TorrentState::Deleted => "deleted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent(cells: [Option<&str>; 10]) -> Result<Option<Change>, DriverError> {
        Cells { table: "t", columns: TORRENTS.columns, cells: &cells }.torrent()
    }

    #[test]
    fn flags_are_read_as_sites_write_them() {
        for (cell, expected) in [
            (Some("0"), Some(false)),
            (Some("no"), Some(false)),
            (Some("false"), Some(false)),
            (Some(""), Some(false)),
            (Some("1"), Some(true)),
            (Some("-1"), Some(true)),
            (Some("yes"), Some(true)),
            (Some("t"), Some(true)),
            (None, Some(true)),
            (Some("perhaps"), None),
        ] {
            let cells = Cells { table: "t", columns: &["id", "flag"], cells: &[None, cell] };
            assert_eq!(cells.flag(1, true).ok(), expected, "{cell:?}");
        }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let digits = "0123456789abcdef0123456789ABCDEF01234567";
        let mut cells = [None; 10];
        (cells[0], cells[1]) = (Some("7"), Some(digits));
        let Some(Change::PutTorrent(found)) = torrent(cells).unwrap() else { panic!("no torrent") };
        let mut info_hash = [0; 20];
        for (byte, at) in info_hash.iter_mut().zip(0..) {
            *byte = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][at % 8];
        }
        let info_hash = InfoHash(info_hash);
        assert_eq!(found, Torrent { id: TorrentId(7), info_hash, ..Torrent::default() });
        assert_eq!(
            torrent([Some("7"), None, None, None, None, None, None, None, None, None]).unwrap(),
            None
        );
    }

    #[test]
    fn a_cell_that_is_wrong_is_told_with_its_row_and_what_is_allowed() {
        let digits = "0123456789abcdef0123456789abcdef0123456";
        let long = format!("{digits}77");
        for (at, cell, allowed) in [
            (0, "x", "a number"),
            (0, "4294967296", "4294967295"),
            (1, digits, "40 hexadecimal"),
            (1, &long, "40 hexadecimal"),
            (1, "0123456789abcdef0123456789abcdef0123456g", "20 bytes"),
            (3, "open", "pending, approved"),
            (7, "-1", "0 to"),
        ] {
            let mut cells = [None; 10];
            (cells[0], cells[1]) = (Some("7"), Some(&*long).map(|long| &long[..40]));
            cells[at] = Some(cell);
            let text = torrent(cells).unwrap_err().to_string();
            let row = if at == 0 { cell } else { "7" };
            assert!(text.contains(&format!("t, row {row}, {}", TORRENTS.columns[at])), "{text}");
            assert!(text.contains(allowed), "{text}");
        }
    }
}
