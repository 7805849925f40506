//! Reading configuration and lists again.
//!
//! What is read, and what becomes of it, is in the reloader.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::asked::Asked;
use super::{Api, blocking, openapi};
use crate::admin::problem::Problem;
use crate::config::Scope;

/// Reads configuration and lists again, as on SIGHUP, and waits until they are in force.
#[utoipa::path(post, path = "/api/v1/reload", tag = "reload", security(("bearer" = ["reload"])),
    responses((status = 200, description = "They are in force.", body = openapi::Reloaded)))]
pub(super) async fn post_reload(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Reload)?;
    let [] = asked.query([])?;
    blocking(move || {
        if api.reloader.reload() {
            return Ok(super::json(&json!({ "reloaded": true })));
        }
        let detail = "the configuration or a list cannot be used, and the log says why; \
                      what was in force stays in force";
        Err(Problem::new(StatusCode::CONFLICT, detail))
    })
    .await
}
