//! Factors: what traffic counts for, for somebody, for a time and for so many bytes. A factor for a
//! user in a torrent is what sites call a token.
//!
//! Whom a factor is made for need not be known yet.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use skep_engine::site::{
    Change, Factor, FactorId, GroupId, Permille, Target, TorrentGroupId, TorrentId, UserId,
};

use super::asked::{Asked, Segments};
use super::fields::{EXACT_MAX, Field, Fields, ID, Kind, fault, number, whole};
use super::records::{self, Extent, Page, Record};
use super::torrents::PERMILLE;
use super::{Api, keys, openapi};
use crate::admin::problem::{Fault, Problem};
use crate::config::Scope;
use crate::site::Site;

/// Times up to the year 9999.
const TIME: Kind = Kind::Number { min: 0, max: 253_402_300_799 };

/// Each scope with the fields that it needs.
const SCOPES: &[(&str, &[&str])] = &[
    ("site", &[]),
    ("group", &["group"]),
    ("user", &["user"]),
    ("torrent_group", &["torrent_group"]),
    ("torrent", &["torrent"]),
    ("token", &["user", "torrent"]),
];
const SCOPE_WORDS: &[&str] = &["site", "group", "user", "torrent_group", "torrent", "token"];
/// Every field that a scope may need.
const TARGETS: [&str; 4] = ["group", "user", "torrent_group", "torrent"];

/// The scope and the values of [`TARGETS`].
const fn parts(target: Target) -> (&'static str, [Option<u32>; 4]) {
    match target {
        Target::Site => ("site", [None; 4]),
        Target::Group(group) => ("group", [Some(group.0), None, None, None]),
        Target::User(user) => ("user", [None, Some(user.0), None, None]),
        Target::TorrentGroup(group) => ("torrent_group", [None, None, Some(group.0), None]),
        Target::Torrent(torrent) => ("torrent", [None, None, None, Some(torrent.0)]),
        Target::Token(user, torrent) => ("token", [None, Some(user.0), None, Some(torrent.0)]),
    }
}

fn target(scope: &str, [group, user, torrent_group, torrent]: [Option<u32>; 4]) -> Option<Target> {
    Some(match scope {
        "site" => Target::Site,
        "group" => Target::Group(GroupId(group?)),
        "user" => Target::User(UserId(user?)),
        "torrent_group" => Target::TorrentGroup(TorrentGroupId(torrent_group?)),
        "torrent" => Target::Torrent(TorrentId(torrent?)),
        "token" => Target::Token(UserId(user?), TorrentId(torrent?)),
        _ => return None,
    })
}

/// Reads whom a factor is made for out of the fields, and out of what it was made for before.
fn retarget(old: Target, fields: &Fields, at: &str, faults: &mut Vec<Fault>) -> Target {
    let (old_scope, mut ids) = parts(old);
    let scope = fields.get("scope").and_then(Value::as_str).unwrap_or(old_scope);
    let needs =
        SCOPES.iter().find(|(known, _)| *known == scope).map_or(&[][..], |(_, needs)| needs);
    for (name, id) in TARGETS.into_iter().zip(&mut ids) {
        let given = fields.get(name);
        if let Some(value) = given {
            *id = number(value);
        }
        match (needs.contains(&name), *id) {
            (true, None) => fault(faults, at, name, format!("is needed with scope {scope}")),
            (false, Some(_)) if given.is_some() => {
                fault(faults, at, name, format!("has no meaning with scope {scope}"));
            }
            _ => {}
        }
    }
    target(scope, ids).unwrap_or(old)
}

impl Record for Factor {
    const KIND: &'static str = "factors";
    const FIELDS: &'static [Field] = &[
        Field::new("scope", Kind::Word(SCOPE_WORDS), "Whom it is made for; site if not given."),
        Field::new("group", ID, "The group of users, with scope group.").or_null(),
        Field::new("user", ID, "The user, with scope user or token.").or_null(),
        Field::new("torrent_group", ID, "The group of torrents, with scope torrent_group.")
            .or_null(),
        Field::new("torrent", ID, "The torrent, with scope torrent or token.").or_null(),
        Field::new("upload", PERMILLE, "What an uploaded byte counts for, in per mille."),
        Field::new("download", PERMILLE, "What a downloaded byte counts for, in per mille."),
        Field::new("neutral", Kind::Flag, "Whether nothing counts, whatever other factors say."),
        Field::new("starts_unix_secs", TIME, "When it comes into force; null for always.")
            .or_null(),
        Field::new("ends_unix_secs", TIME, "When it is no longer in force; null for never.")
            .or_null(),
        Field::new(
            "budget_bytes",
            Kind::Number { min: 0, max: EXACT_MAX },
            "Bytes that it still holds for; null for any number.",
        )
        .or_null(),
    ];

    fn new(id: u32) -> Self {
        Self { id: FactorId(id), ..Self::default() }
    }

    fn id(&self) -> u32 {
        self.id.0
    }

    fn take(&mut self, fields: &Fields, at: &str, faults: &mut Vec<Fault>) {
        self.target = retarget(self.target, fields, at, faults);
        for (name, value) in fields {
            match name.as_str() {
                "upload" => self.upload = Permille(number(value).unwrap_or_default()),
                "download" => self.download = Permille(number(value).unwrap_or_default()),
                "neutral" => self.neutral = value == true,
                "starts_unix_secs" => self.starts_unix_secs = whole(value),
                "ends_unix_secs" => self.ends_unix_secs = whole(value),
                "budget_bytes" => self.budget_bytes = whole(value),
                _ => {}
            }
        }
        if let (Some(starts), Some(ends)) = (self.starts_unix_secs, self.ends_unix_secs)
            && ends <= starts
        {
            fault(faults, at, "ends_unix_secs", "must be after starts_unix_secs");
        }
    }

    fn show(&self, _secrets: bool) -> Value {
        let (scope, [group, user, torrent_group, torrent]) = parts(self.target);
        json!({
            "id": self.id.0,
            "scope": scope,
            "group": group,
            "user": user,
            "torrent_group": torrent_group,
            "torrent": torrent,
            "upload": self.upload.0,
            "download": self.download.0,
            "neutral": self.neutral,
            "starts_unix_secs": self.starts_unix_secs,
            "ends_unix_secs": self.ends_unix_secs,
            "budget_bytes": self.budget_bytes,
        })
    }

    fn find(site: &Site, id: u32) -> Option<Self> {
        site.factor(FactorId(id))
    }

    fn for_each(site: &Site, visit: &mut dyn FnMut(&Self)) {
        site.for_each_factor(visit);
    }

    fn put(self) -> Change {
        Change::PutFactor(self)
    }

    fn amend(self, given: &Value) -> Change {
        match given.get("budget_bytes") {
            Some(_) => Change::PutFactor(self),
            None => Change::AmendFactor(self),
        }
    }

    fn remove(id: u32) -> Change {
        Change::RemoveFactor(FactorId(id))
    }
}

/// Lists factors by number.
#[utoipa::path(get, path = "/api/v1/factors", tag = "factors", security(("bearer" = ["read"])),
    params(
        ("after" = Option<u32>, Query, description = "Lists factors with greater numbers: `next` of the page before.", minimum = 0, maximum = 4294967295_u32),
        ("limit" = Option<u32>, Query, description = "Records of a page; 100 if not given.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "A page of the list.", body = openapi::FactorList)))]
pub(super) async fn list_factors(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [after, limit] = asked.query(["after", "limit"])?;
    records::list(api, Page::new(after, limit)?, false, |_: &Factor| true).await
}

/// Shows a factor.
#[utoipa::path(get, path = "/api/v1/factors/{id}", tag = "factors", security(("bearer" = ["read"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 200, description = "The factor.", body = openapi::FactorShown)))]
pub(super) async fn get_factor(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    records::get::<Factor>(&api, keys::id(&id)?, &asked, false)
}

/// Puts a factor: adds it, or replaces all of it.
#[utoipa::path(put, path = "/api/v1/factors/{id}", tag = "factors", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::FactorPut,
    responses(
        (status = 200, description = "The factor, which was there before.", body = openapi::FactorShown),
        (status = 201, description = "The factor, which is new.", body = openapi::FactorShown)))]
pub(super) async fn put_factor(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<Factor>(api, keys::id(&id)?, asked, Extent::Whole).await
}

/// Changes the fields of a factor that are given (RFC 7396).
#[utoipa::path(patch, path = "/api/v1/factors/{id}", tag = "factors", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::FactorPatch,
    responses((status = 200, description = "The factor as it is now.", body = openapi::FactorShown)))]
pub(super) async fn patch_factor(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<Factor>(api, keys::id(&id)?, asked, Extent::Part).await
}

/// Forgets a factor.
#[utoipa::path(delete, path = "/api/v1/factors/{id}", tag = "factors", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "Its number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_factor(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::remove::<Factor>(api, keys::id(&id)?, asked).await
}
