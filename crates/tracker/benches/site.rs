//! How long a site takes to load, how much memory it needs, and what a look-up costs.
//!
//! `cargo bench -p skep --bench site -- [RECORDS]`; prints figures and asserts none. Without a number
//! it is a million users and as many torrents, with passkeys of 32 characters and names of about 50.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

use fastrand::Rng;
use skep::config::{Config, Keys};
use skep::runtime::clock::Clock;
use skep::site::{Gatekeeper, KeyRing, Site};
use skep_engine::gate::{Membership, Reason};
use skep_engine::site::{
    Change, Factor, FactorId, GroupId, Member, Permille, Target, Torrent, TorrentGroupId,
    TorrentId, User, UserId,
};
use skep_engine::{Seed, Tick};
use skep_net::memory::allocated_bytes;
use skep_proto::InfoHash;
use skep_proto::http::Passkey;

const LOOK_UPS: usize = 1 << 20;

fn passkey(number: u32) -> String {
    let mut rng = Rng::with_seed(number.into());
    format!("{:016x}{:016x}", rng.u64(..), rng.u64(..))
}

fn info_hash(number: u32) -> InfoHash {
    let mut rng = Rng::with_seed(u64::from(number) << 32);
    InfoHash(std::array::from_fn(|_| rng.u8(..)))
}

fn records(count: u32) -> impl Iterator<Item = Change> {
    let users = (0..count).map(|number| {
        Change::PutUser(User {
            id: UserId(number),
            passkey: passkey(number).into(),
            group: GroupId(number % 5),
            ..User::default()
        })
    });
    let torrents = (0..count).map(|number| {
        let name = format!("A.Torrent.Of.Some.Season.S{number:09}.1080p.x264-GROUP");
        Change::PutTorrent(Torrent {
            id: TorrentId(number),
            info_hash: info_hash(number),
            name: Some(name.into()),
            owner: Some(UserId(number)),
            ..Torrent::default()
        })
    });
    users.chain(torrents)
}

fn main() {
    let count = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(1_000_000);
    let (clock, seed) = (Clock::start(), Seed::new(1));
    let (rss, heap) = (resident_bytes(), allocated_bytes());
    let site = std::sync::Arc::new(Site::new(&seed, &clock));
    let start = Instant::now();
    let loaded = site.load(|take| {
        records(count).for_each(take);
        Ok::<(), Infallible>(())
    });
    assert!(loaded.is_ok(), "nothing fails");
    let secs = start.elapsed().as_secs_f64();
    println!(
        "{} users and {} torrents: loaded in {secs:.2} s, {} MB resident, {} MB allocated",
        site.users_count(),
        site.torrents_count(),
        (resident_bytes() - rss) / 1_000_000,
        (allocated_bytes() - heap) / 1_000_000,
    );
    look_up(&site, count);
    terms(&site, count);
}

/// What the gates of an announce look up, at random.
fn look_up(site: &std::sync::Arc<Site>, count: u32) {
    let keys = Keys { plain: true, ..Config::default().keys };
    let gatekeeper = Gatekeeper::new(site.clone(), Some(KeyRing::new(&keys)));
    let mut rng = Rng::with_seed(7);
    let asked: Vec<_> =
        (0..LOOK_UPS).map(|_| (passkey(rng.u32(..count)), info_hash(rng.u32(..count)))).collect();
    let mut reason = Reason::default();
    let mut time = |what, look: &mut dyn FnMut(&str, &InfoHash, &mut Reason) -> bool| {
        let start = Instant::now();
        let found = asked.iter().filter(|(key, hash)| look(key, hash, &mut reason)).count();
        let nanos = start.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64;
        println!("{what}: {nanos:.0} ns, {found} of {LOOK_UPS} found");
    };
    time("a passkey", &mut |key, _, _| {
        Passkey::new(key.as_bytes()).and_then(|it| gatekeeper.account(it, None)).is_some()
    });
    time("a wrong passkey", &mut |key, _, _| {
        Passkey::new(&key.as_bytes()[1..]).and_then(|it| gatekeeper.account(it, None)).is_some()
    });
    time("a torrent", &mut |_, hash, reason| gatekeeper.listing(hash, reason).is_some());
}

/// What the ledger is told of what traffic is worth.
fn terms(site: &Site, count: u32) {
    let plain = (Permille::ONE, Permille::ONE);
    let time = |what| {
        let mut rng = Rng::with_seed(7);
        let start = Instant::now();
        for _ in 0..LOOK_UPS {
            let member = Member {
                user: UserId(rng.u32(..count)),
                torrent: TorrentId(rng.u32(..count)),
                group: GroupId(rng.u32(..5)),
                torrent_group: TorrentGroupId(0),
                of_user: plain,
                of_group: plain,
                of_torrent: plain,
                slots: u32::MAX,
                peers_max: u32::MAX,
                hidden: false,
            };
            black_box(site.with_terms(&member, Tick(100), |terms| terms.rules.len()));
        }
        let nanos = start.elapsed().as_secs_f64() * 1e9 / LOOK_UPS as f64;
        println!("terms with {what}: {nanos:.0} ns");
    };
    time("no factor");
    let free = |id, target| {
        let (id, download) = (FactorId(id), Permille(0));
        Change::PutFactor(Factor { id, target, download, ..Factor::default() })
    };
    site.apply(free(0, Target::Site));
    time("one for the site");
    let token = |number| Target::Token(UserId(number), TorrentId(number));
    site.apply_all((1..100_000).map(|number| free(number, token(number))));
    time("100,000 tokens as well");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
