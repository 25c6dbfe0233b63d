//! What a test says that holds: its evidence, in one line.
//!
//! It does not judge whether the evidence is enough.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure_rate::FailureRate;
use crate::figures::{count, virtual_time, wall_time};
use crate::paragraph::one_line;
use crate::sweep::FaultCount;

/// The evidence of a test in which no property broke. `Display` gives one line, without a line break.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreenReport {
    /// The test's name, as `cargo test` knows it.
    pub test: String,
    /// How many seeds ran, all of them green.
    pub seeds: u64,
    /// How long they took together on the wall clock.
    pub elapsed_ms: u64,
    /// How much virtual time they simulated together.
    pub virtual_ms: u64,
    /// By kind of fault: how many were planned, and how many made a difference.
    pub faults: BTreeMap<String, FaultCount>,
    /// How many of the seeds put the property to the test that the fewest did; the others exclude nothing.
    pub tested_least: u64,
    /// How many kept failures were run again before the seeds, all of them green.
    #[serde(default)]
    pub kept: u64,
}

impl fmt::Display for GreenReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self
            .faults
            .values()
            .filter(|count| count.bitten > 0)
            .count();
        write!(
            formatter,
            "{} holds   {} in {}, {}; {}",
            one_line(&self.test),
            count(self.seeds, "seed"),
            wall_time(self.elapsed_ms),
            virtual_time(self.virtual_ms),
            mattered(kinds),
        )?;
        if let Some(rate) = FailureRate::after_green(self.tested_least) {
            write!(formatter, "; failure rate at most {rate}")?;
        }
        match self.kept {
            0 => Ok(()),
            1 => write!(formatter, "; 1 kept failure holds"),
            many => write!(formatter, "; {many} kept failures hold"),
        }
    }
}

/// How many kinds of fault made a difference, as a clause.
pub(crate) fn mattered(kinds: usize) -> String {
    match kinds {
        0 => "no fault mattered".to_owned(),
        1 => "1 kind of fault mattered".to_owned(),
        _ => format!("{kinds} kinds of fault mattered"),
    }
}

#[cfg(test)]
mod tests {
    use super::GreenReport;
    use crate::sweep::FaultCount;

    #[test]
    fn a_green_test_states_its_evidence_in_one_line() {
        let mut kinds: Vec<_> = (1..=9)
            .map(|n| {
                (
                    format!("kind-{n}"),
                    FaultCount {
                        planned: 5,
                        bitten: n,
                    },
                )
            })
            .collect();
        kinds.push((
            "never-bit".to_owned(),
            FaultCount {
                planned: 5,
                bitten: 0,
            },
        ));
        let green = GreenReport {
            test: "no_lost_orders".to_owned(),
            seeds: 400,
            elapsed_ms: 6_690,
            virtual_ms: 354_240_000,
            faults: kinds.into_iter().collect(),
            tested_least: 400,
            kept: 2,
        };
        assert_eq!(
            green.to_string(),
            "no_lost_orders holds   400 seeds in 6.7 s, 4.1 virtual days; 9 kinds of fault mattered; \
             failure rate at most 0.75%; 2 kept failures hold"
        );
    }

    #[test]
    fn a_single_calm_seed_claims_no_more_than_it_shows() {
        let green = GreenReport {
            test: "calm".to_owned(),
            seeds: 1,
            elapsed_ms: 40,
            tested_least: 1,
            ..GreenReport::default()
        };
        assert_eq!(
            green.to_string(),
            "calm holds   1 seed in 40 ms, 0 virtual milliseconds; no fault mattered; failure rate at most 100%"
        );
    }
}
