//! What an announce means for the peer that sent it: the state machine, and nothing else.

use skep_proto::{AnnounceEvent, AnnounceRequest};

use super::part::PeerClass;

/// What is to be done with the announcer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// It leaves.
    Remove,
    /// It stays or comes, as this.
    Keep {
        /// Its class from now on.
        class: PeerClass,
        /// Whether it just finished, as far as this announce tells.
        completed: bool,
    },
}

/// Magnet clients send this with `completed` before they learn the real size.
const LEFT_WITHOUT_METADATA: u64 = 16384;

/// Decides by event, bytes left and the class that the announcer had, if it was known.
///
/// # Source
/// BEP 3, `event` and `left`; BEP 21 for `paused`. Clients send events twice, out of order or never.
pub(crate) fn decide(
    request: &AnnounceRequest,
    known: Option<PeerClass>,
    completed_overrides_left: bool,
) -> Decision {
    let by_left = |wanting: PeerClass| match request.left_bytes {
        Some(0) => PeerClass::Seeder,
        Some(_) => wanting,
        None => known.unwrap_or(wanting),
    };
    let (class, completed) = match request.event {
        AnnounceEvent::Stopped => return Decision::Remove,
        AnnounceEvent::Completed => match request.left_bytes {
            None | Some(0 | LEFT_WITHOUT_METADATA) => (PeerClass::Seeder, true),
            // Deviation: BEP 3 has no such case. It is not a finished download, so it is not counted.
            Some(_) if completed_overrides_left => (PeerClass::Seeder, false),
            Some(_) => (PeerClass::Leecher, false),
        },
        AnnounceEvent::Paused => (by_left(PeerClass::PartialSeed), false),
        AnnounceEvent::None | AnnounceEvent::Started => (by_left(PeerClass::Leecher), false),
    };
    // A seeder that completes again is a retransmission or a restart, not another download.
    let completed = completed && known != Some(PeerClass::Seeder);
    Decision::Keep { class, completed }
}
