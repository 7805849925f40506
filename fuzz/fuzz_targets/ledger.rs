//! Arbitrary announces to a ledger: no more is counted than clients claim, and nothing twice.
//!
//! What each announce counts for exactly is worked out by a model in the tests of the engine. Here
//! deltas are also undone at random, as when a journal is full, and sessions taken to another ledger.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use skep_engine::ledger::{
    Delta, Entry, Family, Ledger, LedgerSettings, Outcome, ParallelTime, Permille, Rule, Sums,
    Terms, TorrentId, Traffic, UserId,
};
use skep_engine::swarm::{LeftOut, Swept};
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

#[derive(Arbitrary, Debug)]
struct Run {
    settings: u8,
    factor: u16,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Announce { who: u8, how: u8, moved: (u16, u16, u16), secs: u8, is_lost: bool },
    Jump { to: u64, who: u8 },
    Wait(u16),
    Sweep { budget: u8, is_lost: bool },
    Restart,
}

/// What a client says of itself.
#[derive(Clone, Copy, Default)]
struct Claims {
    up: u64,
    down: u64,
    corrupt: u64,
    /// All that it ever moved on, counted anew after each step back.
    moved: (u128, u128),
}

const STEPS_MAX: usize = 200;

fuzz_target!(|run: Run| {
    let settings = settings(run.settings);
    let rules = [Rule { upload: Permille(run.factor.into()), ..Rule::default() }];
    let terms = Terms { rules: &rules, ..Terms::default() };
    let mut ledger = Ledger::new(settings, Seed::new(1));
    let mut claims = BTreeMap::<u8, Claims>::new();
    let (mut now, mut sums) = (Tick(0), Sums::default());
    let mut downloads = 0_i64;
    for step in run.steps.iter().take(STEPS_MAX) {
        match *step {
            Step::Announce { who, how, moved, secs, is_lost } => {
                now.0 += u32::from(secs);
                let claim = claims.entry(client(who)).or_default();
                move_on(claim, moved);
                let request = request(who, how, claim);
                let entry = entry(who, how, claim, &request, now, terms);
                let (delta, more) = announce(&mut ledger, &entry, is_lost);
                downloads += more;
                if let Some(delta) = delta {
                    sums.add(&delta);
                }
            }
            Step::Jump { to, who } => {
                let claim = claims.entry(client(who)).or_default();
                (claim.up, claim.down) = (to, to.rotate_left(7));
                claim.moved.0 = claim.moved.0.saturating_add(to.into());
                claim.moved.1 = claim.moved.1.saturating_add(claim.down.into());
            }
            Step::Wait(secs) => now.0 += u32::from(secs) * 60,
            Step::Sweep { budget, is_lost } => {
                let mut ends = Vec::new();
                let _ = ledger.sweep(now, budget.into(), &mut ends);
                for end in ends {
                    downloads += i64::from(end.downloads);
                    if is_lost {
                        downloads += i64::from(ledger.reopen(&end));
                    }
                }
            }
            Step::Restart => {
                let mut after = Ledger::new(settings, Seed::new(2));
                ledger.for_each(|state, silent_secs| {
                    assert!(after.restore(&state, silent_secs, now));
                });
                ledger = after;
            }
        }
        check(&ledger, &claims, &sums, downloads);
    }
    let mut ends = Vec::new();
    // The sweep that was under way, one that ends what is silent, and one that forgets it.
    for days in [100, 200, 300] {
        while ledger.sweep(Tick(now.0 + days * 86_400), 50, &mut ends) == Swept::More {}
    }
    assert_eq!(ledger.tally().sessions, 0, "nothing is kept for ever");
});

/// Whether it is a client that has a key and calls itself otherwise over IPv6.
const fn has_key(who: u8) -> bool {
    who & 8 != 0
}

/// The client behind a peer id.
const fn client(who: u8) -> u8 {
    if has_key(who) { who % 16 } else { who % 32 }
}

fn settings(bits: u8) -> LedgerSettings {
    LedgerSettings {
        duplicate_secs: u32::from(bits & 3) * 20,
        line_bytes_per_sec_max: u64::from(bits >> 2 & 1) * 1000,
        parallel_time: if bits >> 3 & 1 == 0 { ParallelTime::Once } else { ParallelTime::Each },
        ..LedgerSettings::default()
    }
}

fn move_on(claim: &mut Claims, (up, down, corrupt): (u16, u16, u16)) {
    claim.up = claim.up.saturating_add(up.into());
    claim.down = claim.down.saturating_add(down.into());
    claim.corrupt = claim.corrupt.saturating_add(corrupt.into());
    claim.moved.0 += u128::from(up);
    claim.moved.1 += u128::from(down);
}

fn request(who: u8, how: u8, claim: &Claims) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([who & 1; 20]),
        peer_id: PeerId([who % 32; 20]),
        port: 6881,
        uploaded_bytes: claim.up,
        downloaded_bytes: claim.down,
        left_bytes: [Some(0), Some(7), Some(16384), None][usize::from(how & 3)],
        event: match how >> 2 & 7 {
            0..4 => AnnounceEvent::None,
            4 => AnnounceEvent::Started,
            5 => AnnounceEvent::Completed,
            6 => AnnounceEvent::Stopped,
            _ => AnnounceEvent::Paused,
        },
        num_want: NumWant::Default,
        peer_key: PeerKey::from_u32(u32::from(has_key(who)) * 5),
    }
}

fn entry<'a>(
    who: u8,
    how: u8,
    claim: &Claims,
    request: &'a AnnounceRequest,
    now: Tick,
    terms: Terms<'a>,
) -> Entry<'a> {
    let ipv6 = if has_key(who) { who & 16 != 0 } else { how >> 5 & 1 != 0 };
    let ip = if ipv6 { [7; 16].into() } else { [8, 8, who, how].into() };
    Entry {
        torrent: TorrentId((who & 1).into()),
        user: UserId((who >> 1 & 3).into()),
        request,
        corrupt_bytes: (how >> 6 & 1 != 0).then_some(claim.corrupt),
        family: if ipv6 { Family::Ipv6 } else { Family::Ipv4 },
        ip: Some(ip),
        now,
        terms,
    }
}

/// Enters an announce, and undoes it if its delta is lost. The delta if it is not, and by how many
/// torrents more the user downloads.
fn announce(ledger: &mut Ledger, entry: &Entry<'_>, is_lost: bool) -> (Option<Delta>, i64) {
    let standing = ledger.standing(entry);
    let mut own = LeftOut::default();
    ledger.add_endpoints(entry, &mut own);
    let outcome = ledger.announce(entry);
    assert_eq!(outcome == Outcome::NotKept, !standing.has_room, "{standing:?}");
    let Outcome::Counted(delta) = outcome else { return (None, 0) };
    assert!(!delta.held || delta.credited == Traffic::default());
    if is_lost {
        let undone = ledger.undo(&delta, &entry.terms);
        return (None, i64::from(delta.downloads) + i64::from(undone));
    }
    (Some(delta), delta.downloads.into())
}

fn check(ledger: &Ledger, claims: &BTreeMap<u8, Claims>, sums: &Sums, downloads: i64) {
    let moved = claims.values().fold((0_u128, 0_u128), |sum, claim| {
        (sum.0.saturating_add(claim.moved.0), sum.1.saturating_add(claim.moved.1))
    });
    let raw = sums.raw.plus(sums.held);
    assert!(u128::from(raw.uploaded_bytes) <= moved.0, "more was counted than claimed");
    assert!(u128::from(raw.downloaded_bytes) <= moved.1, "more was counted than claimed");
    assert_eq!(sums.credited.downloaded_bytes, sums.raw.downloaded_bytes);
    assert!(sums.active_secs <= sums.seeding_secs + sums.leeching_secs);
    let (mut sessions, mut open) = (0, 0);
    ledger.for_each(|state, _| (sessions, open) = (sessions + 1, open + u64::from(state.open)));
    assert_eq!((sessions, open), (ledger.tally().sessions, ledger.tally().sessions_open));
    let users = (0..4).map(UserId);
    let now = users.flat_map(|user| [0, 1].map(|torrent| (TorrentId(torrent), user)));
    let now = now.filter(|(torrent, user)| ledger.downloads(*torrent, *user)).count();
    assert_eq!(downloads, now as i64, "slots that are taken");
}
