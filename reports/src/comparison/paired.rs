//! Paired tests: two patterns ran the same seeds under the same faults, so they are compared seed by seed.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::interval::at_most;
use super::{Difference, Times};

const RESAMPLINGS: usize = 1_000;

/// Two patterns under one set of faults that had an effect on both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The set's name.
    pub faults: String,
    /// The name of one pattern.
    pub this: String,
    /// The name of the one that it is compared with.
    pub other: String,
    /// How they differ in losing orders, seed by seed.
    pub lost: Discordance,
    /// How the median time to the effect differs; `None` where one has no time.
    pub effect: Option<Difference>,
}

/// Seeds in which only one of two patterns lost orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discordance {
    /// Seeds in which this one lost some and the other did not.
    pub only_this: u64,
    /// Seeds in which the other lost some and this one did not.
    pub only_other: u64,
}

impl Discordance {
    /// One more seed.
    pub fn add(&mut self, this: bool, other: bool) {
        self.only_this += u64::from(this && !other);
        self.only_other += u64::from(other && !this);
    }

    /// How likely a difference at least as large is if both lose equally often: McNemar's test, exact and two-sided
    /// (Psychometrika 12, 1947).
    #[must_use]
    pub fn p_value(self) -> f64 {
        let discordant = self.only_this + self.only_other;
        match discordant {
            0 => 1.0,
            _ => (2.0 * at_most(self.only_this.min(self.only_other), discordant, 0.5)).min(1.0),
        }
    }

    /// The test in words.
    pub(super) fn told(self) -> String {
        let p = self.p_value();
        let p = match p < 0.001 {
            true => "p < 0.001".to_owned(),
            false => format!("p = {p:.3}"),
        };
        format!("{} : {}, {p}", self.only_this, self.only_other)
    }
}

/// The difference of the medians, and the interval of the middle 95% of its resamplings. Seeds are drawn, each with all its times
/// by both patterns: those of one seed are not independent.
pub(super) fn bootstrap(pairs: &[Times<'_>], seed: u64) -> Option<Difference> {
    let known = |time: i64| (time != i64::MAX && time != i64::MIN).then_some(time);
    let median_ms = difference(pairs.iter())?;
    let mut rng = Rng::with_seed(seed);
    let mut drawn: Vec<i64> = (0..RESAMPLINGS)
        .filter_map(|_| difference((0..pairs.len()).map(|_| &pairs[rng.usize(0..pairs.len())])))
        .collect();
    drawn.sort_unstable();
    let at = |of_1000: usize| known(drawn[(drawn.len() * of_1000).div_ceil(1_000).max(1) - 1]);
    Some(Difference {
        median_ms: known(median_ms),
        from_ms: at(25),
        until_ms: at(975),
    })
}

/// The median of the one times less that of the others. One that never came is longer than all others by more than can be
/// said.
fn difference<'a>(pairs: impl Iterator<Item = &'a Times<'a>>) -> Option<i64> {
    let (mut these, mut others) = (Vec::new(), Vec::new());
    for (this, other) in pairs {
        these.extend_from_slice(this);
        others.extend_from_slice(other);
    }
    let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    Some(match (median(these)?, median(others)?) {
        (Some(this), Some(other)) => signed(this) - signed(other),
        (None, Some(_)) => i64::MAX,
        (Some(_), None) => i64::MIN,
        (None, None) => 0,
    })
}

/// The time that half of all are at most, as [`Latency`](super::Latency) has it.
fn median(mut times: Vec<Option<u64>>) -> Option<Option<u64>> {
    let rank = times.len().div_ceil(2).checked_sub(1)?;
    let (_, median, _) = times.select_nth_unstable_by_key(rank, |time| time.unwrap_or(u64::MAX));
    Some(*median)
}

#[cfg(test)]
mod tests {
    use super::{Discordance, Times, bootstrap};

    #[test]
    fn mcnemar_is_the_exact_binomial() {
        let p = |only_this, only_other| {
            Discordance {
                only_this,
                only_other,
            }
            .p_value()
        };
        assert_eq!(p(0, 0), 1.0);
        assert_eq!(p(3, 3), 1.0);
        // Two times the chance of at most 1 head in 10 throws: 2 * 11 / 1024.
        assert!((p(1, 9) - 22.0 / 1024.0).abs() < 1e-12);
        assert!((p(10, 0) - 2.0 / 1024.0).abs() < 1e-12);
    }

    #[test]
    fn the_bootstrap_repeats_and_holds_the_difference() {
        let times: Vec<[Option<u64>; 2]> =
            (0..100).map(|own| [Some(90 + own % 7), Some(90)]).collect();
        let pairs: Vec<Times<'_>> = times.iter().map(|own| (&own[..1], &own[1..])).collect();
        let difference = bootstrap(&pairs, 7).expect("there are times");
        assert_eq!(bootstrap(&pairs, 7), Some(difference));
        assert_eq!(difference.median_ms, Some(3));
        assert!(difference.from_ms <= Some(3) && Some(3) <= difference.until_ms);
        assert!(difference.from_ms >= Some(1) && difference.until_ms <= Some(5));
        assert_eq!(bootstrap(&[], 7), None);
        assert_eq!(bootstrap(&[(&[], &[Some(1)])], 7), None);
    }

    #[test]
    fn what_never_came_is_longer_than_all_others() {
        let (came, never) = ([Some(5)], [None]);
        let mut pairs: Vec<Times<'_>> = vec![(&came, &came); 52];
        pairs.resize(100, (&never, &came));
        let difference = bootstrap(&pairs, 1).expect("there are times");
        // Half and a little more came; many resamplings have less than half.
        assert_eq!(
            (difference.median_ms, difference.from_ms),
            (Some(0), Some(0))
        );
        assert_eq!(difference.until_ms, None);
        let all = bootstrap(&[(&never[..], &came[..]); 9], 1).expect("there are times");
        assert_eq!(
            (all.median_ms, all.from_ms, all.until_ms),
            (None, None, None)
        );
    }
}
