//! What is known of accounts on their way to the storage: for metrics, health and the log.
//!
//! Plain numbers and one text; nothing is decided here.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use skep_store::{AppendError, Journal, JournalStatus};

/// Why a delta was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Untaken {
    /// The disk takes nothing.
    Disk,
    /// The journal is as long as it may be.
    JournalFull,
    /// The queue of the journal has no room.
    QueueFull,
    /// The tracker stops.
    Closed,
}

impl Untaken {
    /// Every reason, by number.
    pub const ALL: [Self; 4] = [Self::Disk, Self::JournalFull, Self::QueueFull, Self::Closed];

    /// The word for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::JournalFull => "journal_full",
            Self::QueueFull => "queue_full",
            Self::Closed => "closed",
        }
    }
}

impl From<AppendError> for Untaken {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Disk { .. } => Self::Disk,
            AppendError::JournalFull => Self::JournalFull,
            AppendError::QueueFull => Self::QueueFull,
            _ => Self::Closed,
        }
    }
}

/// What the sink and the writer have counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    untaken: [AtomicU64; Untaken::ALL.len()],
    /// Replies whose record was not on the disk in time.
    pub unconfirmed: AtomicU64,
    /// The position behind the last record that the storage has applied.
    pub applied: AtomicU64,
    /// Batches that were applied.
    pub batches: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Milliseconds that applying them took.
    pub apply_millis: AtomicU64,
    /// Attempts to apply a batch that failed.
    pub failures: AtomicU64,
    /// Records that the storage refused for good, and that were written aside.
    pub refused: AtomicU64,
    /// Records that were given up because nobody could read them.
    pub given_up: AtomicU64,
    /// When the oldest record was made that the storage has not applied; 0 if there is none.
    oldest_unix_secs: AtomicU64,
}

impl Counts {
    /// Notes that a delta was not taken.
    pub fn note_untaken(&self, why: Untaken) {
        self.untaken[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Deltas that were not taken for a reason.
    #[must_use]
    pub fn untaken(&self, why: Untaken) -> u64 {
        self.untaken[why as usize].load(Ordering::Relaxed)
    }

    /// Notes which record is the oldest that waits for the storage.
    pub fn set_oldest(&self, unix_secs: Option<u64>) {
        self.oldest_unix_secs.store(unix_secs.unwrap_or(0), Ordering::Relaxed);
    }

    /// For how many seconds the oldest record has been waiting for the storage.
    #[must_use]
    pub fn oldest_secs(&self, now_unix_secs: u64) -> u64 {
        match self.oldest_unix_secs.load(Ordering::Relaxed) {
            0 => 0,
            unix_secs => now_unix_secs.saturating_sub(unix_secs),
        }
    }
}

/// How accounts fare, shared by all who take part and all who ask.
#[derive(Debug)]
pub struct Status {
    journal: std::sync::Arc<Journal>,
    counts: Counts,
    /// Why nothing is applied, as the operator reads it.
    stuck: Mutex<Option<String>>,
}

impl Status {
    /// Nothing was counted yet.
    #[must_use]
    pub fn new(journal: std::sync::Arc<Journal>) -> Self {
        Self { journal, counts: Counts::default(), stuck: Mutex::default() }
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How the journal fares.
    #[must_use]
    pub fn journal(&self) -> JournalStatus {
        self.journal.status()
    }

    /// The position behind the last record that was counted, if the storage has all of them.
    #[must_use]
    pub fn settled(&self) -> Option<u64> {
        let next = self.journal().next;
        (self.counts.applied.load(Ordering::Relaxed) >= next).then_some(next)
    }

    /// Whether records reach the storage.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.stuck.lock().is_some()
    }

    /// Notes why no record reaches the storage, or that they do. Returns whether that is news.
    pub fn set_stuck(&self, why: Option<String>) -> bool {
        let mut stuck = self.stuck.lock();
        let is_news = stuck.is_some() != why.is_some();
        *stuck = why;
        is_news
    }

    /// What is wrong, a sentence for each trouble; nothing if all is well.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let journal = self.journal();
        let mut troubles = Vec::new();
        if let Some(kind) = journal.failing {
            troubles.push(format!("the disk of the journal takes nothing: {kind}"));
        }
        if journal.full {
            troubles.push("the journal is as long as journal.size_max_bytes allows".to_owned());
        }
        if let Some(why) = &*self.stuck.lock() {
            troubles.push(format!("nothing is applied to the storage: {why}"));
        }
        troubles
    }
}
