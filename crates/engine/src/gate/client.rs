//! Which client software may announce, by the prefix of its peer id (BEP 20).
//!
//! A peer id is what the client says, so this keeps honest software out, not dishonest.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skep_proto::PeerId;

use super::members::{Asking, No};
use super::{Refusal, Rules};
use crate::swarm::Announce;

/// Prefixes of peer ids.
#[derive(Clone, Debug, Default)]
pub struct ClientPrefixes(Vec<Box<[u8]>>);

impl ClientPrefixes {
    /// Takes prefixes such as `-TR40`; one without the leading dash matches behind it as well.
    #[must_use]
    pub fn new<'a>(prefixes: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(prefixes.into_iter().map(Box::from).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a peer id begins with one of them.
    #[must_use]
    pub fn matches(&self, peer_id: &PeerId) -> bool {
        let id = peer_id.as_bytes();
        let behind_dash = id.strip_prefix(b"-").unwrap_or(id);
        self.0.iter().any(|prefix| id.starts_with(prefix) || behind_dash.starts_with(prefix))
    }
}

pub(super) fn check<'a>(rules: &'a Rules, announce: &Announce) -> Result<(), Refusal<'a>> {
    let peer_id = &announce.request.peer_id;
    let allowed = rules.clients_allowed.is_empty() || rules.clients_allowed.matches(peer_id);
    if allowed && !rules.clients_denied.matches(peer_id) {
        Ok(())
    } else {
        Err(Refusal::ClientNotAllowed)
    }
}

pub(super) fn check_member<'a>(rules: &'a Rules, asking: &mut Asking<'_>) -> Result<(), No<'a>> {
    check(rules, asking.announce)?;
    if !asking.site.allows_client(&asking.announce.request.peer_id) {
        return Err(Refusal::ClientNotAllowed.into());
    }
    Ok(())
}
