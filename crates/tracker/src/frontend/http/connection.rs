//! One HTTP connection: heads in, answers out, in order, each within its time.
//!
//! What an answer says is made in `answer`.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use skep_proto::http::{HeadError, HeadStatus, ResponseHead, Status, parse_head, respond};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HttpLimits;
use super::answer::{Answerer, Next};
use crate::runtime::shutdown::Shutdown;

/// What a connection's buffers begin with: most heads are below 512 bytes.
const BUFFER_BYTES: usize = 1024;

/// Buffers above this are not kept for the next request.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// Bytes that are thrown away after an answer that ends the connection, so that closing does not
/// destroy the answer on its way.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long that may take.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

struct Connection<'a> {
    stream: TcpStream,
    peer: SocketAddr,
    limits: HttpLimits,
    answerer: &'a RefCell<Answerer>,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// What became of a connection after one request.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// The next request may come.
    Open,
    /// The answer was the last one, and everything sent was read.
    Finished,
    /// The answer was the last one, and the client may still be sending.
    Abandoned,
}

/// Serves a connection until it ends, by either side or by a time-out.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    limits: HttpLimits,
    answerer: &RefCell<Answerer>,
    shutdown: &Shutdown,
) {
    let mut connection = Connection {
        stream,
        peer,
        limits,
        answerer,
        input: Vec::with_capacity(BUFFER_BYTES),
        output: Vec::new(),
    };
    // Errors of a connection are the network's business; they are counted where they matter.
    let _ = connection.run(shutdown).await;
}

impl Connection<'_> {
    async fn run(&mut self, shutdown: &Shutdown) -> io::Result<()> {
        loop {
            let ready = tokio::select! {
                biased;
                ready = self.first_byte() => ready?,
                () = shutdown.wait() => return Ok(()),
            };
            if !ready {
                return Ok(());
            }
            match self.request().await? {
                Outcome::Open if !shutdown.requested() => {}
                Outcome::Open | Outcome::Finished => return self.stream.shutdown().await,
                Outcome::Abandoned => return self.linger().await,
            }
        }
    }

    /// Waits for the beginning of a request; `false` if none comes.
    async fn first_byte(&mut self) -> io::Result<bool> {
        if !self.input.is_empty() {
            return Ok(true);
        }
        // A new connection has no excuse to be silent; between two requests it has.
        match timeout(self.limits.idle_timeout, self.stream.read_buf(&mut self.input)).await {
            Ok(read) => Ok(read? > 0),
            Err(_) => Ok(false),
        }
    }

    /// Reads one head, answers it and takes it out of the input.
    async fn request(&mut self) -> io::Result<Outcome> {
        let head_timeout = self.limits.head_timeout;
        let Ok(read) = timeout(head_timeout, self.read_head()).await else {
            self.answerer.borrow().count_timeout(self.peer);
            return self.refuse(Status::RequestTimeout).await;
        };
        match read? {
            Read::Head => {}
            Read::Closed => return Ok(Outcome::Finished),
            Read::Invalid(error) => return self.refuse(status(error)).await,
        }
        let HeadStatus::Complete(head) = parse_head(&self.input, self.limits.head_bytes_max) else {
            return Ok(Outcome::Finished);
        };
        let next = self.answerer.borrow_mut().answer(&head, self.peer, &mut self.output);
        let (head_bytes, has_body, open) = (head.len, head.has_body, next.stays_open());
        if let Next::Deferred { page, .. } = next {
            page.write(&mut self.output).await;
        }
        self.input.drain(..head_bytes);
        self.write_output().await?;
        Ok(match (open, has_body) {
            (true, _) => Outcome::Open,
            (false, false) => Outcome::Finished,
            (false, true) => Outcome::Abandoned,
        })
    }

    /// Reads until the input begins with a whole head.
    async fn read_head(&mut self) -> io::Result<Read> {
        loop {
            match parse_head(&self.input, self.limits.head_bytes_max) {
                HeadStatus::Complete(_) => return Ok(Read::Head),
                HeadStatus::Invalid(error) => return Ok(Read::Invalid(error)),
                HeadStatus::Partial => {}
            }
            // A head grows by whole lines: reading it anew for every byte that trickles in would let
            // a slow client cost more than a fast one.
            let mut known = self.input.len();
            loop {
                self.input.reserve(BUFFER_BYTES);
                if self.stream.read_buf(&mut self.input).await? == 0 {
                    return Ok(Read::Closed);
                }
                let full = self.input.len() >= self.limits.head_bytes_max;
                if full || self.input[known..].contains(&b'\n') {
                    break;
                }
                known = self.input.len();
            }
        }
    }

    async fn refuse(&mut self, status: Status) -> io::Result<Outcome> {
        self.output.clear();
        respond(&mut self.output, &ResponseHead::closing(status), 0, |_| {});
        self.write_output().await?;
        Ok(Outcome::Abandoned)
    }

    async fn write_output(&mut self) -> io::Result<()> {
        let write = self.stream.write_all(&self.output);
        let Ok(written) = timeout(self.limits.write_timeout, write).await else {
            self.answerer.borrow().count_timeout(self.peer);
            return Err(io::ErrorKind::TimedOut.into());
        };
        self.answerer.borrow().count_sent(self.peer, self.output.len());
        self.output.clear();
        if self.output.capacity() > KEPT_BYTES_MAX {
            self.output = Vec::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES_MAX {
            self.input = Vec::with_capacity(BUFFER_BYTES);
        }
        written
    }

    /// Ends the connection without resetting it under an answer that is still on its way.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async {
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                self.input.clear();
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        };
        let _ = timeout(LINGER_TIMEOUT, drain).await;
        Ok(())
    }
}

/// How reading a head ended.
enum Read {
    Head,
    Closed,
    Invalid(HeadError),
}

const fn status(error: HeadError) -> Status {
    match error {
        HeadError::TargetTooLong => Status::TargetTooLong,
        HeadError::HeadersTooLarge => Status::HeadersTooLarge,
        _ => Status::BadRequest,
    }
}
