//! How the shop's events are published: one choice for all services, none of which knows of it.
//!
//! The monolith is put together by itself ([`super::monolith`]), because it is another number of processes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reference_system::cdc::{self, Capture};
use reference_system::consumer::Handler;
use reference_system::inventory::Stockkeeping;
use reference_system::notification::Notifying;
use reference_system::order::{OrderLifecycle, Orders};
use reference_system::payment::Charging;
use reference_system::ports::Broker;
use reference_system::ports::card_processor::SandboxCardProcessor;
use reference_system::ports::mailer::LoggingMailer;
use reference_system::publishing::breaker::BreakerSettings;
use reference_system::publishing::{Direct, PublishPattern};
use reference_system::relay::Relay;
use reference_system::shipping::Dispatching;
use reference_system::synchronous::{self, ByAnswer, Service, SynchronousDesk};
use reference_system::{Environment, Settings};

use super::processes::Processes;
use super::{Deployment, listen};

/// A way of publishing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// After the commit, and never again.
    Direct,
    /// After the commit, in a few tries, through a circuit breaker.
    DirectGuarded,
    /// By a relay, from rows of the transaction.
    #[default]
    Outbox,
    /// By a capture of the database's log of changes.
    Cdc,
    /// Not at all: each service is called in turn.
    Synchronous,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Pattern; 5] = [
        Pattern::Direct,
        Pattern::DirectGuarded,
        Pattern::Outbox,
        Pattern::Cdc,
        Pattern::Synchronous,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Pattern::Direct => "direct",
            Pattern::DirectGuarded => "direct-guarded",
            Pattern::Outbox => "outbox",
            Pattern::Cdc => "cdc",
            Pattern::Synchronous => "sync",
        }
    }

    /// How many instances of the process that publishes may run: a log of changes has one reader, and where nobody is
    /// needed nobody has to be doubled.
    pub(super) fn publishers_max(self) -> u32 {
        match self {
            Pattern::Outbox => 3,
            Pattern::Direct | Pattern::DirectGuarded | Pattern::Cdc | Pattern::Synchronous => 1,
        }
    }

    /// How many instances of the other services may run: callers know one of each.
    pub(super) fn services_max(self) -> u32 {
        match self {
            Pattern::Direct | Pattern::DirectGuarded | Pattern::Outbox | Pattern::Cdc => 3,
            Pattern::Synchronous => 1,
        }
    }
}

impl Deployment {
    /// The same with this way of publishing.
    #[must_use]
    pub fn pattern(self, pattern: Pattern) -> Self {
        let own = Deployment { pattern, ..self };
        match pattern {
            Pattern::Direct => own
                .publishing(|broker| Arc::new(Direct::new(broker)))
                .processes(Unrelayed),
            Pattern::DirectGuarded => own.publishing(guarded).processes(Unrelayed),
            Pattern::Outbox => own,
            Pattern::Cdc => own.processes(Capturing),
            Pattern::Synchronous => own.publishing(|_| Arc::new(ByAnswer)).processes(Calling),
        }
    }
}

/// Publishing in as many tries as a consumer makes, through a breaker as it is usually set.
fn guarded(broker: Arc<dyn Broker>) -> Arc<dyn PublishPattern> {
    let Settings {
        attempts_max,
        backoff,
        ..
    } = Settings::default();
    let breaker = BreakerSettings::default();
    Arc::new(Direct::guarded(broker, breaker, attempts_max, backoff))
}

/// Services that publish themselves: where the relay would be is only what operators ask.
struct Unrelayed;

#[async_trait(?Send)]
impl Processes for Unrelayed {
    async fn relay(&self, relay: Relay) {
        relay.shutdown.comes().await
    }
}

/// A capture where the relay would be.
struct Capturing;

#[async_trait(?Send)]
impl Processes for Capturing {
    async fn relay(&self, relay: Relay) {
        let Settings {
            relay_poll,
            relay_page,
            backoff,
            ..
        } = relay.settings;
        let capture = Capture {
            shutdown: relay.shutdown,
            settings: cdc::Settings {
                poll: relay_poll,
                page: relay_page,
                backoff,
                heartbeat: relay_poll.max(Duration::from_secs(2)),
                ..cdc::Settings::default()
            },
            ..Capture::new(relay.databases, relay.broker)
        };
        capture.run().await
    }
}

/// Services that call each other.
struct Calling;

#[async_trait(?Send)]
impl Processes for Calling {
    async fn consume(&self, environment: Environment, handler: Box<dyn Handler>) {
        let served = match listen().await {
            Ok(listener) => synchronous::serve(listener, environment, handler).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::error!(%error, "cannot be called any more");
        }
    }

    async fn relay(&self, relay: Relay) {
        Unrelayed.relay(relay).await
    }

    fn desk(&self, environment: Environment) -> Arc<dyn Orders> {
        let service = |handler: &dyn Handler| {
            let url = format!("http://{}", handler.consumer());
            Service::new(handler, &url)
        };
        let services = vec![
            service(&Stockkeeping),
            service(&Charging::new(Arc::new(SandboxCardProcessor::default()))),
            service(&OrderLifecycle),
            service(&Dispatching),
            service(&Notifying::new(Arc::new(LoggingMailer::default()))),
        ];
        Arc::new(SynchronousDesk::new(environment, services))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reference_system::Settings;
    use stormglass::Seed;
    use stormglass::database::Engine;
    use stormglass::plan::{Fault, Incident};
    use stormglass::simulation::{Recording, run};

    use crate::deploy::{Deployment, deploy};
    use crate::incidents::figures::Backlog;
    use crate::incidents::sale::{Sale, patient, plan};
    use crate::workload;

    const POLL: Duration = Duration::from_secs(3);

    /// The longest that an event waited for the relay, which looks by itself every three seconds, and ever more seldom
    /// where it is told.
    fn longest_wait(engine: Engine, faults: Vec<Fault>) -> Duration {
        let settings = Settings {
            relay_poll: POLL,
            relay_poll_listening: Duration::from_secs(60),
            ..Settings::default()
        };
        let sale = Sale {
            from: Duration::from_secs(1),
            lasts: Duration::from_secs(8),
            orders: 4,
        };
        let system = deploy(Deployment::new("relay that is told").settings(settings))
            .operations(workload::operation, workload::carry_out)
            .settings(patient())
            .on(engine);
        let faults_planned = faults.len();
        let run = run(&system, &plan(Seed(0), &[sale], faults), Recording::On).unwrap();
        assert_eq!(run.bitten.len(), faults_planned);
        let backlog = Backlog::of(&run.history, run.elapsed);
        assert!(
            backlog.peak > 0 && backlog.drained_in.is_some(),
            "{backlog:?}"
        );
        backlog.oldest
    }

    #[test]
    fn a_relay_that_is_told_of_rows_publishes_them_long_before_it_would_look() {
        let told = longest_wait(Engine::Postgres, Vec::new());
        assert!(told < Duration::from_millis(500), "{told:?}");
        let looks = longest_wait(Engine::Sqlite, Vec::new());
        assert!(looks > Duration::from_secs(1), "{looks:?}");
        assert!(looks < POLL + Duration::from_millis(500), "{looks:?}");
    }

    #[test]
    fn a_relay_whose_listening_connection_is_lost_is_told_again() {
        let reset = |at_ms| {
            let incident = Incident::ConnectionReset {
                a: "relay".to_owned(),
                b: "postgres".to_owned(),
            };
            Fault::at(at_ms, incident)
        };
        let told = longest_wait(Engine::Postgres, vec![reset(2_000), reset(4_500)]);
        assert!(told < Duration::from_millis(500), "{told:?}");
    }
}
