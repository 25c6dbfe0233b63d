//! How a system of ordinary services is described: hosts, databases, brokers and environment.
//!
//! Such a service names nothing of this crate; it runs on a machine of its own as it would on a computer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use proptest::strategy::Strategy;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Factory, System, carried, to_its_end};
use crate::broker::{self, Profile};
use crate::database::{Database, Engine, StoreError};
use crate::machine::Machine;
use crate::message::{EVENT_ID, Message};
use crate::plan::FaultKind;
use crate::third_party::ThirdParty;

/// The host of the PostgreSQL server that databases share which leave their engine open.
pub(super) const POSTGRES_HOST: &str = "postgres";

/// What a system of ordinary services has beside its hosts.
#[derive(Clone, Default)]
pub(crate) struct OnMachine {
    /// The databases that are on PostgreSQL servers of their own.
    servers: BTreeSet<Arc<str>>,
    /// The databases that are SQLite files, whatever the engine.
    files: BTreeSet<Arc<str>>,
    /// The message brokers.
    pub(crate) brokers: Vec<Nats>,
    /// Whom the services call outside.
    pub(crate) third_parties: Vec<ThirdParty>,
    /// The engine of databases that leave it open, where the environment does not say.
    engine: Option<Engine>,
    /// The environment of a service, by its name.
    pub(crate) variables: BTreeMap<String, Vec<(String, String)>>,
}

impl OnMachine {
    /// The names of the hosts that stand for products.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let brokers = self.brokers.iter().map(|broker| &broker.name);
        let parties = self.third_parties.iter().map(|party| &party.name);
        self.servers.iter().chain(brokers).chain(parties)
    }
}

/// Headers that carry an event's id by convention: this crate's, NATS' own, and that of CloudEvents over NATS.
const ID_HEADERS: [&str; 3] = [EVENT_ID, "Nats-Msg-Id", "ce-id"];

/// Makes what the properties read of a message: its key, and headers such as [`EVENT_ID`].
type Label = Arc<dyn Fn(&mut Message) + Send + Sync>;

/// Tells the topic and the partition that a subject stands for.
type Topics = Arc<dyn Fn(&str) -> Option<(String, u32)> + Send + Sync>;

/// Tells the group that a consumer belongs to.
type Groups = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A NATS server with JetStream, at `nats://NAME:4222`.
///
/// Properties know a message by its event's id. It is taken from the first of the headers `event-id`,
/// `Nats-Msg-Id` and `ce-id` that a message has; [`Nats::label`] says where else it is.
///
/// A message's topic is its subject; a [`Group`](crate::Group) is a consumer of that name, durable or not. Where services
/// spread a topic over several subjects, each with a consumer of its own for every group, [`Nats::topics`] and
/// [`Nats::groups`] say how.
#[derive(Clone)]
pub struct Nats {
    pub(crate) name: Arc<str>,
    label: Option<Label>,
    topics: Option<Topics>,
    groups: Option<Groups>,
}

impl Nats {
    /// A server with this host name.
    pub fn new(name: &str) -> Self {
        Nats {
            name: name.into(),
            label: None,
            topics: None,
            groups: None,
        }
    }

    /// Some subjects stand for a topic and one of its partitions, which this gives. Any other stands for itself.
    ///
    /// ```
    /// # use stormglass::Nats;
    /// Nats::new("nats").topics(|subject| {
    ///     let (topic, partition) = subject.rsplit_once('.')?;
    ///     Some((topic.to_owned(), partition.parse().ok()?))
    /// });
    /// ```
    #[must_use]
    pub fn topics(
        mut self,
        of: impl Fn(&str) -> Option<(String, u32)> + Send + Sync + 'static,
    ) -> Self {
        self.topics = Some(Arc::new(of));
        self
    }

    /// Some consumers belong to a group of another name, which this gives, as where each partition has one of its own.
    #[must_use]
    pub fn groups(mut self, of: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.groups = Some(Arc::new(of));
        self
    }

    /// The topic and the partition that a subject stands for.
    pub(crate) fn place(&self, subject: &str) -> (String, u32) {
        let place = self.topics.as_ref().and_then(|of| of(subject));
        place.unwrap_or_else(|| (subject.to_owned(), 0))
    }

    /// The group that a consumer belongs to.
    pub(crate) fn group(&self, consumer: &str) -> Arc<str> {
        let group = self.groups.as_ref().and_then(|of| of(consumer));
        group.map_or_else(|| consumer.into(), Arc::from)
    }

    /// Makes what the properties read out of a message, before it enters the history: sets its headers
    /// [`EVENT_ID`], [`EVENT_TYPE`](crate::EVENT_TYPE), [`CORRELATION_ID`](crate::CORRELATION_ID) and
    /// [`CAUSATION_ID`](crate::CAUSATION_ID), and its key. Services see the message as it was.
    ///
    /// ```
    /// # use stormglass::{EVENT_ID, Nats};
    /// Nats::new("nats").label(|message| {
    ///     if let Ok(event) = serde_json::from_slice::<serde_json::Value>(&message.payload) {
    ///         let id = event["id"].as_str().unwrap_or_default();
    ///         message.headers.insert(EVENT_ID.to_owned(), id.to_owned());
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn label(mut self, label: impl Fn(&mut Message) + Send + Sync + 'static) -> Self {
        self.label = Some(Arc::new(label));
        self
    }

    /// The message as the properties read it.
    pub(crate) fn labelled(&self, mut message: Message) -> Message {
        let own = message.headers.iter();
        let id = ID_HEADERS.iter().find_map(|name| {
            let mut own = own.clone();
            own.find(|(other, _)| other.eq_ignore_ascii_case(name))
        });
        if let Some(id) = id.map(|(_, id)| id.clone()) {
            message.headers.insert(EVENT_ID.to_owned(), id);
        }
        if let Some(label) = &self.label {
            label(&mut message);
        }
        message
    }
}

impl Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl From<&str> for Nats {
    fn from(name: &str) -> Self {
        Nats::new(name)
    }
}

impl System {
    /// A host and the service that runs on it: an ordinary async function, which is started again after
    /// every crash, and one second after it ended by itself. It is a process with a tokio runtime of its own, and reaches
    /// others by their names: `http://orders/`, `postgres://shop/shop`. The names `broker` and `client` are the harness'
    /// own.
    #[must_use]
    pub fn host<F, Fut, E>(mut self, name: &str, service: F) -> Self
    where
        F: Fn(Machine) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: Display,
    {
        self.note_host(name);
        let service = Arc::new(service);
        let factory = move |machine: Machine| {
            let service = service.clone();
            // What the function does before its future is part of the service, a panic included.
            to_its_end(async move { service(machine).await })
        };
        let factory: Factory = Arc::new(factory);
        self.hosts.push((name.into(), factory));
        self.services.entry(name.to_owned()).or_insert(1..=1);
        self.targets = Arc::default();
        self
    }

    /// The operations of the workload: a function that makes the strategy for one of them, and an ordinary
    /// async function that carries it out, such as a request over HTTP to `http://orders/`. It runs on the host `client`,
    /// which no fault kills. What it answers is in the history as JSON, where a property can read it back
    /// ([`History::operations`](crate::history::History::operations)).
    #[must_use]
    pub fn operations<O, G, S, F, Fut, T, E>(mut self, operation: G, client: F) -> Self
    where
        G: Fn() -> S + Send + Sync + 'static,
        S: Strategy<Value = O> + 'static,
        O: Serialize + DeserializeOwned + Debug + 'static,
        F: Fn(O) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
        T: Serialize,
        E: Display,
    {
        self.draw_operations(operation);
        let carry_out = move |value| carried(value, &client);
        self.handler = Some(Arc::new(carry_out));
        self
    }

    /// A PostgreSQL database, at `postgres://NAME/NAME` with any user and password: a real server's, which this process
    /// starts from installed binaries, or which `STORMGLASS_POSTGRES` names.
    #[must_use]
    pub fn postgres(mut self, database: Database) -> Self {
        self.note_host(database.name());
        self.machine.servers.insert(database.name.clone());
        self.database(database)
    }

    /// A SQLite database: a file that all hosts share, whose address [`Machine::url`] gives.
    #[must_use]
    pub fn sqlite(mut self, database: Database) -> Self {
        self.machine.files.insert(database.name.clone());
        self.database(database)
    }

    /// The engine that the databases work on which [`System::database`] leaves open, whatever `STORMGLASS_DATABASE`
    /// says.
    #[must_use]
    pub fn on(mut self, engine: Engine) -> Self {
        self.machine.engine = Some(engine);
        self.targets = Arc::default();
        self
    }

    /// The engine that databases work on which leave it open.
    pub(crate) fn engine(&self) -> Result<Engine, StoreError> {
        self.machine
            .engine
            .map_or_else(Engine::from_environment, Ok)
    }

    /// Whether a database's engine is left to the environment, so that it may need the host that such databases share.
    pub(super) fn may_share_a_server(&self) -> bool {
        let mut names = self.databases.iter().map(|own| &own.name);
        names.any(|own| !self.machine.servers.contains(own) && !self.machine.files.contains(own))
    }

    /// The databases that are on a PostgreSQL server, each with its host.
    pub(crate) fn databases_on_servers(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>, StoreError> {
        let engine = self.engine()?;
        let shared: Arc<str> = POSTGRES_HOST.into();
        let hosts = self.databases.iter().filter_map(|own| {
            let name = &own.name;
            if self.machine.servers.contains(name) {
                return Some((name.clone(), name.clone()));
            }
            let is_on_server = engine == Engine::Postgres && !self.machine.files.contains(name);
            is_on_server.then(|| (name.clone(), shared.clone()))
        });
        Ok(hosts.collect())
    }

    /// A NATS server with JetStream, at `nats://NAME:4222`.
    #[must_use]
    pub fn nats(mut self, server: impl Into<Nats>) -> Self {
        let server = server.into();
        self.note_host(&server.name);
        self.machine.brokers.push(server);
        self.broker(Profile::jetstream())
    }

    /// A third party that services call over HTTP, at `http://NAME/`.
    #[must_use]
    pub fn third_party(mut self, party: ThirdParty) -> Self {
        self.note_host(&party.name);
        self.machine.third_parties.push(party);
        self.targets = Arc::default();
        self
    }

    /// A variable in the environment of a service, where `std::env::var` finds it. A service sees no other variables
    /// than those.
    #[must_use]
    pub fn variable(mut self, service: &str, name: &str, value: &str) -> Self {
        let own = self
            .machine
            .variables
            .entry(service.to_owned())
            .or_default();
        own.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The hosts that stand for products.
    pub(super) fn server_names(&self) -> BTreeSet<String> {
        let simple = self.has_simple_broker().then(|| broker::HOST.to_owned());
        let names = self.machine.names().map(ToString::to_string);
        // An engine that the environment asks for in vain is what the run ends with, before any plan is looked at.
        let of_databases = self.database_server_names();
        names.chain(of_databases).chain(simple).collect()
    }

    /// The hosts of PostgreSQL servers.
    pub(crate) fn database_server_names(&self) -> BTreeSet<String> {
        let servers = self.databases_on_servers().unwrap_or_default();
        servers.values().map(ToString::to_string).collect()
    }

    /// Whether the system has what a kind of fault befalls.
    pub(super) fn can_meet(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::BrokerOutage | FaultKind::CapacityLimit => {
                !self.machine.brokers.is_empty() || self.has_simple_broker()
            }
            FaultKind::DiskFull => !self.databases.is_empty(),
            FaultKind::DatabaseRestart
            | FaultKind::ConnectionsUsedUp
            | FaultKind::SerializationFailure
            | FaultKind::Deadlock => !self.database_server_names().is_empty(),
            _ => true,
        }
    }

    /// Whether the simulated broker is one of its hosts.
    pub(crate) fn has_simple_broker(&self) -> bool {
        self.machine.brokers.is_empty() && !self.topics.is_empty()
    }
}
