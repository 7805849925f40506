//! How long peers may be silent, while clients still keep to an interval that is no longer told.
//!
//! Removes nobody: it says which time is in force.

use skep_engine::Tick;

/// The time in force, and a shorter one that has to wait.
#[derive(Debug)]
pub(super) struct PeerTtl {
    secs: u32,
    lower: Option<Lower>,
}

#[derive(Debug, Clone, Copy)]
struct Lower {
    secs: u32,
    due: Tick,
}

impl PeerTtl {
    /// Begins with a time for which nobody was told another.
    pub(super) const fn new(secs: u32) -> Self {
        Self { secs, lower: None }
    }

    /// The time in force.
    pub(super) const fn secs(&self) -> u32 {
        self.secs
    }

    /// Takes a wish: a longer time is in force at once, a shorter one when everybody who was told
    /// the longer interval has come back or is gone.
    pub(super) fn wish(&mut self, secs: u32, now: Tick) {
        if secs >= self.secs {
            *self = Self::new(secs);
            return;
        }
        let due = match self.lower {
            None => now.plus(self.secs),
            Some(lower) if secs >= lower.secs => lower.due,
            // Since then clients were told an interval for the time that will never come.
            Some(lower) => lower.due.max(now.plus(lower.secs)),
        };
        self.lower = Some(Lower { secs, due });
    }

    /// Puts the shorter time in force if it has waited for long enough, and tells whether it did.
    pub(super) fn settle(&mut self, now: Tick) -> bool {
        match self.lower {
            Some(lower) if now >= lower.due => {
                *self = Self::new(lower.secs);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_time_holds_at_once() {
        let mut ttl = PeerTtl::new(1800);
        ttl.wish(3600, Tick(10));
        assert_eq!(ttl.secs(), 3600);
        assert!(!ttl.settle(Tick(100_000)));
    }

    #[test]
    fn shorter_time_waits_for_those_who_were_told_the_longer_one() {
        let mut ttl = PeerTtl::new(7200);
        ttl.wish(1800, Tick(100));
        assert!(!ttl.settle(Tick(7299)));
        assert_eq!(ttl.secs(), 7200);
        assert!(ttl.settle(Tick(7300)));
        assert_eq!(ttl.secs(), 1800);
        assert!(!ttl.settle(Tick(100_000)));
    }

    #[test]
    fn shorter_time_is_forgotten_when_the_longer_one_returns() {
        let mut ttl = PeerTtl::new(7200);
        ttl.wish(1800, Tick(100));
        ttl.wish(7200, Tick(200));
        assert!(!ttl.settle(Tick(100_000)));
        assert_eq!(ttl.secs(), 7200);
    }

    #[test]
    fn second_wish_does_not_make_the_first_wait_again() {
        let mut ttl = PeerTtl::new(7200);
        ttl.wish(1800, Tick(0));
        ttl.wish(3600, Tick(7000));
        assert!(ttl.settle(Tick(7200)));
        assert_eq!(ttl.secs(), 3600);
    }

    #[test]
    fn still_shorter_time_waits_for_those_who_were_told_the_one_between() {
        let mut ttl = PeerTtl::new(7200);
        ttl.wish(3600, Tick(0));
        ttl.wish(1800, Tick(7000));
        assert!(!ttl.settle(Tick(7200)));
        assert!(ttl.settle(Tick(10_600)));
        assert_eq!(ttl.secs(), 1800);
    }
}
