//! Announces of somebody whom the operator follows for a while.
//!
//! Costs one relaxed load while nobody is followed. No passkey ever comes here.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use skep_engine::Tick;
use skep_engine::site::UserId;
use skep_engine::swarm::{Announce, Announced};
use skep_proto::{AnnounceRequest, InfoHash};

use crate::shards::Answer;

/// Subjects that are followed at once, or were and are still kept.
pub const TRACES_MAX: usize = 16;

/// Who or what is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// All clients of a torrent.
    Torrent(InfoHash),
    /// All clients of a user.
    User(UserId),
}

/// An announce and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Traced {
    /// When.
    pub at: Tick,
    /// Whose, where users are known.
    pub user: Option<UserId>,
    /// What the client said.
    pub request: AnnounceRequest,
    /// Where it is.
    pub ip: IpAddr,
    /// What it was answered, or why it was refused.
    pub outcome: Result<Announced, &'static str>,
}

/// What is kept of a subject.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Who or what.
    pub subject: Subject,
    /// When it ends, or ended.
    pub until: Tick,
    /// Announces so far.
    pub seen: u64,
    /// The latest of them, oldest first.
    pub records: VecDeque<Traced>,
    /// How many are kept.
    pub records_max: usize,
}

/// Every subject that is followed.
#[derive(Debug, Default)]
pub struct Traces {
    on: AtomicBool,
    traces: Mutex<Vec<Trace>>,
}

impl Traces {
    /// Whether anybody is followed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Begins to follow somebody anew, until a time, keeping so many announces. `false` if too many
    /// are followed already.
    #[must_use]
    pub fn start(&self, subject: Subject, now: Tick, until: Tick, records_max: usize) -> bool {
        let mut traces = self.traces.lock();
        traces.retain(|trace| trace.subject != subject);
        if traces.len() >= TRACES_MAX {
            let Some(ended) = traces.iter().position(|trace| trace.until <= now) else {
                return false;
            };
            traces.remove(ended);
        }
        traces.push(Trace { subject, until, seen: 0, records: VecDeque::new(), records_max });
        self.on.store(true, Ordering::Relaxed);
        true
    }

    /// What is kept of somebody, if there is or was a trace.
    #[must_use]
    pub fn read(&self, subject: Subject) -> Option<Trace> {
        self.traces.lock().iter().find(|trace| trace.subject == subject).cloned()
    }

    /// Ends a trace and forgets it; `false` if there is none.
    pub fn stop(&self, subject: Subject) -> bool {
        let mut traces = self.traces.lock();
        let before = traces.len();
        traces.retain(|trace| trace.subject != subject);
        self.on.store(!traces.is_empty(), Ordering::Relaxed);
        traces.len() < before
    }

    /// Takes an announce and its answer, if its user or its torrent is followed.
    pub fn note(&self, at: Tick, user: Option<UserId>, announce: &Announce, answer: &Answer) {
        let outcome = match answer {
            Answer::Announced(announced) | Answer::Promised(announced, _) => Ok(*announced),
            Answer::Refused(refusal) => Err(refusal.text()),
            Answer::Scraped(_) | Answer::Left | Answer::Relayed(_) => return,
        };
        let mut traces = self.traces.lock();
        let Announce { request, ip, .. } = *announce;
        let torrent = Subject::Torrent(request.info_hash);
        let is_meant = |subject| subject == torrent || user.map(Subject::User) == Some(subject);
        for trace in traces.iter_mut().filter(|trace| at < trace.until) {
            if is_meant(trace.subject) {
                trace.seen += 1;
                if trace.records.len() >= trace.records_max {
                    trace.records.pop_front();
                }
                trace.records.push_back(Traced { at, user, request, ip, outcome });
            }
        }
        if traces.iter().all(|trace| trace.until <= at) {
            self.on.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use skep_proto::{AnnounceEvent, NumWant, PeerId, PeerKey};

    use super::*;

    fn announce(byte: u8, port: u16) -> Announce {
        let request = AnnounceRequest {
            info_hash: InfoHash([byte; 20]),
            peer_id: PeerId([7; 20]),
            port,
            uploaded_bytes: 1,
            downloaded_bytes: 2,
            left_bytes: Some(3),
            event: AnnounceEvent::None,
            num_want: NumWant::Default,
            peer_key: PeerKey::from_u32(1),
        };
        Announce { request, ip: Ipv4Addr::LOCALHOST.into(), connection: None, listed: true }
    }

    fn note(traces: &Traces, at: u32, user: u32, byte: u8, port: u16) {
        let user = Some(UserId(user));
        traces.note(
            Tick(at),
            user,
            &announce(byte, port),
            &Answer::Announced(Announced::default()),
        );
    }

    fn ports(traces: &Traces, subject: Subject) -> Vec<u16> {
        let trace = traces.read(subject).unwrap();
        trace.records.iter().map(|traced| traced.request.port).collect()
    }

    #[test]
    fn latest_announces_of_whoever_is_followed_are_kept() {
        let traces = Traces::default();
        assert!(!traces.is_on());
        let (torrent, user) = (Subject::Torrent(InfoHash([1; 20])), Subject::User(UserId(5)));
        assert!(traces.start(torrent, Tick(0), Tick(60), 2));
        assert!(traces.start(user, Tick(0), Tick(10), 9));
        assert!(traces.is_on());
        note(&traces, 1, 4, 1, 101);
        note(&traces, 2, 5, 1, 102);
        note(&traces, 3, 4, 1, 103);
        note(&traces, 4, 5, 2, 104);
        note(&traces, 10, 5, 2, 105);
        assert_eq!(ports(&traces, torrent), [102, 103]);
        assert_eq!(traces.read(torrent).unwrap().seen, 3);
        assert_eq!(ports(&traces, user), [102, 104], "it ended before the last one");
    }

    #[test]
    fn nothing_is_looked_at_once_all_have_ended() {
        let traces = Traces::default();
        let subject = Subject::User(UserId(5));
        assert!(traces.start(subject, Tick(0), Tick(10), 9));
        note(&traces, 9, 1, 1, 1);
        assert!(traces.is_on());
        note(&traces, 10, 1, 1, 1);
        assert!(!traces.is_on());
        assert!(traces.read(subject).is_some());
        assert!(traces.stop(subject) && !traces.stop(subject));
    }

    #[test]
    fn traces_that_ended_make_room() {
        let traces = Traces::default();
        for number in 0..TRACES_MAX as u32 {
            let until = Tick(if number == 3 { 5 } else { 50 });
            assert!(traces.start(Subject::User(UserId(number)), Tick(0), until, 1));
        }
        let further = Subject::User(UserId(100));
        assert!(!traces.start(further, Tick(4), Tick(50), 1));
        assert!(traces.start(further, Tick(5), Tick(50), 1));
        assert!(traces.read(Subject::User(UserId(3))).is_none());
    }
}
