//! The API under `/api/v1`: records of the site, what is going on, and what an operator may do.
//!
//! | Room | Holds |
//! |---|---|
//! | `guard`, `auth`, `idempotency` | what a request passes before its handler |
//! | `asked`, `keys`, `fields` | how requests are read, and what is said of them |
//! | `records`, `torrents`, `users`, `groups`, `factors`, `clients`, `bans` | records |
//! | `totals`, `held` | what was added up, and what waits for a decision |
//! | `live`, `trace`, `verify`, `reload` | everything else |
//! | `openapi` | the description of all of it |
//!
//! Nothing here is on the way of an announce, and no passkey is logged.

mod asked;
mod auth;
mod bans;
mod clients;
mod factors;
mod fields;
mod groups;
mod guard;
mod held;
mod idempotency;
mod keys;
mod live;
mod openapi;
mod records;
mod reload;
mod torrents;
mod totals;
mod trace;
mod users;
mod verify;

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use skep_store::driver::DriverError;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::auth::{Tokens, fresh_token};
use self::idempotency::Answers;
use super::AdminState as Api;
use super::problem::Problem;
use crate::config::Mode;
use crate::pages::JSON_TYPE;
use crate::site::ChangeError;

/// What is kept of requests, whichever listener they came to.
pub struct Bounds {
    answers: Arc<Answers>,
    large: Arc<Semaphore>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { answers: Arc::default(), large: Arc::new(Semaphore::new(guard::LARGE_MAX)) }
    }
}

impl Api {
    /// # Errors
    /// If this mode has no records.
    fn keep_records(&self) -> Result<(), Problem> {
        if self.site.mode == Mode::Public {
            let detail = "a public tracker keeps no torrents, users, groups or factors; see mode";
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        Ok(())
    }

    /// Puts bans and rules about clients in force where gates do not ask the site for them.
    ///
    /// # Errors
    /// If a list cannot be read, without which nothing is in force.
    fn refresh_policy(&self) -> Result<(), Problem> {
        if self.site.mode == Mode::Public && !self.reloader.refresh() {
            let detail = "the change is kept, but is not in force until the lists of the \
                          configuration can be read; the log says why they cannot";
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail));
        }
        Ok(())
    }
}

/// The routes of the API.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let guarded = axum::middleware::from_fn_with_state(Arc::clone(api), guard::guard);
    let (routes, description) = described().split_for_parts();
    let document = openapi::complete(&description).to_string();
    let show = move || async move { ([(header::CONTENT_TYPE, JSON_TYPE)], document) };
    routes.with_state(Arc::clone(api)).layer(guarded).route("/api/openapi.json", get(show))
}

/// The description of the API (OpenAPI 3.1).
#[must_use]
pub fn description() -> Value {
    openapi::complete(&described().into_openapi())
}

fn described() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(torrents::list_torrents))
        .routes(routes!(
            torrents::get_torrent,
            torrents::put_torrent,
            torrents::patch_torrent,
            torrents::delete_torrent
        ))
        .routes(routes!(torrents::change_torrents))
        .routes(routes!(verify::verify_torrent_buckets))
        .routes(routes!(verify::verify_torrent_records))
        .routes(routes!(users::list_users))
        .routes(routes!(users::get_user, users::put_user, users::patch_user, users::delete_user))
        .routes(routes!(users::change_users))
        .routes(routes!(verify::verify_user_buckets))
        .routes(routes!(verify::verify_user_records))
        .routes(routes!(groups::list_groups))
        .routes(routes!(
            groups::get_group,
            groups::put_group,
            groups::patch_group,
            groups::delete_group
        ))
        .routes(routes!(factors::list_factors))
        .routes(routes!(
            factors::get_factor,
            factors::put_factor,
            factors::patch_factor,
            factors::delete_factor
        ))
        .routes(routes!(clients::list_clients))
        .routes(routes!(clients::get_client, clients::put_client, clients::delete_client))
        .routes(routes!(bans::list_bans))
        .routes(routes!(bans::get_ban, bans::put_ban, bans::delete_ban))
        .routes(routes!(totals::get_user_totals))
        .routes(routes!(totals::get_torrent_totals))
        .routes(routes!(totals::get_passage_totals))
        .routes(routes!(held::decide))
        .routes(routes!(live::get_stats))
        .routes(routes!(live::list_swarms))
        .routes(routes!(live::get_live_torrent))
        .routes(routes!(live::get_live_user))
        .routes(routes!(
            trace::get_torrent_trace,
            trace::put_torrent_trace,
            trace::delete_torrent_trace
        ))
        .routes(routes!(trace::get_user_trace, trace::put_user_trace, trace::delete_user_trace))
        .routes(routes!(reload::post_reload))
}

/// Does what may wait for a storage or for a lock where it holds up nobody else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(failed()))
}

fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made")
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Conflict(detail) | ChangeError::Storage(DriverError::NotOurs(detail)) => {
                Self::new(StatusCode::CONFLICT, detail)
            }
            ChangeError::Storage(error) if error.is_transient() => {
                tracing::warn!(%error, "a change by the API was not accepted");
                let detail = "the storage is away; the change is not in force, or may be in a \
                              moment if the storage took it: look, or send it again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(header::RETRY_AFTER, "5")
            }
            ChangeError::Storage(error) => {
                tracing::error!(%error, "a change by the API was not accepted");
                let detail = "the storage does not take this, and the log says why; \
                              nothing was changed";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, JSON_TYPE),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, body).into_response()
        }
        Err(_) => failed().into_response(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// A short text that changes with what is shown, and with each start of the program: nobody can try
/// passkeys until one gives the same text.
fn tag_of(shown: &Value) -> String {
    static SALT: OnceLock<[u8; 16]> = OnceLock::new();
    let salt = SALT.get_or_init(|| {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("the system gave randomness when the tracker started");
        salt
    });
    let hash = Sha256::new().chain_update(salt).chain_update(shown.to_string()).finalize();
    format!("\"{}\"", hex(&hash[..8]))
}
