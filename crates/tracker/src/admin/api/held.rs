//! Deciding about traffic that was held because no line could have carried it.
//!
//! What is held was decided by the ledger; that a decision counts once is seen to by the accounts.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use skep_engine::ledger::Verdict;
use utoipa::ToSchema;

use super::asked::{Asked, Segments};
use super::fields::{Field, Kind, check};
use super::totals::{torrent_of, unread, user_of};
use super::{Api, blocking, openapi};
use crate::accounts::DecisionError;
use crate::admin::problem::Problem;
use crate::config::Scope;

const RELEASE: &str = "release";
const DENY: &str = "deny";

pub(super) const FIELDS: &[Field] = &[Field::new(
    "decision",
    Kind::Word(&[RELEASE, DENY]),
    "Whether the bytes count after all, each for one byte, or never.",
)
.required()];

/// What was decided about.
#[derive(Debug, Serialize, ToSchema)]
struct Decided {
    /// What was decided.
    #[schema(pattern = "^(release|deny)$")]
    decision: &'static str,
    /// Bytes sent that were waiting; 0 if there were none, or if they were decided about before.
    uploaded: u64,
    /// Bytes got that were waiting.
    downloaded: u64,
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        let detail = match &error {
            DecisionError::Storage(error) => return unread(error),
            DecisionError::Behind => {
                "the storage does not have earlier decisions yet, and nothing was decided; \
                 send it again"
            }
            DecisionError::NotTaken => {
                "the journal takes nothing, and nothing was decided; send it again"
            }
            DecisionError::Unconfirmed => {
                "the disk did not confirm the decision, which may hold all the same; send it again: \
                 what was decided is not waiting any more"
            }
        };
        tracing::warn!(%error, "a decision about held traffic was not made, or is not sure");
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        problem.with(header::RETRY_AFTER, "5")
    }
}

/// Decides about all held traffic of a user in a torrent that is waiting.
///
/// It is on the disk when this is answered. To send it again counts nothing twice: what was decided is
/// not waiting any more. Traffic that comes later is held and waits anew.
#[utoipa::path(post, path = "/api/v1/users/{id}/torrents/{torrent}/held", tag = "totals", security(("bearer" = ["write"])),
    params(
        ("id" = u32, Path, description = "The number of the user.", minimum = 1, maximum = 4294967295_u32),
        ("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$"),
    ),
    request_body = openapi::HeldPost,
    responses((status = 200, description = "What was decided about.", body = Decided)))]
pub(super) async fn decide(
    State(api): State<Arc<Api>>,
    Segments((id, key)): Segments<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Write)?;
    let [] = asked.query([])?;
    let value = asked.json()?;
    let mut faults = Vec::new();
    let Some(fields) = check(FIELDS, "", &value, true, "", &mut faults) else {
        return Err(Problem::of_faults(faults));
    };
    let (decision, verdict) = match fields["decision"] == RELEASE {
        true => (RELEASE, Verdict::Released),
        false => (DENY, Verdict::Denied),
    };
    let (user, torrent) = (user_of(&api, &id)?, torrent_of(&api, &key)?);
    let Some(accounts) = api.accounts.clone() else {
        let detail = "no accounts are kept here; see mode";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    blocking(move || {
        let traffic = accounts.decide(torrent, user, verdict, api.clock.now())?;
        let (uploaded, downloaded) = (traffic.uploaded_bytes, traffic.downloaded_bytes);
        Ok(super::json(&Decided { decision, uploaded, downloaded }))
    })
    .await
}
