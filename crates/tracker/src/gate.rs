//! Everything that a gate of one's own is written with.
//!
//! Names only; what they are is told where they are defined.

pub use skep_engine::gate::{OWN_GATES_MAX, OwnGate};
pub use skep_engine::site::{GroupId, Member, Permille, TorrentGroupId, TorrentId, UserId};
pub use skep_engine::swarm::Announce;
pub use skep_proto::{AnnounceEvent, AnnounceRequest, InfoHash, NumWant, PeerId, PeerKey};
