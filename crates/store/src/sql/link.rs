//! Connections to a database server: made when they are needed, given up when they fail, and never
//! waited for without end.
//!
//! Knows no statement and no table.

use std::time::Duration;

use parking_lot::Mutex;
use sqlx::ConnectOptions as _;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Fault, Server};
use crate::driver::DriverError;

/// Connections at once: whoever applies batches, whoever changes records, whoever loads and looks.
const CONNECTIONS_MAX: usize = 4;
/// How long a connection may take until the server has let the tracker in.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection that has been used before may take to show that it still works.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How long a server is told that it is left, at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A way to a server.
pub(crate) struct Link<S: Server> {
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
    options: S::Options,
    /// Where the server is, for messages.
    place: String,
    idle: Mutex<Vec<S>>,
    places: Semaphore,
}

impl<S: Server> Link<S> {
    /// Makes a way that is not yet gone.
    pub(crate) fn new(url: &str) -> Result<Self, DriverError> {
        let options = S::options(url).map_err(|error| {
            // The text of the cause may repeat a part of the URL, which may be of the password.
            let cause = match error {
                sqlx::Error::Configuration(cause) if cause.is::<std::num::ParseIntError>() => {
                    "a number in it is none"
                }
                _ => "it is not understood",
            };
            DriverError::Settings(format!("the url of {}: {cause}", S::NAME))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DriverError::Unavailable(error.to_string()))?;
        Ok(Self {
            runtime: Some(runtime),
            place: S::place(&options),
            options,
            idle: Mutex::default(),
            places: Semaphore::new(CONNECTIONS_MAX),
        })
    }

    /// Where the server is, without a password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Does some work on a connection that works, within a time.
    ///
    /// A connection on which it fails is closed, by which the server undoes what was begun on it.
    pub(crate) fn run<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut S) -> Result<T, Fault>,
    ) -> Result<T, DriverError> {
        let Some(runtime) = &self.runtime else {
            return Err(DriverError::Unavailable("it was closed".into()));
        };
        runtime.block_on(async {
            let late = |_| self.silent(limit);
            let _place = match timeout(limit, self.places.acquire()).await.map_err(late)? {
                Ok(place) => place,
                Err(closed) => return Err(DriverError::Unavailable(closed.to_string())),
            };
            let mut connection = self.connection().await?;
            let done = timeout(limit, work(&mut connection)).await.map_err(late)?;
            let done = done.map_err(|fault| fault.told::<S>())?;
            self.idle.lock().push(connection);
            Ok(done)
        })
    }

    /// A connection that was used before and still works, or a new one.
    async fn connection(&self) -> Result<S, DriverError> {
        loop {
            let Some(mut connection) = self.idle.lock().pop() else { break };
            if let Ok(Ok(())) = timeout(PROBE_LIMIT, connection.ping()).await {
                return Ok(connection);
            }
            // Its server is gone or was started anew, and with it the others.
            self.idle.lock().clear();
        }
        let connect = async {
            let mut connection = self.options.connect().await?;
            connection.begin_session().await?;
            Ok(connection)
        };
        match timeout(CONNECT_LIMIT, connect).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.not_connected(error)),
            Err(_) => Err(self.silent(CONNECT_LIMIT)),
        }
    }

    fn silent(&self, limit: Duration) -> DriverError {
        let (name, place, secs) = (S::NAME, &self.place, limit.as_secs());
        DriverError::Unavailable(format!("{name} at {place}: no answer in {secs} seconds"))
    }

    /// What it means that a server cannot be talked to: what the operator wrote is wrong, or it is a
    /// matter of time.
    fn not_connected(&self, error: sqlx::Error) -> DriverError {
        let (name, place) = (S::NAME, &self.place);
        let tls = match &error {
            sqlx::Error::Tls(_) => true,
            // What the other side of a handshake sent was not accepted.
            sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            _ => false,
        };
        match S::fault(error) {
            DriverError::Unavailable(text) if tls => {
                DriverError::Settings(format!("{name} at {place}: {text}"))
            }
            DriverError::Unavailable(text) => {
                DriverError::Unavailable(format!("{name} at {place}: {text}"))
            }
            DriverError::Schema(text) | DriverError::Refused(text) => {
                DriverError::Settings(format!("{name} at {place}: {text}"))
            }
            other => other,
        }
    }
}

impl<S: Server> Drop for Link<S> {
    /// Takes leave of the server, which would otherwise note a broken connection.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // Whoever drives tasks must not wait here.
        if Handle::try_current().is_ok() {
            return runtime.shutdown_background();
        }
        let idle = std::mem::take(self.idle.get_mut());
        let leave = async {
            for connection in idle {
                let _closed = connection.close().await;
            }
        };
        let _left = runtime.block_on(async { timeout(CLOSE_LIMIT, leave).await });
    }
}
