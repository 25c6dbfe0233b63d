//! Paired tests: two patterns ran the same seeds under the same faults, so they are compared seed by seed.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::Difference;
use super::interval::at_most;

const RESAMPLINGS: usize = 1_000;

/// Seeds in which only one of two patterns lost orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discordance {
    /// Seeds in which this one lost some and the first did not.
    pub only_this: u64,
    /// Seeds in which the first lost some and this one did not.
    pub only_first: u64,
}

impl Discordance {
    /// One more seed.
    pub fn add(&mut self, this: bool, first: bool) {
        self.only_this += u64::from(this && !first);
        self.only_first += u64::from(first && !this);
    }

    /// How likely a difference at least as large is if both lose equally often: McNemar's test, exact and two-sided
    /// (Psychometrika 12, 1947).
    #[must_use]
    pub fn p_value(self) -> f64 {
        let discordant = self.only_this + self.only_first;
        match discordant {
            0 => 1.0,
            _ => (2.0 * at_most(self.only_this.min(self.only_first), discordant, 0.5)).min(1.0),
        }
    }

    /// The test in words.
    pub(super) fn told(self) -> String {
        let p = self.p_value();
        let p = match p < 0.001 {
            true => "p < 0.001".to_owned(),
            false => format!("p = {p:.3}"),
        };
        format!("{} : {}, {p}", self.only_this, self.only_first)
    }
}

/// The mean difference of pairs, and the interval of the middle 95% of its resamplings.
pub(super) fn bootstrap(pairs: &[(u64, u64)], seed: u64) -> Option<Difference> {
    let differences: Vec<f64> = pairs
        .iter()
        .map(|(this, first)| *this as f64 - *first as f64)
        .collect();
    let count = differences.len();
    if count == 0 {
        return None;
    }
    let mut rng = Rng::with_seed(seed);
    let mut means: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| {
            let drawn = (0..count).map(|_| differences[rng.usize(0..count)]);
            drawn.sum::<f64>() / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let rounded = |value: f64| value.round() as i64;
    Some(Difference {
        mean_ms: rounded(differences.iter().sum::<f64>() / count as f64),
        from_ms: rounded(means[RESAMPLINGS * 25 / 1_000]),
        until_ms: rounded(means[RESAMPLINGS * 975 / 1_000 - 1]),
    })
}

#[cfg(test)]
mod tests {
    use super::{Discordance, bootstrap};

    #[test]
    fn mcnemar_is_the_exact_binomial() {
        let p = |only_this, only_first| {
            Discordance {
                only_this,
                only_first,
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
    fn the_bootstrap_repeats_and_holds_the_mean() {
        let pairs: Vec<(u64, u64)> = (0..100).map(|own| (100 + own % 7, 90)).collect();
        let difference = bootstrap(&pairs, 7).expect("there are pairs");
        assert_eq!(bootstrap(&pairs, 7), Some(difference));
        assert!(difference.from_ms <= difference.mean_ms);
        assert!(difference.mean_ms <= difference.until_ms);
        assert_eq!(difference.mean_ms, 13);
        assert_eq!(bootstrap(&[], 7), None);
        let same = bootstrap(&[(5, 5); 20], 1).expect("there are pairs");
        assert_eq!((same.from_ms, same.mean_ms, same.until_ms), (0, 0, 0));
    }
}
