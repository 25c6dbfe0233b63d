//! What a test says that holds: its evidence, in one line.
//!
//! It does not judge whether the evidence is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure_rate::FailureRate;
use crate::figures::{count, virtual_time, wall_time};
use crate::panics::Panics;
use crate::paragraph::one_line;
use crate::sweep::{FaultCount, PropertyCount};

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
    /// How many operations clients asked for.
    #[serde(default)]
    pub operations: u64,
    /// How many of them were refused, got no answer in time or were broken off.
    #[serde(default)]
    pub operations_failed: u64,
    /// By property: how many seeds gave each verdict. Seeds in which nothing could have broken it exclude nothing.
    pub properties: BTreeMap<String, PropertyCount>,
    /// How many kept failures were run again before the seeds, all of them green.
    #[serde(default)]
    pub kept: u64,
    /// How many kept failures of this test were not run, because they were recorded on another database.
    #[serde(default)]
    pub kept_of_another_engine: u64,
    /// The other systems that kept failures are of. Where a system was renamed, nobody runs those any more.
    #[serde(default)]
    pub kept_of_other_systems: BTreeSet<String>,
    /// Where services panicked although every property holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub panics: Vec<Panics>,
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
        let idle = idle(&self.faults);
        if !idle.is_empty() {
            write!(formatter, "; never bit: {}", idle.join(", "))?;
        }
        if self.operations_failed > 0 {
            let operations = count(self.operations, "operation");
            write!(
                formatter,
                "; {} of {operations} failed",
                self.operations_failed
            )?;
        }
        if let Some(rates) = rates(&self.properties) {
            write!(formatter, "; failure rate at most {rates}")?;
        }
        match self.kept {
            0 => {}
            1 => write!(formatter, "; 1 kept failure holds")?,
            many => write!(formatter, "; {many} kept failures hold")?,
        }
        if self.kept_of_another_engine > 0 {
            let failures = count(self.kept_of_another_engine, "kept failure");
            write!(formatter, "; {failures} of another database not run")?;
        }
        if !self.kept_of_other_systems.is_empty() {
            let systems: Vec<String> = self
                .kept_of_other_systems
                .iter()
                .map(|system| format!("`{}`", one_line(system)))
                .collect();
            let systems = systems.join(", ");
            write!(
                formatter,
                "; kept failures of {systems} are for other tests"
            )?;
        }
        for panics in &self.panics {
            write!(formatter, "; {panics}")?;
        }
        Ok(())
    }
}

/// The kinds of fault that were planned to no effect, each with the reason.
pub(crate) fn idle(faults: &BTreeMap<String, FaultCount>) -> Vec<String> {
    let idle = faults
        .iter()
        .filter(|(_, count)| count.planned > 0 && count.bitten == 0);
    idle.map(|(kind, count)| format!("{kind} ({})", why_idle(*count)))
        .collect()
}

/// Why none of these faults bit.
fn why_idle(count: FaultCount) -> String {
    let FaultCount {
        planned,
        never_called,
        ..
    } = count;
    match never_called {
        0 => format!("{planned} planned, and nothing there to strike"),
        all if all == planned => format!("{planned} planned, and the call never came"),
        some => format!(
            "{planned} planned; for {some} the call never came, for the others nothing was there to strike"
        ),
    }
}

/// `0.75%`, or `0.75% (effect-once, log), 3% (dlq-routing)` where properties were not put to the test equally often.
fn rates(properties: &BTreeMap<String, PropertyCount>) -> Option<String> {
    let mut by_rate: Vec<(FailureRate, Vec<&str>)> = Vec::new();
    for (property, count) in properties {
        let Some(rate) = FailureRate::of(*count) else {
            continue;
        };
        match by_rate.iter_mut().find(|(own, _)| *own == rate) {
            Some((_, names)) => names.push(property),
            None => by_rate.push((rate, vec![property])),
        }
    }
    by_rate.sort_by(|(one, _), (other, _)| one.percent_max().total_cmp(&other.percent_max()));
    match &*by_rate {
        [] => None,
        [(rate, _)] => Some(rate.to_string()),
        several => {
            let told = several
                .iter()
                .map(|(rate, names)| format!("{rate} ({})", names.join(", ")));
            Some(told.collect::<Vec<_>>().join(", "))
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
    use super::{GreenReport, Panics};
    use crate::sweep::{FaultCount, PropertyCount};

    fn held(property: &str, holds: u64, vacuous: u64) -> (String, PropertyCount) {
        let count = PropertyCount {
            holds,
            broken: 0,
            vacuous,
        };
        (property.to_owned(), count)
    }

    #[test]
    fn a_green_test_states_its_evidence_in_one_line() {
        let mut kinds: Vec<_> = (1..=9)
            .map(|n| {
                (
                    format!("kind-{n}"),
                    FaultCount {
                        planned: 5,
                        bitten: n,
                        never_called: 0,
                    },
                )
            })
            .collect();
        kinds.push((
            "never-bit".to_owned(),
            FaultCount {
                planned: 5,
                bitten: 0,
                never_called: 3,
            },
        ));
        let green = GreenReport {
            test: "no_lost_orders".to_owned(),
            seeds: 400,
            elapsed_ms: 6_690,
            virtual_ms: 354_240_000,
            faults: kinds.into_iter().collect(),
            operations: 6_200,
            operations_failed: 310,
            properties: [
                held("effect-once", 400, 0),
                held("dlq-routing", 100, 300),
                held("log", 400, 0),
            ]
            .into(),
            kept: 2,
            kept_of_another_engine: 1,
            kept_of_other_systems: ["old name".to_owned()].into(),
            panics: vec![Panics {
                place: "src/relay.rs:52:9".to_owned(),
                seeds: 12,
                first_seed: 3,
                host: "relay".to_owned(),
                message: "min > max".to_owned(),
            }],
        };
        assert_eq!(
            green.to_string(),
            "no_lost_orders holds   400 seeds in 6.7 s, 4.1 virtual days; 9 kinds of fault mattered; \
             never bit: never-bit (5 planned; for 3 the call never came, for the others nothing was \
             there to strike); 310 of 6200 operations failed; failure rate at most 0.75% (effect-once, log), 3% (dlq-routing); \
             2 kept failures hold; 1 kept failure of another database not run; \
             kept failures of `old name` are for other tests; \
             relay panicked at src/relay.rs:52:9 in 12 seeds, first in 0x00000003: min > max"
        );
    }

    #[test]
    fn a_single_calm_seed_claims_no_more_than_it_shows() {
        let green = GreenReport {
            test: "calm".to_owned(),
            seeds: 1,
            elapsed_ms: 40,
            properties: [held("log", 1, 0)].into(),
            ..GreenReport::default()
        };
        assert_eq!(
            green.to_string(),
            "calm holds   1 seed in 40 ms, 0 virtual milliseconds; no fault mattered; failure rate at most 100%"
        );
    }
}
