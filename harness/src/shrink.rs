//! Shrinking: the smallest plan that still breaks the property.
//!
//! A plan is data, so one shrinker serves tests, the command line and saved artefacts. Faults that
//! did not bite go first, then instances, then faults, then operations that the witness is not
//! about, then operations (delta debugging, Zeller and Hildebrandt, TSE 2002), then faults are aimed
//! anew so that fewer operations lead up to them. A fault at a time meets what it has to meet only
//! as long as everything before it takes as long, so one that holds operations back is aimed at a
//! call instead.
//!
//! Reading order: `smaller` which plans are smaller, `clues` which of them to try first. No dice:
//! the result is a function of the plan.

mod clues;
mod smaller;

use std::collections::BTreeSet;

use crate::checker::{Verdict, Witness};
use crate::plan::{Plan, Side};
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;

/// The result of a shrink.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest failing run that was found.
    pub run: Run,
    /// How many runs it took.
    pub runs: usize,
    /// Whether every single fault and operation that is left was tried without, and the property
    /// was not broken then.
    pub one_minimal: bool,
}

/// Shrinks a plan that breaks `property`.
///
/// Returns `None` if the plan does not break it. Stops after `runs_max` runs with the best plan
/// known by then.
///
/// # Errors
///
/// If a run comes to no result.
pub fn shrink(
    system: &System,
    plan: &Plan,
    property: &str,
    runs_max: usize,
) -> Result<Option<Shrunk>, RunError> {
    let first = run(system, plan, Recording::On)?;
    if !breaks(system, &first, property) {
        return Ok(None);
    }
    let mut search = Search {
        system,
        property,
        best: first,
        runs: 1,
        runs_max,
        rejected: BTreeSet::new(),
    };
    let one_minimal = search.minimal()?;
    Ok(Some(Shrunk {
        run: search.best,
        runs: search.runs,
        one_minimal,
    }))
}

/// Whether a run breaks a property.
pub fn breaks(system: &System, run: &Run, property: &str) -> bool {
    witness(system, run, property).is_some()
}

fn witness(system: &System, run: &Run, property: &str) -> Option<Witness> {
    let own = system
        .properties()
        .iter()
        .filter(|own| own.id() == property);
    own.map(|own| own.check(&run.history))
        .find_map(|verdict| match verdict {
            Verdict::Broken(witness) => Some(witness),
            Verdict::Holds | Verdict::Vacuous(_) => None,
        })
}

/// The two parts of a plan that can get shorter.
#[derive(Clone, Copy)]
enum Part {
    Schedule,
    Workload,
}

impl Part {
    fn len(self, plan: &Plan) -> usize {
        match self {
            Part::Schedule => plan.schedule.len(),
            Part::Workload => plan.workload.len(),
        }
    }

    fn without(self, plan: &Plan, from: usize, to: usize) -> Plan {
        let mut plan = plan.clone();
        match self {
            Part::Schedule => drop(plan.schedule.drain(from..to)),
            Part::Workload => drop(plan.workload.drain(from..to)),
        }
        plan
    }
}

struct Search<'a> {
    system: &'a System,
    property: &'a str,
    best: Run,
    runs: usize,
    runs_max: usize,
    /// Plans that do not break the property. A run is a function of its plan, so none of them is
    /// tried again.
    rejected: BTreeSet<[u8; 32]>,
}

/// Tells one plan from another.
fn fingerprint(plan: &Plan) -> [u8; 32] {
    let json = serde_json::to_vec(plan).expect("a plan can be written as JSON");
    *blake3::hash(&json).as_bytes()
}

impl Search<'_> {
    /// Returns whether the result is one-minimal.
    fn minimal(&mut self) -> Result<bool, RunError> {
        loop {
            let before = self.best.plan.clone();
            self.drop_idle_faults()?;
            self.run_fewer_instances()?;
            self.cut(Part::Schedule)?;
            self.keep_what_the_witness_is_about()?;
            self.cut(Part::Workload)?;
            self.aim_anew()?;
            if self.runs >= self.runs_max {
                return Ok(false);
            }
            if self.best.plan == before {
                return Ok(true);
            }
        }
    }

    /// Accepts a candidate if it is smaller and still breaks the property.
    fn accept(&mut self, candidate: Plan) -> Result<bool, RunError> {
        if self.runs >= self.runs_max || smaller::size(&candidate) >= smaller::size(&self.best.plan)
        {
            return Ok(false);
        }
        let print = fingerprint(&candidate);
        if self.rejected.contains(&print) {
            return Ok(false);
        }
        self.runs += 1;
        let run = match run(self.system, &candidate, Recording::On) {
            Ok(run) => run,
            // A smaller plan may bring out another mistake of the system's, which is not this one.
            Err(RunError::Panicked(_) | RunError::Hang(_)) => {
                self.rejected.insert(print);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let accepted = breaks(self.system, &run, self.property);
        if accepted {
            self.best = run;
        } else {
            self.rejected.insert(print);
        }
        Ok(accepted)
    }

    fn drop_idle_faults(&mut self) -> Result<(), RunError> {
        let mut plan = self.best.plan.clone();
        let mut index = 0;
        plan.schedule.retain(|_| {
            index += 1;
            self.best.bitten.contains(&(index - 1))
        });
        self.accept(plan).map(drop)
    }

    /// A story with one instance of a service is easier to read than one with three.
    fn run_fewer_instances(&mut self) -> Result<(), RunError> {
        for (service, instances) in self.best.plan.instances.clone() {
            for fewer in self.system.fewest_instances_of(&service)..instances {
                let candidate = smaller::with_instances(&self.best.plan, &service, fewer);
                // Two ends of a link may have become one, and such a fault has no meaning.
                let fits = self.system.fits(&candidate).is_ok();
                if fits && self.accept(candidate)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Cuts out ever smaller pieces until no single element can go.
    fn cut(&mut self, part: Part) -> Result<(), RunError> {
        let mut size = part.len(&self.best.plan);
        while size > 0 {
            let mut from = 0;
            let mut cut_any = false;
            while from < part.len(&self.best.plan) {
                let to = (from + size).min(part.len(&self.best.plan));
                let candidate = part.without(&self.best.plan, from, to);
                match self.accept(candidate)? {
                    true => cut_any = true,
                    false => from = to,
                }
            }
            // The last element may have become superfluous by a later cut, so size one repeats.
            size = if size == 1 && cut_any { 1 } else { size / 2 };
        }
        Ok(())
    }

    /// A fault that waits for the nth call needs all the operations that lead to n calls. Aiming
    /// it at an earlier one lets those go.
    fn aim_anew(&mut self) -> Result<(), RunError> {
        for fault in 0..self.best.plan.schedule.len() {
            let Some((_, _, most)) = self.best.plan.schedule[fault].call() else {
                continue;
            };
            for nth in 1..most {
                let mut candidate = self.best.plan.clone();
                if let Some(own) = candidate.schedule[fault].nth_mut() {
                    *own = nth;
                }
                if self.accept(candidate)? {
                    break;
                }
            }
        }
        if self.best.plan.workload.len() > 1 && !self.start_over_with_few_operations()? {
            self.aim_timed_faults()?;
        }
        Ok(())
    }

    /// The operations that are worth keeping first.
    fn promising(&self) -> Vec<usize> {
        let witness = witness(self.system, &self.best, self.property);
        witness.map_or_else(Vec::new, |witness| clues::operations(&self.best, &witness))
    }

    /// Keeps the one, two or three most promising operations.
    fn keep_what_the_witness_is_about(&mut self) -> Result<(), RunError> {
        let promising = self.promising();
        for keep in 1..promising.len().min(4) {
            if self.accept(smaller::with_operations(
                &self.best.plan,
                &promising[..keep],
            ))? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there are runs to spare: the rest is needed to show that the result is one-minimal.
    fn has_runs_to_spare(&self) -> bool {
        self.runs < self.runs_max - self.runs_max / 5
    }

    /// Tries few operations and lets the faults meet them at their early calls. Says whether that
    /// was enough.
    fn start_over_with_few_operations(&mut self) -> Result<bool, RunError> {
        let sets = smaller::few(&self.promising());
        let plan = self.best.plan.clone();
        self.accept_any(&plan, &sets)
    }

    fn accept_any(&mut self, plan: &Plan, sets: &[Vec<usize>]) -> Result<bool, RunError> {
        for set in sets {
            let few = smaller::with_operations(plan, set);
            for candidate in smaller::with_early_calls(&few) {
                if self.has_runs_to_spare() && self.accept(candidate)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Lets a fault at a time wait for a call instead, if fewer operations will do then.
    fn aim_timed_faults(&mut self) -> Result<(), RunError> {
        let plan = self.best.plan.clone();
        let Some(witness) = witness(self.system, &self.best, self.property) else {
            return Ok(());
        };
        let promising = clues::operations(&self.best, &witness);
        for (index, fault) in plan.schedule.iter().enumerate() {
            if fault.call().is_some() {
                continue;
            }
            let calls = clues::calls(&self.best, &witness, index);
            for set in smaller::fewest(&promising) {
                for (host, call) in &calls {
                    for side in [Side::After, Side::Before] {
                        let waiting = smaller::waiting_for(&plan, index, host, *call, side);
                        if self.accept_any(&waiting, std::slice::from_ref(&set))? {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
