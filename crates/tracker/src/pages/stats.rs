//! The statistics page: the numbers of the JSON, in the same order, a line each.
//!
//! Decides nothing about what is counted.

use std::fmt::Write as _;

use super::home::LOGO;
use super::html::{Piece, escape, fill};
use crate::stats::Snapshot;

const TEMPLATE: &str = include_str!("stats.html");

/// Returns the statistics page.
#[must_use]
pub fn stats_html(snapshot: &Snapshot) -> String {
    let mut lines = format!("<h1>Torrents: {}</h1>\n", snapshot.torrents);
    let numbers = [
        ("Active torrents", snapshot.active_torrents),
        ("Peers", snapshot.peers),
        ("Peers only seeding", snapshot.peers_seeder_only),
        ("Peers only leeching", snapshot.peers_leecher_only),
        ("Peers seeding and leeching", snapshot.peers_seeder_and_leecher),
        ("IPv4 peers", snapshot.peers_ipv4),
        ("IPv6 peers", snapshot.peers_ipv6),
    ];
    for (what, number) in numbers {
        push(&mut lines, format_args!("<h3>{what}: {number}</h3>\n"));
    }
    lines.push_str("<h3>Clients:</h3>\n");
    if !snapshot.clients.is_empty() {
        lines.push_str("<table>\n<tr><th>Client<th>Version<th class=\"n\">Peers</tr>\n");
        for client in &snapshot.clients {
            for (version, number) in &client.versions {
                let (name, version) = (escape(client.name), escape(version));
                push(
                    &mut lines,
                    format_args!("<tr><td>{name}<td>{version}<td class=\"n\">{number}</tr>\n"),
                );
            }
        }
        lines.push_str("</table>\n");
    }
    let note = match snapshot.sampled {
        true => "Each endpoint is counted once; numbers of peers are estimated from a sample.",
        false => "Each endpoint is counted once, in however many torrents it is.",
    };
    fill(
        TEMPLATE,
        &[
            ("logo", Piece::Markup(LOGO)),
            ("lines", Piece::Markup(&lines)),
            ("note", Piece::Text(note)),
        ],
    )
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Client;

    #[test]
    fn numbers_stand_in_headings_in_the_order_of_the_json() {
        let snapshot = Snapshot {
            torrents: 1,
            active_torrents: 2,
            peers: 3,
            peers_seeder_only: 4,
            peers_leecher_only: 5,
            peers_seeder_and_leecher: 6,
            peers_ipv4: 7,
            peers_ipv6: 8,
            ..Snapshot::default()
        };
        let page = stats_html(&snapshot);
        let headings =
            page.lines().filter(|line| line.starts_with("<h1>") || line.starts_with("<h3>"));
        let numbers: Vec<_> = headings
            .filter_map(|line| line.rsplit_once("</")?.0.rsplit_once(": ")?.1.parse::<u64>().ok())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn peer_ids_cannot_become_markup() {
        let client = Client { name: "unknown", versions: vec![("<script>".into(), 3)] };
        let page = stats_html(&Snapshot { clients: vec![client], ..Snapshot::default() });
        assert!(page.contains("<tr><td>unknown<td>&lt;script&gt;<td class=\"n\">3</tr>"));
        assert!(!page.contains("<script"));
    }
}
