//! Tokens of the API: from `name:scope+scope:hash` to what they allow.
//!
//! Knows hashes only; a token itself is never seen here, and what was written is not repeated.

use super::super::model::{Admin, AdminToken};
use super::super::problem::Problem;
use super::super::words::{Scope, Word as _};
use super::Settings;

const TOKENS: &str = "admin.tokens";
/// Longest name of a token.
const NAME_BYTES_MAX: usize = 32;
/// Tokens that are compared with the one of a request.
const TOKENS_MAX: usize = 64;

impl Settings {
    pub(super) fn check_admin(&mut self) {
        let texts = self.texts(TOKENS);
        let tokens: Vec<_> = texts.iter().map(|text| token(text)).collect();
        for (number, token) in tokens.iter().enumerate() {
            if let Err(message) = token {
                self.refuse_token(format!("entry {} {message}", number + 1));
            }
        }
        let names: Vec<_> = tokens.iter().flatten().map(|token| &token.name).collect();
        if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
            self.refuse_token(format!("must have each name once; {} comes twice", names[at]));
        }
        if texts.len() > TOKENS_MAX {
            self.refuse_token(format!("must be at most {TOKENS_MAX} tokens"));
        }
    }

    pub(super) fn admin(&self) -> Admin {
        Admin { tokens: self.texts(TOKENS).iter().filter_map(|text| token(text).ok()).collect() }
    }

    /// What was given may hold a token in the place of its hash, so it is not shown.
    fn refuse_token(&mut self, message: String) {
        let origin = self.slot(TOKENS).origin.clone();
        self.problems.push(Problem::of_key(TOKENS, origin, message));
    }
}

/// Reads a line as `skep token` prints it.
fn token(text: &str) -> Result<AdminToken, String> {
    let parts = text.split_once(':').and_then(|(name, rest)| {
        let (scopes, hash) = rest.rsplit_once(':')?;
        Some((name, scopes, hash))
    });
    let Some((name, scopes, hash)) = parts else {
        return Err("must be name:scope+scope:hash, as skep token prints it".into());
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name) {
        return Err(format!(
            "must have a name of 1 to {NAME_BYTES_MAX} letters, digits, dashes, dots and underscores"
        ));
    }
    let scopes = scopes_of(scopes)?;
    let hash = bytes(hash).ok_or("must end with a SHA-256 of 64 hexadecimal digits")?;
    Ok(AdminToken { name: name.into(), scopes, hash })
}

/// Reads scopes that are joined by plus signs.
///
/// # Errors
/// What is allowed.
pub(crate) fn scopes_of(text: &str) -> Result<Vec<Scope>, String> {
    let scopes: Option<Vec<_>> = text.split('+').map(Scope::from_word).collect();
    scopes.ok_or_else(|| format!("must name scopes out of {}", Scope::WORDS.join("+")))
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    // A number may begin with a plus sign, a digit may not.
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_a_name_scopes_and_a_hash() {
        let hash = "0f".repeat(32);
        let read = token(&format!("site:read+users:passkeys:{hash}")).unwrap();
        assert_eq!(read.name, "site");
        assert_eq!(read.scopes, [Scope::Read, Scope::Passkeys]);
        assert_eq!(read.hash, [15; 32]);
        for bad in [
            hash.clone(),
            format!("site:{hash}"),
            format!(":read:{hash}"),
            format!("si te:read:{hash}"),
            format!("site::{hash}"),
            format!("site:everything:{hash}"),
            format!("site:read:{}", &hash[1..]),
            format!("site:read:{}g", &hash[1..]),
            format!("site:read:+{}", &hash[1..]),
        ] {
            let message = token(&bad).unwrap_err();
            assert!(message.starts_with("must ") && !message.contains("0f0f"), "{bad}: {message}");
        }
    }
}
