//! How the shop's events are published: `--publish`.
//!
//! It starts what differs; what is the same for all of them stays in `serve`.

use std::sync::Arc;

use clap::ValueEnum;
use reference_system::analytics::tracking::tracked;
use reference_system::cdc::Capture;
use reference_system::consumer::Handler;
use reference_system::order::{OrderDesk, Orders};
use reference_system::ports::{Broker, CardProcessor, Mailer};
use reference_system::publishing::breaker::BreakerSettings;
use reference_system::publishing::{Direct, Outbox, PublishPattern};
use reference_system::relay::Relay;
use reference_system::saga::{
    Choreography, Limits, Orchestrator, TimedLifecycle, TimedPublishing, Timer, commanded,
};
use reference_system::synchronous::{self, ByAnswer, Service as Called, SynchronousDesk};
use reference_system::{
    Environment, Settings, Telemetry, consumer, inventory::Stockkeeping, monolith::Monolith,
    notification::Notifying, order::OrderLifecycle, payment::Charging, shipping::Dispatching,
};
use tokio::net::TcpListener;

use super::databases::Databases;
use super::{ServeError, Service, listen, outboxes};

/// A way of publishing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publish {
    /// Not at all: the gateway calls every service in turn
    Sync,
    /// To the broker after the commit; what it does not take is lost
    Direct,
    /// The same with a few tries, through a circuit breaker
    DirectGuarded,
    /// By a relay, from rows written with the change
    #[default]
    Outbox,
    /// By a capture of the database's log of changes; PostgreSQL needs wal_level=logical
    Cdc,
    /// To subscribers in the process, on one database, without a broker
    InProcess,
}

/// Who drives an order through its steps, each of which has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Saga {
    /// The services, by each other's events; the order service keeps the time
    Choreographed,
    /// An orchestrator, by commands
    Orchestrated,
}

impl Saga {
    /// A service's environment as it takes part.
    pub(super) fn environment(self, service: &str, own: Environment) -> Environment {
        match (self, service) {
            (Self::Choreographed, "order") => {
                let timed = TimedPublishing::new(own.publishing.clone(), Limits::default());
                Environment {
                    publishing: Arc::new(timed),
                    ..own
                }
            }
            _ => own,
        }
    }

    /// A service's handler as it takes part.
    pub(super) fn handled(self, handler: Box<dyn Handler>) -> Box<dyn Handler> {
        match self {
            Self::Choreographed if handler.consumer() == OrderLifecycle.consumer() => {
                Box::new(TimedLifecycle(Limits::default()))
            }
            Self::Choreographed => handler,
            Self::Orchestrated => commanded(handler),
        }
    }

    /// What drives it beside the services.
    fn start(self, with: impl Fn(&'static str) -> Environment) -> Vec<(&'static str, Service)> {
        match self {
            Self::Choreographed => {
                let timer = Timer::new(with("order"), Choreography);
                vec![("timer", Box::pin(timer.run()))]
            }
            Self::Orchestrated => {
                let orchestrator = Orchestrator(Limits::default());
                let consuming = consumer::run(with("saga"), Box::new(orchestrator));
                let timer = Timer::new(with("saga"), orchestrator);
                vec![
                    ("saga", Box::pin(consuming)),
                    ("timer", Box::pin(timer.run())),
                ]
            }
        }
    }
}

/// What events are published with.
pub(super) struct Means<'m> {
    /// The way.
    pub(super) publish: Publish,
    /// The relay's name among those that share the databases.
    pub(super) relay: &'m str,
    /// Where its spans go.
    pub(super) telemetry: Telemetry,
    /// Where the outboxes are.
    pub(super) databases: &'m Databases,
    /// Where to.
    pub(super) broker: &'m Arc<dyn Broker>,
    /// Who drives orders, where their steps have deadlines.
    pub(super) saga: Option<Saga>,
    /// Whether the gateway tells analytics of orders.
    pub(super) tracking: Tracked,
}

/// Whether the gateway tells analytics of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracked {
    /// Nobody asks for it.
    No,
    /// It does.
    Yes,
}

/// What a way of publishing runs, beside the listeners of the gateway and the operators.
pub(super) struct Running {
    /// What the gateway asks for orders.
    pub(super) desk: Arc<dyn Orders>,
    /// The services, by their names.
    pub(super) services: Vec<(&'static str, Service)>,
}

impl Publish {
    /// How services publish.
    pub(super) fn pattern(self, broker: &Arc<dyn Broker>) -> Arc<dyn PublishPattern> {
        match self {
            Publish::Direct => Arc::new(Direct::new(broker.clone())),
            Publish::DirectGuarded => {
                let Settings {
                    attempts_max,
                    backoff,
                    ..
                } = Settings::default();
                let breaker = BreakerSettings::default();
                Arc::new(Direct::guarded(
                    broker.clone(),
                    breaker,
                    attempts_max,
                    backoff,
                ))
            }
            Publish::Outbox | Publish::Cdc => Arc::new(Outbox::default()),
            // A monolith brings its own.
            Publish::Sync | Publish::InProcess => Arc::new(ByAnswer),
        }
    }
}

/// Puts together what runs; `with` gives the environment of a service.
pub(super) async fn start(
    means: Means<'_>,
    with: impl Fn(&'static str) -> Environment,
    cards: Arc<dyn CardProcessor>,
    mailer: Arc<dyn Mailer>,
) -> Result<Running, ServeError> {
    if means.publish == Publish::InProcess {
        let monolith = Monolith::new(with("order"), cards, mailer);
        let (desk, work) = monolith.split();
        return Ok(Running {
            desk: Arc::new(desk),
            services: vec![("subscribers", Box::pin(work))],
        });
    }
    let handlers: [Box<dyn Handler>; 5] = [
        Box::new(Stockkeeping),
        Box::new(Charging::new(cards)),
        Box::new(OrderLifecycle),
        Box::new(Dispatching),
        Box::new(Notifying::new(mailer)),
    ];
    if means.publish == Publish::Sync {
        return called(with, handlers).await;
    }
    let consumers = handlers.into_iter().map(|handler| {
        let handler = match means.saga {
            Some(saga) => saga.handled(handler),
            None => handler,
        };
        let name = handler.consumer();
        let consuming: Service = Box::pin(consumer::run(with(name), handler));
        (name, consuming)
    });
    let mut services: Vec<(&'static str, Service)> = consumers.collect();
    let Environment {
        shutdown, settings, ..
    } = with("order");
    let (databases, telemetry) = (outboxes(means.databases), means.telemetry);
    let broker = telemetry.around(means.broker.clone());
    match means.publish {
        Publish::Outbox => {
            let relay = Relay::new(means.relay, databases, broker);
            let relay = Relay {
                telemetry,
                shutdown,
                settings,
                ..relay
            };
            services.push(("relay", Box::pin(relay.run())));
        }
        Publish::Cdc => {
            let capture = Capture::new(databases, broker);
            services.push((
                "capture",
                Box::pin(
                    Capture {
                        shutdown,
                        ..capture
                    }
                    .run(),
                ),
            ));
        }
        Publish::Sync | Publish::Direct | Publish::DirectGuarded | Publish::InProcess => {}
    }
    services.extend(means.saga.into_iter().flat_map(|saga| saga.start(&with)));
    let desk: Arc<dyn Orders> = Arc::new(OrderDesk::new(with("order")));
    if means.tracking == Tracked::No {
        return Ok(Running { desk, services });
    }
    let Environment { shutdown, .. } = with("order");
    let (desk, tracking) = tracked(desk, means.broker.clone());
    services.push(("tracking", Box::pin(tracking.run(shutdown))));
    let desk = Arc::new(desk);
    Ok(Running { desk, services })
}

/// Services that are called, each on a loopback port of its own.
async fn called(
    with: impl Fn(&'static str) -> Environment,
    handlers: [Box<dyn Handler>; 5],
) -> Result<Running, ServeError> {
    let (mut called, mut services) = (Vec::new(), Vec::new());
    for handler in handlers {
        let name = handler.consumer();
        let listener: TcpListener = listen(([127, 0, 0, 1], 0).into()).await?;
        let address = listener.local_addr().map_err(ServeError::Start)?;
        called.push(Called::new(handler.as_ref(), &format!("http://{address}")));
        let serving = synchronous::serve(listener, with(name), handler);
        let serving: Service = Box::pin(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, name, "cannot be called any more");
            }
        });
        services.push((name, serving));
    }
    let desk = Arc::new(SynchronousDesk::new(with("order"), called));
    Ok(Running { desk, services })
}
