//! One HTTP connection: heads in, answers out, in order, each within its time.
//!
//! What an answer says is made in `answer`.

use std::future::Future;
#[cfg(unix)]
use std::io::Write;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use skep_proto::http::{HeadError, HeadStatus, Status, parse_head};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Door;
use super::answer::Next;
use super::first::Start;

/// What a connection's buffers begin with: most heads are below 512 bytes.
const BUFFER_BYTES: usize = 1024;

/// Buffers above this are not kept for the next request.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// Bytes that are written before other connections have their turn.
const TURN_BYTES_MAX: usize = 256 * 1024;

/// A client that takes an answer more slowly than this on the whole is not waited for.
const READER_BYTES_PER_SEC_MIN: usize = 64 * 1024;

/// Bytes that are thrown away after an answer that ends the connection, so that closing does not
/// destroy the answer on its way.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How long that may take.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

struct Connection<'a> {
    stream: TcpStream,
    peer: SocketAddr,
    door: &'a Door,
    /// Whether a request was answered already.
    is_known: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of the output and of the body behind it that are sent.
    sent: usize,
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

/// What the input begins with.
enum Step {
    /// A head, which was taken out and answered.
    Answered { next: Next, has_body: bool },
    /// Something else.
    Invalid(HeadError),
    /// Nothing any more: the client has ended the connection.
    Closed,
}

/// How far an answer was sent.
enum Sent {
    All,
    Some,
    /// The system takes no more for now.
    Blocked,
}

/// Serves a connection until it ends, by either side or by a time-out.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, door: &Door, start: Start) {
    let Start { input, output, next } = start;
    let mut connection = Connection { stream, peer, door, is_known: false, input, output, sent: 0 };
    // Registered once for all the waiting of this connection.
    let stopped = pin!(door.stopped());
    // Errors of a connection are the network's business; they are counted where they matter.
    let _ = connection.run(next, stopped).await;
}

impl Connection<'_> {
    async fn run(
        &mut self,
        mut first: Option<Next>,
        mut stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> io::Result<()> {
        loop {
            let outcome = match first.take() {
                Some(next) => self.finish(next, false).await?,
                None => {
                    let ready = tokio::select! {
                        biased;
                        ready = self.first_byte() => ready?,
                        () = stopped.as_mut() => return Ok(()),
                    };
                    if !ready {
                        return Ok(());
                    }
                    self.request().await?
                }
            };
            match outcome {
                Outcome::Open if !self.door.shared.shutdown.requested() => {}
                Outcome::Open | Outcome::Finished => return self.stream.shutdown().await,
                Outcome::Abandoned => return self.linger().await,
            }
            // Whoever sent more requests than one waits for those who sent one.
            if !self.input.is_empty() {
                yield_now().await;
            }
        }
    }

    /// Waits for the beginning of a request; `false` if none comes.
    async fn first_byte(&mut self) -> io::Result<bool> {
        if !self.input.is_empty() {
            return Ok(true);
        }
        self.input.reserve(BUFFER_BYTES);
        // A new connection has no excuse to be silent; between two requests it has.
        let limits = &self.door.limits;
        let patience = if self.is_known { limits.idle_timeout } else { limits.head_timeout };
        if let Ok(read) = timeout(patience, self.stream.read_buf(&mut self.input)).await {
            return Ok(read? > 0);
        }
        if !self.is_known {
            self.door.answerer.borrow().count_timeout(self.peer);
        }
        Ok(false)
    }

    /// Reads one head and answers it.
    async fn request(&mut self) -> io::Result<Outcome> {
        let step = match self.step() {
            Some(step) => step,
            None => match timeout(self.door.limits.head_timeout, self.read_step()).await {
                Ok(step) => step?,
                Err(_) => {
                    self.door.answerer.borrow().count_timeout(self.peer);
                    return self.refuse(Status::RequestTimeout).await;
                }
            },
        };
        let (next, has_body) = match step {
            Step::Answered { next, has_body } => (next, has_body),
            Step::Invalid(error) => return self.refuse(status(error)).await,
            Step::Closed => return Ok(Outcome::Finished),
        };
        self.finish(next, has_body).await
    }

    /// Sends the answer to a request that was looked at.
    async fn finish(&mut self, next: Next, has_body: bool) -> io::Result<Outcome> {
        self.is_known = true;
        let open = next.stays_open();
        match next {
            Next::Written(_) => self.send(&[]).await?,
            Next::Deferred { page, .. } => {
                let made = page.make().await;
                let answerer = &self.door.answerer;
                let body = answerer.borrow().deliver(&made, self.peer, &mut self.output);
                self.send(body.as_deref().unwrap_or_default()).await?;
            }
        }
        Ok(match (open, has_body) {
            (true, _) => Outcome::Open,
            (false, false) => Outcome::Finished,
            (false, true) => Outcome::Abandoned,
        })
    }

    /// Answers the head at the beginning of the input, if it is whole.
    fn step(&mut self) -> Option<Step> {
        match parse_head(&self.input, self.door.limits.head_bytes_max) {
            HeadStatus::Complete(head) => {
                let mut answerer = self.door.answerer.borrow_mut();
                let next = answerer.answer(&head, self.peer, &mut self.output);
                let (len, has_body) = (head.len, head.has_body);
                self.input.drain(..len);
                Some(Step::Answered { next, has_body })
            }
            HeadStatus::Invalid(error) => Some(Step::Invalid(error)),
            HeadStatus::Partial => None,
        }
    }

    /// Reads until the input begins with a whole head, and answers it.
    async fn read_step(&mut self) -> io::Result<Step> {
        loop {
            // A head grows by whole lines: reading it anew for every byte that trickles in would let
            // a slow client cost more than a fast one.
            let mut known = self.input.len();
            loop {
                self.input.reserve(BUFFER_BYTES);
                if self.stream.read_buf(&mut self.input).await? == 0 {
                    return Ok(Step::Closed);
                }
                let full = self.input.len() >= self.door.limits.head_bytes_max;
                if full || self.input[known..].contains(&b'\n') {
                    break;
                }
                known = self.input.len();
            }
            if let Some(step) = self.step() {
                return Ok(step);
            }
        }
    }

    async fn refuse(&mut self, status: Status) -> io::Result<Outcome> {
        self.output.clear();
        self.door.answerer.borrow().refuse(status, self.peer, &mut self.output);
        self.send(&[]).await?;
        Ok(Outcome::Abandoned)
    }

    /// Sends the output and a body that others may be sent as well.
    async fn send(&mut self, body: &[u8]) -> io::Result<()> {
        self.sent = 0;
        let result = match self.send_some(body) {
            Ok(Sent::All) => Ok(()),
            Ok(Sent::Some | Sent::Blocked) => {
                let bytes = self.output.len() + body.len();
                let secs = bytes.div_ceil(READER_BYTES_PER_SEC_MIN) as u64;
                let patience = self.door.limits.write_timeout + Duration::from_secs(secs);
                let rest = timeout(patience, self.send_rest(body)).await;
                rest.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            }
            Err(error) => Err(error),
        };
        let answerer = self.door.answerer.borrow();
        answerer.count_sent(self.peer, self.sent);
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::TimedOut) {
            answerer.count_timeout(self.peer);
        }
        self.output.clear();
        if self.output.capacity() > KEPT_BYTES_MAX {
            self.output = Vec::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES_MAX {
            self.input = Vec::with_capacity(BUFFER_BYTES);
        }
        result
    }

    /// Sends the rest, as long as the client takes something of it now and then.
    async fn send_rest(&mut self, body: &[u8]) -> io::Result<()> {
        loop {
            match self.send_some(body)? {
                Sent::All => return Ok(()),
                Sent::Some => yield_now().await,
                Sent::Blocked => {
                    let writable = self.stream.writable();
                    match timeout(self.door.limits.write_timeout, writable).await {
                        Ok(writable) => writable?,
                        Err(_) => self.send_into_a_little_room(body)?,
                    }
                }
            }
        }
    }

    /// Gives the system as much as it takes at once.
    fn send_some(&mut self, body: &[u8]) -> io::Result<Sent> {
        let bytes = self.output.len() + body.len();
        if self.sent == bytes {
            return Ok(Sent::All);
        }
        let sent = match self.unsent(body) {
            (head, []) => self.stream.try_write(head),
            (head, body) => {
                self.stream.try_write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
            }
        };
        match sent {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(sent) => {
                self.sent += sent;
                Ok(if self.sent == bytes { Sent::All } else { Sent::Some })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Sent::Blocked),
            Err(error) => Err(error),
        }
    }

    /// What is to be sent next of the output and of the body.
    fn unsent<'b>(&'b self, body: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let head = &self.output[self.sent.min(self.output.len())..];
        let body = &body[self.sent.saturating_sub(self.output.len())..];
        (head, &body[..body.len().min(TURN_BYTES_MAX)])
    }

    /// Sends something to a client that takes its answer slowly. One that took nothing is too slow.
    ///
    /// The system does not call a socket writable before a third of its buffer is free, which may be
    /// a megabyte.
    #[cfg(unix)]
    fn send_into_a_little_room(&mut self, body: &[u8]) -> io::Result<()> {
        use std::os::fd::AsFd;
        let socket = std::net::TcpStream::from(self.stream.as_fd().try_clone_to_owned()?);
        let (head, body) = self.unsent(body);
        let next = if head.is_empty() { body } else { head };
        match (&socket).write(next) {
            Ok(sent) if sent > 0 => {
                self.sent += sent;
                Ok(())
            }
            _ => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Elsewhere a client that did not make the socket writable in time is too slow.
    #[cfg(not(unix))]
    fn send_into_a_little_room(&mut self, _body: &[u8]) -> io::Result<()> {
        Err(ErrorKind::TimedOut.into())
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

const fn status(error: HeadError) -> Status {
    match error {
        HeadError::TargetTooLong => Status::TargetTooLong,
        HeadError::HeadersTooLarge => Status::HeadersTooLarge,
        _ => Status::BadRequest,
    }
}
