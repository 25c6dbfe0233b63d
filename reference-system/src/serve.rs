//! The whole shop in one process: every service on its own database, the relay, the gateway and the operators' listener.
//!
//! Reading order: `arguments` what is asked for, `databases` where the services keep what they know, `third_parties`
//! whom they call, `publish` how they are coupled. What runs is put together here, and here it ends: when a signal asks for it everything stops taking
//! what is new and finishes what it has in hand; a second signal does not wait for that.

mod arguments;
mod databases;
mod publish;
mod third_parties;

use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reference_system::event::contract::topic;
use reference_system::identifiers::new_id;
use reference_system::operations::{self, Services};
use reference_system::ports::Broker;
use reference_system::ports::broker::{BrokerError, InProcessBroker, NatsBroker, NatsSettings};
use reference_system::ports::card_processor::HttpCardProcessor;
use reference_system::ports::mailer::HttpMailer;
use reference_system::replay::Origin;
use reference_system::{Database, Environment, Shutdown, gateway};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(super) use arguments::Arguments;
use databases::Databases;
use publish::{Publish, Running};
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
    #[error("cannot reach the database within {} seconds", databases::PATIENCE.as_secs())]
    NoAnswer,
    #[error("cannot use the NATS server: {0}")]
    Broker(#[from] BrokerError),
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
    databases: Databases,
    third_parties: ThirdParties,
    /// How events are published.
    publish: Publish,
    /// The relay's own among those that share the databases.
    relay: String,
    broker: Arc<dyn Broker>,
}

impl Shop {
    /// Takes the ports, connects to the broker and opens the databases.
    async fn open(arguments: Arguments) -> Result<Self, ServeError> {
        let gateway = listen(arguments.listen).await?;
        let operations = listen(arguments.operations).await?;
        let broker: Arc<dyn Broker> = match &arguments.nats {
            Some(url) => Arc::new(NatsBroker::connect(url, NatsSettings::default()).await?),
            None => Arc::new(InProcessBroker::new()),
        };
        let databases = Databases::open(&arguments).await?;
        let relay = match arguments.database {
            // Nobody else uses the folder, so that this process has the lease of the one before it.
            None => "relay".to_owned(),
            Some(_) => format!("relay-{}", new_id()),
        };
        Ok(Self {
            gateway,
            operations,
            databases,
            third_parties: ThirdParties::find(arguments.cards, arguments.mail).await?,
            publish: arguments.publish,
            relay,
            broker,
        })
    }

    /// Runs everything until a signal asks to stop, and until it has stopped.
    async fn run(self) -> Result<(), ServeError> {
        let addresses = [&self.gateway, &self.operations].map(TcpListener::local_addr);
        let [gateway, operations] = addresses.map(|address| address.map_err(ServeError::Start));
        let ready = format!(
            "shop listens on http://{}, operations on http://{}",
            gateway?, operations?
        );
        let mut signals = Signals::new().map_err(ServeError::Start)?;
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let shutdown = Shutdown::when(async move {
            // The word also comes when a service has ended, because the others are of no use without it.
            let _ = stopping.await;
        });
        let databases = self.databases.clone();
        let mut services = self.start(&shutdown).await?;
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
        databases.close().await;
        ended.and(stopped)
    }

    /// Starts every service.
    async fn start(self, shutdown: &Shutdown) -> Result<JoinSet<Ended>, ServeError> {
        let pattern = self.publish.pattern(&self.broker);
        let databases = self.databases.clone();
        let with = |service: &str| Environment {
            shutdown: shutdown.clone(),
            publishing: pattern.clone(),
            ..Environment::new(databases.of(service).clone(), self.broker.clone())
        };
        let cards = Arc::new(HttpCardProcessor::new(&self.third_parties.cards));
        let mail = Arc::new(HttpMailer::new(&self.third_parties.mail));
        let Running {
            desk,
            services: running,
        } = publish::start(&self, with, cards, mail).await?;

        let mut services = JoinSet::new();
        for (name, service) in running {
            services.spawn(ended(name, service));
        }
        let gateway = gateway::serve(self.gateway, desk, shutdown.clone());
        services.spawn(listener("gateway", gateway));
        let operators = operators(&self.databases);
        let operations = operations::serve(self.operations, operators, shutdown.clone());
        services.spawn(listener("operations", operations));
        Ok(services)
    }
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
    origins(databases).map(|origin| origin.database).into()
}

/// The topics, each with the database that its events come from.
fn origins(databases: &Databases) -> [Origin; 4] {
    [
        (topic::ORDERS, &databases.order),
        (topic::INVENTORY, &databases.inventory),
        (topic::PAYMENTS, &databases.payment),
        (topic::SHIPMENTS, &databases.shipping),
    ]
    .map(|(topic, database)| Origin {
        topic,
        database: database.clone(),
    })
}

/// The services as operators see them.
fn operators(databases: &Databases) -> Services {
    let consumers = databases.by_name();
    Services {
        consumers: consumers
            .map(|(name, database)| (name, database.clone()))
            .into(),
        origins: origins(databases).into(),
    }
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
