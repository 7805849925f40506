//! From the configuration and the files it names to the policy in force, again and again.
//!
//! Reads files and swaps whole policies. What a policy decides is written in the engine.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use skep_engine::Seed;
use skep_engine::gate::{
    AddressRanges, ClientPrefixes, ListedTorrent, Membership, OwnGates, Rules,
    TorrentAccess as EngineAccess, TorrentList,
};
use skep_engine::ledger::{self, LedgerSettings};
use skep_engine::limits::PEER_TTL_SECS_MAX;
use skep_engine::session::{
    AnswerSettings, ExternalAddresses, Policy, Proxies, ScrapeSettings, Stretch, WebsocketSettings,
};
use skep_engine::swarm::{PrivatePeers as EnginePrivatePeers, SwarmSettings};
use skep_store::{Entry, ListError, open_list};

use crate::config::{
    Combine, Config, FirstAnnounce, IpOverride, Mode, ParallelTime, PortZero, PrivatePeers,
    TorrentAccess, UnknownScrape,
};
use crate::site::{Gatekeeper, KeyRing, Site};

/// Problems of one list file that are logged; the rest is only counted.
const LINES_LOGGED_MAX: usize = 10;

/// What was read for a policy, for logs and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSizes {
    /// Torrents in `access.torrents_file`.
    pub listed: u64,
    /// Torrents in `access.torrents_deny_file`.
    pub denied: u64,
    /// Lines of both that could not be read.
    pub bad_lines: u64,
}

/// Makes the policy that a configuration describes, over what the site tells and without gates of the
/// operator's own.
///
/// # Errors
/// If a list file cannot be read. Lines that cannot be read are logged and skipped.
pub fn load(
    config: &Config,
    seed: &Seed,
    site: &Arc<Site>,
) -> Result<(Policy, ListSizes), ListError> {
    let mut sizes = ListSizes::default();
    let access = &config.access;
    let torrents = read(access.torrents_file.as_deref(), seed, &mut sizes.bad_lines)?;
    let torrents_denied = read(access.torrents_deny_file.as_deref(), seed, &mut sizes.bad_lines)?;
    sizes.listed = torrents.len() as u64;
    sizes.denied = torrents_denied.len() as u64;
    let rules = Rules {
        addresses_denied: addresses_denied(config, site),
        clients_allowed: clients(config, site, true),
        clients_denied: clients(config, site, false),
        access: match (config.mode, access.torrents) {
            (Mode::Registered | Mode::Private, _) | (Mode::Public, TorrentAccess::Allow) => {
                EngineAccess::Listed
            }
            (Mode::Public, TorrentAccess::Deny) => EngineAccess::Unlisted,
            (Mode::Public, TorrentAccess::Open) => EngineAccess::Open,
        },
        torrents,
        torrents_denied,
        ports_reserved_denied: access.ports_reserved_deny,
        site: membership(config, site),
    };
    let proxies = Proxies {
        trusted: ranges(&config.proxy.trusted),
        header: config.proxy.header.as_str().into(),
        protocol: ranges(&config.proxy.protocol),
        protocol_udp: ranges(&config.proxy.protocol_udp),
    };
    let policy = Policy {
        answers: answer_settings(config),
        scrapes: scrape_settings(config),
        websocket: websocket_settings(config),
        rules,
        own_gates: OwnGates::default(),
        proxies,
    };
    Ok((policy, sizes))
}

/// How accounts are kept, for as many ledgers; torrents are not alike, so one may hold four times its
/// share of the sessions.
#[must_use]
pub fn ledger_settings(config: &Config, ledgers: u32) -> LedgerSettings {
    let accounts = &config.accounts;
    LedgerSettings {
        peer_ttl_secs: config.swarm.peer_ttl_secs,
        baseline_ttl_secs: accounts.baseline_ttl_secs,
        gap_max_secs: accounts.gap_max_secs,
        duplicate_secs: accounts.duplicate_secs,
        line_bytes_per_sec_max: accounts.line_bytes_per_sec_max,
        sessions_max: 4 * u64::from(accounts.sessions_max.div_ceil(ledgers)),
        first_announce: match accounts.first_announce {
            FirstAnnounce::Baseline => ledger::FirstAnnounce::Baseline,
            FirstAnnounce::Credit => ledger::FirstAnnounce::Credit,
        },
        parallel_time: match accounts.parallel_time {
            ParallelTime::Once => ledger::ParallelTime::Once,
            ParallelTime::Each => ledger::ParallelTime::Each,
        },
    }
}

/// How several factors become one.
#[must_use]
pub const fn combine(config: &Config) -> ledger::Combine {
    match config.accounts.combine {
        Combine::Best => ledger::Combine::Best,
        Combine::Product => ledger::Combine::Product,
        Combine::First => ledger::Combine::First,
    }
}

/// The site, unless everybody and everything is served.
fn membership(config: &Config, site: &Arc<Site>) -> Option<Arc<dyn Membership>> {
    let keys = match config.mode {
        Mode::Public => return None,
        Mode::Registered => None,
        Mode::Private => Some(KeyRing::new(&config.keys)),
    };
    Some(Arc::new(Gatekeeper::new(site.clone(), keys)))
}

/// The settings of the swarms, which stay until the end of the process.
#[must_use]
pub fn swarm_settings(config: &Config) -> SwarmSettings {
    let swarm = &config.swarm;
    SwarmSettings {
        peer_ttl_secs: swarm.peer_ttl_secs,
        webrtc_peer_ttl_secs: webrtc_peer_ttl_secs(config),
        peer_ids: swarm.peer_ids,
        ports_per_address_max: swarm.ports_per_address_max,
        peers_per_prefix_max: swarm.peers_per_prefix_max,
        torrents_max: swarm.torrents_max.into(),
        peers_max: swarm.peers_max.into(),
        completed_overrides_left: config.announce.completed_overrides_left,
        seeds_to_seeds: config.announce.seeds_to_seeds,
        private_peers: match config.announce.private_peers {
            PrivatePeers::Match => EnginePrivatePeers::Match,
            PrivatePeers::Always => EnginePrivatePeers::Always,
            PrivatePeers::Never => EnginePrivatePeers::Never,
        },
    }
}

/// How long browsers may be silent: a little longer than their connections, whose end tells earlier.
fn webrtc_peer_ttl_secs(config: &Config) -> u32 {
    let announce = &config.announce;
    let usual_secs = u64::from(config.websocket.interval_secs);
    // Browsers are told longer intervals in the same measure as others.
    let longest_secs = usual_secs * u64::from(announce.interval_longest_secs());
    let longest_secs = longest_secs / u64::from(announce.interval_secs.max(1));
    let ttl_secs = (longest_secs * 2 + 60).max(240);
    u32::try_from(ttl_secs).map_or(PEER_TTL_SECS_MAX, |secs| secs.min(PEER_TTL_SECS_MAX))
}

fn answer_settings(config: &Config) -> AnswerSettings {
    let announce = &config.announce;
    AnswerSettings {
        interval_secs: announce.interval_secs,
        interval_min_secs: announce.interval_min_secs,
        interval_jitter_percent: announce.interval_jitter_percent,
        stretch: announce.stretches().then_some(Stretch {
            interval_max_secs: announce.interval_longest_secs(),
            above_announces_per_sec: announce.stretch_above_announces_per_sec,
            above_swarm_peers: announce.stretch_above_swarm_peers,
        }),
        peers_default: announce.peers_default,
        peers_max: announce.peers_max,
        cross_family: announce.cross_family,
        external_ip: announce.external_ip,
        external: external_addresses(&announce.external_addresses),
        port_zero_unlisted: announce.port_zero == PortZero::Unlisted,
        ip_override_local: announce.ip_override == IpOverride::Local,
        plus_literal: config.http.plus_literal,
    }
}

fn external_addresses(addresses: &[IpAddr]) -> ExternalAddresses {
    let mut external = ExternalAddresses::default();
    for address in addresses {
        match *address {
            IpAddr::V4(ip) => external.ipv4 = Some(ip),
            IpAddr::V6(ip) => external.ipv6 = Some(ip),
        }
    }
    external
}

fn scrape_settings(config: &Config) -> ScrapeSettings {
    let scrape = &config.scrape;
    ScrapeSettings {
        hashes_max: scrape.hashes_max,
        full: scrape.full,
        full_max: scrape.full_max,
        names: scrape.names,
        omit_unknown: scrape.unknown == UnknownScrape::Omit,
        downloaders: scrape.downloaders,
        flags: scrape.flags,
    }
}

fn websocket_settings(config: &Config) -> WebsocketSettings {
    let websocket = &config.websocket;
    WebsocketSettings {
        enabled: websocket.enabled,
        interval_secs: websocket.interval_secs,
        offers_max: websocket.offers_max,
        message_bytes_max: websocket.message_max_bytes as usize,
        messages_per_sec_max: websocket.messages_per_sec_max,
        torrents_max: websocket.torrents_per_connection_max as usize,
        ping_interval_secs: websocket.ping_interval_secs,
        send_queue_bytes_max: websocket.send_queue_max_bytes as usize,
    }
}

fn ranges(networks: &[IpNet]) -> AddressRanges {
    AddressRanges::new(networks.iter().map(|network| (network.addr(), network.prefix_len())))
}

/// The ranges of the configuration, and in public mode the bans of the API, for which there is no
/// [`Membership`] then.
fn addresses_denied(config: &Config, site: &Site) -> AddressRanges {
    let bans = if config.mode == Mode::Public { site.bans() } else { Vec::new() };
    let listed = config.access.addresses_deny.iter();
    AddressRanges::new(
        listed
            .map(|network| (network.addr(), network.prefix_len()))
            .chain(bans.iter().map(|ban| (ban.address, ban.prefix_len))),
    )
}

/// The prefixes of the configuration, and in public mode those of the API.
fn clients(config: &Config, site: &Site, allowed: bool) -> ClientPrefixes {
    let told = if config.mode == Mode::Public { site.clients() } else { Vec::new() };
    let told = told.iter().filter(|client| client.allowed == allowed);
    let access = &config.access;
    let listed = if allowed { &access.clients_allow } else { &access.clients_deny };
    let listed = listed.iter().map(String::as_bytes);
    ClientPrefixes::new(listed.chain(told.map(|client| client.prefix.as_bytes())))
}

fn read(path: Option<&Path>, seed: &Seed, bad_lines: &mut u64) -> Result<TorrentList, ListError> {
    let Some(path) = path else {
        return Ok(TorrentList::default());
    };
    let mut list = open_list(path)?;
    // Entries go one by one to where they stay: a long list is in memory once.
    let torrents = TorrentList::new(
        seed.clone(),
        list.by_ref().map(|Entry { info_hash, name, banned }| ListedTorrent {
            info_hash,
            name,
            banned,
        }),
    );
    let skipped =
        list.finish().map_err(|cause| ListError::Unreadable { path: path.into(), cause })?;
    *bad_lines += skipped.problem_count;
    for problem in skipped.problems.iter().take(LINES_LOGGED_MAX) {
        tracing::warn!(file = %path.display(), "{problem}; the line is skipped");
    }
    if skipped.problem_count > LINES_LOGGED_MAX as u64 {
        let more = skipped.problem_count - LINES_LOGGED_MAX as u64;
        tracing::warn!(file = %path.display(), more, "further lines are skipped");
    }
    Ok(torrents)
}

/// Says which list files would keep the tracker from starting, without reading them.
#[must_use]
pub fn list_warnings(config: &Config) -> Vec<String> {
    let access = &config.access;
    [&access.torrents_file, &access.torrents_deny_file]
        .into_iter()
        .flatten()
        .filter_map(|path| Some(open_list(path).err()?.to_string()))
        .collect()
}

/// The policy in force; workers look at it once for a batch.
pub type CurrentPolicy = Arc<arc_swap::ArcSwap<Policy>>;
