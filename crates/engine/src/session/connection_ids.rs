//! Connection ids: proof that a UDP client receives at the address that it sends from.
//!
//! Nothing is stored: an id is a MAC over the address and the time, so a flood of forged connects
//! costs no memory. The port is not in it, since NATs change ports between two packets.

use core::fmt;
use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher24;
use skep_proto::ConnectionId;
use skep_proto::udp::CONNECT_MAGIC;

use crate::time::Tick;

/// Makes and checks connection ids; one secret for all sockets and workers of a process.
#[derive(Clone)]
pub struct ConnectionIds {
    key: [u8; 16],
    slot_secs: u32,
    unix_secs_at_start: u64,
}

impl fmt::Debug for ConnectionIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionIds").field("slot_secs", &self.slot_secs).finish_non_exhaustive()
    }
}

impl ConnectionIds {
    /// Takes the secret. With the same secret and honest clocks, ids survive a restart.
    ///
    /// # Units
    /// An id lives from one to two times `slot_secs`; `unix_secs_at_start` is the wall clock at
    /// [`Tick`] 0.
    #[must_use]
    pub const fn new(key: [u8; 16], slot_secs: u32, unix_secs_at_start: u64) -> Self {
        Self { key, slot_secs, unix_secs_at_start }
    }

    /// Makes the id of an address, for a client that comes through this proxy if there is one.
    #[must_use]
    pub fn issue(&self, ip: IpAddr, proxy: Option<IpAddr>, now: Tick) -> ConnectionId {
        self.of_slot(ip, proxy, self.slot(now))
    }

    /// Whether an id was given to this address in the current or the previous slot.
    ///
    /// # Source
    /// BEP 15: ids are good for at least two minutes after they were sent.
    #[must_use]
    pub fn verify(&self, ip: IpAddr, proxy: Option<IpAddr>, id: ConnectionId, now: Tick) -> bool {
        // Two 64-bit words are compared in one instruction: no time depends on where they differ.
        let slot = self.slot(now);
        self.of_slot(ip, proxy, slot) == id || self.of_slot(ip, proxy, slot.wrapping_sub(1)) == id
    }

    const fn slot(&self, now: Tick) -> u64 {
        (self.unix_secs_at_start + now.0 as u64) / self.slot_secs as u64
    }

    #[inline]
    fn of_slot(&self, ip: IpAddr, proxy: Option<IpAddr>, slot: u64) -> ConnectionId {
        match proxy {
            None => mac(&self.key, ip, slot),
            Some(proxy) => mac(&self.key_of(proxy), ip, slot),
        }
    }

    /// The key for clients of a proxy: an id that was not given through it sends nothing to it.
    #[cold]
    #[inline(never)]
    fn key_of(&self, proxy: IpAddr) -> [u8; 16] {
        let mut key = [0; 16];
        // No time is in these slots.
        key[..8].copy_from_slice(&mac(&self.key, proxy, u64::MAX).0.to_le_bytes());
        key[8..].copy_from_slice(&mac(&self.key, proxy, u64::MAX - 1).0.to_le_bytes());
        key
    }
}

fn mac(key: &[u8; 16], ip: IpAddr, slot: u64) -> ConnectionId {
    let mut mac = SipHasher24::new_with_key(key);
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut message = [0; 24];
    message[..16].copy_from_slice(&ip.octets());
    message[16..].copy_from_slice(&slot.to_le_bytes());
    mac.write(&message);
    // Clients take 0 for "not connected", and the constant of connect is nobody's proof.
    match mac.finish() {
        0 => ConnectionId(1),
        CONNECT_MAGIC => ConnectionId(2),
        id => ConnectionId(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn an_id_lives_at_least_one_slot_and_at_most_two() {
        let ids = ConnectionIds::new([7; 16], 120, 1_000_000_037);
        for start in 0..240 {
            let id = ids.issue(IP, None, Tick(start));
            assert!(ids.verify(IP, None, id, Tick(start + 119)), "issued at {start}");
            assert!(ids.verify(IP, None, id, Tick(start + 120)), "issued at {start}");
            assert!(!ids.verify(IP, None, id, Tick(start + 240)), "issued at {start}");
        }
    }

    #[test]
    fn an_id_belongs_to_one_address_and_one_secret() {
        let ids = ConnectionIds::new([7; 16], 120, 0);
        let id = ids.issue(IP, None, Tick(500));
        assert!(!ids.verify(IpAddr::from([192, 0, 2, 2]), None, id, Tick(500)));
        assert!(!ConnectionIds::new([8; 16], 120, 0).verify(IP, None, id, Tick(500)));
        assert!(!ids.verify(IP, None, ConnectionId(CONNECT_MAGIC), Tick(500)));
        assert!(
            !ids.verify(IP, None, ids.issue(IP, None, Tick(620)), Tick(500)),
            "issued in the future"
        );
    }

    #[test]
    fn an_id_given_through_a_proxy_is_good_through_that_proxy_alone() {
        let ids = ConnectionIds::new([7; 16], 120, 0);
        let proxies = [None, Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2]))];
        for given in proxies {
            let id = ids.issue(IP, given, Tick(5));
            for used in proxies {
                assert_eq!(ids.verify(IP, used, id, Tick(5)), given == used);
            }
        }
    }

    #[test]
    fn an_id_survives_a_restart_with_the_same_secret() {
        let before = ConnectionIds::new([7; 16], 120, 1_000_000);
        let after = ConnectionIds::new([7; 16], 120, 1_000_050);
        assert!(after.verify(IP, None, before.issue(IP, None, Tick(40)), Tick(5)));
    }
}
