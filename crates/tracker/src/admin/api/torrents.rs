//! Torrents.
//!
//! A torrent is named by its number or by its info hash; it is put by its number alone.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use skep_engine::site::{
    Change, NAME_BYTES_MAX, Permille, REASON_BYTES_MAX, Torrent, TorrentGroupId, TorrentId,
    TorrentState, UserId,
};

use super::asked::{Asked, Segments};
use super::fields::{Field, Fields, ID, Kind, number, text};
use super::keys::{self, TorrentKey};
use super::records::{self, Extent, Page, Record};
use super::{Api, hex, openapi};
use crate::admin::problem::{Fault, Problem};
use crate::config::Scope;
use crate::site::Site;

/// What a byte may count for: not at all, or up to a thousand times.
pub(super) const PERMILLE: Kind = Kind::Number { min: 0, max: 1_000_000 };
/// Any number that fits 32 bits.
pub(super) const NUMBER: Kind = Kind::Number { min: 0, max: u32::MAX as u64 };

const STATES: &[(&str, TorrentState)] = &[
    ("pending", TorrentState::Pending),
    ("approved", TorrentState::Approved),
    ("banned", TorrentState::Banned),
    ("deleted", TorrentState::Deleted),
];
const STATE_WORDS: &[&str] = &["pending", "approved", "banned", "deleted"];

impl Record for Torrent {
    const KIND: &'static str = "torrents";
    const UNIQUE: &'static str = "info_hash";
    const FIELDS: &'static [Field] = &[
        Field::new("info_hash", Kind::InfoHash, "Its info hash, in hexadecimal digits.").required(),
        Field::new("name", Kind::Line { bytes_max: NAME_BYTES_MAX }, "What people call it.")
            .or_null(),
        Field::new(
            "state",
            Kind::Word(STATE_WORDS),
            "Whether it is served; approved if not given.",
        ),
        Field::new(
            "reason",
            Kind::Line { bytes_max: REASON_BYTES_MAX },
            "Why it is not, for clients.",
        )
        .or_null(),
        Field::new(
            "owner",
            ID,
            "The user who brought it, and may announce it while it is pending.",
        )
        .or_null(),
        Field::new("group", NUMBER, "Its group; 0 for none."),
        Field::new("upload", PERMILLE, "What an uploaded byte counts for, in per mille."),
        Field::new("download", PERMILLE, "What a downloaded byte counts for, in per mille."),
        Field::new("key_salt", NUMBER, "The salt of derived keys; another one voids all of them."),
    ];

    fn new(id: u32) -> Self {
        Self { id: TorrentId(id), ..Self::default() }
    }

    fn id(&self) -> u32 {
        self.id.0
    }

    fn take(&mut self, fields: &Fields, _at: &str, _faults: &mut Vec<Fault>) {
        for (name, value) in fields {
            match name.as_str() {
                "info_hash" => {
                    let info_hash = value.as_str().and_then(keys::info_hash);
                    self.info_hash = info_hash.unwrap_or(self.info_hash);
                }
                "name" => self.name = text(value),
                "state" => self.state = state(value.as_str()).unwrap_or(self.state),
                "reason" => self.reason = text(value),
                "owner" => self.owner = number(value).map(UserId),
                "group" => self.group = TorrentGroupId(number(value).unwrap_or_default()),
                "upload" => self.upload = Permille(number(value).unwrap_or_default()),
                "download" => self.download = Permille(number(value).unwrap_or_default()),
                "key_salt" => self.key_salt = number(value).unwrap_or_default(),
                _ => {}
            }
        }
    }

    fn show(&self, _secrets: bool) -> Value {
        let word = STATES.iter().find(|(_, state)| *state == self.state).map(|(word, _)| *word);
        json!({
            "id": self.id.0,
            "info_hash": hex(self.info_hash.as_bytes()),
            "name": self.name,
            "state": word,
            "reason": self.reason,
            "owner": self.owner.map(|owner| owner.0),
            "group": self.group.0,
            "upload": self.upload.0,
            "download": self.download.0,
            "key_salt": self.key_salt,
        })
    }

    fn find(site: &Site, id: u32) -> Option<Self> {
        site.torrent(TorrentId(id))
    }

    fn for_each(site: &Site, visit: &mut dyn FnMut(&Self)) {
        site.for_each_torrent(visit);
    }

    fn put(self) -> Change {
        Change::PutTorrent(self)
    }

    fn remove(id: u32) -> Change {
        Change::RemoveTorrent(TorrentId(id))
    }

    fn unique(&self) -> Option<String> {
        Some(hex(self.info_hash.as_bytes()))
    }

    fn holder(&self, site: &Site) -> Option<u32> {
        site.torrent_by_hash(&self.info_hash).map(|torrent| torrent.id.0)
    }
}

fn state(word: Option<&str>) -> Option<TorrentState> {
    STATES.iter().find(|(known, _)| Some(*known) == word).map(|(_, state)| *state)
}

/// The number of a torrent that is known.
fn id_of(api: &Api, key: &str) -> Result<u32, Problem> {
    api.keep_records()?;
    match keys::torrent(key)? {
        TorrentKey::Id(id) => Ok(id),
        TorrentKey::InfoHash(info_hash) => {
            let torrent = api.books.site().torrent_by_hash(&info_hash);
            torrent.map(|torrent| torrent.id.0).ok_or_else(records::unknown)
        }
    }
}

/// Lists torrents by number.
#[utoipa::path(get, path = "/api/v1/torrents", tag = "torrents", security(("bearer" = ["read"])),
    params(
        ("after" = Option<u32>, Query, description = "Lists torrents with greater numbers: `next` of the page before.", minimum = 0, maximum = 4294967295_u32),
        ("limit" = Option<u32>, Query, description = "Records of a page; 100 if not given.", minimum = 1, maximum = 1000),
        ("state" = Option<String>, Query, description = "Lists torrents in this state alone.", pattern = "^(pending|approved|banned|deleted)$"),
    ),
    responses((status = 200, description = "A page of the list.", body = openapi::TorrentList)))]
pub(super) async fn list_torrents(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [after, limit, word] = asked.query(["after", "limit", "state"])?;
    let wanted = state(word);
    if word.is_some() && wanted.is_none() {
        return Err(keys::bad("state", format!("must be one of {}", STATE_WORDS.join(", "))));
    }
    let keep = move |torrent: &Torrent| wanted.is_none_or(|state| state == torrent.state);
    records::list(api, Page::new(after, limit)?, false, keep).await
}

/// Shows a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{torrent}", tag = "torrents", security(("bearer" = ["read"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    responses((status = 200, description = "The torrent.", body = openapi::TorrentShown)))]
pub(super) async fn get_torrent(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    records::get::<Torrent>(&api, id_of(&api, &key)?, &asked, false)
}

/// Puts a torrent: adds it, or replaces all of it.
///
/// A torrent that is banned or deleted, or gets another info hash, loses its swarm.
#[utoipa::path(put, path = "/api/v1/torrents/{torrent}", tag = "torrents", security(("bearer" = ["write"])),
    params(("torrent" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::TorrentPut,
    responses(
        (status = 200, description = "The torrent, which was there before.", body = openapi::TorrentShown),
        (status = 201, description = "The torrent, which is new.", body = openapi::TorrentShown)))]
pub(super) async fn put_torrent(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<Torrent>(api, keys::id(&id)?, asked, Extent::Whole).await
}

/// Changes the fields of a torrent that are given (RFC 7396).
#[utoipa::path(patch, path = "/api/v1/torrents/{torrent}", tag = "torrents", security(("bearer" = ["write"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    request_body = openapi::TorrentPatch,
    responses((status = 200, description = "The torrent as it is now.", body = openapi::TorrentShown)))]
pub(super) async fn patch_torrent(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    let id = id_of(&api, &key)?;
    records::put::<Torrent>(api, id, asked, Extent::Part).await
}

/// Forgets a torrent and drops its swarm.
#[utoipa::path(delete, path = "/api/v1/torrents/{torrent}", tag = "torrents", security(("bearer" = ["write"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_torrent(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    let id = id_of(&api, &key)?;
    records::remove::<Torrent>(api, id, asked).await
}

/// Puts and removes up to 10,000 torrents together, all or none.
///
/// Removals come first. An info hash that another torrent has is free only if that one is removed.
#[utoipa::path(post, path = "/api/v1/torrents/bulk", tag = "torrents", security(("bearer" = ["write"])),
    request_body = openapi::TorrentMany,
    responses((status = 200, description = "What was done.", body = openapi::ManyDone)))]
pub(super) async fn change_torrents(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::change_many::<Torrent>(api, asked).await
}
