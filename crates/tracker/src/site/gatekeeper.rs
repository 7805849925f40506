//! The site as gates see it, with the passkeys that the configuration lets count.
//!
//! Decides nothing: what is refused and with which words is written in the engine.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use skep_engine::gate::{Account, Listing, Membership, Reason};
use skep_engine::site::{PASSKEY_BYTES_MAX, TorrentState};
use skep_proto::http::Passkey;
use skep_proto::{InfoHash, PeerId};

use super::{KeyRing, Site};

/// Answers what gates ask; made anew with each policy.
#[derive(Debug)]
pub struct Gatekeeper {
    site: Arc<Site>,
    /// Without, there are no users.
    keys: Option<KeyRing>,
}

impl Gatekeeper {
    /// A site that knows torrents, and users if there are `keys`.
    #[must_use]
    pub const fn new(site: Arc<Site>, keys: Option<KeyRing>) -> Self {
        Self { site, keys }
    }
}

impl Membership for Gatekeeper {
    fn wants_passkey(&self) -> bool {
        self.keys.is_some()
    }

    fn bans(&self, ip: IpAddr) -> bool {
        self.site.commons.bans_address(ip)
    }

    fn allows_client(&self, peer_id: &PeerId) -> bool {
        self.site.commons.allows_client(peer_id)
    }

    fn account(&self, passkey: Passkey<'_>, info_hash: Option<&InfoHash>) -> Option<Account> {
        let mut room = [0; PASSKEY_BYTES_MAX];
        let key = passkey.decode_into(&mut room)?;
        self.keys.as_ref()?.account(&self.site, key, info_hash)
    }

    fn listing(&self, info_hash: &InfoHash, reason: &mut Reason) -> Option<Listing> {
        self.site.listing(info_hash, reason)
    }

    fn withdrawals(&self) -> u64 {
        self.site.withdrawals.load(Ordering::Acquire)
    }

    fn for_each_torrent(&self, visit: &mut dyn FnMut(&InfoHash, TorrentState)) {
        self.site.for_each_torrent(&mut |torrent| visit(&torrent.info_hash, torrent.state));
    }

    fn name(&self, info_hash: &InfoHash) -> Option<Box<str>> {
        self.site.torrents.by_key(info_hash.as_bytes(), |torrent| torrent.name.clone())?
    }
}
