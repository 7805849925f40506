//! Plain TCP connections of browsers: one task serves all of those that a worker has.
//!
//! Decides nothing about what is received or when a connection ends; that is in `socket`. Other
//! connections have a task each.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use skep_engine::session::WebsocketSession;
use skep_engine::swarm::Connection;
use skep_net::watch::{News, Room, Watch};
use tokio::io::{Interest, unix::AsyncFd};

use super::hub::Hub;
use super::socket::{self, Socket, TURN_READS_MAX};
use crate::frontend::http::{Caller, Door, Open};

/// Connections that are read before what there is for browsers is sent.
const READ_MAX: usize = 256;

/// Connections between one for which memory is asked and one for which the next is asked.
const FETCH_STEP: usize = 2;

/// The connections of one worker.
pub(super) struct Crowd {
    watch: AsyncFd<Watch>,
    room: RefCell<Room>,
    /// Those to whom something may be sent, or who have something more to be read.
    due: RefCell<Vec<Rc<Socket>>>,
    /// While nobody looks at those who are due.
    rests: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What a connection of the crowd has.
#[derive(Default)]
pub(super) struct Line {
    /// Until it is over.
    stream: RefCell<Option<(TcpStream, Open)>>,
    is_due: Cell<bool>,
    /// There may be more to read than was read.
    is_readable: Cell<bool>,
    /// Nothing comes after what can be read.
    is_ended: Cell<bool>,
    /// The system takes nothing more until it says so.
    is_blocked: Cell<bool>,
}

/// Takes in a browser whose upgrade was answered. `input` came behind the upgrade.
pub(super) fn admit(stream: tokio::net::TcpStream, open: Open, caller: Caller, input: Vec<u8>) {
    // Without room for one more socket in the event loop, the connection is lost.
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let door = open.door.clone();
    let (hub, now) = (&door.hub, door.shared.clock.now());
    let entered = hub.enter(|connection| {
        let Caller { source, credential } = caller;
        let session = WebsocketSession::new(source, credential, connection, now);
        Socket::new(session, input, now).with_line(Line::default())
    });
    let Some(socket) = entered else {
        return;
    };
    let connection = socket.connection();
    if hub.crowd.watch.get_ref().add(&stream, connection.0).is_err() {
        socket.leave(&door);
        return;
    }
    if let Some(line) = socket.line() {
        line.stream.replace(Some((stream, open)));
    }
    if door.shared.shutdown.requested() {
        socket.stop(hub, now);
    }
    // What came with the upgrade is there before anything is read.
    socket.begin(&door);
    hub.crowd.attend(&socket);
}

/// Serves all of them for as long as the worker runs.
pub(in crate::frontend) async fn serve(door: Rc<Door>) {
    std::future::poll_fn(|context| {
        door.hub.crowd.turn(context, &door);
        Poll::<()>::Pending
    })
    .await;
}

impl Crowd {
    /// Begins with no connection, in a runtime.
    ///
    /// # Errors
    /// What the system reports.
    // Its successor is unsafe, to be promised that the descriptor stays; that of a watch does.
    #[allow(deprecated)]
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            watch: AsyncFd::with_interest(Watch::new()?, Interest::READABLE)?,
            room: RefCell::default(),
            due: RefCell::default(),
            rests: Cell::new(true),
            waker: RefCell::default(),
        })
    }

    /// Lets a connection have its turn, after all that can be read now was read.
    pub(super) fn attend(&self, socket: &Rc<Socket>) {
        let Some(line) = socket.line() else {
            return;
        };
        if !line.is_due.replace(true) {
            self.due.borrow_mut().push(socket.clone());
            if self.rests.replace(false)
                && let Some(waker) = &*self.waker.borrow()
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Reads what there is, then sends what came of it, until there is nothing left.
    fn turn(&self, context: &mut Context<'_>, door: &Door) {
        if !self.waker.borrow().as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            self.waker.replace(Some(context.waker().clone()));
        }
        self.rests.set(false);
        let mut read = 0;
        let mut is_quiet = false;
        while !is_quiet && read < READ_MAX {
            let found = self.read(door);
            self.send(door);
            read += found;
            is_quiet = found == 0;
        }
        self.rests.set(true);
        if !is_quiet || !self.due.borrow().is_empty() {
            // Others have their turn.
            return context.waker().wake_by_ref();
        }
        while let Poll::Ready(Ok(mut guard)) = self.watch.poll_read_ready(context) {
            guard.clear_ready();
        }
    }

    /// Reads from those who have sent something, and returns how many that may be.
    fn read(&self, door: &Door) -> usize {
        let mut room = self.room.borrow_mut();
        // Cannot fail: the descriptor is good, and nothing is waited for.
        let Ok(news) = self.watch.get_ref().look(&mut room) else {
            return 0;
        };
        let found = news.len();
        let mut ahead = Ahead::new(&door.hub, news.clone().map(|news| Connection(news.name)));
        for news in news {
            ahead.step();
            // Perhaps it is gone since.
            if let Some(socket) = door.hub.socket(Connection(news.name)) {
                self.hear(&socket, news, door);
            }
        }
        found
    }

    fn hear(&self, socket: &Rc<Socket>, news: News, door: &Door) {
        let Some(line) = socket.line() else {
            return;
        };
        if news.ended {
            line.is_ended.set(true);
        }
        let is_unblocked = news.writable && line.is_blocked.replace(false);
        let is_changed = news.readable && line.read(socket, door);
        if is_unblocked || is_changed {
            self.attend(socket);
        }
    }

    /// Gives those who are due their turn.
    fn send(&self, door: &Door) {
        let mut due = self.due.take();
        for socket in due.drain(..) {
            let Some(line) = socket.line() else {
                continue;
            };
            line.is_due.set(false);
            if let Poll::Ready(ended) = line.send(&socket, door) {
                self.end(&socket, ended.is_ok_and(|is_told| is_told), door);
            } else if line.is_readable.get() && line.read(&socket, door) {
                self.attend(&socket);
            }
        }
        let mut next = self.due.borrow_mut();
        due.append(&mut next);
        *next = due;
    }

    /// Takes a connection out that is over.
    fn end(&self, socket: &Rc<Socket>, is_told: bool, door: &Door) {
        socket.leave(door);
        let Some((stream, open)) = socket.line().and_then(|line| line.stream.take()) else {
            return;
        };
        if is_told && self.watch.get_ref().remove(&stream).is_ok() {
            tokio::task::spawn_local(async move {
                let _open = open;
                if let Ok(mut stream) = tokio::net::TcpStream::from_std(stream) {
                    socket::linger(&mut stream).await;
                }
            });
        }
    }
}

impl Line {
    /// Reads as much as there is, but not for ever; tells whether something came of it.
    fn read(&self, socket: &Socket, door: &Door) -> bool {
        let stream = self.stream.borrow();
        let Some((stream, _)) = stream.as_ref() else {
            return false;
        };
        let state = &mut *socket.state();
        let room = &mut *door.read_room.borrow_mut();
        self.is_readable.set(false);
        for _ in 0..TURN_READS_MAX {
            if !state.is_open() {
                return true;
            }
            match (&mut &*stream).read(room) {
                Ok(length @ 1..) => {
                    state.receive(&mut room[..length], door);
                    if length < room.len() && !self.is_ended.get() {
                        return state.has_something_to_do();
                    }
                    // It is sent what that has brought before it is found to be gone.
                    if state.has_something_to_do() {
                        break;
                    }
                }
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                    return state.has_something_to_do();
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    state.abandon();
                    return true;
                }
            }
        }
        self.is_readable.set(true);
        true
    }

    /// Sends what waits. Ready when the connection is over, with whether the browser was told.
    fn send(&self, socket: &Socket, door: &Door) -> Poll<io::Result<bool>> {
        let stream = self.stream.borrow();
        let Some((stream, _)) = stream.as_ref() else {
            return Poll::Pending;
        };
        let state = &mut *socket.state();
        let sent = state.send(door, |bytes| {
            while !self.is_blocked.get() {
                match (&mut &*stream).write(bytes) {
                    Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                        self.is_blocked.set(true)
                    }
                    Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                    written => return Poll::Ready(written),
                }
            }
            Poll::Pending
        })?;
        if sent.is_ready() {
            state.is_sent(door);
        }
        state.over(sent.is_ready()).map_or(Poll::Pending, |is_told| Poll::Ready(Ok(is_told)))
    }
}

/// Asks for the memory of connections some time before each is read.
struct Ahead<'a, N> {
    hub: &'a Hub,
    places: N,
    sockets: N,
    sessions: N,
}

impl<'a, N: Iterator<Item = Connection> + Clone> Ahead<'a, N> {
    fn new(hub: &'a Hub, names: N) -> Self {
        let mut ahead =
            Self { hub, places: names.clone(), sockets: names.clone(), sessions: names };
        ahead.places.by_ref().take(3 * FETCH_STEP).for_each(|name| hub.fetch_place(name));
        ahead.sockets.by_ref().take(2 * FETCH_STEP).for_each(|name| hub.fetch_socket(name));
        ahead.sessions.by_ref().take(FETCH_STEP).for_each(|name| hub.fetch_session(name));
        ahead
    }

    /// Goes one connection further.
    fn step(&mut self) {
        let Self { hub, places, sockets, sessions } = self;
        places.next().into_iter().for_each(|name| hub.fetch_place(name));
        sockets.next().into_iter().for_each(|name| hub.fetch_socket(name));
        sessions.next().into_iter().for_each(|name| hub.fetch_session(name));
    }
}
