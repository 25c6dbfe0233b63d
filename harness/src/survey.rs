//! The survey: which calls, links and third parties a system shows, so that faults can aim at them.
//!
//! It runs once per system, before the first plan: without faults, then under faults, because some calls are made
//! only then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::plan::{Generator, Targets};
use crate::simulation::world::lock;
use crate::simulation::{RunError, survey};
use crate::system::System;

/// What the plans of `generator` can aim at in `system`, found by `jobs` runs at once.
///
/// # Errors
///
/// If the run without faults comes to no result.
pub(crate) fn targets(
    system: &System,
    generator: &mut Generator,
    jobs: usize,
) -> Result<Targets, RunError> {
    generator.targets = survey(system, &generator.survey_plan())?;
    generator.targets.level(&generator.services);
    generator.targets.allow_restarts(&generator.services);
    let plans = generator.survey_plans_under_faults();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, plans.len().max(1)) {
            scope.spawn(|| {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A system that comes to no result under faults is found out by its seeds.
                    if let Ok(targets) = survey(system, plan) {
                        lock(&found).push(targets);
                    }
                }
            });
        }
    });
    // Targets are sets: in which order they were found does not show.
    let mut all = generator.targets.clone();
    for targets in lock(&found).drain(..) {
        all.extend(targets);
    }
    all.level(&generator.services);
    Ok(all)
}
