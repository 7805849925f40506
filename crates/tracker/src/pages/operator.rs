//! The index of the admin listener: version, mode, the most asked-for numbers, links.
//!
//! Everything else an operator wants to know is in the metrics.

use std::fmt::Write as _;

use super::Site;
use super::home::LOGO;
use super::html::{Piece, duration, fill, grouped};
use crate::telemetry::metrics::Overview;

const TEMPLATE: &str = include_str!("operator.html");

/// Returns the index for operators.
#[must_use]
pub fn operator(site: &Site, overview: &Overview) -> String {
    let mut traffic = String::new();
    for (transport, sums) in ["UDP", "HTTP", "WebSocket"].into_iter().zip(&overview.transports) {
        write!(traffic, "<tr><td>{transport}").expect("a String takes everything");
        for number in [sums.requests, sums.answers, sums.errors, sums.drops] {
            let number = grouped(number);
            write!(traffic, "<td class=\"n\">{number}").expect("a String takes everything");
        }
        traffic.push_str("</tr>\n");
    }
    let memory = overview
        .resident_bytes
        .map_or_else(|| "unknown".to_owned(), |bytes| grouped(bytes.div_ceil(1024 * 1024)));
    fill(
        TEMPLATE,
        &[
            ("logo", Piece::Markup(LOGO)),
            ("version", Piece::Text(site.version)),
            ("mode", Piece::Text(site.mode.word())),
            ("uptime", Piece::Text(&duration(overview.uptime_secs))),
            ("torrents", Piece::Number(overview.tally.torrents)),
            ("peers", Piece::Number(overview.tally.peers_total())),
            ("completions", Piece::Number(overview.tally.completions)),
            ("connections", Piece::Number(overview.http_connections)),
            ("browsers", Piece::Number(overview.websocket_connections)),
            ("kernel_drops", Piece::Number(overview.kernel_drops)),
            ("memory", Piece::Text(&memory)),
            ("traffic", Piece::Markup(&traffic)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::tests::SITE;

    #[test]
    fn index_shows_sums_of_each_transport() {
        let mut overview = Overview { uptime_secs: 3_700, ..Overview::default() };
        overview.transports[1].requests = 1000;
        overview.transports[1].drops = 7;
        let page = operator(&SITE, &overview);
        let row = "<tr><td>HTTP<td class=\"n\">1,000<td class=\"n\">0<td class=\"n\">0<td class=\"n\">7</tr>";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("Version 1.2.3, mode public, up for 1 h 1 min."));
        assert!(!page.contains("{{"));
    }
}
