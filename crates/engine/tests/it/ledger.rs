//! Random announces to a ledger, against a model that works everything out from scratch.
//!
//! What single rules mean is tested beside the ledger itself.

use proptest::prelude::*;
use skep_engine::ledger::{
    Budget, Combine, Entry, Family, FirstAnnounce, Ledger, LedgerSettings, Outcome, ParallelTime,
    Permille, Rule, Sums, Terms, TorrentId, UserId,
};
use skep_engine::swarm::Swept;
use skep_engine::{Seed, Tick};
use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};

use crate::ledger_model::{Effect, Expected, Heard, Model, ModelRule, Step, pair};

/// How far a client's counters move before an announce.
#[derive(Clone, Copy, Debug)]
enum Moves {
    Not,
    On(u64, u64),
    To(u64, u64),
}

#[derive(Clone, Copy, Debug)]
struct Draft {
    wait_secs: u32,
    /// Torrent, user and peer.
    who: (u32, u32, u8),
    ipv6: bool,
    moves: Moves,
    left: Option<u64>,
    event: AnnounceEvent,
    sweep: bool,
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let wait_secs = prop_oneof![3 => Just(0), 3 => 0..12u32, 4 => 10..120u32, 1 => 100..900u32];
    let who = (0..2u32, 0..2u32, 0..3u8);
    let moves = prop_oneof![
        3 => Just(Moves::Not),
        5 => (0..5000u64, 0..5000u64).prop_map(|(up, down)| Moves::On(up, down)),
        1 => (0..5000u64, 0..5000u64).prop_map(|(up, down)| Moves::To(up, down)),
        1 => prop_oneof![Just(0), Just(u64::MAX)].prop_map(|to| Moves::To(to, to)),
    ];
    let left = prop_oneof![
        4 => Just(Some(0)),
        4 => Just(Some(77)),
        1 => Just(Some(16384)),
        1 => Just(None),
    ];
    let event = prop_oneof![
        6 => Just(AnnounceEvent::None),
        2 => Just(AnnounceEvent::Started),
        2 => Just(AnnounceEvent::Completed),
        3 => Just(AnnounceEvent::Stopped),
        1 => Just(AnnounceEvent::Paused),
    ];
    let sweep = prop::bool::weighted(0.15);
    let draft = (wait_secs, who, any::<bool>(), moves, left, event, sweep).prop_map(
        |(wait_secs, who, ipv6, moves, left, event, sweep)| Draft {
            wait_secs,
            who,
            ipv6,
            moves,
            left,
            event,
            sweep,
        },
    );
    prop::collection::vec(draft, 1..80)
}

/// Turns drafts into announces: a client's counters go on from where they are. Clients have keys, by
/// peer id; those that share one may be one client.
fn steps(drafts: &[Draft], keys: [u32; 3]) -> Vec<Step> {
    let mut secs = 1000;
    let mut counters = std::collections::BTreeMap::new();
    let mut steps = Vec::new();
    for draft in drafts {
        secs += draft.wait_secs;
        let (torrent, user, peer) = draft.who;
        let key = keys[usize::from(peer)];
        let client = if key == 0 { u32::from(peer) } else { 100 + key };
        let (up, down) = counters.entry((torrent, user, client)).or_insert((0u64, 0u64));
        match draft.moves {
            Moves::Not => {}
            Moves::On(more, less) => {
                (*up, *down) = (up.saturating_add(more), down.saturating_add(less));
            }
            Moves::To(to, too) => (*up, *down) = (to, too),
        }
        if draft.sweep {
            steps.push(Step::Sweep { secs });
        }
        let family = if draft.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
        let Draft { left, event, .. } = *draft;
        let (up, down) = (*up, *down);
        let heard = Heard { secs, torrent, user, peer, key, family, up, down, left, event };
        steps.push(Step::Announce(heard));
    }
    steps
}

fn settings() -> impl Strategy<Value = LedgerSettings> {
    let line = prop_oneof![2 => Just(0), 1 => Just(40)];
    (any::<bool>(), any::<bool>(), line, prop_oneof![1 => Just(10), 1 => Just(100), 2 => Just(400)])
        .prop_map(|(credit, each, line_bytes_per_sec_max, baseline_ttl_secs)| LedgerSettings {
            peer_ttl_secs: 100,
            baseline_ttl_secs,
            gap_max_secs: 80,
            duplicate_secs: 10,
            line_bytes_per_sec_max,
            first_announce: if credit { FirstAnnounce::Credit } else { FirstAnnounce::Baseline },
            parallel_time: if each { ParallelTime::Each } else { ParallelTime::Once },
            ..LedgerSettings::default()
        })
}

fn rules() -> impl Strategy<Value = (Combine, Vec<ModelRule>)> {
    let combine = prop_oneof![Just(Combine::Best), Just(Combine::Product), Just(Combine::First)];
    let factor = || prop_oneof![Just(0u32), Just(333), Just(1000), Just(2000)];
    let window = || (900..2500u32, 0..2000u32);
    let token = (window(), prop_oneof![Just(None), (0..20_000u64).prop_map(Some)]).prop_map(
        |((from, secs), budget)| ModelRule {
            upload: 1000,
            download: 0,
            from,
            until: from + secs,
            budget,
        },
    );
    let other = (factor(), factor(), window()).prop_map(|(upload, download, (from, secs))| {
        ModelRule { upload, download, from, until: from + secs, budget: None }
    });
    let rules = (prop::option::of(token), prop::collection::vec(other, 0..3))
        .prop_map(|(token, others)| token.into_iter().chain(others).collect());
    (combine, rules)
}

fn announce(ledger: &mut Ledger, heard: &Heard, terms: Terms<'_>) -> Outcome {
    let request = AnnounceRequest {
        info_hash: InfoHash([heard.torrent as u8; 20]),
        peer_id: PeerId([heard.peer; 20]),
        port: 6881,
        uploaded_bytes: heard.up,
        downloaded_bytes: heard.down,
        left_bytes: heard.left,
        event: heard.event,
        num_want: NumWant::Default,
        peer_key: PeerKey::from_u32(heard.key),
    };
    ledger.announce(&Entry {
        torrent: TorrentId(heard.torrent),
        user: UserId(heard.user),
        request: &request,
        corrupt_bytes: None,
        family: heard.family,
        ip: None,
        now: Tick(heard.secs),
        terms,
    })
}

/// What the ledger makes of the steps, and the sums of it.
fn effects(settings: LedgerSettings, terms: Terms<'_>, steps: &[Step]) -> (Vec<Effect>, Sums) {
    let mut ledger = Ledger::new(settings, Seed::new(3));
    let mut sums = Sums::default();
    let effect = |step: &Step| match step {
        Step::Announce(heard) => match announce(&mut ledger, heard, terms) {
            Outcome::Counted(delta) => {
                sums.add(&delta);
                Effect::Announce(Some(Expected {
                    raw: pair(delta.raw),
                    credited: pair(delta.credited),
                    secs: (delta.seeding_secs, delta.leeching_secs, delta.active_secs),
                    began: delta.began,
                    ended: delta.ended,
                    completed: delta.completed,
                    reset: delta.reset,
                    held: delta.held,
                }))
            }
            Outcome::Duplicate => Effect::Announce(None),
            Outcome::NotKept => panic!("there is no bound"),
        },
        Step::Sweep { secs } => {
            let mut ends = Vec::new();
            while ledger.sweep(Tick(*secs), 3, &mut ends) == Swept::More {}
            Effect::Sweep(ends.len())
        }
    };
    let effects = steps.iter().map(effect).collect();
    let mut sessions = (0, 0);
    ledger.for_each(|state, _| {
        sessions = (sessions.0 + 1, sessions.1 + u64::from(state.open));
    });
    assert_eq!(sessions, (ledger.tally().sessions, ledger.tally().sessions_open));
    assert_eq!(sums.completions, ledger.tally().completions);
    (effects, sums)
}

proptest! {
    #[test]
    fn the_ledger_finds_what_the_model_works_out(
        drafts in drafts(),
        keys in [0..3u32, 0..3u32, 0..3u32],
        settings in settings(),
        (combine, model_rules) in rules(),
    ) {
        let steps = steps(&drafts, keys);
        let budgets: Vec<_> =
            model_rules.iter().map(|rule| rule.budget.map(Budget::new)).collect();
        let rules: Vec<_> = model_rules
            .iter()
            .zip(&budgets)
            .map(|(rule, budget)| Rule {
                upload: Permille(rule.upload),
                download: Permille(rule.download),
                from: Tick(rule.from),
                until: Tick(rule.until),
                budget: budget.as_ref(),
                ..Rule::default()
            })
            .collect();
        let (found, sums) = effects(settings, Terms { rules: &rules, combine }, &steps);
        let model = Model { settings, combine, rules: model_rules };
        let expected = model.effects(&steps);
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            prop_assert_eq!(found, expected, "step {} of {:?}", at, &steps[..=at]);
        }
        let waited: u32 = drafts.iter().map(|draft| draft.wait_secs).sum();
        if settings.parallel_time == ParallelTime::Once {
            // Two users in two torrents.
            prop_assert!(sums.active_secs <= 4 * u64::from(waited));
        }
        prop_assert!(sums.seeding_secs + sums.leeching_secs >= sums.active_secs);
    }

    #[test]
    fn a_client_with_two_addresses_is_counted_once_whatever_it_calls_itself(
        rounds in prop::collection::vec((0..9000u32, 0..1000u64, any::<bool>(), 0..4u8), 1..30),
    ) {
        let mut ledger = Ledger::new(LedgerSettings::default(), Seed::new(3));
        let (mut sums, mut up, mut secs) = (Sums::default(), 0, 0);
        for (wait_secs, more, ipv6_first, what) in rounds {
            (secs, up) = (secs + wait_secs, up + more);
            let (event, restarts) = match what {
                0 => (AnnounceEvent::Stopped, false),
                what => (AnnounceEvent::None, what == 1),
            };
            if restarts {
                let mut after = Ledger::new(LedgerSettings::default(), Seed::new(3));
                ledger.for_each(|state, silent_secs| {
                    assert!(after.restore(&state, silent_secs, Tick(secs)));
                });
                ledger = after;
            }
            for ipv6 in [ipv6_first, !ipv6_first] {
                let family = if ipv6 { Family::Ipv6 } else { Family::Ipv4 };
                let (peer, left) = (1 + u8::from(ipv6), Some(5));
                let client = Heard {
                    secs, torrent: 1, user: 1, peer, key: 9, family, up, down: 0, left, event,
                };
                if let Outcome::Counted(delta) = announce(&mut ledger, &client, Terms::default()) {
                    sums.add(&delta);
                }
            }
        }
        prop_assert!(sums.raw.uploaded_bytes <= up, "{} of {up} bytes", sums.raw.uploaded_bytes);
        prop_assert_eq!(ledger.tally().sessions, 1);
    }
}
