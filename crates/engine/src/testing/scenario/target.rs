//! The engine as a target of scenarios, and the settings that scenarios give it.
//!
//! Only the settings that scripts use are known here; the product's own configuration is with the
//! product.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use skep_proto::{AnnounceRequest, InfoHash, TransactionId};

use super::{Client, Script, Setting, Target, Transport};
use crate::Seed;
use crate::gate::{AddressRanges, ClientPrefixes, ListedTorrent, TorrentAccess, TorrentList};
use crate::session::{AnswerSettings, Policy, Stretch};
use crate::swarm::{PrivatePeers, SwarmSettings};
use crate::testing::offline::OfflineTracker;
use crate::testing::wire::{self, Answer, Seen};

/// A tracker without sockets that scripts talk to in the bytes of one transport.
#[derive(Debug)]
pub struct OfflineTarget {
    tracker: OfflineTracker,
    transport: Transport,
    requests: u32,
}

/// Everything that settings can change.
#[derive(Default)]
struct Settings {
    policy: Policy,
    swarms: SwarmSettings,
}

impl OfflineTarget {
    /// Makes the tracker that a script asks for; all its randomness comes from `seed`.
    ///
    /// # Errors
    /// The setting that is not known here, or has a value of the wrong kind.
    pub fn new(script: &Script, transport: Transport, seed: u64) -> Result<Self, String> {
        let mut settings = Settings::default();
        settings.policy.answers.interval_jitter_percent = 0;
        for Setting { line, key, value } in &script.settings {
            apply(&mut settings, key, value).ok_or_else(|| {
                format!("{}:{line}: cannot set {key} to {value} here", script.file)
            })?;
        }
        let list = |on_it: fn(&super::Torrent) -> bool| {
            let torrents = script.torrents.iter().filter(|torrent| on_it(torrent));
            let entries = torrents.map(|torrent| ListedTorrent {
                info_hash: torrent.info_hash,
                name: None,
                banned: None,
            });
            TorrentList::new(Seed::new(seed), entries)
        };
        settings.policy.rules.torrents = list(|torrent| torrent.listed);
        settings.policy.rules.torrents_denied = list(|torrent| torrent.denied);
        let tracker = OfflineTracker::new(settings.policy, settings.swarms, seed);
        Ok(Self { tracker, transport, requests: 0 })
    }

    fn udp(
        &mut self,
        ip: IpAddr,
        request: impl Fn(skep_proto::ConnectionId, TransactionId) -> Vec<u8>,
    ) -> Vec<u8> {
        self.requests += 1;
        let id = TransactionId(self.requests.to_be_bytes());
        // Clients come from any port, whichever they listen at.
        let source = SocketAddr::new(ip, 30_000 + (self.requests % 1000) as u16);
        let reply = self.tracker.udp(source, &wire::udp_connect(id));
        let connection_id =
            reply.as_deref().and_then(wire::read_udp_connect).expect("every connect is answered");
        let reply = self.tracker.udp(source, &request(connection_id, id));
        let reply = reply.expect("every proven request is answered");
        assert_eq!(reply[4..8], id.0, "the transaction id comes back");
        reply
    }
}

impl Target for OfflineTarget {
    fn announce(&mut self, client: &Client, request: &AnnounceRequest) -> Result<Answer, String> {
        let ip = self.ip_of(client);
        match self.transport {
            Transport::Udp => {
                let reply = self.udp(ip, |id, number| wire::udp_announce(id, number, request));
                wire::read_udp_announce(&reply, ip.is_ipv6())
            }
            Transport::Http => {
                let target = wire::http_announce(request);
                let (_, body) = self.tracker.get(ip, target.as_bytes());
                wire::read_http_announce(&body)
            }
        }
    }

    fn scrape(&mut self, info_hashes: &[InfoHash]) -> Result<Vec<Seen>, String> {
        let ip = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
        match self.transport {
            Transport::Udp => {
                let reply = self.udp(ip, |id, number| wire::udp_scrape(id, number, info_hashes));
                wire::read_udp_scrape(&reply)
            }
            Transport::Http => {
                let target = wire::http_scrape(info_hashes);
                let (_, body) = self.tracker.get(ip, target.as_bytes());
                wire::read_http_scrape(&body, info_hashes)
            }
        }
    }

    fn advance(&mut self, secs: u32) {
        self.tracker.advance(secs);
    }
}

/// Sets one key; nothing if it is not known here or the value is of another kind.
fn apply(settings: &mut Settings, key: &str, value: &str) -> Option<()> {
    let swarms = &mut settings.swarms;
    let Policy { answers, scrapes, rules, .. } = &mut settings.policy;
    let texts: Option<Vec<String>> = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map(|rest| rest.split(',').filter_map(text).collect());
    match key {
        "announce.interval_secs" => answers.interval_secs = value.parse().ok()?,
        "announce.interval_min_secs" => answers.interval_min_secs = value.parse().ok()?,
        "announce.interval_max_secs" => stretch(answers).interval_max_secs = value.parse().ok()?,
        "announce.stretch_above_swarm_peers" => {
            stretch(answers).above_swarm_peers = value.parse().ok()?;
        }
        "announce.peers_default" => answers.peers_default = value.parse().ok()?,
        "announce.peers_max" => answers.peers_max = value.parse().ok()?,
        "announce.cross_family" => answers.cross_family = value.parse().ok()?,
        "announce.port_zero" => answers.port_zero_unlisted = text(value)? == "unlisted",
        "announce.completed_overrides_left" => {
            swarms.completed_overrides_left = value.parse().ok()?;
        }
        "announce.seeds_to_seeds" => swarms.seeds_to_seeds = value.parse().ok()?,
        "announce.private_peers" => {
            swarms.private_peers = match text(value)?.as_str() {
                "match" => PrivatePeers::Match,
                "always" => PrivatePeers::Always,
                "never" => PrivatePeers::Never,
                _ => return None,
            };
        }
        "scrape.hashes_max" => scrapes.hashes_max = value.parse().ok()?,
        "scrape.downloaders" => scrapes.downloaders = value.parse().ok()?,
        "swarm.peer_ttl_secs" => swarms.peer_ttl_secs = value.parse().ok()?,
        "swarm.peer_ids" => swarms.peer_ids = value.parse().ok()?,
        "swarm.ports_per_address_max" => swarms.ports_per_address_max = value.parse().ok()?,
        "swarm.peers_per_prefix_max" => swarms.peers_per_prefix_max = value.parse().ok()?,
        "swarm.torrents_max" => swarms.torrents_max = value.parse().ok()?,
        "swarm.peers_max" => swarms.peers_max = value.parse().ok()?,
        "access.torrents" => {
            rules.access = match text(value)?.as_str() {
                "open" => TorrentAccess::Open,
                "allow" => TorrentAccess::Listed,
                "deny" => TorrentAccess::Unlisted,
                _ => return None,
            };
        }
        "access.clients_allow" => rules.clients_allowed = prefixes(&texts?),
        "access.clients_deny" => rules.clients_denied = prefixes(&texts?),
        "access.addresses_deny" => rules.addresses_denied = networks(&texts?)?,
        "access.ports_reserved_deny" => rules.ports_reserved_denied = value.parse().ok()?,
        _ => return None,
    }
    Some(())
}

/// Intervals that grow, where a script wants them to.
fn stretch(answers: &mut AnswerSettings) -> &mut Stretch {
    answers.stretch.get_or_insert(Stretch {
        interval_max_secs: 2 * answers.interval_secs,
        above_announces_per_sec: 0,
        above_swarm_peers: 0,
    })
}

/// A text in quotes.
fn text(value: &str) -> Option<String> {
    let inner = value.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.to_owned())
}

fn prefixes(texts: &[String]) -> ClientPrefixes {
    ClientPrefixes::new(texts.iter().map(String::as_bytes))
}

fn networks(texts: &[String]) -> Option<AddressRanges> {
    let network = |text: &String| {
        let (ip, bits) = text.split_once('/')?;
        Some((ip.parse().ok()?, bits.parse().ok()?))
    };
    let networks: Option<Box<[(IpAddr, u8)]>> = texts.iter().map(network).collect();
    Some(AddressRanges::new(networks?))
}
