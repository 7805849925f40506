//! Failures as problem details (RFC 9457).
//!
//! Tells nothing of the request but the names of fields that are known: what a stranger sent is not
//! sent back, and no passkey ever is.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The `Content-Type` of a problem.
pub(super) const PROBLEM_TYPE: &str = "application/problem+json";

/// Faults that are listed one by one; of further ones only the number is told.
const FAULTS_MAX: usize = 1_000;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct Fault {
    /// The field, with the way to it: `put/3/passkey` is that of the fourth record of `put`.
    pub(super) field: String,
    /// What is wrong, and what is allowed.
    pub(super) detail: String,
}

/// A failure that a program can read.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: Cow<'static, str>,
    faults: Vec<Fault>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// How a problem looks on the wire.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct Shown<'a> {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: &'a str,
    /// What is wrong with which field; every one that was found.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false, max_items = 1000)]
    errors: &'a [Fault],
    /// How many further errors are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    errors_left_out: Option<usize>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), faults: Vec::new(), headers: Vec::new() }
    }

    /// Makes the problem of a request whose fields do not fit.
    pub(super) fn of_faults(faults: Vec<Fault>) -> Self {
        let detail = "a field does not fit; nothing was changed";
        Self { faults, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// Makes the problem of a request that contradicts what is known.
    pub(super) fn of_conflicts(faults: Vec<Fault>) -> Self {
        let detail = "it contradicts what is known already; nothing was changed";
        Self { faults, ..Self::new(StatusCode::CONFLICT, detail) }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let listed = &self.faults[..self.faults.len().min(FAULTS_MAX)];
        let left_out = self.faults.len() - listed.len();
        let body = Shown {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: listed,
            errors_left_out: (left_out > 0).then_some(left_out),
        };
        let body = serde_json::to_string(&body).expect("text and numbers are always JSON");
        let headers = [
            (header::CONTENT_TYPE, PROBLEM_TYPE),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (self.status, headers, body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
