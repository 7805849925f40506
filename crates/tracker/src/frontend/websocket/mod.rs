//! The WebSocket front end: browsers that find each other through offers and answers.
//!
//! A connection begins as one of HTTP and comes here with its upgrade. What the swarms know of
//! browsers is in the engine; nothing here knows a byte of a frame or of JSON.

#[cfg(target_os = "linux")]
mod crowd;
mod exchange;
mod hub;
mod socket;
mod talk;

use std::rc::Rc;
use std::time::Duration;

use skep_engine::session::WebsocketSession;
use tokio::io::{AsyncRead, AsyncWrite};

use self::hub::Outgoing;
use self::socket::Socket;
use super::http::{Caller, Door, Open, Stream};

#[cfg(target_os = "linux")]
pub(super) use self::crowd::serve as serve_crowd;
pub use self::exchange::{Exchange, Mailbox};
pub(super) use self::hub::Hub;
pub(super) use self::talk::Scratch;

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 32 * 1024;

/// How long it takes until every browser was looked after once.
const TENDING: Duration = Duration::from_secs(1);

/// Parts of that time, so that nobody waits until all are looked after.
const TENDING_STEPS: u32 = 20;

/// Takes in a browser whose upgrade was answered. `input` came behind the upgrade.
pub(super) fn admit(stream: Stream, open: Open, caller: Caller, input: Vec<u8>) {
    #[cfg(target_os = "linux")]
    let stream = match stream {
        Stream::Tcp(stream) => return crowd::admit(stream, open, caller, input),
        other => other,
    };
    // In a task of its own, which is smaller than one that speaks HTTP as well.
    tokio::task::spawn_local(serve(stream, open, caller, input));
}

/// Serves a browser from its upgrade on, which was answered, until it is gone. `input` came behind
/// the upgrade.
pub(super) async fn serve<S>(mut stream: S, open: Open, caller: Caller, input: Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let door = &open.door;
    let now = door.shared.clock.now();
    let Caller { source, credential } = caller;
    let entered = door.hub.enter(|connection| {
        Socket::new(WebsocketSession::new(source, credential, connection, now), input, now)
    });
    if let Some(socket) = entered {
        if door.shared.shutdown.requested() {
            socket.stop(&door.hub, now);
        }
        let is_told = socket::serve(&mut stream, &socket, door).await;
        // Nobody is to be handed an offer of those who will not answer.
        socket.leave(door);
        if is_told {
            socket::linger(&mut stream).await;
        }
    }
}

/// Looks after the browsers of a worker for as long as it runs.
pub(super) async fn tend(door: Rc<Door>) {
    let mut from = 0;
    loop {
        tokio::time::sleep(TENDING / TENDING_STEPS).await;
        if door.hub.places() == 0 {
            continue;
        }
        let (policy, now) = (door.shared.policy.load(), door.shared.clock.now());
        let count = door.hub.places().div_ceil(TENDING_STEPS as usize);
        from = door.hub.some(from, count, |socket| socket.tend(&door, &policy.websocket, now));
    }
}

/// Hands out what other workers have for the browsers of this one.
pub(super) async fn receive(door: Rc<Door>, mut mailbox: Mailbox) {
    while let Some(parcel) = mailbox.next().await {
        let (policy, now) = (door.shared.policy.load(), door.shared.clock.now());
        let outgoing =
            Outgoing { to: parcel.to, offered: parcel.offered, now, settings: &policy.websocket };
        if !door.hub.hand_over(&outgoing, |out| out.extend_from_slice(&parcel.frame)) {
            door.hub.counters().messages_lost.add(1);
        }
    }
}

/// Ends every connection, since the tracker stops.
pub(super) fn stop(door: &Door) {
    let now = door.shared.clock.now();
    door.hub.some(0, usize::MAX, |socket| socket.stop(&door.hub, now));
}
