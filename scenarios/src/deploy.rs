//! The deployment: the reference system's services on simulated hosts, as one [`System`].
//!
//! The services are handed what they would be handed in production. Each choice that a team
//! makes about publishing, deduplicating, parking and relaying is a part of [`Deployment`] that can
//! be replaced, so that a mistake can be deployed without touching the services. Faults, workload
//! and properties are not chosen here.

mod broker;
mod processes;
mod schema;
mod third_parties;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;

use reference_system::consumer::Handler;
use reference_system::dead_letter::{self, GiveUp, Park};
use reference_system::event::contract::topic;
use reference_system::inbox::{Inbox, ProcessedEvents};
use reference_system::inventory::Stockkeeping;
use reference_system::notification::Notifying;
use reference_system::operations::{self, Services};
use reference_system::order::OrderLifecycle;
use reference_system::partition_key::PartitionKey;
use reference_system::payment::Charging;
use reference_system::ports::card_processor::SandboxCardProcessor;
use reference_system::ports::mailer::LoggingMailer;
use reference_system::publishing::{Outbox, PublishPattern};
use reference_system::relay::{HandOff, MarkAfterAck};
use reference_system::replay::Origin;
use reference_system::shipping::Dispatching;
use reference_system::{Database, Dependencies, Environment, Settings, Shutdown, gateway};
use stormglass::{Attempts, Group, Machine, System};
use tokio::net::TcpListener;

pub use broker::SimulatedBroker;
pub use processes::{AsWritten, Processes};
pub use schema::{ARTICLES, view};
pub use third_parties::{CARD_PROCESSOR, MAILER};

/// The port that the gateway listens on.
pub(crate) const HTTP_PORT: u16 = 80;
/// Partitions of each topic.
const PARTITIONS: u32 = 4;
/// Services whose effects are announced, by the name of host and database alike.
const PUBLISHERS: [&str; 4] = ["order", "inventory", "payment", "shipping"];
/// What runs once to three times, as a plan draws it.
const SERVICES: [&str; 7] = [
    "gateway",
    "order",
    "inventory",
    "payment",
    "shipping",
    "notification",
    "relay",
];
const TOPICS: [&str; 4] = [
    topic::ORDERS,
    topic::INVENTORY,
    topic::PAYMENTS,
    topic::SHIPMENTS,
];

/// What a deployment of the reference system chooses. Each choice is the right one unless it is
/// replaced.
///
/// ```
/// use reference_system::publishing::Direct;
/// use scenarios::{Deployment, deploy};
///
/// let system = deploy(Deployment::new("fire and forget").publishing(Direct::new));
/// # assert_eq!(system.name(), "fire and forget");
/// ```
#[derive(Clone, Debug)]
pub struct Deployment<
    P = fn(SimulatedBroker) -> Outbox,
    N = ProcessedEvents,
    G = Park,
    H = MarkAfterAck,
    R = AsWritten,
> {
    name: String,
    publishing: P,
    inbox: N,
    give_up: G,
    hand_off: H,
    processes: R,
    settings: Settings,
}

impl Deployment {
    /// The reference system as it should be deployed.
    pub fn new(name: &str) -> Self {
        Deployment {
            name: name.to_owned(),
            publishing: |_| Outbox::default(),
            inbox: ProcessedEvents,
            give_up: Park,
            hand_off: MarkAfterAck,
            processes: AsWritten,
            settings: Settings::default(),
        }
    }
}

impl<P, N, G, H, R> Deployment<P, N, G, H, R> {
    /// The same with another way of publishing, made from the broker client of each host.
    #[must_use]
    pub fn publishing<Q>(self, publishing: Q) -> Deployment<Q, N, G, H, R> {
        let Deployment {
            name,
            inbox,
            give_up,
            hand_off,
            processes,
            settings,
            ..
        } = self;
        Deployment {
            name,
            publishing,
            inbox,
            give_up,
            hand_off,
            processes,
            settings,
        }
    }

    /// The same with an outbox whose events are keyed by `key`.
    #[must_use]
    pub fn keyed_by<K: PartitionKey>(
        self,
        key: K,
    ) -> Deployment<impl Fn(SimulatedBroker) -> Outbox<K> + Clone + Send + Sync + 'static, N, G, H, R>
    {
        self.publishing(move |_| Outbox::keyed_by(key.clone()))
    }

    /// The same with another inbox in every consumer.
    #[must_use]
    pub fn inbox<M>(self, inbox: M) -> Deployment<P, M, G, H, R> {
        let Deployment {
            name,
            publishing,
            give_up,
            hand_off,
            processes,
            settings,
            ..
        } = self;
        Deployment {
            name,
            publishing,
            inbox,
            give_up,
            hand_off,
            processes,
            settings,
        }
    }

    /// The same with another fate for events that cannot be handled.
    #[must_use]
    pub fn give_up<F>(self, give_up: F) -> Deployment<P, N, F, H, R> {
        let Deployment {
            name,
            publishing,
            inbox,
            hand_off,
            processes,
            settings,
            ..
        } = self;
        Deployment {
            name,
            publishing,
            inbox,
            give_up,
            hand_off,
            processes,
            settings,
        }
    }

    /// The same with another way for the relay to hand a row over.
    #[must_use]
    pub fn hand_off<F>(self, hand_off: F) -> Deployment<P, N, G, F, R> {
        let Deployment {
            name,
            publishing,
            inbox,
            give_up,
            processes,
            settings,
            ..
        } = self;
        Deployment {
            name,
            publishing,
            inbox,
            give_up,
            hand_off,
            processes,
            settings,
        }
    }

    /// The same with other processes on its hosts.
    #[must_use]
    pub fn processes<O>(self, processes: O) -> Deployment<P, N, G, H, O> {
        let Deployment {
            name,
            publishing,
            inbox,
            give_up,
            hand_off,
            settings,
            ..
        } = self;
        Deployment {
            name,
            publishing,
            inbox,
            give_up,
            hand_off,
            processes,
            settings,
        }
    }

    /// The same with other settings of the services.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Deployment { settings, ..self }
    }
}

/// A deployment that can be run: every choice is one that the services accept.
pub trait Deployable: Clone + Send + Sync + 'static {
    /// What each service is deployed with.
    type Environment: Environment<Broker = SimulatedBroker>;
    /// How the relay hands a row over.
    type HandOff: HandOff;
    /// What runs on the hosts.
    type Processes: Processes;

    /// The deployment's name.
    fn name(&self) -> &str;

    /// Numbers and durations of the services.
    fn service_settings(&self) -> Settings;

    /// How the relay hands a row over.
    fn hand_off_of_relay(&self) -> Self::HandOff;

    /// What runs on the hosts.
    fn what_runs(&self) -> Self::Processes;

    /// What the service on `machine` is deployed with if `database` is its own.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached.
    fn environment(
        &self,
        machine: &Machine,
        database: &str,
    ) -> impl Future<Output = sqlx::Result<Self::Environment>>;
}

impl<P, F, N, G, H, R> Deployable for Deployment<F, N, G, H, R>
where
    F: Fn(SimulatedBroker) -> P + Clone + Send + Sync + 'static,
    P: PublishPattern,
    N: Inbox,
    G: GiveUp,
    H: HandOff,
    R: Processes,
{
    type Environment = Dependencies<SimulatedBroker, P, N, G>;
    type HandOff = H;
    type Processes = R;

    fn name(&self) -> &str {
        &self.name
    }

    fn service_settings(&self) -> Settings {
        self.settings
    }

    fn hand_off_of_relay(&self) -> H {
        self.hand_off.clone()
    }

    fn what_runs(&self) -> R {
        self.processes.clone()
    }

    async fn environment(
        &self,
        machine: &Machine,
        database: &str,
    ) -> sqlx::Result<Self::Environment> {
        let broker = SimulatedBroker::connect();
        let database = Database::connect(machine.url(database)).await?;
        Ok(Dependencies::new(database, broker.clone())
            .with_publishing((self.publishing)(broker))
            .with_inbox(self.inbox.clone())
            .with_give_up(self.give_up.clone())
            .with_shutdown(Shutdown::when(machine.terminated()))
            .with_settings(self.settings))
    }
}

/// The deployed system, on a Kafka-like broker, with neither operations nor properties.
pub fn deploy(deployment: impl Deployable) -> System {
    let attempts = Attempts::Exactly(deployment.service_settings().attempts_max);
    let mut system = System::new(deployment.name()).attempts(attempts);
    for topic in TOPICS {
        system = system.topic(topic, PARTITIONS);
    }
    let memory = deployment.service_settings().retention.known_for();
    for group in groups() {
        system = system.group(group.remembers(memory));
    }
    for database in schema::databases() {
        system = system.database(database);
    }
    let system = services(system, &deployment)
        .third_party(third_parties::card_processor())
        .third_party(third_parties::mailer())
        .host("gateway", with(&deployment, serve_gateway))
        .host("relay", with(&deployment, run_relay));
    SERVICES
        .iter()
        .fold(system, |system, service| system.instances(service, 1..=3))
}

fn services<D: Deployable>(system: System, deployment: &D) -> System {
    system
        .host(
            "order",
            with(deployment, |machine, own: D| async move {
                consume(&own, &machine, "order", OrderLifecycle).await
            }),
        )
        .host(
            "inventory",
            with(deployment, |machine, own: D| async move {
                consume(&own, &machine, "inventory", Stockkeeping).await
            }),
        )
        .host(
            "payment",
            with(deployment, |machine, own: D| async move {
                let processor = own.what_runs().card_processor();
                consume(&own, &machine, "payment", Charging::new(processor)).await
            }),
        )
        .host(
            "shipping",
            with(deployment, |machine, own: D| async move {
                consume(&own, &machine, "shipping", Dispatching).await
            }),
        )
        .host(
            "notification",
            with(deployment, |machine, own: D| async move {
                let notifying = Notifying::new(own.what_runs().mailer());
                consume(&own, &machine, "notification", notifying).await
            }),
        )
}

/// Runs one consumer on the database of its service.
async fn consume<D: Deployable>(
    deployment: &D,
    machine: &Machine,
    database: &str,
    handler: impl Handler,
) -> Result<(), StartError> {
    let environment = deployment.environment(machine, database).await?;
    deployment.what_runs().consume(environment, handler).await;
    Ok(())
}

/// A service of this deployment, as a host starts it.
fn with<D, Fut>(
    deployment: &D,
    service: impl Fn(Machine, D) -> Fut + Send + Sync + 'static,
) -> impl Fn(Machine) -> Fut + Send + Sync + 'static
where
    D: Deployable,
    Fut: Future<Output = Result<(), StartError>> + 'static,
{
    let deployment = deployment.clone();
    move |machine| service(machine, deployment.clone())
}

async fn serve_gateway<D: Deployable>(machine: Machine, deployment: D) -> Result<(), StartError> {
    let environment = deployment.environment(&machine, "order").await?;
    let shutdown = environment.shutdown().clone();
    let desk = deployment.what_runs().desk(environment);
    Ok(gateway::serve(listen().await?, desk, shutdown).await?)
}

/// A relay process serves every outbox that is ever written to, and the operators, as one does where
/// services share a platform.
async fn run_relay<D: Deployable>(machine: Machine, deployment: D) -> Result<(), StartError> {
    let mut databases = BTreeMap::new();
    for name in PUBLISHERS.iter().copied().chain(["notification"]) {
        databases.insert(name, Database::connect(machine.url(name)).await?);
    }
    let outboxes = PUBLISHERS.map(|name| databases[name].clone()).to_vec();
    let origins = TOPICS.iter().zip(PUBLISHERS).map(|(&topic, name)| Origin {
        topic,
        database: databases[name].clone(),
    });
    let services = Services {
        origins: origins.collect(),
        consumers: databases.into_iter().collect(),
    };
    let (settings, hand_off) = (
        deployment.service_settings(),
        deployment.hand_off_of_relay(),
    );
    let (broker, processes) = (SimulatedBroker::connect(), deployment.what_runs());
    let shutdown = Shutdown::when(machine.terminated());
    let operations = operations::serve(listen().await?, services, shutdown.clone());
    let name = machine.name();
    let relay = processes.relay(name, outboxes, broker, settings, hand_off, shutdown);
    let relay = async {
        relay.await;
        Ok(())
    };
    tokio::try_join!(relay, operations)?;
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
    #[error("failed to listen: {0}")]
    Listen(#[from] io::Error),
}

/// Every consumer group, as its handler describes itself.
fn groups() -> [Group; 5] {
    [
        group(&OrderLifecycle),
        group(&Stockkeeping),
        group(&Charging::new(SandboxCardProcessor::default())),
        group(&Dispatching),
        group(&Notifying::new(LoggingMailer::default())),
    ]
}

fn group(handler: &impl Handler) -> Group {
    let name = handler.consumer();
    Group::new(name, handler.topics())
        .event_types(handler.handles())
        .dead_letters(&dead_letter::topic(name))
}
