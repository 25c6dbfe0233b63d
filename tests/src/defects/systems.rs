//! What a mistake is planted in: the reference system under a load that gives it its chance. It is no mistake itself.

use reference_system::ports::broker::header::MESSAGE_ID;
use scenarios::catalogue::{Clients, under_rollout, under_test};
use scenarios::deploy::{Release, Rollout};
use scenarios::{Deployment, deploy, workload};
use stormglass::System;
use stormglass::broker::{JetStreamSettings, Profile};
use stormglass::checker::{DlqReplay, DlqRouting, EffectOnce};
use stormglass::database::Engine;
use stormglass::plan::FaultKind;

/// The system that is deployed, under the usual load and judged by the usual properties.
pub(super) fn judged(deployment: Deployment) -> System {
    under_test(deploy(deployment))
        .property(EffectOnce)
        .property(DlqRouting::default())
}

/// The same on PostgreSQL with two gateways, whose transactions overlap where one of them has a slow link.
pub fn overlapping(deployment: Deployment) -> System {
    judged(deployment)
        .on(Engine::Postgres)
        .instances("gateway", 2..=2)
        .instances("order", 2..=2)
        .strike(&["gateway", "order"])
        .provoke(&[FaultKind::Latency])
}

/// The same on a broker that knows what is published again, with operators who replay what is parked.
pub(super) fn replayed(deployment: Deployment) -> System {
    let profile = JetStreamSettings {
        message_id_header: MESSAGE_ID.to_owned(),
        ..JetStreamSettings::default()
    };
    judged(deployment)
        .broker(Profile::JetStream(profile))
        .operations(workload::operation_with_operators, workload::carry_out)
        .property(DlqReplay::default())
}

/// The system where releases differ by the start of their host, judged by what they promise each other too.
pub(super) fn rolled_out(deployment: Deployment, rollout: &'static Rollout) -> System {
    let system = under_test(deploy(deployment.rollout(*rollout)));
    under_rollout(system, rollout, Clients::Customers).strike(&["gateway"])
}

/// A producer that is deployed before its consumers, which nobody compares.
pub(super) const PRODUCER_FIRST: Rollout = Rollout {
    gateway: &[Release::First, Release::Second],
    readers: &[1],
    compatibility: "NONE",
};

/// A third version that goes with the second and not with the first.
pub(super) const THIRD_VERSION: Rollout = Rollout {
    gateway: &[Release::First, Release::NoDefault, Release::Second],
    readers: &[2],
    compatibility: "BACKWARD_TRANSITIVE",
};
