//! Exploration: many seeds of one system, in parallel, and what they add up to.
//!
//! Seeds are independent runs on threads of their own, so the result does not depend on how many
//! run at once. Nothing of a finished run is kept but its counts and, if it failed, its plan.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stormglass_reports::{FaultCount, PropertyCount};

use crate::checker::{Verdict, Witness};
use crate::plan::{Generator, Plan};
use crate::seed::Seed;
use crate::simulation::world::lock;
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;

/// Which seeds are explored, and how.
pub struct Exploration<'a> {
    /// The first seed; the others follow one by one.
    pub first: Seed,
    /// How many seeds.
    pub seeds: u64,
    /// How many runs at once; at least one.
    pub jobs: usize,
    /// When to stop early.
    pub until: Until,
    /// Set by somebody else to stop after the runs that are under way.
    pub interrupted: &'a AtomicBool,
    /// Called after every run.
    pub progress: &'a (dyn Fn() + Sync),
}

/// When an exploration stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When every seed has been run.
    AllSeeds,
    /// When the lowest failing seed is known.
    FirstFailure,
}

/// What an exploration adds up to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many seeds were run.
    pub seeds: u64,
    /// How much virtual time they took together.
    pub virtual_time: Duration,
    /// Faults by kind.
    pub faults: BTreeMap<String, FaultCount>,
    /// Verdicts by property.
    pub properties: BTreeMap<String, PropertyCount>,
    /// For every broken property, the failure with the lowest seed.
    pub failures: BTreeMap<String, Failure>,
}

/// A run that broke a property.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was to happen.
    pub plan: Plan,
    /// The property.
    pub property: String,
    /// The proof.
    pub witness: Witness,
    /// The other properties that the same run broke.
    pub others: Vec<String>,
}

impl Failure {
    /// The first property that a run broke, if it broke one.
    pub(crate) fn of(run: &Run, verdicts: &[(String, Verdict)]) -> Option<Self> {
        let mut broken = verdicts.iter().filter_map(|(property, verdict)| {
            let witness = verdict.witness()?;
            Some((property.clone(), witness.clone()))
        });
        let (property, witness) = broken.next()?;
        Some(Failure {
            plan: run.plan.clone(),
            property,
            witness,
            others: broken.map(|(property, _)| property).collect(),
        })
    }
}

/// A seed whose run came to no result.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}: {error}")]
pub struct ExploreError {
    /// The seed.
    pub seed: Seed,
    /// What went wrong.
    #[source]
    pub error: RunError,
}

impl Tally {
    fn add(&mut self, run: &Run, verdicts: &[(String, Verdict)]) {
        self.seeds += 1;
        self.virtual_time += run.elapsed;
        for (index, fault) in run.plan.schedule.iter().enumerate() {
            let count = self
                .faults
                .entry(fault.action.kind().to_owned())
                .or_default();
            count.planned += 1;
            count.bitten += u64::from(run.bitten.contains(&index));
        }
        for (property, verdict) in verdicts {
            let count = self.properties.entry(property.clone()).or_default();
            match verdict {
                Verdict::Holds => count.holds += 1,
                Verdict::Vacuous(_) => count.vacuous += 1,
                Verdict::Broken(witness) => {
                    count.broken += 1;
                    self.note(run, property, witness, verdicts);
                }
            }
        }
    }

    fn note(
        &mut self,
        run: &Run,
        property: &str,
        witness: &Witness,
        verdicts: &[(String, Verdict)],
    ) {
        let known = self.failures.get(property);
        if known.is_some_and(|known| known.plan.seed <= run.plan.seed) {
            return;
        }
        let others = verdicts
            .iter()
            .filter(|(other, verdict)| other != property && verdict.witness().is_some())
            .map(|(other, _)| other.clone())
            .collect();
        let failure = Failure {
            plan: run.plan.clone(),
            property: property.to_owned(),
            witness: witness.clone(),
            others,
        };
        self.failures.insert(property.to_owned(), failure);
    }

    /// The failure with the lowest seed.
    pub fn first_failure(&self) -> Option<&Failure> {
        self.failures
            .values()
            .min_by_key(|failure| failure.plan.seed)
    }

    /// Properties that no run put to the test.
    pub fn vacuous(&self) -> impl Iterator<Item = &str> {
        self.properties
            .iter()
            .filter(|(_, count)| count.holds == 0 && count.broken == 0)
            .map(|(property, _)| property.as_str())
    }
}

/// Runs the seeds of an exploration.
///
/// # Errors
///
/// The lowest seed whose run came to no result, and why.
pub fn explore(system: &System, exploration: &Exploration<'_>) -> Result<Tally, ExploreError> {
    let first = exploration.first;
    let generator = system
        .generator()
        .map_err(|error| ExploreError { seed: first, error })?;
    let workers = Workers {
        system,
        generator: &generator,
        exploration,
        next: AtomicU64::new(0),
        limit: AtomicU64::new(exploration.seeds),
        tally: Mutex::default(),
        error: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..exploration.jobs.max(1) {
            scope.spawn(|| workers.work());
        }
    });
    let Workers { tally, error, .. } = workers;
    match error
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        Some(error) => Err(error),
        None => Ok(tally
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)),
    }
}

struct Workers<'a> {
    system: &'a System,
    generator: &'a Generator,
    exploration: &'a Exploration<'a>,
    next: AtomicU64,
    limit: AtomicU64,
    tally: Mutex<Tally>,
    error: Mutex<Option<ExploreError>>,
}

impl Workers<'_> {
    fn work(&self) {
        while !self.exploration.interrupted.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.limit.load(Ordering::Relaxed) {
                return;
            }
            let seed = Seed(self.exploration.first.0.wrapping_add(number));
            let plan = self.generator.plan(seed);
            match run(self.system, &plan, Recording::On) {
                Ok(run) => self.finished(number, &run),
                Err(error) => self.failed(number, ExploreError { seed, error }),
            }
            (self.exploration.progress)();
        }
    }

    fn finished(&self, number: u64, run: &Run) {
        let verdicts = self.system.judge(&run.history);
        let broken = verdicts
            .iter()
            .any(|(_, verdict)| verdict.witness().is_some());
        lock(&self.tally).add(run, &verdicts);
        if broken && self.exploration.until == Until::FirstFailure {
            self.limit.fetch_min(number, Ordering::Relaxed);
        }
    }

    fn failed(&self, number: u64, error: ExploreError) {
        self.limit.fetch_min(number, Ordering::Relaxed);
        let mut known = lock(&self.error);
        if known.as_ref().is_none_or(|known| error.seed < known.seed) {
            *known = Some(error);
        }
    }
}
