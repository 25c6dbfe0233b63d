//! From runs to reports: failures and timelines as the data that `stormglass-reports` renders.
//!
//! Reading order: `chain` the lines of a story, `journey` what became of one entity, `story` all that a page shows of a failure,
//! `names` what ids are called in it.

mod chain;
mod journey;
mod names;
mod story;

use std::collections::BTreeSet;

use stormglass_reports::{
    CauseLine, FailureReport, RowKind, Timeline, TimelineRow, VerdictLine, VerdictWord,
};

use crate::checker::{Verdict, Witness};
use crate::history::{Event, What};
use crate::plan::Plan;
use crate::shrink::Shrunk;
use crate::simulation::Run;
use crate::system::System;
pub use journey::{UnknownEntity, journey};
use names::Names;
pub use story::story;

/// A shrunk failure as a report, with what is known before it is saved.
pub fn shrunk(system: &System, original: &Plan, shrunk: &Shrunk, property: &str) -> FailureReport {
    let mut report = failure(system, original, &shrunk.run, property, &shrunk.witness);
    report.shrink_runs = shrunk.runs as u64;
    report.shrink_ms = shrunk.elapsed.as_millis() as u64;
    report.one_minimal = shrunk.one_minimal;
    for (cause, without) in [
        (&mut report.faults, &shrunk.without_fault),
        (&mut report.operations, &shrunk.without_operation),
    ] {
        for (line, without) in cause.iter_mut().zip(without) {
            line.without = without.as_ref().map(ToString::to_string);
        }
    }
    report
}

/// What to think of where something never happened in a run that ended because the system was quiet.
fn early_end(system: &System, run: &Run, witness: &Witness) -> Option<String> {
    let never = ["lost", "unfinished", "never-delivered"];
    let mut latest_first = run.history.events.iter().rev();
    let is_quiet = latest_first.any(|event| matches!(event.what, What::Quiet { .. }));
    (is_quiet && never.contains(&&*witness.rule)).then(|| {
        let quiet = system.settings.quiet.as_secs_f64();
        format!(
            "the run ended {quiet} s after the last thing that was owed. Where it would have come later, as by a poll \
             every few seconds, give it longer (Settings::quiet), or say which rows are work to be done (Database::owes)"
        )
    })
}

/// A failure that was not shrunk as a report.
pub fn failure(
    system: &System,
    original: &Plan,
    run: &Run,
    property: &str,
    witness: &Witness,
) -> FailureReport {
    let event = run.history.events.get(witness.index as usize);
    let mut names = Names::of(&run.history);
    let promise_broken = names.tell(&witness.summary);
    let operations = run.plan.workload.iter().map(|operation| {
        let text = operation.operation.to_string();
        CauseLine::at(operation.at_ms, names.tell(&text))
    });
    let operations = operations.collect();
    let chain = chain::lines(&run.history, witness);
    let chain = chain.iter().map(|line| names.tell(line)).collect();
    FailureReport {
        test: system.name().to_owned(),
        property: property.to_owned(),
        seed: run.plan.seed.0,
        promise_broken,
        at_ms: event.map(|event| event.at.as_millis() as u64),
        index: Some(witness.index),
        inevitable_from: witness.inevitable_from,
        faults: causes(run),
        faults_planned: original.schedule.len() as u64,
        operations,
        operations_planned: original.workload.len() as u64,
        chance: run.plan.chance,
        instances: run
            .plan
            .instances
            .iter()
            .map(|(service, instances)| (service.clone(), u64::from(*instances)))
            .collect(),
        chain,
        names: names.legend(),
        digest: run.digest().to_string(),
        note: early_end(system, run, witness),
        ..FailureReport::default()
    }
}

/// The faults of a plan, each at the time at which it bit, with what it hit.
fn causes(run: &Run) -> Vec<CauseLine> {
    let bite = |fault: usize| {
        run.history
            .events
            .iter()
            .find(|event| matches!(&event.what, What::FaultBit { fault: own, .. } if *own == fault))
    };
    let cause = |(index, fault): (usize, &crate::plan::Fault)| match bite(index) {
        Some(event) => {
            let line = CauseLine::at(event.at.as_millis() as u64, fault.what());
            match fault.moment() {
                Some(moment) => line.with_detail(moment),
                None => line,
            }
        }
        None => CauseLine::untimed(fault.to_string().trim().to_owned()).with_detail("did not bite"),
    };
    run.plan.schedule.iter().enumerate().map(cause).collect()
}

/// A run as a timeline.
pub fn timeline(system: &System, run: &Run, verdicts: &[(String, Verdict)]) -> Timeline {
    let emphasised = emphasised(verdicts);
    let mut hosts: Vec<String> = Vec::new();
    for event in &run.history.events {
        if !hosts.iter().any(|host| **host == *event.host) {
            hosts.push(event.host.to_string());
        }
    }
    let mut names = Names::of(&run.history);
    let events = run.history.events.iter();
    let rows = events.map(|event| row(event, &emphasised, &mut names));
    let rows = rows.collect();
    Timeline {
        title: format!("one run of {}", system.name()),
        scenario: system.name().to_owned(),
        seed: run.plan.seed.0,
        digest: run.digest().to_string(),
        hosts,
        rows,
        verdicts: verdicts
            .iter()
            .map(|verdict| verdict_line(verdict, &mut names))
            .collect(),
        names: names.legend(),
    }
}

/// The events that are part of a witness.
fn emphasised(verdicts: &[(String, Verdict)]) -> BTreeSet<u64> {
    let witnesses = verdicts.iter().filter_map(|(_, verdict)| verdict.witness());
    let parts = witnesses.flat_map(|own| own.chain.iter().copied().chain([own.index]));
    parts.collect()
}

/// An event as a line of a timeline.
fn row(event: &Event, emphasised: &BTreeSet<u64>, names: &mut Names<'_>) -> TimelineRow {
    TimelineRow {
        index: event.index,
        at_ns: event.at.as_nanos() as u64,
        host: event.host.to_string(),
        kind: kind(&event.what),
        text: names.tell(&event.what.to_string()),
        emphasis: emphasised.contains(&event.index),
    }
}

fn verdict_line((property, verdict): &(String, Verdict), names: &mut Names<'_>) -> VerdictLine {
    let (word, detail) = match verdict {
        Verdict::Holds => (VerdictWord::Holds, String::new()),
        Verdict::Broken(witness) => (VerdictWord::Broken, names.tell(&witness.to_string())),
        Verdict::Vacuous(why) => (VerdictWord::Vacuous, why.clone()),
    };
    VerdictLine {
        property: property.clone(),
        verdict: word,
        detail,
    }
}

fn kind(what: &What) -> RowKind {
    match what {
        What::OperationInvoked { .. } | What::OperationAnswered { .. } => RowKind::Operation,
        What::FaultBit { .. }
        | What::FaultLifted { .. }
        | What::HostCrashed
        | What::MadePoison { .. }
        | What::MadeTooLarge { .. }
        | What::HostStopping { .. }
        | What::HostStopped { .. }
        | What::HostPaused { .. } => RowKind::Fault,
        What::HostStarted { .. }
        | What::HostExited { .. }
        | What::Panicked { .. }
        | What::HealBegan
        | What::Quiet { .. }
        | What::LivenessBoundReached { .. } => RowKind::Run,
        What::Committed { .. }
        | What::RolledBack { .. }
        | What::StatementFailed { .. }
        | What::Observed { .. }
        | What::FinalState { .. } => RowKind::Database,
        What::ExternalCalled { .. } => RowKind::External,
        What::Logged { .. } => RowKind::Log,
        _ => RowKind::Broker,
    }
}
