//! How a user stands in a torrent right before an announce: what limits ask, and where the user is.
//!
//! Changes nothing. How many torrents the user downloads elsewhere is told by whoever asks.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skep_proto::AnnounceEvent;
use skep_proto::peer_addr::{self, IPV6_BYTES};

use super::account::{Account, Announcer, Session};
use super::record::lacks;
use super::{Entry, Family, Ledger, LedgerSettings, TorrentId, UserId, instant, table};
use crate::gate::Refusal;
use crate::swarm::LeftOut;

/// How long an endpoint may be listed after it was last heard of, in lifetimes of a peer: swarms
/// count in coarser steps.
const LISTED_TTLS: u32 = 2;

/// How a user stands in a torrent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Sessions of the user in this torrent that have not ended, but for that of the announcer.
    pub others_open: u32,
    /// Whether the announcer's session goes on.
    pub open: bool,
    /// Whether the announce is one of a download that has not begun yet, in any session.
    pub begins_download: bool,
    /// Whether there is room for the session.
    pub has_room: bool,
    /// Whether the user may be listed at other endpoints than that of the announce.
    pub elsewhere: bool,
    /// Where the session was that has moved to another address or port of its family.
    pub moved_from: Option<(IpAddr, u16)>,
}

impl Standing {
    /// Holds the user's sessions in the torrent against a limit.
    ///
    /// # Errors
    /// The refusal, if the announce would begin one session too many.
    pub fn admit(&self, event: AnnounceEvent, sessions_max: u32) -> Result<(), Refusal<'static>> {
        let begins = !self.open && event != AnnounceEvent::Stopped;
        match begins && self.others_open >= sessions_max {
            true => Err(Refusal::TooManyClients),
            false => Ok(()),
        }
    }
}

impl Ledger {
    /// Tells how the user of an announce stands in its torrent before it is entered.
    ///
    /// # Cost
    /// One look-up, and one pass over the user's sessions in this torrent.
    #[must_use]
    pub fn standing(&self, entry: &Entry<'_>) -> Standing {
        let (settings, request) = (&self.settings, entry.request);
        let now = instant(self.now.max(entry.now));
        let full = self.tally.sessions >= settings.sessions_max;
        let stops = request.event == AnnounceEvent::Stopped;
        let Some(account) = self.account(entry.torrent, entry.user) else {
            return Standing {
                others_open: 0,
                open: false,
                begins_download: !stops && lacks(request, true),
                has_room: !full,
                elsewhere: false,
                moved_from: None,
            };
        };
        let at = account.find(&Announcer::of(entry), settings, now);
        let own = at.map(|at| account.session(at)).filter(|own| !own.is_old(settings, now));
        let active = |session: &&Session| session.is_open() && session.is_active(settings, now);
        let others_open = account.sessions().filter(active).count() as u32;
        let open = own.is_some_and(|own| active(&own));
        let lacked = own.is_none_or(|own| own.lacks);
        let here = |session: &Session, family: Family| {
            own.is_some_and(|own| core::ptr::eq(own, session)) && family == entry.family
        };
        Standing {
            others_open: others_open - u32::from(open),
            open,
            begins_download: !stops && !account.downloads && lacks(request, lacked),
            has_room: own.is_some() || account.has_place(full),
            elsewhere: account.sessions().any(|session| {
                let listed = |family| session.may_be_listed(family, settings, now);
                Family::ALL.into_iter().any(|family| listed(family) && !here(session, family))
            }),
            moved_from: own.and_then(|own| own.moved_from(entry, settings, now)),
        }
    }

    /// Adds every endpoint at which the user of an announce may be listed in its torrent.
    pub fn add_endpoints(&self, entry: &Entry<'_>, out: &mut LeftOut) {
        let now = instant(self.now.max(entry.now));
        let Some(account) = self.account(entry.torrent, entry.user) else { return };
        for session in account.sessions() {
            for family in Family::ALL {
                if !session.may_be_listed(family, &self.settings, now) {
                    continue;
                }
                match session.address(family) {
                    Some((ip, port)) => out.add(ip, port),
                    None => out.add_webrtc(session.peer_id),
                }
            }
        }
    }

    /// Whether a user downloads a torrent, in any session.
    #[must_use]
    pub fn downloads(&self, torrent: TorrentId, user: UserId) -> bool {
        self.account(torrent, user).is_some_and(|account| account.downloads)
    }

    fn account(&self, torrent: TorrentId, user: UserId) -> Option<&Account> {
        let place = self.table.find(table::hash(&self.seed, torrent, user), torrent, user)?;
        self.table.accounts(place.segment).get(place.number)
    }
}

impl Session {
    /// Takes notice of where the client is.
    pub(super) fn move_to(&mut self, entry: &Entry<'_>) {
        match entry.ip {
            Some(IpAddr::V4(ip)) => self.ipv4 = peer_addr::pack_ipv4(ip, entry.request.port),
            Some(IpAddr::V6(ip)) => self.ipv6 = peer_addr::pack_ipv6(ip, entry.request.port),
            None => {}
        }
    }

    fn may_be_listed(&self, family: Family, settings: &LedgerSettings, now: u32) -> bool {
        let seen = self.seen[family as usize];
        seen != 0 && now - seen <= settings.peer_ttl_secs.saturating_mul(LISTED_TTLS)
    }

    /// The endpoint of a family, if its endpoints have addresses.
    const fn address(&self, family: Family) -> Option<(IpAddr, u16)> {
        match family {
            Family::Ipv4 => {
                let [a, b, c, d, port @ ..] = self.ipv4;
                Some((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes(port)))
            }
            Family::Ipv6 => match self.ipv6.split_first_chunk::<{ IPV6_BYTES - 2 }>() {
                Some((ip, &[high, low])) => {
                    let ip = Ipv6Addr::from_octets(*ip);
                    Some((IpAddr::V6(ip), u16::from_be_bytes([high, low])))
                }
                _ => None,
            },
            Family::Webrtc => None,
        }
    }

    /// Where the session was before an announce of its own, if that is elsewhere.
    fn moved_from(
        &self,
        entry: &Entry<'_>,
        settings: &LedgerSettings,
        now: u32,
    ) -> Option<(IpAddr, u16)> {
        let (ip, port) = self.address(entry.family)?;
        let moved = (Some(ip), port) != (entry.ip, entry.request.port);
        (moved && self.may_be_listed(entry.family, settings, now)).then_some((ip, port))
    }
}
