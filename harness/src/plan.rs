//! The plan: everything that will happen to the system, as data.
//!
//! Reading order: `topology` how many instances of a service run, `workload` the operations, `fault`
//! what a fault is, `incident` and `strike` the two sorts of it, `swarm` which kinds a seed has,
//! `targets` what there is to be struck, `schedule` how faults are generated, `validation` which
//! plans a system can be run with. No dice roll outside this folder: a fault that is not in the plan
//! does not happen.

mod fault;
mod incident;
mod schedule;
mod strike;
mod swarm;
mod targets;
pub(crate) mod topology;
mod validation;
mod workload;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use fault::{Action, Aim, Fault, Side};
pub(crate) use incident::Befallen;
pub use incident::{Incident, Restarted};
pub use schedule::{Budget, FaultKind};
pub(crate) use strike::CallFault;
pub use strike::{
    Call, CommitFault, ExternalFault, PublishFault, ReceiveFault, SettleFault, StatementFault,
    Strike,
};
pub use swarm::Swarm;
pub use targets::Targets;
pub use topology::{CLIENT, Services};
pub use validation::Misfit;
pub(crate) use validation::Parts;
pub use workload::{Load, Operation};

use crate::seed::Seed;

/// Everything that will happen to the system in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The seed of what is not in the plan itself: message latencies and the
    /// system's own random numbers.
    pub seed: Seed,
    /// Which of the seed's chances the run takes, zero for the one that is drawn. A mistake that
    /// needs luck is met by a smaller plan at another chance.
    #[serde(default, skip_serializing_if = "is_first")]
    pub chance: u32,
    /// How many instances of a service run, for the services of which more than one does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, u32>,
    /// What the system is asked to do.
    pub workload: Vec<Operation>,
    /// What is done to it meanwhile.
    pub schedule: Vec<Fault>,
}

fn is_first(chance: &u32) -> bool {
    *chance == 0
}

impl Plan {
    /// The seed of what is not in the plan: the plan's own at the first chance.
    pub(crate) fn run_seed(&self) -> Seed {
        match self.chance {
            0 => self.seed,
            chance => Seed(self.seed.number(&format!("chance {chance}"))),
        }
    }

    /// How many instances of a service run.
    pub fn instances_of(&self, service: &str) -> u32 {
        self.instances.get(service).copied().unwrap_or(1)
    }

    /// The same plan without faults.
    #[must_use]
    pub fn without_faults(&self) -> Plan {
        Plan {
            schedule: Vec::new(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chance {
            0 => writeln!(f, "seed {}", self.seed)?,
            chance => writeln!(f, "seed {}, chance {chance}", self.seed)?,
        }
        for (service, instances) in &self.instances {
            writeln!(f, "{instances} of {service}")?;
        }
        writeln!(f, "{} operations", self.workload.len())?;
        for operation in &self.workload {
            writeln!(f, "  {operation}")?;
        }
        writeln!(f, "{} faults", self.schedule.len())?;
        for fault in &self.schedule {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}

/// Makes a strategy for operations. A strategy itself cannot be shared between threads.
pub type OperationStrategy = Arc<dyn Fn() -> BoxedStrategy<Value> + Send + Sync>;

/// How many seeds' operations are asked for to learn what faults can aim at.
const SURVEYED_SEEDS: u64 = 4;
/// How many seeds are run under every kind of fault to learn what only faults make happen.
const SURVEYED_SEEDS_UNDER_FAULTS: u64 = 2;

/// What plans are drawn from.
#[derive(Clone)]
pub struct Generator {
    /// Makes the strategy for one operation of the workload.
    pub operation: OperationStrategy,
    /// How many instances of a service may run.
    pub services: Services,
    /// How many operations.
    pub load: Load,
    /// The kinds of fault that are allowed.
    pub faults: Vec<FaultKind>,
    /// The kinds of fault that every plan has some of, beside what it draws.
    pub certain: Vec<FaultKind>,
    /// What there is to be struck.
    pub targets: Targets,
    /// How many faults.
    pub budget: Budget,
}

impl Generator {
    /// The plan of a seed: always the same for the same generator.
    ///
    /// # Panics
    ///
    /// If the strategy for operations rejects every value (a filter that nothing passes).
    pub fn plan(&self, seed: Seed) -> Plan {
        let instances = draw(seed, "topology", &topology::instances(&self.services));
        let swarm = draw(seed, "swarm", &swarm::swarm(&self.faults));
        let targets = self.targets.within(&self.services, &instances);
        let operations = workload::workload(&self.load, (self.operation)());
        let workload = draw(seed, "workload", &operations);
        let moments: Vec<u64> = workload.iter().map(|operation| operation.at_ms).collect();
        let drawn = schedule::schedule(&swarm, &targets, &self.budget, &moments);
        let certain = schedule::certain(&self.certain, &targets, &self.budget, &moments);
        let mut schedule = draw(seed, "faults", &drawn);
        schedule.extend(draw(seed, "certain", &certain));
        schedule.sort_by_key(|fault| fault.at_ms);
        Plan {
            seed,
            chance: 0,
            instances,
            workload,
            schedule,
        }
    }

    /// A plan without faults that asks for whatever the first few seeds ask for, so that a rare
    /// operation's calls are seen as well, of as many instances as there may be.
    pub(crate) fn survey_plan(&self) -> Plan {
        let seeds = (0..SURVEYED_SEEDS).map(Seed);
        let workloads = seeds.flat_map(|seed| self.plan(seed).workload);
        let mut workload: Vec<Operation> = workloads.collect();
        workload.sort_by_key(|operation| operation.at_ms);
        let most = self.services.iter().filter(|(_, range)| *range.end() > 1);
        let most = most.map(|(service, range)| (service.clone(), *range.end()));
        Plan {
            seed: Seed(0),
            chance: 0,
            instances: most.collect(),
            workload,
            schedule: Vec::new(),
        }
    }

    /// Plans that bring about what only faults make happen, so that its calls are seen as well: what
    /// every publisher publishes first is poison, and what every consumer gets next; and a few seeds have
    /// everything that is allowed.
    pub(crate) fn survey_plans_under_faults(&self) -> Vec<Plan> {
        let mut poisoned = self.survey_plan();
        if self.faults.contains(&FaultKind::Poison) {
            let publishers = self.targets.making(Call::Publish);
            let poison = |host: &String| Fault::strike(0, host, 1, PublishFault::Poison);
            poisoned.schedule.extend(publishers.iter().map(poison));
        }
        if self.faults.contains(&FaultKind::GroupPoison) {
            let consumers = self.targets.making(Call::Receive);
            let poison =
                |host: &String| Fault::strike(0, host, 2, ReceiveFault::Poison { events: 1 });
            poisoned.schedule.extend(consumers.iter().map(poison));
        }
        let everything = (0..SURVEYED_SEEDS_UNDER_FAULTS).map(|seed| {
            let seed = Seed(seed);
            let mut plan = self.plan(seed);
            let targets = self.targets.within(&self.services, &plan.instances);
            let swarm = swarm::of(&self.faults);
            let moments: Vec<u64> = plan.workload.iter().map(|own| own.at_ms).collect();
            let schedule = schedule::schedule(&swarm, &targets, &self.budget, &moments);
            plan.schedule = draw(seed, "survey", &schedule);
            plan
        });
        let plans = std::iter::once(poisoned).chain(everything);
        plans.filter(|plan| !plan.schedule.is_empty()).collect()
    }

    /// Plans as a proptest strategy, for property tests over plans.
    pub fn strategy(&self) -> impl Strategy<Value = Plan> + use<> {
        let generator = self.clone();
        any::<u64>().prop_map(move |seed| generator.plan(Seed(seed)))
    }
}

/// Draws one value from a strategy, with the seed's stream `name`.
fn draw<S: Strategy>(seed: Seed, name: &str, strategy: &S) -> S::Value {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed.bytes(name));
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy
        .new_tree(&mut runner)
        .unwrap_or_else(|reason| panic!("the strategy of the {name} generates nothing: {reason}"))
        .current()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(faults: &[FaultKind]) -> Generator {
        Generator {
            operation: Arc::new(|| (0..5_i32).prop_map(Value::from).boxed()),
            services: Services::from([("billing".to_owned(), 1..=3)]),
            load: Load::default(),
            faults: faults.to_vec(),
            certain: Vec::new(),
            targets: Targets {
                hosts: vec!["billing".into(), "billing-2".into(), "billing-3".into()],
                clocks: vec!["billing".into(), "billing-3".into()],
                calls: [Call::Publish, Call::Statement, Call::Commit]
                    .map(|call| ("billing-3".into(), call))
                    .into(),
                links: vec![("billing-3".into(), "postgres".into())],
                databases: vec!["ledger".into()],
                database_servers: vec!["postgres".into()],
                ..Targets::default()
            },
            budget: Budget::default(),
        }
    }

    #[test]
    fn every_plan_has_some_of_the_kinds_that_are_certain() {
        let mut generator = generator(&[FaultKind::Pause]);
        generator.certain = vec![FaultKind::LoseAck];
        // The first instance is in every plan, a further one only in some.
        let every_plan_has = ("billing".into(), Call::Publish);
        generator.targets.calls = vec![every_plan_has];
        for seed in (0..20).map(Seed) {
            let plan = generator.plan(seed);
            let lost = plan.schedule.iter();
            let lost = lost.filter(|fault| fault.kind() == FaultKind::LoseAck);
            assert_eq!(lost.count(), schedule::CERTAIN, "{plan}");
            assert!(plan.schedule.is_sorted_by_key(|fault| fault.at_ms));
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_plan_and_reads_back() {
        let generator = generator(FaultKind::ALL);
        for seed in (0..50).map(Seed) {
            let plan = generator.plan(seed);
            assert_eq!(plan, generator.plan(seed));
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(plan, serde_json::from_str(&json).unwrap());
        }
    }

    #[test]
    fn what_befalls_databases_needs_one() {
        let kinds = [
            FaultKind::DatabaseRestart,
            FaultKind::DiskFull,
            FaultKind::ConnectionsUsedUp,
            FaultKind::SerializationFailure,
            FaultKind::Deadlock,
        ];
        for kind in kinds {
            let mut generator = generator(&[kind]);
            let instances = BTreeMap::from([("billing".to_owned(), 3)]);
            generator.targets = generator.targets.within(&generator.services, &instances);
            generator.services = Services::from([("billing".to_owned(), 3..=3)]);
            let plan = generator.plan(Seed(1));
            assert!(!plan.schedule.is_empty(), "{}", kind.name());
            assert!(plan.schedule.iter().all(|own| own.kind() == kind));
            generator.targets.databases.clear();
            generator.targets.database_servers.clear();
            assert!(generator.plan(Seed(1)).schedule.is_empty());
        }
    }

    #[test]
    fn the_workload_does_not_depend_on_the_faults() {
        for seed in (0..50).map(Seed) {
            let all = generator(FaultKind::ALL).plan(seed);
            let none = generator(&[]).plan(seed);
            assert_eq!(all.workload, none.workload);
            assert!(none.schedule.is_empty());
        }
    }

    #[test]
    fn a_strike_is_said_to_be_at_its_call_and_an_incident_beside_it() {
        let strike = Fault::strike(1_500, "billing", 2, CommitFault::AnswerLost);
        assert_eq!(
            strike.to_string(),
            "  1.500 s  commit answer lost  at commit #2 of billing"
        );
        let aim = Aim {
            host: "billing".to_owned(),
            call: Call::Settle,
            nth: 1,
            side: Side::Before,
        };
        let pause = Incident::Pause {
            host: "billing".to_owned(),
            for_ms: 30_000,
        };
        assert_eq!(
            Fault::on(0, aim, pause).to_string(),
            "  0.000 s  pause billing for 30000 ms  before settle #1 of billing"
        );
    }

    #[test]
    fn a_fault_prints_in_one_line() {
        for seed in (0..50).map(Seed) {
            for fault in generator(FaultKind::ALL).plan(seed).schedule {
                assert_eq!(fault.to_string().lines().count(), 1, "{fault}");
            }
        }
    }
}
