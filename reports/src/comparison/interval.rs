//! Exact intervals for a share of independent seeds (Clopper and Pearson, Biometrika 26, 1934), at 95% confidence.
//!
//! Where none of the seeds showed something, the interval is one-sided: all 5% are above it.

use std::fmt;

/// Where a share lies, of which `hits` of `seeds` were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end, from 0 to 1.
    pub low: f64,
    /// The upper end, from 0 to 1.
    pub high: f64,
}

impl Interval {
    /// The interval for so many hits among so many seeds.
    #[must_use]
    pub fn of(hits: u64, seeds: u64) -> Self {
        let (low, high) = match hits {
            _ if seeds == 0 => (0.0, 1.0),
            0 => (0.0, 1.0 - 0.05_f64.powf(1.0 / seeds as f64)),
            all if all >= seeds => (0.05_f64.powf(1.0 / seeds as f64), 1.0),
            some => (
                // The rate at which so many or more have a chance of 2.5%, and the one at which so many or fewer have.
                bisect(|rate| 1.0 - at_most(some - 1, seeds, rate) < 0.025),
                bisect(|rate| at_most(some, seeds, rate) > 0.025),
            ),
        };
        Interval { low, high }
    }
}

/// The rate at which `is_below` ceases to hold.
fn bisect(is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let rate = f64::midpoint(low, high);
        match is_below(rate) {
            true => low = rate,
            false => high = rate,
        }
    }
    high
}

/// The chance that at most `hits` of `seeds` hit, each at this rate.
pub(super) fn at_most(hits: u64, seeds: u64, rate: f64) -> f64 {
    let (seeds, odds) = (seeds as f64, (rate / (1.0 - rate)).ln());
    // In logarithms, since a single term may be too small for a number.
    let mut term = seeds * (-rate).ln_1p();
    let mut sum = term.exp();
    for hit in 1..=hits {
        let hit = hit as f64;
        term += ((seeds - hit + 1.0) / hit).ln() + odds;
        sum += term.exp();
    }
    sum.min(1.0)
}

impl fmt::Display for Interval {
    /// In percent: the lower end rounded down and the upper one up, so that neither claims more than was shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = (self.low * 1_000.0).floor() / 10.0;
        let high = (self.high * 1_000.0).ceil() / 10.0;
        match self.low == 0.0 {
            true => write!(formatter, "≤{high}%"),
            false => write!(formatter, "{low} to {high}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Interval;

    #[test]
    fn published_values_are_met() {
        // The exact method for two of the shares of Newcombe's comparison (Statistics in Medicine 17, 1998, table I).
        for (hits, seeds, low, high) in [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617)] {
            let interval = Interval::of(hits, seeds);
            assert!((interval.low - low).abs() < 5e-5, "{interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{interval:?}");
        }
    }

    #[test]
    fn nothing_seen_leaves_the_rule_of_three() {
        let interval = Interval::of(0, 300);
        assert_eq!(interval.low, 0.0);
        assert!((interval.high - 0.00994).abs() < 1e-4, "{interval:?}");
        assert_eq!(interval.to_string(), "≤1%");
        assert_eq!(Interval::of(300, 300).to_string(), "99 to 100%");
        assert_eq!(Interval::of(0, 0).to_string(), "≤100%");
        // Two-sided, although its lower end is next to nothing.
        assert_eq!(Interval::of(1, 300).to_string(), "0 to 1.9%");
    }
}
