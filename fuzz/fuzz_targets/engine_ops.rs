//! Arbitrary operations on a shard, compared with the naive model after each.
//!
//! The world is small, so that a few bytes make clients meet, crowd, complete and expire.
#![no_main]

use std::net::IpAddr;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use skep_engine::Tick;
use skep_engine::swarm::{Announce, PrivatePeers, SwarmSettings, WebrtcPeer};
use skep_engine::testing::clients::{address, info_hash, webrtc_announce, webrtc_peer};
use skep_engine::testing::model::{SideBySide, Wanted};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

#[derive(Arbitrary, Debug)]
struct Run {
    settings: u16,
    begin: u32,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Announce(Who, u8, u8),
    /// Many announce one after the other, so that lanes grow and shrink.
    Everybody(u8, u8),
    Advance(u8),
    Jump(u16),
    Sweep(u8),
    SweepAll,
    RollCall(u8),
    /// Something on a connection with WebRTC peers.
    Browse(Browser, u8, u8),
    /// Many of them announce one after the other.
    BrowseAll(u8),
    Relay(Browser, u8),
    Leave(Browser),
    WebrtcRollCall(u8),
    Retain(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Who {
    host: u8,
    port: u8,
    form: u8,
}

/// A WebRTC peer, its connection and the torrent it speaks of.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Browser {
    peer: u8,
    connection: u8,
    torrent: u8,
}

impl Browser {
    fn torrent(self) -> InfoHash {
        info_hash(u32::from(self.torrent) % 4)
    }

    fn peer(self) -> (WebrtcPeer, IpAddr) {
        webrtc_peer(u32::from(self.peer), u32::from(self.connection) % 32)
    }
}

/// Steps of one run: enough for anything, few enough to be fast.
const STEPS_MAX: usize = 40;
/// Hosts that come when everybody does: more than one part of a lane holds.
const HOSTS: u8 = 140;

fuzz_target!(|run: Run| {
    let begin = Tick(run.begin % 400_000);
    let mut both = SideBySide::new(settings(run.settings), 1, begin);
    for step in run.steps.iter().take(STEPS_MAX) {
        if let Err(what) = apply(&mut both, step) {
            panic!("{what}\nin {step:?}");
        }
    }
    both.sweep_all().expect("both agree in the end");
});

fn settings(bits: u16) -> SwarmSettings {
    let bit = |number: u16| bits >> number & 1 != 0;
    SwarmSettings {
        peer_ttl_secs: [60, 1500, 3600, 64_800][usize::from(bits & 3)],
        webrtc_peer_ttl_secs: [60, 240, 1500, 3600][usize::from(bits >> 13 & 3)],
        peer_ids: bit(2),
        ports_per_address_max: [0, 1, 2, 8][usize::from(bits >> 3 & 3)],
        peers_per_prefix_max: [0, 1, 3, 16][usize::from(bits >> 5 & 3)],
        torrents_max: if bit(7) { 2 } else { u64::MAX },
        peers_max: if bit(8) { 5 } else { u64::MAX },
        completed_overrides_left: bit(9),
        seeds_to_seeds: bit(10),
        private_peers: match bits >> 11 & 3 {
            0 | 3 => PrivatePeers::Match,
            1 => PrivatePeers::Always,
            _ => PrivatePeers::Never,
        },
    }
}

fn apply(both: &mut SideBySide, step: &Step) -> Result<(), String> {
    match *step {
        Step::Announce(who, what, wanted) => announce(both, who, what, wanted),
        Step::Everybody(form, what) => (0..HOSTS).try_for_each(|host| {
            let port = host / 64;
            announce(both, Who { host, port, form }, what, 5)
        }),
        Step::Advance(secs) => both.advance(secs.into()),
        Step::Jump(secs) => both.advance(secs.into()),
        Step::Sweep(budget) => {
            both.sweep(budget.into());
            Ok(())
        }
        Step::SweepAll => both.sweep_all(),
        Step::RollCall(torrent) => both.roll_call(&info_hash(u32::from(torrent) % 4)),
        Step::Browse(browser, what, wanted) => {
            let (event, left_bytes) = (event(what), left_bytes(what));
            let mut announce =
                webrtc_announce(browser.torrent(), browser.peer(), event, left_bytes);
            announce.listed = what >> 5 != 7;
            both.webrtc_announce(&announce, usize::from(wanted >> 2), u32::from(wanted & 3))
        }
        Step::BrowseAll(what) => (0..HOSTS).try_for_each(|number| {
            let peer = webrtc_peer(number.into(), number.into());
            let torrent = info_hash(u32::from(what >> 5) % 4);
            let announce = webrtc_announce(torrent, peer, event(what), left_bytes(what));
            both.webrtc_announce(&announce, 5, 0)
        }),
        Step::Relay(from, to) => {
            let (to, _) = webrtc_peer(to.into(), 0);
            both.relay(&from.torrent(), &from.peer().0, &to.peer_id)
        }
        Step::Leave(browser) => both.leave(&browser.torrent(), &browser.peer().0),
        Step::WebrtcRollCall(torrent) => both.webrtc_roll_call(&info_hash(u32::from(torrent) % 4)),
        Step::Retain(torrent) => {
            let unwanted = info_hash(u32::from(torrent) % 4);
            both.retain(|info_hash| *info_hash != unwanted)
        }
    }
}

fn event(bits: u8) -> AnnounceEvent {
    match bits & 7 {
        0..3 => AnnounceEvent::None,
        3 => AnnounceEvent::Started,
        4 => AnnounceEvent::Completed,
        5 => AnnounceEvent::Stopped,
        _ => AnnounceEvent::Paused,
    }
}

fn left_bytes(bits: u8) -> Option<u64> {
    match bits >> 3 & 3 {
        0 => Some(0),
        1 => Some(1000),
        2 => Some(16384),
        _ => None,
    }
}

fn announce(both: &mut SideBySide, who: Who, what: u8, wanted: u8) -> Result<(), String> {
    let Who { host, port, form } = who;
    let (ipv6, local, listed) = (form & 1 != 0, form & 2 != 0, form & 12 != 12);
    let announce = Announce {
        request: AnnounceRequest {
            info_hash: info_hash(u32::from(what >> 5) % 4),
            // Some clients share a name, such as those with two addresses.
            peer_id: PeerId([(host % 32).wrapping_add(port) & 0x7f; 20]),
            port: if listed { 1 + u16::from(port) } else { 0 },
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            left_bytes: left_bytes(what),
            event: event(what),
            num_want: NumWant::Default,
            peer_key: PeerKey::from_u32(u32::from(form >> 4 & 1)),
        },
        ip: address(host.into(), ipv6, local),
        connection: None,
        listed,
    };
    let count = usize::from(wanted >> 2);
    let wanted = Wanted {
        ipv4: count * usize::from(wanted & 1),
        ipv6: count * usize::from(wanted >> 1 & 1),
    };
    both.announce(&announce, wanted, u32::from(form >> 6))
}
