//! A batch as lines of JSON, one for each delta.
//!
//! The names are a promise to sites: new ones may come, none goes.

use std::net::IpAddr;

use serde::Serialize;
use skep_engine::ledger::{Family, Scope, Verdict};

use crate::driver::{Batch, DriverError, Record};

/// One delta.
#[derive(Serialize)]
struct Line<'a> {
    key: String,
    at: u64,
    user: u32,
    torrent: u32,
    peer_id: String,
    family: &'static str,
    ip: Option<IpAddr>,
    port: Option<u16>,
    uploaded: u64,
    downloaded: u64,
    raw_uploaded: u64,
    raw_downloaded: u64,
    corrupt: u64,
    left: Option<u64>,
    seeding: bool,
    seeding_secs: u32,
    leeching_secs: u32,
    active_secs: u32,
    began: bool,
    ended: bool,
    completed: bool,
    reset: bool,
    held: bool,
    verdict: Option<&'static str>,
    client_uploaded: u64,
    client_downloaded: u64,
    spent: &'a [SpentJson],
}

/// What was taken from the budget of a factor.
#[derive(Serialize)]
struct SpentJson {
    factor: u32,
    scope: &'static str,
    bytes: u64,
}

/// The name of a batch, which is the same whenever the same records come together.
pub(super) fn key_of_batch(batch: &Batch) -> String {
    format!("{:016x}-{}-{}", batch.journal(), batch.from(), batch.until())
}

/// Makes the lines of a batch.
pub(super) fn lines(batch: &Batch) -> Result<Vec<u8>, DriverError> {
    let mut lines = Vec::new();
    for (position, record) in (batch.from()..).zip(batch.records()) {
        let key = format!("{:016x}-{position}", batch.journal());
        push(&mut lines, key, record)
            .map_err(|error| DriverError::Refused(format!("a delta is no JSON: {error}")))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn push(lines: &mut Vec<u8>, key: String, record: &Record) -> serde_json::Result<()> {
    let Record { at_unix_secs, endpoint, delta } = record;
    let session = &delta.session;
    let spent: Vec<_> = delta.spent.iter().filter(|spent| spent.bytes != 0).collect();
    let spent: Vec<_> = spent
        .iter()
        .map(|spent| SpentJson {
            factor: spent.rule,
            scope: scope(spent.scope),
            bytes: spent.bytes,
        })
        .collect();
    let line = Line {
        key,
        at: *at_unix_secs,
        user: session.user.0,
        torrent: session.torrent.0,
        peer_id: session.peer_id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
        family: match session.family {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
            Family::Webrtc => "webrtc",
        },
        ip: endpoint.map(|endpoint| endpoint.ip()),
        port: endpoint.map(|endpoint| endpoint.port()),
        uploaded: delta.credited.uploaded_bytes,
        downloaded: delta.credited.downloaded_bytes,
        raw_uploaded: delta.raw.uploaded_bytes,
        raw_downloaded: delta.raw.downloaded_bytes,
        corrupt: delta.corrupt_bytes,
        left: delta.left_bytes,
        seeding: session.seeds,
        seeding_secs: delta.seeding_secs,
        leeching_secs: delta.leeching_secs,
        active_secs: delta.active_secs,
        began: delta.began,
        ended: delta.ended,
        completed: delta.completed,
        reset: delta.reset,
        held: delta.held,
        verdict: delta.verdict.map(|verdict| match verdict {
            Verdict::Released => "released",
            Verdict::Denied => "denied",
        }),
        client_uploaded: session.counters.uploaded_bytes,
        client_downloaded: session.counters.downloaded_bytes,
        spent: &spent,
    };
    serde_json::to_writer(lines, &line)
}

const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Site => "site",
        Scope::Group => "group",
        Scope::User => "user",
        Scope::TorrentGroup => "torrent_group",
        Scope::Torrent => "torrent",
        Scope::Token => "token",
    }
}
