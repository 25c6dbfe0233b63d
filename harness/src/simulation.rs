//! The simulation: one run of one plan, on a fresh hermetic thread, in virtual time.
//!
//! Reading order: `host` what a service is handed, `world` what all hosts share, `stops` how they end, `clock`
//! and `stormglass_machine::Hermetic` what makes a run repeatable, `net` and `http` the simulated network, `logs`
//! what becomes of log lines, `panics` of panics, `quiescence` and `obligations` when a run is over, `watch` that it goes on. Only this folder and the broker's two ends name turmoil.

pub(crate) mod clock;
mod error;
mod host;
mod http;
mod io;
pub(crate) mod logs;
mod net;
mod obligations;
pub(crate) mod panics;
mod quiescence;
mod running;
pub(crate) mod settings;
pub(crate) mod stops;
mod watch;
pub(crate) mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use futures::FutureExt;
use stormglass_machine::{Core, EPOCH, Hermetic};

pub use error::RunError;
pub use host::Host;
pub use http::{HttpError, Request, Response};
pub use io::{Arguments, Io, IoCall};
pub use net::{TcpListener, TcpStream};
pub use settings::{Recording, Settings};
pub use watch::Hang;

use crate::broker;
use crate::database::{Databases, Engine, Store, StoreError};
use crate::deployment;
use crate::history::{Answer, CLIENT, Digest, History, What};
use crate::nemesis::{Armed, Command, Intervention, Nemesis};
use crate::plan::{Plan, Targets};
use crate::system::{Carried, Factory, Handler, System, panic_text};
use watch::{OnHost, Pulse};
use world::{World, lock};

/// How long a fault that waits for a call is given before the run heals.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a supervisor waits before it starts a service again that ended by itself.
pub(crate) const SUPERVISOR_DELAY: Duration = Duration::from_secs(1);

/// What one run left behind.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was to happen.
    pub plan: Plan,
    /// What happened.
    pub history: History,
    /// The faults, by index in the plan, that had an effect.
    pub bitten: Vec<usize>,
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// What was asked of databases and sockets; empty unless that is what was recorded.
    #[doc(hidden)]
    pub io: Vec<Io>,
}

impl Run {
    /// The digest of the run's history.
    pub fn digest(&self) -> Digest {
        self.history.digest()
    }
}

/// Runs a plan.
///
/// # Errors
///
/// See [`RunError`]; a broken property is not an error.
pub fn run(system: &System, plan: &Plan, recording: Recording) -> Result<Run, RunError> {
    on_fresh_thread(system, plan, recording).map(|(run, _)| run)
}

/// Runs a plan without faults to learn what faults could aim at.
pub(crate) fn survey(system: &System, plan: &Plan) -> Result<Targets, RunError> {
    on_fresh_thread(system, plan, Recording::Off).map(|(_, targets)| targets)
}

/// Hash keys and other state of a thread must not be left over from an earlier run.
fn on_fresh_thread(
    system: &System,
    plan: &Plan,
    recording: Recording,
) -> Result<(Run, Targets), RunError> {
    warn_without_tokio_unstable();
    logs::keep_listening();
    system.refuse_misuse()?;
    let engine = Engine::from_environment()?;
    engine.prepare();
    system.fits(plan)?;
    if system.is_ordinary() {
        return deployment::run(system, plan, recording);
    }
    let pulse = Arc::new(Pulse::default());
    let (tell, told) = mpsc::sync_channel(1);
    let run = {
        let (system, plan, pulse) = (system.clone(), plan.clone(), pulse.clone());
        move || {
            let _core = Core::claim();
            let _told = Pulse::of_this_thread(&pulse);
            let _ = tell.send(simulate(&system, &plan, recording, &engine));
        }
    };
    let thread = std::thread::Builder::new().name(format!("run {}", plan.seed));
    let thread = thread.spawn(run).map_err(StoreError::from)?;
    let result = pulse.watch(&told, system.settings.patience)?;
    // Nothing of a run may still be at work when the next one begins.
    match (thread.join(), result) {
        (Ok(()), Some(result)) => result,
        (Err(panic), _) => Err(RunError::Panicked(panic_text(&*panic).to_owned())),
        (Ok(()), None) => Err(RunError::Panicked(
            "the run ended without a result".to_owned(),
        )),
    }
}

fn warn_without_tokio_unstable() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if let Some(lack) = stormglass_machine::lacks() {
        ONCE.call_once(|| eprintln!("warning: {lack}"));
    }
}

fn simulate(
    system: &System,
    plan: &Plan,
    recording: Recording,
    engine: &Engine,
) -> Result<(Run, Targets), RunError> {
    clock::set_between_ticks(Duration::ZERO);
    let _panics = panics::remember();
    let hermetic = Hermetic::enter(plan.run_seed().stream("system"), clock::OF_THE_RUN)
        .map_err(|error| RunError::NotHermetic(error.to_string()))?;
    let Some(Handler::Ported(handler)) = system.handler.clone() else {
        return Err(RunError::NoOperations(system.name().to_owned()));
    };
    let store = Store::create(
        engine,
        system.databases.iter().map(|own| (&own.name, &own.schema)),
    )?;
    let latency = system.settings.database_latency;
    let databases = Arc::new(Databases::open(store, &system.databases, latency)?);
    let description = system.description();
    let core = broker::Core::new(&description, broker::HOST.into());
    let world = Arc::new(World::new(
        core,
        History::new(description),
        Armed::new(plan),
        recording,
    ));
    world.quiescence(|seen| seen.set_background(system.background_hosts_of(plan)));
    let _logs = (recording == Recording::On).then(|| logs::capture(world.clone()));

    let mut machines = Machines::new(system, plan, &world, &databases);
    let workload = Workload {
        plan,
        handler,
        world: world.clone(),
        databases: databases.clone(),
    };
    let unanswered = machines.add_client(workload, system.settings.operation_timeout);
    let course = Course {
        heal_at: Nemesis::end_of(plan, PATIENCE),
        settings: &system.settings,
        unanswered,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| course.follow(&mut machines, &world)));
    let failure = world.take_failure();
    if outcome.is_ok() && failure.is_none() {
        let harness: Arc<str> = "harness".into();
        let broker: Arc<str> = broker::HOST.into();
        for what in lock(&world.broker).final_events() {
            world.record(&broker, what);
        }
        databases.read_views(&world, &harness)?;
    }
    let elapsed = machines.now();
    clock::set_between_ticks(elapsed);
    let (bitten, targets, io) = (world.bitten(), world.targets(), world.take_io());
    let history = world.take_history();
    // Whatever destructors still do, they do it against dead ports.
    world.kill_all();
    drop(machines);
    drop(databases);
    drop(hermetic);
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Err(panic) = outcome {
        let told = panics::last().unwrap_or_else(|| panic_text(&*panic).to_owned());
        return Err(RunError::Panicked(told));
    }
    Ok((
        Run {
            plan: plan.clone(),
            history,
            bitten,
            elapsed,
            io,
        },
        targets,
    ))
}

/// The two phases of a run: chaos, then heal until quiet or until the liveness bound.
struct Course<'a> {
    heal_at: Duration,
    settings: &'a Settings,
    unanswered: Arc<Mutex<usize>>,
}

impl Course<'_> {
    fn follow(&self, machines: &mut Machines<'_>, world: &World) {
        let harness: Arc<str> = "harness".into();
        while machines.now() < self.heal_at.max(machines.busy_until()) {
            machines.step();
            if world.has_failed() {
                return;
            }
        }
        machines.heal();
        world.record(&harness, What::HealBegan);
        let bound = machines.now() + self.settings.liveness_bound;
        loop {
            machines.step();
            if world.has_failed() {
                return;
            }
            if self.is_quiet(world) {
                let background = world.quiescence(|seen| seen.background());
                return world.record(&harness, What::Quiet { background });
            }
            if machines.now() >= bound {
                let backlog = lock(&world.broker).backlog();
                let waiting_for = world.waiting_for(*lock(&self.unanswered), backlog);
                return world.record(&harness, What::LivenessBoundReached { waiting_for });
            }
        }
    }

    fn is_quiet(&self, world: &World) -> bool {
        world.owes_nothing(self.settings)
            && *lock(&self.unanswered) == 0
            && lock(&world.broker).is_idle()
    }
}

/// The simulated machines and what the nemesis does to them.
struct Machines<'a> {
    sim: turmoil::Sim<'a>,
    nemesis: Nemesis,
    world: Arc<World>,
    usual_latency: Duration,
    /// Whether the plan has no faults.
    is_calm: bool,
    restarts: Vec<(Duration, String)>,
}

impl<'a> Machines<'a> {
    fn new(
        system: &'a System,
        plan: &Plan,
        world: &Arc<World>,
        databases: &Arc<Databases>,
    ) -> Self {
        let settings = &system.settings;
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.run_seed().number("network"))
            .epoch(UNIX_EPOCH + EPOCH)
            .tick_duration(settings.tick)
            .simulation_duration(Duration::MAX)
            .min_message_latency(settings.latency_min)
            .max_message_latency(settings.latency_max)
            .tcp_capacity(4_096)
            .enable_random_order()
            .build();
        let own = world.clone();
        sim.host(broker::HOST, move || {
            let gate = own.start(&broker::HOST.into());
            running::this_host(gate.host());
            async move {
                broker::serve(gate).await;
                Ok(())
            }
        });
        let instances = Arc::new(plan.instances.clone());
        let mut names = Vec::new();
        for (name, service, factory) in system.hosts_of(plan) {
            names.push((name.to_string(), service.to_string()));
            let (world, databases) = (world.clone(), databases.clone());
            let instances = instances.clone();
            sim.host(name.to_string(), move || {
                let gate = world.start(&name);
                running::this_host(&name);
                let own = Host::new(gate.clone(), service, &instances, databases.clone());
                let software = match &factory {
                    Factory::Ported(factory) => factory(own),
                    Factory::Ordinary(_) => Box::pin(std::future::pending()),
                };
                OnHost::new(name.clone(), async move {
                    gate.run(software).await;
                    Ok(())
                })
            });
        }
        Machines {
            sim,
            nemesis: Nemesis::new(plan, names, broker::HOST),
            world: world.clone(),
            usual_latency: settings.latency_max,
            is_calm: plan.schedule.is_empty(),
            restarts: Vec::new(),
        }
    }

    /// Adds the host that carries out the workload; counts the operations without an answer.
    fn add_client(&mut self, workload: Workload<'_>, timeout: Duration) -> Arc<Mutex<usize>> {
        let unanswered = Arc::new(Mutex::new(workload.plan.workload.len()));
        let own = unanswered.clone();
        let Workload {
            plan,
            handler,
            world,
            databases,
        } = workload;
        let plan = plan.clone();
        let (service, instances) = (Arc::from(CLIENT), Arc::new(plan.instances.clone()));
        self.sim.host(CLIENT, move || {
            let gate = world.start(&CLIENT.into());
            running::this_host(gate.host());
            for (operation, planned) in plan.workload.iter().enumerate() {
                let at = Duration::from_millis(planned.at_ms);
                let text = planned.operation.to_string();
                let host = Host::new(gate.clone(), &service, &instances, databases.clone());
                let carry_out = handler.clone();
                let value = planned.operation.clone();
                let (gate, unanswered) = (gate.clone(), own.clone());
                let client = gate.host().clone();
                tokio::task::spawn_local(OnHost::new(client, async move {
                    tokio::time::sleep(at).await;
                    gate.record(What::OperationInvoked { operation, text });
                    let carried = AssertUnwindSafe(async { carry_out(host, value).await });
                    let answer = tokio::time::timeout(timeout, carried.catch_unwind()).await;
                    let (answer, text) = match answer {
                        Ok(Ok(Ok(text))) => (Answer::Done, text),
                        Ok(Ok(Err(error))) => (Answer::Failed, error),
                        Ok(Err(panic)) => (Answer::Panicked, panic_text(&*panic).to_owned()),
                        Err(_) => (Answer::Failed, "no answer in time".to_owned()),
                    };
                    gate.record(What::OperationAnswered {
                        operation,
                        answer,
                        text,
                    });
                    *lock(&unanswered) -= 1;
                }));
            }
            std::future::pending()
        });
        unanswered
    }

    fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    /// When everything is over that the nemesis has begun.
    fn busy_until(&self) -> Duration {
        self.nemesis.busy_until(&self.world)
    }

    /// One tick: what the nemesis has on its agenda, then every host in turn.
    fn step(&mut self) {
        clock::set_between_ticks(self.sim.elapsed());
        watch::step(self.sim.elapsed());
        let interventions = self.nemesis.due(&self.world);
        self.carry_out(interventions);
        let now = self.now();
        let (due, later) = std::mem::take(&mut self.restarts)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.restarts = later;
        let due: Vec<(Duration, String)> = due;
        self.carry_out(
            due.into_iter()
                .map(|(_, host)| Intervention::Start(host))
                .collect(),
        );
        clock::set_within_tick();
        let stepped = self.sim.step();
        clock::set_between_ticks(self.sim.elapsed());
        if let Err(error) = stepped {
            panic!("the simulation cannot go on: {error}");
        }
        for command in self.world.take_commands() {
            match command {
                Command::SetOff { fault } => {
                    let interventions = self.nemesis.set_off(fault, &self.world);
                    self.carry_out(interventions);
                }
                // Its gate knows of it already.
                Command::Paused { .. } => {}
                Command::Stopped { host } => {
                    let interventions = self.nemesis.stopped(&host, self.now());
                    self.carry_out(interventions);
                }
                Command::Exited { host } => {
                    if self.is_calm {
                        self.world.refuse_if_in_vain(&host);
                    }
                    self.carry_out(vec![Intervention::Kill(host.clone())]);
                    self.restarts.push((self.now() + SUPERVISOR_DELAY, host));
                }
            }
        }
    }

    fn heal(&mut self) {
        clock::set_between_ticks(self.sim.elapsed());
        let interventions = self.nemesis.heal(&self.world);
        self.carry_out(interventions);
    }

    fn carry_out(&mut self, interventions: Vec<Intervention>) {
        for intervention in interventions {
            match intervention {
                Intervention::Kill(host) => {
                    self.sim.crash(&*host);
                    if host == broker::HOST {
                        lock(&self.world.broker).crash();
                    }
                }
                // A host that another fault has started meanwhile is left alone.
                Intervention::Start(host) if self.world.is_up(&host) => {}
                Intervention::Start(host) => self.sim.bounce(&*host),
                // Gates and clocks know of it already.
                Intervention::Pause { .. } | Intervention::Clock { .. } => {}
                Intervention::Cut { from, to } => self.sim.partition_oneway(&*from, &*to),
                Intervention::Mend { from, to } => self.sim.repair_oneway(&*from, &*to),
                Intervention::Latency { a, b, latency } => {
                    let latency = latency.unwrap_or(self.usual_latency);
                    self.sim.set_link_latency(&*a, &*b, latency);
                }
            }
        }
    }
}

/// What the client host needs.
struct Workload<'a> {
    plan: &'a Plan,
    handler: Arc<dyn Fn(Host, serde_json::Value) -> Carried + Send + Sync>,
    world: Arc<World>,
    databases: Arc<Databases>,
}
