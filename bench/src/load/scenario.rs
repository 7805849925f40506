//! What is measured: the loads, and the fills after which memory is read.
//!
//! Constants only; how they are run is in `compare`.

use crate::load::message::Reuse;
use crate::load::pace::Pace;
use crate::load::population::Spread;
use crate::load::tls::Handshake;
use crate::load::udp::Mix;

/// Requests under way from each source in the closed loop over UDP.
pub(crate) const WINDOW: usize = 32;

/// Addresses that requests come from, where a load needs no more.
pub(crate) const SOURCES: usize = 16;

/// Users of a private tracker, more than any torrent has peers.
pub(crate) const USERS: u32 = 200_000;

/// How the trackers are loaded.
#[derive(Clone, Copy)]
pub(crate) enum Load {
    Udp(Mix),
    Http {
        reuse: Reuse,
        announces: u32,
        scrapes: u32,
    },
    /// A new connection for each announce.
    Https(Handshake),
    Ws {
        announces: u32,
        scrapes: u32,
    },
}

/// What a tracker must speak for a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Udp,
    Http,
    Https,
    Ws,
}

/// One population, announced to every tracker once, and the loads that follow.
pub(crate) struct Scenario {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    pub(crate) spread: Spread,
    /// Peers in an answer on average, for responders that give a constant one.
    pub(crate) answered_peers: u32,
    pub(crate) cases: &'static [Case],
}

impl Scenario {
    /// How many addresses the peers come from.
    pub(crate) fn sources(&self) -> usize {
        match self.cases[0].load {
            // Where a tracker waits for its clients' acknowledgements, more of them keep it busy.
            Load::Https(Handshake::Full) => 128,
            // aquatic_http keeps 256 sessions, two for each connection.
            Load::Https(Handshake::Resumed) => 64,
            _ => SOURCES,
        }
    }

    /// What all loads of the scenario are over.
    pub(crate) fn protocol(&self) -> Protocol {
        match self.cases[0].load {
            Load::Udp(_) => Protocol::Udp,
            Load::Http { .. } => Protocol::Http,
            Load::Https(_) => Protocol::Https,
            Load::Ws { .. } => Protocol::Ws,
        }
    }
}

/// One load, and the table that comes of it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    pub(crate) pace: Pace,
}

impl Case {
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.load, Load::Http { .. } | Load::Https(_))
    }

    pub(crate) fn is_https(&self) -> bool {
        matches!(self.load, Load::Https(_))
    }

    pub(crate) fn is_ws(&self) -> bool {
        matches!(self.load, Load::Ws { .. })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pace != Pace::Closed
    }
}

pub(crate) const HALF: Mix = Mix { connects: 1, announces: 1, scrapes: 0 };
const HALF_CONNECTS: Load = Load::Udp(HALF);

/// What has a form of its own, by the names of the command line.
pub(crate) const MEMORY: &str = "memory";
pub(crate) const SWEEP: &str = "sweep";
pub(crate) const WS_IDLE: &str = "ws-idle";

/// Every name of the command line.
pub(crate) fn names() -> Vec<&'static str> {
    let cases = FULL.iter().flat_map(|scenario| scenario.cases);
    let own = [MEMORY, LARGE.name, SWEEP, SCALING.name, FLOOR_SCALING.name, WS_IDLE];
    cases.map(|case| case.name).chain(own).collect()
}

const fn announces(reuse: Reuse) -> Load {
    Load::Http { reuse, announces: 1, scrapes: 0 }
}

/// The comparison with other trackers.
pub(crate) const FULL: &[Scenario] = &[
    Scenario {
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Rank,
        answered_peers: 21,
        cases: &[
            Case {
                name: "udp-rank",
                title: "UDP, half connects and half announces, peers spread by 1/rank",
                load: HALF_CONNECTS,
                pace: Pace::Closed,
            },
            Case {
                name: "udp-open",
                title: "UDP, open loop of 40,000 requests a second: connects, announces and scrapes",
                load: Load::Udp(Mix { connects: 4, announces: 5, scrapes: 1 }),
                pace: Pace::Open { per_sec: 40_000.0 },
            },
        ],
    },
    Scenario {
        torrents: 1_000_000,
        peers: 2_000_000,
        spread: Spread::Even,
        answered_peers: 1,
        cases: &[Case {
            name: "udp-pairs",
            title: "UDP, half connects and half announces, two peers a torrent",
            load: HALF_CONNECTS,
            pace: Pace::Closed,
        }],
    },
    Scenario {
        torrents: 10_000,
        peers: 500_000,
        spread: Spread::Even,
        answered_peers: 30,
        cases: &[Case {
            name: "udp-full",
            title: "UDP, half connects and half announces, every answer full",
            load: HALF_CONNECTS,
            pace: Pace::Closed,
        }],
    },
    Scenario {
        torrents: 2000,
        peers: 40_000,
        spread: Spread::Rank,
        answered_peers: 24,
        cases: &[
            Case {
                name: "http-new",
                title: "HTTP, a new connection for each announce",
                load: announces(Reuse::Never),
                pace: Pace::Closed,
            },
            Case {
                name: "http-kept",
                title: "HTTP, kept connections",
                load: announces(Reuse::KeepAlive),
                pace: Pace::Closed,
            },
            Case {
                name: "http-open",
                title: "HTTP, open loop of 2,000 requests a second: announces and scrapes, kept \
                        connections",
                load: Load::Http { reuse: Reuse::KeepAlive, announces: 9, scrapes: 1 },
                pace: Pace::Open { per_sec: 2000.0 },
            },
        ],
    },
    Scenario {
        torrents: 2000,
        peers: 40_000,
        spread: Spread::Rank,
        answered_peers: 24,
        cases: &[Case {
            name: "https-full",
            title: "HTTPS, a new connection for each announce, full handshakes",
            load: Load::Https(Handshake::Full),
            pace: Pace::Closed,
        }],
    },
    Scenario {
        torrents: 2000,
        peers: 40_000,
        spread: Spread::Rank,
        answered_peers: 24,
        cases: &[Case {
            name: "https-resumed",
            title: "HTTPS, a new connection for each announce, resumed sessions",
            load: Load::Https(Handshake::Resumed),
            pace: Pace::Closed,
        }],
    },
    Scenario {
        torrents: WS_CONNECTIONS / WS_PEERS_A_TORRENT,
        peers: WS_CONNECTIONS,
        spread: Spread::Even,
        answered_peers: 0,
        cases: &[Case {
            name: "ws-relay",
            title: "WebSocket, announces with five offers, all of which are answered",
            load: Load::Ws { announces: 1, scrapes: 0 },
            pace: Pace::Closed,
        }],
    },
];

/// Connections over WebSocket, each with one peer.
const WS_CONNECTIONS: u32 = 8192;
pub(crate) const WS_PEERS_A_TORRENT: u32 = 32;
/// Announces under way over WebSocket.
pub(crate) const WS_WINDOW: u32 = 256;
/// Offers of an announce: as many as WebTorrent sends.
pub(crate) const WS_OFFERS: u32 = 5;

/// Connections that do nothing; a process on many systems may have 20,000 files.
pub(crate) const WS_IDLE_CONNECTIONS: u32 = 16_384;
/// How long they do that before memory is read.
pub(crate) const WS_QUIET_SECS: f64 = 2.0;

/// Small enough for every test run; what it shows is that answers are right.
pub(crate) const SMOKE: &[Scenario] = &[
    Scenario {
        torrents: 1000,
        peers: 20_000,
        spread: Spread::Rank,
        answered_peers: 24,
        cases: &[
            Case {
                name: "udp",
                title: "UDP, connects, announces and scrapes",
                load: Load::Udp(Mix { connects: 2, announces: 4, scrapes: 1 }),
                pace: Pace::Closed,
            },
            Case {
                name: "udp-open",
                title: "UDP, open loop",
                load: Load::Udp(Mix { connects: 2, announces: 4, scrapes: 1 }),
                pace: Pace::Open { per_sec: 5000.0 },
            },
        ],
    },
    Scenario {
        torrents: 100,
        peers: 2000,
        spread: Spread::Rank,
        answered_peers: 24,
        cases: &[
            Case {
                name: "http-new",
                title: "HTTP, a new connection for each request",
                load: Load::Http { reuse: Reuse::Never, announces: 3, scrapes: 1 },
                pace: Pace::Closed,
            },
            Case {
                name: "http-open",
                title: "HTTP, kept connections, open loop",
                load: Load::Http { reuse: Reuse::KeepAlive, announces: 3, scrapes: 1 },
                pace: Pace::Open { per_sec: 1000.0 },
            },
        ],
    },
    Scenario {
        torrents: 100,
        peers: 2000,
        spread: Spread::Rank,
        answered_peers: 24,
        cases: &[
            Case {
                name: "https-full",
                title: "HTTPS, full handshakes",
                load: Load::Https(Handshake::Full),
                pace: Pace::Closed,
            },
            Case {
                name: "https-resumed",
                title: "HTTPS, resumed sessions",
                load: Load::Https(Handshake::Resumed),
                pace: Pace::Closed,
            },
        ],
    },
    Scenario {
        torrents: 512 / WS_PEERS_A_TORRENT,
        peers: 512,
        spread: Spread::Even,
        answered_peers: 0,
        cases: &[Case {
            name: "ws",
            title: "WebSocket, announces with offers, answers and scrapes",
            load: Load::Ws { announces: 3, scrapes: 1 },
            pace: Pace::Closed,
        }],
    },
];

/// Few torrents against many, with as many peers in each.
pub(crate) const LARGE: Case = Case {
    name: "large",
    title: "UDP, announces, three peers a torrent: few torrents against many",
    load: Load::Udp(Mix { connects: 0, announces: 1, scrapes: 0 }),
    pace: Pace::Closed,
};

/// How many torrents the two trackers of [`LARGE`] hold, and what they are called.
pub(crate) const LARGE_TORRENTS: [(&str, u32); 2] = [(FEW, 10_000), (MANY, 10_000_000)];
pub(crate) const MANY: &str = "10 M torrents";
pub(crate) const FEW: &str = "10 k torrents";
pub(crate) const LARGE_PEERS_A_TORRENT: u32 = 3;

/// One worker against two, with as much load on each.
pub(crate) const SCALING: Case = Case {
    name: "scaling",
    title: "Scaling: two workers against one",
    load: HALF_CONNECTS,
    pace: Pace::Closed,
};

/// The same for the null responder.
pub(crate) const FLOOR_SCALING: Case = Case {
    name: "scaling-floor",
    title: "Scaling of the null responder: two threads against one",
    ..SCALING
};

/// The population of [`SCALING`]: that of the first scenario.
pub(crate) const SCALING_ANSWERED_PEERS: u32 = 10;
pub(crate) const SCALING_PEERS: (u32, u32, Spread) = (1_000_000, 2_000_000, Spread::Rank);
pub(crate) const TWO_WORKERS: &str = "2 workers";
pub(crate) const ONE_WORKER: &str = "1 worker";

/// Torrents and peers of which all fall silent at once.
pub(crate) const SWEPT: (u32, u32, Spread) = (1_000_000, 10_000_000, Spread::Rank);

/// How far the clock is moved: more than the time to live by default.
pub(crate) const SWEPT_AFTER_SECS: u32 = 4000;

/// How long answers are watched then: longer than a sweep takes, the time between two of which is
/// told to the tracker by its command.
pub(crate) const SWEEP_SECS: f64 = 32.0;

/// The same load without a sweep, in seconds.
pub(crate) const CALM_SECS: f64 = 8.0;

/// How often all peers fall silent at the most: each time they must be announced again.
pub(crate) const SWEEPS_MAX: usize = 3;

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
