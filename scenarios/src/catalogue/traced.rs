//! The scenario of traces: services export spans to a collector, which is away at times as they are themselves.

use stormglass::plan::FaultKind;

use super::{Beside, PLAIN, Scenario};
use crate::deploy::Deployment;

/// Whether services export spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spans {
    /// They do not.
    Off,
    /// They do, to a collector.
    Collected,
}

impl Spans {
    /// The deployment in which they do or do not.
    pub(super) fn deployed(self, deployment: Deployment) -> Deployment {
        match self {
            Spans::Off => deployment,
            Spans::Collected => deployment.traced(),
        }
    }
}

/// Services with spans, and a collector.
pub(super) const TRACED: Scenario = Scenario {
    name: "traced",
    promise: "the spans of one order are one tree across all services, whatever becomes of services and collector",
    faults: &[
        FaultKind::Crash,
        FaultKind::Restart,
        FaultKind::Duplicate,
        FaultKind::LoseAck,
        FaultKind::ExternalOutage,
        FaultKind::ExternalAnswerLost,
    ],
    certain: &[FaultKind::Duplicate],
    beside: &[Beside::EffectOnce, Beside::OneTrace],
    spans: Spans::Collected,
    ..PLAIN
};
