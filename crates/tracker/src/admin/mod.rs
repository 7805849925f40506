//! The operator's listener: metrics, health, an index for people.
//!
//! Runs beside the workers and never on them. What it shows is made in `telemetry` and `pages`.

mod problem;
mod progress;
mod routes;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::progress::Progressing;
use crate::frontend::http::AcceptTrouble;
use crate::pages::Site;
use crate::telemetry::Metrics;

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

/// What the routes show.
#[derive(Debug)]
pub struct AdminState {
    /// Everything that is counted.
    pub metrics: Metrics,
    /// What pages tell about this tracker.
    pub site: Site,
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
                Ok((stream, _)) => {
                    trouble.accepted(1);
                    let (router, stopped) = (router.clone(), stopped.clone());
                    tokio::spawn(async move {
                        serve_connection(stream, router, stopped).await;
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

async fn serve_connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Progressing::new(stream, WRITE_TIMEOUT)),
            TowerToHyperService::new(router),
        );
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

type Connection = http1::Connection<TokioIo<Progressing<TcpStream>>, TowerToHyperService<Router>>;

async fn end_gently(mut connection: std::pin::Pin<&mut Connection>) -> hyper::Result<()> {
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
