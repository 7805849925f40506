//! A client of the admin API, and tokens for it.
//!
//! Every answer that is a failure must be problem details; what it says is the caller's business.

use std::net::SocketAddr;

use serde_json::Value;
use skep::config::Scope;

use super::{HttpClient, Response};

/// What sends requests to the API.
pub(crate) struct ApiClient {
    http: HttpClient,
    headers: Vec<(String, String)>,
}

impl ApiClient {
    /// A program on the tracker's host, without a token.
    pub(crate) fn connect(admin: SocketAddr) -> Self {
        let headers = vec![("Host".to_owned(), "localhost".to_owned())];
        Self { http: HttpClient::connect(admin), headers }
    }

    /// Adds a header to all further requests, or replaces it.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// Sends a request with exactly these headers, besides its own, and a body.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: String = own
            .chain(headers.iter().copied())
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let len = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\n{headers}Content-Length: {len}\r\n\r\n");
        self.http.send(format!("{head}{body}").as_bytes());
        let mut response = self.http.response_head();
        if let Some(len) = response.header("Content-Length").map(|len| len.parse().unwrap()) {
            response.body = self.http.exactly(len);
        }
        if response.status >= 400 {
            let problem = json(&response);
            assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
            assert_eq!(problem["status"], response.status, "{problem}");
            assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        }
        response
    }

    /// Sends JSON.
    pub(crate) fn ask(&mut self, method: &str, target: &str, body: &Value) -> Response {
        let headers = [("Content-Type", "application/json")];
        self.send(method, target, &headers, &body.to_string())
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send("GET", target, &[], "")
    }

    pub(crate) fn delete(&mut self, target: &str) -> Response {
        self.send("DELETE", target, &[], "")
    }
}

/// The body of an answer, which must be JSON.
pub(crate) fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

/// The fields that a problem names, in order.
pub(crate) fn faults(response: &Response) -> Vec<String> {
    let problem = json(response);
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

/// A new token and its line of `admin.tokens`.
pub(crate) fn token(name: &str, scopes: &[Scope]) -> (String, String) {
    let text = skep::admin::fresh_token(name, scopes).unwrap();
    let token = text.lines().nth(1).unwrap().trim_start_matches("# ").to_owned();
    let line = text.split('"').nth(1).unwrap().to_owned();
    (token, line)
}
