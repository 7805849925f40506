//! The site's URL, and how a batch gets there.
//!
//! What is sent is not known here. No text made here holds anything of the URL but its host.

use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderValue, StatusCode, Uri};

use crate::driver::{DriverError, without_secrets};

/// Longest part of an answer that is repeated in an error.
const TOLD_BYTES_MAX: u64 = 200;

/// Shortest part of the URL that is looked for in such an answer.
const SECRET_BYTES_MIN: usize = 6;

/// Whoever hears of deltas.
pub(super) struct Receiver {
    agent: Agent,
    /// Without what stands before the host.
    uri: Uri,
    authorization: Option<HeaderValue>,
    /// For errors.
    shown: String,
    /// What a site may repeat of the URL and is not to be told any further, the longest first.
    secrets: Vec<String>,
}

impl Receiver {
    /// Takes a URL, in which `name:password@` or `token@` may stand before the host.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, DriverError> {
        let wrong = |why: &str| {
            DriverError::Settings(format!(
                "storage.url {why}; it is to be like https://TOKEN@host/path"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("is no URL"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("must begin with http:// or https://"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, host) = match rest[..end].rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, &rest[..end]),
        };
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let uri = format!("{scheme}://{host}{}", &rest[end..]);
        let uri = uri.parse::<Uri>().map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let authorization = match user.filter(|user| !user.is_empty()) {
            Some(user) => Some(authorization(user).ok_or_else(|| wrong("holds a bad password"))?),
            None => None,
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .proxy(None)
            .user_agent(concat!("skep/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let (shown, secrets) = (without_secrets(url), secrets(user, &uri));
        Ok(Self { agent, uri, authorization, shown, secrets })
    }

    /// A text of somebody else, without what is secret of the URL.
    fn hidden(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// Sends lines under a key, and returns when they were taken.
    pub(super) fn post(&self, key: &str, lines: &[u8]) -> Result<(), DriverError> {
        let mut request = self
            .agent
            .post(&self.uri)
            .header("Content-Type", "application/x-ndjson")
            .header("Idempotency-Key", key);
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        let mut response = request.send(lines).map_err(|error| {
            let told = self.hidden(&error.to_string());
            DriverError::Unavailable(format!("{}: {told}", self.shown))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = response.body_mut().with_config().limit(TOLD_BYTES_MAX);
        let body = body.lossy_utf8(true).read_to_string().unwrap_or_default();
        let body: String =
            body.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let said = format!("{} answered {status}: {}", self.shown, self.hidden(body.trim()));
        Err(match status {
            // What is sent is at fault: another piece of it may pass.
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => DriverError::Refused(said),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                DriverError::Unavailable(said)
            }
            _ if status.is_server_error() => DriverError::Unavailable(said),
            _ if status.is_redirection() => {
                DriverError::Settings(format!("{said}; redirects are not followed"))
            }
            // The URL or its password is at fault, and every piece would be refused.
            _ => DriverError::Settings(said),
        })
    }
}

/// Parts of a URL that may be secret, as they stand there and unescaped; short ones are words that
/// say nothing.
fn secrets(user: Option<&str>, uri: &Uri) -> Vec<String> {
    let all = uri.path_and_query().map_or("", |all| all.as_str());
    let names = user.unwrap_or_default().split(':');
    let parts = all.split(['/', '?', '&', '=']).chain([all, uri.path()]).chain(names);
    let plain = |part: &str| String::from_utf8(unescaped(part)?).ok();
    let both = parts.flat_map(|part| [Some(part.to_owned()), plain(part)]);
    let mut secrets: Vec<_> =
        both.flatten().filter(|part| part.len() >= SECRET_BYTES_MIN).collect();
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// The header for `name:password`, or for a token alone.
fn authorization(user: &str) -> Option<HeaderValue> {
    let text = match user.split_once(':') {
        Some((name, password)) => {
            let pair = [&*unescaped(name)?, b":", &*unescaped(password)?].concat();
            format!("Basic {}", base64(&pair))
        }
        None => format!("Bearer {}", String::from_utf8(unescaped(user)?).ok()?),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    skep_proto::http::percent::decoded(text.as_bytes(), true).collect::<Result<_, _>>().ok()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        let byte = |at: usize| u32::from(piece.get(at).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= piece.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(user: &str) -> Option<String> {
        Some(authorization(user)?.to_str().ok()?.to_owned())
    }

    #[test]
    fn password_of_the_url_becomes_a_header() {
        assert_eq!(
            header("Aladdin:open%20sesame").as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(header("a:").as_deref(), Some("Basic YTo="));
        assert_eq!(header("token%2B1").as_deref(), Some("Bearer token+1"));
        assert_eq!(header("a%0Ab"), None);
        assert_eq!(header("a%zz"), None);
    }

    #[test]
    fn url_that_cannot_be_used_says_why_without_its_password() {
        for (url, why) in [
            ("", "is no URL"),
            ("ftp://secret@host/", "must begin with"),
            ("https://secret@/path", "names no host"),
            ("https://secret:a b@ho st/", "cannot be read"),
            ("https://secret%0A@host/", "bad password"),
        ] {
            let Err(error) = Receiver::new(url, Duration::from_secs(1)) else {
                panic!("{url} is no URL");
            };
            let told = error.to_string();
            assert!(told.contains(why) && !told.contains("secret"), "{url}: {told}");
        }
    }
}
