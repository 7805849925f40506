//! When requests are sent: as soon as there is room for one, or at fixed times.
//!
//! Knows numbers of requests and times only; sends nothing and asks no clock.

/// What decides when the next request is sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Pace {
    /// A closed loop: an answer makes room for the next request.
    Closed,
    /// An open loop: requests are due at a fixed rate, whether answers come or not.
    Open {
        /// Requests of all sources together.
        per_sec: f64,
    },
}

/// The times at which the requests of an open loop are due.
///
/// A latency counts from the time that a request is due, so that a tracker which holds the
/// generator up does not hide how late its answers are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start_nanos: u64,
    period_nanos: f64,
    /// Number of the next request.
    next: u64,
    /// From one request of this schedule to the next; others take those between.
    stride: u64,
}

impl Schedule {
    /// The schedule of all requests.
    pub(crate) fn new(start_nanos: u64, per_sec: f64) -> Self {
        Self::share(start_nanos, per_sec, 0, 1)
    }

    /// Every request whose number leaves `first` when divided by `stride`.
    pub(crate) fn share(start_nanos: u64, per_sec: f64, first: u64, stride: u64) -> Self {
        Self { start_nanos, period_nanos: 1e9 / per_sec, next: first, stride }
    }

    /// When the next request is due.
    pub(crate) fn due_nanos(&self) -> u64 {
        self.start_nanos + (self.next as f64 * self.period_nanos) as u64
    }

    /// Takes the next request if it is due: its number and since when.
    pub(crate) fn take(&mut self, now_nanos: u64) -> Option<(u64, u64)> {
        let (number, due) = (self.next, self.due_nanos());
        if due > now_nanos {
            return None;
        }
        self.next += self.stride;
        Some((number, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_caller_gets_every_request_with_the_time_it_was_due() {
        let mut schedule = Schedule::new(100, 1e8);
        assert_eq!(schedule.take(99), None);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(125)).collect();
        assert_eq!(taken, [(0, 100), (1, 110), (2, 120)]);
        assert_eq!(schedule.due_nanos(), 130);
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let mut shares = [0, 1].map(|first| Schedule::share(0, 1e9, first, 2));
        let mut taken: Vec<u64> = Vec::new();
        for share in &mut shares {
            taken.extend(std::iter::from_fn(|| share.take(5)).map(|(number, _)| number));
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
    }
}
