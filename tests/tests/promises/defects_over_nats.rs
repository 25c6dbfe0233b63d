//! Planted mistakes over the shop's own NATS client: what is found on the simulated broker is found there as well.
//!
//! Two of them stand for the others, whose meaning does not depend on the broker.

use std::sync::Arc;

use async_trait::async_trait;
use reference_system::event::Event;
use reference_system::inbox::Inbox;
use reference_system::ports::broker::NatsSettings;
use reference_system::publishing::Direct;
use scenarios::catalogue::under_test;
use scenarios::{Deployment, deploy};
use sqlx::AnyConnection;
use stormglass::checker::{EffectOnce, Verdict};
use stormglass::plan::FaultKind;
use stormglass::simulation::{Recording, run};
use stormglass::{Seed, System};
use tokio::time::Duration;

/// Seeds among which a mistake has to show.
const SEEDS: u64 = 30;

/// An inbox that remembers nothing.
struct Forgetful;

#[async_trait]
impl Inbox for Forgetful {
    async fn knows(&self, _: &mut AnyConnection, _: &str, _: &str) -> sqlx::Result<bool> {
        Ok(false)
    }

    async fn first_time(&self, _: &mut AnyConnection, _: &str, _: &Event) -> sqlx::Result<bool> {
        Ok(true)
    }
}

fn over_nats(deployment: Deployment, faults: &[FaultKind]) -> System {
    let settings = NatsSettings {
        ack_wait: Duration::from_secs(3),
        ..NatsSettings::default()
    };
    under_test(deploy(deployment.over_nats(settings)))
        .property(EffectOnce)
        .faults(faults)
        .provoke(faults)
}

/// Whether some seed breaks the property.
fn is_broken(system: &System, property: &str) -> bool {
    let generator = system.generator().unwrap();
    (0..SEEDS).any(|seed| {
        let run = run(system, &generator.plan(Seed(seed)), Recording::On).unwrap();
        let verdicts = system.judge(&run.history);
        let broken = |(id, verdict): &(String, Verdict)| {
            id == property && matches!(verdict, Verdict::Broken(_))
        };
        verdicts.iter().any(broken)
    })
}

#[test]
fn a_consumer_without_dedup_breaks_effect_once_over_nats() {
    let deployment = Deployment::new("no dedup over nats").inbox(Forgetful);
    let system = over_nats(deployment, &[FaultKind::Duplicate]);
    assert!(is_broken(&system, "effect-once"));
}

#[test]
fn publishing_after_the_commit_loses_events_over_nats() {
    let deployment = Deployment::new("direct over nats");
    let deployment = deployment.publishing(|broker| Arc::new(Direct::new(broker)));
    let system = over_nats(deployment, &[FaultKind::BrokerOutage]);
    assert!(is_broken(&system, "no-lost-event"));
}

#[test]
fn the_shop_as_it_should_be_breaks_neither() {
    let deployment = Deployment::new("shop over nats");
    let system = over_nats(deployment, &[FaultKind::Duplicate, FaultKind::BrokerOutage]);
    assert!(!is_broken(&system, "effect-once"));
    assert!(!is_broken(&system, "no-lost-event"));
}
