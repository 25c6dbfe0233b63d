//! The system under test: hosts, databases, topics, operations and properties, as one value.
//!
//! A system is described once and then run as often as there are seeds. Nothing here runs it.

mod misuse;
mod ordinary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use proptest::strategy::{Just, Strategy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::attempts::Attempts;
use crate::broker::Profile;
use crate::checker::{Operations, Property, Verdict};
use crate::database::{Database, Probe};
use crate::history::{Description, GroupDescription, History};
use crate::machine::Machine;
use crate::plan::topology::{instance_names, service_of};
use crate::plan::{
    Budget, FaultKind, Generator, Load, Misfit, OperationStrategy, Parts, Plan, Services, Targets,
};
use crate::run::Settings;
use crate::world::panics::panic_text;

pub use ordinary::Nats;
pub(crate) use ordinary::OnMachine;

/// A future of the system.
pub(crate) type Software = LocalBoxFuture<'static, Result<(), String>>;
/// What an operation gives: its answer as JSON, or the error in words.
pub(crate) type Carried = LocalBoxFuture<'static, Result<String, String>>;

/// What starts a service.
pub(crate) type Factory = Arc<dyn Fn(Machine) -> Software + Send + Sync>;
/// Carries out one operation of the workload.
pub(crate) type Handler = Arc<dyn Fn(Value) -> Carried + Send + Sync>;

/// A consumer group of the system.
#[derive(Clone, Debug, Default)]
pub struct Group {
    name: String,
    description: GroupDescription,
}

impl Group {
    /// A group that subscribes to `topics` and owes an effect to every event in them.
    pub fn new(name: &str, topics: &[&str]) -> Self {
        let description = GroupDescription {
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            ..GroupDescription::default()
        };
        Group {
            name: name.to_owned(),
            description,
        }
    }

    /// The group has an effect for these event types only, and ignores others.
    #[must_use]
    pub fn event_types(mut self, types: &[&str]) -> Self {
        self.description.event_types = types.iter().map(|&own| own.to_owned()).collect();
        self
    }

    /// The topic that the group parks poison messages in.
    #[must_use]
    pub fn dead_letters(mut self, topic: &str) -> Self {
        self.description.dead_letters = Some(topic.to_owned());
        self
    }

    /// How many attempts the group gives a poison message before it is parked, where that is not the
    /// number of [`System::attempts`].
    #[must_use]
    pub fn attempts(mut self, attempts: Attempts) -> Self {
        self.description.attempts = Some(attempts);
        self
    }

    /// Events are snapshots of their entity: one that was not applied is superseded, and not lost,
    /// once the group has applied another of the same entity. Nothing is promised about the order of
    /// the snapshots' versions, which the harness does not see.
    #[must_use]
    pub fn superseding(mut self) -> Self {
        self.description.is_superseding = true;
        self
    }

    /// The group forgets what it has handled, but not sooner than after `at_least`, as where a table of
    /// handled ids is purged. From then on it cannot tell a copy from an event that it never had, and may
    /// park one although the event was applied. Applying it again stays a breach.
    #[must_use]
    pub fn remembers(mut self, at_least: Duration) -> Self {
        self.description.memory = Some(at_least);
        self
    }
}

/// A system under test. Cheap to clone.
#[derive(Clone)]
pub struct System {
    name: String,
    pub(crate) profile: Profile,
    pub(crate) topics: BTreeMap<String, u32>,
    groups: BTreeMap<String, GroupDescription>,
    pub(crate) databases: Vec<Database>,
    pub(crate) hosts: Vec<(Arc<str>, Factory)>,
    services: Services,
    pub(crate) handler: Option<Handler>,
    pub(crate) machine: OnMachine,
    pub(crate) settings: Settings,
    operation: OperationStrategy,
    properties: Vec<Arc<dyn Property>>,
    faults: Option<Vec<FaultKind>>,
    certain: Vec<FaultKind>,
    load: Load,
    budget: Budget,
    attempts: Attempts,
    struck: Option<Vec<String>>,
    /// How many seeds a test explores, if it is this system's own number.
    pub(crate) seeds: Option<u64>,
    /// What the builder's methods were given that cannot be meant.
    mistakes: Vec<String>,
    /// Hosts whose work keeps no run alive.
    background: BTreeSet<String>,
    /// What faults can aim at, once it is known; forgotten when what it was learnt from changes.
    targets: Arc<OnceLock<Targets>>,
}

impl Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl System {
    /// A system without hosts, on a Kafka-like broker.
    pub fn new(name: &str) -> Self {
        System {
            name: name.to_owned(),
            profile: Profile::kafka(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            databases: Vec::new(),
            hosts: Vec::new(),
            services: Services::new(),
            handler: None,
            machine: OnMachine::default(),
            settings: Settings::default(),
            operation: Arc::new(|| Just(Value::Null).boxed()),
            properties: vec![Arc::new(Operations)],
            faults: None,
            certain: Vec::new(),
            load: Load::default(),
            budget: Budget::default(),
            attempts: Attempts::default(),
            struck: None,
            seeds: None,
            mistakes: Vec::new(),
            background: BTreeSet::new(),
            targets: Arc::default(),
        }
    }

    /// The broker that is simulated.
    #[must_use]
    pub fn broker(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self.targets = Arc::default();
        self
    }

    /// A topic, with at least one partition. A group's dead-letter topic does not have to be declared.
    #[must_use]
    pub fn topic(mut self, name: &str, partitions: u32) -> Self {
        if partitions == 0 {
            self.mistakes
                .push(format!("topic `{name}` needs at least one partition"));
        }
        if self.topics.insert(name.to_owned(), partitions).is_some() {
            self.declared_twice("topic", name);
        }
        self
    }

    /// A consumer group, known to the checkers from the start.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        let name = group.name;
        if self
            .groups
            .insert(name.clone(), group.description)
            .is_some()
        {
            self.declared_twice("group", &name);
        }
        self.targets = Arc::default();
        self
    }

    /// How many attempts a poison message is given before it is parked, by every group that does not
    /// say otherwise. Exactly five unless set.
    #[must_use]
    pub fn attempts(mut self, attempts: Attempts) -> Self {
        self.attempts = attempts;
        self
    }

    /// A database of the system, on the engine that `STORMGLASS_DATABASE` names: a SQLite file, or one of the databases
    /// of a PostgreSQL server at `postgres`. Its address is what [`Machine::url`] gives.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        if self.databases.iter().any(|own| own.name == database.name) {
            self.declared_twice("database", database.name());
        }
        self.databases.push(database);
        self.targets = Arc::default();
        self
    }

    /// How many instances of a service run: each plan draws a number of its own from the range, in a
    /// stream of its own, and a failure is shrunk towards the fewest. All of them run the service
    /// that [`System::host`] was given, each on a [`Machine`] of its own, and share its databases
    /// and groups. The first keeps the service's name, the others are `order-2`, `order-3`.
    #[must_use]
    pub fn instances(mut self, service: &str, range: RangeInclusive<u32>) -> Self {
        self.services.insert(service.to_owned(), range);
        self.targets = Arc::default();
        self
    }

    fn draw_operations<O, G, S>(&mut self, operation: G)
    where
        G: Fn() -> S + Send + Sync + 'static,
        S: Strategy<Value = O> + 'static,
        O: Serialize + Debug + 'static,
    {
        self.operation = Arc::new(move || {
            operation()
                .prop_map(|operation| {
                    serde_json::to_value(&operation).unwrap_or_else(|error| {
                        panic!(
                            "an operation cannot be written as JSON, whose whole numbers have 64 bits: {error}: \
                             {operation:?}"
                        )
                    })
                })
                .boxed()
        });
        self.targets = Arc::default();
    }

    /// A property that every run is judged by.
    #[must_use]
    pub fn property(mut self, property: impl Property + 'static) -> Self {
        let id = property.id();
        if self.properties.iter().any(|own| own.id() == id) {
            let id = id.to_owned();
            self.declared_twice("property", &id);
        }
        self.properties.push(Arc::new(property));
        self
    }

    /// Operations may panic. Unless this is called every system has the property
    /// [`Operations`], so that an assertion in an operation that fails is a test that fails.
    #[must_use]
    pub fn operations_may_panic(mut self) -> Self {
        self.properties.retain(|own| own.id() != misuse::IMPLIED);
        self
    }

    /// The kinds of fault that plans may have. All of them unless set, except poison payloads
    /// where no group has dead letters. Kinds that the modelled broker does not know
    /// ([`Profile::knows`]) are left out.
    #[must_use]
    pub fn faults(mut self, kinds: &[FaultKind]) -> Self {
        self.faults = Some(kinds.to_vec());
        self.targets = Arc::default();
        self
    }

    /// Every plan has three faults of each of these kinds, beside what it draws: without them some
    /// property has nothing to judge. Kinds that plans may not have at all are left out.
    #[must_use]
    pub fn provoke(mut self, kinds: &[FaultKind]) -> Self {
        self.certain = kinds.to_vec();
        self
    }

    /// Only these services are struck by faults, with all their instances; a link is struck if one
    /// of its ends is. The broker, databases and third parties are struck as before. All services unless set.
    #[must_use]
    pub fn strike(mut self, hosts: &[&str]) -> Self {
        self.struck = Some(hosts.iter().map(|&host| host.to_owned()).collect());
        self
    }

    /// A host that does nothing which anybody waits for: a heartbeat, a purge, a report of metrics. What
    /// it commits and publishes does not keep a healed run alive. Without this a run that still changes
    /// rows ends [`Settings::background_max`] after the last thing that was owed. For a host that does
    /// both, name the tables instead: [`Database::background`].
    #[must_use]
    pub fn background(mut self, host: &str) -> Self {
        self.background.insert(host.into());
        self
    }

    /// How many operations a plan has.
    #[must_use]
    pub fn load(mut self, load: Load) -> Self {
        self.load = load;
        self.targets = Arc::default();
        self
    }

    /// How many faults a plan has.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self.targets = Arc::default();
        self
    }

    /// How many seeds [`System::check`] explores where `STORMGLASS_SEEDS` does not say: for a system whose runs take
    /// long, or seldom fail. [`SEEDS`](crate::check::SEEDS) unless set.
    #[must_use]
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = Some(seeds);
        self
    }

    /// Settings of the simulation.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The system's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The system's databases.
    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// The properties that runs are judged by.
    pub fn properties(&self) -> &[Arc<dyn Property>] {
        &self.properties
    }

    /// The kinds of fault that plans may have.
    pub fn fault_kinds(&self) -> Vec<FaultKind> {
        let parks = self
            .groups
            .values()
            .any(|group| group.dead_letters.is_some());
        let mut kinds = self.faults.clone().unwrap_or_else(|| {
            let poison = [FaultKind::Poison, FaultKind::GroupPoison];
            let allowed = |kind: &FaultKind| parks || !poison.contains(kind);
            FaultKind::ALL.iter().copied().filter(allowed).collect()
        });
        kinds.retain(|kind| self.profile.knows(*kind) && self.can_meet(*kind));
        kinds
    }

    fn certain_kinds(&self) -> Vec<FaultKind> {
        let allowed = self.fault_kinds();
        let certain = self.certain.iter().copied();
        certain.filter(|kind| allowed.contains(kind)).collect()
    }

    /// The topics that are declared, and those of dead letters that are not.
    fn all_topics(&self) -> BTreeMap<String, u32> {
        let mut topics = self.topics.clone();
        let parked = self
            .groups
            .values()
            .filter_map(|own| own.dead_letters.as_ref());
        for topic in parked {
            topics.entry(topic.clone()).or_insert(1);
        }
        topics
    }

    /// What the history says about the system.
    pub(crate) fn description(&self) -> Description {
        let databases = self.databases.iter();
        let probes = databases.clone().flat_map(|database| &database.probes);
        let probed: BTreeSet<&str> = probes.filter_map(Probe::shows).collect();
        let mut groups = self.groups.clone();
        for (name, group) in &mut groups {
            group.is_probed = probed.contains(&**name);
        }
        Description {
            profile: self.profile.clone(),
            topics: self.all_topics(),
            groups,
            attempts: self.attempts,
            is_announced: databases.flat_map(|own| &own.probes).any(Probe::announces),
            servers: self.server_names(),
        }
    }

    /// Judges a history by every property: those of safety in the order in which they were added, then
    /// those of liveness.
    pub fn judge(&self, history: &History) -> Vec<(String, Verdict)> {
        let mut properties: Vec<&Arc<dyn Property>> = self.properties.iter().collect();
        properties.sort_by_key(|property| property.kind());
        properties
            .into_iter()
            .map(|property| (property.id().to_owned(), property.check(history)))
            .collect()
    }

    /// Whether a plan can be run against this system.
    pub(crate) fn fits(&self, plan: &Plan) -> Result<(), Misfit> {
        plan.fits(&Parts {
            services: self.services.clone(),
            groups: self.groups.keys().map(|name| &**name).collect(),
            servers: self.server_names(),
            databases: self.databases.iter().map(Database::name).collect(),
            database_servers: self.database_server_names(),
        })
    }

    /// The fewest instances of a service that a plan may have.
    pub(crate) fn fewest_instances_of(&self, service: &str) -> u32 {
        self.services.get(service).map_or(1, |range| *range.start())
    }

    /// The hosts of a plan that do background work.
    pub(crate) fn background_hosts_of(&self, plan: &Plan) -> BTreeSet<Arc<str>> {
        let hosts = self.hosts_of(plan).into_iter();
        let background = hosts.filter(|(_, service, _)| self.background.contains(&***service));
        background.map(|(name, _, _)| name).collect()
    }

    /// The hosts of a plan, each with the service that runs on it.
    pub(crate) fn hosts_of(&self, plan: &Plan) -> Vec<(Arc<str>, &Arc<str>, &Factory)> {
        let each = self.hosts.iter().flat_map(|(service, factory)| {
            let names = instance_names(service, plan.instances_of(service));
            names.map(move |name| (name.into(), service, factory))
        });
        each.collect()
    }

    /// Where the plans of this system come from, as long as it is not known what faults can aim at.
    pub(crate) fn aimless_generator(&self) -> Generator {
        Generator {
            operation: self.operation.clone(),
            services: self.services.clone(),
            load: self.load.clone(),
            certain: self.certain_kinds(),
            faults: self.fault_kinds(),
            targets: Targets::default(),
            budget: self.budget.clone(),
        }
    }

    /// What faults can aim at, once a survey has found it.
    pub(crate) fn known_targets(&self) -> &OnceLock<Targets> {
        &self.targets
    }

    /// Forgets what faults are not to aim at.
    pub(crate) fn spare(&self, targets: &mut Targets) {
        if let Some(struck) = &self.struck {
            let is_struck = |host: &str| {
                let service = service_of(&self.services, host);
                service.is_some_and(|service| struck.iter().any(|own| own == service))
            };
            targets.keep_only(is_struck);
        }
    }
}

/// A service, to its end; a panic is one.
fn to_its_end<E: Display>(service: impl Future<Output = Result<(), E>> + 'static) -> Software {
    let service = AssertUnwindSafe(service).catch_unwind();
    async move {
        match service.await {
            Ok(end) => end.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("panicked: {}", panic_text(&*panic))),
        }
    }
    .boxed_local()
}

/// One operation of the workload, carried out.
fn carried<O, Fut, T, E>(operation: Value, carry_out: impl FnOnce(O) -> Fut) -> Carried
where
    O: DeserializeOwned,
    Fut: Future<Output = Result<T, E>> + 'static,
    T: Serialize,
    E: Display,
{
    let carried = serde_json::from_value(operation)
        .map_err(|error| format!("not an operation of this system: {error}"))
        .map(carry_out);
    async move {
        match carried?.await {
            Ok(answer) => serde_json::to_string(&answer)
                .map_err(|error| format!("its answer cannot be written as JSON: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }
    .boxed_local()
}
