//! Systems that are right, each in a style of its own: none of them may be accused.
//!
//! They are written as a user writes them, from the README and the documentation of the library, and differ from
//! the reference system and from one another on purpose. A failure here is a false alarm, or a mistake in the
//! system that a reader has not seen; the history tells which.

mod attempts_in_memory;
mod batch_consumer;
mod charges_over_http;
mod event_sourced_accounts;
mod fan_out_on_jetstream;
mod inbox;
mod inbox_with_worker;
mod leased_relays;
mod natural_key;
mod outbox;
mod parks_through_an_outbox;
mod projector_with_checkpoints;
mod reminders_that_fall_due;
mod saga_with_a_deadline;
mod snapshots_by_version;
mod two_legs_of_a_transfer;
mod windowed_aggregator;

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use stormglass::check::jobs;
use stormglass::checker::{
    Causality, Convergence, EffectOnce, EntityOrder, Log, NoGhostEvent, NoLostEvent, OneEventPerId,
};
use stormglass::explore::{Exploration, Until, explore};
use stormglass::plan::Load;
use stormglass::{Broker, CORRELATION_ID, EVENT_ID, Message, Seed, System};

/// What a service of these systems ends with; the host starts it again.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// How many seeds a system has to hold for.
const SEEDS: u64 = 1_000;

/// Fails with the story of the first seed that breaks a property, or if a property was never put to the test.
#[track_caller]
fn holds(system: &System) {
    let exploration = Exploration {
        first: Seed(0),
        seeds: SEEDS,
        jobs: jobs(),
        until: Until::FirstFailure,
        interrupted: &AtomicBool::new(false),
        progress: &|| {},
    };
    let name = system.name();
    let tally = explore(system, &exploration).unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Some(failure) = tally.first_failure() {
        panic!("{}", system.report(failure).unwrap());
    }
    let vacuous: Vec<_> = tally.vacuous().collect();
    assert!(vacuous.is_empty(), "{name}: {vacuous:?}");
}

/// The promises of a system whose services write events beside their state and publish them later.
fn promising_events(system: System) -> System {
    promising_effects(system)
        .property(NoGhostEvent::default())
        .property(OneEventPerId)
        .property(EntityOrder)
        .property(Causality)
}

/// The promises of a system that does what clients ask for by messages.
fn promising_effects(system: System) -> System {
    system
        .property(NoLostEvent)
        .property(EffectOnce)
        .property(Convergence)
        .property(Log)
}

/// A few operations within two seconds.
const FEW: Load = Load {
    operations_min: 3,
    operations_max: 6,
    over_ms: 2_000,
    pause_ms_min: 0,
    pause_ms_max: 0,
};

/// What a client asks for; a flow begins with it.
fn command(topic: &str, key: &str, id: &str, payload: impl Into<Vec<u8>>) -> Message {
    Message::new(topic, key, payload)
        .header(EVENT_ID, id)
        .header(CORRELATION_ID, id)
}

/// Publishes a message until the broker has it, as a client with patience does.
async fn ask(message: Message) -> Result<(), Infallible> {
    while Broker::connect().publish(message.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
