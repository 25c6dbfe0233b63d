//! The saga of an order with deadlines: choreographed by the order service, or orchestrated by a process of its own.
//!
//! Deployments without one have no deadlines: an order then waits for its steps as long as they take.

use std::sync::Arc;
use std::time::Duration;

use reference_system::Environment;
use reference_system::consumer::Handler;
use reference_system::event::contract::topic;
use reference_system::publishing::PublishPattern;
use reference_system::saga::{
    Choreography, Limits, Orchestrator, TimedLifecycle, TimedPublishing, Timer, commanded,
};
use stormglass::database::Database;
use stormglass::{Machine, System};

use super::{Deployment, PUBLISHERS, StartError, TOPICS, groups_of, schema, with};

/// Who drives the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saga {
    /// The services themselves, by each other's events.
    Choreographed,
    /// An orchestrator, by commands.
    Orchestrated,
}

/// The orchestrator's host, database and group.
pub(super) const ORCHESTRATOR: &str = "saga";

/// How long each step may take: longer than any does without a fault, and shorter than most faults last.
pub const LIMITS: Limits = Limits {
    reservation: Duration::from_millis(1_500),
    charge: Duration::from_millis(1_500),
    shipment: Duration::from_secs(3),
};

impl Saga {
    /// Publishing of the service with this database.
    pub(super) fn published(
        self,
        database: &str,
        publishing: Arc<dyn PublishPattern>,
    ) -> Arc<dyn PublishPattern> {
        match (self, database) {
            (Saga::Choreographed, "order") => Arc::new(TimedPublishing::new(publishing, LIMITS)),
            _ => publishing,
        }
    }

    /// A service's handler as it takes part.
    pub(super) fn handled(self, handler: Box<dyn Handler>) -> Box<dyn Handler> {
        match self {
            Saga::Choreographed if handler.consumer() == "order" => {
                Box::new(TimedLifecycle(LIMITS))
            }
            Saga::Choreographed => handler,
            Saga::Orchestrated => commanded(handler),
        }
    }

    /// The services' databases, with the table of whoever keeps the time.
    pub(super) fn databases(self, own: Vec<Database>, stock: &[(&str, i64)]) -> Vec<Database> {
        match self {
            Saga::Choreographed => schema::databases_with_deadlines(stock),
            Saga::Orchestrated => own.into_iter().chain([schema::of_orchestrator()]).collect(),
        }
    }

    /// The system with whoever drives it.
    pub(super) fn beside(self, system: System, deployment: &Deployment) -> System {
        match self {
            Saga::Choreographed => system,
            Saga::Orchestrated => groups_of([Box::new(Orchestrator(LIMITS)) as Box<dyn Handler>])
                .into_iter()
                .fold(system, |system, group| {
                    system.group(group.remembers(deployment.settings.retention.known_for()))
                })
                .host(ORCHESTRATOR, with(deployment, orchestrate))
                .instances(ORCHESTRATOR, 1..=2),
        }
    }
}

impl Deployment {
    /// The handler as it takes part in the saga, where there are deadlines.
    pub(super) fn in_saga(&self, handler: Box<dyn Handler>) -> Box<dyn Handler> {
        match self.saga {
            Some(saga) => saga.handled(handler),
            None => handler,
        }
    }

    pub(super) fn is_orchestrated(&self) -> bool {
        self.saga == Some(Saga::Orchestrated)
    }

    /// Every topic with the service that publishes to it.
    pub(super) fn publishers(&self) -> Vec<(&'static str, &'static str)> {
        let publishers = TOPICS.iter().copied().zip(PUBLISHERS);
        let orchestrator = (topic::COMMANDS, ORCHESTRATOR);
        publishers
            .chain(self.is_orchestrated().then_some(orchestrator))
            .collect()
    }

    /// Consumes, and watches the clock where this service does.
    pub(super) async fn run(&self, environment: Environment, handler: Box<dyn Handler>) {
        let is_timed = handler.consumer() == "order" && self.saga == Some(Saga::Choreographed);
        let timer = is_timed.then(|| Timer::new(environment.clone(), Choreography));
        let consuming = self.processes.consume(environment, handler);
        match timer {
            None => consuming.await,
            Some(timer) => {
                tokio::join!(consuming, self.processes.timer(timer));
            }
        }
    }
}

/// Drives sagas.
async fn orchestrate(machine: Machine, own: Deployment) -> Result<(), StartError> {
    let (environment, spans) = own.environment(&machine, ORCHESTRATOR).await?;
    let broker = environment.broker.clone();
    let orchestrator = Orchestrator(LIMITS);
    let timer = Timer::new(environment.clone(), orchestrator);
    let consuming = own.processes.consume(environment, Box::new(orchestrator));
    tokio::join!(consuming, own.processes.timer(timer));
    broker.close().await;
    spans.finish().await;
    Ok(())
}
