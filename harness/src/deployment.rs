//! The deployment: one run of one plan, for a system of ordinary services, each on a machine of its own.
//!
//! Reading order: `client` who asks for the operations, `server` the hosts that stand for products, `databases` what the
//! harness sees of databases, `course` how a run goes from chaos to quiet, `intervention` what the nemesis does to
//! machines and links. The operating system below is the package `stormglass-machine`.

mod client;
mod course;
mod databases;
mod intervention;
mod nats;
mod postgres;
mod server;
mod simple_broker;
mod sqlite;
mod third_party;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stormglass_machine as os;
use stormglass_sqlite::Watch;
use tokio::sync::oneshot;
use tracing::Dispatch;

use crate::broker;
use crate::database::{Store, StoreError};
use crate::history::{CLIENT, History};
use crate::machine::{Machine, Shared};
use crate::nemesis::Nemesis;
use crate::plan::topology::instance_names;
use crate::plan::{Plan, Targets};
use crate::run::{Recording, Run, RunError};
use crate::system::{Factory, System};
use crate::world::{Armed, Commands, Recorder, World, lock, logs};
use client::{CarryOut, Client};
use course::Course;
use databases::Databases;
use server::Server;

/// Runs a plan on machines.
///
/// # Errors
///
/// See [`RunError`].
pub(crate) fn run(
    system: &System,
    plan: &Plan,
    recording: Recording,
) -> Result<(Run, Targets), RunError> {
    let Some(carry_out) = system.handler.clone() else {
        return Err(RunError::NoOperations(system.name().to_owned()));
    };
    let store = Store::create(&system.databases, &system.databases_on_servers()?)?;
    // The last one who has them is not to be a host, whose end may be that of a process that was killed: it would leave the
    // files where they are.
    let databases = Arc::new(Databases::open(store, &system.databases)?);
    let prepared = Prepared {
        system: system.clone(),
        plan: plan.clone(),
        recording,
        databases: databases.clone(),
        carry_out,
        logs: (recording == Recording::On).then(logs::capture),
    };
    let settings = &system.settings;
    let settings = os::Settings {
        seed: plan.run_seed().bytes("machine"),
        links: os::Links {
            latency: settings.latency_min,
            jitter: settings.latency_max.saturating_sub(settings.latency_min),
        },
        patience: settings.patience,
    };
    let outcome = os::run(settings, move |machines| prepared.carry_out(machines));
    drop(databases);
    outcome?
}

/// What a run is made of before time begins.
struct Prepared {
    system: System,
    plan: Plan,
    recording: Recording,
    databases: Arc<Databases>,
    carry_out: CarryOut,
    /// Made outside of the run, because all runs of the process share what it is noted in.
    logs: Option<Dispatch>,
}

impl Prepared {
    fn carry_out(self, machines: &os::Machine<'_>) -> Result<(Run, Targets), RunError> {
        let description = self.system.description();
        let recorder = Recorder::new(History::new(description), self.recording);
        let commands = Commands::ringing(machines.bell());
        let world = World::new(recorder, Armed::new(&self.plan), commands);
        let world = Arc::new(world);
        machines.attach(&world);
        world.recorder.quiescence(|seen| {
            seen.set_background(self.system.background_hosts_of(&self.plan));
        });
        let latency = self.system.settings.database_latency;
        let watch = sqlite::observe(&world, &self.databases, latency).map_err(StoreError::from)?;
        let mut deployment = Deployment::new(&self, machines, &world, &watch);
        deployment.start_all();
        let course = Course {
            plan: &self.plan,
            settings: &self.system.settings,
        };
        course.follow(&mut deployment);
        let failure = world.recorder.take_failure();
        if failure.is_none() {
            deployment.read_final_state()?;
        }
        let elapsed = machines.now();
        let calls = lock(&world.armed).calls().clone();
        let (bitten, targets) = (world.recorder.bitten(), deployment.targets());
        let history = world.recorder.take_history();
        // Whatever destructors still do, nobody records it.
        world.hosts.kill_all();
        if let Some(failure) = failure {
            return Err(failure);
        }
        let run = Run {
            plan: self.plan.clone(),
            history,
            bitten,
            calls,
            elapsed,
        };
        Ok((run, targets))
    }
}

/// The machines of a run and what is started on them.
struct Deployment<'a, 'run> {
    prepared: &'a Prepared,
    machines: &'a os::Machine<'run>,
    world: Arc<World>,
    /// The watch over the databases that are files.
    watch: &'a Watch,
    nemesis: Nemesis,
    servers: Vec<Box<dyn Server>>,
    services: BTreeMap<Arc<str>, (Arc<str>, &'a Factory)>,
    shared: Arc<Shared>,
    /// Hosts that have to have stopped, start again, and go on, at a time.
    stops: Vec<(Duration, String)>,
    restarts: Vec<(Duration, String)>,
    resumptions: Vec<(Duration, String)>,
    /// How often the host of a fault's wrong clock had looked at it before, by the fault.
    clocks: BTreeMap<usize, u64>,
    /// Who waits for the time of an operation, which is the same whatever faults there are: a timer of the client's would
    /// be late by up to a millisecond, depending on what else it does.
    turns: Vec<(Duration, oneshot::Sender<()>)>,
    unanswered: Arc<Mutex<usize>>,
}

impl<'a, 'run> Deployment<'a, 'run> {
    fn new(
        prepared: &'a Prepared,
        machines: &'a os::Machine<'run>,
        world: &Arc<World>,
        watch: &'a Watch,
    ) -> Self {
        let (system, plan) = (&prepared.system, &prepared.plan);
        let hosts = system.hosts_of(plan).into_iter();
        let services: BTreeMap<Arc<str>, (Arc<str>, &Factory)> = hosts
            .map(|(name, service, factory)| (name, (service.clone(), factory)))
            .collect();
        let names = services.iter();
        let names = names.map(|(name, (service, _))| (name.to_string(), service.to_string()));
        let brokers = &system.machine.brokers;
        let broker_host = brokers.first().map_or(broker::HOST, |own| &own.name);
        let nemesis = Nemesis::new(plan, names.collect(), broker_host);
        let shared = Shared {
            urls: prepared.databases.urls_of_services(),
            instances: plan.instances.clone(),
            folder: prepared.databases.folder(),
        };
        Deployment {
            prepared,
            machines,
            world: world.clone(),
            watch,
            nemesis,
            servers: server::of(system, world, &prepared.databases),
            services,
            shared: Arc::new(shared),
            stops: Vec::new(),
            restarts: Vec::new(),
            resumptions: Vec::new(),
            clocks: BTreeMap::new(),
            turns: Vec::new(),
            unanswered: Arc::new(Mutex::new(plan.workload.len())),
        }
    }

    /// Starts every host: first what services call when they start. The name of a service that runs several times stands
    /// for all of its instances.
    fn start_all(&mut self) {
        for (service, instances) in &self.prepared.plan.instances {
            let names: Vec<String> = instance_names(service, *instances).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.machines.alias(service, &names);
        }
        let servers: Vec<Arc<str>> = self.servers.iter().map(|own| own.name().clone()).collect();
        let services: Vec<Arc<str>> = self.services.keys().cloned().collect();
        for host in servers.iter().chain(&services) {
            self.start(host);
        }
        let mut turns = Vec::new();
        for operation in &self.prepared.plan.workload {
            let (turn, taken) = oneshot::channel();
            let at = Duration::from_millis(operation.at_ms);
            self.turns.push((at, turn));
            turns.push(taken);
        }
        let client = Client {
            gate: self.world.start(&CLIENT.into()),
            plan: self.prepared.plan.clone(),
            turns,
            carry_out: self.prepared.carry_out.clone(),
            timeout: self.prepared.system.settings.operation_timeout,
            unanswered: self.unanswered.clone(),
        };
        self.machines.start_service(CLIENT, &[], || client.run());
    }

    /// Starts a host's software, for the first time or again.
    fn start(&self, host: &Arc<str>) {
        let gate = self.world.start(host);
        if let Some(server) = self.servers.iter().find(|own| own.name() == host) {
            return server.start(self.machines, gate);
        }
        let Some((service, factory)) = self.services.get(host) else {
            return;
        };
        let factory = (*factory).clone();
        let machine = Machine {
            gate: gate.clone(),
            service: service.clone(),
            shared: self.shared.clone(),
        };
        let variables = self.prepared.system.machine.variables.get(&**service);
        let variables = variables.into_iter().flatten();
        let variables: Vec<(&str, &str)> =
            variables.map(|(name, value)| (&**name, &**value)).collect();
        let logs = self.prepared.logs.clone();
        self.machines
            .start_service(host, &variables, move || async move {
                let _logs = logs.map(logs::listen);
                let end = factory(machine).await;
                gate.ended(end.err());
            });
    }

    /// What keeps the system from being quiet, by whom it is known.
    fn backlog(&self) -> Option<String> {
        let mut servers = self.servers.iter();
        servers
            .find_map(|server| server.backlog())
            .or_else(|| self.prepared.databases.owed(&self.world.recorder))
    }

    fn read_final_state(&self) -> Result<(), RunError> {
        for server in &self.servers {
            for what in server.final_events() {
                self.world.recorder.record(server.name(), what);
            }
        }
        self.prepared
            .databases
            .read_views(&self.world.recorder, &"harness".into())
    }

    fn unanswered(&self) -> usize {
        *lock(&self.unanswered)
    }
}
