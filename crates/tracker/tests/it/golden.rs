//! The golden bytes of the wire, replayed through real sockets of a whole tracker.
//!
//! The vectors are data of `skep-proto`; here is only what is needed to send and compare them. The
//! words `means` and `says` are for the codec and not replayed.

mod forwarded;
mod http;
mod query;
mod udp;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;

use skep_proto::vectors::{self, Line, Vector, VectorFile};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, PeerId, PeerKey};
use tempfile::TempDir;

use crate::support::{self, Tracker};

/// A tracker of one session, whose configuration the session changes as it goes on.
struct Bench {
    folder: TempDir,
    base: String,
    set: BTreeMap<String, String>,
    tracker: Option<Tracker>,
}

impl Bench {
    /// `base` is the configuration before the session says anything.
    fn new(base: &str) -> Self {
        Self {
            folder: support::folder(),
            base: base.to_owned(),
            set: BTreeMap::new(),
            tracker: None,
        }
    }

    /// Changes the configuration; a running tracker reads it again.
    fn set(&mut self, line: &Line) {
        let (key, value) = line.rest.split_once(' ').expect("a key and a value");
        let list = self.folder.path().join("torrents.txt");
        let (key, value) = match (key, value) {
            ("torrents", "allow") => {
                fs::write(&list, "").unwrap();
                let file = list.display().to_string();
                self.set.insert("access.torrents_file".into(), format!("{file:?}"));
                ("access.torrents", "\"allow\"".into())
            }
            ("external_ip", "on") => ("announce.external_ip", "true".into()),
            ("downloaders", "on") => ("scrape.downloaders", "true".into()),
            ("flags", "on") => ("scrape.flags", "true".into()),
            // Whoever comes while another connection is open.
            ("overload", "on") => ("http.connections_max", "1".into()),
            _ => panic!("a setting that means nothing here: {line:?}"),
        };
        self.set.insert(key.into(), value);
        if let Some(tracker) = &self.tracker {
            self.write();
            tracker.running().reload();
        }
    }

    fn write(&self) -> String {
        let file = self.folder.path().join("skep.toml");
        let set: String =
            self.set.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(&file, format!("{}\n{set}", self.base)).unwrap();
        format!("--config={}", file.display())
    }

    /// The tracker, started with the first use.
    fn tracker(&mut self) -> &Tracker {
        if self.tracker.is_none() {
            let config = self.write();
            let tracker = Tracker::start(&[&config]);
            late_in_slot(&tracker);
            self.tracker = Some(tracker);
        }
        self.tracker.as_ref().unwrap()
    }
}

/// Moves the time towards the end of a slot of connection ids: there an id lives shortest, and ten
/// seconds are left for a machine that is busy.
fn late_in_slot(tracker: &Tracker) {
    const SLOT_SECS: u64 = 120;
    let clock = tracker.running().clock();
    let phase = (clock.unix_secs_at_start() + u64::from(clock.now().0)) % SLOT_SECS;
    clock.advance(((2 * SLOT_SECS - 10 - phase) % SLOT_SECS) as u32);
}

/// The announce that brings a peer into its swarm before a vector begins.
struct Settled {
    ip: Option<IpAddr>,
    request: AnnounceRequest,
}

/// The announces behind a `peer` line.
fn peer_line(file: &VectorFile, line: &Line) -> Settled {
    let words: Vec<_> = line.rest.split(' ').collect();
    let [torrent, endpoint, class, peer_id] = words[..] else { panic!("{line:?}") };
    let address = file.address(endpoint);
    let (event, left_bytes) = match class {
        "seeder" => (AnnounceEvent::Started, 0),
        "leecher" => (AnnounceEvent::Started, 1),
        "partial_seed" => (AnnounceEvent::Paused, 1),
        _ => panic!("{line:?}"),
    };
    let peer_id = PeerId::from_slice(&file.bytes(&format!("<{peer_id}>"))).unwrap();
    let request = AnnounceRequest {
        peer_id,
        event,
        ..support::announce(hash_of(file, torrent), address.port(), left_bytes)
    };
    Settled { ip: Some(address.ip()), request }
}

/// The announces behind a `swarm` line, from ports that appear nowhere else.
fn swarm_line(file: &VectorFile, line: &Line) -> Vec<Settled> {
    let torrent = line.rest.split(' ').next().unwrap();
    let count = |key| line.value(key).unwrap().parse::<u16>().unwrap();
    let (seeders, leechers, completions) =
        (count("seeders"), count("leechers"), count("completions"));
    let mut announces = Vec::new();
    let mut announce = |number: u16, event, left_bytes| {
        let request = support::announce(hash_of(file, torrent), 20_000 + number, left_bytes);
        let request =
            AnnounceRequest { event, peer_key: PeerKey::from_u32(number.into()), ..request };
        announces.push(Settled { ip: None, request });
    };
    for number in 0..seeders.max(completions) {
        let finished = number < completions;
        let event = if finished { AnnounceEvent::Completed } else { AnnounceEvent::Started };
        announce(number, event, 0);
        if number >= seeders {
            announce(number, AnnounceEvent::Stopped, 0);
        }
    }
    for number in 0..leechers {
        announce(10_000 + number, AnnounceEvent::Started, 1);
    }
    announces
}

fn hash_of(file: &VectorFile, torrent: &str) -> InfoHash {
    InfoHash::from_slice(&file.bytes(&format!("<{torrent}>"))).unwrap()
}

/// Replays every vector of a file, session by session, and checks that none was left out.
fn replay(
    name: &str,
    text: &str,
    mut session: impl FnMut(&VectorFile, &vectors::Session) -> usize,
) {
    let file = VectorFile::read(text);
    let replayed: usize = file.sessions.iter().map(|one| session(&file, one)).sum();
    let stated = text.lines().filter(|line| line.starts_with("vector ")).count();
    assert_eq!(replayed, stated, "of the vectors in {name}");
    // Past the capture of output, so that it is seen when all is well.
    let told = format!("vectors: {replayed} of {stated} in {name} over sockets\n");
    io::stderr().write_all(told.as_bytes()).unwrap();
}

/// Where a line stands, for messages.
fn place(vector: &Vector, line: &Line) -> String {
    format!("{} ({}) in line {}", vector.id, vector.title, line.number)
}
