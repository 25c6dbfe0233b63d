//! The system under test: hosts, databases, topics, operations and properties, as one value.
//!
//! A system is described once and then run as often as there are seeds. Nothing here runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display};
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use proptest::strategy::{Just, Strategy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::broker::{self, Profile};
use crate::checker::{Property, Verdict};
use crate::database::{Database, Probe};
use crate::history::{CLIENT, Description, GroupDescription, History};
use crate::plan::topology::{instance_name, instance_names, service_of};
use crate::plan::{
    Budget, FaultKind, Generator, Load, Misfit, OperationStrategy, Plan, Services, Targets,
};
use crate::seed::Seed;
use crate::simulation::{Host, Settings};

/// A future of the system, on the simulation's thread.
pub(crate) type Software = LocalBoxFuture<'static, Result<(), String>>;
type Factory = Arc<dyn Fn(Host) -> Software + Send + Sync>;
/// Carries out one operation of the workload.
pub(crate) type Handler =
    Arc<dyn Fn(Host, Value) -> LocalBoxFuture<'static, Result<String, String>> + Send + Sync>;

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
    pub(crate) settings: Settings,
    operation: OperationStrategy,
    properties: Vec<Arc<dyn Property>>,
    faults: Option<Vec<FaultKind>>,
    load: Load,
    budget: Budget,
    attempts_max: u32,
    struck: Option<Vec<String>>,
    /// What faults can aim at, once it is known; forgotten when hosts or operations change.
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
            settings: Settings::default(),
            operation: Arc::new(|| Just(Value::Null).boxed()),
            properties: Vec::new(),
            faults: None,
            load: Load::default(),
            budget: Budget::default(),
            attempts_max: 5,
            struck: None,
            targets: Arc::default(),
        }
    }

    /// The broker that is simulated.
    #[must_use]
    pub fn broker(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// A topic. A group's dead-letter topic does not have to be declared.
    ///
    /// # Panics
    ///
    /// If `partitions` is zero.
    #[must_use]
    pub fn topic(mut self, name: &str, partitions: u32) -> Self {
        assert!(
            partitions > 0,
            "topic `{name}` needs at least one partition"
        );
        self.topics.insert(name.to_owned(), partitions);
        self
    }

    /// A consumer group, known to the checkers from the start.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        if let Some(topic) = &group.description.dead_letters {
            self.topics.entry(topic.clone()).or_insert(1);
        }
        self.groups.insert(group.name, group.description);
        self
    }

    /// After how many failed attempts a poison message has to be parked. Five unless set.
    #[must_use]
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// A database of the system.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.databases.push(database);
        self
    }

    /// A host and the service that runs on it. The service starts again, with a new [`Host`],
    /// after every crash, and one second after it ended by itself.
    ///
    /// # Panics
    ///
    /// If the name is taken; `broker` and `client` are the harness' own.
    #[must_use]
    pub fn host<F, Fut, E>(mut self, name: &str, service: F) -> Self
    where
        F: Fn(Host) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: Display,
    {
        self.assert_is_free(name);
        let factory = move |host: Host| {
            let service = AssertUnwindSafe(service(host)).catch_unwind();
            async move {
                match service.await {
                    Ok(end) => end.map_err(|error| error.to_string()),
                    Err(panic) => Err(format!("panicked: {}", panic_text(&*panic))),
                }
            }
            .boxed_local()
        };
        self.hosts.push((name.into(), Arc::new(factory)));
        self.services.insert(name.to_owned(), 1..=1);
        self.targets = Arc::default();
        self
    }

    /// How many instances of a service run: each plan draws a number of its own from the range, in a
    /// stream of its own, and a failure is shrunk towards the fewest. All of them run the service
    /// that [`System::host`] was given, each with a [`Host`] of its own, and share its databases
    /// and groups. The first keeps the service's name, the others are `order-2`, `order-3`.
    ///
    /// # Panics
    ///
    /// If there is no such service yet, the range is empty or begins with zero, or the name of an
    /// instance is taken.
    #[must_use]
    pub fn instances(mut self, service: &str, range: RangeInclusive<u32>) -> Self {
        let known = self.services.remove(service);
        assert!(
            known.is_some(),
            "there is no host `{service}` to run more of"
        );
        let (least, most) = (*range.start(), *range.end());
        assert!(
            1 <= least && least <= most,
            "`{service}` cannot run {least} to {most} times: give a range such as 1..=3"
        );
        for number in 2..=most {
            self.assert_is_free(&instance_name(service, number));
        }
        self.services.insert(service.to_owned(), range);
        self.targets = Arc::default();
        self
    }

    fn assert_is_free(&self, name: &str) {
        let taken =
            [broker::HOST, CLIENT].contains(&name) || service_of(&self.services, name).is_some();
        assert!(!taken, "the host name `{name}` is taken");
    }

    /// The operations of the workload: a function that makes the strategy for one of them, and how
    /// a client carries it out. What it answers is in the history as JSON, where a property can
    /// read it back ([`History::operations`]).
    #[must_use]
    pub fn operations<O, G, S, F, Fut, T, E>(mut self, operation: G, client: F) -> Self
    where
        G: Fn() -> S + Send + Sync + 'static,
        S: Strategy<Value = O> + 'static,
        O: Serialize + DeserializeOwned + Debug + 'static,
        F: Fn(Host, O) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + 'static,
        T: Serialize,
        E: Display,
    {
        self.operation = Arc::new(move || {
            operation()
                .prop_map(|operation| {
                    serde_json::to_value(operation).expect("an operation can be written as JSON")
                })
                .boxed()
        });
        self.handler = Some(Arc::new(move |host, operation| {
            let carried = serde_json::from_value(operation)
                .map_err(|error| format!("not an operation of this system: {error}"))
                .map(|operation| client(host, operation));
            async move {
                match carried?.await {
                    Ok(answer) => serde_json::to_string(&answer)
                        .map_err(|error| format!("its answer cannot be written as JSON: {error}")),
                    Err(error) => Err(error.to_string()),
                }
            }
            .boxed_local()
        }));
        self.targets = Arc::default();
        self
    }

    /// A property that every run is judged by.
    #[must_use]
    pub fn property(mut self, property: impl Property + 'static) -> Self {
        self.properties.push(Arc::new(property));
        self
    }

    /// The kinds of fault that plans may have. All of them unless set, except poison payloads
    /// where no group has dead letters. Kinds that the modelled broker does not know
    /// ([`Profile::knows`]) are left out.
    #[must_use]
    pub fn faults(mut self, kinds: &[FaultKind]) -> Self {
        self.faults = Some(kinds.to_vec());
        self
    }

    /// Only these services are struck by faults, with all their instances; a link is struck if one
    /// of its ends is. The broker and third parties are struck as before. All services unless set.
    #[must_use]
    pub fn strike(mut self, hosts: &[&str]) -> Self {
        self.struck = Some(hosts.iter().map(|&host| host.to_owned()).collect());
        self
    }

    /// How many operations a plan has.
    #[must_use]
    pub fn load(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// How many faults a plan has.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
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
            let allowed = |kind: &FaultKind| parks || *kind != FaultKind::Poison;
            FaultKind::ALL.iter().copied().filter(allowed).collect()
        });
        kinds.retain(|kind| self.profile.knows(*kind));
        kinds
    }

    /// What the history says about the system.
    pub(crate) fn description(&self) -> Description {
        let probes = self.databases.iter().flat_map(|database| &database.probes);
        let probed: BTreeSet<&str> = probes.filter_map(Probe::shows).collect();
        let mut groups = self.groups.clone();
        for (name, group) in &mut groups {
            group.is_probed = probed.contains(&**name);
        }
        Description {
            profile: self.profile.clone(),
            topics: self.topics.clone(),
            groups,
            attempts_max: self.attempts_max,
        }
    }

    /// Judges a history by every property, in the order in which they were added.
    pub fn judge(&self, history: &History) -> Vec<(String, Verdict)> {
        self.properties
            .iter()
            .map(|property| (property.id().to_owned(), property.check(history)))
            .collect()
    }

    /// Whether a plan can be run against this system.
    pub(crate) fn fits(&self, plan: &Plan) -> Result<(), Misfit> {
        let groups: Vec<&str> = self.groups.keys().map(|name| &**name).collect();
        plan.fits(&self.services, &groups)
    }

    /// The fewest instances of a service that a plan may have.
    pub(crate) fn fewest_instances_of(&self, service: &str) -> u32 {
        self.services.get(service).map_or(1, |range| *range.start())
    }

    /// The hosts of a plan, each with the service that runs on it.
    pub(crate) fn hosts_of(&self, plan: &Plan) -> Vec<(Arc<str>, &Arc<str>, &Factory)> {
        let each = self.hosts.iter().flat_map(|(service, factory)| {
            let names = instance_names(service, plan.instances_of(service));
            names.map(move |name| (name.into(), service, factory))
        });
        each.collect()
    }

    /// Where the plans of this system come from.
    ///
    /// What a fault can aim at is learnt from one run without faults, with the operations of
    /// several seeds: which hosts call which of their ports, and who talks to whom.
    ///
    /// # Errors
    ///
    /// If that run fails.
    pub fn generator(&self) -> Result<Generator, crate::simulation::RunError> {
        let mut generator = Generator {
            operation: self.operation.clone(),
            services: self.services.clone(),
            load: self.load.clone(),
            faults: self.fault_kinds(),
            targets: Targets::default(),
            budget: self.budget.clone(),
        };
        generator.targets = match self.targets.get() {
            Some(targets) => targets.clone(),
            None => {
                let mut targets = crate::simulation::survey(self, &generator.survey_plan())?;
                targets.level(&self.services);
                self.targets.get_or_init(|| targets).clone()
            }
        };
        if let Some(struck) = &self.struck {
            let is_struck = |host: &str| {
                let service = service_of(&self.services, host);
                service.is_some_and(|service| struck.iter().any(|own| own == service))
            };
            generator.targets.keep_only(is_struck);
        }
        Ok(generator)
    }

    /// The plan of a seed.
    ///
    /// # Errors
    ///
    /// As [`System::generator`].
    pub fn plan(&self, seed: Seed) -> Result<Plan, crate::simulation::RunError> {
        Ok(self.generator()?.plan(seed))
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}
