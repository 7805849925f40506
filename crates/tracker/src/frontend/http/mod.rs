//! The HTTP front end: one single-threaded runtime per worker, its listeners and connections.
//!
//! Connections of browsers begin here as well, and leave with their upgrade to WebSocket.

mod answer;
mod client;
mod connection;
mod deferred;
mod first;
mod listener;
mod places;
mod proxied;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod trouble;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use skep_engine::counters::{DropReason, TrafficCounters, WorkerCounters};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use self::answer::Answerer;
pub(super) use self::answer::Caller;
use self::client::Client;
use self::connection::Upgraded;
use self::first::{Look, Start};
use self::listener::Listener;
use self::places::{Place, Places};
use super::websocket::{self, Exchange, Hub, Mailbox};
use super::{Shared, Worker};
use crate::pages::Site;
use crate::stats::Stats;
use crate::tls::Tls;

pub use self::deferred::Pages;
pub(super) use self::stream::Stream;
pub(crate) use self::trouble::AcceptTrouble;

/// How long connections may go on once the tracker stops.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How long the threads for pages may go on after that.
const PAGES_MAX: Duration = Duration::from_millis(500);

/// Threads per worker for answers that walk all swarms.
const BLOCKING_THREADS_MAX: usize = 2;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Longest request head in bytes.
    pub head_bytes_max: usize,
    /// How long a head may take from its first byte, and a new connection until it sends one.
    pub head_timeout: Duration,
    /// How long a connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub write_timeout: Duration,
    /// Connections of the whole process.
    pub connections_max: usize,
    /// Connections of one IPv4 address or IPv6 /64 that is no trusted proxy; 0 for no limit.
    pub connections_per_address_max: usize,
}

/// What all HTTP workers share.
#[derive(Clone)]
pub struct HttpShared {
    limits: HttpLimits,
    places: Arc<Places>,
    pages: Arc<Pages>,
    tls: Option<Arc<Tls>>,
}

impl HttpShared {
    /// Makes what the workers share.
    #[must_use]
    pub fn new(limits: HttpLimits, site: Site, stats: Stats, tls: Option<Arc<Tls>>) -> Self {
        let places = Places::new(limits.connections_max, limits.connections_per_address_max);
        Self { limits, places: Arc::new(places), pages: Arc::new(Pages::new(site, stats)), tls }
    }
}

/// Whether the connections of a listener are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// None of them.
    Plain,
    /// All of them.
    Tls,
    /// Those that begin as TLS does.
    Detect,
}

/// A bound, non-blocking listener.
#[derive(Debug)]
pub enum Listening {
    /// For clients and proxies from anywhere.
    Tcp {
        /// The listener.
        socket: TcpListener,
        /// What its connections are.
        security: Security,
    },
    /// For proxies on this host.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// The HTTP listeners of one worker.
pub struct HttpFrontend {
    worker: Worker,
    http: HttpShared,
    listeners: Vec<Listening>,
    post: Post,
}

/// How browsers of one worker are reached by others, and others by them.
#[derive(Debug)]
pub struct Post {
    /// The number of the worker.
    pub worker: usize,
    /// The way to all of them.
    pub exchange: Arc<Exchange>,
    /// What others have for this one.
    pub mailbox: Mailbox,
}

impl HttpFrontend {
    /// Takes over listeners.
    #[must_use]
    pub const fn new(
        worker: Worker,
        http: HttpShared,
        listeners: Vec<Listening>,
        post: Post,
    ) -> Self {
        Self { worker, http, listeners, post }
    }

    /// Answers until the tracker stops and open connections had a moment to end.
    ///
    /// # Errors
    /// If the runtime or a listener cannot be set up, or a listener is no longer served.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("skep-http-pages")
            .build()?;
        let result = LocalSet::new().block_on(&runtime, self.serve());
        // Nobody is there any more to whom a page could be sent.
        runtime.shutdown_timeout(PAGES_MAX);
        result
    }

    async fn serve(self) -> io::Result<()> {
        let Self { worker, http, listeners, post } = self;
        let (stop, stopped) = watch::channel(false);
        let shared = worker.shared.clone();
        let hub = Hub::new(post.worker, post.exchange, worker.counters.clone())?;
        let door = Rc::new(Door::new(worker, http, hub, stopped));
        tokio::task::spawn_local(websocket::receive(door.clone(), post.mailbox));
        tokio::task::spawn_local(websocket::tend(door.clone()));
        #[cfg(target_os = "linux")]
        tokio::task::spawn_local(websocket::serve_crowd(door.clone()));
        let mut accepting = JoinSet::new();
        for listening in listeners {
            let door = door.clone();
            match listening {
                Listening::Tcp { socket, security } => {
                    let listener = Listener::new(socket)?;
                    accepting.spawn_local(accept(async move || {
                        let admit = |stream, address: SocketAddr| {
                            door.admit(stream, address.into(), security);
                        };
                        listener.accept(admit).await
                    }));
                }
                #[cfg(unix)]
                Listening::Unix(socket) => {
                    let listener = Listener::new(socket)?;
                    accepting.spawn_local(accept(async move || {
                        listener.accept_unix(|stream| door.admit_unix(stream)).await
                    }));
                }
            }
        }
        tokio::select! {
            () = shared.shutdown.wait() => {}
            Some(ended) = accepting.join_next() => {
                let cause = ended.err().map_or_else(String::new, |error| format!(": {error}"));
                return Err(io::Error::other(format!("a listener is no longer served{cause}")));
            }
        }
        accepting.shutdown().await;
        stop.send_replace(true);
        websocket::stop(&door);
        let drained = async {
            while door.counters.http_connections.get() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
        Ok(())
    }
}

/// What the connections of one worker share.
pub(super) struct Door {
    pub(super) limits: HttpLimits,
    pub(super) shared: Shared,
    counters: Arc<WorkerCounters>,
    places: Arc<Places>,
    /// There if any listener needs it.
    tls: Option<Arc<Tls>>,
    pub(super) answerer: RefCell<Answerer>,
    room: RefCell<first::Room>,
    pub(super) hub: Hub,
    /// Where browsers are read into.
    pub(super) read_room: RefCell<Box<[u8]>>,
    /// What a message of a browser needs while it is carried out.
    pub(super) talk_room: RefCell<websocket::Scratch>,
    /// The worker's own, so that waiting for the end touches nothing that other threads touch.
    stopped: watch::Receiver<bool>,
}

impl Door {
    fn new(worker: Worker, http: HttpShared, hub: Hub, stopped: watch::Receiver<bool>) -> Self {
        Self {
            limits: http.limits,
            shared: worker.shared.clone(),
            counters: worker.counters.clone(),
            places: http.places,
            tls: http.tls,
            answerer: RefCell::new(Answerer::new(worker, http.pages)),
            room: RefCell::default(),
            hub,
            read_room: RefCell::new(vec![0; websocket::READ_BYTES].into()),
            talk_room: RefCell::default(),
            stopped,
        }
    }

    /// Waits until the tracker stops.
    async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // The sender outlives the connections.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// What is counted for a browser.
    pub(super) fn websocket_counters(&self, source: IpAddr) -> &TrafficCounters {
        &self.counters.websocket[usize::from(source.is_ipv6())]
    }

    /// Takes in a connection that does not block.
    fn admit(self: &Rc<Self>, stream: TcpStream, client: Client, security: Security) {
        if self.shared.policy.load().proxies.speaks_protocol(client.ip()) {
            self.admit_proxy(stream, client, security);
        } else {
            self.admit_client(stream, client, security);
        }
    }

    /// Finds out for whom a proxy connects, and takes in that client.
    fn admit_proxy(self: &Rc<Self>, stream: TcpStream, proxy: Client, security: Security) {
        let proxy = Client { is_proxy: true, ..proxy };
        let Some(open) = self.open(&stream, proxy, security) else {
            return;
        };
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            return;
        };
        tokio::task::spawn_local(async move {
            let Some(client) = open.door.introduction(&stream, proxy).await else {
                return;
            };
            let door = open.door.clone();
            // The client takes a place of its own.
            drop(open);
            if let Ok(stream) = stream.into_std() {
                door.admit_client(stream, client, security);
            }
        });
    }

    /// Reads for whom a proxy connects; `None` if that does not become known.
    async fn introduction(&self, stream: &tokio::net::TcpStream, proxy: Client) -> Option<Client> {
        let header = tokio::time::timeout(self.limits.head_timeout, proxied::read_header(stream));
        let header = tokio::select! {
            biased;
            header = header => header,
            () = self.stopped() => return None,
        };
        let reason = match header {
            Ok(Ok(Some(address))) => return Some(address.into()),
            Ok(Ok(None)) => return Some(proxy),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                DropReason::BadProxyHeader
            }
            Ok(Err(_)) => return None,
            Err(_) => DropReason::TimedOut,
        };
        self.answerer.borrow().count_drop(proxy, reason);
        None
    }

    /// Takes in a connection of which nothing was read but for whom it is.
    fn admit_client(self: &Rc<Self>, stream: TcpStream, client: Client, security: Security) {
        let Some(open) = self.open(&stream, client, security) else {
            return;
        };
        let look = match security {
            Security::Tls => Look::Tls(Vec::new()),
            Security::Plain | Security::Detect => {
                first::look(self, &stream, client, security == Security::Detect)
            }
        };
        if matches!(look, Look::Over) {
            return;
        }
        // Without room for one more socket in the event loop, the connection is lost.
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            return;
        };
        match (look, security) {
            (Look::Http(start), _) => open.serve(Stream::Tcp(stream), client, start),
            (Look::Tls(early), _) => open.secure(stream, client, early),
            (Look::Silent, Security::Detect) => open.listen(stream, client),
            (Look::Silent | Look::Over, _) => {
                open.serve(Stream::Tcp(stream), client, Start::default())
            }
        }
    }

    /// Takes in a connection of a unix socket that does not block.
    #[cfg(unix)]
    fn admit_unix(self: &Rc<Self>, stream: std::os::unix::net::UnixStream) {
        let client = Client::of_unix_socket();
        let Some(open) = self.open(&stream, client, Security::Plain) else {
            return;
        };
        // Without room for one more socket in the event loop, the connection is lost.
        let Ok(stream) = tokio::net::UnixStream::from_std(stream) else {
            return;
        };
        open.serve(Stream::Unix(stream), client, Start::default());
    }

    /// Finds a place for a connection, or turns it away.
    fn open(
        self: &Rc<Self>,
        stream: impl Read + Write,
        client: Client,
        security: Security,
    ) -> Option<Open> {
        let is_proxy = || client.is_trusted(&self.shared.policy.load().proxies);
        match self.places.take(client.ip(), is_proxy) {
            Ok(place) => Some(Open::new(self.clone(), place)),
            Err(reason) => {
                self.answerer.borrow().turn_away(stream, client, security, reason);
                None
            }
        }
    }
}

/// One open connection; counted while it lives.
pub(super) struct Open {
    pub(super) door: Rc<Door>,
    _place: Place,
}

impl Open {
    fn new(door: Rc<Door>, place: Place) -> Self {
        let counter = &door.counters.http_connections;
        counter.set(counter.get() + 1);
        Self { door, _place: place }
    }

    fn serve(self, stream: Stream, client: Client, start: Start) {
        tokio::task::spawn_local(self.speak(stream, client, start));
    }

    /// Speaks HTTP, and WebSocket if it comes to that.
    async fn speak(self, stream: Stream, client: Client, start: Start) {
        let upgraded = connection::serve(stream, client, &self.door, start).await;
        if let Some(Upgraded { stream, caller, input }) = upgraded {
            websocket::admit(stream, self, caller, input);
        }
    }

    /// Waits for the first byte of a connection that may speak TLS or not.
    fn listen(self, socket: tokio::net::TcpStream, client: Client) {
        tokio::task::spawn_local(async move {
            let mut first = [0];
            let peeked = tokio::select! {
                peeked = tokio::time::timeout(self.door.limits.head_timeout, socket.peek(&mut first)) => peeked,
                () = self.door.stopped() => return,
            };
            match peeked {
                Ok(Ok(1)) if first::is_tls(first[0]) => self.secure(socket, client, Vec::new()),
                Ok(Ok(1)) => self.serve(Stream::Tcp(socket), client, Start::default()),
                Ok(_) => {}
                Err(_) => self.door.answerer.borrow().count_timeout(client),
            }
        });
    }

    #[cfg(feature = "tls")]
    fn secure(self, socket: tokio::net::TcpStream, client: Client, early: Vec<u8>) {
        let Some(tls) = self.door.tls.clone() else {
            return;
        };
        let client = Client { over_tls: true, ..client };
        tokio::task::spawn_local(async move {
            if let Some(stream) = tls::shake_hands(&self.door, &tls, socket, early, client).await {
                self.speak(stream, client, Start::default()).await;
            }
        });
    }

    /// There is no listener for it.
    #[cfg(not(feature = "tls"))]
    fn secure(self, _socket: tokio::net::TcpStream, _client: Client, _early: Vec<u8>) {
        if let Some(tls) = &self.door.tls {
            match **tls {}
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let counter = &self.door.counters.http_connections;
        counter.set(counter.get() - 1);
    }
}

/// Takes in connections as they come, and rests when that fails.
async fn accept(mut accept: impl AsyncFnMut() -> io::Result<u32>) {
    let mut trouble = AcceptTrouble::default();
    loop {
        match accept().await {
            Ok(accepted) => {
                trouble.accepted(accepted);
                // Those who are waiting already have their turn.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                if let Some(reaction) = trouble.failed(&error) {
                    if reaction.is_news {
                        tracing::warn!(%error, "cannot accept every HTTP connection at once");
                    }
                    tokio::time::sleep(reaction.pause).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
