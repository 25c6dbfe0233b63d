//! The deployment: the reference system's services on simulated hosts, as one [`System`].
//!
//! The services are handed what they would be handed in production. Each choice that a team
//! makes about publishing, deduplicating, parking and relaying is a part of [`Deployment`] that can
//! be replaced, so that a mistake can be deployed without touching the services. Faults, workload
//! and properties are not chosen here.

mod absent_consumer;
mod analytics;
mod authorised;
mod broken_release;
mod broker;
mod circuit;
mod collector;
mod events;
mod monitor;
mod monolith;
mod nats;
mod neighbours;
mod old_reader;
mod patterns;
mod processes;
mod rollout;
mod saga;
mod schema;
mod third_parties;
mod time_of_run;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use reference_system::consumer::Handler;
use reference_system::dead_letter::{self, GiveUp, Park};
use reference_system::event::contract::topic;
use reference_system::event::registration::RegistrationError;
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::inventory::Stockkeeping;
use reference_system::notification::Notifying;
use reference_system::operations::{self, Services, Token};
use reference_system::order::{OrderLifecycle, OrderPlacedVersion};
use reference_system::payment::Charging;
use reference_system::ports::Broker;
use reference_system::ports::broker::{NatsBroker, NatsSettings, Standings};
use reference_system::ports::card_processor::SandboxCardProcessor;
use reference_system::ports::mailer::LoggingMailer;
use reference_system::publishing::{Outbox, PublishPattern};
use reference_system::registry::Registry;
use reference_system::registry::compatibility::{AsModeSays, Scope};
use reference_system::relay::{HandOff, MarkAfterAck, Relay};
use reference_system::replay::Origin;
use reference_system::shipping::Dispatching;
use reference_system::{Database, Environment, Settings, Shutdown, gateway};
use stormglass::{Attempts, Group, Machine, System};
use tokio::net::TcpListener;

pub use absent_consumer::AbsentConsumer;
pub use authorised::Asking;
pub(crate) use authorised::CUSTOMERS;
pub use broken_release::BrokenRelease;
use broker::SimulatedBroker;
pub use broker::{BROKER_VARIABLE, BrokerError, ShopBroker};
pub use circuit::{CIRCUIT, GuardedRelay, breaker};
pub use collector::COLLECTOR;
use collector::Spans;
pub use events::Events;
pub use monitor::{MONITOR, Watch};
pub use monolith::monolith;
pub(crate) use neighbours::SMS_GATEWAY;
use old_reader::OldReader;
pub use patterns::Pattern;
pub use processes::{AsWritten, Processes};
pub use rollout::{Release, Rollout};
pub use saga::{LIMITS, Saga};
pub(crate) use schema::PARTNER;
pub use schema::{ARTICLES, view};
pub use third_parties::{CARD_PROCESSOR, MAILER, PAGER};

/// The port that the gateway listens on.
pub(crate) const HTTP_PORT: u16 = 80;
/// What operators show.
pub(crate) const OPERATORS_TOKEN: &str = "open sesame";
/// The host and the database of the schema registry.
const REGISTRY: &str = "registry";
/// Partitions of each topic.
const PARTITIONS: u32 = 4;
/// Services whose effects are announced, by the name of host and database alike.
const PUBLISHERS: [&str; 4] = ["order", "inventory", "payment", "shipping"];
/// What runs more than once, as a plan draws it, beside the relay.
const SERVICES: [&str; 6] = [
    "gateway",
    "order",
    "inventory",
    "payment",
    "shipping",
    "notification",
];
pub(crate) const TOPICS: [&str; 4] = [
    topic::ORDERS,
    topic::INVENTORY,
    topic::PAYMENTS,
    topic::SHIPMENTS,
];

/// How a consumer's handler is made, from what its deployment runs.
type MakeHandler = fn(&dyn Processes) -> Box<dyn Handler>;

/// How a way of publishing is made from the broker client of a host.
type MakePublishing = fn(Arc<dyn Broker>) -> Arc<dyn PublishPattern>;

/// What a deployment of the reference system chooses. Each choice is the right one unless it is
/// replaced.
///
/// ```
/// use std::sync::Arc;
///
/// use reference_system::publishing::Direct;
/// use scenarios::{Deployment, deploy};
///
/// let deployment = Deployment::new("fire and forget");
/// let system = deploy(deployment.publishing(|broker| Arc::new(Direct::new(broker))));
/// # assert_eq!(system.name(), "fire and forget");
/// ```
#[derive(Clone)]
pub struct Deployment {
    name: String,
    pattern: Pattern,
    publishing: MakePublishing,
    inbox: Arc<dyn Inbox>,
    give_up: Arc<dyn GiveUp>,
    hand_off: Arc<dyn HandOff>,
    processes: Arc<dyn Processes>,
    settings: Settings,
    nats: Option<NatsSettings>,
    extent: Extent,
    stock: Vec<(&'static str, i64)>,
    watch: Option<Watch>,
    events: Events,
    rollout: Option<Rollout>,
    saga: Option<Saga>,
    check: Option<(Asking, Vec<String>)>,
    scope: Arc<dyn Scope>,
    is_traced: bool,
}

/// Which services are deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// Those that an order cannot do without.
    #[default]
    Core,
    /// Those and the ones that came later: search, text messages, and webhooks for a partner.
    WithNeighbours,
    /// Those and analytics.
    WithAnalytics,
}

/// What is chosen here is shared by all hosts of all runs, and must remember nothing: what a process remembers is made in
/// its [`Processes`].
impl Deployment {
    /// The reference system as it should be deployed.
    pub fn new(name: &str) -> Self {
        Deployment {
            name: name.to_owned(),
            pattern: Pattern::default(),
            stock: ARTICLES.to_vec(),
            publishing: |_| Arc::new(Outbox::default()),
            inbox: Arc::new(ProcessedEvents),
            give_up: Arc::new(Park),
            hand_off: Arc::new(MarkAfterAck),
            processes: Arc::new(AsWritten),
            settings: Settings::default(),
            nats: None,
            extent: Extent::Core,
            watch: None,
            events: Events::Hybrid,
            rollout: None,
            saga: None,
            check: None,
            scope: Arc::new(AsModeSays),
            is_traced: false,
        }
    }

    /// The same with these services.
    #[must_use]
    pub fn extent(self, extent: Extent) -> Self {
        Deployment { extent, ..self }
    }

    /// The same with a monitor that watches the consumers, and a pager.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        let watch = Some(watch);
        Deployment { watch, ..self }
    }

    /// The same with events that say more or less.
    #[must_use]
    pub fn events(self, events: Events) -> Self {
        Deployment { events, ..self }
    }

    /// The same with a schema registry, and with releases that differ by the start of their host.
    #[must_use]
    pub fn rollout(self, rollout: Rollout) -> Self {
        let rollout = Some(rollout);
        Deployment { rollout, ..self }
    }

    /// The same with deadlines for the steps of an order.
    #[must_use]
    pub fn saga(self, saga: Saga) -> Self {
        let saga = Some(saga);
        Deployment { saga, ..self }
    }

    /// The same with a gateway that asks whether a customer may order; these may.
    #[must_use]
    pub fn authorised(self, asking: Asking, known: Vec<String>) -> Self {
        let check = Some((asking, known));
        Deployment { check, ..self }
    }

    /// The same with a schema registry that compares a new version with others.
    #[must_use]
    pub fn registry_scope(self, scope: impl Scope + 'static) -> Self {
        let scope = Arc::new(scope);
        Deployment { scope, ..self }
    }

    /// The same with spans, and a collector that takes them.
    #[must_use]
    pub fn traced(self) -> Self {
        let is_traced = true;
        Deployment { is_traced, ..self }
    }

    /// The same with the shop's own client of a NATS server, which is asked for this, instead of the simulated broker.
    #[must_use]
    pub fn over_nats(self, settings: NatsSettings) -> Self {
        let nats = Some(settings);
        Deployment { nats, ..self }
    }

    /// The same with other articles in stock, and how many pieces of each.
    #[must_use]
    pub fn stock(self, stock: &[(&'static str, i64)]) -> Self {
        let stock = stock.to_vec();
        Deployment { stock, ..self }
    }

    /// The same with another way of publishing, made from the broker client of each host.
    #[must_use]
    pub fn publishing(self, publishing: MakePublishing) -> Self {
        Deployment { publishing, ..self }
    }

    /// The same with another inbox in every consumer.
    #[must_use]
    pub fn inbox(self, inbox: impl Inbox + 'static) -> Self {
        let inbox = Arc::new(inbox);
        Deployment { inbox, ..self }
    }

    /// The same with another fate for events that cannot be handled.
    #[must_use]
    pub fn give_up(self, give_up: impl GiveUp + 'static) -> Self {
        let give_up = Arc::new(give_up);
        Deployment { give_up, ..self }
    }

    /// The same with another way for the relay to hand a row over.
    #[must_use]
    pub fn hand_off(self, hand_off: impl HandOff + 'static) -> Self {
        let hand_off = Arc::new(hand_off);
        Deployment { hand_off, ..self }
    }

    /// The same with other processes on its hosts.
    #[must_use]
    pub fn processes(self, processes: impl Processes + 'static) -> Self {
        let processes = Arc::new(processes);
        Deployment { processes, ..self }
    }

    /// The same with other settings of the services.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Deployment { settings, ..self }
    }

    /// What the service on `machine` is deployed with if `database` is its own.
    async fn environment(
        &self,
        machine: &Machine,
        database: &str,
    ) -> Result<(Environment, Spans), StartError> {
        let (broker, _) = self.connect().await?;
        let spans = self.spans(machine)?;
        let broker = spans.telemetry.around(broker);
        let publishing = (self.publishing)(broker.clone());
        let publishing = self.events.published(publishing, machine.incarnation());
        let environment = Environment {
            database: Database::connect(machine.url(database)).await?,
            publishing: match self.saga {
                Some(saga) => saga.published(database, publishing),
                None => publishing,
            },
            broker,
            inbox: self.inbox.clone(),
            give_up: self.give_up.clone(),
            telemetry: spans.telemetry.clone(),
            shutdown: Shutdown::when(machine.terminated()),
            settings: self.settings,
        };
        Ok((environment, spans))
    }

    /// The broker as the current host reaches it, and as it tells how far groups have come.
    async fn connect(&self) -> Result<(Arc<dyn Broker>, Arc<dyn Standings>), StartError> {
        Ok(match self.nats {
            None => {
                let broker = SimulatedBroker::connect();
                (Arc::new(broker.clone()), Arc::new(broker))
            }
            Some(settings) => {
                let broker = NatsBroker::connect_later(nats::URL, settings).await?;
                (Arc::new(broker.clone()), Arc::new(broker))
            }
        })
    }
}

/// The deployed system, on a Kafka-like broker unless it is over NATS, with neither operations nor properties.
pub fn deploy(deployment: Deployment) -> System {
    let attempts = Attempts::Exactly(deployment.settings.attempts_max);
    let mut system = System::new(&deployment.name).attempts(attempts);
    for topic in TOPICS {
        system = system.topic(topic, PARTITIONS);
    }
    if deployment.is_orchestrated() {
        system = system.topic(topic::COMMANDS, PARTITIONS);
    }
    let memory = deployment.settings.retention.known_for();
    for group in groups_of(handlers().map(|handler| deployment.in_saga(handler))) {
        system = system.group(group.remembers(memory));
    }
    let databases = match &deployment.rollout {
        None if deployment.saga.is_some() => {
            let own = schema::databases(&deployment.stock).to_vec();
            let saga = deployment.saga.into_iter();
            saga.fold(own, |own, saga| saga.databases(own, &deployment.stock))
        }
        None => schema::databases(&deployment.stock).to_vec(),
        Some(rollout) => schema::databases_of_rollout(rollout, &deployment.stock),
    };
    for database in databases {
        system = system.database(database);
    }
    if deployment.rollout.is_some() {
        system = system.host(REGISTRY, with(&deployment, run_registry));
    }
    if deployment.nats.is_some() {
        system = system.nats(nats::server());
    }
    if deployment.watch.is_some() {
        system = system
            .third_party(third_parties::pager())
            .host(MONITOR, with(&deployment, monitor::run))
            .instances(MONITOR, 1..=2);
    }
    if deployment.is_traced {
        system = system.third_party(collector::collector());
    }
    let system = consumers(system, &deployment)
        .third_party(third_parties::card_processor())
        .third_party(third_parties::mailer())
        .host("gateway", with(&deployment, serve_gateway))
        .host("relay", with(&deployment, run_relay));
    let services = deployment.pattern.services_max();
    let system = SERVICES.iter().fold(system, |system, service| {
        system.instances(service, 1..=services)
    });
    let system = system.instances("relay", 1..=deployment.pattern.publishers_max());
    let system = match deployment.saga {
        None => system,
        Some(saga) => saga.beside(system, &deployment),
    };
    let system = match &deployment.check {
        None => system,
        Some((_, known)) => authorised::beside(system, &deployment, known),
    };
    match deployment.extent {
        Extent::Core => system,
        Extent::WithNeighbours => neighbours::beside(system, &deployment),
        Extent::WithAnalytics => analytics::beside(system, &deployment),
    }
}

/// Every consumer on a host and a database of its own name.
fn consumers(system: System, deployment: &Deployment) -> System {
    let handlers: [(&'static str, MakeHandler); 5] = [
        ("order", |_| Box::new(OrderLifecycle)),
        ("inventory", |_| Box::new(Stockkeeping)),
        ("payment", |own| {
            Box::new(Charging::new(own.card_processor()))
        }),
        ("shipping", |_| Box::new(Dispatching)),
        ("notification", |own| Box::new(Notifying::new(own.mailer()))),
    ];
    handlers
        .into_iter()
        .fold(system, |system, (name, handler)| {
            let consume = move |machine: Machine, own: Deployment| async move {
                let handler = own.of_release(handler(own.processes.as_ref()), &machine);
                let handler = own.in_saga(own.events.handled(handler));
                let (environment, spans) = own.environment(&machine, name).await?;
                let proposals = rollout::proposals_of(name, OrderPlacedVersion::One);
                own.register(proposals, &environment).await?;
                let broker = environment.broker.clone();
                own.run(environment, handler).await;
                broker.close().await;
                spans.finish().await;
                Ok(())
            };
            system.host(name, with(deployment, consume))
        })
}

/// A service of this deployment, as a host starts it.
fn with<Fut>(
    deployment: &Deployment,
    service: impl Fn(Machine, Deployment) -> Fut + Send + Sync + 'static,
) -> impl Fn(Machine) -> Fut + Send + Sync + 'static
where
    Fut: Future<Output = Result<(), StartError>> + 'static,
{
    let deployment = deployment.clone();
    move |machine| service(machine, deployment.clone())
}

async fn serve_gateway(machine: Machine, deployment: Deployment) -> Result<(), StartError> {
    let (mut environment, spans) = deployment.environment(&machine, "order").await?;
    if let Some(rollout) = &deployment.rollout {
        let release = rollout.gateway_at(machine.incarnation());
        environment.settings.order_placed = release.announces();
        deployment
            .register(release.proposals(), &environment)
            .await?;
    }
    let shutdown = environment.shutdown.clone();
    let desk = deployment.processes.desk(environment.clone());
    let desk = match deployment.check {
        Some((asking, _)) => asking.before(desk, &environment),
        None => desk,
    };
    let telemetry = spans.telemetry.clone();
    let served = if deployment.extent == Extent::WithAnalytics {
        let (desk, tracking) = analytics::tell(desk, &environment);
        let serving = gateway::serve(listen().await?, desk, telemetry, shutdown.clone());
        let (served, ()) = tokio::join!(serving, tracking.run(shutdown));
        served
    } else {
        gateway::serve(listen().await?, desk, telemetry, shutdown).await
    };
    spans.finish().await;
    Ok(served?)
}

async fn run_registry(machine: Machine, deployment: Deployment) -> Result<(), StartError> {
    let registry = Registry {
        database: Database::connect(machine.url(REGISTRY)).await?,
        scope: deployment.scope.clone(),
    };
    let shutdown = Shutdown::when(machine.terminated());
    Ok(registry.serve(listen().await?, shutdown).await?)
}

/// A relay process serves every outbox that is ever written to, and the operators, as one does where
/// services share a platform.
async fn run_relay(machine: Machine, deployment: Deployment) -> Result<(), StartError> {
    let mut databases = BTreeMap::new();
    let publishers = deployment.publishers();
    let names = publishers.iter().map(|(_, name)| *name);
    for name in names.chain(["notification"]) {
        databases.insert(name, Database::connect(machine.url(name)).await?);
    }
    let outboxes = publishers.iter().map(|(_, name)| databases[name].clone());
    let outboxes = outboxes.collect();
    let origins = publishers.iter().map(|&(topic, name)| Origin {
        topic,
        database: databases[name].clone(),
    });
    let (broker, standings) = deployment.connect().await?;
    let services = Services {
        origins: origins.collect(),
        consumers: databases.into_iter().collect(),
        groups: Vec::new(),
        standings,
    };
    let shutdown = Shutdown::when(machine.terminated());
    let spans = deployment.spans(&machine)?;
    let broker = spans.telemetry.around(broker);
    let relay = Relay {
        hand_off: deployment.hand_off.clone(),
        telemetry: spans.telemetry.clone(),
        shutdown: shutdown.clone(),
        settings: deployment.settings,
        ..Relay::new(machine.name(), outboxes, broker)
    };
    let token = Token::new(OPERATORS_TOKEN);
    let operations = operations::serve(listen().await?, services, token, shutdown);
    let relay = async {
        deployment.processes.relay(relay).await;
        Ok(())
    };
    tokio::try_join!(relay, operations)?;
    spans.finish().await;
    Ok(())
}

async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("0.0.0.0", HTTP_PORT)).await
}

/// Why a service could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("no database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("no broker: {0}")]
    Broker(#[from] reference_system::ports::broker::BrokerError),
    #[error("failed to listen: {0}")]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Spans(#[from] reference_system::telemetry::ExportError),
    #[error("contracts: {0}")]
    Contracts(#[from] RegistrationError),
}

/// The groups of consumers, as their handlers describe themselves.
fn groups_of<const N: usize>(handlers: [Box<dyn Handler>; N]) -> [Group; N] {
    handlers.map(|handler| group(handler.as_ref()))
}

fn group(handler: &dyn Handler) -> Group {
    let name = handler.consumer();
    Group::new(name, handler.topics())
        .event_types(handler.handles())
        .dead_letters(&dead_letter::topic(name))
}

/// The handler of every consumer, to be asked what it consumes.
fn handlers() -> [Box<dyn Handler>; 5] {
    [
        Box::new(OrderLifecycle),
        Box::new(Stockkeeping),
        Box::new(Charging::new(Arc::new(SandboxCardProcessor::default()))),
        Box::new(Dispatching),
        Box::new(Notifying::new(Arc::new(LoggingMailer::default()))),
    ]
}
