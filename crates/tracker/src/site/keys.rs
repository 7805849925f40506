//! What a passkey may be: the user's own, or one that is made for a user in one torrent.
//!
//! Who the user is and whether a key is void is asked of the site.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use skep_engine::gate::Account;
use skep_engine::ledger::keys::{
    KEY_CHARS, KeyClaim, claimed_user, claimed_user_xbt, derive, derive_xbt, same,
};
use skep_engine::site::UserId;
use skep_proto::InfoHash;

use super::Site;
use crate::config::Keys;

/// Which kinds of passkeys count, and the secrets that they are made with.
#[derive(Clone)]
pub struct KeyRing {
    plain: bool,
    site: Option<Hmac<Sha256>>,
    xbt: Option<Box<[u8]>>,
}

impl fmt::Debug for KeyRing {
    /// Shows nothing: who knows a secret can be every user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(..)")
    }
}

impl KeyRing {
    /// Takes what is configured.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        let secret = keys.site_key.expose();
        Self {
            plain: keys.plain,
            // A key of any length is good.
            site: secret.and_then(|secret| Hmac::new_from_slice(secret.as_bytes()).ok()),
            xbt: keys.xbt_private_key.expose().map(|secret| secret.as_bytes().into()),
        }
    }

    /// Whom a key stands for. One that is made for a torrent needs that torrent.
    pub(super) fn account(
        &self,
        site: &Site,
        key: &[u8],
        info_hash: Option<&InfoHash>,
    ) -> Option<Account> {
        if self.plain
            && let Some(account) = site.account_by_passkey(key)
        {
            return Some(account);
        }
        let info_hash = *info_hash.filter(|_| key.len() == KEY_CHARS)?;
        self.account_by_site_key(site, key, info_hash)
            .or_else(|| self.account_by_xbt_key(site, key, info_hash))
    }

    fn account_by_site_key(&self, site: &Site, key: &[u8], info_hash: InfoHash) -> Option<Account> {
        let mac = self.site.as_ref()?;
        let user = claimed_user(key)?;
        let salt = site.key_salt(&info_hash).unwrap_or_default();
        believed(site, user, key, info_hash, |claim| {
            derive(claim, salt, |parts| {
                let mut mac = mac.clone();
                parts.iter().for_each(|part| mac.update(part));
                mac.finalize().into_bytes().into()
            })
        })
    }

    fn account_by_xbt_key(&self, site: &Site, key: &[u8], info_hash: InfoHash) -> Option<Account> {
        let private_key = self.xbt.as_ref()?;
        let user = claimed_user_xbt(key)?;
        believed(site, user, key, info_hash, |claim| {
            derive_xbt(claim, private_key, |parts| {
                let mut sha1 = sha1_smol::Sha1::new();
                parts.iter().for_each(|part| sha1.update(part));
                sha1.digest().bytes()
            })
        })
    }
}

/// The user that a key claims to be, if it is the one that is made now. A number that nobody has
/// takes as long as one that somebody has.
fn believed(
    site: &Site,
    user: UserId,
    key: &[u8],
    info_hash: InfoHash,
    make: impl FnOnce(&KeyClaim) -> [u8; KEY_CHARS],
) -> Option<Account> {
    let found = site.account(user);
    let version = found.map_or(0, |(_, version)| version);
    let is_right = same(&make(&KeyClaim { user, version, info_hash }), key);
    found.filter(|_| is_right).map(|(account, _)| account)
}
