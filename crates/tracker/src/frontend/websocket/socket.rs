//! One WebSocket connection: bytes in, frames out of them, and bytes back, each within its time.
//!
//! Holds no buffer while nothing is on its way: fifty thousand silent browsers must fit. What a
//! message means is decided in `talk`.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use skep_engine::Tick;
use skep_engine::counters::Cut;
use skep_engine::session::{Policy, WebsocketSession, WebsocketSettings};
#[cfg(target_os = "linux")]
use skep_engine::swarm::Connection;
use skep_proto::websocket::{
    Event, ReadError, Reader, Step, close_code, write_close, write_ping, write_pong,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

#[cfg(target_os = "linux")]
use super::crowd::Line;
use super::hub::{FULL_BYTES_MAX, Hub};
use super::talk::Speaking;
use crate::frontend::http::Door;

/// Reads before other connections have their turn.
pub(super) const TURN_READS_MAX: u32 = 4;

/// Questions whether a browser is there that may be without an answer.
const PINGS_MAX: u32 = 2;

/// How long a browser may take to close its side once it was told that this one is closed.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// One open connection, as others on its worker see it.
pub(super) struct Socket {
    state: RefCell<State>,
    /// If it has a task.
    waker: RefCell<Option<Waker>>,
    /// If it has none.
    #[cfg(target_os = "linux")]
    line: Option<Line>,
}

/// What is known of a connection.
pub(super) struct State {
    pub(super) session: WebsocketSession,
    reader: Reader,
    /// The beginning of a frame.
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// What is part of the sum over all browsers.
    counted: usize,
    /// When the browser last took something, while something waits.
    took: Tick,
    /// When anything was last received.
    heard: Tick,
    pings: u32,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing is read any more; what waits is still sent.
    Closing,
    /// Nothing is sent any more either.
    Gone,
}

impl Socket {
    /// Begins with what came behind the request for the upgrade.
    pub(super) fn new(session: WebsocketSession, input: Vec<u8>, now: Tick) -> Self {
        let state = State {
            session,
            reader: Reader::default(),
            input,
            output: Vec::new(),
            sent: 0,
            counted: 0,
            took: now,
            heard: now,
            pings: 0,
            phase: Phase::Open,
        };
        Self {
            state: RefCell::new(state),
            waker: RefCell::default(),
            #[cfg(target_os = "linux")]
            line: None,
        }
    }

    /// Makes it one of the crowd.
    #[cfg(target_os = "linux")]
    pub(super) fn with_line(self, line: Line) -> Self {
        Self { line: Some(line), ..self }
    }

    #[cfg(target_os = "linux")]
    pub(super) const fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn connection(&self) -> Connection {
        self.state.borrow().session.connection()
    }

    /// The state, for whoever serves the connection.
    #[cfg(target_os = "linux")]
    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// The state, unless its own connection is just being served.
    pub(super) fn state_of_another(&self) -> Option<RefMut<'_, State>> {
        self.state.try_borrow_mut().ok()
    }

    /// Lets whoever serves the connection look at it.
    pub(super) fn wake(self: &Rc<Self>, hub: &Hub) {
        #[cfg(target_os = "linux")]
        hub.crowd.attend(self);
        #[cfg(not(target_os = "linux"))]
        let _ = hub;
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Takes what came with the upgrade, before anything is read.
    pub(super) fn begin(&self, door: &Door) {
        self.state.borrow_mut().receive(&mut [], door);
    }

    /// Gives everything back that the connection had.
    pub(super) fn leave(&self, door: &Door) {
        {
            let mut state = self.state.borrow_mut();
            state.abandon();
            door.hub.recount(&mut state);
        }
        let session = &self.state.borrow().session;
        door.hub.leave(session.connection());
        door.say_farewell(session);
    }

    fn remember(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    /// Looks whether the browser is still there and takes what it is sent, and forgets old offers.
    pub(super) fn tend(self: &Rc<Self>, door: &Door, settings: &WebsocketSettings, now: Tick) {
        let state = &mut *self.state.borrow_mut();
        if state.phase == Phase::Gone {
            return;
        }
        state.session.forget_old_offers(now);
        let since = |at: Tick| now.0.saturating_sub(at.0);
        let stuck = u64::from(since(state.took)) > door.limits.write_timeout.as_secs();
        // Also what was taken and is not on its way yet, as over TLS.
        if !state.output.is_empty() && stuck {
            door.hub.cut(state, Cut::SlowReader);
        } else if door.hub.is_full() && state.held() > FULL_BYTES_MAX {
            door.hub.cut(state, Cut::NoRoom);
        } else if state.phase == Phase::Closing {
            return;
        } else if state.session.is_idle(settings, now) {
            door.hub.counters().websocket_cuts[Cut::Idle as usize].add(1);
            state.close(now, close_code::NORMAL, "no announce for too long");
        } else if since(state.heard) < settings.ping_interval_secs * (state.pings + 1) {
            return;
        } else if state.pings == PINGS_MAX {
            door.hub.cut(state, Cut::NoAnswer);
        } else {
            state.pings += 1;
            state.queue(now, &door.hub, |out| write_ping(out, b""));
        }
        door.hub.recount(state);
        self.wake(&door.hub);
    }

    /// Ends the connection because the tracker stops.
    pub(super) fn stop(self: &Rc<Self>, hub: &Hub, now: Tick) {
        self.state.borrow_mut().close(now, close_code::GOING_AWAY, "tracker stops");
        self.wake(hub);
    }
}

impl State {
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Appends something to what waits to be sent.
    pub(super) fn queue(&mut self, now: Tick, hub: &Hub, write: impl FnOnce(&mut Vec<u8>)) {
        if self.output.is_empty() {
            self.took = now;
        }
        if self.output.capacity() == 0 {
            self.output = hub.take_buffer();
        }
        write(&mut self.output);
    }

    /// The same, unless more than `max` bytes wait already; tells whether it did.
    pub(super) fn queue_up_to(
        &mut self,
        max: usize,
        now: Tick,
        hub: &Hub,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let has_room = self.unsent() <= max;
        if has_room {
            self.queue(now, hub, write);
        }
        has_room
    }

    /// Reads no more, and ends the connection when everything is sent, with a reason for it.
    pub(super) fn close(&mut self, now: Tick, code: u16, reason: &str) {
        if self.phase == Phase::Open {
            if self.output.is_empty() {
                self.took = now;
            }
            self.phase = Phase::Closing;
            self.input = Vec::new();
            write_close(&mut self.output, code, reason);
        }
    }

    /// Ends the connection without another word; `false` if it had ended.
    pub(super) fn abandon(&mut self) -> bool {
        // Nothing may be left that is counted: nobody counts again.
        (self.input, self.reader) = (Vec::new(), Reader::default());
        (self.output, self.sent) = (Vec::new(), 0);
        std::mem::replace(&mut self.phase, Phase::Gone) != Phase::Gone
    }

    /// Bytes of memory that are held for what waits and for the beginning of a message.
    pub(super) fn held(&self) -> usize {
        self.output.capacity() + self.input.capacity() + self.reader.held_bytes()
    }

    /// Notes that they are part of a sum, and returns what was part of it before.
    pub(super) fn count_held(&mut self) -> usize {
        let held = self.held();
        std::mem::replace(&mut self.counted, held)
    }
}

/// Serves a connection until it ends, by either side or by a time-out.
///
/// Returns whether the browser was told that it ends, and may still be speaking.
pub(super) async fn serve<S>(stream: &mut S, socket: &Socket, door: &Door) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.begin(door);
    let ended = poll_fn(|context| {
        socket.remember(context);
        turn(context, stream, socket, door)
    });
    // Errors of a connection are the network's business.
    ended.await.is_ok_and(|is_told| is_told)
}

/// Waits a moment for the browser to close its side, so that what it was told is not destroyed.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let end = async {
        let mut thrown_away = [0; 256];
        if stream.shutdown().await.is_ok() {
            while stream.read(&mut thrown_away).await.is_ok_and(|read| read > 0) {}
        }
    };
    let _ = timeout(LINGER_TIMEOUT, end).await;
}

/// Sends and reads as much as there is. Ready when the connection is over, with whether the browser
/// was told.
fn turn<S: AsyncRead + AsyncWrite + Unpin>(
    context: &mut Context<'_>,
    stream: &mut S,
    socket: &Socket,
    door: &Door,
) -> Poll<io::Result<bool>> {
    let state = &mut *socket.state.borrow_mut();
    for _ in 0..TURN_READS_MAX {
        let is_sent = state.send_all(context, stream, door)?.is_ready();
        if let Some(is_told) = state.over(is_sent) {
            return Poll::Ready(Ok(is_told));
        }
        if !state.is_open() {
            return Poll::Pending;
        }
        let room = &mut *door.read_room.borrow_mut();
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        let length = buffer.filled().len();
        if length == 0 {
            return Poll::Ready(Ok(false));
        }
        state.receive(&mut room[..length], door);
    }
    // Others have their turn.
    context.waker().wake_by_ref();
    Poll::Pending
}

impl State {
    /// Takes what was received, frame by frame.
    pub(super) fn receive(&mut self, bytes: &mut [u8], door: &Door) {
        let (policy, now) = (door.shared.policy.load(), door.shared.clock.now());
        if !bytes.is_empty() {
            (self.heard, self.pings) = (now, 0);
            let counters = door.websocket_counters(self.session.source());
            counters.received_bytes.add(bytes.len() as u64);
        }
        self.queue(now, &door.hub, |_| {});
        if self.input.is_empty() {
            let used = self.take_frames(bytes, door, &policy, now);
            if self.is_open() {
                self.input.extend_from_slice(&bytes[used..]);
            }
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            let used = self.take_frames(&mut input, door, &policy, now);
            input.drain(..used);
            if self.is_open() && !input.is_empty() {
                self.input = input;
            }
        }
        // Others may have filled it up to here; beyond that it is what this browser asked for.
        let settings = &policy.websocket;
        let most = settings.send_queue_bytes_max + settings.message_bytes_max;
        if self.is_open() && self.unsent() > most {
            door.hub.cut(self, Cut::SlowReader);
        }
        if self.output.is_empty() {
            door.hub.give_buffer(std::mem::take(&mut self.output));
        }
        door.hub.recount(self);
    }

    /// Takes whole frames and returns how many bytes they were.
    fn take_frames(&mut self, bytes: &mut [u8], door: &Door, policy: &Policy, now: Tick) -> usize {
        let mut used = 0;
        while self.is_open() {
            let Self { session, reader, output, .. } = self;
            let step = reader.next(&mut bytes[used..], policy.websocket.message_bytes_max);
            let end = match step {
                Ok(Step::Partial { .. }) => break,
                Ok(Step::Frame { consumed, event }) => {
                    used += consumed;
                    match event {
                        Event::Message(text) => {
                            let speaking = Speaking { door, policy, now, session, output };
                            speaking.hear(text).err().map(|end| (end.code, Some(end.cut)))
                        }
                        Event::Ping(data) => {
                            write_pong(output, data);
                            None
                        }
                        Event::Pong | Event::Fragment => None,
                        Event::Close(code) => Some((code.unwrap_or(close_code::NORMAL), None)),
                    }
                }
                Err(error) => {
                    let too_big = error == ReadError::TooBig;
                    let cut = if too_big { Cut::TooLarge } else { Cut::Protocol };
                    Some((error.close_code(), Some(cut)))
                }
            };
            if let Some((code, cut)) = end {
                if let Some(cut) = cut {
                    door.hub.counters().websocket_cuts[cut as usize].add(1);
                }
                self.close(now, code, "");
            }
        }
        used
    }

    /// Whether there is something to be sent, or to be ended.
    #[cfg(target_os = "linux")]
    pub(super) fn has_something_to_do(&self) -> bool {
        !self.output.is_empty() || !self.is_open()
    }

    /// Whether the connection is over once all or not all was sent, and if so, whether the browser
    /// was told.
    pub(super) fn over(&self, is_sent: bool) -> Option<bool> {
        match self.phase {
            Phase::Gone => Some(false),
            Phase::Closing => is_sent.then_some(true),
            Phase::Open => None,
        }
    }

    /// Sends what waits, and what the stream holds of it; ready when nothing does.
    fn send_all<S: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut S,
        door: &Door,
    ) -> Poll<io::Result<()>> {
        if self.output.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.send(door, |bytes| Pin::new(&mut *stream).poll_write(context, bytes)))?;
        ready!(Pin::new(&mut *stream).poll_flush(context))?;
        self.is_sent(door);
        Poll::Ready(Ok(()))
    }

    /// Sends what waits by `write`; ready when nothing does, after which [`Self::is_sent`] is due.
    pub(super) fn send(
        &mut self,
        door: &Door,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while self.unsent() > 0 && self.phase != Phase::Gone {
            let Poll::Ready(written) = write(&self.output[self.sent..])? else {
                if self.sent > self.output.len() / 2 {
                    self.output.drain(..self.sent);
                    self.sent = 0;
                    self.output.shrink_to(self.output.len() * 2);
                }
                door.hub.recount(self);
                return Poll::Pending;
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
            self.took = door.shared.clock.now();
            let counters = door.websocket_counters(self.session.source());
            counters.sent_bytes.add(written as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the room back of what was sent.
    pub(super) fn is_sent(&mut self, door: &Door) {
        door.hub.give_buffer(std::mem::take(&mut self.output));
        self.sent = 0;
        door.hub.recount(self);
    }
}
