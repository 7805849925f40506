//! The routes, and who may use them.
//!
//! | Route | Does |
//! |---|---|
//! | `GET /check` | says `STILL-ALIVE`, to anybody |
//! | `GET /stats` | numbers in JSON; `?flatten` and `?pretty` change its form |
//! | `GET`, `PUT`, `DELETE /torrents/:infohash` | shows, puts, forgets a torrent |
//! | `PUT`, `DELETE /users/:passkey` | puts, forgets a user, in private mode |
//! | `PUT`, `DELETE /clients/:clientID` | allows a client, or no more, while some are allowed |
//!
//! Answers are 200 with nothing in them, or JSON, or an error in plain text.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::spelling::text_of_path;
use super::stats::stats;
use super::{Chihaya, Refused};
use crate::config::Mode;

/// Longest body: a record with the peers that Chihaya wanted to be sent along.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Time for a body to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const JSON_TYPE: &str = "application/json; charset=UTF-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// Makes the routes.
pub fn router(chihaya: Arc<Chihaya>) -> Router {
    Router::new().fallback(answer).with_state(chihaya)
}

async fn answer(State(chihaya): State<Arc<Chihaya>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/check" && parts.method == Method::GET {
        return text(StatusCode::OK, "STILL-ALIVE".into());
    }
    if !chihaya.lets_in(&parts.headers) {
        let wanted = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (wanted, text(StatusCode::UNAUTHORIZED, "a token is needed\n".into()))
            .into_response();
    }
    let body = match read(body, BODY_TIMEOUT).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // Whoever changes something waits for the storage, and nobody else does.
    let done = spawn_blocking(move || chihaya.carry_out(&parts.method, &parts.uri, &body)).await;
    done.unwrap_or_else(|_| {
        text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made\n".into())
    })
}

/// Reads a body that comes in time.
async fn read(body: Body, time: Duration) -> Result<Bytes, Response> {
    let (status, message) = match timeout(time, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => return Ok(body),
        Ok(Err(_)) => {
            let message =
                format!("the body must be sent whole and be at most {BODY_BYTES_MAX} bytes\n");
            (StatusCode::BAD_REQUEST, message)
        }
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n".to_owned()),
    };
    // What follows of the body is not read.
    Err(([(header::CONNECTION, "close")], text(status, message)).into_response())
}

impl Chihaya {
    /// Whether a request brings the token, as a bearer or as a password, where one is set.
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.token else {
            return true;
        };
        let value = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let Some((scheme, rest)) = value.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        let given = if scheme.eq_ignore_ascii_case(b"bearer ") {
            rest.trim_ascii().to_vec()
        } else if scheme[..6].eq_ignore_ascii_case(b"basic ") {
            let pair = value.and_then(|value| STANDARD.decode(value[6..].trim_ascii()).ok());
            let pair = pair.unwrap_or_default();
            let colon = pair.iter().position(|byte| *byte == b':');
            colon.map(|colon| pair[colon + 1..].to_vec()).unwrap_or_default()
        } else {
            return false;
        };
        // How long hashes agree tells nothing of the token.
        <[u8; 32]>::from(Sha256::digest(given)) == *expected
    }

    fn carry_out(&self, method: &Method, uri: &Uri, body: &Bytes) -> Response {
        let unknown = || text(StatusCode::NOT_FOUND, "404 page not found\n".into());
        // CONNECT names a host and no path, OPTIONS may name a star (RFC 9112, section 3.2).
        let Some(path) = uri.path().strip_prefix('/') else { return unknown() };
        let (kind, name) = path.split_once('/').unwrap_or((path, ""));
        let name_text = || text_of_path(name.as_bytes()).ok_or(Refused::NotFound);
        match (kind, name.is_empty(), method.as_str()) {
            ("stats", true, "GET") => self.show_stats(uri.query().unwrap_or_default()),
            ("torrents", false, "GET") => match self.torrent(name.as_bytes()) {
                Ok(torrent) => json(&torrent, false),
                Err(refused) => refused.into_response(),
            },
            ("torrents", false, "PUT") => done(self.put_torrent(body)),
            ("torrents", false, "DELETE") => done(self.delete_torrent(name.as_bytes())),
            ("users", false, _) if self.mode != Mode::Private => unknown(),
            ("users", false, "PUT") => done(self.put_user(body)),
            ("users", false, "DELETE") => {
                done(name_text().and_then(|passkey| self.delete_user(&passkey)))
            }
            ("clients", false, _) if !self.chooses_clients() => unknown(),
            ("clients", false, "PUT") => done(name_text().and_then(|id| self.put_client(&id))),
            ("clients", false, "DELETE") => {
                done(name_text().and_then(|id| self.delete_client(&id)))
            }
            ("check" | "stats", true, _) | ("torrents" | "users" | "clients", false, _) => {
                text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into())
            }
            _ => unknown(),
        }
    }

    fn show_stats(&self, query: &str) -> Response {
        let asks =
            |name: &str| query.split(['&', ';']).any(|pair| pair.split('=').next() == Some(name));
        let started = self.clock.unix_secs_at_start();
        let stats = stats(&self.admin.metrics.overview(), started, asks("flatten"));
        json(&stats, asks("pretty"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status();
        match self {
            Self::NotFound => status.into_response(),
            Self::Bad(message) | Self::Storage(message) => text(status, message + "\n"),
        }
    }
}

fn done(result: Result<(), Refused>) -> Response {
    match result {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn json(value: &impl Serialize, pretty: bool) -> Response {
    let text = match pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value).map(|text| text + "\n"),
    };
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, JSON_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn text(status: StatusCode, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, TEXT_TYPE), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::HttpBody;
    use hyper::body::Frame;

    use super::*;

    /// A body of which nothing ever comes.
    struct Silent;

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[test]
    fn body_that_does_not_come_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let wait = Duration::from_millis(1);
        let response = runtime.block_on(read(Body::new(Silent), wait)).unwrap_err();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        let body = runtime.block_on(read(Body::from("{}"), Duration::from_secs(20))).unwrap();
        assert_eq!(body, "{}");
    }
}
