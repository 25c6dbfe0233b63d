//! Scenarios of event contracts: versions of `order.placed` come and go while orders are placed, and events say more or less.

use reference_system::event::contract::event_type::ORDER_PLACED;
use stormglass::checker::Schema;
use stormglass::plan::{Budget, FaultKind, Load};

use super::{Beside, Clients, Memory, PLAIN, Scenario};
use crate::deploy::{Events, Release, Rollout, view};

/// A gateway that announces in the second version, where every consumer reads both.
pub(super) const ROLLING_DEPLOYMENT: Scenario = Scenario {
    name: "rolling-deployment",
    promise: "old and new instances of a producer side by side are both understood",
    faults: &[FaultKind::Restart, FaultKind::Crash, FaultKind::LoseAck],
    certain: &[FaultKind::Restart],
    struck: &["gateway"],
    rollout: Some(&Rollout {
        gateway: &[Release::First, Release::Second],
        readers: &[2],
        compatibility: "BACKWARD_TRANSITIVE",
    }),
    ..PLAIN
};

/// Gateway and consumers are taken back to what they were, and brought forward again.
pub(super) const ROLLBACK: Scenario = Scenario {
    name: "rollback",
    promise: "what a release has announced that is taken back is parked by older consumers, and applied when they are back",
    faults: &[FaultKind::Restart, FaultKind::Crash, FaultKind::LoseAck],
    certain: &[FaultKind::Restart, FaultKind::Crash],
    struck: &["gateway", "inventory", "notification"],
    clients: Clients::CustomersAndOperators,
    rollout: Some(&Rollout {
        gateway: &[Release::Second, Release::First, Release::Second],
        readers: &[2, 1, 2],
        compatibility: "BACKWARD_TRANSITIVE",
    }),
    ..PLAIN
};

/// Nobody compares versions, and the producer is deployed before its consumers.
pub(super) const SCHEMA_CHANGE: Scenario = Scenario {
    name: "schema-change",
    promise: "what a consumer cannot read after a schema change is parked, and applied after the fix",
    faults: &[FaultKind::Restart, FaultKind::Crash, FaultKind::LoseAck],
    certain: &[FaultKind::Restart, FaultKind::Crash],
    struck: &["gateway", "inventory", "notification"],
    clients: Clients::CustomersAndOperators,
    rollout: Some(&Rollout {
        gateway: &[Release::First, Release::Second],
        readers: &[1, 2],
        compatibility: "NONE",
    }),
    ..PLAIN
};

/// Releases that need all others to be deployed with them.
pub(super) const DISTRIBUTED_MONOLITH: Scenario = Scenario {
    name: "distributed-monolith",
    promise: "a version that needs a coordinated deployment is refused by the registry and never published",
    faults: &[FaultKind::Restart, FaultKind::LoseAck],
    certain: &[FaultKind::Restart],
    struck: &["gateway"],
    rollout: Some(&Rollout {
        gateway: &[
            Release::First,
            Release::AddressInParts,
            Release::NoDefault,
            Release::Second,
        ],
        readers: &[2],
        compatibility: "BACKWARD_TRANSITIVE",
    }),
    ..PLAIN
};

/// Events that only name an order.
pub(super) const THIN_EVENTS: Scenario = Scenario {
    name: "thin-events",
    promise: "an event that only names an order waits for the order's owner, and takes effect with the order as it is now",
    faults: &[
        FaultKind::Crash,
        FaultKind::Restart,
        FaultKind::Partition,
        FaultKind::LoseAck,
    ],
    certain: &[FaultKind::Crash, FaultKind::LoseAck],
    beside: &[Beside::EffectOnce, Beside::OnlyPoisonParked],
    struck: &["gateway", "shipping", "notification"],
    events: Events::Thin,
    ..PLAIN
};

/// Orders come in for longer than elsewhere: a release has its contracts registered before it serves anybody.
pub(super) fn load() -> Load {
    Load {
        over_ms: 9_000,
        ..Memory::Long.load()
    }
}

/// Releases come up as long as orders come in.
pub(super) fn budget() -> Budget {
    Budget {
        over_ms: 9_000,
        ..Memory::Long.budget()
    }
}

/// What the releases of a rollout promise each other.
pub(super) fn schema(rollout: &'static Rollout) -> Schema {
    let readers = ["inventory", "notification"];
    let schema = readers
        .into_iter()
        .fold(Schema::default(), |schema, group| {
            schema.reads_by_start(group, ORDER_PLACED, move |start| 1..=rollout.read_at(start))
        });
    match rollout.compatibility {
        // Whoever compares nothing has promised nothing.
        "NONE" => schema,
        _ => schema
            .registry(view::REGISTRATIONS)
            .incompatible(ORDER_PLACED, "1", "3"),
    }
}
