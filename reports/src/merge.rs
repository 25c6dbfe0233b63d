//! Merging: the reports of all shards of a sweep become the report of the whole sweep.
//!
//! It adds up and picks the lowest seeds, as the sweep does, so that the result is the one that a single machine would
//! have given. What does not belong together is refused.

use std::collections::BTreeMap;

use crate::failure::FailureReport;
use crate::panics::Panics;
use crate::shard::Shard;
use crate::signature::Signature;
use crate::sweep::{FaultCount, PropertyCount, ScenarioReport, SweepReport};

/// Why reports make no whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("there is no report to merge")]
    Nothing,
    /// A report covers all seeds already.
    #[error("report {0} is no shard: it was made without --shard")]
    Whole(usize),
    /// Two reports are of the same shard.
    #[error("overlap: shard {0} is there twice")]
    Overlap(Shard),
    /// A shard is missing.
    #[error("gap: shard {number}/{of} is missing")]
    Gap {
        /// Which one.
        number: u64,
        /// Of how many.
        of: u64,
    },
    /// Two reports disagree about what was swept.
    #[error(
        "the shards do not belong together: {what} is {one} in shard {first} and {other} in shard {second}"
    )]
    Mixed {
        /// What they disagree about.
        what: &'static str,
        /// What the first says.
        one: String,
        /// What the other says.
        other: String,
        /// The shard that is compared with.
        first: Shard,
        /// The shard that differs.
        second: Shard,
    },
}

/// The whole sweep, given the report of each of its shards in any order.
///
/// # Errors
///
/// [`MergeError`] if some are missing, are there twice, or are of other sweeps or of another version of the program.
pub fn merge(reports: &[SweepReport]) -> Result<SweepReport, MergeError> {
    let mut shards = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        let shard = report.shard.ok_or(MergeError::Whole(number + 1))?;
        shards.push((shard, report));
    }
    shards.sort_by_key(|(shard, _)| *shard);
    let ((first, lead), rest) = shards.split_first().ok_or(MergeError::Nothing)?;
    for (shard, report) in rest {
        agree((*first, lead), (*shard, report))?;
    }
    complete(&shards)?;
    let mut whole = SweepReport {
        shard: None,
        jobs: None,
        elapsed_ms: None,
        ..(*lead).clone()
    };
    for (_, report) in rest {
        whole.interrupted |= report.interrupted;
        for (sum, own) in whole.scenarios.iter_mut().zip(&report.scenarios) {
            append(sum, own);
        }
    }
    Ok(whole)
}

/// Whether each shard is there once.
fn complete(shards: &[(Shard, &SweepReport)]) -> Result<(), MergeError> {
    let twice = shards.windows(2).find(|pair| pair[0].0 == pair[1].0);
    if let Some([(shard, _), _]) = twice {
        return Err(MergeError::Overlap(*shard));
    }
    let of = shards.first().map_or(0, |(shard, _)| shard.of());
    let is_there = |number: &u64| shards.iter().any(|(shard, _)| shard.number() == *number);
    match (1..=of).find(|number| !is_there(number)) {
        Some(number) => Err(MergeError::Gap { number, of }),
        None => Ok(()),
    }
}

/// Whether two shards are of one sweep.
fn agree(one: (Shard, &SweepReport), other: (Shard, &SweepReport)) -> Result<(), MergeError> {
    let names = |report: &SweepReport| {
        let of_one = |own: &ScenarioReport| {
            let properties: Vec<&str> = own.properties.keys().map(String::as_str).collect();
            let properties = properties.join(", ");
            format!("{} of {} seeds ({properties})", own.name, own.seeds_asked)
        };
        report.scenarios.iter().map(of_one).collect::<Vec<_>>()
    };
    let facts = |(shard, report): (Shard, &SweepReport)| {
        [
            ("the number of shards", shard.of().to_string()),
            ("the version", report.code_version.clone()),
            ("the database", report.database.to_string()),
            ("the first seed", crate::seed::text(report.first_seed)),
            (
                "the number of scenarios",
                report.scenarios.len().to_string(),
            ),
        ]
    };
    let scenarios = names(one.1).into_iter().zip(names(other.1));
    let scenarios = scenarios.map(|(a, b)| ("a scenario", a, b));
    let pairs = facts(one).into_iter().zip(facts(other));
    let pairs = pairs.map(|((what, a), (_, b))| (what, a, b));
    match pairs.chain(scenarios).find(|(_, a, b)| a != b) {
        None => Ok(()),
        Some((what, a, b)) => Err(MergeError::Mixed {
            what,
            one: a,
            other: b,
            first: one.0,
            second: other.0,
        }),
    }
}

/// Adds what the seeds of a later shard came to.
fn append(sum: &mut ScenarioReport, later: &ScenarioReport) {
    sum.seeds += later.seeds;
    sum.virtual_ms += later.virtual_ms;
    sum.kept += later.kept;
    if sum.back.is_none() {
        sum.back.clone_from(&later.back);
    }
    for (kind, count) in &later.faults {
        let own = sum.faults.entry(kind.clone()).or_default();
        *own = FaultCount::plus(*own, count);
    }
    for (property, count) in &later.properties {
        let own = sum.properties.entry(property.clone()).or_default();
        *own = PropertyCount {
            holds: own.holds + count.holds,
            broken: own.broken + count.broken,
            vacuous: own.vacuous + count.vacuous,
        };
    }
    Signature::add(&mut sum.signatures, &later.signatures);
    Panics::add(&mut sum.panics, &later.panics);
    // Shards come in the order of their seeds, so what is there already is of a lower seed.
    let both = later.failures.iter().chain(&sum.failures);
    let lowest: BTreeMap<&str, &FailureReport> =
        both.map(|own| (own.property.as_str(), own)).collect();
    sum.failures = lowest.into_values().cloned().collect();
}
