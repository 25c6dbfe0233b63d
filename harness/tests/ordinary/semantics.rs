//! What a fault means for ordinary services: each is met where the service cannot see it, and does what it says.

mod broker;
mod clocks;
mod crashes;
mod database;
mod machines;
mod nats;
mod postgres;
mod process;
mod sqlite;
mod stops;
mod third_party;

use std::collections::BTreeMap;
use std::time::Duration;

use stormglass::history::{Event, History, What};
use stormglass::plan::{Aim, Call, Fault, Incident, Operation, Plan, Side, Strike};
use stormglass::simulation::{Recording, run};
use stormglass::{Seed, System};

/// A system that is asked for nothing, and the faults that befall it.
struct Stage {
    system: System,
    instances: BTreeMap<String, u32>,
    faults: Vec<Fault>,
    seed: u64,
}

impl Stage {
    fn of(system: System) -> Self {
        let ask = |_: u8| async { Ok::<(), String>(()) };
        Stage {
            system: system.operations(|| proptest::strategy::Just(0), ask),
            instances: BTreeMap::new(),
            faults: Vec::new(),
            seed: 1,
        }
    }

    fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
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
    fn crash(self, side: Side, host: &str, call: Call, nth: u32) -> Self {
        self.on(side, host, call, nth, crash(host, 60_000))
    }

    /// An incident on one side of the nth call of a host.
    fn on(mut self, side: Side, host: &str, call: Call, nth: u32, incident: Incident) -> Self {
        let host = host.to_owned();
        let aim = Aim {
            host,
            call,
            nth,
            side,
        };
        self.faults.push(Fault::on(0, aim, incident));
        self
    }

    /// Runs it for at least five seconds; twice, to see that it repeats. Every fault has an effect.
    fn run(self) -> Seen {
        let faults: Vec<usize> = (0..self.faults.len()).collect();
        self.run_biting(&faults)
    }

    /// As [`Stage::run`], where these faults have an effect and no others.
    fn run_biting(self, faults: &[usize]) -> Seen {
        let operation = Operation {
            at_ms: 5_000,
            operation: 0.into(),
        };
        let plan = Plan {
            seed: Seed(self.seed),
            chance: 0,
            instances: self.instances,
            workload: vec![operation],
            schedule: self.faults,
        };
        let runs = [0, 1].map(|_| run(&self.system, &plan, Recording::On).unwrap());
        let [one, other] = runs;
        let digests = [one.digest(), other.digest()];
        let (seen, again) = (Seen(one.history), Seen(other.history));
        assert!(
            digests[0] == digests[1],
            "{}\n\nand again:\n{}",
            seen.text(),
            again.text()
        );
        assert_eq!(one.bitten, faults, "{}", seen.text());
        seen
    }
}

/// A crash of a host.
fn crash(host: &str, down_ms: u64) -> Incident {
    Incident::Crash {
        host: host.to_owned(),
        down_ms,
    }
}

/// Does nothing for the rest of the host's life.
async fn idle<E>() -> Result<(), E> {
    std::future::pending().await
}

/// What can be read of a run.
struct Seen(History);

impl Seen {
    /// What has happened at a host.
    fn of<'s>(&'s self, host: &str) -> impl Iterator<Item = &'s Event> {
        self.0
            .events
            .iter()
            .filter(move |event| *event.host == *host)
    }

    /// What a host has written to its log, at any level.
    fn said(&self, host: &str) -> Vec<&str> {
        self.of(host)
            .filter_map(|event| match &event.what {
                What::Logged { message, .. } => Some(message.as_str()),
                _ => None,
            })
            .collect()
    }

    /// When a host has said a line for the first time.
    fn said_at(&self, host: &str, line: &str) -> Duration {
        let wanted = |what: &What| matches!(what, What::Logged { message, .. } if message == line);
        self.first(host, wanted).at
    }

    /// The first event of a host that is wanted.
    fn first(&self, host: &str, is_wanted: impl Fn(&What) -> bool) -> &Event {
        let found = self.of(host).find(|event| is_wanted(&event.what));
        found.unwrap_or_else(|| panic!("no such event at {host}:\n{}", self.text()))
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

    /// The column `note` of the view `notes`.
    fn notes(&self) -> Vec<&str> {
        let (_, rows) = self.0.final_state("notes").unwrap();
        rows.iter().filter_map(|row| row["note"].as_str()).collect()
    }

    /// The payloads in a topic of one partition, when the run was over.
    fn log(&self, wanted: &str) -> Vec<String> {
        let mut logs = self.0.events.iter().filter_map(|event| match &event.what {
            What::FinalLog {
                topic, messages, ..
            } if **topic == *wanted => Some(messages),
            _ => None,
        });
        let messages = logs.next().expect("the topic's log").iter();
        messages
            .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .collect()
    }

    /// The history as text, for the message of a failed assertion.
    fn text(&self) -> String {
        stormglass::artefact::lines(&self.0).join("\n")
    }
}
