//! What every request passes before its handler: who asks, how long the body is, how often it came.
//!
//! Knows no resource.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Api;
use super::auth::{self, Caller};
use super::idempotency::{KEY, KEY_BYTES_MAX, Turn};
use super::keys::bad;
use crate::admin::problem::Problem;

/// Longest body of a request about one record.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest body of a request about many.
const LARGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Requests about many records that are carried out at once; further ones wait.
pub(super) const LARGE_MAX: usize = 4;
/// Time for a body to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    guarded(api, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn guarded(api: Arc<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let caller = auth::admit(&api.tokens.load(), peer, parts.version, &parts.headers)?;
    let (bytes, place) = read(&api.bounds.large, &parts, body).await?;
    let ticket = match key(&parts)? {
        None => None,
        Some(key) => {
            let (print, now) = (fingerprint(&parts, &bytes), api.clock.now());
            match api.bounds.answers.begin(&caller.name, key, print, now)? {
                Turn::Again(response) => return Ok(response),
                Turn::First(ticket) => Some(ticket),
            }
        }
    };
    parts.extensions.insert::<Caller>(caller);
    let request = Request::from_parts(parts, Body::from(bytes));
    // A change goes on when nobody waits for its answer any more, and its answer is kept.
    let task = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(place);
        match ticket {
            Some(ticket) => ticket.keep(response).await,
            None => response,
        }
    });
    match timeout(ANSWER_TIMEOUT, task).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"))
        }
        Err(_) => {
            let detail = "there was no answer in time, and a change may still be made; \
                          send the request again, with the same Idempotency-Key if it has one";
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, detail))
        }
    }
}

/// Reads the body, and takes a place for it if it may be large.
async fn read(
    large: &Arc<Semaphore>,
    parts: &Parts,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok((Bytes::new(), None));
    }
    let path = parts.uri.path();
    let is_large = path.ends_with("/bulk") || path.contains("/verify/");
    let bytes_max = if is_large { LARGE_BYTES_MAX } else { BODY_BYTES_MAX };
    let too_large = || {
        let detail = format!("the body must be at most {bytes_max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).with(header::CONNECTION, "close")
    };
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok());
    if announced.and_then(|len| len.parse().ok()).is_some_and(|len: u64| len > bytes_max as u64) {
        return Err(too_large());
    }
    let place = async {
        let place = if is_large { Arc::clone(large).acquire_owned().await.ok() } else { None };
        (axum::body::to_bytes(body, bytes_max).await, place)
    };
    match timeout(BODY_TIMEOUT, place).await {
        Ok((Ok(bytes), place)) => Ok((bytes, place)),
        Ok((Err(_), _)) => Err(too_large()),
        Err(_) => {
            let detail = "the body did not come in time";
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, detail);
            Err(problem.with(header::CONNECTION, "close"))
        }
    }
}

/// The key of a request, if it has one and changes something.
fn key(parts: &Parts) -> Result<Option<&str>, Problem> {
    let Some(key) =
        parts.headers.get(KEY).filter(|_| !matches!(parts.method, Method::GET | Method::HEAD))
    else {
        return Ok(None);
    };
    let is_key = |key: &&str| {
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let key = key.to_str().ok().filter(is_key);
    let detail = "must be 1 to 128 printable ASCII characters without spaces";
    key.map(Some).ok_or_else(|| bad("Idempotency-Key", detail))
}

/// What decides the answer.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let of = |name| parts.headers.get(name).map_or(&[][..], |value| value.as_bytes());
    let uri = parts.uri.to_string();
    let head = [parts.method.as_str().as_bytes(), uri.as_bytes()];
    let conditions = [of(header::IF_MATCH), of(header::IF_NONE_MATCH), of(header::CONTENT_TYPE)];
    for part in head.into_iter().chain(conditions).chain([body]) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
