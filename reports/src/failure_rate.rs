//! What a number of seeds without a failure excludes: the rule of three.
//!
//! If none of `n` independent seeds failed, then the failure rate is at most `3/n` with 95% confidence. It says
//! nothing about faults that no seed of the scenario can plan.

use std::fmt;

/// The largest failure rate that a number of green seeds leaves possible, at 95% confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// How many seeds ran, none of which failed. At least one.
    seeds: u64,
}

impl FailureRate {
    /// The bound that `seeds` without any failure give; `None` for no seeds, which exclude nothing.
    #[must_use]
    pub fn after_green(seeds: u64) -> Option<Self> {
        (seeds > 0).then_some(Self { seeds })
    }

    /// The bound in percent, at most 100.
    #[must_use]
    pub fn percent_max(self) -> f64 {
        (300.0 / self.seeds as f64).min(100.0)
    }
}

impl fmt::Display for FailureRate {
    /// Two significant digits, rounded up: a bound that is rounded down would claim more than was shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seeds <= 3 {
            return formatter.write_str("100%");
        }
        let (mut scaled, mut decimals) = (300_u128, 0);
        while scaled.div_ceil(u128::from(self.seeds)) < 10 {
            scaled *= 10;
            decimals += 1;
        }
        let digits = scaled.div_ceil(u128::from(self.seeds));
        if decimals == 0 {
            return write!(formatter, "{digits}%");
        }
        let digits = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        match fraction.trim_end_matches('0') {
            "" => write!(formatter, "{whole}%"),
            fraction => write!(formatter, "{whole}.{fraction}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureRate;

    #[test]
    fn the_bound_is_three_in_n_and_never_rounded_down() {
        let cases = [
            (1, "100%"),
            (3, "100%"),
            (4, "75%"),
            (7, "43%"),
            (50, "6%"),
            (200, "1.5%"),
            (400, "0.75%"),
            (1000, "0.3%"),
            (1400, "0.22%"),
            (1_000_000, "0.0003%"),
        ];
        for (seeds, expected) in cases {
            let rate = FailureRate::after_green(seeds).expect("some seeds");
            assert_eq!(rate.to_string(), expected, "{seeds} seeds");
            let shown: f64 = expected.trim_end_matches('%').parse().expect("a number");
            assert!(shown >= rate.percent_max() - 1e-9, "{seeds} seeds");
        }
    }

    #[test]
    fn no_seeds_exclude_nothing() {
        assert_eq!(FailureRate::after_green(0), None);
    }
}
