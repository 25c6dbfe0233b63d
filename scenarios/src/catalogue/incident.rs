//! Incidents: what goes wrong in a scenario that no single fault is, such as a release that cannot read a single event.
//!
//! An incident changes the deployment and who asks for what, and names what is judged because of it.

use std::time::Duration;

use reference_system::monitor::{CONSUMER_LAG, DepthThreshold, PARKED_EVENTS, REAL_TIME};
use stormglass::System;
use stormglass::checker::{self, DlqAlertTruth, LagTruth};
use stormglass::plan::{Budget, FaultKind, Load};

use super::{Beside, PLAIN, Scenario};

use crate::deploy::{AbsentConsumer, BrokenRelease, Deployment, PAGER, Watch};
use crate::workload;

/// Something that goes wrong beside the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A release of the notification service parks every event, until it is rolled back and operators replay.
    DlqFlood,
    /// Nobody has started the consumer of orders for more than half an hour.
    LaggingConsumer,
}

/// The consumer whose release is broken.
const FLOODED: &str = "notification";

/// The release.
pub const BROKEN_RELEASE: BrokenRelease = BrokenRelease {
    consumer: FLOODED,
    until: Duration::from_secs(12),
};

/// Ten events within ten seconds are too many for the figures of a run, in which an hour does not pass.
const DEPTH: DepthThreshold = DepthThreshold {
    parked: 20,
    lately: 10,
    window: Duration::from_secs(10),
};

/// The consumer that is absent, and comes when it has fallen behind by half an hour.
pub const ABSENT_CONSUMER: AbsentConsumer = AbsentConsumer {
    consumer: "inventory",
    until: Duration::from_secs(35 * 60),
};

/// Far more is parked than usual.
pub(super) const DLQ_FLOOD: Scenario = Scenario {
    name: "dlq-flood",
    promise: "a release that parks everything pages people once, and a replay after its rollback makes up for it",
    faults: &[
        FaultKind::Crash,
        FaultKind::Restart,
        FaultKind::Pause,
        FaultKind::StatementError,
        FaultKind::ExternalOutage,
        FaultKind::ExternalAnswerLost,
    ],
    beside: &[Beside::DlqReplay],
    struck: &["monitor", "notification"],
    incident: Some(Incident::DlqFlood),
    ..PLAIN
};

/// A consumer falls behind.
pub(super) const LAGGING_CONSUMER: Scenario = Scenario {
    name: "lagging-consumer",
    promise: "a group that is half an hour behind pages people after five minutes, and again when it has caught up",
    faults: &[
        FaultKind::Crash,
        FaultKind::Restart,
        FaultKind::ExternalOutage,
        FaultKind::ExternalAnswerLost,
    ],
    struck: &["monitor"],
    incident: Some(Incident::LaggingConsumer),
    ..PLAIN
};

impl Incident {
    /// The deployment in which it happens.
    pub fn deployed(self, deployment: Deployment) -> Deployment {
        match self {
            Incident::DlqFlood => deployment
                .watched(Watch {
                    depth: DEPTH,
                    unpublished: None,
                    waiting: REAL_TIME,
                    every: Duration::from_millis(500),
                })
                .processes(BROKEN_RELEASE),
            Incident::LaggingConsumer => deployment
                .settings(reference_system::Settings {
                    // A relay that looks ten times a second would look twenty thousand times at each outbox.
                    relay_poll: Duration::from_secs(5),
                    ..reference_system::Settings::default()
                })
                .watched(Watch {
                    depth: DepthThreshold::default(),
                    unpublished: None,
                    waiting: REAL_TIME,
                    every: Duration::from_secs(10),
                })
                .processes(ABSENT_CONSUMER),
        }
    }

    /// The system with those who ask for things while it happens, and with what is judged because of it.
    pub fn judged(self, system: System) -> System {
        match self {
            Incident::DlqFlood => system
                .operations(
                    || workload::operation_in_a_flood(FLOODED, 12_500),
                    workload::carry_out,
                )
                .load(Load {
                    operations_min: 20,
                    operations_max: 30,
                    over_ms: 3_000,
                    ..Load::default()
                })
                .property(alert_truth()),
            Incident::LaggingConsumer => one_of_each(system)
                .load(Load {
                    operations_min: 30,
                    operations_max: 40,
                    over_ms: 30 * 60 * 1_000,
                    ..Load::default()
                })
                .budget(Budget {
                    faults_max: 12,
                    // The alarm is due after five minutes, and nothing before that disturbs it.
                    over_ms: 7 * 60 * 1_000,
                    duration_ms_max: 60_000,
                })
                .settings(stormglass::simulation::Settings {
                    liveness_bound: Duration::from_secs(15 * 60),
                    operation_timeout: Duration::from_secs(20),
                    ..stormglass::simulation::Settings::default()
                })
                .property(lag_truth()),
        }
    }
}

/// One instance of each service: half an hour of doing nothing costs what all of them do in it.
fn one_of_each(system: System) -> System {
    ["gateway", "relay"]
        .iter()
        .chain(&GROUPS)
        .fold(system, |system, service| system.instances(service, 1..=1))
}

/// Every consumer group.
const GROUPS: [&str; 5] = ["order", "inventory", "payment", "shipping", "notification"];

/// The alarms that the monitor owes about what groups have parked.
fn alert_truth() -> DlqAlertTruth {
    let threshold = checker::DepthThreshold {
        parked: to_size(DEPTH.parked),
        lately: to_size(DEPTH.lately),
        window: DEPTH.window,
    };
    let property = DlqAlertTruth::new(PAGER, PARKED_EVENTS).within(Duration::from_secs(5));
    GROUPS
        .iter()
        .fold(property, |property, group| property.group(group, threshold))
}

/// The alarms that it owes about how far they are behind.
fn lag_truth() -> LagTruth {
    let property = LagTruth::new(PAGER, CONSUMER_LAG).within(Duration::from_secs(30));
    GROUPS
        .iter()
        .fold(property, |property, group| property.group(group, REAL_TIME))
}

fn to_size(events: i64) -> usize {
    usize::try_from(events).unwrap_or(usize::MAX)
}
