//! The HTTP front end: one single-threaded runtime per worker, its listeners and connections.
//!
//! WebSocket connections, when they come, begin here as well: the head of a request tells.

mod answer;
mod connection;

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use skep_engine::counters::{Drop as Dropped, WorkerCounters};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use self::answer::Answerer;
use super::{Shared, Worker};
use crate::pages::Site;
use crate::stats::Stats;

pub use self::answer::Pages;

/// How long connections may go on once the tracker stops.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// How long accepting rests after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Threads per worker for answers that walk all swarms.
const BLOCKING_THREADS_MAX: usize = 2;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Longest request head in bytes.
    pub head_bytes_max: usize,
    /// How long a head may take from its first byte.
    pub head_timeout: Duration,
    /// How long a connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// How long an answer may take to be sent.
    pub write_timeout: Duration,
    /// Connections of the whole process.
    pub connections_max: usize,
}

/// What all HTTP workers share.
#[derive(Clone)]
pub struct HttpShared {
    /// Limits of connections.
    pub limits: HttpLimits,
    /// Connections open in all workers.
    pub connections: Arc<AtomicUsize>,
    /// What pages are made of.
    pub pages: Arc<Pages>,
}

impl HttpShared {
    /// Makes what the workers share.
    #[must_use]
    pub fn new(limits: HttpLimits, site: Site, stats: Stats) -> Self {
        Self { limits, connections: Arc::default(), pages: Arc::new(Pages::new(site, stats)) }
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
    /// If the runtime or a listener cannot be set up.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("skep-http-pages")
            .build()?;
        LocalSet::new().block_on(&runtime, self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let Self { worker, http, listeners } = self;
        let shared = worker.shared.clone();
        let open = Rc::new(Open { counters: worker.counters.clone(), http: http.clone() });
        let answerer = Rc::new(RefCell::new(Answerer::new(worker, http.pages.clone())));
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (open, answerer, shared) = (open.clone(), answerer.clone(), shared.clone());
            tokio::task::spawn_local(accept(listener, open, answerer, shared));
        }
        shared.shutdown.wait().await;
        let drained = async {
            while open.counters.http_connections.get() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
        Ok(())
    }
}

/// Counts the connections of a worker and of the process.
struct Open {
    counters: Arc<WorkerCounters>,
    http: HttpShared,
}

/// One open connection; counted while it lives.
struct Slot(Rc<Open>);

impl Slot {
    /// A place for one more connection, if the process may have one.
    fn take(open: &Rc<Open>) -> Option<Self> {
        let before = open.http.connections.fetch_add(1, Ordering::Relaxed);
        if before >= open.http.limits.connections_max {
            open.http.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let counter = &open.counters.http_connections;
        counter.set(counter.get() + 1);
        Some(Self(open.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.http.connections.fetch_sub(1, Ordering::Relaxed);
        let counter = &self.0.counters.http_connections;
        counter.set(counter.get() - 1);
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    open: Rc<Open>,
    answerer: Rc<RefCell<Answerer>>,
    shared: Shared,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.shutdown.wait() => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &open, &answerer, &shared),
            Err(error) => {
                // A connection that is gone already is nobody's problem. Anything else, such as too
                // many open files, does not pass by asking again at once.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tracing::warn!(%error, "cannot accept HTTP connections for a moment");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    open: &Rc<Open>,
    answerer: &Rc<RefCell<Answerer>>,
    shared: &Shared,
) {
    let Some(slot) = Slot::take(open) else {
        let counters = &open.counters.http[usize::from(peer.is_ipv6())];
        counters.drop(Dropped::TooManyConnections);
        answerer.borrow().turn_away(&stream);
        return;
    };
    // The answer is one write; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    let (limits, answerer, shutdown) =
        (open.http.limits, answerer.clone(), shared.shutdown.clone());
    tokio::task::spawn_local(async move {
        connection::serve(stream, peer, limits, &answerer, &shutdown).await;
        drop(slot);
    });
}
