//! All that a page shows of a failure: the run on lanes, what caused it, and what happens without each fault.
//!
//! Reading order: `lanes` where things happen, `messages` which event came of which, `cone` what the failure depends on,
//! `periods` when something was wrong by plan, `series` figures over time, `removals` the same run without a fault.

mod cone;
mod lanes;
mod messages;
mod periods;
mod removals;
mod series;

use std::collections::BTreeSet;

use stormglass_reports::story::{Sentence, StoryEvent};
use stormglass_reports::{FailureReport, Story};

use super::names::Names;
use super::{chain, journey, kind};
use crate::checker::{Verdict, Witness};
use crate::history::{Event, Fact, History, What};
use crate::simulation::{Run, RunError};
use crate::system::System;
use lanes::Lanes;
use messages::Messages;

/// The story of a failure, given its report and the run that shows it. A few more runs are made: one without each
/// fault.
///
/// # Errors
///
/// If one of those runs comes to no result.
pub fn story(
    system: &System,
    report: &FailureReport,
    run: &Run,
    witness: &Witness,
) -> Result<Story, RunError> {
    let history = &run.history;
    let mut names = Names::of(history);
    // The report's own texts come first, in its order, so that both give the same id the same name.
    names.tell(&witness.summary);
    for operation in &run.plan.workload {
        names.tell(&operation.operation.to_string());
    }
    for line in chain::lines(history, witness) {
        names.tell(&line);
    }
    let removals = removals::removals(system, run, report, &mut names)?;
    let (lanes, messages) = (Lanes::of(history), Messages::of(history));
    let cone = cone::cone(history, witness, &messages);
    let proof: BTreeSet<u64> = witness
        .chain
        .iter()
        .copied()
        .chain([witness.index])
        .collect();
    let mut told = |event: &Event| StoryEvent {
        index: event.index,
        at_ns: nanoseconds(event),
        lane: lanes.lane_of(event),
        host: lanes.host(&event.host),
        kind: kind(&event.what),
        text: names.tell(&event.what.to_string()),
        in_cone: cone.contains(&event.index),
        is_proof: proof.contains(&event.index),
        cause: messages.cause_of(event.index),
        arrow: messages.arrow_of(event, &lanes),
    };
    let events = history.events.iter().map(&mut told).collect();
    let logs = about(history, witness).map_or_else(Vec::new, |entity| {
        logs_of(history, &entity).map(&mut told).collect()
    });
    let verdict = Verdict::Broken(witness.clone());
    let verdicts = [(report.property.clone(), verdict)];
    let entity = about(history, witness);
    let journey =
        entity.and_then(|entity| journey::told(system, run, &verdicts, &entity, &mut names).ok());
    Ok(Story {
        failure: report.clone(),
        promise: promise(system, &report.property),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        sentences: sentences(report, run, witness, &mut names),
        events,
        periods: periods::periods(run, &lanes),
        removals: removals.outcomes,
        nearest: removals.nearest,
        journey,
        logs,
        series: series::series(history, system.properties()),
        end_ns: run.elapsed.as_nanos() as u64,
        lanes: lanes.into_list(),
    })
}

fn nanoseconds(event: &Event) -> u64 {
    event.at.as_nanos() as u64
}

fn promise(system: &System, property: &str) -> String {
    let mut all = system.properties().iter();
    let own = all.find(|own| own.id() == property);
    own.map_or_else(String::new, |own| own.promise().to_owned())
}

/// What was run, the way to the failure, and what it broke.
fn sentences(
    report: &FailureReport,
    run: &Run,
    witness: &Witness,
    names: &mut Names<'_>,
) -> Vec<Sentence> {
    let counted = |number: usize, what: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {what}{plural}")
    };
    let plan = &run.plan;
    let begin = format!(
        "The run has {} and {}.",
        counted(plan.workload.len(), "operation"),
        counted(plan.schedule.len(), "fault"),
    );
    let without = |text: String| Sentence { index: None, text };
    let told = chain::sentences(&run.history, witness).into_iter();
    let told = told.map(|(index, text)| Sentence {
        index: Some(index),
        text: names.tell(&text),
    });
    let end = Sentence {
        index: Some(witness.index),
        text: format!(
            "That breaks {}: {}.",
            report.property, report.promise_broken
        ),
    };
    let mut sentences = vec![without(begin)];
    sentences.extend(told);
    sentences.push(end);
    sentences
}

/// The entity that a witness is about: of the last event of its proof that names one.
fn about(history: &History, witness: &Witness) -> Option<String> {
    let proof = witness.chain.iter().rev().chain([&witness.index]);
    let mut proof = proof.filter_map(|index| history.events.get(usize::try_from(*index).ok()?));
    proof.find_map(|event| match &event.what {
        What::Observed { fact, .. } => {
            let entity = match fact {
                Fact::Announced(own) => &own.entity,
                Fact::Applied(own) | Fact::Discarded(own) => &own.entity,
                Fact::Withheld(own) => &own.entity,
            };
            (!entity.is_empty()).then(|| entity.clone())
        }
        What::Published { message, .. } => (!message.key.is_empty()).then(|| message.key.clone()),
        _ => None,
    })
}

/// The log lines of the flows that an entity is part of.
fn logs_of<'h>(history: &'h History, entity: &str) -> impl Iterator<Item = &'h Event> {
    let events = history.events.iter();
    let flows: BTreeSet<&str> = events
        .filter_map(|event| match &event.what {
            What::Observed {
                fact: Fact::Announced(own),
                ..
            } if own.entity == entity && !own.correlation_id.is_empty() => {
                Some(&*own.correlation_id)
            }
            _ => None,
        })
        .collect();
    history
        .events
        .iter()
        .filter(move |event| match &event.what {
            What::Logged {
                correlation_id: Some(own),
                ..
            } => flows.contains(&**own),
            _ => false,
        })
}
