//! The survey: which calls, links and third parties a system shows, so that faults can aim at them.
//!
//! It runs once per system, before the first plan: without faults, then under faults, because some calls are made
//! only then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::plan::{Generator, Plan, Targets};
use crate::run::RunError;
use crate::seed::Seed;
use crate::simulation::survey;
use crate::system::System;
use crate::world::lock;

impl System {
    /// Where the plans of this system come from.
    ///
    /// What a fault can aim at is learnt from one run without faults, with the operations of
    /// several seeds, and from a few under faults, because some calls are made only then: which hosts
    /// call which of their ports, and who talks to whom. That happens once for a system.
    ///
    /// # Errors
    ///
    /// If that run fails.
    pub fn generator(&self) -> Result<Generator, RunError> {
        self.generator_by(1)
    }

    /// As [`System::generator`], with so many runs at once.
    pub(crate) fn generator_by(&self, jobs: usize) -> Result<Generator, RunError> {
        let mut generator = self.aimless_generator();
        let known = self.known_targets();
        generator.targets = match known.get() {
            Some(targets) => targets.clone(),
            None => {
                let targets = targets(self, &mut generator, jobs)?;
                known.get_or_init(|| targets).clone()
            }
        };
        self.spare(&mut generator.targets);
        Ok(generator)
    }

    /// The plan of a seed.
    ///
    /// # Errors
    ///
    /// As [`System::generator`].
    pub fn plan(&self, seed: Seed) -> Result<Plan, RunError> {
        Ok(self.generator()?.plan(seed))
    }
}

/// What the plans of `generator` can aim at in `system`, found by `jobs` runs at once.
///
/// # Errors
///
/// If the run without faults comes to no result.
fn targets(system: &System, generator: &mut Generator, jobs: usize) -> Result<Targets, RunError> {
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
