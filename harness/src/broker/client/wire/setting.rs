//! A simulated system of one broker and a few hosts, for the tests of the wire.
//!
//! It knows nothing of plans but the faults that tests give it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use stormglass_machine::Hermetic;

use crate::broker::client::Broker;
use crate::broker::core::Core;
use crate::broker::profile::Profile;
use crate::broker::{HOST, serve};
use crate::history::{Description, GroupDescription, History, What};
use crate::nemesis::Armed;
use crate::plan::{Fault, Plan, Strike};
use crate::seed::Seed;
use crate::simulation::Recording;
use crate::simulation::clock;
use crate::simulation::world::{Gate, World, lock};

type Software = Rc<dyn Fn(Gate) -> Pin<Box<dyn Future<Output = ()>>>>;

/// One simulated system.
pub(super) struct Setting {
    profile: Profile,
    schedule: Vec<Fault>,
    hosts: Vec<(&'static str, Software)>,
    /// What is done to the simulation, and when.
    interventions: Vec<(Duration, Intervention)>,
    lasts: Duration,
}

type Intervention = Box<dyn Fn(&mut turmoil::Sim<'_>, &Arc<World>)>;

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
        software: impl Fn(Broker) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let software: Software =
            Rc::new(move |gate: Gate| Box::pin(software(Broker::new(gate, HOST))));
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
        intervention: impl Fn(&mut turmoil::Sim<'_>, &Arc<World>) + 'static,
    ) -> Self {
        self.interventions
            .push((Duration::from_millis(millis), Box::new(intervention)));
        self
    }

    pub(super) fn run(self) -> Ran {
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
        clock::set_between_ticks(Duration::ZERO);
        let _hermetic = Hermetic::enter(Seed(7).stream("system"), clock::OF_THE_RUN)
            .expect("the thread can be hermetic");
        let core = Core::new(&description, HOST.into());
        let plan = Plan {
            seed: Seed(7),
            chance: 0,
            instances: BTreeMap::new(),
            workload: Vec::new(),
            schedule: self.schedule,
        };
        let history = History::new(description);
        let world = Arc::new(World::new(core, history, Armed::new(&plan), Recording::On));
        let mut sim = turmoil::Builder::new()
            .rng_seed(7)
            .epoch(std::time::UNIX_EPOCH)
            .tick_duration(Duration::from_millis(5))
            .simulation_duration(Duration::MAX)
            .build();
        let own = world.clone();
        sim.host(HOST, move || {
            let gate = own.start(&HOST.into());
            async move {
                serve(gate).await;
                Ok(())
            }
        });
        for (name, software) in self.hosts {
            let world = world.clone();
            sim.host(name, move || {
                let running = software(world.start(&name.into()));
                async move {
                    running.await;
                    std::future::pending().await
                }
            });
        }
        let mut interventions = self.interventions;
        interventions.reverse();
        while sim.elapsed() < self.lasts {
            clock::set_between_ticks(sim.elapsed());
            while interventions
                .last()
                .is_some_and(|(at, _)| *at <= sim.elapsed())
            {
                if let Some((_, intervention)) = interventions.pop() {
                    intervention(&mut sim, &world);
                }
            }
            clock::set_within_tick();
            sim.step().expect("no host fails");
        }
        clock::set_between_ticks(sim.elapsed());
        let bitten = world.bitten();
        let backlog = lock(&world.broker).backlog();
        Ran {
            history: world.take_history(),
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
