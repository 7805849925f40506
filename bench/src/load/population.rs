//! Who announces what: torrents, the peers in each, and from which address each peer comes.
//!
//! Everything follows from a few numbers by arithmetic, so that an answer can be judged without
//! keeping what was asked. Nothing is sent here.

use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Result, ensure};
use skep_proto::peer_addr::CompactIpv4;

/// Peers listen above the ports that trackers may refuse.
const PORT_MIN: u32 = 16_384;
const PORTS: u32 = 65_536 - PORT_MIN;

/// The third byte of the addresses that peers come from; the last one counts.
const NETWORK: [u8; 3] = [127, 0, 1];

/// The most addresses that a population may come from.
pub(crate) const SOURCES_MAX: usize = 128;

/// How peers are spread over torrents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spread {
    /// All torrents have the same number, but for a remainder.
    Even,
    /// In proportion to 1/rank, rounded so that all together are right; far down the ranks some
    /// torrents have none.
    Rank,
}

impl FromStr for Spread {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "even" => Ok(Self::Even),
            "rank" => Ok(Self::Rank),
            _ => Err(()),
        }
    }
}

/// One peer: the number of its torrent, its own number in it and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) torrent: u32,
    pub(crate) index: u32,
    /// Peers of the torrent.
    pub(crate) size: u32,
}

/// How many addresses peers come from, a power of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources {
    mask: u32,
}

impl Sources {
    pub(crate) fn new(count: usize) -> Result<Self> {
        ensure!(
            count.is_power_of_two() && count <= SOURCES_MAX,
            "sources must be a power of two up to {SOURCES_MAX}"
        );
        Ok(Self { mask: count as u32 - 1 })
    }

    pub(crate) fn count(self) -> usize {
        self.mask as usize + 1
    }

    /// The address of a source.
    pub(crate) fn address(source: usize) -> Ipv4Addr {
        let [a, b, c] = NETWORK;
        Ipv4Addr::new(a, b, c, source as u8 + 1)
    }

    /// Which source a peer announces from.
    pub(crate) fn of(self, peer: Peer) -> usize {
        (peer.index.wrapping_add(peer.torrent) & self.mask) as usize
    }

    /// The port a peer announces.
    pub(crate) fn port(self, peer: Peer) -> u16 {
        let turn = peer.index >> self.mask.count_ones();
        // In range by the modulus, which is what is left of 16 bits above the least port.
        (PORT_MIN + (turn + port_offset(peer.torrent)) % PORTS) as u16
    }

    /// Finds which peer of the asker's torrent an endpoint is; nothing for a stranger.
    pub(crate) fn peer_at(self, asker: Peer, endpoint: CompactIpv4) -> Option<u32> {
        let [a, b, c, last, high, low] = endpoint;
        let source = u32::from(last).wrapping_sub(1);
        let port = u32::from(u16::from_be_bytes([high, low]));
        if [a, b, c] != NETWORK || source > self.mask || port < PORT_MIN {
            return None;
        }
        let turn = (port - PORT_MIN + PORTS - port_offset(asker.torrent)) % PORTS;
        let step = source.wrapping_sub(asker.torrent) & self.mask;
        let index = (turn << self.mask.count_ones()) + step;
        (index < asker.size).then_some(index)
    }
}

/// Where the ports of a torrent begin, so that ports do not tell torrents apart.
fn port_offset(torrent: u32) -> u32 {
    mixed(u64::from(torrent)) as u32 % PORTS
}

/// All peers, sorted by where they come from and otherwise in random order.
pub(crate) struct Population {
    pub(crate) sources: Sources,
    pub(crate) torrents: u32,
    pub(crate) lists: Vec<Vec<Peer>>,
}

impl Population {
    /// Makes the peers; the same numbers make the same population.
    pub(crate) fn new(torrents: u32, peers: u32, spread: Spread, sources: Sources) -> Result<Self> {
        ensure!(torrents > 0 && peers >= torrents, "each torrent needs a peer");
        let mut lists = vec![Vec::new(); sources.count()];
        let mut before = 0;
        let harmonic: f64 = (1..=torrents).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut shares = 0.0;
        for torrent in 0..torrents {
            shares += 1.0 / f64::from(torrent + 1);
            let behind = match spread {
                Spread::Even => {
                    (u64::from(peers) * u64::from(torrent + 1) / u64::from(torrents)) as u32
                }
                // The share of the last torrent is all but exactly one.
                Spread::Rank => (f64::from(peers) * shares / harmonic).round() as u32,
            };
            let size = behind - before;
            before = behind;
            ensure!(
                u64::from(size) <= u64::from(PORTS) * sources.count() as u64,
                "more sources are needed for a torrent of {size} peers"
            );
            for index in 0..size {
                let peer = Peer { torrent, index, size };
                lists[sources.of(peer)].push(peer);
            }
        }
        let mut seed = 1;
        for list in &mut lists {
            shuffle(list, &mut seed);
        }
        Ok(Self { sources, torrents, lists })
    }

    /// How many peers there are.
    pub(crate) fn peers(&self) -> u64 {
        self.lists.iter().map(|list| list.len() as u64).sum()
    }
}

/// The hash of a torrent.
pub(crate) fn info_hash(torrent: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    for (word, chunk) in (0u64..).zip(bytes.chunks_mut(8)) {
        let random = mixed(u64::from(torrent) << 2 | word).to_le_bytes();
        chunk.copy_from_slice(&random[..chunk.len()]);
    }
    bytes
}

/// The id of a peer; readable in a URL as it stands.
pub(crate) fn peer_id(peer: Peer) -> [u8; 20] {
    let mut bytes = *b"-SB0100-............";
    let random = mixed(u64::from(peer.torrent) << 32 | u64::from(peer.index));
    for (at, byte) in bytes[8..].iter_mut().enumerate() {
        *byte = b'a' + (random >> (at * 4)) as u8 % 16;
    }
    bytes
}

/// The user who has a peer; of a torrent's peers no two have the same, if there are users enough.
pub(crate) fn user(peer: Peer, users: u32) -> u32 {
    (peer.index + mixed(u64::from(peer.torrent)) as u32 % users) % users
}

/// The passkey of a user.
pub(crate) fn passkey(user: u32) -> [u8; 32] {
    let digit = |half: u64| b"0123456789abcdef"[half as usize & 15];
    let words = [mixed(u64::from(user)), mixed(!u64::from(user))];
    core::array::from_fn(|at| digit(words[at / 16] >> (at % 16 * 4)))
}

fn shuffle(list: &mut [Peer], seed: &mut u64) {
    for end in (1..list.len()).rev() {
        *seed += 1;
        list.swap(end, (mixed(*seed) % (end as u64 + 1)) as usize);
    }
}

/// Scatters a number over 64 bits.
///
/// # Source
/// The output function of SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use skep_proto::peer_addr::pack_ipv4;

    use super::*;

    #[test]
    fn every_peer_is_found_by_its_endpoint_and_no_two_share_one() {
        let sources = Sources::new(4).unwrap();
        for spread in [Spread::Even, Spread::Rank] {
            let population = Population::new(40, 3000, spread, sources).unwrap();
            let mut seen = std::collections::HashSet::new();
            for (source, list) in population.lists.iter().enumerate() {
                for &peer in list {
                    let endpoint = pack_ipv4(Sources::address(source), sources.port(peer));
                    assert_eq!(sources.peer_at(peer, endpoint), Some(peer.index));
                    assert!(seen.insert((peer.torrent, endpoint)));
                }
            }
            assert_eq!(seen.len(), 3000);
        }
    }

    #[test]
    fn strangers_are_told_from_peers() {
        let sources = Sources::new(2).unwrap();
        let peer = Peer { torrent: 7, index: 0, size: 2 };
        let port = sources.port(peer);
        let own = pack_ipv4(Sources::address(sources.of(peer)), port);
        assert_eq!(sources.peer_at(peer, own), Some(0));
        let beyond = pack_ipv4(Sources::address(sources.of(peer)), port ^ 1);
        assert_eq!(sources.peer_at(peer, beyond), None);
        assert_eq!(sources.peer_at(peer, pack_ipv4(Ipv4Addr::LOCALHOST, port)), None);
    }

    #[test]
    fn rank_makes_the_first_torrent_the_largest() {
        let sources = Sources::new(1).unwrap();
        let population = Population::new(100, 1000, Spread::Rank, sources).unwrap();
        let largest = population.lists[0].iter().max_by_key(|peer| peer.size);
        assert_eq!(largest.unwrap().torrent, 0);
        assert!(largest.unwrap().size > 150);
    }
}
