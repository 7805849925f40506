//! Records of the journal made ready for a database: in order, and added up row by row.
//!
//! Knows no database.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use skep_engine::Tick;
use skep_engine::ledger::{Delta, SessionState, Sums, TorrentId, UserId};
use skep_engine::site::FactorId;
use skep_proto::PeerId;

/// A delta as it outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When, in seconds of Unix time; the delta's own time means nothing here.
    pub at_unix_secs: u64,
    /// Where the client is; unset for users whose addresses are not kept.
    pub endpoint: Option<SocketAddr>,
    /// What happened.
    pub delta: Delta,
}

impl Record {
    /// A session as a storage remembers it: a delta that adds nothing.
    #[must_use]
    pub fn of_session(
        session: SessionState,
        at_unix_secs: u64,
        endpoint: Option<SocketAddr>,
    ) -> Self {
        let delta = Delta::of_session(session, Tick::default());
        Self { at_unix_secs, endpoint, delta }
    }
}

/// Whose sums are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totals {
    /// A user's.
    User(UserId),
    /// A torrent's.
    Torrent(TorrentId),
    /// A user's in a torrent.
    Passage(UserId, TorrentId),
}

/// A user in a torrent: what a batch adds, and how it stands at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// What is added.
    pub sums: Sums,
    /// The last record.
    pub last: Record,
    /// When the first record of the batch was made.
    pub first_unix_secs: u64,
    /// When a download was finished, if one was.
    pub completed_unix_secs: Option<u64>,
    /// Bytes still missing, as the client said last; unset if it did not say.
    pub left_bytes: Option<u64>,
}

/// Records that are applied together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    journal: u64,
    from: u64,
    until: u64,
    records: Vec<Record>,
    users: BTreeMap<UserId, Sums>,
    torrents: BTreeMap<TorrentId, Sums>,
    passages: BTreeMap<(UserId, TorrentId), Passage>,
    /// The place of the last record of each session.
    sessions: BTreeMap<(UserId, TorrentId, PeerId), usize>,
    spent: BTreeMap<FactorId, u64>,
}

impl Batch {
    /// Makes a batch of records of a journal that begin at a position and leave out none.
    #[must_use]
    pub fn new(journal: u64, from: u64, records: Vec<Record>) -> Self {
        let (mut users, mut torrents) = (BTreeMap::<_, Sums>::new(), BTreeMap::<_, Sums>::new());
        let mut passages = BTreeMap::<_, Passage>::new();
        let (mut sessions, mut spent) = (BTreeMap::new(), BTreeMap::<_, u64>::new());
        for (place, record) in records.iter().enumerate() {
            let Record { at_unix_secs, delta, .. } = record;
            let (user, torrent) = (delta.session.user, delta.session.torrent);
            users.entry(user).or_default().add(delta);
            torrents.entry(torrent).or_default().add(delta);
            let passage = passages.entry((user, torrent)).or_insert_with(|| Passage {
                sums: Sums::default(),
                last: *record,
                first_unix_secs: *at_unix_secs,
                completed_unix_secs: None,
                left_bytes: None,
            });
            passage.sums.add(delta);
            passage.last = *record;
            passage.left_bytes = delta.left_bytes.or(passage.left_bytes);
            if delta.completed {
                passage.completed_unix_secs = Some(*at_unix_secs);
            }
            // What was decided about held traffic says nothing new of the session.
            if delta.verdict.is_none() {
                sessions.insert((user, torrent, delta.session.peer_id), place);
            }
            for taken in delta.spent.iter().filter(|taken| taken.bytes != 0) {
                let bytes = spent.entry(FactorId(taken.rule)).or_default();
                *bytes = bytes.saturating_add(taken.bytes);
            }
        }
        let until = from + records.len() as u64;
        Self { journal, from, until, records, users, torrents, passages, sessions, spent }
    }

    /// Makes a batch without records: positions whose records are given up or kept elsewhere. To
    /// apply it is to note its end.
    #[must_use]
    pub fn given_up(journal: u64, positions: Range<u64>) -> Self {
        Self { until: positions.end, ..Self::new(journal, positions.start, Vec::new()) }
    }

    /// The id of the journal.
    #[must_use]
    pub const fn journal(&self) -> u64 {
        self.journal
    }

    /// The position of the first record.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.from
    }

    /// The position behind the last record, which is to be noted.
    #[must_use]
    pub const fn until(&self) -> u64 {
        self.until
    }

    /// The records, in the order in which they were made.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What is added for each user, by number.
    #[must_use]
    pub const fn users(&self) -> &BTreeMap<UserId, Sums> {
        &self.users
    }

    /// What is added for each torrent, by number.
    #[must_use]
    pub const fn torrents(&self) -> &BTreeMap<TorrentId, Sums> {
        &self.torrents
    }

    /// What is added for each user in each torrent, by both numbers.
    #[must_use]
    pub const fn passages(&self) -> &BTreeMap<(UserId, TorrentId), Passage> {
        &self.passages
    }

    /// The last record of each session, by user, torrent and peer id.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.sessions.values().map(|place| &self.records[*place])
    }

    /// What was taken from the budget of each factor, by number.
    #[must_use]
    pub const fn spent(&self) -> &BTreeMap<FactorId, u64> {
        &self.spent
    }
}
