//! How often a property may still fail after a number of seeds: the upper bound of Clopper and Pearson.
//!
//! The bound holds with 95% confidence (Clopper and Pearson, Biometrika 26, 1934). Where none of `n` independent
//! seeds failed it is the rule of three: at most `3/n`. It says nothing about faults that no seed can plan.

use std::fmt;

use crate::sweep::PropertyCount;

/// The largest failure rate that a number of seeds leaves possible, at 95% confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// How many seeds put the property to the test. At least one.
    tested: u64,
    /// How many of them broke it.
    broken: u64,
}

impl FailureRate {
    /// The bound that `seeds` without any failure give; `None` for no seeds, which exclude nothing.
    #[must_use]
    pub fn after_green(seeds: u64) -> Option<Self> {
        (seeds > 0).then_some(Self {
            tested: seeds,
            broken: 0,
        })
    }

    /// The bound for one property; `None` if no seed put it to the test.
    #[must_use]
    pub fn of(count: PropertyCount) -> Option<Self> {
        let tested = count.holds + count.broken;
        (tested > 0).then_some(Self {
            tested,
            broken: count.broken,
        })
    }

    /// The bound in percent, at most 100.
    #[must_use]
    pub fn percent_max(self) -> f64 {
        if self.broken == 0 {
            return (300.0 / self.tested as f64).min(100.0);
        }
        if self.broken >= self.tested {
            return 100.0;
        }
        // The rate at which so few failures have a chance of 5%, by bisection: the chance falls as the rate grows.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let rate = f64::midpoint(low, high);
            match self.chance_of_so_few(rate) > 0.05 {
                true => low = rate,
                false => high = rate,
            }
        }
        100.0 * high
    }

    /// The chance that at most so many of the seeds fail if each fails at this rate.
    fn chance_of_so_few(self, rate: f64) -> f64 {
        let (seeds, odds) = (self.tested as f64, (rate / (1.0 - rate)).ln());
        // In logarithms, since the chance of no failure at all among many seeds is too small for a number.
        let mut term = seeds * (-rate).ln_1p();
        let mut sum = term.exp();
        for failures in 1..=self.broken {
            let failures = failures as f64;
            term += ((seeds - failures + 1.0) / failures).ln() + odds;
            sum += term.exp();
        }
        sum
    }
}

impl fmt::Display for FailureRate {
    /// Two significant digits, rounded up: a bound that is rounded down would claim more than was shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.percent_max();
        let mut decimals = 0_usize;
        let mut scaled = percent;
        while scaled < 10.0 - 1e-9 && decimals < 12 {
            scaled *= 10.0;
            decimals += 1;
        }
        // What is a whole number but for the error of the arithmetic is not rounded up to the next.
        let digits = (scaled - 1e-9 * scaled).ceil() as u64;
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
    use crate::sweep::PropertyCount;

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

    /// The expected bounds are those of any table of the binomial distribution.
    #[test]
    fn failures_raise_the_bound() {
        for (broken, tested, expected) in [
            (1, 20, "22%"),
            (1, 200, "2.4%"),
            (10, 200, "8.4%"),
            (100, 200, "57%"),
            (3, 3, "100%"),
        ] {
            let count = PropertyCount {
                holds: tested - broken,
                broken,
                vacuous: 7,
            };
            let rate = FailureRate::of(count).expect("some seeds");
            assert_eq!(rate.to_string(), expected, "{broken} of {tested}");
        }
    }

    #[test]
    fn no_seeds_exclude_nothing() {
        assert_eq!(FailureRate::after_green(0), None);
        let vacuous = PropertyCount {
            vacuous: 40,
            ..PropertyCount::default()
        };
        assert_eq!(FailureRate::of(vacuous), None);
    }
}
