//! What is going on now: sums, the greatest swarms, and one swarm with its peers.
//!
//! Reads what others count and keep; changes nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use skep_engine::ledger::SessionState;
use skep_engine::site::{TorrentId, UserId};
use skep_engine::swarm::{Counts, LaneKind, PeerClass, StoredPeer};
use skep_proto::InfoHash;
use utoipa::ToSchema;

use super::asked::{Asked, Segments};
use super::fields::Kind;
use super::keys::{self, TorrentKey};
use super::records::{parameter, unknown};
use super::{Api, blocking, hex};
use crate::admin::problem::Problem;
use crate::config::Scope;

/// Swarms of one answer.
const SWARMS_MAX: u64 = 1_000;
/// Peers of one answer.
const PEERS_MAX: u64 = 10_000;
/// Sessions of one answer.
const SESSIONS_MAX: usize = 10_000;

/// Sums over the whole tracker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sums {
    /// The version of the program.
    version: &'static str,
    /// Which torrents are served.
    mode: &'static str,
    /// Seconds since the process began.
    uptime_secs: u64,
    /// Memory of the process; null where the system does not tell.
    resident_bytes: Option<u64>,
    /// Torrents that are known to the swarms.
    torrents: u64,
    /// Peers in all torrents.
    peers: u64,
    /// Those that have everything.
    seeders: u64,
    /// Those that still want pieces.
    leechers: u64,
    /// Those that have all they want but not everything.
    partial_seeds: u64,
    /// Finished downloads since the process began.
    completions: u64,
    /// HTTP connections of clients that are open now.
    http_connections: u64,
    /// WebSocket connections of browsers that are open now.
    websocket_connections: u64,
    /// Datagrams dropped by the kernel.
    kernel_drops: u64,
    /// Requests over UDP, over HTTP and over WebSocket.
    traffic: [TransportSums; 3],
    /// Records that are kept.
    records: RecordSums,
}

/// Requests over one transport.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransportSums {
    /// The transport.
    #[schema(pattern = "^(udp|http|websocket)$")]
    transport: &'static str,
    /// Requests understood.
    requests: u64,
    /// Answers that were no errors.
    answers: u64,
    /// Error answers.
    errors: u64,
    /// Requests without an answer.
    drops: u64,
}

/// How many records there are.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Records)]
pub(super) struct RecordSums {
    /// Users.
    users: u64,
    /// Groups of users.
    groups: u64,
    /// Torrents.
    torrents: u64,
    /// Factors.
    factors: u64,
    /// Rules about clients.
    clients: u64,
    /// Bans.
    bans: u64,
}

/// How many peers a swarm has.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Crowd {
    /// Peers that have everything.
    seeders: u32,
    /// Peers that still want pieces.
    leechers: u32,
    /// Peers that have all they want but not everything.
    partial_seeds: u32,
}

/// A swarm.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Swarm {
    /// Its info hash, in hexadecimal digits.
    info_hash: String,
    /// The site's number of the torrent; null if the site did not tell of it.
    #[schema(minimum = 1)]
    id: Option<u32>,
    /// What people call it, if the site told.
    name: Option<Box<str>>,
    /// Finished downloads that were reported.
    completions: u32,
    /// Peers with addresses.
    peers: Crowd,
    /// Browsers.
    webrtc: Crowd,
}

/// The greatest swarms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Swarms {
    /// The greatest first.
    items: Vec<Swarm>,
}

/// A swarm as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveSwarm {
    /// Its numbers.
    swarm: Swarm,
    /// Some of its peers, if they were asked for.
    list: Vec<LivePeer>,
    /// How many further peers are not listed.
    list_left_out: u64,
}

/// A peer as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LivePeer {
    /// Its address; null for a browser.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// Its port; null for a browser.
    port: Option<u16>,
    /// Its peer id, in hexadecimal digits; null where peer ids are not kept.
    peer_id: Option<String>,
    /// What it is to its swarm.
    #[schema(pattern = "^(seeder|leecher|partial_seed)$")]
    class: &'static str,
}

/// What the ledger holds of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveUser {
    /// Sessions: open ones first, those that were heard of last before others.
    sessions: Vec<LiveSession>,
    /// How many further sessions are not listed.
    sessions_left_out: usize,
}

/// One client of a user in one torrent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveSession {
    /// The site's number of the torrent.
    torrent: u32,
    /// Its info hash; null if the site told that it is gone.
    info_hash: Option<String>,
    /// What the client calls itself, in hexadecimal digits.
    peer_id: String,
    /// Whether the client has all of the torrent.
    seeds: bool,
    /// Whether the session has not ended.
    open: bool,
    /// Seconds since the client was heard of.
    silent_secs: u32,
    /// Bytes that the client says to have sent.
    uploaded_bytes: u64,
    /// Bytes that the client says to have got.
    downloaded_bytes: u64,
}

/// Sums over the whole tracker.
#[utoipa::path(get, path = "/api/v1/stats", tag = "live", security(("bearer" = ["read"])),
    responses((status = 200, description = "The sums.", body = Sums)))]
pub(super) async fn get_stats(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [] = asked.query([])?;
    blocking(move || Ok(super::json(&sums(&api)))).await
}

fn sums(api: &Api) -> Sums {
    let overview = api.metrics.overview();
    let of_class = |class: PeerClass| -> u64 {
        LaneKind::ALL.iter().map(|kind| overview.tally.peers[*kind as usize][class as usize]).sum()
    };
    let [udp, http, websocket] = overview.transports;
    let traffic = [("udp", udp), ("http", http), ("websocket", websocket)];
    let site = api.books.site();
    let mut records = RecordSums {
        users: site.users_count() as u64,
        torrents: site.torrents_count() as u64,
        groups: site.groups().len() as u64,
        clients: site.clients().len() as u64,
        bans: site.bans().len() as u64,
        ..RecordSums::default()
    };
    site.for_each_factor(&mut |_| records.factors += 1);
    Sums {
        version: env!("CARGO_PKG_VERSION"),
        mode: api.site.mode.word(),
        uptime_secs: overview.uptime_secs,
        resident_bytes: overview.resident_bytes,
        torrents: overview.tally.torrents,
        peers: overview.tally.peers_total(),
        seeders: of_class(PeerClass::Seeder),
        leechers: of_class(PeerClass::Leecher),
        partial_seeds: of_class(PeerClass::PartialSeed),
        completions: overview.tally.completions,
        http_connections: overview.http_connections,
        websocket_connections: overview.websocket_connections,
        kernel_drops: overview.kernel_drops,
        traffic: traffic.map(|(transport, sums)| TransportSums {
            transport,
            requests: sums.requests,
            answers: sums.answers,
            errors: sums.errors,
            drops: sums.drops,
        }),
        records,
    }
}

/// Lists the greatest swarms.
#[utoipa::path(get, path = "/api/v1/swarms", tag = "live", security(("bearer" = ["read"])),
    params(
        ("by" = Option<String>, Query, description = "What makes a swarm great: peers, if not given.", pattern = "^(peers|seeders|leechers|completions)$"),
        ("limit" = Option<u32>, Query, description = "How many are listed; 20 if not given.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "The greatest first.", body = Swarms)))]
pub(super) async fn list_swarms(
    State(api): State<Arc<Api>>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [by, limit] = asked.query(["by", "limit"])?;
    let size: Size = match by {
        None | Some("peers") => |counts, webrtc| {
            let of = |counts: &Counts| counts.seeders + counts.incomplete();
            of(counts).saturating_add(of(webrtc))
        },
        Some("seeders") => |counts, webrtc| counts.seeders.saturating_add(webrtc.seeders),
        Some("leechers") => {
            |counts, webrtc| counts.incomplete().saturating_add(webrtc.incomplete())
        }
        // Both tell of all completions.
        Some("completions") => |counts, _| counts.completions,
        Some(_) => {
            return Err(keys::bad("by", "must be one of peers, seeders, leechers, completions"));
        }
    };
    let limit = limit.map_or(Ok(20), |text| {
        parameter("limit", text, &Kind::Number { min: 1, max: SWARMS_MAX })
    })?;
    blocking(move || Ok(super::json(&Swarms { items: greatest(&api, limit as usize, size) }))).await
}

/// How great a swarm is, by its counts without WebRTC peers and those of WebRTC peers.
type Size = fn(&Counts, &Counts) -> u32;

fn greatest(api: &Api, limit: usize, size: Size) -> Vec<Swarm> {
    // The least of those kept is on top. Ties go by info hash, so that lists are alike.
    let mut kept = BinaryHeap::new();
    api.store.for_each(&mut |info_hash, counts, webrtc| {
        kept.push(Reverse((size(&counts, &webrtc), *info_hash.as_bytes())));
        if kept.len() > limit {
            kept.pop();
        }
    });
    let swarm = |Reverse((_, bytes))| {
        let info_hash = InfoHash(bytes);
        let (counts, webrtc) = api.store.look(&info_hash, &mut |_| {})?;
        Some(swarm(api, &info_hash, &counts, &webrtc))
    };
    kept.into_sorted_vec().into_iter().filter_map(swarm).collect()
}

fn swarm(api: &Api, info_hash: &InfoHash, counts: &Counts, webrtc: &Counts) -> Swarm {
    let crowd = |Counts { seeders, leechers, partial_seeds, .. }: &Counts| Crowd {
        seeders: *seeders,
        leechers: *leechers,
        partial_seeds: *partial_seeds,
    };
    let torrent = api.books.site().torrent_by_hash(info_hash);
    Swarm {
        info_hash: hex(info_hash.as_bytes()),
        id: torrent.as_ref().map(|torrent| torrent.id.0),
        name: torrent.and_then(|torrent| torrent.name),
        completions: counts.completions,
        peers: crowd(counts),
        webrtc: crowd(webrtc),
    }
}

/// Shows what the swarm of a torrent holds now.
///
/// A torrent that nobody announced has an empty swarm. To list peers needs the scope `trace` as well.
#[utoipa::path(get, path = "/api/v1/torrents/{torrent}/live", tag = "live", security(("bearer" = ["read"])),
    params(
        ("torrent" = String, Path, description = "Its number, or its info hash of 40 hexadecimal digits.", pattern = "^([1-9][0-9]{0,8}|[1-3][0-9]{9}|[0-9A-Fa-f]{40})$"),
        ("peers" = Option<u32>, Query, description = "How many peers are listed; 0 if not given.", minimum = 0, maximum = 10000),
    ),
    responses((status = 200, description = "The swarm.", body = LiveSwarm)))]
pub(super) async fn get_live_torrent(
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Read)?;
    let [peers] = asked.query(["peers"])?;
    let peers = peers
        .map_or(Ok(0), |text| parameter("peers", text, &Kind::Number { min: 0, max: PEERS_MAX }))?;
    if peers > 0 {
        asked.caller.must(Scope::Trace)?;
    }
    let info_hash = info_hash_of(&api, &key)?;
    blocking(move || {
        let (mut list, mut list_left_out) = (Vec::new(), 0);
        let counts = api.store.look(&info_hash, &mut |peer| {
            if (list.len() as u64) < peers {
                list.push(shown(peer));
            } else {
                list_left_out += 1;
            }
        });
        let (counts, webrtc) = counts.unwrap_or_default();
        let swarm = swarm(&api, &info_hash, &counts, &webrtc);
        Ok(super::json(&LiveSwarm { swarm, list, list_left_out }))
    })
    .await
}

/// Shows what the ledger holds of a user now: every session that is remembered.
#[utoipa::path(get, path = "/api/v1/users/{id}/live", tag = "live", security(("bearer" = ["trace"])),
    params(("id" = u32, Path, description = "The number.", minimum = 1, maximum = 4294967295_u32)),
    responses((status = 200, description = "The sessions.", body = LiveUser)))]
pub(super) async fn get_live_user(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.must(Scope::Trace)?;
    let [] = asked.query([])?;
    api.keep_records()?;
    let user = UserId(keys::id(&id)?);
    let _known = api.books.site().user(user).ok_or_else(unknown)?;
    blocking(move || {
        let mut found = Vec::new();
        api.store.for_each_session(&mut |state, silent_secs| {
            if state.user == user {
                found.push((state, silent_secs));
            }
        });
        found.sort_unstable_by_key(|(state, silent_secs)| {
            (!state.open, *silent_secs, state.torrent)
        });
        let sessions_left_out = found.len().saturating_sub(SESSIONS_MAX);
        found.truncate(SESSIONS_MAX);
        let shown = |(state, silent_secs): &(SessionState, u32)| LiveSession {
            torrent: state.torrent.0,
            info_hash: api.books.site().torrent(state.torrent).map(|it| it.info_hash.to_string()),
            peer_id: hex(state.peer_id.as_bytes()),
            seeds: state.seeds,
            open: state.open,
            silent_secs: *silent_secs,
            uploaded_bytes: state.counters.uploaded_bytes,
            downloaded_bytes: state.counters.downloaded_bytes,
        };
        let sessions = found.iter().map(shown).collect();
        Ok(super::json(&LiveUser { sessions, sessions_left_out }))
    })
    .await
}

/// The info hash that a path names, of a torrent that need not be known if it is named by it.
pub(super) fn info_hash_of(api: &Api, key: &str) -> Result<InfoHash, Problem> {
    match keys::torrent(key)? {
        TorrentKey::InfoHash(info_hash) => Ok(info_hash),
        TorrentKey::Id(id) => {
            api.keep_records()?;
            let torrent = api.books.site().torrent(TorrentId(id)).ok_or_else(unknown)?;
            Ok(torrent.info_hash)
        }
    }
}

fn shown(peer: StoredPeer<'_>) -> LivePeer {
    let endpoint = peer.endpoint.and_then(|bytes| bytes.split_last_chunk::<2>());
    let (address, port) = endpoint.map_or((None, None), |(address, port)| {
        let ipv4 = <[u8; 4]>::try_from(address).map(|octets| Ipv4Addr::from(octets).into());
        let ipv6 = <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).into());
        (ipv4.or(ipv6).ok(), Some(u16::from_be_bytes(*port)))
    });
    let class = match peer.class {
        PeerClass::Seeder => "seeder",
        PeerClass::Leecher => "leecher",
        PeerClass::PartialSeed => "partial_seed",
    };
    LivePeer { address, port, peer_id: peer.peer_id.map(|id| hex(id.as_bytes())), class }
}
