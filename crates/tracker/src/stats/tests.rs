//! Counting: once an endpoint, bounded, and not too often.

use std::sync::atomic::AtomicUsize;

use skep_engine::ledger::LedgerSettings;
use skep_engine::swarm::{Counts, Moment, Pressure, SwarmSettings, Tally};
use skep_proto::{InfoHash, PeerId};

use super::*;
use crate::shards::{Batch, VisitPeer, VisitSession, VisitTorrent};

/// Endpoint, none of a WebRTC peer, class and peer id.
type Peer = (Vec<u8>, PeerClass, Option<PeerId>);

/// A store that is nothing but a list.
#[derive(Default)]
struct Listed {
    peers: Mutex<Vec<Peer>>,
    torrents: Vec<Counts>,
    /// What the tally claims on top of the list.
    claimed: u64,
    tallies: AtomicUsize,
    walks: AtomicUsize,
}

impl Listed {
    fn put(&self, endpoint: impl Into<Vec<u8>>, class: PeerClass, peer_id: &[u8; 20]) {
        self.peers.lock().push((endpoint.into(), class, Some(PeerId(*peer_id))));
    }

    fn count(&self) -> Snapshot {
        count(self, &Seed::new(1), ENDPOINTS_MAX)
    }

    fn walks(&self) -> usize {
        self.walks.load(Ordering::Relaxed)
    }
}

impl PeerStore for Listed {
    fn submit(&self, _: &mut Moment<'_>, _: &mut dyn Batch) {}

    fn set_pressure(&self, _: Pressure) {}

    fn configure(&self, _: &SwarmSettings, _: &LedgerSettings) {}

    fn tally(&self) -> Tally {
        self.tallies.fetch_add(1, Ordering::Relaxed);
        let mut tally = Tally { torrents: self.torrents.len() as u64, ..Tally::default() };
        tally.peers[0][0] = self.peers.lock().len() as u64 + self.claimed;
        tally
    }

    fn for_each(&self, visit: &mut VisitTorrent<'_>) {
        for counts in &self.torrents {
            visit(&InfoHash([0; 20]), *counts, Counts::default());
        }
    }

    fn for_each_peer(&self, visit: &mut VisitPeer<'_>) {
        self.walks.fetch_add(1, Ordering::Relaxed);
        for (endpoint, class, peer_id) in &*self.peers.lock() {
            visit(StoredPeer {
                endpoint: (!endpoint.is_empty()).then_some(endpoint),
                peer_id: *peer_id,
                ipv6: endpoint.len() == 18,
                class: *class,
            });
        }
    }

    fn look(&self, _: &InfoHash, _: &mut VisitPeer<'_>) -> Option<(Counts, Counts)> {
        None
    }

    fn for_each_session(&self, _: &mut VisitSession<'_>) {}

    fn remove(&self, _: &InfoHash) -> bool {
        false
    }

    fn retain(&self, _: &dyn Fn(&InfoHash) -> bool) {}

    fn sweep_pieces(&self) -> usize {
        0
    }

    fn sweep_piece(&self, _: usize, _: Tick) {}
}

const WEB: &[u8; 20] = b"-WW0091-4ea5886ce160";
const DIGITS: &[u8; 20] = b"01234567890123456789";

#[test]
fn empty_store_counts_to_nothing() {
    assert_eq!(Listed::default().count(), Snapshot::default());
}

#[test]
fn torrents_without_peers_are_not_active() {
    let store = Listed {
        torrents: vec![
            Counts { completions: 3, ..Counts::default() },
            Counts { partial_seeds: 1, ..Counts::default() },
            Counts { seeders: 1, ..Counts::default() },
        ],
        ..Listed::default()
    };
    let snapshot = store.count();
    assert_eq!((snapshot.torrents, snapshot.active_torrents), (3, 2));
}

#[test]
fn webrtc_peer_counts_once_by_its_peer_id() {
    let store = Listed::default();
    store.put([], PeerClass::Seeder, WEB);
    store.put([], PeerClass::Leecher, WEB);
    store.put([], PeerClass::Leecher, DIGITS);
    store.put([1; 6], PeerClass::Leecher, WEB);
    let snapshot = store.count();
    assert_eq!((snapshot.peers, snapshot.peers_seeder_and_leecher), (3, 1));
    assert_eq!((snapshot.peers_ipv4, snapshot.peers_ipv6), (3, 0));
}

#[test]
fn endpoint_in_several_torrents_counts_once_with_all_its_roles() {
    let store = Listed::default();
    store.put([1; 6], PeerClass::Seeder, WEB);
    store.put([1; 6], PeerClass::Leecher, WEB);
    store.put([2; 6], PeerClass::Seeder, WEB);
    store.put([2; 6], PeerClass::Seeder, WEB);
    store.put([3; 18], PeerClass::PartialSeed, DIGITS);
    let snapshot = store.count();
    assert_eq!(snapshot.peers, 3);
    assert_eq!(snapshot.peers_seeder_and_leecher, 1);
    assert_eq!(snapshot.peers_seeder_only, 1);
    assert_eq!(snapshot.peers_leecher_only, 1);
    assert_eq!((snapshot.peers_ipv4, snapshot.peers_ipv6), (2, 1));
    let clients: Vec<_> = snapshot.clients.iter().map(|c| (c.name, &*c.versions)).collect();
    let expected = [
        ("WebTorrent", &[("0.91".to_owned(), 2)][..]),
        ("unknown", &[("01234567".to_owned(), 1)][..]),
    ];
    assert_eq!(clients, expected);
    assert!(!snapshot.sampled);
}

#[test]
fn clients_are_left_out_where_peer_ids_are_not_kept() {
    let store = Listed::default();
    store.peers.lock().push((vec![1; 6], PeerClass::Seeder, None));
    let snapshot = store.count();
    assert_eq!((snapshot.peers, snapshot.clients.len()), (1, 0));
}

#[test]
fn versions_of_one_client_are_bounded_and_none_is_lost() {
    let store = Listed::default();
    for number in 0..100u8 {
        let mut peer_id = *DIGITS;
        peer_id[7] = number;
        store.put([number; 6], PeerClass::Leecher, &peer_id);
    }
    let snapshot = store.count();
    let [unknown] = &*snapshot.clients else { panic!("{:?}", snapshot.clients) };
    assert_eq!(unknown.versions.len(), VERSIONS_MAX);
    assert_eq!(unknown.versions[VERSIONS_MAX - 1].0, OTHER);
    assert_eq!(unknown.total(), 100);
}

#[test]
fn many_endpoints_are_estimated_from_a_bounded_sample() {
    let store = Listed::default();
    for number in 0..20_000u32 {
        let mut endpoint = vec![7; if number % 4 == 0 { 18 } else { 6 }];
        endpoint[..4].copy_from_slice(&number.to_be_bytes());
        store.put(endpoint, PeerClass::Seeder, WEB);
    }
    let snapshot = count(&store, &Seed::new(1), 4096);
    assert!(snapshot.sampled);
    assert!(snapshot.peers.abs_diff(20_000) < 2_000, "{}", snapshot.peers);
    assert!(snapshot.peers_ipv6.abs_diff(5_000) < 1_000, "{}", snapshot.peers_ipv6);
    assert_eq!(snapshot.peers_ipv4 + snapshot.peers_ipv6, snapshot.peers);
    assert_eq!(snapshot.peers_seeder_only, snapshot.peers);
    assert_eq!(snapshot.clients[0].total(), snapshot.peers);
    assert!(snapshot.peers / 8 <= 4096);
}

fn stats(store: Listed) -> (Arc<Listed>, Clock, Stats) {
    let (store, clock) = (Arc::new(store), Clock::start());
    let plug = Arc::clone(&store) as Arc<dyn PeerStore>;
    let stats = Stats::new(plug, Seed::new(1), clock.clone());
    (store, clock, stats)
}

#[test]
fn small_store_is_counted_for_every_request() {
    let (store, _, stats) = stats(Listed::default());
    assert_eq!(stats.snapshot().peers, 0);
    store.put([1; 6], PeerClass::Seeder, WEB);
    assert_eq!(stats.snapshot().peers, 1);
}

#[test]
fn store_of_medium_size_is_counted_once_a_second() {
    let (store, clock, stats) = stats(Listed { claimed: LIVE_ENTRIES_MAX, ..Listed::default() });
    // The second may end in between, once.
    for _ in 0..100 {
        let _ = stats.snapshot();
    }
    let walks = store.walks();
    assert!(walks < 10, "{walks} walks for 100 requests");
    clock.advance(MEDIUM_SECS);
    let _ = stats.snapshot();
    assert!(store.walks() > walks);
}

#[test]
fn torrents_without_peers_make_a_store_large_too() {
    let torrents = vec![Counts::default(); MEDIUM_ENTRIES_MAX as usize];
    let (store, _, stats) = stats(Listed { torrents, ..Listed::default() });
    let first = stats.snapshot();
    assert!(Arc::ptr_eq(&first, &stats.snapshot()));
    assert_eq!(store.walks(), 1);
}

#[test]
fn large_store_is_counted_once_in_a_while() {
    let (store, clock, stats) = stats(Listed { claimed: MEDIUM_ENTRIES_MAX, ..Listed::default() });
    assert_eq!(stats.snapshot().peers, 0);
    store.put([1; 6], PeerClass::Seeder, WEB);
    assert_eq!((stats.snapshot().peers, store.walks()), (0, 1));
    clock.advance(LARGE_SECS);
    assert_eq!((stats.snapshot().peers, store.walks()), (1, 2));
}

#[test]
fn request_that_finds_a_large_count_going_on_takes_the_last_one() {
    let (store, clock, stats) = stats(Listed { claimed: MEDIUM_ENTRIES_MAX, ..Listed::default() });
    let first = stats.snapshot();
    clock.advance(LARGE_SECS);
    let turn = stats.turn.lock();
    assert!(Arc::ptr_eq(&first, &stats.snapshot()));
    drop(turn);
    assert!(!Arc::ptr_eq(&first, &stats.snapshot()));
    assert_eq!(store.walks(), 2);
}

/// Lets another thread ask while this one holds the turn, and runs `meanwhile` once it has come.
fn ask_while_counting(
    (store, stats): (&Listed, &Stats),
    meanwhile: impl FnOnce(),
) -> Arc<Snapshot> {
    let turn = stats.turn.lock();
    let before = store.tallies.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| stats.snapshot());
        while store.tallies.load(Ordering::Relaxed) == before && !asker.is_finished() {
            std::thread::yield_now();
        }
        meanwhile();
        drop(turn);
        asker.join().unwrap()
    })
}

#[test]
fn request_that_had_to_wait_takes_a_count_that_began_after_it_came() {
    let (store, _, stats) = stats(Listed::default());
    let counted = Arc::new(Snapshot { torrents: 77, ..Snapshot::default() });
    let got = ask_while_counting((&store, &stats), || {
        stats.begun.fetch_add(1, Ordering::AcqRel);
        let snapshot = Arc::clone(&counted);
        stats.last.store(Some(Arc::new(Counted { at: Tick(0), good_for_secs: 0, snapshot })));
    });
    assert!(Arc::ptr_eq(&got, &counted));
    assert_eq!(store.walks(), 0);
}

#[test]
fn request_does_not_take_a_count_that_began_before_it_came() {
    let (store, _, stats) = stats(Listed::default());
    let old = stats.snapshot();
    let got = ask_while_counting((&store, &stats), || store.put([1; 6], PeerClass::Seeder, WEB));
    assert_eq!((old.peers, got.peers), (0, 1));
}

#[test]
fn first_requests_to_a_large_store_wait_for_one_count() {
    let (store, _, stats) = stats(Listed { claimed: MEDIUM_ENTRIES_MAX, ..Listed::default() });
    ask_while_counting((&store, &stats), || {});
    assert_eq!(store.walks(), 1);
}
