//! A request as handlers take it: who asks, the query, conditions and the body.
//!
//! Every way in which one of them can be wrong ends in a problem; none of axum's own texts is sent.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::auth::Caller;
use super::{Api, keys};
use crate::admin::problem::Problem;

/// Parts of the path.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, api).await;
        let detail = "the path is not made of Unicode text";
        path.map(|Path(path)| Self(path)).map_err(|_| Problem::new(StatusCode::NOT_FOUND, detail))
    }
}

/// Everything else of a request.
pub(super) struct Asked {
    pub(super) caller: Caller,
    headers: HeaderMap,
    query: Option<Vec<(String, String)>>,
    body: Bytes,
}

impl FromRequest<Arc<Api>> for Asked {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        // It was read before, within its limit.
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let query = Query::try_from_uri(&parts.uri).ok().map(|Query(pairs)| pairs);
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        Ok(Self { caller, headers: parts.headers, query, body })
    }
}

impl Asked {
    /// The values of the query, in the order of the names that are known.
    pub(super) fn query<const N: usize>(
        &self,
        known: [&str; N],
    ) -> Result<[Option<&str>; N], Problem> {
        let mut values = [None; N];
        let pairs = self.query.as_ref().ok_or_else(|| keys::bad("query", "must be UTF-8"))?;
        for (name, value) in pairs {
            let Some(place) = known.iter().position(|known| known == name) else {
                let detail = match N {
                    0 => "must be empty".to_owned(),
                    _ => format!("must hold no more than {}", known.join(", ")),
                };
                return Err(keys::bad("query", detail));
            };
            if values[place].replace(value.as_str()).is_some() {
                return Err(keys::bad(known[place], "must be given once"));
            }
        }
        Ok(values)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let essence = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = essence.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" && essence != "application/merge-patch+json" {
            let detail = "the body must be JSON, and Content-Type must say application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let detail = format!("the body is not JSON: see line {line}, column {column}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })
    }

    /// The conditions under which the request is to be carried out.
    pub(super) fn conditions(&self) -> Conditions {
        let of = |name| {
            let mut values = self.headers.get_all(name).iter().peekable();
            values.peek()?;
            let text: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
            Some(text.join(","))
        };
        Conditions { if_match: of(header::IF_MATCH), if_none_match: of(header::IF_NONE_MATCH) }
    }
}

/// `If-Match` and `If-None-Match` (RFC 9110, section 13.1).
#[derive(Debug, Default)]
pub(super) struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditions {
    /// Tells whether a change may be made to a record with this tag, or to one that is not there.
    pub(super) fn allow(&self, tag: Option<&str>) -> Result<(), Problem> {
        let refused = |detail| Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail));
        if self.if_match.as_ref().is_some_and(|list| !names(list, tag)) {
            return refused("the record is not as If-Match says; nothing was changed");
        }
        if self.if_none_match.as_ref().is_some_and(|list| names(list, tag)) {
            return refused("the record is as If-None-Match excludes; nothing was changed");
        }
        Ok(())
    }

    /// Whether a reader has the record already.
    pub(super) fn is_known(&self, tag: &str) -> bool {
        self.if_none_match.as_ref().is_some_and(|list| names(list, Some(tag)))
    }
}

/// Whether a list of tags names this one; a weak tag names none.
fn names(list: &str, tag: Option<&str>) -> bool {
    let Some(tag) = tag else { return false };
    list.trim() == "*" || list.split(',').any(|one| one.trim() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_met_by_the_tag_alone() {
        let of = |if_match: Option<&str>, if_none_match: Option<&str>| Conditions {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
        };
        let tag = Some("\"a\"");
        for (conditions, there, fits) in [
            (of(None, None), None, true),
            (of(Some("\"a\""), None), tag, true),
            (of(Some("\"b\", \"a\""), None), tag, true),
            (of(Some("\"b\""), None), tag, false),
            (of(Some("W/\"a\""), None), tag, false),
            (of(Some("a"), None), tag, false),
            (of(Some("*"), None), tag, true),
            (of(Some("*"), None), None, false),
            (of(None, Some("*")), None, true),
            (of(None, Some("*")), tag, false),
            (of(None, Some("\"b\"")), tag, true),
        ] {
            assert_eq!(conditions.allow(there).is_ok(), fits, "{conditions:?} {there:?}");
        }
    }
}
