//! Peers that an answer must not name: others of the user who asks.
//!
//! Whose peers they are is not known here.

use alloc::vec::Vec;
use core::net::IpAddr;

use skep_proto::PeerId;
use skep_proto::peer_addr::{self, IPV4_BYTES, IPV6_BYTES};

/// Peers by their endpoints, and WebRTC peers by their peer ids. There are few.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    ipv4: Vec<[u8; IPV4_BYTES]>,
    ipv6: Vec<[u8; IPV6_BYTES]>,
    webrtc: Vec<PeerId>,
}

impl LeftOut {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.ipv4.clear();
        self.ipv6.clear();
        self.webrtc.clear();
    }

    /// Adds the peer at an address.
    pub fn add(&mut self, ip: IpAddr, port: u16) {
        match ip {
            IpAddr::V4(ip) => self.ipv4.push(peer_addr::pack_ipv4(ip, port)),
            IpAddr::V6(ip) => self.ipv6.push(peer_addr::pack_ipv6(ip, port)),
        }
    }

    /// Adds a WebRTC peer.
    pub fn add_webrtc(&mut self, peer_id: PeerId) {
        self.webrtc.push(peer_id);
    }

    /// Whether the peer of a row is one of them.
    pub(super) fn has(&self, endpoint: &[u8]) -> bool {
        match endpoint.len() {
            IPV4_BYTES => self.ipv4.iter().any(|other| other == endpoint),
            IPV6_BYTES => self.ipv6.iter().any(|other| other == endpoint),
            _ => self.webrtc.iter().any(|other| endpoint.starts_with(other.as_bytes())),
        }
    }
}
