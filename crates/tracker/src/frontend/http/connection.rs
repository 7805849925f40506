//! One HTTP connection: heads in, answers out, in order, each within its time.
//!
//! What an answer says is made in `answer`.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use skep_proto::http::{HeadError, HeadStatus, Status, parse_head};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Door;
use super::answer::{Caller, Next};
use super::client::Client;
use super::first::Start;
use super::stream::Stream;

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
    stream: Stream,
    client: Client,
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
    /// What follows is WebSocket.
    Upgraded(Caller),
}

/// A connection that speaks WebSocket from here on.
pub(super) struct Upgraded {
    pub(super) stream: Stream,
    /// Who speaks it.
    pub(super) caller: Caller,
    /// What it sent already.
    pub(super) input: Vec<u8>,
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
}

/// Serves a connection until it ends, by either side or by a time-out, or until it is no longer one
/// of HTTP.
pub(super) fn serve(
    stream: Stream,
    client: Client,
    door: &Door,
    start: Start,
) -> impl Future<Output = Option<Upgraded>> {
    let Start { input, output, next } = start;
    // Made here: what an async function is given, its future keeps beside what is made of it.
    let mut connection =
        Connection { stream, client, door, is_known: false, input, output, sent: 0 };
    async move {
        // Registered once for all the waiting of this connection.
        let stopped = pin!(door.stopped());
        // Errors of a connection are the network's business; they are counted where they matter.
        let caller = connection.run(next, stopped).await.ok()??;
        let Connection { stream, input, .. } = connection;
        Some(Upgraded { stream, caller, input })
    }
}

impl Connection<'_> {
    async fn run(
        &mut self,
        mut first: Option<Next>,
        mut stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> io::Result<Option<Caller>> {
        loop {
            let outcome = match first.take() {
                Some(next) => self.finish(next, false).await?,
                None => {
                    let ready = tokio::select! {
                        biased;
                        ready = self.first_byte() => ready?,
                        () = stopped.as_mut() => return Ok(None),
                    };
                    if !ready {
                        return Ok(None);
                    }
                    self.request().await?
                }
            };
            match outcome {
                Outcome::Open if !self.door.shared.shutdown.requested() => {}
                Outcome::Open | Outcome::Finished => {
                    return self.shut_down().await.map(|()| None);
                }
                Outcome::Abandoned => return self.linger().await.map(|()| None),
                Outcome::Upgraded(caller) => return Ok(Some(caller)),
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
            self.door.answerer.borrow().count_timeout(self.client);
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
                    self.door.answerer.borrow().count_timeout(self.client);
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
            Next::Promised(promised) => {
                if let Err(head) = promised.wait().await {
                    let answerer = &self.door.answerer;
                    answerer.borrow().break_promise(head, self.client, &mut self.output);
                }
                self.send(&[]).await?;
            }
            Next::Upgraded(caller) => {
                self.send(&[]).await?;
                return Ok(Outcome::Upgraded(caller));
            }
            Next::Deferred { page, .. } => {
                let made = page.make().await;
                let answerer = &self.door.answerer;
                let body = answerer.borrow().deliver(&made, self.client, &mut self.output);
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
                let next = answerer.answer(&head, self.client, &mut self.output);
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
        self.door.answerer.borrow().refuse(status, self.client, &mut self.output);
        self.send(&[]).await?;
        Ok(Outcome::Abandoned)
    }

    /// Sends the output and a body that others may be sent as well.
    async fn send(&mut self, body: &[u8]) -> io::Result<()> {
        self.sent = 0;
        let at_once = poll_fn(|cx| Poll::Ready(self.poll_send(cx, body))).await;
        let result = match at_once {
            Poll::Ready(Ok(Sent::All)) => Ok(()),
            Poll::Ready(Ok(Sent::Some)) | Poll::Pending => {
                let bytes = self.output.len() + body.len();
                let secs = bytes.div_ceil(READER_BYTES_PER_SEC_MIN) as u64;
                let patience = self.door.limits.write_timeout + Duration::from_secs(secs);
                let rest = timeout(patience, self.send_rest(body)).await;
                rest.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Err(error)) => Err(error),
        };
        let answerer = self.door.answerer.borrow();
        answerer.count_sent(self.client, self.sent);
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::TimedOut) {
            answerer.count_timeout(self.client);
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
        let patience = self.door.limits.write_timeout;
        loop {
            match timeout(patience, poll_fn(|cx| self.poll_send(cx, body))).await {
                Ok(sent) => match sent? {
                    Sent::All => return Ok(()),
                    Sent::Some => yield_now().await,
                },
                Err(_) => {
                    let (head, body) = unsent(&self.output, body, self.sent);
                    let next = if head.is_empty() { body } else { head };
                    self.sent += self.stream.write_into_a_little_room(next)?;
                }
            }
        }
    }

    /// Gives the system as much as it takes at once.
    fn poll_send(&mut self, cx: &mut Context<'_>, body: &[u8]) -> Poll<io::Result<Sent>> {
        let bytes = self.output.len() + body.len();
        if self.sent < bytes {
            let stream = Pin::new(&mut self.stream);
            let sent = match unsent(&self.output, body, self.sent) {
                (head, []) => stream.poll_write(cx, head),
                (head, body) => {
                    stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)])
                }
            };
            match ready!(sent)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        if self.sent < bytes {
            return Poll::Ready(Ok(Sent::Some));
        }
        Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| Sent::All)
    }

    /// Says that nothing more is sent, if that can be said without waiting.
    async fn shut_down(&mut self) -> io::Result<()> {
        poll_fn(|cx| match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => Poll::Ready(Ok(())),
            done => done,
        })
        .await
    }

    /// Ends the connection without resetting it under an answer that is still on its way.
    async fn linger(&mut self) -> io::Result<()> {
        self.shut_down().await?;
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

/// What is to be sent next of an output and of the body behind it.
fn unsent<'a>(output: &'a [u8], body: &'a [u8], sent: usize) -> (&'a [u8], &'a [u8]) {
    let head = &output[sent.min(output.len())..];
    let body = &body[sent.saturating_sub(output.len())..];
    (head, &body[..body.len().min(TURN_BYTES_MAX)])
}

const fn status(error: HeadError) -> Status {
    match error {
        HeadError::TargetTooLong => Status::TargetTooLong,
        HeadError::HeadersTooLarge => Status::HeadersTooLarge,
        _ => Status::BadRequest,
    }
}
