//! How long clients are told to wait, and how much longer in large swarms and under load.
//!
//! No clock is read and no announce is counted here: both are handed in.

use fastrand::Rng;

use super::{AnswerSettings, Policy};
use crate::swarm::Announced;

/// When intervals become longer than usual, and how long at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// The longest interval that is told, its random part included.
    pub interval_max_secs: u32,
    /// Announces a second over the whole tracker that are not to be exceeded; 0 for no bound.
    pub above_announces_per_sec: u32,
    /// Peers above which the interval grows with a swarm; 0 for never.
    pub above_swarm_peers: u32,
}

/// What one client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// Seconds until the next announce.
    pub secs: u32,
    /// Seconds that must pass before the next announce; never more than `secs`.
    pub min_secs: u32,
    /// Whether this is longer than usual.
    pub stretched: bool,
}

impl AnswerSettings {
    /// The interval for the answer to an announce, where load adds `delay_secs` to all of them: a
    /// peer that could not be stored is to try again soon.
    pub fn interval_after(
        &self,
        announced: &Announced,
        delay_secs: u32,
        rng: &mut Rng,
    ) -> Interval {
        let min_secs = self.interval_min_secs;
        if announced.not_stored {
            return Interval { secs: min_secs, min_secs, stretched: false };
        }
        let usual_secs = self.interval_secs;
        let middle_secs = match &self.stretch {
            None => usual_secs,
            Some(stretch) => self.stretched_secs(stretch, announced, delay_secs),
        };
        let stretched = middle_secs > usual_secs;
        // Some clients take the least interval for the interval itself, so it grows as well.
        let min_secs =
            if stretched { scaled(min_secs, middle_secs.into(), usual_secs) } else { min_secs };
        let spread = self.spread_secs(middle_secs);
        let secs = middle_secs - spread + rng.u32(0..=spread * 2);
        Interval { secs: secs.max(min_secs), min_secs, stretched }
    }

    /// The greater of what the swarm and what the load ask for, before the random part.
    fn stretched_secs(&self, stretch: &Stretch, announced: &Announced, delay_secs: u32) -> u32 {
        let mut secs = self.interval_secs;
        if stretch.above_announces_per_sec != 0 {
            secs = secs.saturating_add(delay_secs);
        }
        let peers = u64::from(announced.counts.seeders) + u64::from(announced.counts.incomplete());
        if stretch.above_swarm_peers != 0 && peers > stretch.above_swarm_peers.into() {
            secs = secs.max(scaled(self.interval_secs, peers, stretch.above_swarm_peers));
        }
        secs.min(self.interval_secs + self.delay_max_secs(stretch))
    }

    /// Seconds that may be added to the interval so that with its random part it stays in the limit.
    fn delay_max_secs(&self, stretch: &Stretch) -> u32 {
        scaled(stretch.interval_max_secs, 100, 100 + self.interval_jitter_percent)
            .saturating_sub(self.interval_secs)
    }

    const fn spread_secs(&self, middle_secs: u32) -> u32 {
        middle_secs * self.interval_jitter_percent / 100
    }
}

impl Policy {
    /// The interval for a browser: longer in the same measure as that of others.
    #[must_use]
    pub fn websocket_interval_secs(&self, announced: &Announced, delay_secs: u32) -> u32 {
        let (answers, usual_secs) = (&self.answers, self.websocket.interval_secs);
        answers.stretch.as_ref().map_or(usual_secs, |stretch| {
            let middle_secs = answers.stretched_secs(stretch, announced, delay_secs);
            scaled(usual_secs, middle_secs.into(), answers.interval_secs)
        })
    }
}

/// `number * times / parts`.
fn scaled(number: u32, times: u64, parts: u32) -> u32 {
    let scaled = u64::from(number) * times / u64::from(parts.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// How much longer than usual clients must stay away so that they come at a bounded rate.
///
/// Every announce books the next free place in the time to come, as in a queue: places are as far
/// apart as the rate wants, and the delay is the length of the queue. Clients that keep to their
/// intervals then come back at that rate whatever rate they came at, so nothing swings, and nothing
/// is to be tuned. Those that do not only make the queue longer, up to the limit.
#[derive(Debug, Default)]
pub struct LoadDelay {
    secs: f64,
}

impl LoadDelay {
    /// Takes notice of announces and of seconds that passed meanwhile, and returns the delay.
    ///
    /// # Units
    /// Whole seconds to be added to the interval.
    pub fn step(&mut self, answers: &AnswerSettings, announces: u64, elapsed_secs: u32) -> u32 {
        let (rate, max_secs) = match &answers.stretch {
            Some(stretch) => (stretch.above_announces_per_sec, answers.delay_max_secs(stretch)),
            None => (0, 0),
        };
        self.secs = match rate {
            0 => 0.0,
            rate => {
                let booked_secs = announces as f64 / f64::from(rate);
                let secs = self.secs + booked_secs - f64::from(elapsed_secs);
                secs.clamp(0.0, max_secs.into())
            }
        };
        self.secs as u32
    }
}

#[cfg(test)]
mod tests;
