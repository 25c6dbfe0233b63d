//! Scenarios of what stands between a service's commit and the broker.

use stormglass::plan::FaultKind;

use super::{Beside, Clients, PLAIN, Relaying, Scenario};
use crate::deploy::Pattern;

/// Rows that a relay withholds.
pub(super) const TOO_LARGE: Scenario = Scenario {
    name: "too-large",
    promise: "an event that the broker takes from nobody waits for an operator, and keeps only its own order waiting",
    faults: &[FaultKind::TooLarge, FaultKind::Crash, FaultKind::LoseAck],
    certain: &[FaultKind::TooLarge],
    beside: &[Beside::Progress],
    struck: &["relay"],
    clients: Clients::CustomersAndReleases,
    ..PLAIN
};

/// A relay behind a circuit breaker.
pub(super) const CIRCUIT: Scenario = Scenario {
    name: "circuit",
    promise: "a broker that fails is left alone, and orders are carried out when it is back",
    faults: &[
        FaultKind::BrokerOutage,
        FaultKind::CapacityLimit,
        FaultKind::LoseAck,
    ],
    certain: &[FaultKind::BrokerOutage, FaultKind::CapacityLimit],
    beside: &[Beside::Breaker],
    relay: Relaying::Guarded,
    ..PLAIN
};

/// A capture in the place of the relay.
pub(super) const CDC: Scenario = Scenario {
    name: "cdc",
    promise: "a capture of the database's log of changes that dies at any step loses no event",
    faults: &[
        FaultKind::Crash,
        FaultKind::Pause,
        FaultKind::LoseAck,
        FaultKind::BrokerOutage,
        FaultKind::CapacityLimit,
        FaultKind::CommitLost,
        FaultKind::CommitAnswerLost,
    ],
    certain: &[FaultKind::LoseAck],
    beside: &[Beside::EffectOnceOfRepublished],
    pattern: Pattern::Cdc,
    struck: &["relay"],
    ..PLAIN
};
