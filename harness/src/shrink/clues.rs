//! Clues: what a failing run says about where to look for a smaller plan.
//!
//! A clue only decides what is tried first. Whether a smaller plan breaks the property is for its
//! run to say.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::checker::Witness;
use crate::history::{Event, Fact, History, What};
use crate::plan::{Action, Call, Fault};
use crate::simulation::Run;

/// How many calls near a fault are worth a try.
const CALLS_MAX: usize = 8;
/// The same where so few operations are left that there is little to gain.
const CALLS_MAX_FOR_FEW: usize = 4;
/// How many operations are few.
pub(super) const FEW: usize = 3;

/// The operations of a plan, by index: those that the witness is about first, then those that were
/// sent nearest to the last fault that bit.
pub(super) fn operations(run: &Run, witness: &Witness) -> Vec<usize> {
    let about = about(&run.history, witness);
    let mut spoken_of = BTreeSet::new();
    for event in &run.history.events {
        if let What::OperationInvoked { operation, text }
        | What::OperationAnswered {
            operation, text, ..
        } = &event.what
            && about.iter().any(|word| text.contains(*word))
        {
            spoken_of.insert(*operation);
        }
    }
    let mut latest_first = run.history.events.iter().rev();
    let bit = latest_first.find(|event| matches!(event.what, What::FaultBit { .. }));
    let last_bit = bit.map(|event| event.at).unwrap_or_default();
    let mut operations: Vec<usize> = (0..run.plan.workload.len()).collect();
    operations.sort_by_key(|operation| {
        let at = Duration::from_millis(run.plan.workload[*operation].at_ms);
        let distance = at.abs_diff(last_bit);
        (!spoken_of.contains(operation), distance, *operation)
    });
    operations
}

/// The entities and ids that the events of a witness name.
fn about<'h>(history: &'h History, witness: &Witness) -> BTreeSet<&'h str> {
    let chain = witness.chain.iter().chain([&witness.index]);
    let events = chain.filter_map(|index| history.events.get(usize::try_from(*index).ok()?));
    let mut words = BTreeSet::new();
    for event in events {
        match &event.what {
            What::Observed {
                fact: Fact::Announced(own),
                ..
            } => words.extend([&*own.entity, &*own.event_id]),
            What::Observed {
                fact: Fact::Applied(own) | Fact::Discarded(own),
                ..
            } => words.extend([&*own.entity, &*own.event_id]),
            What::Observed {
                fact: Fact::Withheld(own),
                ..
            } => words.extend([&*own.entity, &*own.event_id]),
            What::Published { message, .. } => words.extend([&*message.key]),
            _ => {}
        }
    }
    words.remove("");
    words
}

/// The calls that hosts made when a fault at a time began, those of the witness first, then the
/// nearest: the fault may have been meant for one of them.
pub(super) fn calls(run: &Run, witness: &Witness, fault: usize) -> Vec<(String, Call)> {
    let begin = begin(run, fault);
    let chain: BTreeSet<u64> = witness.chain.iter().copied().collect();
    let struck = &run.plan.schedule[fault];
    let mut events: Vec<&Event> = run.history.events.iter().collect();
    events.retain(|event| may_wait_for(struck, &event.host));
    events.sort_by_key(|event| {
        let distance = event.at.abs_diff(begin);
        (!chain.contains(&event.index), distance, event.index)
    });
    let calls_max = match run.plan.workload.len() {
        0..=FEW => CALLS_MAX_FOR_FEW,
        _ => CALLS_MAX,
    };
    let mut calls = Vec::new();
    for event in events {
        for call in made(&event.what) {
            let call = (event.host.to_string(), *call);
            if calls.len() < calls_max && !calls.contains(&call) {
                calls.push(call);
            }
        }
    }
    calls
}

/// The calls that the witness tells of, the latest first.
pub(super) fn calls_of(run: &Run, witness: &Witness) -> Vec<(String, Call)> {
    let mut calls = Vec::new();
    for index in witness.chain.iter().rev() {
        let event = usize::try_from(*index).ok();
        let Some(event) = event.and_then(|index| run.history.events.get(index)) else {
            continue;
        };
        for call in made(&event.what) {
            let call = (event.host.to_string(), *call);
            if calls.len() < CALLS_MAX && !calls.contains(&call) {
                calls.push(call);
            }
        }
    }
    calls
}

/// When a fault first had an effect.
pub(super) fn begin(run: &Run, index: usize) -> Duration {
    let mut events = run.history.events.iter();
    let bit = events
        .find(|event| matches!(event.what, What::FaultBit { fault, .. } if fault == index))
        .map(|event| event.at);
    bit.unwrap_or(Duration::from_millis(run.plan.schedule[index].at_ms))
}

/// An incident that befalls certain hosts waits for a call of one of these.
fn may_wait_for(fault: &Fault, host: &str) -> bool {
    match &fault.action {
        Action::Incident { incident, .. } => {
            let named = incident.hosts();
            named.is_empty() || named.contains(&host)
        }
        Action::Strike { .. } => false,
    }
}

/// The calls that an event tells of. No event tells of a statement alone.
fn made(what: &What) -> &'static [Call] {
    match what {
        What::Published { .. }
        | What::PublishRejected { .. }
        | What::PublishAcknowledged { .. }
        | What::PublishUnknown { .. } => &[Call::Publish],
        What::Delivered { .. } => &[Call::Receive],
        What::Settled { .. } => &[Call::Settle],
        What::Committed { .. } => &[Call::Commit, Call::Statement],
        What::ExternalCalled { .. } => &[Call::External],
        _ => &[],
    }
}
