//! Analytics: the gateway tells of every order that it has taken, and a consumer counts.
//!
//! What is told has no row behind it, so nothing is owed where it is lost.

use std::sync::Arc;

use reference_system::Environment;
use reference_system::analytics::Counting;
use reference_system::analytics::tracking::{Tracking, tracked};
use reference_system::event::contract::topic;
use reference_system::order::Orders;
use stormglass::{Machine, System};

use super::{Deployment, PARTITIONS, StartError, group, schema, with};

/// The host, the database and the group.
const ANALYTICS: &str = "analytics";

/// The system with analytics.
pub(super) fn beside(system: System, deployment: &Deployment) -> System {
    let memory = deployment.settings.retention.known_for();
    system
        .topic(topic::ACTIVITY, PARTITIONS)
        .group(group(&Counting).remembers(memory))
        .database(schema::of_analytics())
        .host(ANALYTICS, with(deployment, count))
        .instances(ANALYTICS, 1..=2)
}

/// What the gateway asks for orders, and what tells of them.
pub(super) fn tell(
    desk: Arc<dyn Orders>,
    environment: &Environment,
) -> (Arc<dyn Orders>, Tracking) {
    let (desk, tracking) = tracked(desk, environment.broker.clone());
    (Arc::new(desk), tracking)
}

async fn count(machine: Machine, own: Deployment) -> Result<(), StartError> {
    let (environment, spans) = own.environment(&machine, ANALYTICS).await?;
    let broker = environment.broker.clone();
    own.processes.consume(environment, Box::new(Counting)).await;
    broker.close().await;
    spans.finish().await;
    Ok(())
}
