//! Wire formats of a BitTorrent tracker: bytes to words and back, for every transport.
//!
//! This crate knows byte offsets, bencode keys and query parameters. It knows no swarm, no rule,
//! no clock and no socket.
//!
//! | BEP | what | where |
//! |---|---|---|
//! | 3 | announces by HTTP, bencode, dictionary peers | [`http`], [`bencode`] |
//! | 7 | IPv6 peers, `key` | [`http`], [`peer_addr`], [`PeerKey`] |
//! | 15 | announces and scrapes by UDP | [`udp`] |
//! | 21 | event `paused`, `downloaders` | [`AnnounceEvent`], [`http`] |
//! | 23 | compact peers | [`http`], [`peer_addr`] |
//! | 24 | `external ip` | [`http`] |
//! | 31 | `retry in` | [`http`] |
//! | 41 | options behind a UDP announce | [`udp`] |
//! | 48 | scrapes by HTTP | [`http`] |
//! | 52 | SHA-256 hashes cut to 20 bytes | [`InfoHash`] |
//!
//! The WebTorrent tracker protocol has no BEP; it is in [`websocket`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod announce;
pub mod bencode;
mod error;
#[cfg(test)]
mod golden;
pub mod http;
mod ids;
pub mod peer_addr;
pub mod proxy;
pub mod udp;
#[cfg(any(test, feature = "testing"))]
pub mod vectors;
pub mod websocket;

pub use announce::{AnnounceEvent, AnnounceRequest, NumWant, left_from_wire};
pub use error::DecodeError;
pub use ids::{ConnectionId, InfoHash, OfferId, PeerId, PeerKey, TransactionId};
