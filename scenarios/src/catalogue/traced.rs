//! The scenario of traces: services export spans to a collector, which is away at times as they are themselves.

use stormglass::plan::FaultKind;

use super::{Beside, PLAIN, Scenario};

/// Whether services export spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spans {
    /// They do not.
    Off,
    /// They do, to a collector.
    Collected,
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
