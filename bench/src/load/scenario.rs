//! What trackers are compared by: the loads, and the fills after which their memory is read.
//!
//! Constants only; how they are run is in `compare`.

use crate::load::message::Reuse;
use crate::load::pace::Pace;
use crate::load::population::Spread;
use crate::load::udp::Mix;

/// Requests under way from each source in the closed loop over UDP.
pub(crate) const WINDOW: usize = 32;

/// How the trackers are loaded.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    Udp(Mix),
    Http { reuse: Reuse, announces: u32, scrapes: u32 },
}

/// One comparison.
pub(crate) struct Scenario {
    pub(crate) title: &'static str,
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) spread: Spread,
    pub(crate) load: Load,
    pub(crate) pace: Pace,
    /// Peers in an answer on average, for responders that give a constant one.
    pub(crate) answered_peers: u32,
}

impl Scenario {
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.load, Load::Http { .. })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pace != Pace::Closed
    }
}

const HALF_CONNECTS: Load = Load::Udp(Mix { connects: 1, announces: 1, scrapes: 0 });

const fn announces(reuse: Reuse) -> Load {
    Load::Http { reuse, announces: 1, scrapes: 0 }
}

/// The whole comparison.
pub(crate) const FULL: &[Scenario] = &[
    Scenario {
        title: "UDP, half connects and half announces, peers spread by 1/rank",
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Rank,
        load: HALF_CONNECTS,
        pace: Pace::Closed,
        answered_peers: 10,
    },
    Scenario {
        title: "UDP, half connects and half announces, two peers a torrent",
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Even,
        load: HALF_CONNECTS,
        pace: Pace::Closed,
        answered_peers: 1,
    },
    Scenario {
        title: "UDP, half connects and half announces, every answer full",
        torrents: 10_000,
        peers: 500_000,
        spread: Spread::Even,
        load: HALF_CONNECTS,
        pace: Pace::Closed,
        answered_peers: 30,
    },
    Scenario {
        title: "UDP, open loop of 40,000 requests a second: connects, announces and scrapes",
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Rank,
        load: Load::Udp(Mix { connects: 4, announces: 5, scrapes: 1 }),
        pace: Pace::Open { per_sec: 40_000.0 },
        answered_peers: 10,
    },
    Scenario {
        title: "HTTP, a new connection for each announce",
        torrents: 10_000,
        peers: 200_000,
        spread: Spread::Rank,
        load: announces(Reuse::Never),
        pace: Pace::Closed,
        answered_peers: 24,
    },
    Scenario {
        title: "HTTP, kept connections",
        torrents: 10_000,
        peers: 200_000,
        spread: Spread::Rank,
        load: announces(Reuse::KeepAlive),
        pace: Pace::Closed,
        answered_peers: 24,
    },
    Scenario {
        title: "HTTP, open loop of 2,000 requests a second: announces and scrapes, kept connections",
        torrents: 10_000,
        peers: 200_000,
        spread: Spread::Rank,
        load: Load::Http { reuse: Reuse::KeepAlive, announces: 9, scrapes: 1 },
        pace: Pace::Open { per_sec: 2000.0 },
        answered_peers: 24,
    },
];

/// Small enough for every test run; what it shows is that answers are right.
pub(crate) const SMOKE: &[Scenario] = &[
    Scenario {
        title: "UDP, connects, announces and scrapes",
        torrents: 1000,
        peers: 20_000,
        spread: Spread::Rank,
        load: Load::Udp(Mix { connects: 2, announces: 4, scrapes: 1 }),
        pace: Pace::Closed,
        answered_peers: 24,
    },
    Scenario {
        title: "UDP, open loop",
        torrents: 1000,
        peers: 20_000,
        spread: Spread::Even,
        load: Load::Udp(Mix { connects: 2, announces: 4, scrapes: 1 }),
        pace: Pace::Open { per_sec: 5000.0 },
        answered_peers: 19,
    },
    Scenario {
        title: "HTTP, a new connection for each request",
        torrents: 100,
        peers: 2000,
        spread: Spread::Rank,
        load: Load::Http { reuse: Reuse::Never, announces: 3, scrapes: 1 },
        pace: Pace::Closed,
        answered_peers: 24,
    },
    Scenario {
        title: "HTTP, kept connections, open loop",
        torrents: 100,
        peers: 2000,
        spread: Spread::Rank,
        load: Load::Http { reuse: Reuse::KeepAlive, announces: 3, scrapes: 1 },
        pace: Pace::Open { per_sec: 1000.0 },
        answered_peers: 24,
    },
];

/// Fills of one kind, each of a tracker that was just started.
pub(crate) struct Shape {
    pub(crate) title: &'static str,
    pub(crate) spread: Spread,
    /// Torrents and peers; the mean over all is reported, so that no doubling of a table decides.
    pub(crate) fills: &'static [(u32, u32)],
}

/// The fills after which memory is read.
pub(crate) const SHAPES: &[Shape] = &[
    Shape {
        title: "1,000 torrents of 1,000 peers",
        spread: Spread::Even,
        fills: &[(1000, 1_000_000)],
    },
    Shape {
        title: "one peer a torrent, mean over 0.6, 0.8, 1.0 and 1.2 M",
        spread: Spread::Even,
        fills: &[
            (600_000, 600_000),
            (800_000, 800_000),
            (1_000_000, 1_000_000),
            (1_200_000, 1_200_000),
        ],
    },
    Shape {
        title: "4 M peers by 1/rank over 1 M torrents",
        spread: Spread::Rank,
        fills: &[(1_000_000, 4_000_000)],
    },
];
