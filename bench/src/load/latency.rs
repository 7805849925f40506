//! How long answers took: a histogram with the precision of a thousandth, and its quantiles.
//!
//! Which time to record is decided by those who send.

use std::fmt;

use hdrhistogram::Histogram;

/// Significant decimal digits of what is recorded.
const DIGITS: u8 = 3;

/// Longer times count as this long; requests are given up before.
const NANOS_MAX: u64 = 60_000_000_000;

/// Times of one run.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, NANOS_MAX, DIGITS);
        Self(histogram.expect("the bounds are constants that hdrhistogram takes"))
    }

    /// Records a time in nanoseconds.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// The quantiles that are reported, all zero if nothing was recorded.
    pub(crate) fn quantiles(&self) -> Quantiles {
        let us = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Quantiles {
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            p9999_us: us(0.9999),
            max_us: self.0.max() as f64 / 1e3,
        }
    }
}

/// What a histogram comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quantiles {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) p9999_us: f64,
    pub(crate) max_us: f64,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p99_us, p999_us, p9999_us, max_us } = self;
        write!(
            f,
            "p50 {p50_us:.0}, p99 {p99_us:.0}, p99.9 {p999_us:.0}, p99.99 {p9999_us:.0}, \
             max {max_us:.0} us"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_everything_recorded_until_it_is_forgotten() {
        let mut times = Latencies::new();
        for us in 1..=10_000 {
            times.record(us * 1000);
        }
        let near = |us: f64, expected: f64| (us / expected - 1.0).abs() < 2e-3;
        let found = times.quantiles();
        assert!(near(found.p50_us, 5000.0), "{found}");
        assert!(near(found.p99_us, 9900.0), "{found}");
        assert!(near(found.p999_us, 9990.0), "{found}");
        assert!(near(found.p9999_us, 9999.0), "{found}");
        assert!(near(found.max_us, 10_000.0), "{found}");
        times.clear();
        assert_eq!(times.quantiles().max_us, 0.0);
    }
}
