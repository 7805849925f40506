//! Sessions of torrents that went or have another info hash: they end at once.
//!
//! What becomes of their swarms is tested with the API.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use skep::runtime::clock::Clock;
use skep::shards::{MemoryStore, PeerStore};
use skep::site::{Books, ChangeError, Site};
use skep_engine::Seed;
use skep_engine::ledger::{Delta, LedgerSettings, TorrentId};
use skep_engine::site::Change;
use skep_engine::swarm::SwarmSettings;

use super::{Collector, Kept, ledgers, member};
use crate::private::of_site;
use crate::support::{announce, torrent};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));

/// A store with a session in each of the torrents 1 to 3, and the books of their site.
fn begun() -> (Books, Arc<Collector>) {
    let mut before = Kept::new(LedgerSettings::default());
    for number in 1..4 {
        let request = announce(torrent(number), 6881, 5);
        let _ = before.announce(member(1, number.into()), HERE, request);
    }
    let clock = Clock::start();
    let sink = Arc::<Collector>::default();
    let accounts = ledgers(sink.clone(), LedgerSettings::default());
    let store = MemoryStore::with_ledgers(&SwarmSettings::default(), Seed::new(5), Some(accounts));
    before.store.for_each_session(&mut |state, silent_secs| {
        let info_hash = torrent(state.torrent.0 as u8);
        assert!(store.restore(&info_hash, &state, silent_secs, clock.now()));
    });
    let site = Arc::new(Site::new(&Seed::new(1), &clock));
    site.apply_all((1..4).map(|number| Change::PutTorrent(of_site(number))));
    (Books::new(site, None, Arc::new(store), clock), sink)
}

fn ended(sink: &Collector) -> Vec<u32> {
    let is_end = |delta: &Delta| delta.ended && !delta.session.open;
    let taken = sink.taken();
    assert!(taken.iter().all(|(delta, _)| is_end(delta)), "{taken:?}");
    taken.iter().map(|(delta, _)| delta.session.torrent.0).collect()
}

#[test]
fn sessions_of_a_torrent_end_when_it_goes_or_gets_another_info_hash() -> Result<(), ChangeError> {
    let (books, sink) = begun();
    let mut renamed = of_site(1);
    renamed.name = Some("another".into());
    books.change(vec![Change::PutTorrent(renamed.clone())])?;
    assert!(ended(&sink).is_empty());
    renamed.info_hash = torrent(9);
    books.change(vec![Change::PutTorrent(renamed)])?;
    assert_eq!(ended(&sink), [1]);
    // The number goes, though another has its info hash.
    let mut heir = of_site(2);
    heir.id = TorrentId(7);
    books.change(vec![Change::RemoveTorrent(TorrentId(2)), Change::PutTorrent(heir)])?;
    assert_eq!(ended(&sink), [2]);
    books.change(vec![Change::RemoveTorrent(TorrentId(7))])?;
    assert!(ended(&sink).is_empty());
    Ok(())
}
