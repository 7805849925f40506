//! What to do when the system gives out no connection: wait longer each time, and say so once.
//!
//! Neither waits nor logs by itself.

use std::io;
use std::time::Duration;

/// The first pause of an episode.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections in a row after which an episode is over.
const CALM: u32 = 64;

/// Failures of one listener to accept, such as for want of open files.
#[derive(Debug, Default)]
pub(crate) struct AcceptTrouble {
    /// How long accepting rests next; `None` outside of an episode.
    pause: Option<Duration>,
    accepted: u32,
}

/// What follows from a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reaction {
    /// How long accepting should rest.
    pub(crate) pause: Duration,
    /// Whether this is the beginning of an episode, which the operator should hear of.
    pub(crate) is_news: bool,
}

impl AcceptTrouble {
    /// Notes so many connections.
    pub(crate) fn accepted(&mut self, connections: u32) {
        if self.pause.is_some() {
            self.accepted += connections;
            if self.accepted >= CALM {
                *self = Self::default();
            }
        }
    }

    /// Notes a failure; nothing follows from a connection that was gone already.
    pub(crate) fn failed(&mut self, error: &io::Error) -> Option<Reaction> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return None;
        }
        let reaction =
            Reaction { pause: self.pause.unwrap_or(PAUSE_MIN), is_news: self.pause.is_none() };
        self.pause = Some((reaction.pause * 2).min(PAUSE_MAX));
        self.accepted = 0;
        Some(reaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episode_is_news_once_and_pauses_grow() {
        let mut trouble = AcceptTrouble::default();
        let full = io::Error::from_raw_os_error(24);
        let reactions: Vec<_> = (0..8).map(|_| trouble.failed(&full).unwrap()).collect();
        assert!(reactions[0].is_news && reactions[1..].iter().all(|later| !later.is_news));
        assert!(reactions.is_sorted_by_key(|reaction| reaction.pause));
        assert_eq!((reactions[0].pause, reactions[7].pause), (PAUSE_MIN, PAUSE_MAX));
    }

    #[test]
    fn new_episode_begins_only_after_calm() {
        let mut trouble = AcceptTrouble::default();
        let full = io::Error::from_raw_os_error(24);
        assert!(trouble.failed(&full).unwrap().is_news);
        trouble.accepted(CALM - 1);
        assert!(!trouble.failed(&full).unwrap().is_news);
        trouble.accepted(CALM);
        let again = trouble.failed(&full).unwrap();
        assert_eq!(again, Reaction { pause: PAUSE_MIN, is_news: true });
    }

    #[test]
    fn connection_that_is_gone_is_no_trouble() {
        let gone = io::ErrorKind::ConnectionAborted.into();
        assert_eq!(AcceptTrouble::default().failed(&gone), None);
    }
}
