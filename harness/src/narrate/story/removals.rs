//! Removals: the same run without one of its faults, and the nearest of these runs that does not break the property.

use stormglass_reports::FailureReport;
use stormglass_reports::story::{Nearest, Removal};

use super::super::names::Names;
use crate::checker::Verdict;
use crate::history::{Event, History, What};
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;

/// A plan with more faults than this was not shrunk: only the first are left out in turn.
const TRIED_MAX: usize = 8;
/// How many events are shown before two runs part, and of each after it.
const CONTEXT: usize = 6;

/// What the runs without a fault come to.
#[derive(Default)]
pub(super) struct Removals {
    pub(super) outcomes: Vec<Removal>,
    pub(super) nearest: Option<Nearest>,
    /// Whether the property holds in the nearest run, and is not only never put to the test.
    holds: bool,
}

/// Leaves out each fault in turn.
pub(super) fn removals(
    system: &System,
    failing: &Run,
    report: &FailureReport,
    names: &mut Names<'_>,
) -> Result<Removals, RunError> {
    let mut removals = Removals::default();
    for (index, fault) in failing.plan.schedule.iter().enumerate().take(TRIED_MAX) {
        let mut plan = failing.plan.clone();
        plan.schedule.remove(index);
        let other = match run(system, &plan, Recording::On) {
            // A system that is broken otherwise has an outcome, too.
            Err(RunError::Machine(_)) => {
                removals.note(fault.what(), "a host panics".to_owned());
                continue;
            }
            other => other?,
        };
        let verdict = verdict(system, &other, &report.property);
        removals.note(fault.what(), outcome(verdict.as_ref()));
        let holds = matches!(verdict, Some(Verdict::Holds));
        let is_better = removals.nearest.is_none() || (holds && !removals.holds);
        if is_better && !matches!(verdict, Some(Verdict::Broken(_))) {
            let then = match holds {
                true => "there the property holds",
                false => "there nothing puts the property to the test",
            };
            let how = format!(
                "The same plan without the fault “{}”: {then}.",
                fault.what()
            );
            removals.nearest = parting(&failing.history, &other.history, how, names);
            removals.holds = holds;
        }
    }
    Ok(removals)
}

impl Removals {
    fn note(&mut self, fault: String, outcome: String) {
        self.outcomes.push(Removal { fault, outcome });
    }
}

fn verdict(system: &System, run: &Run, property: &str) -> Option<Verdict> {
    let mut verdicts = system.judge(&run.history).into_iter();
    let own = verdicts.find(|(own, _)| own == property);
    own.map(|(_, verdict)| verdict)
}

fn outcome(verdict: Option<&Verdict>) -> String {
    match verdict {
        Some(Verdict::Holds) => "✓ holds".to_owned(),
        Some(Verdict::Broken(witness)) => format!("✗ broken all the same, at #{}", witness.index),
        Some(Verdict::Vacuous(why)) => format!("– never put to the test: {why}"),
        None => "is not judged".to_owned(),
    }
}

/// Where two runs part, with what is around it. When the harness thinks that all is healed is its own affair, and which number a fault
/// has depends on the plan: neither is a difference.
fn parting(
    failing: &History,
    passing: &History,
    how: String,
    names: &mut Names<'_>,
) -> Option<Nearest> {
    let (failing, passing) = (told(failing), told(passing));
    let pairs = failing.iter().zip(&passing);
    let same = pairs.take_while(|(a, b)| is_same(a, b)).count();
    let mut lines = |events: &[&Event], from: usize, until: usize| -> Vec<String> {
        let shown = events.iter().take(until).skip(from);
        shown.map(|event| names.tell(&line(event))).collect()
    };
    Some(Nearest {
        how,
        index: failing.get(same)?.index,
        before: lines(&failing, same.saturating_sub(CONTEXT), same),
        failing: lines(&failing, same, same + CONTEXT),
        passing: lines(&passing, same, same + CONTEXT),
    })
}

/// The events that are no bookkeeping of the harness.
fn told(history: &History) -> Vec<&Event> {
    let is_own = |event: &&Event| {
        matches!(
            event.what,
            What::HealBegan | What::Quiet { .. } | What::FaultLifted { .. }
        )
    };
    let events = history.events.iter();
    events.filter(|event| !is_own(event)).collect()
}

fn is_same(one: &Event, other: &Event) -> bool {
    let is_same_what = match (&one.what, &other.what) {
        (What::FaultBit { text: a, .. }, What::FaultBit { text: b, .. }) => a == b,
        // What a line does not show, such as a payload, nobody could see to differ.
        (a, b) => a.to_string() == b.to_string(),
    };
    is_same_what && one.at == other.at && one.host == other.host
}

fn line(event: &Event) -> String {
    let at = event.at.as_secs_f64();
    format!("{at:9.3} s  {:<14} {}", event.host, event.what)
}
