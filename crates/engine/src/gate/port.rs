//! Which ports a peer may claim to listen on.
//!
//! A swarm that is told to connect to a mail server is a weapon; a list of ports is a blunt shield. A
//! WebRTC peer has no port that others are told, so nothing is asked of it.

use super::members::{Asking, No};
use super::{Refusal, Rules};
use crate::swarm::Announce;

/// Ports above 1023 that belong to services which are often attacked.
const SERVICES: [u16; 8] = [1433, 1521, 3306, 3389, 5432, 5900, 6379, 11211];

pub(super) fn check<'a>(rules: &'a Rules, announce: &Announce) -> Result<(), Refusal<'a>> {
    if announce.connection.is_some() {
        return Ok(());
    }
    if announce.listed && announce.request.port == 0 {
        return Err(Refusal::InvalidPort);
    }
    if rules.ports_reserved_denied && is_reserved(announce.request.port) {
        return Err(Refusal::InvalidPort);
    }
    Ok(())
}

pub(super) fn check_member<'a>(rules: &'a Rules, asking: &mut Asking<'_>) -> Result<(), No<'a>> {
    Ok(check(rules, asking.announce)?)
}

const fn is_reserved(port: u16) -> bool {
    let mut number = 0;
    while number < SERVICES.len() {
        if SERVICES[number] == port {
            return true;
        }
        number += 1;
    }
    // Clients do listen on the two ports that strict networks let through.
    port > 0 && port < 1024 && port != 80 && port != 443
}
