//! The whole shop in one process: every service on its own database, the relay, the gateway and the operators' listener.
//!
//! Reading order: `arguments` what is asked for, `databases` where the services keep what they know, `third_parties`
//! whom they call, `collector` who hears of it, `publish` how they are coupled, `neighbours` what else runs. What runs is put together here, and here it ends: when a signal asks for it everything stops taking
//! what is new and finishes what it has in hand; a second signal does not wait for that.

mod arguments;
mod collector;
mod databases;
mod neighbours;
mod publish;
mod third_parties;

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reference_system::consumer::Handler;
use reference_system::event::catalogue::catalogue;
use reference_system::event::contract::topic;
use reference_system::event::registration::{RegistrationError, published, register};
use reference_system::identifiers::new_id;
use reference_system::inventory::Stockkeeping;
use reference_system::monitor::{BATCH, DepthThreshold, LagThreshold, Monitor, REAL_TIME};
use reference_system::notification::Notifying;
use reference_system::operations::{self, Services, Token};
use reference_system::order::{OrderLifecycle, OrderPlacedVersion};
use reference_system::payment::Charging;
use reference_system::ports::broker::{
    BrokerError, InProcessBroker, NatsBroker, NatsSettings, Standings,
};
use reference_system::ports::card_processor::HttpCardProcessor;
use reference_system::ports::mailer::HttpMailer;
use reference_system::ports::pager::{HttpPager, LoggingPager};
use reference_system::ports::{Broker, CardProcessor, Mailer, Pager};
use reference_system::registry::{Registry, RegistryClient};
use reference_system::replay::Origin;
use reference_system::shipping::Dispatching;
use reference_system::telemetry::{ExportError, OtlpEndpoint};
use reference_system::{Database, Environment, Settings, Shutdown, gateway};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::TOKEN;
pub(super) use arguments::{Arguments, http};
use collector::Collector;
use databases::Databases;
use neighbours::{Listeners, Neighbours};
use publish::{Means, Publish, Running, Saga, Tracked};
use third_parties::ThirdParties;

/// How long a broker that does not answer any more may keep the process from its end.
const HANDING_BACK: Duration = Duration::from_secs(5);

/// Why the shop does not run, or has stopped without being asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("cannot use the folder {0}: {1}")]
    Folder(String, String),
    #[error("cannot use the database{0}: {1}")]
    Database(String, sqlx::Error),
    #[error("neighbours and sagas need a broker: not with --publish sync or in-process")]
    WithoutBroker,
    #[error("only the outbox has a relay: --relay-rate goes with --publish outbox")]
    WithoutRelay,
    #[error("webhooks need --webhook-secret or WEBHOOK_SECRET, a secret as whsec_ and base64")]
    NoSecret,
    #[error("cannot reach the database within {} seconds", databases::PATIENCE.as_secs())]
    NoAnswer,
    #[error("cannot use the NATS server: {0}")]
    Broker(#[from] BrokerError),
    #[error("must not publish: {0}")]
    Contracts(#[from] RegistrationError),
    #[error(transparent)]
    Telemetry(#[from] ExportError),
    #[error("a listener has failed: {0}")]
    Serving(std::io::Error),
    #[error("{0} has ended without being asked to")]
    Ended(&'static str),
    #[error("a service has failed: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    #[error("stopped before everything in hand was finished")]
    Impatient,
}

/// Serves until a signal asks to stop.
pub(super) fn serve(arguments: Arguments) -> Result<(), ServeError> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new().map_err(ServeError::Start)?;
    runtime.block_on(async {
        let shop = Shop::open(arguments).await?;
        let broker = shop.broker.clone();
        let served = shop.run().await;
        if served.is_ok() && timeout(HANDING_BACK, broker.close()).await.is_err() {
            tracing::warn!("what was not handled will be delivered again later");
        }
        served
    })
}

/// What the services are deployed on.
struct Shop {
    gateway: TcpListener,
    operations: TcpListener,
    /// What operators have to show.
    token: Option<Token>,
    registry: TcpListener,
    databases: Databases,
    third_parties: ThirdParties,
    /// How events are published.
    publish: Publish,
    /// Where spans go, if anywhere.
    otlp: Option<OtlpEndpoint>,
    /// Who drives orders, where their steps have deadlines.
    saga: Option<Saga>,
    /// The neighbours that run, and where they listen.
    neighbours: Neighbours,
    listeners: Listeners,
    /// Who is told that too much is parked.
    pager: Arc<dyn Pager>,
    /// How much that is.
    depth: DepthThreshold,
    /// The relay's own among those that share the databases.
    relay: String,
    /// How fast it may be, in rows a second.
    relay_rate: Option<NonZeroU32>,
    broker: Arc<dyn Broker>,
    /// The same broker, as it tells how far groups have come.
    standings: Arc<dyn Standings>,
}

impl Shop {
    /// Takes the ports, connects to the broker and opens the databases.
    async fn open(arguments: Arguments) -> Result<Self, ServeError> {
        arguments.check()?;
        let neighbours = Listeners::open(&arguments.neighbours).await?;
        let gateway = listen(arguments.listen).await?;
        let operations = listen(arguments.operations).await?;
        let registry = listen(arguments.registry).await?;
        let (broker, standings): (Arc<dyn Broker>, Arc<dyn Standings>) = match &arguments.nats {
            Some(url) => {
                let broker = NatsBroker::connect(url, NatsSettings::default()).await?;
                (Arc::new(broker.clone()), Arc::new(broker))
            }
            None => {
                let broker = InProcessBroker::new();
                (Arc::new(broker.clone()), Arc::new(broker))
            }
        };
        let system = match arguments.nats {
            Some(_) => "nats",
            None => "in_process",
        };
        let otlp = arguments.otlp.clone().map(|url| OtlpEndpoint {
            url,
            broker: system,
        });
        let databases = Databases::open(&arguments).await?;
        let relay = match arguments.database {
            // Nobody else uses the folder, so that this process has the lease of the one before it.
            None => "relay".to_owned(),
            Some(_) => format!("relay-{}", new_id()),
        };
        let token = arguments.token.or_else(|| std::env::var(TOKEN).ok());
        let token = token.and_then(|text| Token::new(&text));
        if token.is_none() {
            tracing::warn!("operations are closed: neither --token nor {TOKEN} is given");
        }
        let pager: Arc<dyn Pager> = match &arguments.pager {
            Some(url) => Arc::new(HttpPager::new(url)),
            None => Arc::new(LoggingPager),
        };
        let depth = DepthThreshold {
            parked: arguments.parked_max,
            lately: arguments.parked_hourly_max,
            ..DepthThreshold::default()
        };
        Ok(Self {
            gateway,
            operations,
            token,
            otlp,
            pager,
            depth,
            registry,
            databases,
            third_parties: ThirdParties::find(arguments.cards, arguments.mail).await?,
            publish: arguments.publish,
            saga: arguments.saga,
            listeners: neighbours,
            neighbours: arguments.neighbours,
            relay,
            relay_rate: arguments.relay_rate,
            broker,
            standings,
        })
    }

    /// Runs everything until a signal asks to stop, and until it has stopped.
    async fn run(self) -> Result<(), ServeError> {
        let listeners = [&self.gateway, &self.operations, &self.registry];
        let addresses = listeners.map(|own| own.local_addr().map_err(ServeError::Start));
        let [gateway, operations, registry] = addresses;
        let registry = format!("http://{}", registry?);
        let ready = format!(
            "shop listens on http://{}, operations on http://{}, registry on {registry}{}",
            gateway?,
            operations?,
            self.listeners.told()?
        );
        let mut signals = Signals::new().map_err(ServeError::Start)?;
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let shutdown = Shutdown::when(async move {
            // The word also comes when a service has ended, because the others are of no use without it.
            let _ = stopping.await;
        });
        let databases = self.databases.clone();
        let collector = Collector::at(self.otlp.as_ref())?;
        let mut services = self.start(&registry, &collector, &shutdown).await?;
        if let Err(error) = writeln!(std::io::stdout(), "{ready}") {
            tracing::warn!(%error, "nobody hears that the shop listens");
        }
        let ended = tokio::select! {
            () = signals.next() => Ok(()),
            Some(ended) = services.join_next() => Err(failure(ended)),
        };
        tracing::info!("stopping");
        drop(stop);
        let stopped = async {
            let mut stopped = Ok(());
            while let Some(ended) = services.join_next().await {
                stopped = stopped.and(ended.map_err(ServeError::from).and_then(|(_, end)| end));
            }
            stopped
        };
        let stopped = tokio::select! {
            stopped = stopped => stopped,
            () = signals.next() => return Err(ServeError::Impatient),
        };
        collector.finish().await;
        databases.close().await;
        ended.and(stopped)
    }

    /// Starts every service, the registry first: nobody publishes before it has let the contracts in.
    async fn start(
        self,
        registry: &str,
        collector: &Collector,
        shutdown: &Shutdown,
    ) -> Result<JoinSet<Ended>, ServeError> {
        let mut services = JoinSet::new();
        let own = Registry::new(self.databases.registry.clone());
        let own = own.serve(self.registry, shutdown.clone());
        services.spawn(listener("registry", own));
        let settings = Settings {
            order_placed: OrderPlacedVersion::Two,
            relay_rate: self.relay_rate,
            ..Settings::default()
        };
        register_all(registry, &settings, shutdown).await?;
        let databases = self.databases.clone();
        let with = |service: &str| {
            let telemetry = collector.telemetry_of(service);
            let broker = telemetry.around(self.broker.clone());
            let own = Environment {
                shutdown: shutdown.clone(),
                publishing: self.publish.pattern(&broker),
                settings,
                telemetry,
                ..Environment::new(databases.of(service).clone(), broker)
            };
            match self.saga {
                Some(saga) => saga.environment(service, own),
                None => own,
            }
        };
        let cards = Arc::new(HttpCardProcessor::new(&self.third_parties.cards));
        let mail = Arc::new(HttpMailer::new(&self.third_parties.mail));
        let groups = groups(self.saga, cards.clone(), mail.clone());
        let operators = Services {
            consumers: consumers(&databases).into_iter().collect(),
            origins: origins(&databases),
            groups: groups.clone(),
            standings: self.standings.clone(),
        };
        let monitor = Monitor {
            depth: self.depth,
            lag: groups,
            shutdown: shutdown.clone(),
            ..Monitor::new(
                consumers(&databases),
                self.pager.clone(),
                self.standings.clone(),
            )
        };
        let means = Means {
            publish: self.publish,
            relay: &self.relay,
            telemetry: collector.telemetry_of("relay"),
            databases: &self.databases,
            broker: &self.broker,
            saga: self.saga,
            tracking: match self.neighbours.analytics {
                Some(_) => Tracked::Yes,
                None => Tracked::No,
            },
        };
        let Running {
            desk,
            services: running,
        } = publish::start(means, &with, cards, mail).await?;

        let neighbours = neighbours::start(self.neighbours, self.listeners, with)?;
        for (name, service) in running.into_iter().chain(neighbours) {
            services.spawn(ended(name, service));
        }
        services.spawn(ended("monitor", Box::pin(monitor.run())));
        let telemetry = collector.telemetry_of("gateway");
        let gateway = gateway::serve(self.gateway, desk, telemetry, shutdown.clone());
        services.spawn(listener("gateway", gateway));
        let operations =
            operations::serve(self.operations, operators, self.token, shutdown.clone());
        services.spawn(listener("operations", operations));
        Ok(services)
    }
}

/// Has the contracts of all services registered at `url`.
async fn register_all(
    url: &str,
    settings: &Settings,
    shutdown: &Shutdown,
) -> Result<(), ServeError> {
    let entries = catalogue();
    let proposed = published(entries, settings.order_placed);
    let registry = RegistryClient::new(url);
    Ok(register(&registry, proposed, settings.backoff, shutdown).await?)
}

/// A service that ends when it is asked to.
type Service = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Which service has ended, and how.
type Ended = (&'static str, Result<(), ServeError>);

async fn ended(name: &'static str, service: Service) -> Ended {
    service.await;
    (name, Ok(()))
}

async fn listener(name: &'static str, serving: impl Future<Output = std::io::Result<()>>) -> Ended {
    (name, serving.await.map_err(ServeError::Serving))
}

/// What it means that a service has ended before it was asked to.
fn failure(ended: Result<Ended, tokio::task::JoinError>) -> ServeError {
    match ended {
        Ok((name, Ok(()))) => ServeError::Ended(name),
        Ok((_, Err(error))) => error,
        Err(error) => error.into(),
    }
}

/// The databases with events to publish.
fn outboxes(databases: &Databases) -> Vec<Database> {
    let origins = origins(databases).into_iter();
    origins.map(|origin| origin.database).collect()
}

/// The topics, each with the database that its events come from.
fn origins(databases: &Databases) -> Vec<Origin> {
    let all = [
        (topic::ORDERS, "order"),
        (topic::INVENTORY, "inventory"),
        (topic::PAYMENTS, "payment"),
        (topic::SHIPMENTS, "shipping"),
        (topic::COMMANDS, "saga"),
    ];
    let all = all.into_iter().filter_map(|(topic, service)| {
        let database = databases.find(service)?.clone();
        Some(Origin { topic, database })
    });
    all.collect()
}

/// The consumers, each with its database.
fn consumers(databases: &Databases) -> Vec<(&'static str, Database)> {
    let consumers = databases.by_name();
    consumers
        .map(|(name, database)| (name, database.clone()))
        .collect()
}

/// How long messages may wait for each group. Customers wait for all of them but the mails.
fn groups(
    saga: Option<Saga>,
    cards: Arc<dyn CardProcessor>,
    mail: Arc<dyn Mailer>,
) -> Vec<LagThreshold> {
    let handlers: [(Box<dyn Handler>, _); 5] = [
        (Box::new(OrderLifecycle), REAL_TIME),
        (Box::new(Stockkeeping), REAL_TIME),
        (Box::new(Charging::new(cards)), REAL_TIME),
        (Box::new(Dispatching), REAL_TIME),
        (Box::new(Notifying::new(mail)), BATCH),
    ];
    let thresholds = handlers.into_iter().map(|(handler, waiting)| {
        let handler = match saga {
            Some(saga) => saga.handled(handler),
            None => handler,
        };
        LagThreshold {
            group: handler.consumer(),
            topics: handler.topics().to_vec(),
            waiting,
        }
    });
    thresholds.collect()
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| ServeError::Listen(address, error))
}

/// The signals that ask a process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
