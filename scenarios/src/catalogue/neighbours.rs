//! Scenarios of the services that came later.

use stormglass::plan::FaultKind;

use super::{Beside, PLAIN, Scenario};
use crate::deploy::Extent;

/// Search, text messages and a partner.
pub(super) const NEIGHBOURS: Scenario = Scenario {
    name: "neighbours",
    promise: "services that came later learn of every order, and so does a partner who is away for a while",
    faults: &[
        FaultKind::Crash,
        FaultKind::Pause,
        FaultKind::Duplicate,
        FaultKind::Partition,
        FaultKind::CommitAnswerLost,
        FaultKind::ExternalOutage,
        FaultKind::ExternalAnswerLost,
    ],
    certain: &[FaultKind::Duplicate],
    beside: &[
        Beside::EffectOnce,
        Beside::OnlyPoisonParked,
        Beside::Neighbours,
    ],
    struck: &["search", "sms", "webhook", "partner", "relay"],
    extent: Extent::WithNeighbours,
    ..PLAIN
};

/// A consumer of what nobody waits for.
pub(super) const ANALYTICS: Scenario = Scenario {
    name: "analytics",
    promise: "what analytics is not told of is no more than what was ordered in an outage, and no order waits for it",
    faults: &[
        FaultKind::BrokerOutage,
        FaultKind::CapacityLimit,
        FaultKind::Crash,
        FaultKind::Partition,
        FaultKind::LoseAck,
        FaultKind::Duplicate,
    ],
    certain: &[FaultKind::CapacityLimit],
    beside: &[Beside::EffectOnceOfRepublished, Beside::Analytics],
    struck: &["gateway", "analytics"],
    extent: Extent::WithAnalytics,
    ..PLAIN
};
