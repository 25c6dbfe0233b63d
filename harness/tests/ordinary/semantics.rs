//! What a fault means for ordinary services: each is met where the service cannot see it, and does what it says.

mod broker;
mod database;
mod process;
mod third_party;

use std::collections::BTreeMap;

use stormglass::history::{Event, History, What};
use stormglass::plan::{Aim, Call, Fault, Incident, Operation, Plan, Side, Strike};
use stormglass::simulation::{Recording, run};
use stormglass::{Seed, System};

/// A system that is asked for nothing, and the faults that befall it.
struct Stage {
    system: System,
    instances: BTreeMap<String, u32>,
    faults: Vec<Fault>,
}

impl Stage {
    fn of(system: System) -> Self {
        let ask = |_: u8| async { Ok::<(), String>(()) };
        Stage {
            system: system.operations(|| proptest::strategy::Just(0), ask),
            instances: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    fn instances(mut self, service: &str, number: u32) -> Self {
        self.system = self.system.instances(service, 1..=number);
        self.instances.insert(service.to_owned(), number);
        self
    }

    fn at_ms(mut self, at_ms: u64, incident: Incident) -> Self {
        self.faults.push(Fault::at(at_ms, incident));
        self
    }

    /// What becomes of the nth call of a host that is of the strike's kind.
    fn strike(mut self, host: &str, nth: u32, strike: impl Into<Strike>) -> Self {
        self.faults.push(Fault::strike(0, host, nth, strike));
        self
    }

    /// A crash on one side of the nth call of a host.
    fn crash(mut self, side: Side, host: &str, call: Call, nth: u32) -> Self {
        let host = host.to_owned();
        let crash = Incident::Crash {
            host: host.clone(),
            down_ms: 60_000,
        };
        let aim = Aim {
            host,
            call,
            nth,
            side,
        };
        self.faults.push(Fault::on(0, aim, crash));
        self
    }

    /// Runs it for at least five seconds; twice, to see that it repeats.
    fn run(self) -> Seen {
        let operation = Operation {
            at_ms: 5_000,
            operation: 0.into(),
        };
        let plan = Plan {
            seed: Seed(1),
            chance: 0,
            instances: self.instances,
            workload: vec![operation],
            schedule: self.faults,
        };
        let runs = [0, 1].map(|_| run(&self.system, &plan, Recording::On).unwrap());
        assert_eq!(runs[0].digest(), runs[1].digest());
        let [run, _] = runs;
        let faults: Vec<usize> = (0..plan.schedule.len()).collect();
        assert_eq!(run.bitten, faults, "every fault has an effect");
        Seen(run.history)
    }
}

/// What can be read of a run.
struct Seen(History);

impl Seen {
    /// What a host has written to its log, at any level.
    fn said(&self, host: &str) -> Vec<&str> {
        let own = self.0.events.iter().filter(|event| *event.host == *host);
        own.filter_map(|event| match &event.what {
            What::Logged { message, .. } => Some(message.as_str()),
            _ => None,
        })
        .collect()
    }

    fn count(&self, is_wanted: impl Fn(&Event) -> bool) -> usize {
        self.0
            .events
            .iter()
            .filter(|event| is_wanted(event))
            .count()
    }

    /// The only column of a view of one row.
    fn number(&self, view: &str) -> i64 {
        let (_, rows) = self.0.final_state(view).unwrap();
        rows[0].values().next().unwrap().as_i64().unwrap()
    }
}
