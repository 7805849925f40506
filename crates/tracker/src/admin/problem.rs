//! Failures as problem details (RFC 9457).
//!
//! Tells nothing of the request: what a stranger sent is not sent back.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A failure that a program can read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (self.status, headers, body.to_string()).into_response()
    }
}
