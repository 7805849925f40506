//! Every BEP that matters to a tracker: what skep does about it, where, and which test proves it.
//!
//! Rows only. `docs/generated/beps.md` comes from here; a claim without a proof fails the tests.

/// How far a BEP is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// All of it that concerns a tracker.
    Yes,
    /// The client's or the site's business; nothing for a tracker to do.
    NotForTrackers,
    /// Left out on purpose.
    No,
}

impl Support {
    const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::NotForTrackers => "nothing to do",
            Self::No => "no",
        }
    }
}

/// One BEP.
#[derive(Debug)]
pub struct Bep {
    /// Its number.
    pub number: u32,
    /// Its title.
    pub title: &'static str,
    /// How far it is followed.
    pub support: Support,
    /// What that means.
    pub note: &'static str,
    /// Where in the source.
    pub module: &'static str,
    /// The files that prove it: scenarios and golden bytes.
    pub proofs: &'static [&'static str],
}

const fn yes(
    number: u32,
    title: &'static str,
    note: &'static str,
    module: &'static str,
    proofs: &'static [&'static str],
) -> Bep {
    Bep { number, title, support: Support::Yes, note, module, proofs }
}

const fn other(number: u32, title: &'static str, support: Support, note: &'static str) -> Bep {
    Bep { number, title, support, note, module: "", proofs: &[] }
}

/// Every BEP that matters, by number.
pub const BEPS: &[Bep] = &[
    yes(
        3,
        "The BitTorrent Protocol Specification",
        "HTTP announces; dictionaries with sorted keys",
        "crates/proto/src/http",
        &["crates/proto/testdata/http/session.txt", "tests/scenarios/sequence_a.scn"],
    ),
    yes(
        7,
        "IPv6 Tracker Extension",
        "`peers6`; one peer per address; `ipv4` and `ipv6` parameters are ignored, since they could name a victim",
        "crates/engine/src/swarm/select.rs",
        &["crates/proto/testdata/http/session.txt", "tests/scenarios/http_both_families.scn"],
    ),
    other(
        8,
        "Tracker Peer Obfuscation",
        Support::No,
        "deferred; `sha_ih` alone is a missing info_hash",
    ),
    yes(
        15,
        "UDP Tracker Protocol",
        "connect, announce, scrape; bad connection ids are dropped",
        "crates/engine/src/session/udp.rs",
        &["crates/proto/testdata/udp/session.txt"],
    ),
    yes(
        20,
        "Peer ID Conventions",
        "client rules and statistics by prefix",
        "crates/engine/src/gate/client.rs",
        &["tests/scenarios/clients_allow.scn"],
    ),
    yes(
        21,
        "Extension for partial seeds",
        "`paused` over HTTP and as event 4 over UDP; `downloaders` in scrapes",
        "crates/engine/src/swarm/decide.rs",
        &["crates/proto/testdata/http/session.txt", "tests/scenarios/partial_seeds.scn"],
    ),
    yes(
        23,
        "Tracker Returns Compact Peer Lists",
        "compact unless `compact=0`",
        "crates/proto/src/http/response.rs",
        &["crates/proto/testdata/http/session.txt"],
    ),
    yes(
        24,
        "Tracker Returns External IP",
        "with `announce.external_ip`",
        "crates/engine/src/session/http.rs",
        &["crates/proto/testdata/http/session.txt"],
    ),
    other(
        27,
        "Private Torrents",
        Support::NotForTrackers,
        "access control is the tracker's; see the guide to lists",
    ),
    yes(
        31,
        "Tracker Failure Extensions",
        "`retry in` with refusals that last",
        "crates/engine/src/session/http.rs",
        &["crates/proto/testdata/http/errors.txt"],
    ),
    other(
        34,
        "DNS Tracker Preferences",
        Support::NotForTrackers,
        "a DNS record; see the guide to running",
    ),
    yes(
        41,
        "UDP Tracker Protocol Extensions",
        "options are read; unknown ones are skipped; a public tracker needs none of them",
        "crates/proto/src/udp/options.rs",
        &["crates/proto/testdata/udp/options.txt"],
    ),
    yes(
        48,
        "Tracker Protocol Extension: Scrape",
        "many torrents in one scrape; full scrapes with `scrape.full`",
        "crates/engine/src/session/http.rs",
        &["crates/proto/testdata/http/session.txt"],
    ),
    yes(
        52,
        "The BitTorrent Protocol Specification v2",
        "info hashes are opaque 20 bytes; lists take all 64 digits",
        "crates/store/src/list.rs",
        &["tests/scenarios/torrents_are_apart.scn"],
    ),
];

/// The table as a document.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# BEPs\n\nGenerated from `crates/tracker/src/beps.rs` by a test; do not edit.\n\n\
         | BEP | Title | Followed | How | Where | Proved by |\n|---|---|---|---|---|---|\n",
    );
    for bep in BEPS {
        let module =
            if bep.module.is_empty() { String::new() } else { format!("`{}`", bep.module) };
        let proofs: Vec<_> = bep.proofs.iter().map(|proof| format!("`{proof}`")).collect();
        text.push_str(&format!(
            "| {} | {} | {} | {} | {module} | {} |\n",
            bep.number,
            bep.title,
            bep.support.word(),
            bep.note,
            proofs.join(", "),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    #[test]
    fn every_claim_has_a_place_and_a_proof() {
        for bep in BEPS {
            assert_eq!(bep.support == Support::Yes, !bep.proofs.is_empty(), "BEP {}", bep.number);
            for path in bep.proofs.iter().chain([&bep.module]).filter(|path| !path.is_empty()) {
                assert!(Path::new(ROOT).join(path).exists(), "BEP {}: no {path}", bep.number);
            }
        }
        assert!(BEPS.is_sorted_by_key(|bep| bep.number));
    }
}
