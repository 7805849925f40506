//! Random clients against a shard and a naive model, all from one seed.
//!
//! `SKEP_SIM_SEED` repeats one run. `SKEP_SIM_SEEDS` and `SKEP_SIM_SECONDS` bound the long version.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _};

use fastrand::Rng;
use skep_engine::Tick;
use skep_engine::swarm::{PrivatePeers, SwarmSettings};
use skep_engine::testing::clients::{Crowd, Profile, info_hash, webrtc_announce, webrtc_peer};
use skep_engine::testing::model::{SideBySide, Wanted};
use skep_proto::{AnnounceEvent, InfoHash, NumWant};

/// Bytes that an empty shard may hold: a little table and a list of chunks.
const EMPTY_BYTES_MAX: usize = 1024;
/// Seeds of the long version when nothing bounds it: about a minute in release.
const SEEDS_DEFAULT: u64 = 5000;
const PEERS_DEFAULT: usize = 50;
const PEERS_MAX: usize = 200;
/// Seconds after which time stamps repeat; runs begin shortly before.
const WRAP_SECS: u32 = 131_072;

/// How large a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    Small,
    Medium,
    /// Swarms of thousands, so that parts split and join.
    Large,
}

struct Simulation {
    rng: Rng,
    crowd: Crowd,
    both: SideBySide,
    profile: Profile,
    /// Connections of WebRTC peers.
    connections: u32,
    /// Whether full sweeps are rare, as between two rounds of a real tracker.
    lazy: bool,
}

fn profile(rng: &mut Rng, scale: Scale) -> Profile {
    let (clients, torrents) = match scale {
        Scale::Small => (rng.u32(1..40), rng.u32(1..6)),
        Scale::Medium => (rng.u32(100..400), rng.u32(1..40)),
        Scale::Large => (rng.u32(1500..3000), rng.u32(1..3)),
    };
    Profile {
        clients,
        torrents,
        // One run in three has hosts with many clients each.
        hosts: if rng.u32(..3) == 0 { clients.div_ceil(6) } else { clients * 4 },
        ipv6_percent: [0, 10, 40][rng.usize(..3)],
        dual_percent: [0, 10, 50][rng.usize(..3)],
        local_percent: [0, 0, 20][rng.usize(..3)],
        loss_percent: [0, 5, 20][rng.usize(..3)],
    }
}

fn settings(rng: &mut Rng, scale: Scale) -> SwarmSettings {
    let bounded = scale != Scale::Large && rng.u32(..4) == 0;
    let (ports_per_address_max, peers_per_prefix_max) =
        [(0, 0), (8, 16), (1, 2), (3, 0), (0, 4)][rng.usize(..5)];
    SwarmSettings {
        peer_ttl_secs: [60, 1501, 3600, 64_800][rng.usize(..4)],
        webrtc_peer_ttl_secs: [60, 240, 3600][rng.usize(..3)],
        peer_ids: rng.bool(),
        ports_per_address_max,
        peers_per_prefix_max,
        torrents_max: if bounded { rng.u64(1..10) } else { u64::MAX },
        peers_max: if bounded { rng.u64(1..60) } else { u64::MAX },
        completed_overrides_left: rng.u32(..4) == 0,
        seeds_to_seeds: rng.u32(..4) == 0,
        private_peers: [PrivatePeers::Match, PrivatePeers::Always, PrivatePeers::Never]
            [rng.usize(..3)],
    }
}

impl Simulation {
    fn new(seed: u64, scale: Scale) -> Self {
        let mut rng = Rng::with_seed(seed);
        let profile = profile(&mut rng, scale);
        let settings = settings(&mut rng, scale);
        let begin = Tick(rng.u32(1..4) * WRAP_SECS - rng.u32(..20_000));
        Self {
            crowd: Crowd::new(profile, rng.u64(..)),
            both: SideBySide::new(settings, rng.u64(..), begin),
            lazy: rng.bool(),
            connections: [0, profile.clients / 8, profile.clients / 2][rng.usize(..3)],
            profile,
            rng,
        }
    }

    fn run(&mut self, steps: u32) -> Result<(), String> {
        if self.profile.clients > 1000 {
            self.everybody_comes()?;
        }
        for _ in 0..steps {
            self.step()?;
        }
        while let Some(announce) = self.crowd.arrive() {
            let wanted = self.wanted(announce.request.num_want);
            self.both.announce(&announce, wanted, 0)?;
        }
        self.compare_all()?;
        self.everybody_leaves()
    }

    /// Fills large swarms at once; coming one by one would take most of the run.
    fn everybody_comes(&mut self) -> Result<(), String> {
        for number in 0..self.profile.clients {
            for announce in self.crowd.start(number) {
                let wanted = self.wanted(announce.request.num_want);
                self.both.announce(&announce, wanted, 0)?;
            }
        }
        for number in 0..self.connections {
            let announce = webrtc_announce(
                self.any_torrent(),
                webrtc_peer(number, number),
                AnnounceEvent::Started,
                Some(u64::from(number % 3)),
            );
            self.both.webrtc_announce(&announce, 20, 0)?;
        }
        self.compare_all()
    }

    fn step(&mut self) -> Result<(), String> {
        if let Some(announce) = self.crowd.next_arrival() {
            let wanted = self.wanted(announce.request.num_want);
            // Another worker may have read its clock a moment before it got hold of the shard.
            let late_secs = if self.rng.u32(..8) == 0 { self.rng.u32(..3) } else { 0 };
            self.both.announce(&announce, wanted, late_secs)?;
        }
        if self.connections > 0 && self.rng.u32(..3) == 0 {
            self.browse()?;
        }
        let torrent = self.any_torrent();
        match self.rng.u32(..1000) {
            0..300 => self.advance(1, 12)?,
            300..330 => self.advance(30, 900)?,
            330..333 => self.advance(1800, 9 * 3600)?,
            333..480 => {
                let budget = self.rng.u32(1..40);
                self.both.sweep(budget);
            }
            480..486 => self.both.sweep_all()?,
            486..490 => self.both.roll_call(&torrent)?,
            490..580 => self.both.scrape(&torrent)?,
            580 => self.both.retain(|info_hash| *info_hash != torrent)?,
            _ => {}
        }
        Ok(())
    }

    /// Something happens on a connection with WebRTC peers.
    fn browse(&mut self) -> Result<(), String> {
        let rng = &mut self.rng;
        let number = rng.u32(..self.connections);
        // Most keep to their peer id; some have that of a neighbour, who may have the same address.
        let strays = if rng.u32(..4) == 0 { rng.u32(..8) } else { 0 };
        let (peer, ip) = webrtc_peer(number + strays, number);
        let torrent = info_hash(rng.u32(..self.profile.torrents));
        let event = match rng.u32(..100) {
            0..50 => AnnounceEvent::None,
            50..60 => AnnounceEvent::Started,
            60..72 => AnnounceEvent::Completed,
            72..78 => AnnounceEvent::Stopped,
            78..82 => AnnounceEvent::Paused,
            82..92 => {
                let (to, _) = webrtc_peer(rng.u32(..self.connections + 8), 0);
                return self.both.relay(&torrent, &peer, &to.peer_id);
            }
            92..98 => return self.both.leave(&torrent, &peer),
            _ => return self.both.webrtc_roll_call(&torrent),
        };
        let left_bytes = [Some(0), Some(1000), Some(1000), None][rng.usize(..4)];
        let mut announce = webrtc_announce(torrent, (peer, ip), event, left_bytes);
        announce.listed = rng.u32(..30) != 0;
        let late_secs = if rng.u32(..8) == 0 { rng.u32(..3) } else { 0 };
        let wanted = rng.usize(..21);
        self.both.webrtc_announce(&announce, wanted, late_secs)
    }

    fn any_torrent(&mut self) -> InfoHash {
        info_hash(self.rng.u32(..self.profile.torrents))
    }

    fn advance(&mut self, secs_min: u32, secs_max: u32) -> Result<(), String> {
        let secs = self.rng.u32(secs_min..secs_max);
        self.both.advance(secs)?;
        if self.lazy { Ok(()) } else { self.both.sweep_all() }
    }

    /// Room in an answer: of either family alone, as over UDP, or of both.
    fn wanted(&mut self, num_want: NumWant) -> Wanted {
        let wanted = match num_want {
            NumWant::Default => PEERS_DEFAULT,
            NumWant::Count(count) => (count as usize).min(PEERS_MAX),
        };
        let (ipv4, ipv6) = [(1, 0), (0, 1), (1, 1)][self.rng.usize(..3)];
        Wanted { ipv4: ipv4 * wanted, ipv6: ipv6 * wanted }
    }

    fn compare_all(&mut self) -> Result<(), String> {
        for torrent in 0..self.profile.torrents {
            self.both.roll_call(&info_hash(torrent))?;
            self.both.webrtc_roll_call(&info_hash(torrent))?;
        }
        self.both.sweep_all()
    }

    /// One half says goodbye, the other falls silent; nothing of either may stay.
    fn everybody_leaves(&mut self) -> Result<(), String> {
        for number in (0..self.profile.clients).step_by(2) {
            for announce in self.crowd.stop(number) {
                let nothing = Wanted { ipv4: 0, ipv6: 0 };
                self.both.announce(&announce, nothing, 0)?;
            }
        }
        for number in (0..self.connections).step_by(2) {
            let (peer, _) = webrtc_peer(number, number);
            for torrent in 0..self.profile.torrents {
                self.both.leave(&info_hash(torrent), &peer)?;
            }
        }
        self.compare_all()?;
        for _ in 0..8 {
            self.both.advance(8 * 3600)?;
            self.both.sweep_all()?;
        }
        let tally = self.both.shard().tally();
        if tally.torrents != 0 || tally.peers_total() != 0 {
            return Err(format!("left behind: {tally:?}"));
        }
        let bytes = self.both.shard().heap_bytes();
        if bytes > EMPTY_BYTES_MAX {
            return Err(format!("{bytes} bytes for nobody"));
        }
        Ok(())
    }
}

fn simulate(seed: u64, scale: Scale, steps: u32) {
    let mut simulation = Simulation::new(seed, scale);
    if let Err(what) = simulation.run(steps) {
        let Simulation { both, profile, lazy, .. } = &simulation;
        panic!(
            "{what}\nat {:?} of {scale:?} {profile:?}, lazy: {lazy}\nrepeat with SKEP_SIM_SEED={seed}",
            both.now()
        );
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Every scale has seeds of its own, so that a seed alone repeats a run.
fn simulate_seed(seed: u64) {
    match seed % 16 {
        0 => simulate(seed, Scale::Large, 400),
        1..4 => simulate(seed, Scale::Medium, 1500),
        _ => simulate(seed, Scale::Small, 600),
    }
}

#[test]
fn random_clients_find_what_the_model_says() {
    if let Some(seed) = variable("SKEP_SIM_SEED") {
        return simulate_seed(seed);
    }
    (0..32).for_each(simulate_seed);
}

#[test]
#[ignore = "takes as long as it is told to"]
fn simulation_long() {
    if let Some(seed) = variable("SKEP_SIM_SEED") {
        return simulate_seed(seed);
    }
    let seeds = variable("SKEP_SIM_SEEDS");
    let seconds = variable("SKEP_SIM_SECONDS");
    let seeds = match (seeds, seconds) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX,
        (None, None) => SEEDS_DEFAULT,
    };
    // Other seeds every time: the standard hasher's keys are random.
    let first = RandomState::new().build_hasher().finish() >> 16;
    #[expect(clippy::disallowed_methods, reason = "bounds a run by time on request")]
    let begin = std::time::Instant::now();
    let mut done = 0;
    while done < seeds && seconds.is_none_or(|seconds| begin.elapsed().as_secs() < seconds) {
        simulate_seed(first + done);
        done += 1;
    }
    println!("{done} seeds from {first}");
}
