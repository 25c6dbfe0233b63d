//! The audit: is a run really a function of its plan?
//!
//! Two runs of one seed must have equal digests. Where they differ, the first event that differs is
//! named. The command line does the same across processes.

use crate::artefact::{Divergence, lines};
use crate::history::Digest;
use crate::seed::Seed;
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;

/// Runs a seed and returns the digest of its history.
///
/// # Errors
///
/// If the run comes to no result.
pub fn digest(system: &System, seed: Seed) -> Result<Digest, RunError> {
    Ok(recorded(system, seed)?.digest())
}

/// Runs a seed and records it.
///
/// # Errors
///
/// If the run comes to no result.
pub fn recorded(system: &System, seed: Seed) -> Result<Run, RunError> {
    run(system, &system.plan(seed)?, Recording::On)
}

/// Runs a seed twice; `None` if both runs are equal.
///
/// # Errors
///
/// If a run comes to no result.
pub fn audit(system: &System, seed: Seed) -> Result<Option<Divergence>, RunError> {
    let first = recorded(system, seed)?;
    let second = recorded(system, seed)?;
    if first.digest() == second.digest() {
        return Ok(None);
    }
    let divergence = Divergence::between(&lines(&first.history), &lines(&second.history));
    let by_digest = || {
        let (events, recorded) = (first.history.events.len(), first.digest().to_string());
        Divergence::of_digests(events, &recorded, &second.digest())
    };
    Ok(Some(divergence.unwrap_or_else(by_digest)))
}
