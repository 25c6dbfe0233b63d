//! Exploration: many seeds of one system, in parallel, and what they add up to.
//!
//! Seeds are independent runs on threads of their own. Their results are added up in the order of the
//! seeds, so the sum does not depend on how many run at once. Nothing of a finished run is kept but
//! its counts and, if it failed, its plan.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stormglass_reports::{FaultCount, Panics, PropertyCount, Signature};

use crate::checker::{Verdict, Witness};
use crate::history::{Answer, CLIENT, What};
use crate::plan::{Call, Fault, Generator, Plan};
use crate::seed::Seed;
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;
use crate::world::lock;

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
    /// How many operations clients asked for.
    pub operations: u64,
    /// How many of them failed, as their clients saw it.
    pub operations_failed: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, FaultCount>,
    /// Verdicts by property.
    pub properties: BTreeMap<String, PropertyCount>,
    /// For every broken property, the failure with the lowest seed.
    pub failures: BTreeMap<String, Failure>,
    /// All failures, those that look alike together.
    pub signatures: Vec<Signature>,
    /// Where services panicked, whether a property minds or not.
    pub panics: Vec<Panics>,
    /// The properties in the order in which the system judges them.
    order: Vec<String>,
    /// Why a property was vacuous, the first time it was.
    reasons: BTreeMap<String, String>,
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
    /// The breach of one property, with the other properties that the run broke.
    fn of(run: &Run, verdicts: &[(String, Verdict)], property: &str, witness: &Witness) -> Self {
        let others = verdicts
            .iter()
            .filter(|(other, verdict)| other != property && verdict.witness().is_some())
            .map(|(other, _)| other.clone())
            .collect();
        Failure {
            plan: run.plan.clone(),
            property: property.to_owned(),
            witness: witness.clone(),
            others,
        }
    }

    /// The first property that a run broke, if it broke one.
    pub(crate) fn first_of(run: &Run, verdicts: &[(String, Verdict)]) -> Option<Self> {
        verdicts.iter().find_map(|(property, verdict)| {
            let witness = verdict.witness()?;
            Some(Failure::of(run, verdicts, property, witness))
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
    fn of(run: &Run, verdicts: &[(String, Verdict)]) -> Self {
        let mut tally = Tally::default();
        tally.add(run, verdicts);
        let names = verdicts.iter().map(|(property, _)| property.clone());
        tally.order = names.collect();
        tally
    }

    /// Adds what later seeds came to.
    fn append(&mut self, later: Tally) {
        self.seeds += later.seeds;
        self.order = later.order;
        self.virtual_time += later.virtual_time;
        self.operations += later.operations;
        self.operations_failed += later.operations_failed;
        for (kind, count) in later.faults {
            let sum = self.faults.entry(kind).or_default();
            sum.planned += count.planned;
            sum.bitten += count.bitten;
            sum.never_called += count.never_called;
        }
        for (property, count) in later.properties {
            let sum = self.properties.entry(property).or_default();
            sum.holds += count.holds;
            sum.broken += count.broken;
            sum.vacuous += count.vacuous;
        }
        for (property, reason) in &later.reasons {
            self.note_vacuous(property, reason);
        }
        for (property, failure) in later.failures {
            self.failures.entry(property).or_insert(failure);
        }
        Signature::add(&mut self.signatures, &later.signatures);
        Panics::add(&mut self.panics, &later.panics);
    }

    fn add(&mut self, run: &Run, verdicts: &[(String, Verdict)]) {
        self.seeds += 1;
        self.virtual_time += run.elapsed;
        for event in &run.history.events {
            match event.what {
                What::OperationInvoked { .. } => self.operations += 1,
                What::OperationAnswered {
                    answer: Answer::Failed,
                    ..
                } => self.operations_failed += 1,
                _ => {}
            }
        }
        for (index, fault) in run.plan.schedule.iter().enumerate() {
            let count = self
                .faults
                .entry(fault.kind().name().to_owned())
                .or_default();
            count.planned += 1;
            let bitten = run.bitten.contains(&index);
            count.bitten += u64::from(bitten);
            count.never_called += u64::from(!bitten && !was_called(run, fault));
        }
        self.panics = panics(run);
        for (property, verdict) in verdicts {
            let count = self.properties.entry(property.clone()).or_default();
            match verdict {
                Verdict::Holds => count.holds += 1,
                Verdict::Vacuous(reason) => {
                    count.vacuous += 1;
                    self.note_vacuous(property, reason);
                }
                Verdict::Broken(witness) => {
                    count.broken += 1;
                    let failure = Failure::of(run, verdicts, property, witness);
                    self.failures.insert(property.clone(), failure);
                    let bitten = run.bitten.iter();
                    let bitten = bitten.filter_map(|index| run.plan.schedule.get(*index));
                    let bitten = bitten.map(|fault| fault.kind().name());
                    let seed = run.plan.seed.0;
                    let own = Signature::once(property, &witness.rule, seed, bitten);
                    Signature::add(&mut self.signatures, &[own]);
                }
            }
        }
    }

    /// The failure to tell about first: of the lowest seed, and of its broken properties the one that
    /// the system judges first.
    pub fn first_failure(&self) -> Option<&Failure> {
        let rank = |failure: &&Failure| {
            let place = self.order.iter().position(|own| *own == failure.property);
            (failure.plan.seed, place)
        };
        self.failures.values().min_by_key(rank)
    }

    fn note_vacuous(&mut self, property: &str, reason: &str) {
        let known = self.reasons.entry(property.to_owned());
        known.or_insert_with(|| reason.to_owned());
    }

    /// Properties that no run put to the test, each with the reason.
    pub fn vacuous(&self) -> impl Iterator<Item = (&str, &str)> {
        let untested = self
            .properties
            .iter()
            .filter(|(_, count)| count.holds == 0 && count.broken == 0);
        untested.map(|(property, _)| {
            let reason = self.reasons.get(property).map_or("", String::as_str);
            (property.as_str(), reason)
        })
    }
}

/// The places at which services panicked in a run.
fn panics(run: &Run) -> Vec<Panics> {
    let mut places: BTreeMap<&str, Panics> = BTreeMap::new();
    let events = run.history.events.iter();
    for event in events.filter(|event| *event.host != *CLIENT) {
        if let What::Panicked { message, place } = &event.what {
            places.entry(place).or_insert_with(|| Panics {
                place: place.clone(),
                seeds: 1,
                first_seed: run.plan.seed.0,
                host: event.host.to_string(),
                message: message.clone(),
            });
        }
    }
    places.into_values().collect()
}

/// Whether the call came that a fault waits for, as far as the history tells: a statement leaves no
/// event of its own. A fault at a time waits for none.
fn was_called(run: &Run, fault: &Fault) -> bool {
    let Some((host, call, nth)) = fault.call() else {
        return true;
    };
    let from = Duration::from_millis(fault.at_ms);
    let own = run.history.events.iter();
    let own = own.filter(|event| *event.host == *host && event.at >= from);
    let calls = own.filter(|event| match (&event.what, call) {
        (
            What::Published { .. }
            | What::PublishDeduplicated { .. }
            | What::PublishRejected { .. },
            Call::Publish,
        )
        | (What::Delivered { .. }, Call::Receive)
        | (What::Settled { .. }, Call::Settle)
        | (What::Committed { .. }, Call::Commit)
        | (What::ExternalCalled { .. }, Call::External) => true,
        (_, call) => call == Call::Statement,
    });
    calls.count() >= nth as usize
}

/// Runs the seeds of an exploration.
///
/// # Errors
///
/// The lowest seed whose run came to no result, and why; not if the exploration ended before it.
pub fn explore(system: &System, exploration: &Exploration<'_>) -> Result<Tally, ExploreError> {
    let first = exploration.first;
    system.refuse_untestable().map_err(|error| ExploreError {
        seed: first,
        error: error.into(),
    })?;
    let generator = system
        .generator_by(exploration.jobs)
        .map_err(|error| ExploreError { seed: first, error })?;
    let workers = Workers {
        system,
        generator: &generator,
        exploration,
        next: AtomicU64::new(0),
        limit: AtomicU64::new(exploration.seeds),
        results: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let useful = usize::try_from(exploration.seeds).unwrap_or(usize::MAX);
        for _ in 0..exploration.jobs.min(useful).max(1) {
            scope.spawn(|| workers.work());
        }
    });
    let results = workers.results.into_inner();
    let results = results.unwrap_or_else(std::sync::PoisonError::into_inner);
    match results.error {
        Some(error) => Err(error),
        None => Ok(results.tally),
    }
}

struct Workers<'a> {
    system: &'a System,
    generator: &'a Generator,
    exploration: &'a Exploration<'a>,
    next: AtomicU64,
    limit: AtomicU64,
    results: Mutex<Results>,
}

/// The results so far, added up as far as there is no gap between them.
#[derive(Default)]
struct Results {
    tally: Tally,
    error: Option<ExploreError>,
    /// How many seeds have been added up.
    added: u64,
    /// Results that came before those of lower seeds.
    early: BTreeMap<u64, Result<Tally, ExploreError>>,
    /// Whether what comes later does not count any more.
    ended: bool,
}

impl Results {
    fn take(&mut self, number: u64, result: Result<Tally, ExploreError>, until: Until) {
        self.early.insert(number, result);
        while let Some(result) = self.early.remove(&self.added) {
            self.added += 1;
            if self.ended {
                continue;
            }
            match result {
                Ok(tally) => {
                    self.ended = !tally.failures.is_empty() && until == Until::FirstFailure;
                    self.tally.append(tally);
                }
                Err(error) => {
                    self.ended = true;
                    self.error = Some(error);
                }
            }
        }
    }
}

impl Workers<'_> {
    fn work(&self) {
        while !self.exploration.interrupted.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.limit.load(Ordering::Relaxed) {
                return;
            }
            let seed = Seed(self.exploration.first.0.wrapping_add(number));
            let result = self.run(seed);
            if self.is_last(&result) {
                self.limit.fetch_min(number, Ordering::Relaxed);
            }
            lock(&self.results).take(number, result, self.exploration.until);
            (self.exploration.progress)();
        }
    }

    fn run(&self, seed: Seed) -> Result<Tally, ExploreError> {
        let plan = self.generator.plan(seed);
        let run = run(self.system, &plan, Recording::On);
        let run = run.map_err(|error| ExploreError { seed, error })?;
        Ok(Tally::of(&run, &self.system.judge(&run.history)))
    }

    /// Whether no seed after this one matters.
    fn is_last(&self, result: &Result<Tally, ExploreError>) -> bool {
        match result {
            Ok(tally) => {
                !tally.failures.is_empty() && self.exploration.until == Until::FirstFailure
            }
            Err(_) => true,
        }
    }
}
