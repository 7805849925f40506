//! The HTTP front end: one single-threaded runtime per worker, its listeners and connections.
//!
//! WebSocket connections, when they come, begin here as well: the head of a request tells.

mod answer;
mod client;
mod connection;
mod deferred;
mod first;
mod listener;
mod places;
mod proxied;
mod stream;
mod trouble;

use std::cell::RefCell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use skep_engine::counters::{DropReason, WorkerCounters};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use self::answer::Answerer;
use self::client::Client;
use self::listener::Listener;
use self::places::{Place, Places};
use self::stream::Stream;
use super::{Shared, Worker};
use crate::pages::Site;
use crate::stats::Stats;

pub use self::deferred::Pages;
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
}

impl HttpShared {
    /// Makes what the workers share.
    #[must_use]
    pub fn new(limits: HttpLimits, site: Site, stats: Stats) -> Self {
        let places = Places::new(limits.connections_max, limits.connections_per_address_max);
        Self { limits, places: Arc::new(places), pages: Arc::new(Pages::new(site, stats)) }
    }
}

/// The HTTP listeners of one worker.
pub struct HttpFrontend {
    worker: Worker,
    http: HttpShared,
    listeners: Vec<TcpListener>,
}

impl HttpFrontend {
    /// Takes over bound, non-blocking listeners.
    #[must_use]
    pub const fn new(worker: Worker, http: HttpShared, listeners: Vec<TcpListener>) -> Self {
        Self { worker, http, listeners }
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
        let Self { worker, http, listeners } = self;
        let (stop, stopped) = watch::channel(false);
        let shared = worker.shared.clone();
        let door = Rc::new(Door {
            limits: http.limits,
            shared: shared.clone(),
            counters: worker.counters.clone(),
            places: http.places,
            answerer: RefCell::new(Answerer::new(worker, http.pages)),
            room: RefCell::default(),
            stopped,
        });
        let mut accepting = JoinSet::new();
        for listener in listeners {
            let listener = Listener::new(listener)?;
            accepting.spawn_local(accept(listener, door.clone()));
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
struct Door {
    limits: HttpLimits,
    shared: Shared,
    counters: Arc<WorkerCounters>,
    places: Arc<Places>,
    answerer: RefCell<Answerer>,
    room: RefCell<first::Room>,
    /// The worker's own, so that waiting for the end touches nothing that other threads touch.
    stopped: watch::Receiver<bool>,
}

impl Door {
    /// Waits until the tracker stops.
    async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // The sender outlives the connections.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Takes in a connection that does not block.
    fn admit(self: &Rc<Self>, stream: TcpStream, client: Client) {
        if self.shared.policy.load().proxies.speaks_protocol(client.ip()) {
            self.admit_proxy(stream, client);
        } else {
            self.admit_client(stream, client);
        }
    }

    /// Finds out for whom a proxy connects, and takes in that client.
    fn admit_proxy(self: &Rc<Self>, stream: TcpStream, proxy: Client) {
        let place = match self.places.take(proxy.ip(), || true) {
            Ok(place) => place,
            Err(reason) => return self.answerer.borrow().turn_away(&stream, proxy, reason),
        };
        let open = Open::new(self.clone(), place);
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
                door.admit_client(stream, client);
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
            Ok(Ok(None)) => return Some(Client { is_proxy: true, ..proxy }),
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
    fn admit_client(self: &Rc<Self>, stream: TcpStream, client: Client) {
        let is_proxy = || {
            let policy = self.shared.policy.load();
            client.is_proxy || policy.proxies.trusted.contains(client.ip().to_canonical())
        };
        let place = match self.places.take(client.ip(), is_proxy) {
            Ok(place) => place,
            Err(reason) => return self.answerer.borrow().turn_away(&stream, client, reason),
        };
        let open = Open::new(self.clone(), place);
        let Some(start) = first::look(self, &stream, client) else {
            return;
        };
        // Without room for one more socket in the event loop, the connection is lost.
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            return;
        };
        let stream = Stream::Tcp(stream);
        tokio::task::spawn_local(async move {
            connection::serve(stream, client, &open.door, start).await;
        });
    }
}

/// One open connection; counted while it lives.
struct Open {
    door: Rc<Door>,
    _place: Place,
}

impl Open {
    fn new(door: Rc<Door>, place: Place) -> Self {
        let counter = &door.counters.http_connections;
        counter.set(counter.get() + 1);
        Self { door, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let counter = &self.door.counters.http_connections;
        counter.set(counter.get() - 1);
    }
}

async fn accept(listener: Listener, door: Rc<Door>) {
    let mut trouble = AcceptTrouble::default();
    loop {
        match listener.accept(|stream, address| door.admit(stream, address.into())).await {
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
