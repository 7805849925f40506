//! The same facts for programs.
//!
//! Names of keys are those that monitors of other trackers read already.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::stats::{Client, Snapshot};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats<'a> {
    torrents: u64,
    active_torrents: u64,
    peers_all: u64,
    peers_seeder_only: u64,
    peers_leecher_only: u64,
    peers_seeder_and_leecher: u64,
    #[serde(rename = "peersIPv4")]
    peers_ipv4: u64,
    #[serde(rename = "peersIPv6")]
    peers_ipv6: u64,
    #[serde(serialize_with = "clients")]
    clients: &'a [Client],
}

/// Returns the statistics as JSON.
#[must_use]
pub fn stats_json(snapshot: &Snapshot) -> String {
    let stats = Stats {
        torrents: snapshot.torrents,
        active_torrents: snapshot.active_torrents,
        peers_all: snapshot.peers,
        peers_seeder_only: snapshot.peers_seeder_only,
        peers_leecher_only: snapshot.peers_leecher_only,
        peers_seeder_and_leecher: snapshot.peers_seeder_and_leecher,
        peers_ipv4: snapshot.peers_ipv4,
        peers_ipv6: snapshot.peers_ipv6,
        clients: &snapshot.clients,
    };
    serde_json::to_string(&stats).expect("numbers and texts always serialize")
}

fn clients<S: Serializer>(clients: &&[Client], serializer: S) -> Result<S::Ok, S::Error> {
    let mut names = serializer.serialize_map(Some(clients.len()))?;
    for client in *clients {
        names.serialize_entry(client.name, &Versions(&client.versions))?;
    }
    names.end()
}

/// A map in the order of its list.
struct Versions<'a>(&'a [(String, u64)]);

impl Serialize for Versions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(version, number)| (version, number)))
    }
}

/// What a tracker says of itself, as JSON: `ok`, or what is wrong though it answers.
#[must_use]
pub fn health_json(troubles: &[String]) -> String {
    match troubles {
        [] => "{\"status\":\"ok\"}".to_owned(),
        _ => serde_json::json!({ "status": "degraded", "troubles": troubles }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tracker_has_every_key() {
        let expected = "{\"torrents\":0,\"activeTorrents\":0,\"peersAll\":0,\
            \"peersSeederOnly\":0,\"peersLeecherOnly\":0,\"peersSeederAndLeecher\":0,\
            \"peersIPv4\":0,\"peersIPv6\":0,\"clients\":{}}";
        assert_eq!(stats_json(&Snapshot::default()), expected);
    }

    #[test]
    fn clients_are_maps_of_versions() {
        let client = |name, version: &str| Client { name, versions: vec![(version.into(), 1)] };
        let snapshot = Snapshot {
            torrents: 1,
            active_torrents: 1,
            peers: 1,
            peers_leecher_only: 1,
            clients: vec![client("WebTorrent", "0.91"), client("unknown", "0\"<\\x00")],
            ..Snapshot::default()
        };
        let json: serde_json::Value = serde_json::from_str(&stats_json(&snapshot)).unwrap();
        assert_eq!(json["peersLeecherOnly"], 1);
        assert_eq!(json["clients"]["WebTorrent"]["0.91"], 1);
        assert_eq!(json["clients"]["unknown"]["0\"<\\x00"], 1);
    }

    #[test]
    fn health_is_json() {
        let json: serde_json::Value = serde_json::from_str(&health_json(&[])).unwrap();
        assert_eq!(json["status"], "ok");
    }
}
