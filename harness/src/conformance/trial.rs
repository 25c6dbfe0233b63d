//! A trial: a few hosts around a broker, and what they noted, in virtual time.
//!
//! Hosts are scripts; the topic `events` and the group `workers` are all there is.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::strategy::Just;

use crate::broker::Profile;
use crate::machine::Machine;
use crate::message::{EVENT_ID, Message};
use crate::plan::{Fault, Incident, Operation, Plan};
use crate::run::{Recording, Run, Settings};
use crate::seed::Seed;
use crate::simple_broker::{Broker, Delivery, PublishError, Subscription};
use crate::simulation::run;
use crate::system::{Group, System};
use crate::world::{lock, now};

/// How much later than promised something may be seen: what the network and a lost request take.
pub(super) const SLACK: Duration = Duration::from_millis(1_500);

const TOPIC: &str = "events";
const GROUP: &str = "workers";

/// Something that a host noted.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) at: Duration,
    pub(super) host: String,
    pub(super) text: String,
}

/// What a script has in hand.
#[derive(Clone)]
pub(super) struct Hand {
    broker: Broker,
    host: String,
    notes: Arc<Mutex<Vec<Note>>>,
}

impl Hand {
    pub(super) fn note(&self, text: impl Into<String>) {
        lock(&self.notes).push(Note {
            at: now(),
            host: self.host.clone(),
            text: text.into(),
        });
    }

    /// Publishes an event of this id once.
    pub(super) async fn publish(&self, key: &str, id: &str) -> Result<(), PublishError> {
        let message = Message::new(TOPIC, key, id).header(EVENT_ID, id);
        self.broker.publish(message).await.map(drop)
    }

    /// Publishes so many events of one key, `a-0` the first, each until it is acknowledged.
    pub(super) async fn publish_all(&self, key: &str, count: usize) {
        for number in 0..count {
            while self.publish(key, &format!("{key}-{number}")).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Joins the group, with patience.
    pub(super) async fn subscribe(&self) -> Subscription {
        loop {
            match self.broker.subscribe(GROUP, &[TOPIC]).await {
                Ok(subscription) => return subscription,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The next delivery, noted; joins the group again after an error.
    pub(super) async fn take(&self, subscription: &mut Subscription) -> Delivery {
        loop {
            match subscription.next().await {
                Ok(delivery) => {
                    self.note(delivery.message().event_id().unwrap_or_default());
                    return delivery;
                }
                Err(_) => *subscription = self.subscribe().await,
            }
        }
    }

    /// Takes what comes for ever, and settles it; rests so long after each.
    pub(super) async fn work(&self, rest: Duration) {
        let mut subscription = self.subscribe().await;
        loop {
            let delivery = self.take(&mut subscription).await;
            // What was not settled comes again.
            let _unsettled = delivery.ack().await;
            tokio::time::sleep(rest).await;
        }
    }
}

/// One trial.
pub(super) struct Trial {
    system: System,
    schedule: Vec<Fault>,
    lasts: Duration,
    notes: Arc<Mutex<Vec<Note>>>,
}

impl Trial {
    /// A trial of a broker with so many partitions. Everything has to be seen within `lasts`.
    pub(super) fn new(profile: &Profile, partitions: u32, lasts: Duration) -> Self {
        let nothing = async |()| Ok::<(), Infallible>(());
        let settings = Settings {
            // What is left unsettled on purpose is not waited for.
            liveness_bound: Duration::from_millis(100),
            ..Settings::default()
        };
        let system = System::new("conformance")
            .broker(profile.clone())
            .topic(TOPIC, partitions)
            .group(Group::new(GROUP, &[TOPIC]))
            .operations(|| Just(()), nothing)
            .settings(settings);
        Trial {
            system,
            schedule: Vec::new(),
            lasts,
            notes: Arc::default(),
        }
    }

    /// A host that follows a script once, and does nothing after it.
    pub(super) fn host<F>(
        mut self,
        name: &str,
        script: impl Fn(Hand) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let notes = self.notes.clone();
        let script = move |machine: Machine| {
            let hand = Hand {
                broker: Broker::connect(),
                host: machine.name().to_owned(),
                notes: notes.clone(),
            };
            let script = script(hand);
            async move {
                script.await;
                std::future::pending::<Result<(), Infallible>>().await
            }
        };
        self.system = self.system.host(name, script);
        self
    }

    pub(super) fn fault(mut self, at: Duration, incident: Incident) -> Self {
        let at_ms = at.as_millis() as u64;
        self.schedule.push(Fault::at(at_ms, incident));
        self
    }

    /// What was noted, in order, and the run.
    pub(super) fn run(self) -> Result<(Vec<Note>, Run), String> {
        let plan = Plan {
            seed: Seed(7),
            chance: 0,
            instances: Default::default(),
            // The run lasts until its last operation.
            workload: vec![Operation {
                at_ms: self.lasts.as_millis() as u64,
                operation: serde_json::Value::Null,
            }],
            schedule: self.schedule,
        };
        let run = run(&self.system, &plan, Recording::On);
        let run = run.map_err(|error| error.to_string())?;
        let notes = lock(&self.notes).clone();
        Ok((notes, run))
    }
}

/// What one host noted, in order.
pub(super) fn of<'n>(notes: &'n [Note], host: &str) -> Vec<&'n str> {
    let own = notes.iter().filter(|note| note.host == host);
    own.map(|note| &*note.text).collect()
}

/// When a host noted something for the nth time, from zero.
pub(super) fn when(notes: &[Note], host: &str, text: &str, nth: usize) -> Option<Duration> {
    let mut own = notes
        .iter()
        .filter(|note| note.host == host && note.text == text);
    own.nth(nth).map(|note| note.at)
}

/// `Err` with what was seen instead, unless it is as wanted.
pub(super) fn expect<T: PartialEq + fmt::Debug>(
    what: &str,
    seen: T,
    wanted: T,
) -> Result<(), String> {
    match seen == wanted {
        true => Ok(()),
        false => Err(format!("{what}: {seen:?} instead of {wanted:?}")),
    }
}
