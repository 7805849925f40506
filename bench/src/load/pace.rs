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

/// The longest that a closed loop looks away.
const REST_NANOS_MAX: u64 = 1_000_000;
const REST_NANOS_MIN: u64 = 1_000;

/// How long a closed loop looks away between rounds, so that a round finds many answers.
///
/// Looking for each answer by itself would cost more than the answers do. The tracker must not run
/// out of requests meanwhile, so a round should find between a quarter and half of them answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    nanos: u64,
}

impl Rest {
    pub(crate) fn new() -> Self {
        Self { nanos: REST_NANOS_MIN }
    }

    /// Takes note of a round that found so many answers and left so many requests under way.
    pub(crate) fn after(&mut self, found: usize, under_way: usize) {
        if found * 2 > under_way {
            self.nanos = (self.nanos * 3 / 4).max(REST_NANOS_MIN);
        } else if found * 4 < under_way {
            self.nanos = (self.nanos * 5 / 4).min(REST_NANOS_MAX);
        }
    }

    /// How long to look away now.
    pub(crate) fn nanos(self) -> u64 {
        self.nanos
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

    #[test]
    fn rest_settles_where_a_round_finds_a_good_part_of_the_answers() {
        // A tracker that answers one request in 3 us.
        let mut rest = Rest::new();
        let mut found = 0;
        for _ in 0..100 {
            found = (rest.nanos() / 3000).min(512) as usize;
            rest.after(found, 512);
        }
        assert!((128..=256).contains(&found), "{found}");
        (0..100).for_each(|_| rest.after(512, 512));
        assert_eq!(rest.nanos(), REST_NANOS_MIN);
        (0..100).for_each(|_| rest.after(0, 512));
        assert_eq!(rest.nanos(), REST_NANOS_MAX);
    }
}
