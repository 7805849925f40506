//! The routes of the admin listener.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /` | index for people: version, mode, live numbers, links |
//! | `GET /health` | `ok` or what is wrong, or JSON if the request prefers it |
//! | `GET /metrics` | every metric as OpenMetrics text |
//! | `GET /api/openapi.json` | the description of the API |
//! | `/api/v1/...` | the API, which has a folder of its own |
//!
//! Anything else is a problem in JSON. Nothing but the API changes the tracker.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::task::spawn_blocking;

use super::AdminState;
use super::problem::Problem;
use crate::pages;
use crate::telemetry::metrics;

pub(super) fn router(state: Arc<AdminState>) -> Router {
    let api = super::api::router(&state);
    Router::new()
        .route("/", get(index))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(state)
        .merge(api)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn index(State(state): State<Arc<AdminState>>) -> Response {
    let make = move || pages::operator(&state.site, &state.metrics.overview());
    blocking(pages::HTML_TYPE, make).await
}

/// A tracker that answers is never called unhealthy: to restart it would help nobody.
async fn health(State(state): State<Arc<AdminState>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_json = accept.is_some_and(|accept| accept.contains(pages::JSON_TYPE));
    let troubles = state.metrics.troubles();
    match is_json {
        true => page(pages::JSON_TYPE, pages::health_json(&troubles)),
        false => page(pages::TEXT_TYPE, pages::health_text(&troubles)),
    }
}

async fn metrics(State(state): State<Arc<AdminState>>) -> Response {
    blocking(metrics::CONTENT_TYPE, move || state.metrics.render()).await
}

async fn not_found() -> Problem {
    let detail = "this listener has /, /health, /metrics and what /api/openapi.json says";
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method; see Allow";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Makes a body where waiting for a lock or a file holds up nobody else.
async fn blocking(
    content_type: &'static str,
    make: impl FnOnce() -> String + Send + 'static,
) -> Response {
    match spawn_blocking(make).await {
        Ok(body) => page(content_type, body),
        Err(_) => {
            let detail = "the answer could not be made";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}

fn page(content_type: &'static str, body: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    for (name, value) in pages::HEADERS {
        let value = axum::http::HeaderValue::from_static(value);
        response.headers_mut().insert(*name, value);
    }
    response
}
