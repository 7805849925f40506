//! The operator's listener: metrics, health, an index for people, and the API.
//!
//! Runs beside the workers and never on them. What it shows is made in `telemetry` and `pages`.

mod api;
mod problem;
mod progress;
mod routes;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

pub use self::api::{Bounds, Tokens, description, fresh_token};
use self::progress::Progressing;
use crate::accounts::Accounts;
use crate::frontend::http::AcceptTrouble;
use crate::pages::Site;
use crate::reload::Reloader;
use crate::runtime::clock::Clock;
use crate::shards::PeerStore;
use crate::site::Books;
use crate::telemetry::Metrics;
use crate::trace::Traces;

/// Connections served at once; further ones wait in the queue of the system.
const CONNECTIONS_MAX: u32 = 64;
/// Time for a request head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long a connection is asked to end, so that none holds its place for ever.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// How long an answer may still be under way when its connection is asked to end.
const GRACE: Duration = Duration::from_secs(2);
/// How long a client may take nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What the routes show and change.
pub struct AdminState {
    /// Everything that is counted.
    pub metrics: Metrics,
    /// What pages tell about this tracker.
    pub site: Site,
    /// The site's records.
    pub books: Arc<Books>,
    /// The accounts, where they are kept.
    pub accounts: Option<Arc<Accounts>>,
    /// The swarms.
    pub store: Arc<dyn PeerStore>,
    /// Reads configuration and lists again.
    pub reloader: Arc<Reloader>,
    /// Who is followed.
    pub traces: Arc<Traces>,
    /// The tokens in force.
    pub tokens: Tokens,
    /// The time.
    pub clock: Clock,
    /// What is kept of requests.
    pub bounds: Bounds,
}

/// Serves operators on one listener until `shutdown` is done, then lets answers under way end.
///
/// # Errors
/// The cause given by the system if the listener cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    state: Arc<AdminState>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve_router("admin", listener, routes::router(state), shutdown).await
}

/// Serves other routes in the same way; `what` names the listener in the log.
///
/// # Errors
/// The cause given by the system if the listener cannot be used.
pub async fn serve_router(
    what: &'static str,
    listener: std::net::TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let (stop, stopped) = watch::channel(());
    let accept = async {
        let mut trouble = AcceptTrouble::default();
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    trouble.accepted(1);
                    let router = TowerToHyperService::new(router.clone());
                    let (service, stopped) = (OfPeer { router, peer }, stopped.clone());
                    tokio::spawn(async move {
                        serve_connection(stream, service, stopped).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    if let Some(reaction) = trouble.failed(&error) {
                        if reaction.is_news {
                            warn!(%error, "cannot accept every connection on the {what} listener");
                        }
                        sleep(reaction.pause).await;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = accept => {}
    }
    drop(listener);
    drop(stop);
    // All places are free when all connections have ended.
    let _ = timeout(GRACE * 2, places.acquire_many(CONNECTIONS_MAX)).await;
    Ok(())
}

async fn serve_connection(stream: TcpStream, service: OfPeer, mut stopped: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Progressing::new(stream, WRITE_TIMEOUT)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The sender says nothing; it goes away when the listener stops.
        _ = stopped.changed() => end_gently(connection).await,
        () = sleep(CONNECTION_LIFE) => end_gently(connection).await,
    };
    if let Err(error) = ended {
        debug!(%error, "a connection on the admin listener failed");
    }
}

type Connection = http1::Connection<TokioIo<Progressing<TcpStream>>, OfPeer>;

/// The routes for one connection: requests carry the address that they come from.
struct OfPeer {
    router: TowerToHyperService<Router>,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for OfPeer {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        self.router.call(request)
    }
}

async fn end_gently(mut connection: std::pin::Pin<&mut Connection>) -> hyper::Result<()> {
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
