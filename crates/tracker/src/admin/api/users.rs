//! Users.
//!
//! A passkey is shown to those alone who have a scope for it and ask for it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use skep_engine::site::{Change, GroupId, PASSKEY_BYTES_MAX, Permille, User, UserId};

use super::asked::{Asked, Segments};
use super::fields::{Field, Fields, Kind, number, text};
use super::records::{self, Extent, Page, Record};
use super::torrents::{NUMBER, PERMILLE};
use super::{Api, keys, openapi};
use crate::admin::problem::{Fault, Problem};
use crate::config::Scope;
use crate::site::Site;

/// Numbers of slots and sessions; the greatest number of 32 bits stands for no limit.
pub(super) const LIMIT: Kind = Kind::Number { min: 0, max: u32::MAX as u64 - 1 };
/// Shorter passkeys can be guessed.
const PASSKEY_BYTES_MIN: usize = 8;

impl Record for User {
    const KIND: &'static str = "users";
    const UNIQUE: &'static str = "passkey";
    const FIELDS: &'static [Field] = &[
        Field::new(
            "passkey",
            Kind::Key { bytes_min: PASSKEY_BYTES_MIN, bytes_max: PASSKEY_BYTES_MAX },
            "What clients prove themselves with. Shown only with passkeys=true.",
        )
        .required()
        .secret(),
        Field::new("group", NUMBER, "The group; 0 for none."),
        Field::new("may_leech", Kind::Flag, "Whether the user may download; true if not given."),
        Field::new("hidden", Kind::Flag, "Whether addresses of the user are kept from storage."),
        Field::new("disabled", Kind::Flag, "Whether every announce of the user is refused."),
        Field::new("slots", LIMIT, "Torrents to download at once; null for what the group says.")
            .or_null(),
        Field::new("peers_max", LIMIT, "Sessions in one torrent; null for what the group says.")
            .or_null(),
        Field::new("upload", PERMILLE, "What an uploaded byte counts for, in per mille."),
        Field::new("download", PERMILLE, "What a downloaded byte counts for, in per mille."),
        Field::new(
            "key_version",
            NUMBER,
            "The version of derived keys; another one voids all of them.",
        ),
    ];

    fn new(id: u32) -> Self {
        Self { id: UserId(id), ..Self::default() }
    }

    fn id(&self) -> u32 {
        self.id.0
    }

    fn take(&mut self, fields: &Fields, _at: &str, _faults: &mut Vec<Fault>) {
        for (name, value) in fields {
            match name.as_str() {
                "passkey" => self.passkey = text(value).unwrap_or_default(),
                "group" => self.group = GroupId(number(value).unwrap_or_default()),
                "may_leech" => self.may_leech = value == true,
                "hidden" => self.hidden = value == true,
                "disabled" => self.disabled = value == true,
                "slots" => self.slots = number(value),
                "peers_max" => self.peers_max = number(value),
                "upload" => self.upload = Permille(number(value).unwrap_or_default()),
                "download" => self.download = Permille(number(value).unwrap_or_default()),
                "key_version" => self.key_version = number(value).unwrap_or_default(),
                _ => {}
            }
        }
    }

    fn show(&self, secrets: bool) -> Value {
        let mut shown = json!({
            "id": self.id.0,
            "group": self.group.0,
            "may_leech": self.may_leech,
            "hidden": self.hidden,
            "disabled": self.disabled,
            "slots": self.slots,
            "peers_max": self.peers_max,
            "upload": self.upload.0,
            "download": self.download.0,
            "key_version": self.key_version,
        });
        if secrets {
            shown["passkey"] = Value::from(&*self.passkey);
        }
        shown
    }

    fn find(site: &Site, id: u32) -> Option<Self> {
        site.user(UserId(id))
    }

    fn for_each(site: &Site, visit: &mut dyn FnMut(&Self)) {
        site.for_each_user(visit);
    }

    fn put(self) -> Change {
        Change::PutUser(self)
    }

    fn remove(id: u32) -> Change {
        Change::RemoveUser(UserId(id))
    }

    fn unique(&self) -> Option<String> {
        Some(self.passkey.to_string())
    }

    fn holder(&self, site: &Site) -> Option<u32> {
        site.user_by_passkey(&self.passkey).map(|user| user.id.0)
    }
}

/// Whether passkeys are asked for, by somebody who may see them.
fn shows_passkeys(asked: &Asked, text: Option<&str>) -> Result<bool, Problem> {
    let wanted = records::truth("passkeys", text)?;
    if wanted {
        asked.caller.must(Scope::Passkeys)?;
    }
    Ok(wanted)
}

/// Lists users by number.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", security(("bearer" = ["read"])),
    params(
        ("after" = Option<u32>, Query, description = "Lists users with greater numbers: `next` of the page before.", minimum = 0, maximum = 4294967295_u32),
        ("limit" = Option<u32>, Query, description = "Records of a page; 100 if not given.", minimum = 1, maximum = 1000),
        ("passkeys" = Option<bool>, Query, description = "Shows passkeys, which needs the scope `users:passkeys` as well."),
    ),
    responses((status = 200, description = "A page of the list.", body = openapi::UserList)))]
pub(super) async fn list_users(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [after, limit, passkeys] = asked.query(["after", "limit", "passkeys"])?;
    let secrets = shows_passkeys(&asked, passkeys)?;
    records::list(api, Page::new(after, limit)?, secrets, |_: &User| true).await
}

/// Shows a user.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", security(("bearer" = ["read"])),
    params(
        ("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32),
        ("passkeys" = Option<bool>, Query, description = "Shows the passkey, which needs the scope `users:passkeys` as well."),
    ),
    responses((status = 200, description = "The user.", body = openapi::UserShown)))]
pub(super) async fn get_user(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [passkeys] = asked.query(["passkeys"])?;
    let secrets = shows_passkeys(&asked, passkeys)?;
    records::get::<User>(&api, keys::id(&id)?, &asked, secrets)
}

/// Puts a user: adds one, or replaces all of one.
#[utoipa::path(put, path = "/api/v1/users/{id}", tag = "users", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::UserPut,
    responses(
        (status = 200, description = "The user, who was there before.", body = openapi::UserShown),
        (status = 201, description = "The user, who is new.", body = openapi::UserShown)))]
pub(super) async fn put_user(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<User>(api, keys::id(&id)?, asked, Extent::Whole).await
}

/// Changes the fields of a user that are given (RFC 7396).
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "users", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::UserPatch,
    responses((status = 200, description = "The user as they are now.", body = openapi::UserShown)))]
pub(super) async fn patch_user(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::put::<User>(api, keys::id(&id)?, asked, Extent::Part).await
}

/// Forgets a user.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", security(("bearer" = ["write"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 204, description = "The user is gone.")))]
pub(super) async fn delete_user(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::remove::<User>(api, keys::id(&id)?, asked).await
}

/// Puts and removes up to 10,000 users together, all or none.
///
/// Removals come first. A passkey that another user has is free only if that one is removed.
#[utoipa::path(post, path = "/api/v1/users/bulk", tag = "users", security(("bearer" = ["write"])),
    request_body = openapi::UserMany,
    responses((status = 200, description = "What was done.", body = openapi::ManyDone)))]
pub(super) async fn change_users(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    records::change_many::<User>(api, asked).await
}
