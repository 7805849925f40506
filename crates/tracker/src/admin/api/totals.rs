//! What was added up for a user, a torrent, or a user in a torrent, as the storage has it.
//!
//! A record that was counted a moment ago may still be on its way there.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use skep_engine::ledger::Sums;
use skep_engine::site::{TorrentId, UserId};
use skep_store::driver::{Conn, DriverError, Totals as Of};
use utoipa::ToSchema;

use super::asked::{Asked, Segments};
use super::keys::{self, TorrentKey};
use super::records::unknown;
use super::{Api, blocking};
use crate::admin::problem::Problem;
use crate::config::Scope;

/// Sums of what clients did.
#[derive(Debug, Serialize, ToSchema)]
struct Totals {
    /// Bytes sent, as clients claim them.
    raw_uploaded: u64,
    /// Bytes got, as clients claim them.
    raw_downloaded: u64,
    /// What the bytes sent are worth.
    uploaded: u64,
    /// What the bytes got are worth.
    downloaded: u64,
    /// Bytes sent that are held, and about which nobody has decided.
    held_uploaded: u64,
    /// Bytes got that are held, and about which nobody has decided.
    held_downloaded: u64,
    /// Bytes that were got and thrown away, as clients claim.
    corrupt: u64,
    /// Seconds of seeding.
    seeding_secs: u64,
    /// Seconds of leeching.
    leeching_secs: u64,
    /// Seconds of either.
    active_secs: u64,
    /// Downloads finished.
    completions: u64,
}

/// Sums of what clients did for a torrent.
#[derive(Debug, Serialize, ToSchema)]
struct TorrentTotals {
    #[serde(flatten)]
    totals: Totals,
    /// By how many bytes more was sent than got and not thrown away; 0 where all clients tell the
    /// truth.
    balance: i64,
}

impl From<&Sums> for Totals {
    fn from(sums: &Sums) -> Self {
        let waiting = sums.waiting();
        Self {
            raw_uploaded: sums.raw.uploaded_bytes,
            raw_downloaded: sums.raw.downloaded_bytes,
            uploaded: sums.credited.uploaded_bytes,
            downloaded: sums.credited.downloaded_bytes,
            held_uploaded: waiting.uploaded_bytes,
            held_downloaded: waiting.downloaded_bytes,
            corrupt: sums.corrupt_bytes,
            seeding_secs: sums.seeding_secs,
            leeching_secs: sums.leeching_secs,
            active_secs: sums.active_secs,
            completions: sums.completions,
        }
    }
}

/// The number of a user who is known.
pub(super) fn user_of(api: &Api, id: &str) -> Result<UserId, Problem> {
    api.keep_records()?;
    let user = api.books.site().user(UserId(keys::id(id)?));
    user.map(|user| user.id).ok_or_else(unknown)
}

/// The number of a torrent that is known.
pub(super) fn torrent_of(api: &Api, key: &str) -> Result<TorrentId, Problem> {
    api.keep_records()?;
    let site = api.books.site();
    let torrent = match keys::torrent(key)? {
        TorrentKey::Id(id) => site.torrent(TorrentId(id)),
        TorrentKey::InfoHash(info_hash) => site.torrent_by_hash(&info_hash),
    };
    torrent.map(|torrent| torrent.id).ok_or_else(unknown)
}

/// Says why sums cannot be read.
pub(super) fn unread(error: &DriverError) -> Problem {
    tracing::warn!(%error, "sums that the API was asked for cannot be read");
    if error.is_transient() {
        let detail = "the storage is away; ask again";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        return problem.with(header::RETRY_AFTER, "5");
    }
    let detail = "the storage cannot tell, and the log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// Reads sums where to wait for the storage holds up nobody else.
async fn read(api: Arc<Api>, asked: Asked, of: Of) -> Result<Sums, Problem> {
    let [] = asked.query([])?;
    let Some(conn) = api.books.conn().cloned() else {
        let detail = "there is no storage that adds anything up; see storage.driver";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    blocking(move || Conn::totals(&*conn, of).map_err(|error| unread(&error))).await
}

/// Shows what was added up for a user.
#[utoipa::path(get, path = "/api/v1/users/{id}/totals", tag = "totals", security(("bearer" = ["read"])),
    params(("id" = u32, Path, description = "The number of the user.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 200, description = "The sums.", body = Totals)))]
pub(super) async fn get_user_totals(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let of = Of::User(user_of(&api, &id)?);
    Ok(super::json(&Totals::from(&read(api, asked, of).await?)))
}

/// Shows what was added up for a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{torrent}/totals", tag = "totals", security(("bearer" = ["read"])),
    params(("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$")),
    responses((status = 200, description = "The sums.", body = TorrentTotals)))]
pub(super) async fn get_torrent_totals(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let of = Of::Torrent(torrent_of(&api, &key)?);
    let sums = read(api, asked, of).await?;
    let balance = sums.balance_bytes().clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    Ok(super::json(&TorrentTotals { totals: Totals::from(&sums), balance }))
}

/// Shows what was added up for a user in a torrent.
#[utoipa::path(get, path = "/api/v1/users/{id}/torrents/{torrent}/totals", tag = "totals", security(("bearer" = ["read"])),
    params(
        ("id" = u32, Path, description = "The number of the user.", minimum = 1, maximum = 4294967295_u32),
        ("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$"),
    ),
    responses((status = 200, description = "The sums.", body = Totals)))]
pub(super) async fn get_passage_totals(
    State(api): State<Arc<Api>>,
    Segments((id, key)): Segments<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let of = Of::Passage(user_of(&api, &id)?, torrent_of(&api, &key)?);
    Ok(super::json(&Totals::from(&read(api, asked, of).await?)))
}
