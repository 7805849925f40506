//! Requests that were carried out already, by the key that their sender gave them.
//!
//! Bounded in number, bytes and time. Lasts as long as the process: what a change did is kept by the
//! storage, and to put a record twice is to put it once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use skep_engine::Tick;

use crate::admin::problem::Problem;

/// The header that names a request.
pub(super) const KEY: &str = "idempotency-key";
/// Says that an answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest key.
pub(super) const KEY_BYTES_MAX: usize = 128;
/// How long an answer is kept.
const KEPT_SECS: u32 = 24 * 3600;
/// Answers that are kept.
const ANSWERS_MAX: usize = 4_096;
/// Bytes of all answers that are kept.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest answer that is kept.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Whose key it is, and the key.
type Named = (Arc<str>, String);

/// What a request was: SHA-256 over all that decides its answer.
pub(super) type Fingerprint = [u8; 32];

/// The answers that are kept.
#[derive(Default)]
pub(super) struct Answers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    requests: HashMap<Named, Request>,
    /// The answered ones, oldest first.
    order: VecDeque<Named>,
    bytes: usize,
}

struct Request {
    fingerprint: Fingerprint,
    since: Tick,
    /// Nothing while it is carried out.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What becomes of a request with a key.
pub(super) enum Turn {
    /// It is the first one; its answer goes into the ticket.
    First(Ticket),
    /// It was answered before.
    Again(Response),
}

/// The place of an answer. A request that ends without one may be sent again.
pub(super) struct Ticket {
    answers: Arc<Answers>,
    named: Option<Named>,
}

impl Answers {
    /// Takes a request with its key.
    pub(super) fn begin(
        self: &Arc<Self>,
        caller: &Arc<str>,
        key: &str,
        fingerprint: Fingerprint,
        now: Tick,
    ) -> Result<Turn, Problem> {
        let mut kept = self.0.lock();
        kept.forget_old(now);
        let named = (Arc::clone(caller), key.to_owned());
        match kept.requests.get(&named) {
            Some(request) if request.fingerprint != fingerprint => {
                let detail = "this Idempotency-Key belongs to another request";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
            }
            Some(Request { answer: None, .. }) => {
                let detail = "the request with this Idempotency-Key is being carried out";
                Err(Problem::new(StatusCode::CONFLICT, detail)
                    .with(axum::http::header::RETRY_AFTER, "1"))
            }
            Some(Request { answer: Some(answer), .. }) => Ok(Turn::Again(answer.clone().again())),
            None => {
                let request = Request { fingerprint, since: now, answer: None };
                kept.requests.insert(named.clone(), request);
                Ok(Turn::First(Ticket { answers: Arc::clone(self), named: Some(named) }))
            }
        }
    }
}

impl Kept {
    fn forget_old(&mut self, now: Tick) {
        while let Some(oldest) = self.order.front() {
            let since = self.requests.get(oldest).map(|request| request.since);
            let is_old = since.is_none_or(|since| now.since(since) >= KEPT_SECS);
            let is_full = self.order.len() >= ANSWERS_MAX || self.bytes > BYTES_MAX;
            if !is_old && !is_full {
                return;
            }
            let oldest = self.order.pop_front();
            if let Some(request) = oldest.and_then(|named| self.requests.remove(&named)) {
                self.bytes -= request.answer.map_or(0, |answer| answer.body.len());
            }
        }
    }
}

impl Answer {
    fn again(self) -> Response {
        let mut response = (self.status, Body::from(self.body)).into_response();
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl Ticket {
    /// Keeps an answer and hands it back. What failed for no fault of the request is not kept, nor that
    /// it was not allowed: a reload may allow it.
    pub(super) async fn keep(mut self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let answer =
            Answer { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
        let may_change = parts.status.is_server_error()
            || matches!(parts.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if !may_change && body.len() <= ANSWER_BYTES_MAX {
            let mut kept = self.answers.0.lock();
            if let Some(named) = self.named.take()
                && let Some(request) = kept.requests.get_mut(&named)
            {
                request.answer = Some(answer);
                kept.bytes += body.len();
                kept.order.push_back(named);
            }
        }
        Response::from_parts(parts, Body::from(body))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(named) = self.named.take() {
            self.answers.0.lock().requests.remove(&named);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    fn first(answers: &Arc<Answers>, key: &str, now: u32) -> Ticket {
        match answers.begin(&"a".into(), key, [1; 32], Tick(now)) {
            Ok(Turn::First(ticket)) => ticket,
            _ => panic!("{key} is not the first"),
        }
    }

    fn status(answers: &Arc<Answers>, caller: &str, fingerprint: u8, now: u32) -> Option<u16> {
        match answers.begin(&caller.into(), "k", [fingerprint; 32], Tick(now)) {
            Ok(Turn::First(_)) => None,
            Ok(Turn::Again(response)) => Some(response.status().as_u16()),
            Err(problem) => Some(problem.status.as_u16()),
        }
    }

    #[test]
    fn same_request_is_answered_once_for_each_sender_until_it_is_old() {
        let answers = Arc::<Answers>::default();
        let ticket = first(&answers, "k", 0);
        assert_eq!(status(&answers, "a", 1, 0), Some(409), "it is under way");
        run(ticket.keep(StatusCode::CREATED.into_response()));
        assert_eq!(status(&answers, "a", 1, KEPT_SECS - 1), Some(201));
        assert_eq!(status(&answers, "a", 2, 5), Some(422));
        assert_eq!(status(&answers, "b", 2, 5), None, "keys of another sender");
        assert_eq!(status(&answers, "a", 2, KEPT_SECS), None);
    }

    #[test]
    fn request_that_failed_without_fault_may_come_again() {
        let answers = Arc::<Answers>::default();
        for status in [503, 500, 401, 403] {
            let status = StatusCode::from_u16(status).unwrap();
            run(first(&answers, "k", 0).keep(status.into_response()));
        }
        drop(first(&answers, "k", 0));
        drop(first(&answers, "k", 0));
    }

    #[test]
    fn answers_are_bounded_in_number_and_bytes() {
        let answers = Arc::<Answers>::default();
        for number in 0..2 * ANSWERS_MAX {
            let body = vec![0; 8 * 1024].into_response();
            run(first(&answers, &number.to_string(), 0).keep(body));
        }
        let kept = answers.0.lock();
        assert!(kept.order.len() <= ANSWERS_MAX && kept.requests.len() == kept.order.len());
        assert!(kept.bytes <= BYTES_MAX + ANSWER_BYTES_MAX && kept.bytes > BYTES_MAX / 2);
    }
}
