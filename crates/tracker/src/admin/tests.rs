//! The admin listener through real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::thread;

use arc_swap::ArcSwap;
use skep_engine::Seed;
use skep_engine::counters::WorkerCounters;
use skep_engine::swarm::SwarmSettings;
use skep_store::driver::testing::{Failing, Memory};
use skep_store::driver::{Conn, DriverError};
use tokio::sync::oneshot;

use super::*;
use crate::config::{Config, Mode, Sources};
use crate::policy;
use crate::reload::Affected;
use crate::shards::MemoryStore;
use crate::site::{ChangeError, Site as Members};

/// How long a test waits before it calls a missing answer a failure.
const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<io::Result<usize>>>,
}

impl Running {
    fn start() -> Self {
        Self::start_with(Mode::Public, None)
    }

    fn start_with(mode: Mode, conn: Option<Arc<dyn Conn>>) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let store: Arc<dyn PeerStore> =
            Arc::new(MemoryStore::new(&SwarmSettings::default(), Seed::new(1)));
        let workers = vec![Arc::new(WorkerCounters::default())];
        let metrics = Metrics::new(workers, store.clone(), Clock::start(), Arc::default());
        let site = Site {
            version: "1.2.3",
            mode,
            udp_port: Some(1337),
            http_port: Some(1337),
            websocket: true,
            https_port: None,
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let shutdown = async {
                let _ = stopped.await;
            };
            let state = Arc::new(state(metrics, site, store, conn));
            runtime.block_on(serve(listener, state, shutdown))?;
            Ok(runtime.metrics().num_alive_tasks())
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> StdStream {
        let stream = StdStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn ask(&self, head: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{head}\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Stops the listener and sees that no connection outlives it.
    fn stop(mut self) {
        drop(self.stop.take());
        let connections = self.thread.take().unwrap().join().unwrap();
        assert_eq!(connections.unwrap(), 0);
    }
}

fn state(
    metrics: Metrics,
    site: Site,
    store: Arc<dyn PeerStore>,
    conn: Option<Arc<dyn Conn>>,
) -> AdminState {
    let (seed, tokens) = (Seed::new(1), Tokens::default());
    let clock = Clock::start();
    let members = Arc::new(Members::new(&seed, &clock));
    let loaded = Config::load(&Sources::default()).unwrap();
    let affected = Affected {
        accounts: None,
        policy: Arc::new(ArcSwap::from_pointee(
            policy::load(&loaded.config, &seed, &members).unwrap().0,
        )),
        store: store.clone(),
        site: members.clone(),
        seed,
        gauges: Arc::default(),
        clock: clock.clone(),
        log: None,
        tokens: tokens.clone(),
    };
    AdminState {
        metrics,
        site,
        books: Arc::new(Books::new(members, conn, store.clone(), clock.clone())),
        accounts: None,
        store,
        reloader: Arc::new(Reloader::new(loaded, None, affected)),
        traces: Arc::default(),
        tokens,
        clock,
        bounds: Bounds::default(),
    }
}

#[test]
fn every_route_answers_with_its_type() {
    let running = Running::start();
    let cases = [
        ("/", "text/html; charset=utf-8", "Version 1.2.3, mode public"),
        ("/health", "text/plain; charset=utf-8", "\r\n\r\nok"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "\n# EOF\n"),
    ];
    for (path, content_type, part) in cases {
        let answer = running.ask(&format!("GET {path} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains(&format!("content-type: {content_type}\r\n")), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
        assert!(answer.contains(part), "{answer}");
    }
    let json = running.ask("GET /health HTTP/1.1\r\nAccept: application/json");
    assert!(json.ends_with("\r\n\r\n{\"status\":\"ok\"}"), "{json}");
    running.stop();
}

#[test]
fn what_is_not_there_is_a_problem_that_repeats_nothing() {
    let running = Running::start();
    for (head, status) in
        [("GET /%3Cscript%3Ez9 HTTP/1.1", 404), ("POST /metrics?z9 HTTP/1.1", 405)]
    {
        let answer = running.ask(head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], status);
        assert!(!answer.contains("z9"), "{answer}");
    }
    running.stop();
}

#[test]
fn half_a_head_neither_holds_up_others_nor_the_end() {
    let running = Running::start();
    let mut half = running.connect();
    half.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    assert!(running.ask("GET /health HTTP/1.1").ends_with("ok"));
    running.stop();
    let mut rest = Vec::new();
    // Closed or reset; either way nobody answers any more.
    let _ = half.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn kept_connection_serves_several_requests() {
    let running = Running::start();
    let mut stream = running.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    running.stop();
}

#[test]
fn change_of_a_table_of_the_site_is_a_conflict_that_names_it() {
    let detail = "the table members is the site's own and is changed there";
    let error = ChangeError::from(DriverError::NotOurs(detail.into()));
    let problem = problem::Problem::from(error);
    assert_eq!((problem.status.as_u16(), &*problem.detail), (409, detail));
}

#[test]
fn change_that_the_storage_does_not_take_is_not_made() {
    let memory = Memory::new();
    let running = Running::start_with(Mode::Registered, Some(Arc::new(memory.clone())));
    let send = |method: &str, more: &str| {
        let mut stream = running.connect();
        let head = format!("{method} /api/v1/groups/1 HTTP/1.1\r\nHost: 127.0.0.1");
        write!(stream, "{head}\r\nConnection: close\r\n{more}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let json = "Content-Type: application/json\r\nContent-Length: 2";
    let put = || send("PUT", &format!("{json}\r\nIdempotency-Key: k\r\n\r\n{{}}"));
    memory.set_failing(Failing::Away);
    let answer = put();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    assert!(send("GET", "\r\n").starts_with("HTTP/1.1 404 "));
    memory.set_failing(Failing::Never);
    // The same key: a request that failed for no fault of its own may come again.
    let answer = put();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let mut kept = Vec::new();
    memory.load(&mut |change| kept.push(change)).unwrap();
    assert_eq!(kept.len(), 1);
    running.stop();
}
