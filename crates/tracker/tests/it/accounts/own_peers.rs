//! Nobody is told of the own other clients, and of as many others as without them.
//!
//! A property over random swarms of a few users with several clients each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use skep::shards::Answer;
use skep_engine::ledger::LedgerSettings;
use skep_proto::{AnnounceEvent, AnnounceRequest, PeerId, PeerKey};

use super::{Kept, member};
use crate::support::{announce, torrent};

/// A client of a user, how it announces, and at which of its ports.
#[derive(Clone, Copy, Debug)]
struct Draft {
    user: u8,
    client: u8,
    ipv6: bool,
    port: u8,
    stops: bool,
    wanted: (usize, usize),
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let wanted = prop_oneof![Just((0, 0)), (0..8usize, 0..8usize), Just((50, 50))];
    let stops = prop::bool::weighted(0.1);
    let draft = (0..3u8, 0..12u8, any::<bool>(), 0..2u8, stops, wanted).prop_map(
        |(user, client, ipv6, port, stops, wanted)| Draft {
            user,
            client,
            ipv6,
            port,
            stops,
            wanted,
        },
    );
    prop::collection::vec(draft, 1..120)
}

impl Draft {
    fn ip(self) -> IpAddr {
        match self.ipv6 {
            false => Ipv4Addr::new(8, 8, self.user, self.client).into(),
            true => Ipv6Addr::from_segments([
                0x2a00,
                self.user.into(),
                self.client.into(),
                0,
                0,
                0,
                0,
                1,
            ])
            .into(),
        }
    }

    fn peer_id(self) -> PeerId {
        let mut peer_id = [b'-'; 20];
        (peer_id[8], peer_id[9]) = (self.user, self.client);
        PeerId(peer_id)
    }

    fn request(self) -> AnnounceRequest {
        AnnounceRequest {
            peer_id: self.peer_id(),
            peer_key: PeerKey::default(),
            event: if self.stops { AnnounceEvent::Stopped } else { AnnounceEvent::None },
            ..announce(torrent(1), 6000 + u16::from(self.port), 7)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn own_peers_are_never_returned_and_others_take_their_places(drafts in drafts()) {
        let mut kept = Kept::new(LedgerSettings::default());
        // A client has one endpoint of each family: where it was last.
        let mut listed = BTreeMap::new();
        for draft in drafts {
            let Draft { user, client, ipv6, .. } = draft;
            let request = draft.request();
            let answered = kept.ask(member(user.into(), 1), draft.ip(), request, draft.wanted);
            prop_assert!(matches!(answered.answer, Answer::Announced(_)));
            if draft.stops {
                listed.remove(&(user, client, ipv6));
                prop_assert_eq!(answered.peers, []);
                continue;
            }
            let endpoint = SocketAddr::new(draft.ip(), request.port);
            listed.insert((user, client, ipv6), (endpoint, draft.peer_id()));
            let mut others = [0; 2];
            for (owner, _, ipv6) in listed.keys() {
                others[usize::from(*ipv6)] += usize::from(*owner != user);
            }
            let of = |ipv6| answered.peers.iter().filter(|peer| peer.is_ipv6() == ipv6).count();
            prop_assert_eq!(of(false), draft.wanted.0.min(others[0]));
            prop_assert_eq!(of(true), draft.wanted.1.min(others[1]));
            let ids = answered.peer_ids.ipv4.iter().chain(&answered.peer_ids.ipv6);
            for (peer, id) in answered.peers.iter().zip(ids) {
                let owner = listed.iter().find(|(_, (endpoint, _))| endpoint == peer);
                let Some(((owner, ..), (_, known))) = owner else {
                    return Err(TestCaseError::fail(format!("{peer} is nobody")));
                };
                prop_assert!(*owner != user, "{} is an own peer", peer);
                prop_assert_eq!(known, id);
            }
        }
    }
}
