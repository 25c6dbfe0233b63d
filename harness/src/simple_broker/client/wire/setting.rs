//! A simulated system of one broker and a few hosts, for the tests of the wire.
//!
//! It knows nothing of plans but the faults that tests give it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use stormglass_machine::{self as os, Machine};

use crate::broker::{Core, HOST, Profile};
use crate::history::{Description, GroupDescription, History, What};
use crate::plan::{Fault, Plan, Strike};
use crate::run::Recording;
use crate::seed::Seed;
use crate::simple_broker::client::Broker;
use crate::simple_broker::server::SimpleBroker;
use crate::world::{Armed, Commands, Recorder, World};

/// What runs on a host.
type Software = Arc<dyn Fn(Broker) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// Something that is done to a run.
type Intervention = Box<dyn Fn(&Machine<'_>, &Stage) + Send>;

/// What a run is made of beside its machines.
pub(super) struct Stage {
    pub(super) world: Arc<World>,
    pub(super) broker: Arc<SimpleBroker>,
}

/// One simulated system.
pub(super) struct Setting {
    profile: Profile,
    schedule: Vec<Fault>,
    hosts: Vec<(&'static str, Software)>,
    /// What is done to the run, and when.
    interventions: Vec<(Duration, Intervention)>,
    lasts: Duration,
}

/// Starts the broker's process.
pub(super) fn start_broker(machine: &Machine<'_>, stage: &Stage) {
    let gate = stage.world.start(&HOST.into());
    let broker = stage.broker.clone();
    machine.start_service(HOST, &[], || broker.serve(gate));
}

impl Setting {
    pub(super) fn new(profile: Profile) -> Self {
        Setting {
            profile,
            schedule: Vec::new(),
            hosts: Vec::new(),
            interventions: Vec::new(),
            lasts: Duration::from_secs(20),
        }
    }

    pub(super) fn host<F>(
        mut self,
        name: &'static str,
        software: impl Fn(Broker) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let software: Software = Arc::new(move |broker| Box::pin(software(broker)));
        self.hosts.push((name, software));
        self
    }

    pub(super) fn strike(mut self, host: &str, nth: u32, strike: impl Into<Strike>) -> Self {
        self.schedule.push(Fault::strike(0, host, nth, strike));
        self
    }

    pub(super) fn at(
        mut self,
        millis: u64,
        intervention: impl Fn(&Machine<'_>, &Stage) + Send + 'static,
    ) -> Self {
        self.interventions
            .push((Duration::from_millis(millis), Box::new(intervention)));
        self
    }

    pub(super) fn run(self) -> Ran {
        let settings = os::Settings {
            links: os::Links {
                latency: Duration::from_millis(10),
                jitter: Duration::from_millis(80),
            },
            ..os::Settings::of([7; 32])
        };
        os::run(settings, |machine| self.carry_out(machine)).expect("the run comes to its end")
    }

    fn carry_out(self, machine: &Machine<'_>) -> Ran {
        let group = GroupDescription {
            topics: vec!["orders".to_owned()],
            ..Default::default()
        };
        let description = Description {
            profile: self.profile,
            topics: BTreeMap::from([("orders".to_owned(), 2)]),
            groups: BTreeMap::from([("billing".to_owned(), group)]),
            ..Description::default()
        };
        let groups = [("billing", &*description.groups["billing"].topics)];
        let (profile, topics) = (&description.profile, &description.topics);
        let core = Core::new(profile, topics, groups, HOST.into());
        let plan = Plan {
            seed: Seed(7),
            chance: 0,
            instances: BTreeMap::new(),
            workload: Vec::new(),
            schedule: self.schedule,
        };
        let recorder = Recorder::new(History::new(description), Recording::On);
        let world = World::new(recorder, Armed::new(&plan), Commands::default());
        let world = Arc::new(world);
        let broker = Arc::new(SimpleBroker::new(core, world.clone()));
        let stage = Stage { world, broker };
        let world = &stage.world;
        machine.attach(world);
        start_broker(machine, &stage);
        for (name, software) in self.hosts {
            world.start(&name.into());
            machine.start_service(name, &[], move || async move {
                software(Broker::connect()).await;
                std::future::pending().await
            });
        }
        for (at, intervention) in self.interventions {
            machine.sleep(at.saturating_sub(machine.now()));
            intervention(machine, &stage);
        }
        machine.sleep(self.lasts.saturating_sub(machine.now()));
        let (bitten, backlog) = (world.recorder.bitten(), stage.broker.backlog());
        let history = world.recorder.take_history();
        world.hosts.kill_all();
        Ran {
            history,
            bitten,
            backlog,
        }
    }
}

/// What is left of a run.
pub(super) struct Ran {
    pub(super) history: History,
    pub(super) bitten: Vec<usize>,
    pub(super) backlog: Option<String>,
}

impl Ran {
    pub(super) fn timeline(&self) -> String {
        self.history
            .events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect()
    }

    /// The id of the message that the broker handed out first.
    pub(super) fn first_delivered(&self) -> Option<String> {
        let published = self.history.published();
        self.history
            .events
            .iter()
            .find_map(|event| match &event.what {
                What::Delivered { position, .. } => {
                    published[position].1.event_id().map(str::to_owned)
                }
                _ => None,
            })
    }

    pub(super) fn count(&self, matching: impl Fn(&What) -> bool) -> usize {
        self.history
            .events
            .iter()
            .filter(|event| matching(&event.what))
            .count()
    }
}
