//! The numbers of `/stats`, under the names by which monitors of Chihaya know them.
//!
//! What is not counted is null: a zero would look like a number.

use serde_json::{Map, Value, json};
use skep_engine::swarm::{LaneKind, PeerClass};

use crate::telemetry::metrics::Overview;

/// Makes the numbers; `flatten` joins the names of what lies within.
pub(super) fn stats(overview: &Overview, started_unix_secs: u64, flatten: bool) -> Value {
    let sum = |of: fn(&crate::telemetry::metrics::TransportSums) -> u64| -> u64 {
        overview.transports.iter().map(of).sum()
    };
    let (answers, errors) = (sum(|sums| sums.answers), sum(|sums| sums.errors));
    let stats = json!({
        "Started": rfc3339(started_unix_secs),
        "Connections.Open": overview.http_connections,
        "Connections.Accepted": null,
        "BytesTransmitted": overview.sent_bytes,
        "Requests.Handled": answers + errors,
        "Requests.Errored": null,
        "Requests.Bad": errors,
        "ResponseTime": { "P50": null, "P90": null, "P95": null },
        "Tracker.Announces": overview.announces,
        "Tracker.Scrapes": overview.scrapes,
        "Torrents.Size": overview.tally.torrents,
        "Torrents.Added": null,
        "Torrents.Removed": null,
        "Torrents.Reaped": null,
        "Peers.IPv4": family(overview, &[LaneKind::Ipv4, LaneKind::Ipv4Local]),
        "Peers.IPv6": family(overview, &[LaneKind::Ipv6, LaneKind::Ipv6Local]),
    });
    if flatten { flat(stats) } else { stats }
}

fn family(overview: &Overview, kinds: &[LaneKind]) -> Value {
    let of = |classes: &[PeerClass]| -> u64 {
        let kinds = kinds.iter().map(|kind| &overview.tally.peers[*kind as usize]);
        kinds.flat_map(|peers| classes.iter().map(|class| peers[*class as usize])).sum()
    };
    let class =
        |current: u64| json!({ "Current": current, "Joined": null, "Left": null, "Reaped": null });
    json!({
        "Peers": class(of(&[PeerClass::Leecher, PeerClass::PartialSeed, PeerClass::Seeder])),
        "Seeds": class(of(&[PeerClass::Seeder])),
        "Completed": null,
    })
}

/// Joins names of what lies within others by dots.
fn flat(value: Value) -> Value {
    fn put(name: String, value: Value, to: &mut Map<String, Value>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                    put(name, value, to);
                }
            }
            value => drop(to.insert(name, value)),
        }
    }
    let mut entries = Map::new();
    put(String::new(), value, &mut entries);
    Value::Object(entries)
}

/// A time of day in UTC as RFC 3339 writes it.
fn rfc3339(unix_secs: u64) -> String {
    let (days, secs) = (unix_secs / 86_400, unix_secs % 86_400);
    // Years are counted from 1 March 0000, so that the day that is sometimes missing is the last.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_standard_wants() {
        for (unix_secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_416_446_403, "2014-11-20T01:20:03Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(unix_secs), text);
        }
    }

    #[test]
    fn flat_names_are_joined_by_dots() {
        let flat = stats(&Overview::default(), 0, true);
        assert!(flat.as_object().unwrap().values().all(|value| !value.is_object()));
        assert_eq!(flat["Peers.IPv6.Seeds.Current"], 0);
        assert_eq!(flat["ResponseTime.P95"], Value::Null);
        assert_eq!(stats(&Overview::default(), 0, false)["Peers.IPv4"]["Peers"]["Current"], 0);
    }
}
