//! Removals: the same run without one of its faults, and the nearest of these runs that does not break the property.

use stormglass_reports::FailureReport;
use stormglass_reports::story::{Nearest, Removal};

use super::super::names::Names;
use crate::checker::Verdict;
use crate::history::{Event, History};
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;

/// A plan with more faults than this was not shrunk: only the first are left out in turn.
const TRIED_MAX: usize = 8;
/// How many events are shown before two runs part, and of each after it.
const CONTEXT: usize = 4;

/// What the runs without a fault come to.
#[derive(Default)]
pub(super) struct Removals {
    pub(super) outcomes: Vec<Removal>,
    pub(super) nearest: Option<Nearest>,
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
        if removals.nearest.is_none() && !matches!(verdict, Some(Verdict::Broken(_))) {
            let how = format!("It has the same plan without the fault “{}”.", fault.what());
            removals.nearest = parting(&failing.history, &other.history, how, names);
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

/// Where two runs part, with what is around it.
fn parting(
    failing: &History,
    passing: &History,
    how: String,
    names: &mut Names<'_>,
) -> Option<Nearest> {
    let pairs = failing.events.iter().zip(&passing.events);
    let same = pairs.take_while(|(a, b)| a == b).count();
    let mut lines = |history: &History, from: usize, until: usize| -> Vec<String> {
        let events = history.events.iter().take(until).skip(from);
        events.map(|event| names.tell(&line(event))).collect()
    };
    failing.events.get(same)?;
    Some(Nearest {
        how,
        index: same as u64,
        before: lines(failing, same.saturating_sub(CONTEXT), same),
        failing: lines(failing, same, same + CONTEXT),
        passing: lines(passing, same, same + CONTEXT),
    })
}

fn line(event: &Event) -> String {
    let at = event.at.as_secs_f64();
    format!("{at:9.3} s  {:<14} {}", event.host, event.what)
}
