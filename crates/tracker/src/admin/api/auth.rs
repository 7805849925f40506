//! Who may do what: tokens and scopes, or being on this host where there are no tokens.
//!
//! A token is compared by its hash, in a time that does not tell how much of it is right.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, StatusCode, Version, header};
use sha2::{Digest as _, Sha256};
use skep_engine::ledger::keys::same;

use crate::admin::problem::Problem;
use crate::config::{AdminToken, Scope};

/// The tokens in force, which a reload replaces.
pub type Tokens = Arc<ArcSwap<Vec<AdminToken>>>;

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    /// The name of the token; empty where there are none.
    pub(super) name: Arc<str>,
    scopes: Arc<[Scope]>,
}

/// What programs on this host may do without a token: everything but to read passkeys, since a proxy
/// that adds nothing to requests of strangers looks like such a program.
const WITHOUT_TOKENS: [Scope; 5] =
    [Scope::Read, Scope::Write, Scope::Bans, Scope::Reload, Scope::Trace];

/// Headers that proxies add; whatever begins with the second ones is added by them as well.
const OF_PROXIES: [&str; 5] = ["via", "forwarded", "x-real-ip", "true-client-ip", "x-client-ip"];
const BEGINNINGS_OF_PROXIES: [&str; 2] = ["x-forwarded-", "cf-"];

impl Caller {
    /// # Errors
    /// If the caller has no token with this scope.
    pub(super) fn must(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let challenge = match scope {
            Scope::Read => r#"Bearer realm="skep", error="insufficient_scope", scope="read""#,
            Scope::Write => r#"Bearer realm="skep", error="insufficient_scope", scope="write""#,
            Scope::Bans => r#"Bearer realm="skep", error="insufficient_scope", scope="bans""#,
            Scope::Reload => r#"Bearer realm="skep", error="insufficient_scope", scope="reload""#,
            Scope::Trace => r#"Bearer realm="skep", error="insufficient_scope", scope="trace""#,
            Scope::Passkeys => {
                r#"Bearer realm="skep", error="insufficient_scope", scope="users:passkeys""#
            }
        };
        let detail = match self.name.is_empty() {
            true => format!("without admin.tokens nobody has the scope {}", scope.word()),
            false => format!("the token does not have the scope {}", scope.word()),
        };
        Err(Problem::new(StatusCode::FORBIDDEN, detail).with(header::WWW_AUTHENTICATE, challenge))
    }
}

/// Finds out who sends a request.
pub(super) fn admit(
    tokens: &[AdminToken],
    peer: Option<SocketAddr>,
    version: Version,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    if tokens.is_empty() {
        return admit_local(peer, version, headers);
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|given| {
        let (scheme, token) = given.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let refused = |detail, challenge| {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
        Err(problem.with(header::WWW_AUTHENTICATE, challenge))
    };
    let Some(token) = token else {
        let detail = "a token is needed: Authorization: Bearer TOKEN";
        return refused(detail, r#"Bearer realm="skep""#);
    };
    let hash = Sha256::digest(token.as_bytes());
    // All are compared, so that the time does not tell which of them it was.
    let found = tokens
        .iter()
        .fold(None, |found, known| if same(&known.hash, &hash) { Some(known) } else { found });
    match found {
        Some(known) => {
            Ok(Caller { name: known.name.as_str().into(), scopes: known.scopes.as_slice().into() })
        }
        None => {
            let challenge = r#"Bearer realm="skep", error="invalid_token""#;
            refused("this token is not known", challenge)
        }
    }
}

/// Without tokens, programs on this host are trusted; pages in its browsers are not.
fn admit_local(
    peer: Option<SocketAddr>,
    version: Version,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let refused = |detail| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    if !peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return refused("without admin.tokens the API serves this host alone");
    }
    if version < Version::HTTP_11 {
        return refused("without admin.tokens the API takes nothing but HTTP/1.1");
    }
    if headers.keys().any(|name| is_of_proxy(name.as_str())) {
        return refused("without admin.tokens the API takes nothing from a proxy");
    }
    if headers.contains_key(header::ORIGIN) {
        return refused("without admin.tokens the API takes nothing from web pages");
    }
    // A page of somebody else's name that leads here by DNS sends that name.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_local_host) {
        return refused("without admin.tokens Host must be localhost or an address");
    }
    Ok(Caller { name: "".into(), scopes: WITHOUT_TOKENS.into() })
}

fn is_of_proxy(name: &str) -> bool {
    OF_PROXIES.contains(&name) || BEGINNINGS_OF_PROXIES.iter().any(|begin| name.starts_with(begin))
}

fn is_local_host(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = without_port.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    without_port.eq_ignore_ascii_case("localhost")
        || bare.unwrap_or(without_port).parse::<IpAddr>().is_ok()
        || host.parse::<IpAddr>().is_ok()
}

/// Makes a token, and returns it together with its line of `admin.tokens`.
///
/// # Errors
/// If the system gives no randomness.
pub fn fresh_token(name: &str, scopes: &[Scope]) -> Result<String, getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let token = format!("skep_{}", super::hex(&secret));
    let hash = super::hex(&Sha256::digest(token.as_bytes()));
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.word()).collect();
    Ok(format!(
        "# For whoever is to use it; it is shown once.\n# {token}\n\n[admin]\n\
         tokens = [\"{name}:{}:{hash}\"]\n",
        scopes.join("+")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_host_are_told_from_others() {
        for local in
            ["localhost", "LOCALHOST:1338", "127.0.0.1:1338", "[::1]:1338", "[::1]", "10.0.0.1"]
        {
            assert!(is_local_host(local), "{local}");
        }
        for other in
            ["", "example.org", "localhost.example.org:1338", "127.0.0.1.example.org", ":80"]
        {
            assert!(!is_local_host(other), "{other}");
        }
    }

    #[test]
    fn fresh_token_fits_its_own_line() {
        let text = fresh_token("site", &[Scope::Read]).unwrap();
        let token = text.lines().nth(1).unwrap().strip_prefix("# ").unwrap();
        let hash = super::super::hex(&Sha256::digest(token.as_bytes()));
        assert!(text.contains(&format!("\"site:read:{hash}\"")), "{text}");
        assert_ne!(text, fresh_token("site", &[Scope::Read]).unwrap());
    }
}
