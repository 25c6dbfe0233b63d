//! Systems that are right, each in a style of its own: none of them may be accused.
//!
//! They are written as a user writes them, from the README and the documentation of the library, and differ from
//! the reference system and from one another on purpose. A failure here is a false alarm, or a mistake in the
//! system that a reader has not seen; the history tells which.

mod charges_over_http;
mod event_sourced_accounts;
mod fan_out_on_jetstream;
mod inbox_with_worker;
mod leased_relays;
mod natural_key;
mod projector_with_checkpoints;
mod reminders_that_fall_due;
mod saga_with_a_deadline;
mod windowed_aggregator;

use std::sync::atomic::AtomicBool;

use stormglass::check::jobs;
use stormglass::explore::{Exploration, Until, explore};
use stormglass::{Broker, Message, Seed, System};

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

/// Publishes a message until the broker has it, as a client with patience does.
async fn publish_until_acknowledged(broker: &Broker, message: &Message) {
    while broker.publish(message.clone()).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
