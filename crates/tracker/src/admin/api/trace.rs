//! Following the announces of a user or of a torrent for a while.
//!
//! A passkey is never among what is shown.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use skep_engine::site::UserId;
use skep_proto::{AnnounceEvent, NumWant};
use utoipa::ToSchema;

use super::asked::{Asked, Segments};
use super::fields::{Field, Kind, check, number};
use super::live::info_hash_of;
use super::records::unknown;
use super::{Api, hex, keys, openapi};
use crate::admin::problem::Problem;
use crate::config::Scope;
use crate::trace::{Subject, TRACES_MAX, Trace, Traced};

pub(super) const FIELDS: &[Field] = &[
    Field::new("minutes", Kind::Number { min: 1, max: 60 }, "How long announces are taken.")
        .required(),
    Field::new(
        "records_max",
        Kind::Number { min: 1, max: 1000 },
        "How many of the latest announces are kept; 100 if not given.",
    ),
];

/// Announces of a user or of a torrent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trace)]
pub(super) struct Shown {
    /// Seconds for which announces are still taken; 0 when it has ended.
    secs_left: u32,
    /// Announces since it began.
    seen: u64,
    /// The latest of them, oldest first.
    records: Vec<Record>,
}

/// One announce and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceRecord)]
pub(super) struct Record {
    /// When, in seconds of Unix time.
    at_unix_secs: u64,
    /// The torrent.
    info_hash: String,
    /// The user, where users are known.
    user: Option<u32>,
    /// Where the client is.
    #[schema(value_type = String)]
    address: IpAddr,
    /// The port on which it says to listen.
    port: u16,
    /// What it calls itself, in hexadecimal digits.
    peer_id: String,
    /// What happened to it.
    #[schema(pattern = "^(none|started|completed|stopped|paused)$")]
    event: &'static str,
    /// Bytes that it says to have sent.
    uploaded_bytes: u64,
    /// Bytes that it says to have got.
    downloaded_bytes: u64,
    /// Bytes that it says to lack; null if it does not say.
    left_bytes: Option<u64>,
    /// Peers that it asked for; null if it did not say.
    peers_wanted: Option<u32>,
    /// Why it was refused, if it was; nothing of what follows then.
    refusal: Option<&'static str>,
    /// Peers that it got.
    peers_given: u64,
    /// Seeders of the swarm after it.
    seeders: u32,
    /// Other peers of the swarm after it.
    leechers: u32,
    /// Whether it finished a download that was not counted before.
    completion_counted: bool,
    /// Whether a bound on torrents or peers kept it out.
    not_stored: bool,
}

fn record(api: &Api, traced: &Traced) -> Record {
    let Traced { at, user, request, ip, outcome } = traced;
    let announced = outcome.unwrap_or_default();
    let event = match request.event {
        AnnounceEvent::None => "none",
        AnnounceEvent::Started => "started",
        AnnounceEvent::Completed => "completed",
        AnnounceEvent::Stopped => "stopped",
        AnnounceEvent::Paused => "paused",
    };
    let given = announced.ipv4_bytes / skep_proto::peer_addr::IPV4_BYTES
        + announced.ipv6_bytes / skep_proto::peer_addr::IPV6_BYTES
        + announced.webrtc_bytes / skep_engine::swarm::WEBRTC_BYTES;
    Record {
        at_unix_secs: api.clock.unix_secs_at_start() + u64::from(at.0),
        info_hash: hex(request.info_hash.as_bytes()),
        user: user.map(|user| user.0),
        address: *ip,
        port: request.port,
        peer_id: hex(request.peer_id.as_bytes()),
        event,
        uploaded_bytes: request.uploaded_bytes,
        downloaded_bytes: request.downloaded_bytes,
        left_bytes: request.left_bytes,
        peers_wanted: match request.num_want {
            NumWant::Default => None,
            NumWant::Count(count) => Some(count),
        },
        refusal: outcome.err(),
        peers_given: given as u64,
        seeders: announced.counts.seeders,
        leechers: announced.counts.incomplete(),
        completion_counted: announced.completion_counted,
        not_stored: announced.not_stored,
    }
}

fn shown(api: &Api, trace: &Trace) -> Response {
    let records = trace.records.iter().map(|traced| record(api, traced)).collect();
    let secs_left = trace.until.since(api.clock.now());
    super::json(&Shown { secs_left, seen: trace.seen, records })
}

fn put(api: &Api, asked: &Asked, subject: Subject) -> Result<Response, Problem> {
    let [] = asked.query([])?;
    let value = asked.json()?;
    let mut faults = Vec::new();
    let Some(fields) = check(FIELDS, "", &value, true, "", &mut faults) else {
        return Err(Problem::of_faults(faults));
    };
    let given = |name| fields.get(name).and_then(|value: &Value| number(value));
    let (minutes, records_max) = (given("minutes").unwrap_or(1), given("records_max"));
    let now = api.clock.now();
    if !api.traces.start(subject, now, now.plus(minutes * 60), records_max.unwrap_or(100) as usize)
    {
        let detail = format!("{TRACES_MAX} traces are on; end one of them first");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    get(api, subject)
}

fn get(api: &Api, subject: Subject) -> Result<Response, Problem> {
    api.traces.read(subject).map(|trace| shown(api, &trace)).ok_or_else(unknown)
}

fn delete(api: &Api, asked: &Asked, subject: Subject) -> Result<Response, Problem> {
    let [] = asked.query([])?;
    if api.traces.stop(subject) {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(unknown())
    }
}

fn user(id: &str) -> Result<Subject, Problem> {
    Ok(Subject::User(UserId(keys::id(id)?)))
}

/// Begins to follow the announces for a torrent, forgetting what was kept before.
#[utoipa::path(put, path = "/api/v1/torrents/{torrent}/trace", tag = "trace", security(("bearer" = ["trace"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    request_body = openapi::TracePut,
    responses((status = 200, description = "It is on.", body = Shown)))]
pub(super) async fn put_torrent_trace(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    put(&api, &asked, Subject::Torrent(info_hash_of(&api, &key)?))
}

/// Shows the announces for a torrent that were taken so far.
#[utoipa::path(get, path = "/api/v1/torrents/{torrent}/trace", tag = "trace", security(("bearer" = ["trace"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    responses((status = 200, description = "What was taken.", body = Shown)))]
pub(super) async fn get_torrent_trace(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    let [] = asked.query([])?;
    get(&api, Subject::Torrent(info_hash_of(&api, &key)?))
}

/// Ends a trace of a torrent and forgets what was taken.
#[utoipa::path(delete, path = "/api/v1/torrents/{torrent}/trace", tag = "trace", security(("bearer" = ["trace"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_torrent_trace(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    delete(&api, &asked, Subject::Torrent(info_hash_of(&api, &key)?))
}

/// Begins to follow the announces of a user, forgetting what was kept before.
#[utoipa::path(put, path = "/api/v1/users/{id}/trace", tag = "trace", security(("bearer" = ["trace"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    request_body = openapi::TracePut,
    responses((status = 200, description = "It is on.", body = Shown)))]
pub(super) async fn put_user_trace(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    api.keep_records()?;
    put(&api, &asked, user(&id)?)
}

/// Shows the announces of a user that were taken so far.
#[utoipa::path(get, path = "/api/v1/users/{id}/trace", tag = "trace", security(("bearer" = ["trace"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 200, description = "What was taken.", body = Shown)))]
pub(super) async fn get_user_trace(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    api.keep_records()?;
    let [] = asked.query([])?;
    get(&api, user(&id)?)
}

/// Ends a trace of a user and forgets what was taken.
#[utoipa::path(delete, path = "/api/v1/users/{id}/trace", tag = "trace", security(("bearer" = ["trace"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_user_trace(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    api.keep_records()?;
    delete(&api, &asked, user(&id)?)
}
