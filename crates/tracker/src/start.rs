//! From a configuration to a running tracker, and to its end.
//!
//! Opens no socket and decides nothing itself: it puts the rooms together in the right order.

mod doors;
mod kept;
mod routes;
mod unix;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use skep_engine::Seed;
use skep_engine::counters::WorkerCounters;
use skep_engine::gate::{OwnGates, RateTable};
use skep_engine::session::{ConnectionIds, UdpSession};
use skep_net::udp::UdpSocket;
use skep_store::ListError;

use self::doors::{Doors, listening};
use self::kept::Kept;
use self::unix::{UnixSockets, add_unix};
use crate::accounts::{Accounts, AccountsError, LateThread, StorageError};
use crate::admin::{self, AdminState, Bounds, Tokens};
use crate::bind::BindError;
#[cfg(unix)]
use crate::bind::unix::UnixBindError;
use crate::builder::Extras;
use crate::config::{Config, Loaded, TlsOnHttp};
use crate::frontend::http::{HttpFrontend, HttpLimits, HttpShared, Listening, Post};
use crate::frontend::udp::UdpFrontend;
use crate::frontend::websocket::Exchange;
use crate::frontend::{Shared, Worker};
use crate::pages::Site;
use crate::policy::{self, ListSizes};
use crate::reload::{Affected, Certificate, Reloader};
use crate::runtime::clock::Clock;
use crate::runtime::keeper::{self, Keeping};
use crate::runtime::load::LoadWatch;
use crate::runtime::memory::MemoryBudget;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::workers::{WorkerDied, Workers};
use crate::shards::PeerStore;
use crate::site::{self, ChangeError};
use crate::stats::Stats;
use crate::telemetry::log::LogControl;
use crate::telemetry::{Gauges, Metrics};
use crate::tls::{self, Tls, TlsError};

/// Why the tracker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A socket cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A unix socket cannot be opened.
    #[cfg(unix)]
    #[error(transparent)]
    BindUnix(#[from] UnixBindError),
    /// The storage cannot be opened or read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Accounts cannot be kept.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// What the configuration says of a site cannot be put in force.
    #[error("cannot put clients of the configuration in force: {0}")]
    Change(#[from] ChangeError),
    /// A list file cannot be read.
    #[error("cannot use a torrent list: {0}")]
    List(#[from] ListError),
    /// The certificate or its key cannot be used.
    #[error("cannot speak TLS: {}", tls::told(.0))]
    Tls(Vec<TlsError>),
    /// The system gives no randomness, without which nothing can be kept secret.
    #[error("cannot get random bytes from the system: {0}")]
    Random(#[from] getrandom::Error),
    /// The system has no room for a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A socket that was bound cannot be used.
    #[error("cannot use a socket: {0}")]
    Socket(#[source] io::Error),
}

/// Where a running tracker listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// HTTP addresses.
    pub http: Vec<SocketAddr>,
    /// HTTPS addresses.
    pub https: Vec<SocketAddr>,
    /// Seconds for which the certificate is good, if there is one that tells.
    pub certificate_left_secs: Option<i64>,
    /// Unix sockets for HTTP.
    pub http_unix: Vec<PathBuf>,
    /// Addresses of the operator's listener.
    pub admin: Vec<SocketAddr>,
    /// Addresses of the routes of Chihaya.
    pub chihaya: Vec<SocketAddr>,
    /// Addresses of a family that the host does not have.
    pub left_out: Vec<SocketAddr>,
    /// The smallest receive buffer that a UDP socket got.
    pub receive_buffer_bytes: Option<usize>,
    /// Threads for each transport.
    pub workers: usize,
    /// HTTP connections for which there is room.
    pub http_connections_max: usize,
}

impl Bound {
    /// Runtimes of so many workers, of other listeners, and the one that waits for signals.
    const fn runtimes(&self, workers: usize) -> usize {
        workers + self.admin.len() + self.chihaya.len() + 1
    }
}

/// A tracker that answers.
pub struct Running {
    bound: Bound,
    clock: Clock,
    store: Arc<dyn PeerStore>,
    site: Arc<site::Site>,
    accounts: Option<Arc<Accounts>>,
    reloader: Arc<Reloader>,
    admin: Arc<AdminState>,
    workers: Workers,
    /// Their files are removed at the end.
    _unix_sockets: UnixSockets,
}

/// Starts the tracker; when this returns, every socket answers.
///
/// `log` is the log whose level follows the configuration, if there is one.
///
/// # Errors
/// What keeps it from starting. Nothing is left open then.
pub fn start(loaded: Loaded, log: Option<LogControl>) -> Result<Running, StartError> {
    start_with(loaded, Extras::default(), log)
}

/// Starts the tracker with drivers and gates of one's own, as [`start`] does without.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    loaded: Loaded,
    extras: Extras,
    log: Option<LogControl>,
) -> Result<Running, StartError> {
    let config = loaded.config.clone();
    let clock = Clock::start();
    let seed = Seed::from_key(random_key()?);
    let ids = connection_ids(&config, &clock)?;
    let kept = Kept::open(&config, &extras, &seed, &clock)?;
    let Kept { site: known, store, accounts, books, traces, .. } = &kept;
    let (mut first_policy, sizes) = policy::load(&config, &seed, known)?;
    first_policy.own_gates = extras.gates.clone();
    let certificate = certificate(&config)?;
    let tls = certificate.as_ref().map(|certificate| certificate.tls().clone());
    let doors = Doors::open(&config, tls, &clock)?;
    let bound = doors.bound.clone();
    let tokens: Tokens = Arc::new(ArcSwap::from_pointee(config.admin.tokens.clone()));
    let gauges = gauges(extras.gates, sizes, &clock, accounts.as_deref());
    let shutdown = Shutdown::default();
    let shared = kept.shared(&config, first_policy, &clock, &seed, &shutdown);
    let affected = Affected {
        policy: shared.policy.clone(),
        store: store.clone(),
        site: known.clone(),
        accounts: accounts.clone(),
        seed,
        gauges: gauges.clone(),
        clock: clock.clone(),
        log,
        tokens: tokens.clone(),
    };
    let reloader = Arc::new(Reloader::new(loaded, certificate, affected));
    let counters = counters(2 * doors.worker_count);
    let admin = Arc::new(AdminState {
        metrics: Metrics::new(counters.clone(), store.clone(), clock.clone(), gauges.clone()),
        site: site(&config, &bound),
        books: books.clone(),
        accounts: accounts.clone(),
        store: store.clone(),
        reloader: reloader.clone(),
        traces: traces.clone(),
        tokens,
        clock: clock.clone(),
        bounds: Bounds::default(),
    });
    let load = LoadWatch::new(counters.clone(), shared.policy.clone(), shared.delay.clone());
    let mut parts = Parts {
        config: &config,
        shared,
        ids,
        counters: counters.into_iter(),
        workers: Workers::new(shutdown),
    };
    let unix_sockets = parts.spawn_doors(doors, &admin)?;
    parts.spawn_keepers(&reloader, gauges, load)?;
    parts.spawn_late(kept.late_thread)?;
    parts.spawn_storage(&kept.books, kept.accounts.as_ref(), &reloader)?;
    Ok(Running {
        bound,
        clock,
        store: kept.store,
        site: kept.site,
        accounts: kept.accounts,
        reloader,
        admin,
        workers: parts.workers,
        _unix_sockets: unix_sockets,
    })
}

impl Running {
    /// Where the tracker listens, with the real port where any was asked for.
    #[must_use]
    pub const fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The tracker's time, which a test may move.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The swarms.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn PeerStore> {
        &self.store
    }

    /// What the site tells: torrents, and users where there are any.
    #[must_use]
    pub const fn site(&self) -> &Arc<site::Site> {
        &self.site
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.admin.metrics
    }

    /// Reads configuration and lists again, as on SIGHUP.
    pub fn reload(&self) {
        self.reloader.reload();
    }

    /// Asks for a reload and does not wait for it.
    pub fn request_reload(&self) {
        self.reloader.request();
    }

    /// Looks at the list files now instead of at the next turns: twice, since a file counts as
    /// changed when it stayed the same for one turn.
    pub fn poll_lists(&self) {
        self.reloader.poll();
        self.reloader.poll();
    }

    /// Removes every silent peer now instead of in turns.
    pub fn sweep(&self) {
        self.reloader.settle(self.clock.now());
        for piece in 0..self.store.sweep_pieces() {
            self.store.sweep_piece(piece, self.clock.now());
        }
    }

    /// Waits for a while, or until a worker dies.
    ///
    /// # Errors
    /// If one died: the process should end then.
    pub fn watch(&self, time: Duration) -> Result<(), WorkerDied> {
        self.workers.watch(time)
    }

    /// Stops answering, lets open connections end and waits for every thread; then applies what was
    /// counted, as far as the storage takes it within a few seconds.
    ///
    /// # Errors
    /// If a worker failed.
    pub fn stop(self) -> Result<(), WorkerDied> {
        let stopped = self.workers.stop();
        if let Some(accounts) = &self.accounts {
            accounts.stop();
        }
        stopped
    }
}

/// What the threads are made of.
struct Parts<'a> {
    config: &'a Config,
    shared: Shared,
    ids: ConnectionIds,
    counters: std::vec::IntoIter<Arc<WorkerCounters>>,
    workers: Workers,
}

impl Parts<'_> {
    fn worker(&mut self) -> Worker {
        Worker::new(self.shared.clone(), self.counters.next().unwrap_or_default())
    }

    /// Starts the threads of all doors and returns the sockets whose files are there until the end.
    fn spawn_doors(
        &mut self,
        doors: Doors,
        admin: &Arc<AdminState>,
    ) -> Result<UnixSockets, StartError> {
        let Doors { sockets, unix_sockets, tls, limits, .. } = doors;
        self.spawn_udp(sockets.udp, sockets.udp_direct)?;
        let mut listeners = listening(self.config, sockets.http, sockets.https);
        add_unix(&mut listeners, &unix_sockets).map_err(StartError::Socket)?;
        self.spawn_http(listeners, limits, &admin.site, tls)?;
        self.spawn_admin(sockets.admin, admin)?;
        self.spawn_chihaya(sockets.chihaya, admin, &admin.books)?;
        Ok(unix_sockets)
    }

    fn spawn_udp(
        &mut self,
        sockets: Vec<Vec<UdpSocket>>,
        direct: Vec<Vec<UdpSocket>>,
    ) -> Result<(), StartError> {
        let connects_max = self.config.access.connects_per_minute_max;
        let batch = self.config.listen.udp_batch as usize;
        for (number, (mut sockets, direct)) in sockets.into_iter().zip(direct).enumerate() {
            let worker = self.worker();
            if sockets.is_empty() {
                continue;
            }
            sockets.extend(direct);
            // An IPv4 customer has an address of a /24 at most, an IPv6 customer a /48 at most.
            let connects = RateTable::new(self.shared.seed.clone(), connects_max, 24, 48);
            let session = UdpSession::new(self.ids.clone(), connects);
            let frontend = UdpFrontend::new(worker, session, sockets, batch);
            self.spawn(format!("skep-udp-{number}"), move || frontend.run())?;
        }
        Ok(())
    }

    fn spawn_http(
        &mut self,
        listeners: Vec<Vec<Listening>>,
        limits: HttpLimits,
        site: &Site,
        tls: Option<Arc<Tls>>,
    ) -> Result<(), StartError> {
        let Shared { store, seed, clock, .. } = self.shared.clone();
        let stats = Stats::new(store, seed, clock);
        let http = HttpShared::new(limits, site.clone(), stats, tls);
        let (exchange, mailboxes) = Exchange::new(listeners.len());
        for (number, (listeners, mailbox)) in listeners.into_iter().zip(mailboxes).enumerate() {
            let worker = self.worker();
            if listeners.is_empty() {
                continue;
            }
            let post = Post { worker: number, exchange: exchange.clone(), mailbox };
            let frontend = HttpFrontend::new(worker, http.clone(), listeners, post);
            self.spawn(format!("skep-http-{number}"), move || frontend.run())?;
        }
        Ok(())
    }

    fn spawn_admin(
        &mut self,
        listeners: Vec<TcpListener>,
        state: &Arc<AdminState>,
    ) -> Result<(), StartError> {
        for (number, listener) in listeners.into_iter().enumerate() {
            let (state, shutdown) = (state.clone(), self.shared.shutdown.clone());
            self.spawn(format!("skep-admin-{number}"), move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(admin::serve(listener, state, async move {
                    shutdown.wait().await;
                }))
            })?;
        }
        Ok(())
    }

    fn spawn_keepers(
        &mut self,
        reloader: &Arc<Reloader>,
        gauges: Arc<Gauges>,
        load: LoadWatch,
    ) -> Result<(), StartError> {
        let keeping = Keeping {
            store: self.shared.store.clone(),
            budget: MemoryBudget::new(self.config.swarm.memory_max_bytes),
            load,
            reloader: reloader.clone(),
            gauges,
            clock: self.shared.clock.clone(),
            shutdown: self.shared.shutdown.clone(),
        };
        self.spawn("skep-keeper".to_owned(), move || {
            keeper::keep_swarms(keeping);
            Ok(())
        })?;
        let (shutdown, of_lists) = (self.shared.shutdown.clone(), reloader.clone());
        self.spawn("skep-reload".to_owned(), move || {
            keeper::keep_lists(&of_lists, &shutdown);
            Ok(())
        })
    }

    fn spawn_late(&mut self, thread: Option<LateThread>) -> Result<(), StartError> {
        let Some(thread) = thread else { return Ok(()) };
        let shutdown = self.shared.shutdown.clone();
        self.spawn("skep-late".to_owned(), move || {
            thread.run(&shutdown);
            Ok(())
        })
    }

    fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<(), StartError> {
        tracing::debug!(name, "starting a thread");
        self.workers.spawn(name, run).map_err(StartError::Thread)
    }
}

fn counters(workers: usize) -> Vec<Arc<WorkerCounters>> {
    (0..workers).map(|_| Arc::default()).collect()
}

fn gauges(
    own_gates: OwnGates,
    sizes: ListSizes,
    clock: &Clock,
    accounts: Option<&Accounts>,
) -> Arc<Gauges> {
    let gauges = Gauges::default();
    gauges.set_own_gates(own_gates);
    gauges.set_lists(sizes.listed, sizes.denied, sizes.bad_lines);
    gauges.set_reload(true, clock.unix_secs_at_start());
    if let Some(accounts) = accounts {
        gauges.set_accounts(accounts.status().clone());
    }
    Arc::new(gauges)
}

/// The certificate, if any listener needs one.
fn certificate(config: &Config) -> Result<Option<Certificate>, StartError> {
    let certificate = config.speaks_tls().then(|| Certificate::load(config.tls.clone()));
    certificate.transpose().map_err(StartError::Tls)
}

fn site(config: &Config, bound: &Bound) -> Site {
    let port = |addresses: &[SocketAddr]| addresses.first().map(SocketAddr::port);
    Site {
        version: env!("CARGO_PKG_VERSION"),
        mode: config.mode,
        udp_port: port(&bound.udp),
        http_port: port(&bound.http),
        websocket: config.websocket.enabled,
        https_port: match config.listen.tls {
            TlsOnHttp::Detect => port(&bound.http).or_else(|| port(&bound.https)),
            TlsOnHttp::Off => port(&bound.https),
        },
    }
}

fn connection_ids(config: &Config, clock: &Clock) -> Result<ConnectionIds, StartError> {
    let key = match config.listen.secret.expose() {
        Some(secret) => key_of(secret),
        None => random_key()?,
    };
    let slot_secs = config.listen.connection_id_secs;
    Ok(ConnectionIds::new(key, slot_secs, clock.unix_secs_at_start()))
}

/// Folds a secret text of any length into a key; several trackers with one text get one key.
fn key_of(secret: &str) -> [u8; 16] {
    use siphasher::sip128::{Hasher128, SipHasher24};
    use std::hash::Hasher;
    let mut hasher = SipHasher24::new_with_key(b"skep connections");
    hasher.write(secret.as_bytes());
    hasher.finish128().as_bytes()
}

fn random_key() -> Result<[u8; 16], StartError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    Ok(key)
}
