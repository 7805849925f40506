//! The browsers of one worker: who they are, how they are found, and how something gets to them.
//!
//! Looks at no message: bytes are written by whoever knows what they mean.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use skep_engine::Tick;
use skep_engine::counters::{Cut, WorkerCounters};
use skep_engine::session::{Offered, WebsocketSettings};
use skep_engine::swarm::Connection;
use skep_net::memory::fetch_ahead;

#[cfg(target_os = "linux")]
use super::crowd::Crowd;
use super::exchange::{Exchange, Parcel};
use super::socket::{Socket, State};

/// Bytes that may be held for all browsers of a worker together: what waits to be sent, and the
/// beginnings of messages.
const HELD_BYTES_MAX: usize = 256 << 20;

/// Bytes that one of them may hold while that is exceeded.
pub(super) const FULL_BYTES_MAX: usize = 16 * 1024;

/// Buffers that are kept, and how large each may be.
const SPARE_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 16 * 1024;

/// What the processor fetches at once.
const LINE_BYTES: usize = 64;

/// Bits of a connection's number: its worker, how often its place was used, and its place.
const WORKER_SHIFT: u32 = 48;
const GENERATION_SHIFT: u32 = 24;
const PLACE_MASK: u64 = (1 << GENERATION_SHIFT) - 1;

/// The browsers of one worker.
pub(in crate::frontend) struct Hub {
    worker: usize,
    exchange: Arc<Exchange>,
    counters: Arc<WorkerCounters>,
    places: RefCell<Places>,
    held_bytes: Cell<usize>,
    /// For what waits to be sent, mostly for moments.
    spare: RefCell<Vec<Vec<u8>>>,
    #[cfg(target_os = "linux")]
    pub(super) crowd: Crowd,
}

#[derive(Default)]
struct Places {
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Place {
    generation: u64,
    socket: Option<Rc<Socket>>,
}

/// A message on its way to a browser.
pub(super) struct Outgoing<'a> {
    pub(super) to: Connection,
    /// The offer in it, if it is one.
    pub(super) offered: Option<Offered>,
    pub(super) now: Tick,
    pub(super) settings: &'a WebsocketSettings,
}

impl Hub {
    /// Begins with no browser.
    ///
    /// # Errors
    /// If the system has no room for an event loop.
    pub(in crate::frontend) fn new(
        worker: usize,
        exchange: Arc<Exchange>,
        counters: Arc<WorkerCounters>,
    ) -> io::Result<Self> {
        Ok(Self {
            worker,
            exchange,
            counters,
            places: RefCell::default(),
            held_bytes: Cell::default(),
            spare: RefCell::default(),
            #[cfg(target_os = "linux")]
            crowd: Crowd::new()?,
        })
    }

    /// Gives a browser a place, which `make` is told the number of; `None` if there is none.
    pub(super) fn enter(&self, make: impl FnOnce(Connection) -> Socket) -> Option<Rc<Socket>> {
        let Places { places, free } = &mut *self.places.borrow_mut();
        let at = free.pop().unwrap_or(places.len());
        if at as u64 > PLACE_MASK {
            return None;
        }
        if at == places.len() {
            places.push(Place::default());
        }
        let place = &mut places[at];
        place.generation = (place.generation + 1) & PLACE_MASK;
        let worker = (self.worker as u64) << WORKER_SHIFT;
        let number = worker | place.generation << GENERATION_SHIFT | at as u64;
        let socket = Rc::new(make(Connection(number)));
        place.socket = Some(socket.clone());
        self.count(1);
        Some(socket)
    }

    /// Takes the place of a browser back.
    pub(super) fn leave(&self, connection: Connection) {
        let Places { places, free } = &mut *self.places.borrow_mut();
        let at = place_of(connection);
        if places[at].socket.take().is_some() {
            free.push(at);
            self.count(-1);
        }
    }

    fn count(&self, change: i64) {
        let count = &self.counters.websocket_connections;
        count.set(count.get().wrapping_add_signed(change));
    }

    pub(super) fn socket(&self, connection: Connection) -> Option<Rc<Socket>> {
        let places = &self.places.borrow().places;
        let place = places.get(place_of(connection))?;
        let generation = connection.0 >> GENERATION_SHIFT & PLACE_MASK;
        place.socket.clone().filter(|_| place.generation == generation)
    }

    /// Asks for the memory where a browser is found, since it is looked for soon, and does not wait
    /// for it. Then comes [`Self::fetch_socket`], then [`Self::fetch_session`], if there is time.
    pub(super) fn fetch_place(&self, connection: Connection) {
        if let Some(place) = self.places.borrow().places.get(place_of(connection)) {
            fetch_ahead(ptr::from_ref(place).cast());
        }
    }

    /// The same for what is known of it.
    pub(super) fn fetch_socket(&self, connection: Connection) {
        let places = &self.places.borrow().places;
        let place = places.get(place_of(connection));
        if let Some(socket) = place.and_then(|place| place.socket.as_deref()) {
            let first = ptr::from_ref(socket).cast::<u8>();
            for line in (0..size_of::<Socket>()).step_by(LINE_BYTES) {
                fetch_ahead(first.wrapping_add(line));
            }
        }
    }

    /// The same for what else its messages need.
    pub(super) fn fetch_session(&self, connection: Connection) {
        let places = &self.places.borrow().places;
        let place = places.get(place_of(connection));
        let socket = place.and_then(|place| place.socket.as_deref());
        if let Some(state) = socket.and_then(Socket::state_of_another) {
            state.session.ahead(fetch_ahead);
        }
    }

    /// Sends something to a browser of any worker; `false` if it cannot be on its way.
    pub(super) fn send(&self, outgoing: &Outgoing<'_>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let worker = (outgoing.to.0 >> WORKER_SHIFT) as usize;
        if worker == self.worker {
            return self.hand_over(outgoing, write);
        }
        let mut frame = Vec::new();
        write(&mut frame);
        let Outgoing { to, offered, .. } = *outgoing;
        self.exchange.send(worker, Parcel { to, frame, offered })
    }

    /// A way to send a whole frame to a browser of this worker from another thread.
    pub(super) fn later(&self, to: Connection) -> impl FnOnce(Vec<u8>) + Send + 'static {
        let (worker, exchange) = (self.worker, self.exchange.clone());
        move |frame| {
            let _ = exchange.send(worker, Parcel { to, frame, offered: None });
        }
    }

    /// Sends something to a browser of this worker, unless too much waits for it: that is lost, and
    /// who sent it must not be able to end the connection of another.
    pub(super) fn hand_over(
        &self,
        outgoing: &Outgoing<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let Some(socket) = self.socket(outgoing.to) else { return false };
        let Some(mut state) = socket.state_of_another() else { return false };
        if self.is_full() || !state.is_open() {
            return false;
        }
        let queued =
            state.queue_up_to(outgoing.settings.send_queue_bytes_max, outgoing.now, self, write);
        self.recount(&mut state);
        if !queued {
            return false;
        }
        if let Some(offered) = outgoing.offered {
            state.session.offer(offered, outgoing.now);
        }
        drop(state);
        socket.wake(self);
        true
    }

    /// Ends a connection without another word.
    pub(super) fn cut(&self, state: &mut State, reason: Cut) {
        if state.abandon() {
            self.counters.websocket_cuts[reason as usize].add(1);
        }
    }

    /// Keeps the sum of what is held for browsers, after something changed for one of them.
    pub(super) fn recount(&self, state: &mut State) {
        let before = state.count_held();
        self.held_bytes.set(self.held_bytes.get() - before + state.held());
    }

    /// Whether more is held for browsers than may be for all of them.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes.get() > HELD_BYTES_MAX
    }

    #[cfg(test)]
    pub(in crate::frontend) fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }

    /// An empty buffer.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a buffer for the next who needs one.
    pub(super) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }

    pub(super) fn counters(&self) -> &WorkerCounters {
        &self.counters
    }

    /// Calls `visit` with some browsers in turn, beginning at `from`, and returns where to go on.
    pub(super) fn some(&self, from: usize, count: usize, visit: impl Fn(&Rc<Socket>)) -> usize {
        let length = self.places.borrow().places.len();
        let from = if from >= length { 0 } else { from };
        let to = length.min(from.saturating_add(count));
        for at in from..to {
            let socket = self.places.borrow().places[at].socket.clone();
            if let Some(socket) = socket {
                visit(&socket);
            }
        }
        to
    }

    /// Places that are or were taken.
    pub(super) fn places(&self) -> usize {
        self.places.borrow().places.len()
    }
}

const fn place_of(connection: Connection) -> usize {
    (connection.0 & PLACE_MASK) as usize
}
