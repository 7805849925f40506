//! Groups of users.
//!
//! That users name a group that is not there is no mistake: they are in none then.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use skep_engine::site::{Change, Group, GroupId, NAME_BYTES_MAX, Permille};

use super::asked::{Asked, Segments};
use super::fields::{Field, Fields, Kind, number, text};
use super::records::{self, Extent, Page, Record};
use super::torrents::PERMILLE;
use super::users::LIMIT;
use super::{Api, keys, openapi};
use crate::admin::problem::{Fault, Problem};
use crate::config::Scope;
use crate::site::Site;

impl Record for Group {
    const KIND: &'static str = "groups";
    const FIELDS: &'static [Field] = &[
        Field::new("name", Kind::Line { bytes_max: NAME_BYTES_MAX }, "What people call it."),
        Field::new("may_leech", Kind::Flag, "Whether its users may download; true if not given."),
        Field::new(
            "slots",
            LIMIT,
            "Torrents that each user may download at once; null for no limit.",
        )
        .or_null(),
        Field::new("peers_max", LIMIT, "Sessions of each user in one torrent; null for no limit.")
            .or_null(),
        Field::new("upload", PERMILLE, "What an uploaded byte counts for, in per mille."),
        Field::new("download", PERMILLE, "What a downloaded byte counts for, in per mille."),
    ];

    fn new(id: u32) -> Self {
        Self { id: GroupId(id), ..Self::default() }
    }

    fn id(&self) -> u32 {
        self.id.0
    }

    fn take(&mut self, fields: &Fields, _at: &str, _faults: &mut Vec<Fault>) {
        for (name, value) in fields {
            match name.as_str() {
                "name" => self.name = text(value).unwrap_or_default(),
                "may_leech" => self.may_leech = value == true,
                "slots" => self.slots = number(value),
                "peers_max" => self.peers_max = number(value),
                "upload" => self.upload = Permille(number(value).unwrap_or_default()),
                "download" => self.download = Permille(number(value).unwrap_or_default()),
                _ => {}
            }
        }
    }

    fn show(&self, _secrets: bool) -> Value {
        json!({
            "id": self.id.0,
            "name": self.name,
            "may_leech": self.may_leech,
            "slots": self.slots,
            "peers_max": self.peers_max,
            "upload": self.upload.0,
            "download": self.download.0,
        })
    }

    fn find(site: &Site, id: u32) -> Option<Self> {
        site.group(GroupId(id))
    }

    fn for_each(site: &Site, visit: &mut dyn FnMut(&Self)) {
        site.groups().iter().for_each(visit);
    }

    fn put(self) -> Change {
        Change::PutGroup(self)
    }

    fn remove(id: u32) -> Change {
        Change::RemoveGroup(GroupId(id))
    }
}

/// Lists groups by number.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", security(("bearer" = ["read"])),
    params(
        ("after" = Option<u32>, Query, description = "Lists groups with greater numbers: `next` of the page before.", minimum = 0, maximum = 4294967295_u32),
        ("limit" = Option<u32>, Query, description = "Records of a page; 100 if not given.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "A page of the list.", body = openapi::GroupList)))]
pub(super) async fn list_groups(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [after, limit] = asked.query(["after", "limit"])?;
    records::list(api, Page::new(after, limit)?, false, |_: &Group| true).await
}

/// Shows a group.
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "groups", security(("bearer" = ["read"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 200, description = "The group.", body = openapi::GroupShown)))]
pub(super) async fn get_group(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    records::get::<Group>(&api, keys::id(&id)?, &asked, false)
}

/// Puts a group: adds it, or replaces all of it.
#[utoipa::path(put, path = "/api/v1/groups/{id}", tag = "groups", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::GroupPut,
    responses(
        (status = 200, description = "The group, which was there before.", body = openapi::GroupShown),
        (status = 201, description = "The group, which is new.", body = openapi::GroupShown)))]
pub(super) async fn put_group(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<Group>(api, keys::id(&id)?, asked, Extent::Whole).await
}

/// Changes the fields of a group that are given (RFC 7396).
#[utoipa::path(patch, path = "/api/v1/groups/{id}", tag = "groups", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::GroupPatch,
    responses((status = 200, description = "The group as it is now.", body = openapi::GroupShown)))]
pub(super) async fn patch_group(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<Group>(api, keys::id(&id)?, asked, Extent::Part).await
}

/// Forgets a group; its users are in none then.
#[utoipa::path(delete, path = "/api/v1/groups/{id}", tag = "groups", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_group(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::remove::<Group>(api, keys::id(&id)?, asked).await
}
