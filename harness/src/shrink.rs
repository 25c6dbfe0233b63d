//! Shrinking: the smallest plan that still breaks the same rule of the property.
//!
//! A plan is data, so one shrinker serves tests, the command line and saved artefacts. Of many
//! operations most go at once. Then faults that did not bite go, then instances, then faults, then
//! restarts of more than one host, then operations that the witness is not about, then operations (delta
//! debugging, Zeller and Hildebrandt, TSE 2002), then faults are aimed anew so that fewer operations lead up to them. A fault at a time
//! meets what it has to meet only as long as everything before it takes as long, so one that holds
//! operations back is aimed at a call instead. Where several faults are left, one of them is tried at
//! the calls that the witness tells of, and where many operations are left, few are tried at other
//! chances of the same seed.
//!
//! Reading order: `limits` how long it may take, `smaller` which plans are smaller, `clues` which of
//! them to try first. No dice: within the time limit the result is a function of the plan.

mod clues;
mod limits;
mod smaller;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{Verdict, Witness};
use crate::plan::{Plan, Side};
use crate::simulation::{Recording, Run, RunError, run};
use crate::stopwatch::Stopwatch;
use crate::system::System;

pub use limits::{Limits, Progress, to_standard_error};

/// The result of a shrink.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest failing run that was found.
    pub run: Run,
    /// How it breaks the property.
    pub witness: Witness,
    /// How many runs it took.
    pub runs: usize,
    /// How long it took on the wall clock.
    pub elapsed: Duration,
    /// Whether every single fault and operation that is left was tried without, and the same rule
    /// was not broken then.
    pub one_minimal: bool,
    /// What came of the run without each of the faults that are left, as far as it was tried.
    pub without_fault: Vec<Option<Without>>,
    /// The same for each of the operations that are left.
    pub without_operation: Vec<Option<Without>>,
}

/// What came of a run without one fault or operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Without {
    /// The property held.
    Holds,
    /// Nothing put it to the test.
    Vacuous,
    /// Another rule of it was broken.
    BrokenOtherwise,
    /// The system panicked, or came to no end.
    Panicked,
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Without::Holds => "holds",
            Without::Vacuous => "never put to the test",
            Without::BrokenOtherwise => "broken in another way",
            Without::Panicked => "a host panics",
        })
    }
}

/// Shrinks a plan that breaks `property`.
///
/// Returns `None` if the plan does not break it. At its limits it stops with the best plan known by
/// then.
///
/// # Errors
///
/// If a run comes to no result.
pub fn shrink(
    system: &System,
    plan: &Plan,
    property: &str,
    limits: &Limits<'_>,
) -> Result<Option<Shrunk>, RunError> {
    let begun = Stopwatch::start();
    let first = run(system, plan, Recording::On)?;
    let Some(found) = witness(system, &first, property) else {
        return Ok(None);
    };
    let mut search = Search {
        system,
        property,
        best: first,
        witness: found,
        runs: 1,
        begun,
        limits,
        rejected: BTreeMap::new(),
    };
    let one_minimal = search.minimal()?;
    Ok(Some(Shrunk {
        without_fault: search.without(Part::Schedule),
        without_operation: search.without(Part::Workload),
        run: search.best,
        witness: search.witness,
        runs: search.runs,
        elapsed: begun.elapsed(),
        one_minimal,
    }))
}

/// Whether a run breaks a property.
pub fn breaks(system: &System, run: &Run, property: &str) -> bool {
    witness(system, run, property).is_some()
}

fn verdict(system: &System, run: &Run, property: &str) -> Option<Verdict> {
    let own = system.properties().iter().find(|own| own.id() == property);
    own.map(|own| own.check(&run.history))
}

fn witness(system: &System, run: &Run, property: &str) -> Option<Witness> {
    match verdict(system, run, property)? {
        Verdict::Broken(witness) => Some(witness),
        Verdict::Holds | Verdict::Vacuous(_) => None,
    }
}

/// How many operations are many.
const MANY: usize = 32;
/// How many other chances a plan with few operations gets: a race of two requests is won in one of some twenty.
const CHANCES: u32 = 40;

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
    /// How the best run breaks the property. The rule stays the same.
    witness: Witness,
    runs: usize,
    begun: Stopwatch,
    limits: &'a Limits<'a>,
    /// Plans that do not break the rule, and what they do instead. A run is a function of its plan, so
    /// none of them is tried again.
    rejected: BTreeMap<[u8; 32], Without>,
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
            self.thin_out()?;
            self.drop_idle_faults()?;
            self.run_fewer_instances()?;
            self.cut(Part::Schedule)?;
            self.restart_less()?;
            self.keep_what_the_witness_is_about()?;
            self.cut(Part::Workload)?;
            self.hold_up_longer()?;
            self.aim_anew()?;
            self.blame_one_fault()?;
            self.take_other_chances()?;
            if self.is_at_its_limits() {
                return Ok(false);
            }
            if self.best.plan == before {
                return Ok(true);
            }
        }
    }

    /// Accepts a candidate if it is smaller and still breaks the property.
    fn accept(&mut self, candidate: Plan) -> Result<bool, RunError> {
        if self.is_at_its_limits() || smaller::size(&candidate) >= smaller::size(&self.best.plan) {
            return Ok(false);
        }
        let print = fingerprint(&candidate);
        if self.rejected.contains_key(&print) {
            return Ok(false);
        }
        self.runs += 1;
        let run = match run(self.system, &candidate, Recording::On) {
            Ok(run) => run,
            // A smaller plan may bring out another mistake of the system's, which is not this one.
            Err(RunError::Machine(_)) => {
                self.rejected.insert(print, Without::Panicked);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let otherwise = match verdict(self.system, &run, self.property) {
            Some(Verdict::Broken(witness)) if witness.rule == self.witness.rule => {
                (self.best, self.witness) = (run, witness);
                None
            }
            Some(Verdict::Broken(_)) => Some(Without::BrokenOtherwise),
            Some(Verdict::Vacuous(_)) => Some(Without::Vacuous),
            Some(Verdict::Holds) | None => Some(Without::Holds),
        };
        let accepted = otherwise.is_none();
        if let Some(otherwise) = otherwise {
            self.rejected.insert(print, otherwise);
        }
        self.limits.report(&self.best.plan, self.runs, self.begun);
        Ok(accepted)
    }

    fn is_at_its_limits(&self) -> bool {
        self.runs >= self.limits.runs_max || self.begun.elapsed() >= self.limits.time_max
    }

    /// What came of the run without each element of a part, as far as it was tried.
    fn without(&self, part: Part) -> Vec<Option<Without>> {
        let plan = &self.best.plan;
        let less = (0..part.len(plan)).map(|index| part.without(plan, index, index + 1));
        less.map(|less| self.rejected.get(&fingerprint(&less)).copied())
            .collect()
    }

    /// Of many operations, keeps ever more of the most promising until they are enough: runs with few
    /// are quick, and those with all of them are what takes the time.
    fn thin_out(&mut self) -> Result<(), RunError> {
        let promising = match self.best.plan.workload.len() {
            0..MANY => return Ok(()),
            _ => self.promising(),
        };
        let mut keep = 1;
        while keep < promising.len() {
            let fewer = smaller::with_operations(&self.best.plan, &promising[..keep]);
            if self.accept(fewer)? {
                break;
            }
            keep *= 2;
        }
        Ok(())
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

    /// One host's restart is told in one line, and everybody's is not.
    fn restart_less(&mut self) -> Result<(), RunError> {
        for fault in 0..self.best.plan.schedule.len() {
            let hosts = self.system.hosts_of(&self.best.plan).into_iter();
            let hosts = hosts.map(|(host, service, _)| (host.to_string(), service.to_string()));
            let hosts: Vec<_> = hosts.collect();
            for narrower in smaller::with_narrower_restart(&self.best.plan, fault, &hosts) {
                if self.accept(narrower)? {
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
        clues::operations(&self.best, &self.witness)
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

    /// What a crowd did to a short outage few operations do to a long one.
    fn hold_up_longer(&mut self) -> Result<(), RunError> {
        if self.best.plan.workload.len() <= clues::FEW {
            return Ok(());
        }
        let sets = smaller::few(&self.promising());
        if let Some(plan) = smaller::with_stronger_faults(&self.best.plan) {
            for set in &sets {
                let few = smaller::with_operations(&plan, set);
                if self.has_runs_to_spare() && self.accept(few)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether there are runs to spare: the rest is needed to show that the result is one-minimal.
    fn has_runs_to_spare(&self) -> bool {
        let runs_max = self.limits.runs_max;
        self.runs < runs_max - runs_max / 5
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

    fn accept_any_at_once(&mut self, plan: &Plan, sets: &[Vec<usize>]) -> Result<bool, RunError> {
        for set in sets.iter().filter(|set| set.len() > 1) {
            let at_once = smaller::at_once(&smaller::with_operations(plan, set));
            if self.has_runs_to_spare() && self.accept(at_once)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One fault at the call that matters often does what several at a time did, if it lasts as long as all of them.
    fn blame_one_fault(&mut self) -> Result<(), RunError> {
        if self.best.plan.schedule.len() < 2 {
            return Ok(());
        }
        let calls = clues::calls_of(&self.best, &self.witness);
        let plan = self.best.plan.clone();
        let alone = smaller::with_one_fault(&plan, &calls);
        // It is dear, and a few faults are few enough.
        let is_crowd = plan.schedule.len() > clues::FEW;
        let stronger = alone.iter().filter(|_| is_crowd);
        let stronger = stronger.filter_map(smaller::with_stronger_faults);
        for candidate in alone.iter().cloned().chain(stronger) {
            let fits = self.system.fits(&candidate).is_ok();
            if fits && self.has_runs_to_spare() && self.accept(candidate)? {
                break;
            }
        }
        Ok(())
    }

    /// Two requests that have to meet on their way do so by luck, a slow link needs no crowd if it is slower,
    /// and what waits for a call that few operations bring about may as well come at its time.
    fn take_other_chances(&mut self) -> Result<(), RunError> {
        if self.best.plan.workload.len() <= clues::FEW {
            return Ok(());
        }
        let promising = self.promising();
        let aimed = self.best.plan.clone();
        let mut sets = smaller::fewest(&promising);
        sets.extend(smaller::closest(&aimed, &promising));
        let timed = smaller::at_times(&aimed, |fault| clues::begin(&self.best, fault));
        let stronger = smaller::with_stronger_faults(&timed);
        for chance in 0..=CHANCES {
            for plan in stronger.iter().chain([&timed, &aimed]) {
                let mut plan = plan.clone();
                plan.chance = chance;
                // Where there is no fault it is operations alone that have to meet.
                let is_race = plan.schedule.is_empty();
                if self.accept_any(&plan, &sets)?
                    || (is_race && self.accept_any_at_once(&plan, &sets)?)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Lets a fault at a time wait for a call instead, if fewer operations will do then.
    fn aim_timed_faults(&mut self) -> Result<(), RunError> {
        let plan = self.best.plan.clone();
        let witness = self.witness.clone();
        let promising = self.promising();
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
