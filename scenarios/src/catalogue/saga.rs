//! Scenarios of the saga with deadlines: a step is held up, or its service is away, for longer than it may take.

use stormglass::plan::FaultKind;

use super::{Beside, PLAIN, Scenario};
use crate::deploy::Saga;

/// What holds a step up, or keeps it from ever being answered.
const FAULTS: &[FaultKind] = &[
    FaultKind::Crash,
    FaultKind::Pause,
    FaultKind::Partition,
    FaultKind::ExternalOutage,
    FaultKind::ExternalAnswerLost,
    FaultKind::GroupPoison,
    FaultKind::CommitAnswerLost,
];

/// The services see to it themselves.
pub(super) const SAGA_TIMEOUT: Scenario = Scenario {
    name: "saga-timeout",
    promise: "an order whose step is not answered in time is cancelled, and whatever was done or is done late is undone",
    faults: FAULTS,
    certain: &[FaultKind::Pause, FaultKind::ExternalOutage],
    beside: &[Beside::EffectOnce, Beside::DlqRouting],
    struck: &["order", "inventory", "payment", "shipping"],
    saga: Some(Saga::Choreographed),
    ..PLAIN
};

/// An orchestrator sees to it.
pub(super) const SAGA_TIMEOUT_ORCHESTRATED: Scenario = Scenario {
    name: "saga-timeout-orchestrated",
    promise: "the same where an orchestrator asks for each step by a command",
    struck: &["order", "inventory", "payment", "shipping", "saga"],
    saga: Some(Saga::Orchestrated),
    ..SAGA_TIMEOUT
};
