//! How workers hand each other what is meant for a browser on another worker.
//!
//! Nothing waits: what finds no room is lost, as it would be if the browser had just left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skep_engine::session::Offered;
use skep_engine::swarm::Connection;
use tokio::sync::mpsc;

/// Parcels that may wait for one worker.
const PARCELS_MAX: usize = 8192;

/// Bytes that may wait for one worker.
const BYTES_MAX: usize = 32 << 20;

/// A frame for one browser.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Who is to get it.
    pub(super) to: Connection,
    /// The whole frame.
    pub(super) frame: Vec<u8>,
    /// The offer in it, if it is one.
    pub(super) offered: Option<Offered>,
}

/// The way to every worker.
#[derive(Debug)]
pub struct Exchange {
    senders: Vec<mpsc::Sender<Parcel>>,
    bytes: Vec<Arc<AtomicUsize>>,
}

/// What others have for one worker.
#[derive(Debug)]
pub struct Mailbox {
    parcels: mpsc::Receiver<Parcel>,
    bytes: Arc<AtomicUsize>,
}

impl Exchange {
    /// Connects so many workers; the mailboxes are theirs, by number.
    #[must_use]
    pub fn new(workers: usize) -> (Arc<Self>, Vec<Mailbox>) {
        let (mut senders, mut bytes, mut mailboxes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..workers {
            let (sender, parcels) = mpsc::channel(PARCELS_MAX);
            let waiting = Arc::<AtomicUsize>::default();
            senders.push(sender);
            bytes.push(waiting.clone());
            mailboxes.push(Mailbox { parcels, bytes: waiting });
        }
        (Arc::new(Self { senders, bytes }), mailboxes)
    }

    /// Hands a parcel to a worker; `false` if it has no room.
    pub(super) fn send(&self, worker: usize, parcel: Parcel) -> bool {
        let (Some(sender), Some(bytes)) = (self.senders.get(worker), self.bytes.get(worker)) else {
            return false;
        };
        let length = parcel.frame.len();
        let fits = bytes.fetch_add(length, Ordering::Relaxed) + length <= BYTES_MAX;
        let sent = fits && sender.try_send(parcel).is_ok();
        if !sent {
            bytes.fetch_sub(length, Ordering::Relaxed);
        }
        sent
    }
}

impl Mailbox {
    /// Waits for the next parcel; `None` when nobody is left who could send one.
    pub(super) async fn next(&mut self) -> Option<Parcel> {
        let parcel = self.parcels.recv().await?;
        self.bytes.fetch_sub(parcel.frame.len(), Ordering::Relaxed);
        Some(parcel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(bytes: usize) -> Parcel {
        Parcel { to: Connection(7), frame: vec![0; bytes], offered: None }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn parcels_arrive_and_what_finds_no_room_is_lost() {
        let (exchange, mut mailboxes) = Exchange::new(2);
        assert!(!exchange.send(2, parcel(1)), "there is no such worker");
        let half = BYTES_MAX / 2;
        assert!(exchange.send(1, parcel(half)));
        assert!(exchange.send(1, parcel(half)));
        assert!(!exchange.send(1, parcel(1)));
        assert!(exchange.send(0, parcel(1)), "another worker has room");
        assert_eq!(mailboxes[1].next().await.unwrap().frame.len(), half);
        assert!(exchange.send(1, parcel(1)));
        for _ in 1..PARCELS_MAX {
            assert!(exchange.send(0, parcel(0)));
        }
        assert!(!exchange.send(0, parcel(0)));
    }
}
