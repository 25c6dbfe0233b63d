//! A stage for one story: a system, the faults that strike it, and what can be read of its run.

use std::collections::BTreeMap;
use std::time::Duration;

use stormglass::history::{Event, What};
use stormglass::plan::{Aim, Call, Fault, Incident, Operation, Plan, Side, Strike};
use stormglass::simulation::{Recording, Run, Settings, run};
use stormglass::{Host, Profile, Seed, System};

/// A system with operations that do nothing, and the faults that will strike it.
pub(super) struct Stage {
    system: System,
    faults: Vec<Fault>,
    seed: u64,
}

impl Stage {
    pub(super) fn new() -> Self {
        let system = System::new("stage")
            .settings(Settings {
                liveness_bound: Duration::from_secs(15),
                ..Settings::default()
            })
            .ported_operations(
                || proptest::strategy::Just(0_u8),
                |_: Host, _: u8| async { Ok::<(), String>(()) },
            );
        Stage {
            system,
            faults: Vec::new(),
            seed: 1,
        }
    }

    /// Changes the system.
    pub(super) fn with(mut self, change: impl FnOnce(System) -> System) -> Self {
        self.system = change(self.system);
        self
    }

    pub(super) fn on(self, profile: Profile) -> Self {
        self.with(|system| system.broker(profile))
    }

    pub(super) fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// An incident at a time.
    pub(super) fn at_ms(mut self, at_ms: u64, incident: Incident) -> Self {
        self.faults.push(Fault::at(at_ms, incident));
        self
    }

    /// A strike at the nth call of a host.
    pub(super) fn strike(mut self, host: &str, nth: u32, strike: impl Into<Strike>) -> Self {
        self.faults.push(Fault::strike(0, host, nth, strike));
        self
    }

    /// An incident before the nth call of a host.
    pub(super) fn before(self, host: &str, call: Call, nth: u32, incident: Incident) -> Self {
        self.aimed(host, call, nth, Side::Before, incident)
    }

    /// An incident after the nth call of a host.
    pub(super) fn after(self, host: &str, call: Call, nth: u32, incident: Incident) -> Self {
        self.aimed(host, call, nth, Side::After, incident)
    }

    fn aimed(mut self, host: &str, call: Call, nth: u32, side: Side, incident: Incident) -> Self {
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

    /// Runs it until three seconds have passed and the system is quiet.
    pub(super) fn run(self) -> Seen {
        let system = self.system;
        let operation = Operation {
            at_ms: 3_000,
            operation: 0.into(),
        };
        let plan = Plan {
            seed: Seed(self.seed),
            chance: 0,
            instances: BTreeMap::new(),
            workload: vec![operation],
            schedule: self.faults,
        };
        let run = run(&system, &plan, Recording::On).unwrap();
        Seen { system, run }
    }
}

/// What can be read of a run.
pub(super) struct Seen {
    pub(super) system: System,
    pub(super) run: Run,
}

impl Seen {
    /// The events that a host's ports saw.
    pub(super) fn of<'s, 'h>(
        &'s self,
        host: &'h str,
    ) -> impl Iterator<Item = &'s Event> + use<'s, 'h> {
        let events = self.run.history.events.iter();
        events.filter(move |event| *event.host == *host)
    }

    /// The first event of a host that `wanted` picks.
    pub(super) fn first(&self, host: &str, wanted: impl Fn(&What) -> bool) -> &Event {
        let found = self.of(host).find(|event| wanted(&event.what));
        found.unwrap_or_else(|| panic!("no such event at {host}:\n{}", self.text()))
    }

    /// What a host said, line by line.
    pub(super) fn said(&self, host: &str) -> Vec<&str> {
        self.of(host)
            .filter_map(|event| match &event.what {
                What::Logged { message, .. } => Some(message.as_str()),
                _ => None,
            })
            .collect()
    }

    /// When a host said a line for the first time.
    pub(super) fn said_at(&self, host: &str, line: &str) -> Duration {
        let wanted = |what: &What| matches!(what, What::Logged { message, .. } if message == line);
        self.first(host, wanted).at
    }

    /// The column `note` of the view `notes`, when the run was over.
    pub(super) fn notes(&self) -> Vec<&str> {
        let rows = self
            .run
            .history
            .events
            .iter()
            .find_map(|event| match &event.what {
                What::FinalState { view, rows, .. } if view == "notes" => Some(rows),
                _ => None,
            });
        rows.expect("a view `notes`")
            .iter()
            .filter_map(|row| row["note"].as_str())
            .collect()
    }

    /// The payloads in a topic of one partition, when the run was over.
    pub(super) fn log(&self, wanted: &str) -> Vec<String> {
        let messages = self
            .run
            .history
            .events
            .iter()
            .find_map(|event| match &event.what {
                What::FinalLog {
                    topic, messages, ..
                } if **topic == *wanted => Some(messages),
                _ => None,
            });
        messages
            .expect("the topic's log")
            .iter()
            .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .collect()
    }

    /// The history as text, for the message of a failed assertion.
    pub(super) fn text(&self) -> String {
        stormglass::artefact::lines(&self.run.history).join("\n")
    }
}

/// A crash of a host.
pub(super) fn crash(host: &str, down_ms: u64) -> Incident {
    Incident::Crash {
        host: host.to_owned(),
        down_ms,
    }
}

/// Does nothing for the rest of the host's life.
pub(super) async fn idle() -> Result<(), String> {
    std::future::pending().await
}
