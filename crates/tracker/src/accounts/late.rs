//! Replies that wait until the disk holds what they promise, and the thread that waits for it.
//!
//! What a reply says was decided before. A promise that was not kept is never given: whoever waits is
//! told to try again then, and a repeated request waits for the same record.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use skep_engine::gate::Refusal;
use skep_net::udp::{Batch, ReplyTo, UdpSocket};
use skep_proto::TransactionId;
use skep_proto::udp::write_error;
use tokio::sync::oneshot;

use super::DeltaSink;
use crate::runtime::shutdown::Shutdown;

/// Replies of the whole process that wait.
const WAITING_MAX: usize = 4096;

/// Replies whose records are waited for together.
const TOGETHER_MAX: usize = 1024;

/// Datagrams that are sent together.
const DATAGRAMS_MAX: usize = 64;

/// How long the thread sleeps before it looks whether it is to stop.
const TURN: Duration = Duration::from_millis(200);

/// Where replies wait.
pub struct Late {
    promises: SyncSender<Promise>,
    sockets: Mutex<Vec<UdpSocket>>,
    broken: AtomicU64,
}

/// The other end of [`Late`]: what its thread is made of.
pub struct LateThread {
    late: Arc<Late>,
    promises: Receiver<Promise>,
    sink: Arc<dyn DeltaSink>,
}

/// A reply and the record that must be on the disk before it goes out.
struct Promise {
    position: u64,
    reply: Reply,
}

enum Reply {
    Datagram(LateDatagram),
    Told(Box<dyn FnOnce(bool) + Send>),
}

/// A datagram that goes out late.
pub(crate) struct LateDatagram {
    /// The number that [`Late::add_socket`] gave.
    pub(crate) socket: usize,
    pub(crate) to: ReplyTo,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) transaction_id: TransactionId,
}

/// There is no room for another reply that waits.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl Late {
    /// Makes room for replies that wait for records of `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn DeltaSink>) -> (Arc<Self>, LateThread) {
        let (sender, promises) = sync_channel(WAITING_MAX);
        let (sockets, broken) = (Mutex::default(), AtomicU64::new(0));
        let late = Arc::new(Self { promises: sender, sockets, broken });
        (late.clone(), LateThread { late, promises, sink })
    }

    /// Replies that could not be given because the disk did not take the record in time.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Takes notice of a socket from which datagrams go out.
    pub(crate) fn add_socket(&self, socket: &UdpSocket) -> io::Result<usize> {
        let sender = socket.sender()?;
        let mut sockets = self.sockets.lock();
        sockets.push(sender);
        Ok(sockets.len() - 1)
    }

    /// Sends a datagram once a record is on the disk, or an error that asks to try again.
    pub(crate) fn send(&self, position: u64, datagram: LateDatagram) -> Result<(), NoRoom> {
        self.add(position, Reply::Datagram(datagram))
    }

    /// Tells whether a record is on the disk, once that is known.
    pub(crate) fn tell(
        &self,
        position: u64,
        tell: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), NoRoom> {
        self.add(position, Reply::Told(Box::new(tell)))
    }

    /// The same for a task. Whoever gets nothing is to take it for a no.
    pub(crate) fn kept(&self, position: u64) -> Result<oneshot::Receiver<bool>, NoRoom> {
        let (sender, kept) = oneshot::channel();
        // Whoever waited may be gone.
        self.tell(position, move |is_kept| {
            let _ = sender.send(is_kept);
        })?;
        Ok(kept)
    }

    fn add(&self, position: u64, reply: Reply) -> Result<(), NoRoom> {
        self.promises.try_send(Promise { position, reply }).map_err(|_| NoRoom)
    }
}

impl LateThread {
    /// Waits for the disk and gives replies until the tracker stops.
    pub fn run(self, shutdown: &Shutdown) {
        let mut together = Vec::with_capacity(TOGETHER_MAX);
        let mut batch = Batch::new(DATAGRAMS_MAX);
        loop {
            match self.promises.recv_timeout(TURN) {
                Ok(promise) => together.push(promise),
                Err(RecvTimeoutError::Timeout) if !shutdown.requested() => continue,
                Err(_) => return,
            }
            together.extend(self.promises.try_iter().take(TOGETHER_MAX - 1));
            let last = together.iter().map(|promise| promise.position).max().unwrap_or_default();
            let kept = self.sink.wait_durable(last);
            if !kept {
                self.late.broken.fetch_add(together.len() as u64, Ordering::Relaxed);
            }
            let mut datagrams = Vec::new();
            for Promise { reply, .. } in together.drain(..) {
                match reply {
                    Reply::Datagram(datagram) => datagrams.push(datagram),
                    Reply::Told(tell) => tell(kept),
                }
            }
            self.send(&mut batch, &datagrams, kept);
        }
    }

    fn send(&self, batch: &mut Batch, datagrams: &[LateDatagram], kept: bool) {
        let mut sockets = self.late.sockets.lock();
        for (number, socket) in sockets.iter_mut().enumerate() {
            let of_socket = datagrams.iter().filter(|datagram| datagram.socket == number);
            let mut of_socket = of_socket.peekable();
            while of_socket.peek().is_some() {
                batch.clear();
                for datagram in of_socket.by_ref().take(DATAGRAMS_MAX) {
                    let mut error = [0; 256];
                    let length = write_error(
                        &mut error,
                        datagram.transaction_id,
                        Refusal::NotRecorded.text(),
                    );
                    let reply = if kept { &*datagram.bytes } else { &error[..length] };
                    batch.push_reply(datagram.to, reply);
                }
                // What cannot be sent is lost like any datagram; the client asks again.
                let _ = socket.send(batch);
            }
        }
    }
}
