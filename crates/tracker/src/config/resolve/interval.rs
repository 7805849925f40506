//! Rules between intervals, and between them and the life of peers that keep to them.
//!
//! What an interval becomes under load is decided in the engine.

use super::Settings;

const INTERVAL: &str = "announce.interval_secs";
const INTERVAL_MIN: &str = "announce.interval_min_secs";
const INTERVAL_MAX: &str = "announce.interval_max_secs";
const PEER_TTL: &str = "swarm.peer_ttl_secs";

/// What makes intervals longer, for messages.
const STRETCH_ABOVE: &str =
    "announce.stretch_above_announces_per_sec or announce.stretch_above_swarm_peers";

/// rTorrent comes only every ten minutes, whatever it is told.
const PEER_TTL_SECS_MIN: u32 = 1500;

/// Lists of public trackers want no longer interval.
const LISTED_SECS_MAX: u32 = 10_800;

impl Settings {
    /// Moves what nobody chose along with the interval, and keeps peers for long enough.
    pub(super) fn follow_interval(&mut self) {
        let interval = self.integer(INTERVAL);
        if self.is_default(INTERVAL_MIN) && self.integer(INTERVAL_MIN) > interval {
            self.give(INTERVAL_MIN, interval.div_ceil(2));
        }
        // One announce may be lost, and under memory pressure peers live for a part of their time.
        let announce = self.announce();
        let ttl_min = (announce.interval_longest_secs() * 2).max(PEER_TTL_SECS_MIN);
        let ttl = self.integer(PEER_TTL);
        if ttl < ttl_min && self.are_sound(&[INTERVAL, INTERVAL_MAX, PEER_TTL]) {
            self.give(PEER_TTL, ttl_min);
            let reason = if announce.stretches() {
                format!("intervals of up to {} seconds", announce.interval_longest_secs())
            } else {
                format!("{INTERVAL} = {interval}")
            };
            self.warn(PEER_TTL, format!("{ttl} is raised to {ttl_min}, the least for {reason}"));
        }
    }

    pub(super) fn check_intervals(&mut self) {
        self.check_at_most(INTERVAL_MIN, INTERVAL);
        self.warn_of_interval();
        if self.are_sound(&[INTERVAL, INTERVAL_MAX]) {
            self.check_interval_max();
        }
    }

    fn check_interval_max(&mut self) {
        let announce = self.announce();
        let (interval, max) = (announce.interval_secs, announce.interval_max_secs);
        let (longest, jitter) =
            (announce.interval_longest_secs(), announce.interval_jitter_percent);
        if max != 0 && max < interval {
            let message = format!("must be 0 or at least {}", self.described(INTERVAL));
            self.refuse(INTERVAL_MAX, message);
        } else if !announce.stretches() {
            if max != 0 {
                self.warn(INTERVAL_MAX, format!("has no effect without {STRETCH_ABOVE}"));
            }
        } else if longest * 100 <= interval * (100 + jitter) {
            let message = format!(
                "{longest} leaves no room to stretch {INTERVAL} = {interval} with its {jitter} \
                 percent at random"
            );
            self.warn(INTERVAL_MAX, message);
        } else if longest > LISTED_SECS_MAX && interval <= LISTED_SECS_MAX {
            let message =
                format!("{longest} may take the tracker off public lists, which want 300 to 10800");
            self.warn(INTERVAL_MAX, message);
        }
    }

    fn warn_of_interval(&mut self) {
        let interval = self.integer(INTERVAL);
        if !(300..=LISTED_SECS_MAX).contains(&interval) {
            let message =
                format!("{interval} keeps the tracker off public lists, which want 300 to 10800");
            self.warn(INTERVAL, message);
        }
    }
}
