//! Rules about client software, by how peer ids begin.
//!
//! In force in every mode; kept beyond the process where there is a storage.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skep_engine::site::{Change, Client};

use super::asked::{Asked, Segments};
use super::fields::{Field, Kind, check};
use super::records::{created, unknown, with_tag};
use super::{Api, blocking, keys, openapi, tag_of};
use crate::admin::problem::Problem;
use crate::config::Scope;
use crate::site::Site;

pub(super) const FIELDS: &[Field] = &[Field::new(
    "allowed",
    Kind::Flag,
    "Whether such clients are allowed. As soon as one client is allowed, all others are not.",
)
.required()];

const PREFIX: Kind = Kind::Key { bytes_min: 1, bytes_max: 20 };

fn show(client: &Client) -> Value {
    json!({ "prefix": client.prefix, "allowed": client.allowed })
}

fn find(site: &Site, prefix: &str) -> Option<Client> {
    site.clients().into_iter().find(|client| *client.prefix == *prefix)
}

/// Lists the rules about clients.
#[utoipa::path(get, path = "/api/v1/clients", tag = "clients", security(("bearer" = ["read"])),
    responses((status = 200, description = "All of them, by prefix.", body = openapi::ClientList)))]
pub(super) async fn list_clients(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    let items: Vec<_> = api.books.site().clients().iter().map(show).collect();
    Ok(super::json(&json!({ "items": items })))
}

/// Shows the rule about a client.
#[utoipa::path(get, path = "/api/v1/clients/{prefix}", tag = "clients", security(("bearer" = ["read"])),
    params(("prefix" = String, Path, description = "How peer ids of the client begin.", pattern = "^[A-Za-z0-9_-]{1,20}$")),
    responses((status = 200, description = "The rule.", body = openapi::ClientShown)))]
pub(super) async fn get_client(
    State(api): State<Arc<Api>>,
    Segments(prefix): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    let client = find(api.books.site(), &prefix).ok_or_else(unknown)?;
    let tag = tag_of(&show(&client));
    if asked.conditions().is_known(&tag) {
        return Ok(with_tag(StatusCode::NOT_MODIFIED.into_response(), &tag));
    }
    Ok(with_tag(super::json(&show(&client)), &tag))
}

/// Puts a rule about a client: adds it, or replaces it.
#[utoipa::path(put, path = "/api/v1/clients/{prefix}", tag = "clients", security(("bearer" = ["bans"])),
    params(("prefix" = String, Path, description = "How peer ids of the client begin.", pattern = "^[A-Za-z0-9_-]{1,20}$")),
    request_body = openapi::ClientPut,
    responses(
        (status = 200, description = "The rule, which was there before.", body = openapi::ClientShown),
        (status = 201, description = "The rule, which is new.", body = openapi::ClientShown)))]
pub(super) async fn put_client(
    State(api): State<Arc<Api>>,
    Segments(prefix): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Bans)?;
    let [] = asked.query([])?;
    let (value, conditions) = (asked.json()?, asked.conditions());
    if !PREFIX.takes(&Value::from(prefix.as_str())) {
        return Err(keys::bad("prefix", format!("must be {}", PREFIX.allowed())));
    }
    let mut faults = Vec::new();
    let fields = check(FIELDS, "", &value, true, "", &mut faults);
    let Some(allowed) = fields.and_then(|fields| fields["allowed"].as_bool()) else {
        return Err(Problem::of_faults(faults));
    };
    blocking(move || {
        let client = Client { prefix: prefix.as_str().into(), allowed };
        let is_new = api.books.change_by(|site| {
            let old = find(site, &prefix);
            conditions.allow(old.as_ref().map(|old| tag_of(&show(old))).as_deref())?;
            Ok::<_, Problem>((vec![Change::PutClient(client.clone())], old.is_none()))
        })?;
        api.refresh_policy()?;
        let shown = show(&client);
        let response = with_tag(super::json(&shown), &tag_of(&shown));
        Ok(if is_new { created(response, "clients", prefix) } else { response })
    })
    .await
}

/// Forgets the rule about a client.
#[utoipa::path(delete, path = "/api/v1/clients/{prefix}", tag = "clients", security(("bearer" = ["bans"])),
    params(("prefix" = String, Path, description = "How peer ids of the client begin.", pattern = "^[A-Za-z0-9_-]{1,20}$")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_client(
    State(api): State<Arc<Api>>,
    Segments(prefix): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Bans)?;
    let [] = asked.query([])?;
    let conditions = asked.conditions();
    blocking(move || {
        api.books.change_by(|site| {
            let old = find(site, &prefix).ok_or_else(unknown)?;
            conditions.allow(Some(&tag_of(&show(&old))))?;
            Ok::<_, Problem>((vec![Change::RemoveClient(old.prefix)], ()))
        })?;
        api.refresh_policy()?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
